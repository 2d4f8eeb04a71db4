"""The one time loop."""

from abc import abstractmethod
from collections.abc import Callable
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, PyTree

from solvers.loop.checkpoint_plan import CheckpointPlan, layout_rows, plan_unchecked, refuse_reverse_mode
from solvers.loop.time_mesh import TimeMesh
from solvers.shapes import Index, Scalar, State
from solvers.status import Status, raise_for_status
from solvers.stepper import Stepper

LIMIT_FRACTIONS = 0.5 ** np.linspace(0.0, 40.0, 2048)
"""Parts of the longest step among which the stability limit is looked for, once for all: 1.4 % from one to the next."""
LOOK_EVERY = 8
"""Steps between two looks for a NaN or an infinity; a look reads the state once."""

checkpoint = partial(jax.checkpoint, prevent_cse=False)  # every use is the body of a scan, which keeps the passes apart


class Jump(eqx.Module):
    """A sudden change of the state at the event times of a mesh."""

    @abstractmethod
    def apply(self, state: State, event: Index) -> State:
        """The state just after event number ``event``; the number indexes the ``events`` given to ``time_mesh``."""


class Solution(eqx.Module):
    """What a simulation leaves.

    Attributes:
        states: The state at each save time, stacked along a new first axis.
        observations: What ``observe`` gave after each step that advances time, stacked; None without an observer.
        final: The state after the last event, from which a simulation goes on.
        status: A :class:`solvers.status.Status` code.
        first_bad_time: End of the first looked-at step whose state has a NaN or an infinity, at most eight steps after the
            true one; infinite while all is well.
        stable_step: Where a step was longer than the stepper's stability limit that limit, to two per cent from below, and zero where
            it is no number; infinite where no step was.
    """

    states: State
    observations: PyTree
    final: State
    status: Index
    first_bad_time: Scalar
    stable_step: Scalar

    def raise_for_status(self) -> None:
        """Raises :class:`solvers.status.SimulationError` when this, or any member of a batch of these, failed.

        A step above the stability limit is named with the limit, also where the state then ended in a NaN. Inside of jit or vmap
        it is a ValueError.
        """
        raise_for_status(self.status, limit_in_words(self.stable_step))


def limit_in_words(stable_step: ArrayLike) -> Callable[[Status, int], str | None]:
    """Words for :func:`solvers.status.raise_for_status` that name the stability limit where a step was above it."""

    def words(status: Status, member: int) -> str | None:
        limit = float(np.asarray(stable_step).flat[member])
        if status not in (Status.UNSTABLE_STEP, Status.NOT_FINITE) or not 0 < limit < np.inf:
            return None
        ended = "the state has a NaN or an infinity, and " if status == Status.NOT_FINITE else ""
        return (
            f"{ended}a step is longer than {limit:.3g}, the explicit limit of the stepper; "
            "do: shorten the step to that, take more stages, or use an implicit method"
        )

    return words


