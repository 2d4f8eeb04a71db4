"""Volume, surface and point sources as fields: amount per time and volume in every voxel."""

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from solvers.grid import VoxelGrid
from solvers.shapes import Cells, Scalar, Volume
from solvers.space.walls import boundary_faces

Position = Float[Array, "3"]


def point_source(grid: VoxelGrid, position: ArrayLike, rate: ArrayLike = 1.0) -> Cells:
    r"""A point source spread over the nearest active voxels: $q_i = s\,w_i / (V \sum_j w_j)$ with trilinear weights.

    The weights are those of the eight voxels whose centres surround the point. Inactive ones get nothing and their share goes
    to the others, so the integral is the rate exactly; the centre of mass is the point exactly where all eight are active. A point
    with no active voxel around it goes to the nearest active one. Differentiable in the position almost everywhere: the weights
    have kinks where the point passes a voxel's centre, as the trilinear hat function has. ``vmap`` over positions for many.

    Args:
        grid: The voxels.
        position: From the centre of voxel (0, 0, 0), in the unit of the spacing.
        rate: $s$, amount per time.

    Raises:
        ValueError: A position that is not three finite numbers, or a rate that is not finite.
    """
    position = jnp.asarray(position)
    position = position if jnp.issubdtype(position.dtype, jnp.floating) else position.astype(jnp.result_type(float))
    finite = isinstance(position, Tracer) or bool(np.isfinite(np.asarray(position)).all())
    if position.shape != (3,) or not finite:
        raise ValueError(f"got a position {position}; expected three finite numbers; do: vmap over the rows of many positions")
    hats, distances = [], []
    for axis, (n, h) in enumerate(zip(grid.shape, grid.spacing, strict=True)):
        offset = jnp.arange(n, dtype=position.dtype) - position[axis] / h
        hats.append(jnp.maximum(1 - jnp.abs(offset), 0))
        distances.append((jnp.asarray(h, position.dtype) * offset) ** 2)
    active = grid.mask.reshape(-1)
    weights = jnp.where(active, _outer(*hats), 0)
    covered = jnp.sum(weights)
    squares = (distances[0][:, None, None] + jnp.zeros(grid.shape, position.dtype)) + (
        jnp.broadcast_to(distances[1][None, :, None], grid.shape) + jnp.broadcast_to(distances[2][None, None, :], grid.shape)
    )
    nearest = jnp.argmin(jnp.where(active, squares.reshape(-1), jnp.asarray(jnp.inf, position.dtype)))
    alone = (jnp.arange(grid.size) == nearest).astype(position.dtype)
    # Less than a millionth of the point's weight on active voxels counts as none: a share of round-off would be noise.
    enough = covered > 1e-6
    share = jnp.where(enough, weights / jnp.where(enough, covered, 1), alone)
    return _finite(rate, "a rate").astype(position.dtype) * share / grid.voxel_volume


def volume_source(grid: VoxelGrid, weights: Volume, rate: ArrayLike = 1.0) -> Cells:
    """A total rate spread over the active voxels in proportion to weights (a region as 0 and 1, or fractions of voxels).

    Raises:
        ValueError: A rate that is not finite; weights of another shape, negative or not finite, or that are zero in every active voxel.
    """
    if weights.shape != grid.shape:
        raise ValueError(f"got weights of shape {weights.shape}; expected {grid.shape}; do: resample them onto the grid")
    if not isinstance(weights, Tracer) and not isinstance(grid.mask, Tracer):
        active = np.asarray(weights)[np.asarray(grid.mask)]
        if not np.isfinite(active).all() or (active < 0).any() or not active.any():
            raise ValueError(
                f"got weights between {active.min():g} and {active.max():g} in the active voxels; expected finite ones, none negative, "
                "not all zero; do: check the region"
            )
    share = grid.cells(weights)
    return _finite(rate, "a rate").astype(share.dtype) * share / (jnp.sum(share) * grid.voxel_volume)


def surface_source(grid: VoxelGrid, region: ArrayLike, flux: ArrayLike = 1.0) -> Cells:
    """A flux (amount per area and time) into the active voxels through all their faces to a region of inactive voxels.

    The same as a Neumann wall there (:class:`solvers.space.walls.Neumann`), whose docstring says what a staircase does to the area;
    :func:`surface_area` gives the area that counts. ``region`` is boolean ``(x, y, z)``; voxels of it that are active are ignored.

    Raises:
        ValueError: A flux that is not finite, a region of another shape or that touches no active voxel.
    """
    density = _faces_per_length(grid, region)
    value = _finite(flux, "a flux")
    value = value if jnp.issubdtype(value.dtype, jnp.floating) else value.astype(density.dtype)
    return (jnp.broadcast_to(value, grid.shape) * density).reshape(-1)


def surface_area(grid: VoxelGrid, region: ArrayLike) -> Scalar:
    """Area of the voxel faces between the active voxels and a region of inactive ones."""
    return jnp.sum(_faces_per_length(grid, region)) * grid.voxel_volume


def _faces_per_length(grid: VoxelGrid, region: ArrayLike) -> Array:
    """Per voxel the area of its faces to the region over its volume."""
    if np.shape(region) != grid.shape:
        raise ValueError(f"got a region of shape {np.shape(region)}; expected {grid.shape}; do: resample it onto the grid")
    faces = [(boundary_faces(grid, axis, sign, region), grid.spacing[axis]) for axis in range(3) for sign in (-1, 1)]
    if not any(isinstance(part, Tracer) for part, _ in faces) and not any(np.asarray(part).any() for part, _ in faces):
        raise ValueError("got a region that touches no active voxel; expected inactive voxels beside the mask; do: check the labels")
    return sum((jnp.asarray(part, jnp.result_type(float)) / h for part, h in faces[1:]), jnp.asarray(faces[0][0], float) / faces[0][1])


def _outer(x: Array, y: Array, z: Array) -> Array:
    return (x[:, None, None] * (y[:, None] * z[None, :])[None]).reshape(-1)


def _finite(values: ArrayLike, name: str) -> Array:
    """As an array; traced values can't be looked at and pass."""
    if not isinstance(values, Tracer) and not np.isfinite(np.asarray(values)).all():
        raise ValueError(f"got {name} that is not finite; expected numbers; do: repair the data")
    return jnp.asarray(values)
