"""Volumes on a voxel grid: read NIfTI and NRRD with their affine, refuse what cannot be trusted, compare
grids.

World coordinates are RAS millimetres (x to the patient's right hand, y to the front, z up), the convention of
NIfTI; NRRD files that say left-posterior-superior are turned into it. An affine is 4x4 float64 and maps a
voxel's index (its centre) to world mm.
"""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from twinsim.errors import InputError, near_misses
from twinsim.resampling import (
    mask_from_fraction,
    resample_conservative,
    resample_mask,
    resample_onto,
    spacing_of,
)

__all__ = [
    "AFFINE_TOLERANCE_MM",
    "Volume",
    "mask_from_fraction",
    "read_components",
    "read_mask",
    "read_vectors",
    "read_volume",
    "require_same_grid",
    "resample_conservative",
    "resample_mask",
    "resample_onto",
    "spacing_of",
]

AFFINE_TOLERANCE_MM = 1e-3
"""Two grids are one when no corner voxel of theirs lies further apart than this (NIfTI stores affines in
float32).
"""

SMALLEST_MM, LARGEST_MM = 0.02, 50.0
"""Voxel edges of images of a body; others are taken for another unit of length."""

_LENGTH_MM = {"meter": 1000.0, "micron": 1e-3}
_SHEAR_TOLERANCE = 1e-3  # cosine between two voxel axes; a gantry tilt gives 0.05 and more
_SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".nhdr")
_TO_RAS = {
    "right-anterior-superior": (1.0, 1.0, 1.0),
    "left-posterior-superior": (-1.0, -1.0, 1.0),
    "left-anterior-superior": (-1.0, 1.0, 1.0),
}
_SPACE_SHORT = {
    "ras": "right-anterior-superior",
    "lps": "left-posterior-superior",
    "las": "left-anterior-superior",
}