def simulate(
    stepper: Stepper,
    state: State,
    mesh: TimeMesh,
    jump: Jump | None = None,
    observe: Callable[[Scalar, State], PyTree] | None = None,
    memory_mib: float = 2048.0,
) -> Solution:
    r"""Advances a state over a mesh of steps; differentiable in both modes, batched by ``jax.vmap``, one compiled program.

    Reverse mode is the discrete adjoint: exact for the numbers computed, events included. What it keeps and what it recomputes
    is planned for ``memory_mib`` (:func:`solvers.loop.checkpoint_plan.checkpoint_plan` tells beforehand): the state of every step where
    that fits, 3 to 4 forward passes in all, else one per group of $\sqrt n$ steps for one more pass, else groups of groups.

    Args:
        stepper: The method with the physics inside.
        state: Initial state; any pytree of arrays.
        mesh: From :func:`solvers.loop.time_mesh.time_mesh` or :func:`solvers.loop.adaptive_mesh.adaptive_mesh`.
        jump: Applied at the mesh's events.
        observe: ``observe(time, state)`` after every step that advances time; keep it small.
        memory_mib: Bound for what reverse mode keeps of one member of an ensemble; saved states and observations come on top.

    Returns:
        A :class:`Solution`; failures are codes in ``status``, never exceptions, so one bad member cannot end a batch.

    Raises:
        ValueError: The mesh has events and there is no jump; an argument is of another kind; the jump gives another shape or type than
            the state; the observer gives what is no number; or reverse mode is asked for and no layout of the steps fits
            ``memory_mib``, and the message names the least that does.
    """
    check_kinds(stepper, state, mesh)
    state = jax.tree.map(jnp.asarray, state)
    kinds = {str(leaf.dtype) for leaf in jax.tree.leaves(state) if not jnp.issubdtype(leaf.dtype, jnp.inexact)}
    if kinds:
        raise ValueError(f"got a state of {', '.join(sorted(kinds))}; expected real numbers; do: make it floating-point")
    if jump is None and not isinstance(mesh.event, Tracer) and (np.asarray(mesh.event) >= 0).any():
        raise ValueError("got a mesh with events and no jump; expected what happens at them; do: give jump, or use breakpoints")
    plan = plan_unchecked(state, mesh, memory_mib, stepper)
    rows, real, saved = layout_rows(mesh, plan)
    columns = start, length, _, active, _ = _columns(mesh, rows, real, jnp.result_type(*jax.tree.leaves(state)))

    def row(state: State, columns: tuple[Array, ...]) -> tuple[State, tuple[Bool[Array, ""], PyTree]]:
        start, length, event, active, look = columns

        def step(state: State) -> tuple[State, PyTree]:
            state = stepper.advance(state, start, length)
            seen = None if observe is None else _numbers(observe(start + length, state))
            if jump is not None:
                happen = partial(_jumped, jump)
                state = lax.cond(event >= 0, lambda before: happen(before, event), lambda before: before, state)
            return state, seen

        def skip(state: State) -> tuple[State, PyTree]:
            return state, jax.tree.map(lambda part: jnp.zeros(part.shape, part.dtype), jax.eval_shape(step, state)[1])

        state, seen = step(state) if real.all() and not mesh.recorded else lax.cond(active, step, skip, state)
        bad = lax.cond(look, lambda state: ~_finite(state), lambda _: jnp.asarray(False), lax.stop_gradient(state))
        return state, (bad, seen)

    final, (ends, (bad, seen)) = lax.scan(_nested(row, plan), state, columns)
    if not plan.fits:
        final, ends, seen = refuse_reverse_mode((final, ends, seen), plan.refusal())

    states = jax.tree.map(lambda part: part[saved if mesh.saved_groups is None else mesh.saved_groups], ends)
    observations = _observations(seen, rows, real, mesh)
    ended = jnp.where(active & (length > 0), start + length, start)
    first_bad = jnp.min(jnp.where(bad, ended, jnp.inf))
    # Only states that look well have been judged so far: those that are handed out must be, too.
    longest = lax.stop_gradient(jnp.max(jnp.where(active, length, 0)))
    stable = stepper.stable(longest)
    status = jnp.where(stable, Status.SUCCESS, Status.UNSTABLE_STEP)
    status = jnp.where(_finite((states, final)) & ~bad.any(), status, Status.NOT_FINITE)
    if mesh.status is not None:
        status = jnp.maximum(status, mesh.status)
    limit = jnp.where(stable, jnp.inf, _stability_limit(stepper, longest))
    return Solution(states, observations, final, status.astype(int), lax.stop_gradient(first_bad), lax.stop_gradient(limit))


def check_kinds(stepper: object, state: object, mesh: object) -> None:
    """Refuses what is no stepper, no state or no mesh."""
    if not isinstance(stepper, Stepper) or not isinstance(mesh, TimeMesh):
        got = f"a {type(stepper).__name__} as stepper and a {type(mesh).__name__} as mesh"
        raise ValueError(f"got {got}; expected a Stepper and a TimeMesh; do: simulate(stepper, state, mesh), time_mesh makes the mesh")
    leaves = jax.tree.leaves(state)
    strange = [leaf for leaf in leaves if not isinstance(leaf, jax.Array | np.ndarray | np.generic | int | float | complex)]
    if not leaves or strange or (isinstance(state, list) and not any(hasattr(leaf, "dtype") for leaf in leaves)):
        got = (
            "a list of plain numbers"
            if isinstance(state, list) and leaves and not strange
            else f"a {type((strange or [state])[0]).__name__}"
        )
        raise ValueError(f"got {got} as state; expected an array, or a pytree of arrays; do: give jnp.asarray(...)")


