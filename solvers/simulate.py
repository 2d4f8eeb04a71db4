"""The one time loop."""

from abc import abstractmethod
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, PyTree

from solvers.shapes import Index, Scalar, State
from solvers.status import Status, raise_for_status
from solvers.stepper import Stepper
from solvers.time_mesh import TimeMesh

Rows = tuple[Array, Array, Array]


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
    """

    states: State
    observations: PyTree
    final: State
    status: Index

    def raise_for_status(self) -> None:
        """Raises :class:`solvers.status.SimulationError` when this, or any member of a batch of these, failed."""
        raise_for_status(self.status)


def simulate(
    stepper: Stepper,
    state: State,
    mesh: TimeMesh,
    jump: Jump | None = None,
    observe: Callable[[Scalar, State], PyTree] | None = None,
    memory_mib: float = 512.0,
) -> Solution:
    r"""Advances a state over a mesh of steps; differentiable in both modes, batched by ``jax.vmap``, one compiled program.

    Reverse mode is the discrete adjoint: exact for the numbers computed, events included. One state per block of four steps
    is kept and the block recomputed, 4 to 5 forward passes in all. When that would exceed ``memory_mib``, blocks are
    grouped and the groups recomputed too: memory grows with $\sqrt{n}$ and one more forward pass is paid.

    Args:
        stepper: The method with the physics inside.
        state: Initial state; any pytree of arrays.
        mesh: From :func:`solvers.time_mesh.time_mesh`.
        jump: Applied at the mesh's events.
        observe: ``observe(time, state)`` after every step that advances time; keep it small.
        memory_mib: Bound for the states kept for reverse mode, not counting the few that one block needs.

    Returns:
        A :class:`Solution`; failures are codes in ``status``, never exceptions, so one bad member cannot end a batch.
    """

    def one_step(state: State, start: Scalar, length: Scalar, event: Index) -> tuple[State, PyTree]:
        state = stepper.advance(state, start, length)
        seen = None if observe is None else observe(start + length, state)
        if jump is not None:
            happen = jump.apply
            state = lax.cond(event >= 0, lambda before: happen(before, event), lambda before: before, state)
        return state, seen

    @jax.checkpoint
    def run_block(state: State, rows: Rows) -> tuple[State, PyTree]:
        seen = []
        for i in range(rows[0].shape[0]):
            state, observed = one_step(state, *(column[i] for column in rows))
            seen.append(observed)
        return state, jax.tree.map(lambda *parts: jnp.stack(parts), *seen)

    def block(state: State, rows: Rows) -> tuple[State, PyTree]:
        _, length, event = rows
        empty = jax.eval_shape(run_block, state, rows)[1]

        def skip(state: State, rows: Rows) -> tuple[State, PyTree]:
            del rows
            return state, jax.tree.map(lambda part: jnp.zeros(part.shape, part.dtype), empty)

        return lax.cond(jnp.any(length > 0) | jnp.any(event >= 0), run_block, skip, state, rows)

    def group(state: State, rows: Rows) -> tuple[State, tuple[State, PyTree]]:
        state, seen = lax.scan(block, state, rows)
        return state, (state, seen)

    state = jax.tree.map(jnp.asarray, state)
    dtype = jnp.result_type(*jax.tree.leaves(state))
    rows = (mesh.start.astype(dtype), mesh.length.astype(dtype), mesh.event)
    if not _fits(state, mesh, memory_mib):
        group = jax.checkpoint(group)
    final, (ends, seen) = lax.scan(group, state, rows)

    states = jax.tree.map(lambda part: part[jnp.array(mesh.saved)], ends)
    observed = jnp.array(mesh.observed, dtype=int)
    observations = jax.tree.map(lambda part: part.reshape(-1, *part.shape[3:])[observed], seen)
    return Solution(states, observations, final, _status(stepper, (states, final), rows[1]))


def _fits(state: State, mesh: TimeMesh, memory_mib: float) -> bool:
    """Whether one state per block fits the budget."""
    size = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))
    return size * mesh.length.shape[0] * mesh.length.shape[1] <= memory_mib * 2**20


def _status(stepper: Stepper, states: State, lengths: Array) -> Index:
    finite = jnp.array([jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(states)]).all()
    stable = stepper.stable(jnp.max(lengths))
    return jnp.where(~finite, Status.NOT_FINITE, jnp.where(stable, Status.SUCCESS, Status.UNSTABLE_STEP)).astype(int)
