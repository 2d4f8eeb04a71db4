"""Sparse sums over late neighbours, laid out so that many steps of a sum are read at once."""

import math

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.core import Tracer
from jaxtyping import Array, Float, Int

from solvers.shapes import Index

LONGEST_BLOCK = 32  # steps: beyond, what a block reads leaves the first cache
SHARE_PROMPT = 0.08  # of the edges that may be shorter than a block: these are read step by step
WIDE = 8  # numbers that every step of a node has in the ring: from there on edge after edge is added, so that members fill vectors
BINS = 4  # of nodes by their number of late edges, each padded to its own fullest node; of the few prompt ones a bin more costs more

Ring = Float[Array, "entries *each"]
Window = Float[Array, "nodes count *each"]


class Gathering(eqx.Module):
    """Edges by the node that sums them, padded to the fullest node of each bin.

    Attributes:
        read: Nodes that are read, ``(nodes of the bin, most edges)``.
        delay: Steps.
        edge: Numbers of the edges; one past the last for padding.
        place: Where a node's row is among those of all bins.
    """

    read: tuple[Int[Array, "_ _"], ...]
    delay: tuple[Int[Array, "_ _"], ...]
    edge: tuple[Int[Array, "_ _"], ...]
    place: Int[Array, " nodes"]


class DelayedEdges(eqx.Module):
    r"""$c_i(t) = \sum_j w_{ij}\, x_j(t - d_{ij})$ over the edges of a network, delays $d$ in whole steps; from :func:`delayed_edges`.

    Edges with $d\ge$ ``block`` (late) need nothing of the block of steps that is being computed, so that all its sums are read at once,
    each from one stretch of memory; the others (prompt) are read step by step.

    Attributes:
        weights: Of the edges, in the order of ``to``; gradients are taken with respect to these.
        to: Node that hears.
        source: Node that is heard.
        delay: Steps.
        late: Late edges by the node that hears; ``late_back`` by the node that is heard.
        prompt: Prompt edges by the node that hears; ``prompt_back`` by the node that is heard.
        nodes: Number of nodes.
        block: Steps per block.
        reach: Longest delay.
        within: Longest delay of a prompt edge.
    """

    weights: Float[Array, " edges"]
    to: Int[Array, " edges"]
    source: Int[Array, " edges"]
    delay: Int[Array, " edges"]
    late: Gathering
    late_back: Gathering
    prompt: Gathering
    prompt_back: Gathering
    nodes: int = eqx.field(static=True)
    block: int = eqx.field(static=True)
    reach: int = eqx.field(static=True)
    within: int = eqx.field(static=True)

    @property
    def ring(self) -> int:
        """Steps that a ring of past values holds: a multiple of the block."""
        return -(-(self.reach + self.block) // self.block) * self.block

    def total_weight(self) -> Float[Array, " nodes"]:
        r"""$\sum_j w_{ij}$, for couplings by differences."""
        return jnp.zeros(self.nodes, self.weights.dtype).at[self.to].add(self.weights)

    def padded(self, weights: Float[Array, " edges"]) -> Float[Array, " edges_1"]:
        """Weights of the edges, and a zero for padding."""
        return jnp.concatenate([weights, jnp.zeros(1, weights.dtype)])


def delayed_edges(
    weights: Float[Array, "nodes nodes"] | np.ndarray,
    delays: np.ndarray,
    pattern: np.ndarray | None = None,
    block: int | None = None,
) -> DelayedEdges:
    """The edges of a network.

    Args:
        weights: ``weights[to, from]``; may be traced where ``pattern`` is given.
        delays: Whole steps, ``delays[to, from]``, known on the host; only those of edges matter.
        pattern: True where there is an edge; by default where weights are not zero.
        block: Steps per block; by default the longest, up to 32, that at most 8 % of the edges are shorter than. Zero delays are not
            counted: they are read step by step in any case.

    Raises:
        ValueError: Shapes differ, delays are negative or no whole numbers, weights are traced without a pattern, or a block is below 1.
    """
    if pattern is None:
        if isinstance(weights, Tracer):
            raise ValueError("got traced weights and no pattern; expected to know which edges there are; do: give pattern")
        there = np.asarray(weights) != 0
    else:
        there = np.asarray(pattern, bool)
    delays = np.asarray(delays)
    if not (weights.ndim == 2 and weights.shape[0] == weights.shape[1] and there.shape == delays.shape == weights.shape):
        shapes = f"weights {weights.shape}, delays {delays.shape}, pattern {there.shape}"
        raise ValueError(f"got {shapes}; expected three alike, as many rows as columns; do: give [to, from] matrices of all nodes")
    to, source = np.nonzero(there)
    steps = delays[to, source]
    if steps.size and (not np.isfinite(steps).all() or (steps < 0).any() or (steps != np.rint(steps)).any()):
        raise ValueError("got delays that are negative or no whole numbers; expected steps; do: round lengths over speed and step")
    steps = steps.astype(np.int64)
    block = _block(steps) if block is None else block
    if block < 1:
        raise ValueError(f"got a block of {block} steps; expected 1 or more; do: leave it out")
    nodes, late = len(weights), steps >= block
    within = int(steps[~late].max(initial=0))

    def gathering(hears: np.ndarray, heard: np.ndarray, chosen: np.ndarray, bins: int) -> Gathering:
        return _gathering(nodes, hears[chosen], heard[chosen], steps[chosen], np.flatnonzero(chosen), len(to), bins)

    return DelayedEdges(
        jnp.asarray(weights)[to, source],
        _integers(to),
        _integers(source),
        _integers(steps),
        gathering(to, source, late, BINS),
        gathering(source, to, late, BINS),
        gathering(to, source, ~late, 1),
        gathering(source, to, ~late, 1),
        nodes,
        block,
        int(steps.max(initial=0)),
        within,
    )


def late_sums(
    gathering: Gathering, padded: Float[Array, " edges_1"], ring: Ring, length: int, first: Index, sign: int, count: int
) -> Float[Array, "count rows nodes *members"]:
    """The sums of ``count`` steps, each edge's from one stretch of the doubled ring: from time ``first + sign * delay`` on."""
    each = ring.shape[1:]
    if math.prod(each) == 1:  # axes of one at the end of a stretch keep it from being read in vectors
        ring = ring.reshape(-1)
    by_node = _late_by_node(gathering, padded, ring, length, first, sign, count)
    return jnp.moveaxis(by_node.reshape(*by_node.shape[:2], *each), (1, 2), (0, 1))


def _late_by_node(
    gathering: Gathering, padded: Float[Array, " edges_1"], ring: Ring, length: int, first: Index, sign: int, count: int
) -> Window:
    wide = math.prod(ring.shape[1:]) >= WIDE
    offset = tuple(range(1 if wide else 2, ring.ndim + (1 if wide else 2)))
    dimensions = lax.GatherDimensionNumbers(offset_dims=offset, collapsed_slice_dims=(), start_index_map=(0,))

    def stretches(start: Int[Array, "*edges"]) -> Array:
        return lax.gather(ring, start[..., None], dimensions, (count, *ring.shape[1:]), mode="promise_in_bounds")

    sums = []
    for read, delay, edge in zip(gathering.read, gathering.delay, gathering.edge, strict=True):
        start, weights = read * (2 * length) + jnp.remainder(first + sign * delay, length), padded[edge]
        if wide:
            sums.append(sum(_beside(weights[:, k], found := stretches(start[:, k])) * found for k in range(read.shape[1])))
        else:
            found = stretches(start)
            sums.append(jnp.sum(_beside(weights, found) * found, axis=1))
    return _in_place(sums, gathering)


def prompt_sums(
    gathering: Gathering, padded: Float[Array, " edges_1"], recent: Float[Array, "times nodes rows *members"], time: Index, sign: int
) -> Float[Array, "rows nodes *members"]:
    """The sums of one step over the prompt edges, at index ``time`` of the recent values."""
    sums = []
    for read, delay, edge in zip(gathering.read, gathering.delay, gathering.edge, strict=True):
        found = recent.at[time + sign * delay, read].get(mode="promise_in_bounds")
        sums.append(jnp.sum(_beside(padded[edge], found) * found, axis=1))
    return jnp.moveaxis(_in_place(sums, gathering), 0, 1)


def _in_place(sums: list[Array], gathering: Gathering) -> Array:
    return sums[0] if len(sums) == 1 else jnp.concatenate(sums)[gathering.place]


def _beside(weights: Float[Array, "..."], found: Array) -> Array:
    return weights.reshape(weights.shape + (1,) * (found.ndim - weights.ndim)).astype(found.dtype)


def _block(steps: np.ndarray) -> int:
    positive = np.sort(steps[steps > 0])
    if not positive.size:
        return LONGEST_BLOCK
    return int(np.clip(positive[int(SHARE_PROMPT * len(positive))], 1, LONGEST_BLOCK))


def _gathering(
    nodes: int, hears: np.ndarray, heard: np.ndarray, steps: np.ndarray, numbers: np.ndarray, padding: int, bins: int
) -> Gathering:
    counts = np.bincount(hears, minlength=nodes)
    order = np.argsort(-counts, kind="stable") if bins > 1 else np.arange(nodes)
    read, delay, edge = [], [], []
    by_node = np.argsort(hears, kind="stable")
    ends = np.cumsum(counts)
    for members in np.array_split(order, min(bins, nodes)):
        most = max(int(counts[members].max()), 1)
        rows = np.zeros((3, len(members), most), np.int64)
        rows[1] = steps.min(initial=0) if steps.size else 0  # padding reads what is there
        rows[2] = padding
        for row, node in enumerate(members):
            mine = by_node[ends[node] - counts[node] : ends[node]]
            rows[:, row, : len(mine)] = heard[mine], steps[mine], numbers[mine]
        for found, part in zip((read, delay, edge), rows, strict=True):
            found.append(_integers(part))
    return Gathering(tuple(read), tuple(delay), tuple(edge), _integers(np.argsort(order)))


def _integers(values: np.ndarray) -> Int[Array, "..."]:
    return jnp.asarray(values, jnp.int32)