def _numbers(seen: PyTree) -> PyTree:
    for leaf in jax.tree.leaves(seen):
        if not isinstance(leaf, jax.Array | np.ndarray | np.generic | int | float | complex):
            raise ValueError(f"got an observer that gives a {type(leaf).__name__}; expected arrays; do: return numbers of time and state")
    return seen


def _jumped(jump: Jump, before: State, event: Index) -> State:
    after = jump.apply(before, event)
    kinds = [
        [(jax.tree_util.keystr(at), jnp.shape(leaf), jnp.result_type(leaf)) for at, leaf in jax.tree_util.tree_leaves_with_path(tree)]
        for tree in (after, before)
    ]
    if kinds[0] != kinds[1]:
        got, expected = (", ".join(f"{at or 'an array'} {dtype}{list(shape)}" for at, shape, dtype in kind[:3]) for kind in kinds)
        raise ValueError(f"got a jump that gives {got}; expected {expected}, as the state; do: return the state with new values")
    return after


def _stability_limit(stepper: Stepper, longest: Scalar) -> Scalar:
    """The longest of some parts of the longest step that the stepper calls stable; zero for none. The spectral bound is one for all."""
    if type(stepper).stable is Stepper.stable:
        return longest
    lengths = longest * jnp.asarray(LIMIT_FRACTIONS, longest.dtype)
    return jnp.max(jnp.where(jax.vmap(stepper.stable)(lengths), lengths, 0))


def _columns(mesh: TimeMesh, rows: np.ndarray, real: np.ndarray, dtype: jnp.dtype) -> tuple[Array, ...]:
    """Start, length, event, whether there is anything to do, and whether to look for a NaN, at each place of the layout."""
    start, length, event = (t.reshape(-1)[rows] for t in (mesh.start.astype(dtype), mesh.length.astype(dtype), mesh.event))
    length, event = jnp.where(real, length, 0), jnp.where(real, event, -1)
    active = (length > 0) | (event >= 0) if mesh.recorded else jnp.asarray(real)
    places = np.arange(rows.size).reshape(rows.shape)
    look = (places % LOOK_EVERY == LOOK_EVERY - 1) | (places == rows.size - 1)
    return start, length, event, active, jnp.asarray(look)


def _nested(row: Callable, plan: CheckpointPlan) -> Callable:
    """The scan over one group; the bodies that are to be recomputed are checkpoints."""
    body = checkpoint(row)
    for level in range(len(plan.inner)):
        body = partial(lax.scan, body)
        if plan.recomputed_parts > level:
            body = checkpoint(body)

    def group(state: State, columns: tuple[Array, ...]) -> tuple[State, tuple[State, PyTree]]:
        state, seen = body(state, columns)
        return state, (state, seen)

    return group


def _observations(seen: PyTree, rows: np.ndarray, real: np.ndarray, mesh: TimeMesh) -> PyTree:
    """What was seen after the steps that advance time, in their order; after every row of a recorded mesh."""
    if mesh.recorded:
        return jax.tree.map(lambda part: part.reshape(-1, *part.shape[rows.ndim :]), seen)
    place_of_row = np.zeros(mesh.length.size, dtype=int)
    place_of_row[rows[real]] = np.flatnonzero(real)
    places = place_of_row[np.array(mesh.observed, dtype=int)]
    return jax.tree.map(lambda part: part.reshape(-1, *part.shape[rows.ndim :])[places], seen)


def _finite(tree: PyTree) -> Bool[Array, ""]:
    return jnp.array([jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(tree)]).all()
