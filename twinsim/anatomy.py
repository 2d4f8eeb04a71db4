"""The brain that a tumour grows in: tissue fractions per voxel, from an atlas, from tissue maps, or from a
brain mask.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np

from twinsim.errors import InputError
from twinsim.resampling import mask_from_fraction, resample_onto, resampled_grid, spacing_of, spacing_triple
from twinsim.skull_strip import brain_mask_from_image
from twinsim.volumes import (
    AFFINE_TOLERANCE_MM,
    Volume,
    grid_distance_mm,
    read_mask,
    read_volume,
    require_same_grid,
)

__all__ = [
    "Anatomy",
    "brain_mask_from_image",
    "from_brain_mask",
    "from_image",
    "from_tissue_maps",
    "keep_largest_component",
    "mni152",
]

TISSUE_FRACTION = 0.5
"""A voxel can carry tumour cells when at least this fraction of it is grey or white matter."""

COARSEST_MM = 10.0
"""Beyond this spacing a voxel is wider than the ventricles and the atlas means nothing any more."""


@dataclass(frozen=True, eq=False)
class Anatomy:
    """Tissue of one brain on one voxel grid.

    Attributes:
        name: Where it comes from, for reports.
        white: Fraction of white matter in each voxel, 0 to 1, float32 [x, y, z].
        grey: Fraction of grey matter, same.
        mask: True where tumour cells can live (no-flux walls elsewhere).
        affine: 4x4 float64, voxel index (centre) -> world RAS mm.
        background: Image for display, float32 [x, y, z], arbitrary unit.
        notes: What a reader of the results should know about how it was made.
    """

    name: str
    white: np.ndarray
    grey: np.ndarray
    mask: np.ndarray
    affine: np.ndarray
    background: np.ndarray
    notes: tuple[str, ...] = field(default=())

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of voxels along each axis."""
        nx, ny, nz = self.mask.shape
        return nx, ny, nz

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Edge lengths of a voxel in mm."""
        return spacing_of(self.affine)

    @property
    def voxel_volume_mm3(self) -> float:
        """Volume of a voxel in mm^3."""
        return float(np.prod(self.spacing_mm))

    @property
    def cerebrospinal_fluid(self) -> np.ndarray:
        """Fraction of each voxel that is neither grey nor white matter; means CSF inside the brain and
        nothing outside.
        """
        return np.clip(1 - self.grey - self.white, 0, 1)

    def world_of_index(self, index: Sequence[float] | np.ndarray) -> np.ndarray:
        """World coordinates (RAS mm) of voxel indices [..., 3]; whole numbers are voxel centres."""
        return np.asarray(index, float) @ self.affine[:3, :3].T + self.affine[:3, 3]

    def index_of_world(self, world_mm: Sequence[float] | np.ndarray) -> np.ndarray:
        """Voxel indices (float) of world coordinates [..., 3] in mm: the inverse of `world_of_index`."""
        return (np.asarray(world_mm, float) - self.affine[:3, 3]) @ np.linalg.inv(self.affine[:3, :3]).T

    def cropped(self, start: Sequence[int] | np.ndarray, stop: Sequence[int] | np.ndarray) -> "Anatomy":
        """The voxels from index ``start`` to before ``stop``, which may lie outside: voxels added there hold
        no tissue.
        """
        start_index, stop_index = np.asarray(start, int), np.asarray(stop, int)
        if np.any(stop_index <= start_index):
            raise InputError(f"a crop from {tuple(start)} to {tuple(stop)}", "stop > start along every axis", "swap them")
        affine = self.affine.copy()
        affine[:3, 3] = self.world_of_index(start_index)
        maps = {name: crop(getattr(self, name), start_index, stop_index) for name in ("white", "grey", "mask", "background")}
        return Anatomy(self.name, affine=affine, notes=self.notes, **maps)

    def resampled(self, spacing_mm: float | tuple[float, float, float]) -> "Anatomy":
        """The same brain at another spacing: tissue by area-weighted means, mask where at least half of a
        voxel is in the mask.

        The outer corner of voxel (0, 0, 0) stays; the mask is not restricted to one component again.
        """
        return self.sampled_onto(*resampled_grid(self.shape, self.affine, spacing_mm))

    def sampled_onto(self, shape: tuple[int, int, int], affine: np.ndarray) -> "Anatomy":
        """The same brain on another grid with parallel axes; no tissue outside of this one's grid."""
        white, grey, mask = (resample_onto(array, self.affine, shape, affine, outside=0.0) for array in (self.white, self.grey, self.mask))
        background = resample_onto(self.background, self.affine, shape, affine)
        return Anatomy(self.name, white, grey, mask_from_fraction(mask), np.array(affine, float), background, self.notes)

    def __eq__(self, other: object) -> bool:
        """Same name, same arrays, same grid (affines to 1e-3 mm, since files store them in float32); notes do
        not count.
        """
        if not isinstance(other, Anatomy):
            return NotImplemented
        return (
            self.name == other.name
            and self.shape == other.shape
            and grid_distance_mm(self.shape, self.affine, other.affine) <= AFFINE_TOLERANCE_MM
            and all(np.array_equal(getattr(self, name), getattr(other, name)) for name in ("white", "grey", "mask", "background"))
        )

    __hash__ = None  # type: ignore[assignment]


