"""Capillaries across sections of tissue at 10 um: where they lie, how far tissue is from them, and what coarse voxels have of that."""

from typing import Any, NamedTuple

import numpy as np
from scipy.spatial import cKDTree

from physics import CapillaryBed, capillary_bed
from solvers import VoxelGrid
from twinsim.errors import InputError

H = 0.01  # mm
EXCHANGE = 0.01  # mm: radius of the disc in which a capillary exchanges


def places_of(count: int, style: float, side: float, rng: np.random.Generator) -> np.ndarray:
    """Capillaries in a square: regular (style below -1/3, the best of several candidates), at random, or in clusters (above 1/3)."""
    if style > 1 / 3:
        parents = rng.uniform(0, side, (max(round(count / rng.uniform(3, 12)), 1), 2))
        return (parents[rng.integers(len(parents), size=count)] + rng.normal(0, rng.uniform(0.03, 0.12), (count, 2))) % side
    if style > -1 / 3:
        return rng.uniform(0, side, (count, 2))
    chosen = [rng.uniform(0, side, 2)]
    for _ in range(count - 1):
        candidates = rng.uniform(0, side, (8, 2))
        apart = np.abs(candidates[:, None] - np.array(chosen)[None])
        apart = np.minimum(apart, side - apart)
        chosen.append(candidates[np.argmax((apart**2).sum(-1).min(axis=1))])
    return np.array(chosen)


def square(side: float, h: float = H) -> VoxelGrid:
    """A section of one voxel's thickness."""
    return VoxelGrid(np.ones((round(side / h), round(side / h), 1), bool), h)


def random_places(side: float, rng: np.random.Generator) -> np.ndarray:
    """8 to 250 capillaries per mm², of any style."""
    number = max(round(np.exp(rng.uniform(np.log(8), np.log(250))) * side**2), 2)
    return places_of(number, rng.uniform(-1, 1), side, rng)


def across(grid: VoxelGrid, places: np.ndarray, periodic: tuple[bool, bool, bool]) -> CapillaryBed:
    """Capillaries across a section."""
    starts = np.c_[places, np.zeros(len(places))]
    return capillary_bed(grid, starts, starts + np.array([0, 0, grid.spacing[2]]), EXCHANGE, periodic)


def distances(places: np.ndarray, side: float, period: float | None = None) -> tuple[np.ndarray, np.ndarray]:
    """From every voxel of a square to the next capillary, and the area that is nearest to each; with a period across its edges."""
    count = round(side / H)
    centres = (np.stack(np.meshgrid(*[np.arange(count)] * 2, indexing="ij"), -1).reshape(-1, 2) + 0.5) * H
    distance, nearest = cKDTree(places, boxsize=period).query(centres)
    return distance, np.bincount(nearest, minlength=len(places)) * H**2


def outward(places: np.ndarray, side: float) -> np.ndarray:
    """0 in the middle of a square tumour, 1 at its rim."""
    return np.minimum(np.linalg.norm(places - side / 2, axis=1) / (side / 2), 1) ** 2


def tumour_places(side: float, rim: float, core: float, rng: np.random.Generator) -> np.ndarray:
    """Capillaries whose density goes from that of the core to that of the rim, per mm².

    Raises:
        InputError: Where there is none.
    """
    most = max(rim, core)
    places = rng.uniform(0, side, (rng.poisson(most * side**2), 2))
    density = core + (rim - core) * outward(places, side)
    places = places[rng.uniform(size=len(places)) < density / most]
    if not len(places):
        raise InputError("a tumour without a capillary", "at least one", "raise --rim-density or --core-density")
    return places


class CoarseVoxels(NamedTuple):
    """Of square voxels: which one each capillary is in, capillaries per mm², and mean and root mean square distance to the next (mm)."""

    label: np.ndarray
    density: np.ndarray
    mean_distance: np.ndarray
    square_distance: np.ndarray


def blocks(values: Any, side: float, voxel: float) -> Any:
    """Fine voxels of each coarse one along a last axis, of NumPy's or JAX's arrays; axes before the flat fine grid stay."""
    fine, coarse = round(voxel / H), round(side / voxel)
    cut = values.reshape(*values.shape[:-1], coarse, fine, coarse, fine)
    return cut.swapaxes(-3, -2).reshape(*values.shape[:-1], coarse**2, fine**2)


def coarse_voxels(places: np.ndarray, distance: np.ndarray, side: float, voxel: float) -> CoarseVoxels:
    """What coarse voxels of a tumour have."""
    coarse = round(side / voxel)
    label = np.asarray(np.ravel_multi_index(tuple(np.minimum((places // voxel).astype(int), coarse - 1).T), (coarse, coarse)))
    own = blocks(distance, side, voxel)
    return CoarseVoxels(label, np.bincount(label, minlength=coarse**2) / voxel**2, own.mean(axis=1), np.sqrt((own**2).mean(axis=1)))


def check_multiples(config: Any) -> None:
    """Refuses edges that are no whole number of voxels.

    Raises:
        InputError: Says which.
    """
    for name, unit in (("window_mm", H), ("voxel_mm", H), ("tumour_mm", config.voxel_mm)):
        value = getattr(config, name)
        if abs(value / unit - round(value / unit)) > 1e-6:
            raise InputError(f"--{name.replace('_', '-')} {value:g}", f"a multiple of {unit:g} mm", "choose whole voxels")
