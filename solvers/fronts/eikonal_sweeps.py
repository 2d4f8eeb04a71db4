"""The fixed point of the local arrival times: sweeps of planes for 26 neighbours, all cells at once for 6, and its linearisation."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from solvers.fronts.eikonal_local import Near, Symmetric, Update, godunov, inverse, through_face
from solvers.shapes import Index, Mask

ORDERS = ((0, 1, 2), (1, 0, 2), (2, 0, 1))
"""For each axis that is swept: it, and the two axes of its planes."""
PAIRS = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))
"""Entries of a tensor in the order in which a stack holds them."""
NUMBERS = (9, 3, 1)
"""Number of a neighbour's bit: these times its offsets plus one."""
ITERATIONS = 16
"""Updates of all cells between two looks at convergence, for 6 neighbours."""


class Links(NamedTuple):
    """The derivative of each cell's time: by the times of three neighbours, and by the entries of its own tensor.

    Attributes:
        neighbour: Flat indices, the cell's own where there is no neighbour.
        weight: Not negative; they sum to one, or to zero in cells that start by themselves or are never reached.
        by_tensor: One row per entry of the tensor.
        by_start: One where the cell starts by itself, else zero.
    """

    neighbour: Int[Array, "3 cells"]
    weight: Float[Array, "3 cells"]
    by_tensor: Float[Array, "entries cells"]
    by_start: Float[Array, " cells"]


def fixed_point(step: Callable[[Array], Array], start: Float[Array, "x y z"], rounds: int) -> tuple:
    """Times that no update lowers, the number of rounds, and whether it got there."""
    tolerance = 4 * jnp.finfo(start.dtype).eps

    def going(carry: tuple[Array, Index, Array]) -> Array:
        return carry[2] & (carry[1] < rounds)

    def body(carry: tuple[Array, Index, Array]) -> tuple[Array, Index, Array]:
        before, count, _ = carry
        after = step(before)
        scale = jnp.max(jnp.where(jnp.isfinite(after), jnp.abs(after), 0))
        fell = (after < before - tolerance * scale) | (jnp.isinf(before) & jnp.isfinite(after))
        return after, count + 1, fell.any()

    times, count, moving = lax.while_loop(going, body, (start, jnp.asarray(0), jnp.asarray(True)))
    return times, count, ~moving


def round_of_sweeps(w: Array, mask: Mask):  # noqa: ANN201 - a closure
    """Both ways along every axis; a plane takes what its nine neighbours in the plane before have to offer."""
    bits = visible(mask)
    axes = [(order, *_along(w, bits, order)) for order in ORDERS]

    def one_round(times: Array) -> Array:
        for order, tensor, metric, seen in axes:
            width, count = times.shape[order[2]] + 2, times.shape[order[0]]

            def plane(
                number: Index, carry: tuple[Array, Array], own: tuple = (tensor, metric, seen), order: tuple = order, width: int = width
            ) -> tuple[Array, Array]:
                field, before = carry
                count = field.shape[0]
                back = number >= count
                place, side = jnp.where(back, 2 * count - 1 - number, number), jnp.where(back, 1, -1)
                before = jnp.where(number == count, jnp.inf, before)
                w, m, seen = _at(own, place)
                near = _near(before, seen, side, order, width)
                after = jnp.minimum(field[place], through_face(near, w, m, side.astype(field.dtype)).time)
                return field.at[place].set(after), after

            field = _planes(times, order, jnp.inf)
            field, _ = lax.fori_loop(0, 2 * count, plane, (field, jnp.full_like(field[0], jnp.inf)))
            times = _volume(field, order, times.shape)
        return times

    return one_round


def _along(w: Array, bits: Array, order: tuple[int, int, int]) -> tuple[Symmetric, Symmetric, Array]:
    """Tensor, inverse and what is seen, in planes across the first axis of the order."""
    tensor = jax.tree.map(lambda entry: _planes(entry, order, 1.0), _permuted(w, order))
    return tensor, inverse(tensor), _planes(bits, order, 0)


