"""A patient's scans as a region to simulate, a place to seed the tumour, and likelihood terms."""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np

from solvers import Diffusion, VoxelGrid
from twinsim.anatomy import Anatomy
from twinsim.errors import InputError
from twinsim.observation import CellularityMap, IsoContour, Observation, near
from twinsim.patient import Scan

FIRST_WEIGHT = 0.05


def abnormal(scan: Scan) -> np.ndarray:
    """Every voxel that the scan calls abnormal; of a cellularity map the part above 5 %."""
    parts = [mask for mask in (scan.enhancing_core, scan.oedema) if mask is not None]
    if scan.cellularity is not None:
        trusted = np.ones(scan.cellularity.shape, bool) if scan.cellularity_mask is None else scan.cellularity_mask
        parts.append((scan.cellularity > 0.05) & trusted)
    return np.logical_or.reduce(parts) if parts else np.zeros((1, 1, 1), bool)


def lesion_of(scans: Sequence[Scan]) -> np.ndarray:
    """Every voxel that some scan calls abnormal.

    Raises:
        InputError: There is none.
    """
    region = np.logical_or.reduce([abnormal(scan) for scan in scans])
    if not region.any():
        raise InputError(
            got=f"no abnormal voxel in the scans of days {[scan.day for scan in scans]}",
            expected="a segmentation or a cellularity map with a lesion",
            do="check labels and thresholds of the scan files",
        )
    return region


def seed_centre(lesion: np.ndarray, anatomy: Anatomy) -> np.ndarray:
    """Centre of gravity of the lesion in mm from the first voxel's centre; outside of tissue, the lesion's nearest tissue within 10 mm."""
    spacing = np.asarray(anatomy.spacing_mm)
    centre = np.argwhere(lesion).mean(axis=0) * spacing
    if anatomy.mask[tuple(np.round(centre / spacing).astype(int))]:
        return centre
    tissue = np.argwhere(anatomy.mask & lesion) * spacing
    if tissue.size:
        distance = np.linalg.norm(tissue - centre, axis=1)
        if distance.min() <= 10.0:
            return tissue[distance.argmin()]
    raise InputError(
        got="a lesion whose centre (the tumour's seed) lies in cerebrospinal fluid or outside of the brain",
        expected="a lesion in white or grey matter",
        do="check that the segmentation and the anatomy are registered to each other",
    )


def observations_of(scans: Sequence[Scan], box: tuple[slice, ...], grid: VoxelGrid) -> tuple[Observation, ...]:
    """Likelihood terms of all scans on the region."""
    active = np.asarray(grid.mask)
    x, y, z = (jnp.full(grid.shape, h**2 / 24) for h in grid.spacing)
    average = Diffusion(grid, (x, y, z))
    dtype = average.scale.dtype
    weight = jnp.asarray(FIRST_WEIGHT, dtype)
    found: list[Observation] = []
    for number, scan in enumerate(scans):
        for mask, threshold in ((scan.enhancing_core, "threshold_core"), (scan.oedema, "threshold_oedema")):
            if mask is not None:
                used = active & near(mask[box], 6)
                cells = np.flatnonzero(used)
                inside = mask[box].reshape(-1)[cells]
                found.append(IsoContour(number, jnp.asarray(cells), jnp.asarray(inside, dtype), weight, grid, threshold))
        if scan.cellularity is not None:
            trusted = active if scan.cellularity_mask is None else active & scan.cellularity_mask[box]
            cells = np.flatnonzero(trusted)
            density = jnp.asarray(scan.cellularity[box].reshape(-1)[cells], dtype)
            noise = jnp.asarray(scan.cellularity_noise, dtype)
            found.append(CellularityMap(number, jnp.asarray(cells), density, weight, noise, average))
    return tuple(found)


def box_of(whole: Anatomy, region: Anatomy) -> tuple[slice, ...]:
    """Where a region cut out of an anatomy lies in its volumes."""
    start = np.round(np.linalg.solve(whole.affine, region.affine[:, 3])[:3]).astype(int)
    return tuple(slice(int(a), int(a) + n) for a, n in zip(start, region.shape, strict=True))


def overlap(seen: np.ndarray, density: np.ndarray, threshold: float) -> float:
    """Dice coefficient of what was seen and the density above a threshold: 1 where they agree, 0 where they do not meet."""
    fitted = density > threshold
    total = int(seen.sum()) + int(fitted.sum())
    return 2 * float((seen & fitted).sum()) / total if total else 1.0
