"""Conservative resampling between axis-aligned voxel grids.

A voxel holds the mean of a field over its box. The mean over a box of another grid is the overlap-weighted
sum, and because boxes are products of intervals the weights separate: one small matrix per axis,

    W[i, j] = |target interval i  intersected with  source interval j| / |target interval i|,      v = (Wx x
        Wy x Wz) u.

The integral over the target's boxes is kept to round-off, a constant stays that constant, and no value leaves
the range of the input.
"""

import numpy as np

from twinsim.errors import InputError

MASK_FRACTION = 0.5
"""A voxel of a resampled mask is set when at least this fraction of its box is."""

_COUNT_TOLERANCE = 1e-6  # of one voxel: 10 voxels of 0.3 mm are one of 3 mm in spite of round-off
_AXIS_TOLERANCE = 1e-3  # of one voxel length: how far an axis may deviate and still count as aligned
_FRACTION_TOLERANCE = 1e-4  # affines from NIfTI carry float32 round-off, about 1e-5 of a voxel


def spacing_of(affine: np.ndarray) -> tuple[float, float, float]:
    """Voxel edge lengths in mm: the norms of the affine's columns."""
    lengths = np.linalg.norm(np.asarray(affine, float)[:3, :3], axis=0)
    return float(lengths[0]), float(lengths[1]), float(lengths[2])


def spacing_triple(spacing_mm: float | tuple[float, ...]) -> tuple[float, float, float]:
    """One spacing per axis from a number or three numbers, in mm; refused unless finite and positive."""
    values = np.atleast_1d(np.asarray(spacing_mm, float))
    if values.shape not in ((1,), (3,)) or not np.all(np.isfinite(values) & (values > 0)):
        raise InputError(
            f"a spacing of {spacing_mm} mm",
            "one positive number, or three",
            "give a spacing such as 2 or (1, 1, 3)",
        )
    full = np.broadcast_to(values, (3,))
    return float(full[0]), float(full[1]), float(full[2])


def resampled_grid(
    shape: tuple[int, ...], affine: np.ndarray, spacing_mm: float | tuple[float, ...]
) -> tuple[tuple[int, int, int], np.ndarray]:
    """Shape and affine of the grid with another spacing that shares the axes and the outer corner of voxel
    (0, 0, 0).

    It covers the old grid; its last voxels may reach beyond.
    """
    new = np.array(spacing_triple(spacing_mm))
    old = np.array(spacing_of(affine))
    counts = np.ceil(np.array(shape) * old / new - _COUNT_TOLERANCE).astype(int).clip(1)
    result = np.array(affine, np.float64)
    corner = result[:3, 3] - 0.5 * result[:3, :3].sum(1)
    result[:3, :3] *= new / old
    result[:3, 3] = corner + 0.5 * result[:3, :3].sum(1)
    return (int(counts[0]), int(counts[1]), int(counts[2])), result


def overlap_weights(source_count: int, edges: np.ndarray, outside: float | None) -> np.ndarray:
    """Weights [target, source] of the mean over target intervals; source interval j is [j, j + 1] and
    ``edges`` are in its units.

    Rows are divided by the whole length of the target interval when something is known of the outside
    (``outside`` is a number), else by the covered length; a row without any overlap is zero.
    """
    low, high = np.minimum(edges[:-1], edges[1:]), np.maximum(edges[:-1], edges[1:])
    j = np.arange(source_count)
    overlap = np.minimum(high[:, None], j + 1.0) - np.maximum(low[:, None], j)
    # Round-off slivers at coinciding edges would pull in a neighbour with a weight of 1e-16.
    overlap = np.where(overlap > 1e-9, overlap, 0.0)
    length = (high - low) if outside is not None else overlap.sum(1)
    return overlap / np.where(length > 0, length, 1.0)[:, None]


def resample_onto(
    array: np.ndarray,
    affine: np.ndarray,
    shape: tuple[int, ...],
    target_affine: np.ndarray,
    outside: float | None = None,
) -> np.ndarray:
    """Means of a voxel field over the voxels of another grid whose axes are parallel to its own (in any order
    and direction).

    Args:
        array: Field [x, y, z]; booleans become fractions.
        affine: Its affine (index -> mm).
        shape: Shape of the target grid.
        target_affine: Affine of the target grid.
        outside: Value of the field outside of its grid; a number keeps the integral also where target voxels
            stick out. ``None``: they hold the mean of their covered part (zero where nothing is covered).

    Returns:
        Field on the target grid, float64 for float64 input, else float32.

    Raises:
        InputError: The axes of the two grids are not parallel.
    """
    relation = np.linalg.inv(np.asarray(affine, float)) @ np.asarray(target_affine, float)
    linear = relation[:3, :3]
    source_axis = np.abs(linear).argmax(0)  # for each target axis
    step = linear[source_axis, range(3)]
    rest = linear.copy()
    rest[source_axis, range(3)] = 0.0
    if sorted(source_axis) != [0, 1, 2] or np.any(np.abs(rest).max(0) > _AXIS_TOLERANCE * np.abs(step)):
        raise InputError(
            "two voxel grids that are rotated against each other",
            "voxel axes parallel to each other",
            "reslice one of the volumes to the axes of the other",
        )
    dtype = np.float64 if array.dtype == np.float64 else np.float32
    shift = 0.0 if outside is None else outside
    result = np.transpose(np.asarray(array, dtype), source_axis) - dtype(shift)
    for axis in range(3):
        start = relation[source_axis[axis], 3] + 0.5 - 0.5 * step[axis]  # outer edge, in source voxels counted from an edge
        edges = start + step[axis] * np.arange(shape[axis] + 1)
        weights = overlap_weights(array.shape[source_axis[axis]], edges, outside).astype(dtype)
        result = np.moveaxis(np.tensordot(weights, result, axes=(1, axis)), 0, axis)
    return np.ascontiguousarray(result + dtype(shift))


def resample_conservative(
    array: np.ndarray, affine: np.ndarray, spacing_mm: float | tuple[float, ...], outside: float | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Means over voxels of another spacing; the grids share the outer corner of voxel (0, 0, 0).

    Args:
        array: Field [x, y, z].
        affine: Its affine.
        spacing_mm: New spacing, one number or three.
        outside: As in `resample_onto`: only the last voxels of an axis can stick out, and only if its length
            is no multiple.

    Returns:
        The field and its affine.
    """
    shape, target = resampled_grid(array.shape, affine, spacing_mm)
    return resample_onto(array, affine, shape, target, outside), target


def mask_from_fraction(fraction: np.ndarray) -> np.ndarray:
    """True where at least half of the voxel is covered (up to round-off in affines)."""
    return fraction >= MASK_FRACTION - _FRACTION_TOLERANCE


def resample_mask(mask: np.ndarray, affine: np.ndarray, spacing_mm: float | tuple[float, ...]) -> tuple[np.ndarray, np.ndarray]:
    """The mask on a grid of another spacing: set where at least half of the voxel is."""
    fraction, target = resample_conservative(np.asarray(mask, bool), affine, spacing_mm, outside=0.0)
    return mask_from_fraction(fraction), target
