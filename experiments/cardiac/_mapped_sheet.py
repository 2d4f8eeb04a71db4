"""A sheet of tissue that is mapped: recording sites, how voxels are read at them, and lattice directions for conductivities that change."""

import math
from collections.abc import Iterable

import jax.numpy as jnp
import numpy as np
from jax import Array

from experiments.cardiac._shared import fibre
from physics import fibre_tensor
from solvers import MonotoneDiffusion, VoxelGrid


def sheet(size_mm: tuple[float, float], spacing_mm: float, thickness_mm: float = 1.0) -> VoxelGrid:
    """A layer of voxels, one thick; both lengths have to be multiples of the spacing."""
    shape = tuple(round(length / spacing_mm) for length in size_mm)
    return VoxelGrid(np.ones((*shape, 1), bool), (spacing_mm, spacing_mm, thickness_mm))


def site_lattice(size_mm: tuple[float, float], apart_mm: float, outside_mm: float = 0.0) -> np.ndarray:
    """Sites on a square lattice in the middle of the sheet, ``(sites, 2)`` in mm from its corner.

    Args:
        size_mm: Of the sheet.
        apart_mm: Between neighbours.
        outside_mm: Sites nearer to the corner than this are left out: they are under the stimulus.
    """
    axes = []
    for length in size_mm:
        count = math.floor(length / apart_mm + 1e-9)
        axes.append((np.arange(count) + 0.5) * apart_mm + (length - count * apart_mm) / 2)
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2)
    return points[np.linalg.norm(points, axis=1) >= outside_mm]


def reading(grid: VoxelGrid, sites: np.ndarray) -> Array:
    """Weights ``(sites, cells)`` of the cubics through four voxels per axis; fields go on as their mirror image beyond walls (no flux)."""
    weights = np.ones((len(sites), 1))
    for axis in (0, 1):
        n, h = grid.shape[axis], grid.spacing[axis]
        along = np.zeros((len(sites), n))
        place = sites[:, axis] / h - 0.5
        first = np.floor(place).astype(int) - 1
        for own in range(4):
            others = [first + other for other in range(4) if other != own]
            weight = np.prod([(place - other) / (first + own - other) for other in others], axis=0)
            mirrored = (first + own) % (2 * n)
            np.add.at(along, (np.arange(len(sites)), np.minimum(mirrored, 2 * n - 1 - mirrored)), weight)
        weights = (weights[:, :, None] * along[:, None, :]).reshape(len(sites), -1)
    return jnp.asarray(weights, float)


def directions_for(spacing_mm: float, angle_deg: float, ratios: Iterable[float]) -> tuple[tuple[int, int, int], ...]:
    """Lattice directions that serve uniform tissue of any of these ratios of conductivity along and across the fibres."""
    small = sheet((12 * spacing_mm, 12 * spacing_mm), spacing_mm)
    tensors = (fibre_tensor(small, 0.1, 0.1 / ratio, fibre(angle_deg)) for ratio in ratios)
    return tuple(sorted({direction for tensor in tensors for direction in MonotoneDiffusion(small, tensor).directions}))