def _at(planes: tuple, place: Index) -> tuple:
    """One plane of each."""
    return jax.tree.map(lambda part: lax.dynamic_index_in_dim(part, place, keepdims=False), planes)


def round_of_all_cells(w: Array, mask: Mask):  # noqa: ANN201 - a closure
    """Updates all cells at once, sixteen times."""
    shape = mask.shape
    padded = tuple(n + 2 for n in shape)
    strides = (padded[1] * padded[2], padded[2], 1)
    wx, wy, wz = (jnp.pad(entry, 1, constant_values=1).reshape(-1) for entry in w[:3])
    active = jnp.pad(mask, 1).reshape(-1)

    def update(_: Index, times: Array) -> Array:
        around = jnp.pad(times, strides[0], constant_values=jnp.inf)
        size, reach = times.shape[0], strides[0]
        x, y, z = (jnp.minimum(around[reach - s : reach - s + size], around[reach + s : reach + s + size]) for s in strides)
        return jnp.minimum(times, jnp.where(active, godunov((x, y, z), (wx, wy, wz)), jnp.inf))

    def one_round(times: Array) -> Array:
        flat = jnp.pad(times, 1, constant_values=jnp.inf).reshape(-1)
        flat = lax.fori_loop(0, ITERATIONS, update, flat)
        return flat.reshape(padded)[1:-1, 1:-1, 1:-1]

    return one_round


def links(
    w: Float[Array, "entries x y z"], start: Float[Array, "x y z"], times: Float[Array, "x y z"], mask: Mask, neighbours: int
) -> Links:
    """The linearisation of the update at its fixed point, in closed form: the minimum's weights, and by the envelope theorem."""
    found, ray = _rays(w, times, mask) if neighbours == 26 else _upwind(w, times, mask)
    own = start <= found
    moves = jnp.isfinite(found) & ~own & mask
    return _links_of_rays(w, ray, moves, own & mask) if neighbours == 26 else _links_of_gaps(w, ray, moves, own & mask)


def _rays(w: Array, times: Array, mask: Mask) -> tuple[Array, tuple[Array, Array, Array]]:
    """The earliest arrival, and the point of the cube of neighbours where its ray comes from."""
    bits = visible(mask)
    best = jnp.full_like(times, jnp.inf)
    zero = jnp.zeros_like(times)
    ray = (zero, zero, zero)
    for order in ORDERS:
        own = _along(w, bits, order)
        field = _planes(times, order, jnp.inf)
        width, count = times.shape[order[2]] + 2, field.shape[0]
        rim = jnp.pad(field, ((1, 1), (0, 0)), constant_values=jnp.inf)

        def plane(number: Index, own: tuple = own, rim: Array = rim, order: tuple = order, width: int = width) -> Update:
            count = rim.shape[0] - 2
            place, side = number % count, jnp.where(number < count, -1, 1)
            w, m, seen = _at(own, place)
            return through_face(_near(rim[1 + place + side], seen, side, order, width), w, m, side.astype(rim.dtype))

        both = lax.map(plane, jnp.arange(2 * count))
        for number, side in enumerate((-1, 1)):
            time, b, c = (_volume(part[number * count : (number + 1) * count], order, times.shape) for part in both)
            point = {order[0]: jnp.full_like(time, side), order[1]: b, order[2]: c}
            better = time < best
            best = jnp.where(better, time, best)
            x, y, z = (jnp.where(better, point[axis], old) for axis, old in enumerate(ray))
            ray = (x, y, z)
    return best, ray


