"""Reverse mode of a network whose nodes hear each other late: the same sums over the edges, backwards in time and direction."""

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, PyTree

from solvers.delays.delayed_block import DelayedNode, Given, Heard, Sizes, Steps, stretch, summary, written
from solvers.delays.delayed_edges import DelayedEdges, Ring, late_sums, prompt_sums
from solvers.shapes import Index


def backwards(
    kept: tuple[Steps, Heard], cotangents: tuple[Any, Any, Any], perturbed: Given, given: Given, edges: DelayedEdges, sizes: Sizes
) -> Given:
    """Cotangents of what is given, from those of the saved states, the last state and the history of the end.

    Args:
        kept: States after every step, and what was heard in it.
        cotangents: None where there is none.
        perturbed: True where a derivative is wanted.
        given: See :class:`solvers.delays.delayed_block.Given`.
        edges: Of the network; its weights are not used.
        sizes: Of the march.
    """
    after, heard = kept
    steps, block, reach = sizes.steps, edges.block, edges.reach
    of_after = _of_after(cotangents, sizes, after)
    of_sent = None if cotangents[2] is None else _of_sent(cotangents[2], steps)
    before = jnp.concatenate([given.state[None], after[:-1]])
    sent = _all_sent(given, before) if any(jax.tree.leaves(perturbed.weights)) else None
    ring = jnp.zeros((2 * edges.nodes * edges.ring, heard.shape[1], *heard.shape[3:]), heard.dtype)
    node = jax.tree.map(jnp.zeros_like, eqx.filter(given.node, eqx.is_inexact_array))
    forcing = jax.tree.map(jnp.zeros_like, eqx.filter(given.forcing, eqx.is_inexact_array))
    carry = (jnp.zeros_like(given.state), ring, node, jnp.zeros_like(given.weights), forcing)

    def one(carry: Any, first: Index, count: int) -> Any:
        cut = [lax.dynamic_slice_in_dim(part, first, count) for part in (before, heard, of_after)]
        later = None if of_sent is None else lax.dynamic_slice_in_dim(of_sent, first + reach, count)
        return _block_backwards(given, edges, carry, first, count, cut, later, sent)

    whole, rest = divmod(steps, block)
    if rest:
        carry = one(carry, jnp.asarray(whole * block), rest)
    if whole:
        carry, _ = lax.scan(lambda carry, number: (one(carry, number * block, block), None), carry, jnp.arange(whole), reverse=True)
    state, ring, node, weights, forcing = carry
    history = _of_history(given, edges, ring)
    if of_sent is not None:
        history = history + of_sent[:reach]
    return Given(node, weights, state, history, forcing)


def _block_backwards(
    given: Given, edges: DelayedEdges, carry: Any, first: Index, count: int, cut: list[Any], later: Any, sent: Array | None
) -> Any:
    """One block: what was heard from it later than it is summed at once, then one step after another from its end."""
    (state, ring, node, weights, forcing), (before, heard, of_after) = carry, cut
    padded = edges.padded(given.weights)
    late = late_sums(edges.late_back, padded, ring, edges.ring, first, 1, count)
    late = late if later is None else late + later
    forced, force = (None, None) if given.forcing is None else eqx.filter_vjp(lambda one: one.over(first, count), given.forcing)
    recent = None
    if edges.within:
        after = stretch(edges, ring, first + count, edges.within)
        recent = jnp.concatenate([jnp.zeros((count, *after.shape[1:]), after.dtype), after])

    def step(carry: Any, now: Any) -> Any:
        (later, recent), (number, before, heard, forced, of_after, of_sent) = carry, now
        of_state = later + of_after
        _, advance = eqx.filter_vjp(given.node.advance, before, heard, forced)
        of_before, of_heard, of_forced = advance(of_state)
        by_node = jnp.moveaxis(of_heard, 0, 1)
        if recent is None:
            prompt = prompt_sums(edges.prompt_back, padded, by_node[None], jnp.asarray(0), 1)
        else:
            recent = lax.dynamic_update_index_in_dim(recent, by_node, number, 0)
            prompt = prompt_sums(edges.prompt_back, padded, recent, number, 1)
        of_sent = of_sent + prompt
        _, send = eqx.filter_vjp(given.node.sent, before)
        return (of_before + send(of_sent)[0], recent), (by_node, of_forced, of_state, of_sent)

    columns = (jnp.arange(count), before, heard, forced, of_after, late)
    (state, _), (of_heard, of_forced, *of_node) = lax.scan(step, (state, recent), columns, reverse=True)
    # Parameters get their share from all steps of the block at once: long sums, and none of them inside of the march.
    _, share = eqx.filter_vjp(lambda node: _all_at_once(node, before, heard, forced), given.node)
    node = jax.tree.map(jnp.add, node, share(tuple(of_node))[0])
    if sent is not None:
        weights = weights + _of_weights(edges, sent, of_heard, first)
    if force is not None:
        forcing = jax.tree.map(jnp.add, forcing, force(of_forced)[0])
    return state, written(edges, ring, of_heard, first), node, weights, forcing


