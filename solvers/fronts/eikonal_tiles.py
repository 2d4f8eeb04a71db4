"""Sweeps that visit only the tiles of each plane that hold active cells, for masks that are known when the program is compiled."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int

from solvers.fronts.eikonal_local import Symmetric, inverse, through_face
from solvers.fronts.eikonal_sweeps import NUMBERS, ORDERS, PAIRS, visible
from solvers.shapes import Index, Mask

TILE = (4, 8)
"""Cells of a tile along the second and third axis of an order: small enough to follow a thin wall, large enough to be worth a turn."""
WORTH = 0.7
"""From this part of the tiles on whole planes are as fast."""


class Tiles(NamedTuple):
    """Per axis of :data:`ORDERS` the tiles with active cells, plane by plane.

    Attributes:
        corners: Three arrays ``(tiles, 3)``: the plane, and the first cell along its two axes.
    """

    corners: tuple[Int[Array, "tiles 3"], ...]


def tiles_of(mask: np.ndarray) -> Tiles | None:
    """The tiles that hold active cells; None where there are so many that whole planes are as fast."""
    corners, possible = [], 0
    for order in ORDERS:
        planes = mask.transpose(order)
        planes = np.pad(planes, [(0, 0), *((0, -n % size) for n, size in zip(planes.shape[1:], TILE, strict=True))])
        count, rows, columns = planes.shape
        blocks = planes.reshape(count, rows // TILE[0], TILE[0], columns // TILE[1], TILE[1]).any(axis=(2, 4))
        possible += blocks.size
        corners.append(jnp.asarray(np.argwhere(blocks) * np.array([1, *TILE]), jnp.int32))
    if sum(len(found) for found in corners) > WORTH * possible:
        return None
    return Tiles(tuple(corners))


def round_of_tiles(w: Float[Array, "entries x y z"], mask: Mask, tiles: Tiles) -> Callable[[Array], Array]:
    """One round: both ways along every axis; a tile takes what the cells of the plane before have to offer."""
    seen = visible(mask)
    axes = []
    for order, corners in zip(ORDERS, tiles.corners, strict=True):
        place = {pair: number for number, pair in enumerate(PAIRS)}
        pairs = [place[min(order[i], order[j]), max(order[i], order[j])] for i, j in PAIRS]
        tensor = Symmetric(*(_cut(w[p], order, corners, 1.0 if p < 3 else 0.0) if p < w.shape[0] else None for p in pairs))  # pyright: ignore[reportArgumentType]
        axes.append((order, corners, (tensor, inverse(tensor), _cut(seen, order, corners, 0))))

    def one_round(times: Array) -> Array:
        for order, corners, own in axes:
            field = _rimmed(times.transpose(order), jnp.inf)
            field = lax.fori_loop(0, 2 * corners.shape[0], _turn(order, corners, own), field)
            inner = tuple(slice(1, 1 + times.shape[axis]) for axis in order)
            times = field[inner].transpose(tuple(order.index(axis) for axis in range(3)))
        return times

    return one_round


def _turn(order: tuple[int, int, int], corners: Array, own: tuple) -> Callable[[Index, Array], Array]:
    """The work on one tile: forward through all of them, then back."""
    count, (rows, columns) = corners.shape[0], TILE

    def turn(number: Index, field: Array) -> Array:
        back = number >= count
        place, side = jnp.where(back, 2 * count - 1 - number, number), jnp.where(back, 1, -1)
        corner, w, m, seen = jax.tree.map(lambda part: lax.dynamic_index_in_dim(part, place, keepdims=False), (corners, *own))
        before = lax.dynamic_slice(field, (corner[0] + 1 + side, corner[1], corner[2]), (1, rows + 2, columns + 2))[0]
        now = lax.dynamic_slice(field, tuple(corner + 1), (1, rows, columns))[0]
        near = {}
        for b in (-1, 0, 1):
            for c in (-1, 0, 1):
                bit = sum(NUMBERS) + b * NUMBERS[order[1]] + c * NUMBERS[order[2]] + side * NUMBERS[order[0]]
                open_way = (lax.shift_right_logical(seen, bit.astype(seen.dtype)) & 1) > 0
                near[b, c] = jnp.where(open_way, before[1 + b : 1 + b + rows, 1 + c : 1 + c + columns], jnp.inf)
        after = jnp.minimum(now, through_face(near, w, m, side.astype(now.dtype)).time)
        return lax.dynamic_update_slice(field, after[None], tuple(corner + 1))

    return turn


def _rimmed(planes: Array, outside: float) -> Array:
    """Planes with a rim of one, filled up to whole tiles."""
    fill = [(1, 1), *((1, 1 + -n % size) for n, size in zip(planes.shape[1:], TILE, strict=True))]
    return jnp.pad(planes, fill, constant_values=outside)


def _cut(volume: Array, order: tuple[int, int, int], corners: Array, outside: float) -> Array:
    """A volume in tiles, ``(tiles, rows, columns)``."""
    field = _rimmed(volume.transpose(order), outside)
    return jax.vmap(lambda corner: lax.dynamic_slice(field, tuple(corner + 1), (1, *TILE))[0])(corners)