def crop(array: np.ndarray, start: np.ndarray, stop: np.ndarray) -> np.ndarray:
    """Voxels start..stop of an array; zero (False) where that lies outside."""
    inside = array[tuple(slice(max(a, 0), max(b, 0)) for a, b in zip(start, stop, strict=True))]
    before = np.minimum(np.maximum(-start, 0), stop - start)
    after = (stop - start) - before - np.array(inside.shape)
    return np.ascontiguousarray(np.pad(inside, list(zip(before, after, strict=True))))


def bounds_with_margin(mask: np.ndarray, margin: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """First and one-past-last index of the smallest box around a mask, widened by a margin."""
    start, stop = np.empty(3, int), np.empty(3, int)
    for axis in range(3):
        hit = np.flatnonzero(mask.any(tuple(a for a in range(3) if a != axis)))
        start[axis], stop[axis] = hit[0] - margin, hit[-1] + 1 + margin
    return start, stop


def keep_largest_component(mask: np.ndarray) -> tuple[np.ndarray, int]:
    """The largest set of voxels connected through faces, and how many voxels were dropped."""
    from scipy import ndimage

    labels, count = ndimage.label(mask)
    if count <= 1:
        return np.asarray(mask, bool), 0
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    largest = labels == sizes.argmax()
    return largest, int(sizes.sum() - sizes.max())


def mni152(spacing_mm: float | tuple[float, float, float] = 2.0) -> Anatomy:
    """The symmetric ICBM152 2009a nonlinear average brain, from the maps inside the nilearn package; no
    network is used.

    Mask: grey + white >= 0.5, largest component. Everything else inside the head (ventricles, sulci) is CSF.
    Cropped to the brain with one voxel around it. World coordinates are MNI152 mm.

    Args:
        spacing_mm: Voxel spacing, one number or one per axis, at most 10 mm. The files have 1 mm.

    Source: Fonov, Evans, McKinstry, Almli, Collins (2009), Unbiased nonlinear average age-appropriate brain
    templates from birth to adulthood, NeuroImage 47, S102, doi:10.1016/S1053-8119(09)70884-5.
    """
    spacing = spacing_triple(spacing_mm)
    if max(spacing) > COARSEST_MM:
        raise InputError(
            f"a spacing of {spacing_mm} mm",
            f"at most {COARSEST_MM:g} mm",
            "choose 1 to 4 mm; below that ventricles vanish",
        )
    return _mni152(spacing)


@lru_cache(maxsize=4)
def _mni152(spacing: tuple[float, float, float]) -> Anatomy:
    grid, white, grey, background = _mni152_maps()
    if spacing != (1.0, 1.0, 1.0):
        shape, affine = resampled_grid(white.shape, grid, spacing)
        white, grey = (resample_onto(array, grid, shape, affine, outside=0.0) for array in (white, grey))
        background = resample_onto(background, grid, shape, affine, outside=0.0)
        grid = affine
    mask, dropped = keep_largest_component(grey + white >= TISSUE_FRACTION)
    full = Anatomy("MNI152 2009a", white, grey, mask, grid, background, _dropped_note(dropped))
    return _frozen(full.cropped(*bounds_with_margin(mask)))


@lru_cache(maxsize=1)
def _mni152_maps() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Affine and white, grey, T1 (0 to 1) at 1 mm. Read as plain files, because importing nilearn takes
    seconds.
    """
    from importlib.util import find_spec

    spec = find_spec("nilearn")
    if spec is None or not spec.submodule_search_locations:
        raise InputError(
            "no package nilearn, which holds the MNI152 maps",
            "nilearn installed",
            "install twinsim with its dependencies",
        )
    folder = Path(next(iter(spec.submodule_search_locations))) / "datasets" / "data"
    affine, maps = np.eye(4), []
    for kind in ("wm", "gm", "t1"):
        volume = read_volume(folder / f"mni_icbm152_{kind}_tal_nlin_sym_09a_converted.nii.gz")
        affine, array = volume.affine, volume.array.astype(np.float32)
        maps.append(array / array.max())
    return affine, maps[0], maps[1], maps[2]


def _frozen(anatomy: Anatomy) -> Anatomy:
    """Cached arrays are shared by all who ask, so nobody may write to them."""
    for name in ("white", "grey", "mask", "background", "affine"):
        getattr(anatomy, name).setflags(write=False)
    return anatomy


def from_tissue_maps(white: str | Path, grey: str | Path, csf: str | Path | None = None) -> Anatomy:
    """Anatomy from maps of white and grey matter (NIfTI or NRRD on one grid); values are fractions, or
    percent, or 0 to 255.

    With a CSF map the three are divided by their sum where that exceeds one; without it only white and grey
    are. Mask: grey + white >= 0.5, largest component.

    Raises:
        InputError: As `read_volume`; grids that differ; negative values; no tissue.
    """
    paths = {"white": Path(white), "grey": Path(grey)} | ({"csf": Path(csf)} if csf is not None else {})
    volumes = {name: read_volume(path) for name, path in paths.items()}
    reference = volumes["white"]
    for name, volume in volumes.items():
        require_same_grid(volume, str(paths[name]), reference, str(paths["white"]))
        if volume.array.min() < 0:
            raise InputError(f"{paths[name]} with negative values", "tissue fractions", "export the probability map again")
    largest = {name: float(volume.array.max()) for name, volume in volumes.items()}
    scale = _full_scale(max(largest.values()))
    if scale > 1 and (odd := [name for name, top in largest.items() if 0 < top <= 1.001]):
        raise InputError(
            f"{paths[odd[0]]} with values up to {largest[odd[0]]:g} beside maps up to {max(largest.values()):g}",
            "all tissue maps in one unit: fractions, percent or bytes",
            "scale the maps to 0 to 1",
        )
    maps = {name: volume.array.astype(np.float32) / np.float32(scale) for name, volume in volumes.items()}
    total = sum(maps.values(), np.zeros((), np.float32))
    total = np.where(total > 1 + 1e-4, total, np.float32(1))  # sums that exceed one by round-off only stay as they are
    white_map, grey_map = maps["white"] / total, maps["grey"] / total
    tissue = white_map + grey_map
    if not (tissue >= TISSUE_FRACTION).any():
        raise InputError(
            f"{paths['white']} and {paths['grey']} without any voxel that is half tissue",
            "fractions of white and grey matter from 0 to 1",
            "check that these are tissue maps",
        )
    mask, dropped = keep_largest_component(tissue >= TISSUE_FRACTION)
    display = (0.9 * white_map + 0.6 * grey_map).astype(np.float32)  # looks like T1: white bright, grey darker, CSF black
    return Anatomy("tissue maps", white_map, grey_map, mask, reference.affine, display, _dropped_note(dropped))


def _full_scale(largest: float) -> float:
    """1 for fractions, 100 for percent, 255 for bytes, from the largest value of the maps."""
    for scale in (1.0, 100.0, 255.0):
        if largest <= scale * 1.001:
            return scale
    raise InputError(
        f"tissue maps with values up to {largest:g}",
        "fractions (0 to 1), percent (0 to 100) or bytes (0 to 255)",
        "scale the maps to 0 to 1",
    )


def from_brain_mask(path: str | Path) -> Anatomy:
    """Anatomy from a plain brain mask: everything in it counts as white matter, so diffusion is the same
    everywhere.
    """
    volume = read_mask(path)
    mask, dropped = keep_largest_component(volume.array)
    return _uniform("brain mask", mask, volume.affine, mask.astype(np.float32), _dropped_note(dropped))


def from_image(path: str | Path) -> Anatomy:
    """Anatomy from nothing but a T1-like MR image, by the heuristic `brain_mask_from_image`; uniform tissue
    as white matter.
    """
    volume: Volume = read_volume(path)
    mask = brain_mask_from_image(volume.array, volume.affine)
    note = "the brain mask is a heuristic skull strip without ventricles or tissue types: look at it"
    return _uniform("MR image", mask, volume.affine, volume.array.astype(np.float32), (note,))


def _uniform(name: str, mask: np.ndarray, affine: np.ndarray, background: np.ndarray, notes: tuple[str, ...]) -> Anatomy:
    return Anatomy(name, mask.astype(np.float32), np.zeros(mask.shape, np.float32), mask, affine, background, notes)


def _dropped_note(dropped: int) -> tuple[str, ...]:
    return (f"{dropped} tissue voxels that touch the rest of the brain by no face were left out",) if dropped else ()
