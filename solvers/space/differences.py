"""Gradient, divergence and fluxes between voxels, on the faces inside the mask."""

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from solvers.grid import VoxelGrid
from solvers.shapes import Cells
from solvers.space.diffusion import Diffusion
from solvers.space.periodic import following, open_faces, preceding

Vectors = Float[Array, "axes *batch cells"]


def face_differences(grid: VoxelGrid, field: Cells) -> Vectors:
    r"""$(u_{i+1}-u_i)/h_a$ at the face between a cell and its next neighbour, per axis; zero where one of them is inactive.

    A field on faces has its value at the cell before the face. Minus the transpose of :func:`divergence`, second order at the face.
    """
    slopes = [_open(grid, axis, field) * (following(field, grid.shape, axis) - field) / grid.spacing[axis] for axis in range(3)]
    return jnp.stack(slopes)


def gradient(grid: VoxelGrid, field: Cells) -> Vectors:
    """Mean of the one-sided differences that lie inside the mask, at cell centres.

    Second order where both neighbours are active, first order where one is missing (one-sided, still exact for linear fields),
    zero where both are. Use :func:`face_differences` with a flux of your own where conservation matters.
    """
    slopes = []
    for axis, ahead in enumerate(face_differences(grid, field)):
        sides = _open(grid, axis, field)
        count = sides + preceding(sides, grid.shape, axis)
        slopes.append((ahead + preceding(ahead, grid.shape, axis)) / jnp.maximum(count, 1))
    return jnp.stack(slopes)


def divergence(grid: VoxelGrid, fluxes: Vectors) -> Cells:
    r"""$\sum_a (F_{i+1/2}-F_{i-1/2})/h_a$ of fluxes on faces; faces at walls count as closed, so the sum over all cells is zero.

    Raises:
        ValueError: Not three fluxes, one per axis.
    """
    if fluxes.shape[0] != 3 or fluxes.shape[-1] != grid.size:
        raise ValueError(f"got fluxes of shape {fluxes.shape}; expected (3, ..., {grid.size}); do: give one per axis, zero if none")
    total = jnp.zeros_like(fluxes[0])
    for axis in range(3):
        flux = _open(grid, axis, fluxes[axis]) * fluxes[axis]
        total = total + (flux - preceding(flux, grid.shape, axis)) / grid.spacing[axis]
    return total


def to_faces(grid: VoxelGrid, vectors: Vectors) -> Vectors:
    """Each component of a vector field at cell centres, averaged onto the faces of its axis; zero at walls. Second order."""
    means = [_open(grid, axis, vectors[axis]) * (vectors[axis] + following(vectors[axis], grid.shape, axis)) / 2 for axis in range(3)]
    return jnp.stack(means)


def diffusive_flux(grid: VoxelGrid, diffusion: Diffusion, field: Cells) -> Vectors:
    r"""$-s\bar D\,(u_{i+1}-u_i)/h$ on faces, as the second-order operator takes it: minus its divergence is the operator applied.

    Raises:
        ValueError: The operator is of order four, whose flux has a wider stencil, or has periodic axes.
    """
    if diffusion.correction is not None or diffusion.wraps is not None:
        kind = "order 4" if diffusion.correction is not None else "periodic axes"
        raise ValueError(f"got a diffusion with {kind}; expected interior order 2 and no periodic axis; do: build one for the flux")
    fluxes = []
    for axis, (stride, face) in enumerate(zip(diffusion.strides, diffusion.faces, strict=True)):
        conductance = jnp.broadcast_to(diffusion.scale * face[stride:] * grid.spacing[axis], field.shape)
        fluxes.append(conductance * (field - following(field, grid.shape, axis)))
    return jnp.stack(fluxes)


def flux_between(grid: VoxelGrid, fluxes: Vectors, origin: ArrayLike, target: ArrayLike) -> Array:
    """Amount per time that flows from one region to another through the faces that they share (batch axes stay).

    Args:
        grid: The voxels.
        fluxes: Amount per area and time on faces, positive towards larger indices.
        origin: Boolean volume that the flux leaves.
        target: Boolean volume that it enters, e.g. ``labels == 3``.

    Raises:
        ValueError: Regions of another shape, or that share a voxel.
    """
    regions = []
    for region in (origin, target):
        if np.shape(region) != grid.shape:
            raise ValueError(f"got a region of shape {np.shape(region)}; expected {grid.shape}; do: resample the labels onto the grid")
        regions.append(jnp.asarray(region, bool).reshape(-1))
    if not any(isinstance(region, Tracer) for region in regions) and bool(np.any(np.logical_and(*map(np.asarray, regions)))):
        raise ValueError("got two regions that overlap; expected none in common; do: take one out of the other")
    here, there = regions
    total = jnp.zeros(fluxes.shape[1:-1], fluxes.dtype)
    for axis in range(3):
        ahead = here & following(there, grid.shape, axis)
        back = there & following(here, grid.shape, axis)
        sign = jnp.where(grid.interior_faces(axis), ahead.astype(fluxes.dtype) - back.astype(fluxes.dtype), 0)
        total = total + jnp.sum(jnp.broadcast_to(sign, fluxes[axis].shape) * fluxes[axis], axis=-1) * _area(grid, axis)
    return total


def flux_through_plane(grid: VoxelGrid, fluxes: Vectors, axis: int, index: int) -> Array:
    """Amount per time through the plane between layers ``index`` and ``index + 1`` along an axis, positive towards larger indices.

    Raises:
        ValueError: No such plane inside the box.
    """
    if axis not in (0, 1, 2) or not 0 <= index < grid.shape[axis] - 1:
        raise ValueError(f"got plane {index} of axis {axis}; expected 0 to {grid.shape[axis % 3] - 2} of axis 0, 1 or 2; do: choose one")
    layer = jnp.take(grid.volume(fluxes[axis]), index, axis=axis - 3)
    open_layer = jnp.take(grid.interior_faces(axis).reshape(grid.shape), index, axis=axis)
    return jnp.sum(jnp.where(jnp.broadcast_to(open_layer, layer.shape), layer, 0), axis=(-2, -1)) * _area(grid, axis)


def total(grid: VoxelGrid, field: Cells) -> Array:
    """The integral of a field over the active voxels (batch axes stay)."""
    return jnp.sum(jnp.where(jnp.broadcast_to(grid.mask.reshape(-1), field.shape), field, 0), axis=-1) * grid.voxel_volume


def _open(grid: VoxelGrid, axis: int, like: Array) -> Array:
    return jnp.broadcast_to(open_faces(grid, axis), like.shape).astype(like.dtype)


def _area(grid: VoxelGrid, axis: int) -> float:
    return grid.voxel_volume / grid.spacing[axis]
