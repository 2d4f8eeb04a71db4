"""Neighbours across the ends of a periodic axis, for flat fields."""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array

from solvers.grid import VoxelGrid
from solvers.shapes import Cells

Periodic3 = tuple[bool, bool, bool]
Shape3 = tuple[int, int, int]


def open_faces(grid: VoxelGrid, axis: int, periodic: bool = False) -> Array:
    """Boolean flat field: true where a cell and its next neighbour are both active, the first being next to the last if periodic."""
    if not periodic or grid.shape[axis] == 1:
        return grid.interior_faces(axis)
    return (grid.mask & jnp.roll(grid.mask, -1, axis=axis)).reshape(-1)


@partial(jax.jit, static_argnames=("shape", "axis", "periodic"), inline=True)
def following(field: Array, shape: Shape3, axis: int, periodic: bool = False) -> Array:
    """At every cell the value of the next cell along an axis; past the end the first if periodic, else a value to be masked.

    Without periodicity it is one flat shift, whose entries at the ends of the rows belong to other rows or are zero.
    """
    stride = _stride(shape, axis)
    if periodic:
        return _rolled(field, shape, axis, -1)
    return jnp.pad(field[..., stride:], [(0, 0)] * (field.ndim - 1) + [(0, stride)])


@partial(jax.jit, static_argnames=("shape", "axis", "periodic"), inline=True)
def preceding(field: Array, shape: Shape3, axis: int, periodic: bool = False) -> Array:
    """At every cell the value of the previous cell along an axis; see :func:`following`."""
    stride = _stride(shape, axis)
    if periodic:
        return _rolled(field, shape, axis, 1)
    return jnp.pad(field[..., :-stride], [(0, 0)] * (field.ndim - 1) + [(stride, 0)])


def wrap_exchange(shape: Shape3, axis: int, face: Array, field: Cells) -> Array:
    r"""Exchange between the last and the first cell of every row: adds $\pm c\,(u_{first}-u_{last})$ to these two planes.

    Args:
        shape: Voxels per axis.
        axis: The periodic axis.
        face: $c$ on the plane, the axis left out and flattened in C order.
        field: Flat field, batch axes first.

    Returns:
        A flat field that is zero outside of the two planes.
    """
    batch = field.shape[:-1]
    volume = field.reshape(*batch, *shape)
    place = len(batch) + axis
    first, last = (jnp.take(volume, end, axis=place) for end in (0, shape[axis] - 1))
    gain = jnp.broadcast_to(face.reshape([n for a, n in enumerate(shape) if a != axis]), first.shape) * (first - last)
    before = (slice(None),) * place
    change = jnp.zeros_like(volume, dtype=gain.dtype)
    change = change.at[(*before, shape[axis] - 1)].add(gain).at[(*before, 0)].add(-gain)
    return change.reshape(field.shape)


def wrap_planes(shape: Shape3, axis: int, face: Array) -> tuple[Array, Array]:
    """Values of a plane as two flat fields: at the last layer along the axis, and at the first; zero elsewhere."""
    plane = jnp.expand_dims(face.reshape([n for a, n in enumerate(shape) if a != axis]), axis)
    rest = [(0, 0)] * 3
    ends = []
    for width in ((shape[axis] - 1, 0), (0, shape[axis] - 1)):
        ends.append(jnp.pad(plane, [width if a == axis else rest[a] for a in range(3)]).reshape(-1))
    return ends[0], ends[1]


def _stride(shape: Shape3, axis: int) -> int:
    return (shape[1] * shape[2], shape[2], 1)[axis]


def _rolled(field: Array, shape: Shape3, axis: int, step: int) -> Array:
    volume = field.reshape(*field.shape[:-1], *shape)
    return jnp.roll(volume, step, axis=field.ndim - 1 + axis).reshape(field.shape)