def _links_of_rays(w: Array, ray: tuple[Array, Array, Array], moves: Array, own: Array) -> Links:
    r"""The point $p$ lies in one triangle: its three sorted coordinates are the weights. $\partial T/\partial W = -(Mp)(Mp)^T/2|p|_M$."""
    shape = ray[0].shape
    strides = (shape[1] * shape[2], shape[2], 1)
    size = [jnp.abs(part) for part in ray]
    offset = [jnp.where(part < 0, -stride, stride) for part, stride in zip(ray, strides, strict=True)]
    for i, j in ((0, 1), (1, 2), (0, 1)):
        swap = size[j] > size[i]
        size[i], size[j] = jnp.where(swap, size[j], size[i]), jnp.where(swap, size[i], size[j])
        offset[i], offset[j] = jnp.where(swap, offset[j], offset[i]), jnp.where(swap, offset[i], offset[j])
    weight = jnp.stack([size[0] - size[1], size[1] - size[2], size[2]])
    index = jnp.arange(ray[0].size).reshape(shape)
    reach = jnp.stack([offset[0], offset[0] + offset[1], offset[0] + offset[1] + offset[2]])
    weight = jnp.where(moves[None], weight, 0).reshape(3, -1)
    neighbour = jnp.where(weight > 0, (index[None] + reach).reshape(3, -1), index.reshape(1, -1))

    m = inverse(_permuted(w, ORDERS[0]))
    x, y, z = ray
    if m.ab is None or m.ac is None or m.bc is None:
        slow = (m.aa * x, m.bb * y, m.cc * z)
    else:
        slow = (m.aa * x + m.ab * y + m.ac * z, m.ab * x + m.bb * y + m.bc * z, m.ac * x + m.bc * y + m.cc * z)
    length = jnp.sqrt(sum(s * p for s, p in zip(slow[1:], ray[1:], strict=True)) + slow[0] * x)
    factor = jnp.where(moves, -0.5 / jnp.where(moves, length, 1), 0)
    entries = PAIRS[: w.shape[0]]
    by_tensor = jnp.stack([(1 if a == b else 2) * factor * slow[a] * slow[b] for a, b in entries])
    return Links(neighbour, weight, by_tensor.reshape(len(entries), -1), own.astype(x.dtype).reshape(-1))


def _upwind(w: Array, times: Array, mask: Mask) -> tuple[Array, tuple[Array, Array, Array]]:
    """The Godunov time, and per axis how much later it is than the earlier neighbour, with the sign of that neighbour's side."""
    lowest, side = [], []
    for axis in range(3):
        pad = [(1, 1) if a == axis else (0, 0) for a in range(3)]
        around = jnp.pad(times, pad, constant_values=jnp.inf)
        behind, ahead = (lax.slice_in_dim(around, s, s + times.shape[axis], axis=axis) for s in (0, 2))
        lowest.append(jnp.minimum(behind, ahead))
        side.append(jnp.where(ahead < behind, 1, -1))
    found = jnp.where(mask, godunov((lowest[0], lowest[1], lowest[2]), (w[0], w[1], w[2])), jnp.inf)
    gaps = [jnp.where(jnp.isfinite(found) & (low < found), found - low, 0) for low in lowest]
    x, y, z = (s * jnp.where(jnp.isfinite(gap), gap, 0) for s, gap in zip(side, gaps, strict=True))
    return found, (x, y, z)


def _links_of_gaps(w: Array, gaps: tuple[Array, Array, Array], moves: Array, own: Array) -> Links:
    r"""From $\sum W_a g_a^2 = 1$, $g_a = T-m_a$: weights $W_a g_a/\sum W g$ and $\partial T/\partial W_a = -g_a^2/2\sum W g$."""
    shape = gaps[0].shape
    strides = (shape[1] * shape[2], shape[2], 1)
    parts = jnp.stack([entry * jnp.abs(gap) for entry, gap in zip(w[:3], gaps, strict=True)])
    total = jnp.where(moves, parts.sum(axis=0), 1)
    weight = jnp.where(moves[None], parts / total[None], 0).reshape(3, -1)
    index = jnp.arange(gaps[0].size).reshape(shape)
    reach = jnp.stack([jnp.where(gap < 0, -stride, stride) for gap, stride in zip(gaps, strides, strict=True)])
    neighbour = jnp.where(weight > 0, (index[None] + reach).reshape(3, -1), index.reshape(1, -1))
    by_tensor = jnp.stack([jnp.where(moves, -0.5 * gap * gap / total, 0) for gap in gaps]).reshape(3, -1)
    return Links(neighbour, weight, by_tensor, own.astype(gaps[0].dtype).reshape(-1))