@dataclass(frozen=True, eq=False)
class Volume:
    """An array [x, y, z] and the affine of its voxel centres (4x4, index -> world RAS mm).

    Attributes:
        oriented: Whether the file says which way its axes run; where it does not, left and right are a guess.
    """

    array: np.ndarray
    affine: np.ndarray
    oriented: bool = True

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Edge lengths of a voxel in mm."""
        return spacing_of(self.affine)


def read_volume(path: str | Path, allow_nonfinite: bool = False) -> Volume:
    """Read a 3-D volume from NIfTI (``.nii``, ``.nii.gz``) or NRRD (``.nrrd``, ``.nhdr``).

    Floating-point data come back as float32, integers in the type of the file.

    Args:
        path: The file.
        allow_nonfinite: Let NaN and infinity pass (for maps that come with a mask of where they are trusted).

    Raises:
        InputError: No such file, unreadable, not 3-D, NaN or infinity inside, a voxel spacing that is not
            positive, a sheared grid.
    """
    path = Path(path)
    _require_file(path)
    array, affine, oriented = _read_nrrd(path) if path.suffix in (".nrrd", ".nhdr") else _read_nifti(path)
    if array.ndim == 4 and array.shape[3] == 1:
        array = array[..., 0]
    if array.ndim != 3 or 0 in array.shape or array.dtype.kind not in "biuf":
        raise InputError(
            f"{path} with shape {tuple(array.shape)} of {array.dtype}",
            "a 3-D volume of plain numbers",
            "extract one volume of scalar values (one time point, one component)",
        )
    _require_sound_affine(affine, path)
    if array.dtype.kind == "f":
        array = array.astype(np.float32)
        if not allow_nonfinite:
            _require_finite(array, path)
    return Volume(np.ascontiguousarray(array), affine, oriented)


def read_vectors(path: str | Path) -> Volume:
    """Read a field of three components from NIfTI: ``(x, y, z, 3)``, or ``(x, y, z, 1, 3)`` as the standard keeps vectors.

    Returns:
        Its array is ``(x, y, z, 3)``, float32, as in the file: NaN and infinity are the caller's to judge.

    Raises:
        InputError: No such file, no NIfTI, unreadable, another shape, a voxel spacing that is not positive, a sheared grid.
    """
    return read_components(path, (3,), "three components per voxel, (x, y, z, 3) or (x, y, z, 1, 3)", five=True)


def read_components(path: str | Path, counts: tuple[int, ...], expected: str, five: bool = False) -> Volume:
    """Read a field of several components from NIfTI, ``(x, y, z, components)``.

    Args:
        path: The file.
        counts: Numbers of components that are taken; one stands for a plain volume as well.
        expected: What a refusal says was expected.
        five: Whether ``(x, y, z, 1, components)`` is taken as well.

    Returns:
        Its array is ``(x, y, z, components)``, float32, as in the file: NaN and infinity are the caller's to judge.

    Raises:
        InputError: No such file, no NIfTI, unreadable, another shape, a voxel spacing that is not positive, a sheared grid.
    """
    path = Path(path)
    _require_file(path)
    if path.suffix in (".nrrd", ".nhdr"):
        raise InputError(f"{path}", "NIfTI (.nii, .nii.gz)", "convert the file")
    array, affine, oriented = _read_nifti(path)
    if five and array.ndim == 5 and array.shape[3] == 1:
        array = array[:, :, :, 0]
    if array.ndim == 3 and 1 in counts:
        array = array[..., None]
    if array.ndim != 4 or array.shape[3] not in counts or 0 in array.shape or array.dtype.kind not in "biuf":
        raise InputError(
            f"{path} with shape {tuple(array.shape)} of {array.dtype}",
            expected,
            "export the file with its components last, in 4 dimensions",
        )
    _require_sound_affine(affine, path)
    return Volume(np.ascontiguousarray(array, np.float32), affine, oriented)


def read_mask(path: str | Path) -> Volume:
    """Read a mask: True where the value is at least half of the largest, which is 1 or the one other value than 0, as in 0 and 255.

    Raises:
        InputError: As `read_volume`, when no voxel is set, and for negative values or several labels.
    """
    volume = read_volume(path)
    largest = float(volume.array.max(initial=0))
    largest = 1.0 if largest < 1.001 else largest  # fractions may be rounded
    values = np.unique(volume.array) if largest > 1 or volume.array.min(initial=0) < 0 else np.zeros(1)
    if values[0] < 0 or np.count_nonzero(values) > 1:
        shown = ", ".join(f"{value:g}" for value in values[:6]) + (" ..." if values.size > 6 else "")
        raise InputError(
            f"{path} with the values {shown}",
            "a mask of 0 and one other value, or of fractions from 0 to 1",
            "name labels under `segmentation:`, or export the mask again",
        )
    mask = volume.array >= 0.5 * largest
    if not mask.any():
        raise InputError(
            f"{path}, an empty mask (no voxel of {mask.size} is set)",
            "at least one voxel with value 1",
            "check which label the file uses, or leave this mask out",
        )
    return Volume(mask, volume.affine, volume.oriented)


def grid_distance_mm(shape: tuple[int, ...], first: np.ndarray, second: np.ndarray) -> float:
    """The largest distance in mm between the places that two affines give to one corner voxel of a grid of
    this shape.
    """
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in shape], indexing="ij")).reshape(3, -1)
    difference = np.asarray(first, float) - np.asarray(second, float)
    return float(np.linalg.norm(difference[:3, :3] @ corners + difference[:3, 3:], axis=0).max())


def require_same_grid(volume: Volume, name: str, reference: Volume, reference_name: str) -> None:
    """Refuse a volume whose shape differs from the reference's or whose voxels lie more than
    `AFFINE_TOLERANCE_MM` away.
    """
    if volume.array.shape != reference.array.shape:
        raise InputError(
            f"{name} with shape {volume.array.shape}",
            f"shape {reference.array.shape} as in {reference_name}",
            "resample the two files to one grid",
        )
    distance = grid_distance_mm(volume.array.shape, volume.affine, reference.affine)
    if distance > AFFINE_TOLERANCE_MM:
        raise InputError(
            f"{name} whose affine puts voxels up to {distance:.4g} mm away from those of {reference_name}",
            f"one affine for all volumes, to {AFFINE_TOLERANCE_MM:g} mm",
            "register and resample the two files to one grid",
        )


def _require_file(path: Path) -> None:
    formats = "a NIfTI (.nii, .nii.gz) or NRRD (.nrrd, .nhdr) file"
    if not path.name.endswith(_SUFFIXES):
        raise InputError(f"{path}", formats, "convert the volume or give its right name")
    if path.is_file():
        return
    if not path.parent.is_dir():
        raise InputError(f"{path}, in a folder that does not exist", formats, "check the folder's name")
    present = [entry.name for entry in sorted(path.parent.iterdir()) if entry.name.endswith(_SUFFIXES)]
    hint = near_misses(path.name, present) if present else "that folder holds no volume at all"
    raise InputError(f"{path}, which is no file", formats, f"check the name: {hint}")


def _unreadable(path: Path, error: Exception) -> InputError:
    return InputError(
        f"{path}, which cannot be read ({type(error).__name__}: {error})",
        "a complete volume file",
        "copy or export the file again",
    )


def _read_nifti(path: Path) -> tuple[np.ndarray, np.ndarray, bool]:
    import zlib

    import nibabel
    from nibabel.filebasedimages import ImageFileError
    from nibabel.openers import ImageOpener

    quiet = logging.getLogger("nibabel.global")  # it tells of repairs that are looked at here
    level = quiet.level
    try:
        quiet.setLevel(logging.CRITICAL)
        image: Any = nibabel.load(path)
        array = np.asarray(image.dataobj)
        kind = type(image.header)
        with ImageOpener(str(path)) as file:  # as it stands in the file: loading turns a zero voxel size into one
            raw = kind(file.read(kind.sizeof_hdr), check=False)
    except (ImageFileError, OSError, EOFError, ValueError, zlib.error) as error:
        raise _unreadable(path, error) from error
    finally:
        quiet.setLevel(level)
    if image.affine is None:
        raise InputError(f"{path} without an affine", "a NIfTI file with sform or qform", "export the file again")
    matrix, spacing = int(raw["sform_code"]) > 0, tuple(float(size) for size in raw["pixdim"][1:4])
    if not matrix and not all(size > 0 for size in spacing):
        raise _bad_spacing(path, spacing)
    affine = np.array(image.affine, np.float64)
    affine[:3] *= _LENGTH_MM.get(image.header.get_xyzt_units()[0], 1.0)
    return array, affine, matrix or int(raw["qform_code"]) > 0


def _read_nrrd(path: Path) -> tuple[np.ndarray, np.ndarray, bool]:
    import nrrd

    try:
        array, header = nrrd.read(str(path))
    except (nrrd.NRRDError, OSError, EOFError, ValueError) as error:
        raise _unreadable(path, error) from error
    if array.ndim != 3:
        return array, np.eye(4), False  # refused by the caller, which says what it got
    affine = np.eye(4)
    oriented = header.get("space directions") is not None
    if oriented:
        space = str(header.get("space", "")).lower()
        space = _SPACE_SHORT.get(space, space)
        if space not in _TO_RAS:
            raise InputError(
                f"{path} in the space {space or '(none)'!r}",
                "one of " + ", ".join(sorted(_TO_RAS)),
                "set the field 'space' of the NRRD header",
            )
        sign = np.array(_TO_RAS[space])
        affine[:3, :3] = sign[:, None] * np.asarray(header["space directions"], float).T
        affine[:3, 3] = sign * np.asarray(header.get("space origin", np.zeros(3)), float)
    else:
        spacings = np.asarray(header.get("spacings", np.ones(3)), float)
        if not np.all(spacings > 0):  # without directions a sign cannot mean a flip
            raise _bad_spacing(path, tuple(float(s) for s in spacings))
        affine[:3, :3] = np.diag(spacings)
    return array, affine, oriented


def _bad_spacing(path: Path, spacing: tuple[float, ...]) -> InputError:
    return InputError(
        f"{path} with voxel spacing {' x '.join(f'{s:g}' for s in spacing)} mm",
        "a positive spacing along every axis",
        "correct the header of the file",
    )


def _require_sound_affine(affine: np.ndarray, path: Path) -> None:
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    if not np.isfinite(affine).all():
        raise InputError(f"{path} with an affine that holds NaN or infinity", "a finite affine", "correct the header of the file")
    if not np.all(spacing > 1e-6):
        raise _bad_spacing(path, tuple(float(s) for s in spacing))
    if spacing.min() < SMALLEST_MM or spacing.max() > LARGEST_MM:
        raise InputError(
            f"{path} with voxels of {' x '.join(f'{s:g}' for s in spacing)} mm",
            f"{SMALLEST_MM:g} to {LARGEST_MM:g} mm",
            "check the unit of length in the header of the file",
        )
    unit = affine[:3, :3] / spacing
    shear = float(np.abs(unit.T @ unit - np.eye(3)).max())
    if shear > _SHEAR_TOLERANCE:
        angle = float(np.degrees(np.arccos(min(shear, 1.0))))
        raise InputError(
            f"{path} with a sheared grid (two voxel axes meet at {angle:.2f} degrees)",
            "three voxel axes at right angles",
            "resample the volume to an orthogonal grid (a tilted gantry makes such volumes)",
        )


def _require_finite(array: np.ndarray, path: Path) -> None:
    bad = ~np.isfinite(array)
    if bad.any():
        first = tuple(int(i) for i in np.argwhere(bad)[0])
        raise InputError(
            f"{path} with {int(bad.sum())} voxels that are NaN or infinite (first at {first})",
            "finite values in every voxel",
            "replace these voxels (0 outside of the tissue)",
        )
