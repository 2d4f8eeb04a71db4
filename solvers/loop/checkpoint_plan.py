"""Which states reverse mode keeps and what it recomputes, planned for a memory budget before anything runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Literal, Primitive
from jax.interpreters import ad, batching, mlir
from jaxtyping import PyTree

from solvers.loop.time_mesh import TimeMesh
from solvers.stepper import Stepper

MIB = 2**20
STATES_AT_WORK = 4
"""States besides the kept ones: the running state, its cotangent, and their successors."""


@dataclass(frozen=True)
class CheckpointPlan:
    """What reverse mode keeps.

    The steps are laid out as ``groups`` of ``inner[0]`` parts of ``inner[1]`` parts ... of single steps. One state is kept per group;
    while a group is reversed, one per part of it, and so on down to one per step of the innermost part.

    Attributes:
        steps: Rows of the mesh that do something.
        groups: Parts of the whole run, each of which ends at a save time or between two of them.
        inner: How each group is divided, and each part of it; the last number counts steps.
        recomputed_parts: How many levels are recomputed beyond the steps themselves; zero keeps the state of every step.
        state_bytes: Size of one state.
        step_bytes: What the reverse of one step keeps of its own forward pass.
        budget_bytes: What was allowed.
        minimum_bytes: The least that any layout of these steps needs.
    """

    steps: int
    groups: int
    inner: tuple[int, ...]
    recomputed_parts: int
    state_bytes: int
    step_bytes: int
    budget_bytes: int
    minimum_bytes: int

    @property
    def states_kept(self) -> int:
        """States kept at the busiest moment, those at the ends of the groups included."""
        return _kept(self.groups, self.inner, self.recomputed_parts)

    @property
    def bytes(self) -> int:
        """Bytes of reverse mode at the busiest moment: states kept, states at work and the inside of one step."""
        return _bytes(self.states_kept, self.state_bytes, self.step_bytes)

    @property
    def recomputation(self) -> int:
        """Forward passes run again in reverse; every step once, and once more per level of parts."""
        return 1 + self.recomputed_parts

    @property
    def fits(self) -> bool:
        """Whether the budget suffices."""
        return self.bytes <= self.budget_bytes

    @property
    def words(self) -> str:
        """The choice in one line."""
        if self.recomputed_parts == 0:
            kept = f"the state of each of {self.steps} steps is kept"
        else:
            layout = " x ".join(str(n) for n in (self.groups, *self.inner))
            kept = f"{self.states_kept} states are kept for {self.steps} steps ({layout})"
        passes = f"{self.recomputation} forward pass{'es' * (self.recomputation > 1)} recomputed"
        return f"{kept}, {passes}, {self.bytes / MIB:.3g} MiB of {self.budget_bytes / MIB:.3g} MiB"

    def refusal(self) -> str:
        """Why the budget does not suffice, naming the least that does."""
        return (
            f"got memory_mib {self.budget_bytes / MIB:.4g} for {self.steps} steps of a state of "
            f"{self.state_bytes / MIB:.3g} MiB; expected at least {self.minimum_bytes / MIB * 1.0005:.4g}; "
            "do: allow that much, save fewer states, or take fewer steps"
        )


def checkpoint_plan(state: PyTree, mesh: TimeMesh, memory_mib: float, stepper: Stepper | None = None) -> CheckpointPlan:
    r"""Plans what reverse mode of :func:`solvers.simulate.simulate` keeps, for one member of an ensemble.

    The state of every step when that fits: every step is recomputed once and reversed. Otherwise groups of $\sqrt n$ steps, whose
    states are recomputed group by group; otherwise groups of groups: $d$ levels keep $O(d\,n^{1/d})$ states for $d$ forward passes.
    Keeping the insides of all steps instead of their states was measured and is slower: it is bound by memory.

    Args:
        state: A state, or its shapes.
        mesh: The steps.
        memory_mib: The budget, for one member.
        stepper: Counts what the reverse of one step keeps; without it that is taken as eight states.

    Raises:
        ValueError: The budget is below the least that any layout needs; the message names that.

    Source: for one level, Griewank and Walther (2008), *Evaluating Derivatives*, section 12.2 (multilevel checkpointing).
    """
    plan = plan_unchecked(state, mesh, memory_mib, stepper)
    if not plan.fits:
        raise ValueError(plan.refusal())
    return plan


def plan_unchecked(state: PyTree, mesh: TimeMesh, memory_mib: float, stepper: Stepper | None = None) -> CheckpointPlan:
    """As :func:`checkpoint_plan`, but the layout of least memory where the budget does not suffice."""
    if not memory_mib > 0:
        raise ValueError(f"got memory_mib {memory_mib}; expected a positive number of MiB; do: allow at least a few states")
    size = sum(int(np.prod(leaf.shape)) * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))
    step = 8 * size if stepper is None else reverse_bytes_of_a_step(stepper, state)
    budget = round(memory_mib * MIB)
    candidates = list(_recorded_layouts(mesh)) if mesh.recorded else list(_layouts(mesh.segments))
    least = min(_kept(*layout) for layout in candidates)
    chosen: tuple[int, tuple[int, ...], int] | None = None
    for depth in sorted({layout[2] for layout in candidates}):
        best = min((layout for layout in candidates if layout[2] == depth), key=lambda layout: _kept(*layout))
        if chosen is None or _kept(*best) < _kept(*chosen):
            chosen = best
        if _bytes(_kept(*chosen), size, step) <= budget:
            break
    if chosen is None:
        raise ValueError("got a mesh without a step; expected at least one row; do: save at one time at least")
    steps = mesh.length.size if mesh.recorded else len(mesh.used)
    return CheckpointPlan(steps, *chosen, size, step, budget, _bytes(least, size, step))


def _bytes(kept: int, state_bytes: int, step_bytes: int) -> int:
    return (kept + STATES_AT_WORK) * state_bytes + step_bytes


def _kept(groups: int, inner: tuple[int, ...], depth: int) -> int:
    """Ends of groups and their cotangents; then every row, or the parts of one group at every level."""
    return 2 * groups + (groups * inner[0] if depth == 0 else sum(inner))


def _layouts(segments: Sequence[int]) -> list[tuple[int, tuple[int, ...], int]]:
    """For each depth the layouts worth a look; every segment is padded to whole groups."""
    longest, found = max(1, *segments), []
    few = range(1, min(longest, 256) + 1)
    sizes = sorted({*few, *(-(-longest // k) for k in few)})
    lengths = np.array(segments)

    def groups(size: int) -> int:
        return int(np.sum(np.maximum(1, -(-lengths // size))))

    for size in sizes:
        found += [(groups(size), (size,), depth) for depth in (0, 1)]
    for depth in range(2, max(2, int(np.ceil(np.log2(longest))) + 1)):
        for factor in range(2, int(np.ceil(longest ** (1 / depth))) + 2):
            for smaller in range(depth if factor > 2 else 1):
                inner = (factor,) * (depth - smaller) + (factor - 1,) * smaller
                found.append((groups(int(np.prod(inner))), inner, depth))
    return found


def _recorded_layouts(mesh: TimeMesh) -> list[tuple[int, tuple[int, ...], int]]:
    """A recorded mesh fixes the groups, for only it knows where the saves fall; blocks are their parts."""
    groups, blocks, steps = mesh.length.shape[-3:]
    return [(groups, (blocks * steps,), 0), (groups, (blocks * steps,), 1), (groups, (blocks, steps), 2)]


def reverse_bytes_of_a_step(stepper: Stepper, state: PyTree) -> int:
    """Bytes that the reverse of one step keeps from its forward pass, found by tracing it; what no step changes counts once."""
    arrays, static = eqx.partition(stepper, eqx.is_inexact_array)
    leaves = jax.tree.leaves(state)
    real = jnp.result_type(*(leaf.dtype for leaf in leaves))
    scalar = jax.ShapeDtypeStruct((), real)
    shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), state)

    def kept(state: PyTree, time: Any, length: Any, arrays: Any) -> Any:
        return jax.vjp(lambda s, a: eqx.combine(a, static).advance(s, time, length), state, arrays)[1]

    jaxpr = jax.make_jaxpr(kept)(shapes, scalar, scalar, arrays)
    return _bytes_that_vary(jaxpr, len(leaves) + 2)


def _bytes_that_vary(closed: Any, varying_inputs: int) -> int:
    """Bytes of the distinct outputs that depend on one of the first inputs."""
    varying = set(closed.jaxpr.invars[:varying_inputs])
    for equation in closed.jaxpr.eqns:
        if any(not isinstance(v, Literal) and v in varying for v in equation.invars):
            varying.update(equation.outvars)
    outputs = {v for v in closed.jaxpr.outvars if not isinstance(v, Literal) and v in varying}
    return sum(int(np.prod(v.aval.shape)) * v.aval.dtype.itemsize for v in outputs)


def refuse_reverse_mode(tree: PyTree, message: str) -> PyTree:
    """The tree itself; reverse mode through it raises a ValueError with this message, forward mode does not."""
    return jax.tree.map(lambda leaf: _no_reverse.bind(leaf, message=message) if eqx.is_inexact_array(leaf) else leaf, tree)


def _transpose(cotangent: Any, operand: Any, *, message: str) -> Any:
    del cotangent, operand
    raise ValueError(message)


_no_reverse = Primitive("twinsim_no_reverse")
_no_reverse.def_impl(lambda operand, message: operand)
_no_reverse.def_abstract_eval(lambda operand, message: operand)
mlir.register_lowering(_no_reverse, lambda context, operand, message: [operand])
ad.deflinear2(_no_reverse, _transpose)
batching.defvectorized(_no_reverse)


def layout_rows(mesh: TimeMesh, plan: CheckpointPlan) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Flat row of the mesh at each place of the plan's layout, which places are more than padding, and the group of each save."""
    if mesh.recorded:
        rows = np.arange(mesh.length.size)
        return rows.reshape(plan.groups, *plan.inner), np.ones_like(rows, bool).reshape(plan.groups, *plan.inner), np.zeros(0, int)
    size = int(np.prod(plan.inner))
    rows, real, saved, first = [], [], [], 0
    used = np.array(mesh.used, dtype=int)
    for number, length in enumerate(mesh.segments):
        places = max(1, -(-length // size)) * size
        own = used[first : first + length]
        before = own[-1] if length else (rows[-1] if rows else 0)
        rows += [*own, *[before] * (places - length)]
        real += [True] * length + [False] * (places - length)
        first += length
        if number < len(mesh.saved):
            saved.append(len(rows) // size - 1)
    shape = (plan.groups, *plan.inner)
    return np.array(rows, int).reshape(shape), np.array(real, bool).reshape(shape), np.array(saved, int)
