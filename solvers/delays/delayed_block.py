"""A block of steps of a network whose nodes hear each other late, and the ring of what they sent."""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, PyTree

from solvers.delays.delayed_edges import DelayedEdges, Ring, late_sums, prompt_sums
from solvers.shapes import Index

Nodes = Float[Array, "variables nodes *members"]
Sent = Float[Array, "rows nodes *members"]
Steps = Float[Array, "steps variables nodes *members"]
Heard = Float[Array, "steps rows nodes *members"]


class DelayedNode(eqx.Module):
    """What a node of a network does in a step; all nodes at once, members of a batch along trailing axes."""

    @abstractmethod
    def sent(self, state: Nodes) -> Sent:
        """What others hear of a state."""

    @abstractmethod
    def advance(self, state: Nodes, heard: Sent, forced: Nodes | None) -> Nodes:
        """The next state, of what was heard (held over the step) and of the forcing of this step."""


class Forcing(eqx.Module):
    """Noise or stimuli."""

    @abstractmethod
    def over(self, first: Index, count: int) -> Steps:
        """What acts on steps ``first`` to ``first + count``."""


class Given(NamedTuple):
    """What derivatives are taken with respect to."""

    node: DelayedNode
    weights: Float[Array, " edges"]
    state: Nodes
    history: Float[Array, "reach rows nodes *members"]
    forcing: Forcing | None


class Sizes(NamedTuple):
    steps: int
    every: int
    mean: bool


def summary(sizes: Sizes, after: Steps) -> Array:
    """Of the states after every step what is saved."""
    grouped = after.reshape(-1, sizes.every, *after.shape[1:])
    return grouped.mean(axis=1) if sizes.mean else grouped[:, -1]


def march_blocks(given: Given, edges: DelayedEdges, steps: int, keep: Callable[[Steps, Heard], PyTree]) -> tuple[Nodes, Ring, PyTree]:
    """All steps; the last state, the last ring, and what ``keep`` gives of the states after the steps of a block and what was heard."""
    whole, rest = divmod(steps, edges.block)
    state, ring, parts = given.state, first_ring(given, edges), []
    if whole:

        def one(carry: tuple[Nodes, Ring], number: Index) -> tuple[tuple[Nodes, Ring], PyTree]:
            state, ring, after, heard = march_block(given, edges, *carry, number * edges.block, edges.block)
            return (state, ring), keep(after, heard)

        (state, ring), kept = lax.scan(one, (state, ring), jnp.arange(whole))
        parts.append(jax.tree.map(lambda part: part.reshape(-1, *part.shape[2:]), kept))
    if rest:
        state, ring, after, heard = march_block(given, edges, state, ring, jnp.asarray(whole * edges.block), rest)
        parts.append(keep(after, heard))
    return state, ring, jax.tree.map(lambda *pieces: jnp.concatenate(pieces), *parts)


def march_block(given: Given, edges: DelayedEdges, state: Nodes, ring: Ring, first: Index, count: int) -> tuple[Nodes, Ring, Steps, Heard]:
    """``count`` steps: late sums of all of them at once, then one after another.

    Returns:
        The state and the ring after them, the states after each step, and what was heard in it.
    """
    padded = edges.padded(given.weights)
    late = late_sums(edges.late, padded, ring, edges.ring, first, -1, count)
    forced = None if given.forcing is None else given.forcing.over(first, count)
    before = stretch(edges, ring, first - edges.within, edges.within)
    recent = jnp.concatenate([before, jnp.zeros((count, *before.shape[1:]), before.dtype)]) if edges.within else None

    def step(carry: tuple[Nodes, Array | None], now: tuple[Index, Sent, Nodes | None]) -> tuple[Any, tuple[Array, Nodes, Sent]]:
        (state, recent), (number, heard, forced) = carry, now
        sent = jnp.moveaxis(given.node.sent(state), 0, 1)
        if recent is None:
            prompt = prompt_sums(edges.prompt, padded, sent[None], jnp.asarray(0), -1)
        else:
            recent = lax.dynamic_update_index_in_dim(recent, sent, number + edges.within, 0)
            prompt = prompt_sums(edges.prompt, padded, recent, number + edges.within, -1)
        heard = heard + prompt
        state = given.node.advance(state, heard, forced)
        return (state, recent), (sent, state, heard)

    (state, _), (sent, after, heard) = lax.scan(step, (state, recent), (jnp.arange(count), late, forced))
    return state, written(edges, ring, sent, first), after, heard


def first_ring(given: Given, edges: DelayedEdges) -> Ring:
    """The doubled ring of what was sent before the start: entry ``node * 2 ring + time``, and the same again a ring later."""
    before = jnp.moveaxis(given.history, 2, 0)
    unused = jnp.zeros((edges.nodes, edges.ring - edges.reach, *before.shape[2:]), before.dtype)
    once = jnp.concatenate([unused, before], axis=1)  # step -1 is the last entry
    return jnp.concatenate([once, once], axis=1).reshape(-1, *before.shape[2:])


def written(edges: DelayedEdges, ring: Ring, sent: Float[Array, "count nodes rows *members"], first: Index) -> Ring:
    """The ring with a block of steps written to both of its halves."""
    halves = ring.reshape(edges.nodes, 2, edges.ring, *ring.shape[1:])
    block = jnp.moveaxis(sent, 1, 0)[:, None]
    both = jnp.broadcast_to(block, (edges.nodes, 2, *block.shape[2:]))
    place = (0, 0, jnp.remainder(first, edges.ring), *(0,) * (ring.ndim - 1))
    return lax.dynamic_update_slice(halves, both, tuple(jnp.asarray(part, first.dtype) for part in place)).reshape(ring.shape)


def stretch(edges: DelayedEdges, ring: Ring, first: Index, count: int) -> Float[Array, "count nodes rows *members"]:
    """What the ring holds of ``count`` steps, no more than a ring."""
    by_node = ring.reshape(edges.nodes, 2 * edges.ring, *ring.shape[1:])
    return jnp.moveaxis(lax.dynamic_slice_in_dim(by_node, jnp.remainder(first, edges.ring), count, axis=1), 1, 0)