def _permuted(w: Array, order: tuple[int, int, int]) -> Symmetric:
    """The stacked entries as seen along the axes in this order."""
    place = {pair: number for number, pair in enumerate(PAIRS)}
    pairs = [tuple(sorted((order[i], order[j]))) for i, j in PAIRS]
    return Symmetric(*(w[place[pair]] if place[pair] < w.shape[0] else None for pair in pairs))  # pyright: ignore[reportArgumentType]


def _planes(volume: Array, order: tuple[int, int, int], outside: float) -> Array:
    """Planes across the first axis of the order, each with a rim of one and then flat."""
    planes = jnp.pad(volume.transpose(order), ((0, 0), (1, 1), (1, 1)), constant_values=outside)
    return planes.reshape(planes.shape[0], -1)


def _volume(planes: Array, order: tuple[int, int, int], shape: tuple[int, ...]) -> Array:
    a, b, c = order
    inner = planes.reshape(shape[a], shape[b] + 2, shape[c] + 2)[:, 1:-1, 1:-1]
    return inner.transpose(tuple(order.index(axis) for axis in range(3)))


def _near(before: Array, seen: Array, side: Index, order: tuple[int, ...], width: int) -> Near:
    """The nine neighbours of every cell in the plane before; infinite where a wall is between."""
    around = jnp.pad(before, width + 1, constant_values=jnp.inf)
    found = {}
    for b in (-1, 0, 1):
        for c in (-1, 0, 1):
            offset = [0, 0, 0]
            offset[order[1]], offset[order[2]] = b, c
            bit = _number(tuple(offset)) + side * NUMBERS[order[0]]
            first = width + 1 + b * width + c
            open_way = (lax.shift_right_logical(seen, bit.astype(seen.dtype)) & 1) > 0
            found[b, c] = jnp.where(open_way, around[first : first + before.shape[0]], jnp.inf)
    return found


def _number(offset: tuple[int, ...]) -> int:
    return sum(number * (o + 1) for number, o in zip(NUMBERS, offset, strict=True))


def visible(mask: Mask) -> Int[Array, "x y z"]:
    """Bit by bit, which of the neighbours a cell sees: those that it reaches over faces inside the block of cells between them."""
    around = jnp.pad(mask, 1)

    def at(offset: tuple[int, int, int]) -> Array:
        return lax.slice(around, [1 + o for o in offset], [1 + o + n for o, n in zip(offset, mask.shape, strict=True)])

    seen: dict[tuple[int, ...], Array] = {(0, 0, 0): mask}
    offsets = [(x, y, z) for x in (-1, 0, 1) for y in (-1, 0, 1) for z in (-1, 0, 1) if (x, y, z) != (0, 0, 0)]
    bits = jnp.zeros(mask.shape, jnp.int32)
    for offset in sorted(offsets, key=lambda o: sum(map(abs, o))):
        steps = [tuple(0 if a == axis else o for a, o in enumerate(offset)) for axis in range(3) if offset[axis]]
        open_way = sum((seen[step].astype(jnp.int32) for step in steps[1:]), seen[steps[0]].astype(jnp.int32)) > 0
        seen[offset] = at(offset) & open_way
        bits = bits | jnp.where(seen[offset], 1 << _number(offset), 0).astype(jnp.int32)
    return bits
