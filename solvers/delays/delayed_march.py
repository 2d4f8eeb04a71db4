"""Networks whose nodes hear each other late: a march in blocks of steps, with a reverse mode that keeps the trajectory only."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from solvers.delays.delayed_adjoint import backwards
from solvers.delays.delayed_block import (
    DelayedNode,
    Forcing,
    Given,
    Heard,
    Nodes,
    Sizes,
    Steps,
    first_ring,
    march_block,
    march_blocks,
    stretch,
    summary,
)
from solvers.delays.delayed_edges import DelayedEdges
from solvers.shapes import Index
from solvers.status import Status, raise_for_status


class DelayedSolution(eqx.Module):
    """What a march leaves.

    Attributes:
        states: Saved states, ``(saves, variables, nodes, *members)``.
        final: The last state.
        history: What was sent during the last ``reach`` steps, from which a march goes on, ``(reach, rows, nodes, *members)``.
        status: A :class:`solvers.status.Status` code per member.
    """

    states: Steps
    final: Nodes
    history: Float[Array, "reach rows nodes *members"]
    status: Array

    def raise_for_status(self) -> None:
        """Raises :class:`solvers.status.SimulationError` if the march, or a member, failed."""
        raise_for_status(self.status)


def delayed_march(
    node: DelayedNode,
    edges: DelayedEdges,
    state: Nodes,
    steps: int,
    *,
    history: Float[Array, "reach rows nodes *members"] | None = None,
    forcing: Forcing | None = None,
    every: int = 1,
    mean: bool = False,
) -> DelayedSolution:
    r"""Advances $s_{t+1} = \mathrm{advance}(s_t, c_t, u_t)$, $c_{t,i} = \sum_j w_{ij} x_{t-d_{ij},j}$, $x_t = \mathrm{sent}(s_t)$.

    Reverse mode is the discrete adjoint, written by hand: of a march it keeps the states of all steps and nothing of the ring of past
    values, and its sums of cotangents run over the same edges backwards, in the same blocks. What a node sends at $t$ gets
    $\bar x_{t,j} = \sum_i w_{ij}\,\bar c_{t+d_{ij},i}$. Delays have no derivative: they are whole steps. Forward mode: use
    :func:`delayed_march_forward_mode`.

    Args:
        node: A step of the nodes.
        edges: From :func:`solvers.delays.delayed_edges.delayed_edges`.
        state: At the start, ``(variables, nodes)``, or with members along trailing axes.
        steps: Number of steps, a multiple of ``every``.
        history: What was sent before the start, oldest first; by default what the state sends, for ever.
        forcing: What acts on single steps.
        every: Steps from one saved state to the next.
        mean: Save the mean of the states after each of these steps, instead of the last.

    Raises:
        ValueError: Steps are no positive multiple of ``every``, or a shape does not fit the edges.
    """
    given, sizes = _given(node, edges, state, steps, history, forcing, every, mean)
    return _solution(*_march(given, lax.stop_gradient(edges), sizes))


def delayed_march_forward_mode(
    node: DelayedNode, edges: DelayedEdges, state: Nodes, steps: int, *, history: Array | None = None, forcing: Forcing | None = None,
    every: int = 1, mean: bool = False,
) -> DelayedSolution:  # fmt: skip
    """:func:`delayed_march` for forward-mode derivatives (``jax.jvp``, ``jax.jacfwd``); reverse mode of this one keeps every ring."""
    given, sizes = _given(node, edges, state, steps, history, forcing, every, mean)
    return _solution(*_primal(given, edges, sizes))


def _given(
    node: DelayedNode, edges: DelayedEdges, state: Nodes, steps: int, history: Array | None, forcing: Forcing | None, every: int, mean: bool
) -> tuple[Given, Sizes]:
    state = jnp.asarray(state)
    if steps < 1 or every < 1 or steps % every:
        raise ValueError(f"got {steps} steps, saved every {every}; expected a positive multiple; do: change one of them")
    if state.ndim < 2 or state.shape[1] != edges.nodes:
        raise ValueError(f"got a state of shape {state.shape}; expected (variables, {edges.nodes}, ...); do: one column per node")
    sent = jax.eval_shape(node.sent, state)
    if history is None:
        history = jnp.broadcast_to(node.sent(state), (edges.reach, *sent.shape))
    elif history.shape != (edges.reach, *sent.shape):
        raise ValueError(f"got a history of shape {history.shape}; expected {(edges.reach, *sent.shape)}; do: give the last steps")
    return Given(node, edges.weights, state, history, forcing), Sizes(steps, every, mean)


def _solution(states: Steps, final: Nodes, past: Array) -> DelayedSolution:
    finite = jnp.isfinite(lax.stop_gradient(final)).all(axis=(0, 1))
    return DelayedSolution(states, final, past, jnp.where(finite, int(Status.SUCCESS), int(Status.NOT_FINITE)))


def _primal(given: Given, edges: DelayedEdges, sizes: Sizes) -> tuple[Steps, Nodes, Array]:
    """Saved states, the last one, and the history of the end; keeps no more than that where blocks and saves fit each other."""
    steps, every, mean = sizes
    if every % edges.block == 0:
        nothing = jnp.zeros_like(given.state)

        def interval(carry: tuple[Nodes, Array], start: Index) -> tuple[tuple[Nodes, Array], Nodes]:
            def one(carry: tuple[Nodes, Array, Nodes], number: Index) -> tuple[tuple[Nodes, Array, Nodes], None]:
                state, ring, total = carry
                state, ring, after, _ = march_block(given, edges, state, ring, start + number * edges.block, edges.block)
                return (state, ring, total + after.sum(axis=0) if mean else total), None

            (state, ring, total), _ = lax.scan(one, (*carry, nothing), jnp.arange(every // edges.block))
            return (state, ring), total / every if mean else state

        (state, ring), saved = lax.scan(interval, (given.state, first_ring(given, edges)), jnp.arange(0, steps, every))
    else:
        fits = edges.block % every == 0
        state, ring, saved = march_blocks(given, edges, steps, lambda after, _: summary(sizes, after) if fits else after)
        saved = saved if fits else summary(sizes, saved)
    return saved, state, _past(edges, ring, steps)


def _past(edges: DelayedEdges, ring: Array, steps: int) -> Array:
    return jnp.moveaxis(stretch(edges, ring, jnp.asarray(steps - edges.reach), edges.reach), 1, 2)


@eqx.filter_custom_vjp
def _march(given: Given, edges: DelayedEdges, sizes: Sizes) -> tuple[Steps, Nodes, Array]:
    return _primal(given, edges, sizes)


@_march.def_fwd
def _forwards(perturbed: Any, given: Given, edges: DelayedEdges, sizes: Sizes) -> tuple[tuple[Array, Nodes, Array], tuple[Steps, Heard]]:
    del perturbed
    state, ring, kept = march_blocks(given, edges, sizes.steps, lambda after, heard: (after, heard))
    return (summary(sizes, kept[0]), state, _past(edges, ring, sizes.steps)), kept


@_march.def_bwd
def _backwards(kept: tuple[Steps, Heard], cotangents: Any, perturbed: Given, given: Given, edges: DelayedEdges, sizes: Sizes) -> Given:
    return backwards(kept, cotangents, perturbed, given, edges, sizes)