def _all_at_once(node: DelayedNode, before: Steps, heard: Heard, forced: Steps | None) -> tuple[Steps, Heard]:
    """What all steps of a block lead to, and what is sent in them."""
    after = jax.vmap(node.advance, in_axes=(0, 0, None if forced is None else 0))(before, heard, forced)
    return after, jax.vmap(node.sent)(before)


def _of_weights(
    edges: DelayedEdges, sent: Ring, of_heard: Float[Array, "count nodes rows *members"], first: Index
) -> Float[Array, " edges"]:
    """$\\bar w_{ij} = \\sum_t x_{t-d_{ij},j}\\,\\bar c_{t,i}$ over the steps of a block."""
    length = sent.shape[0] // edges.nodes
    start = edges.source * length + edges.reach + first - edges.delay
    by_node = jnp.moveaxis(of_heard, 1, 0)
    if math.prod(sent.shape[1:]) == 1:  # axes of one at the end of a stretch keep it from being read in vectors
        sent, by_node = sent.reshape(-1), by_node.reshape(by_node.shape[:2])
    shape = (of_heard.shape[0], *sent.shape[1:])
    dimensions = lax.GatherDimensionNumbers(tuple(range(1, 1 + sent.ndim)), (), (0,))
    found = lax.gather(sent, start[:, None], dimensions, shape, mode="promise_in_bounds")
    hears = by_node.at[edges.to].get(mode="promise_in_bounds")
    return jnp.sum(found * hears, axis=tuple(range(1, found.ndim)))


def _all_sent(given: Given, before: Steps) -> Ring:
    """What was sent from the beginning of the history on, entry ``node * (reach + steps) + reach + time``."""
    sent = jnp.concatenate([given.history, jax.vmap(given.node.sent)(before)])
    return jnp.moveaxis(sent, 2, 0).reshape(-1, sent.shape[1], *sent.shape[3:])


def _of_after(cotangents: tuple[Any, Any, Any], sizes: Sizes, after: Steps) -> Steps:
    """Cotangents of the states after every step."""
    of_saved, of_final, _ = cotangents
    found = jnp.zeros_like(after)
    if of_saved is not None:
        (found,) = jax.linear_transpose(lambda one: summary(sizes, one), after)(of_saved)
    return found if of_final is None else found.at[-1].add(of_final)


def _of_sent(of_past: Steps, steps: int) -> Array:
    """Cotangents of what was sent from the beginning of the history on, of which the end's history is the last part."""
    return jnp.concatenate([jnp.zeros((steps, *of_past.shape[1:]), of_past.dtype), of_past])


def _of_history(given: Given, edges: DelayedEdges, ring: Ring) -> PyTree:
    """Cotangents of what was sent before the start: blocks before the first, in which nothing was heard."""
    if edges.reach == 0:
        return jnp.zeros_like(given.history)
    padded, block = edges.padded(given.weights), edges.block
    silent = jnp.zeros((block, edges.nodes, *ring.shape[1:]), ring.dtype)

    def one(ring: Ring, first: Index) -> tuple[Ring, Array]:
        late = late_sums(edges.late_back, padded, ring, edges.ring, first, 1, block)
        if edges.within:
            recent = jnp.concatenate([silent, stretch(edges, ring, first + block, edges.within)])
            late = late + jax.vmap(lambda number: prompt_sums(edges.prompt_back, padded, recent, number, 1))(jnp.arange(block))
        return written(edges, ring, silent, first), late

    firsts = -block * np.arange(1, -(-edges.reach // block) + 1)
    _, found = lax.scan(one, ring, jnp.asarray(firsts))
    found = found[::-1]
    return found.reshape(-1, *found.shape[2:])[-edges.reach :]
