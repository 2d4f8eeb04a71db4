"""Labels, fibres and transmural coordinate of a heart folder: read, checked, turned, resampled."""

from dataclasses import dataclass, replace

import numpy as np

from physics.biventricular import LEFT, RIGHT
from twinsim.errors import InputError
from twinsim.heart_schema import KINDS, HeartBlock
from twinsim.patient_file import RecordFile
from twinsim.patient_volumes import VolumeReader
from twinsim.resampling import mask_from_fraction, resample_onto, resampled_grid, spacing_of

SAME = 1e-3  # relative: spacings that count as equal
COARSEST_MM = 3.0  # longest edge of a voxel of the file: slices of 8 mm show no wall between them
LEAST_ML, MOST_ML = 5.0, 1500.0  # muscle of a small animal's and of a giant heart
UNIT = 0.02  # how far the length of a fibre may be from one
MOST_VOXELS = 3e7  # of the box after resampling: some 4 GB with fibres
STRAY = 0.01  # share of the muscle that may lie apart


@dataclass(frozen=True, eq=False)
class Segmentation:
    """What the files say, on one grid whose axes are right-handed.

    Attributes:
        ventricle: LEFT, RIGHT or 0, scar included.
        scar: Where the muscle is scar.
        blood: LEFT, RIGHT or 0; all zero where it is not labelled.
        fibres: In the axes of the voxels, None for a rule.
        transmural: None for a rule.
        affine: Index to world mm.
        notes: For reports.
    """

    ventricle: np.ndarray
    scar: np.ndarray
    blood: np.ndarray
    fibres: np.ndarray | None
    transmural: np.ndarray | None
    affine: np.ndarray
    notes: tuple[str, ...] = ()

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Edges of a voxel, mm."""
        return spacing_of(self.affine)

    @property
    def edge(self) -> float:
        """That of a cube, without the round-off of an affine in float32: a grid of another spacing is another program."""
        return round(float(np.mean(self.spacing)), 5)


def read_segmentation(reader: VolumeReader[HeartBlock]) -> Segmentation:
    """The volumes of the file; refused in one line with the field."""
    file, block = reader.file, reader.file.content
    labels = reader.labels(block.labels.file, "labels", "file")
    for kind in KINDS:
        wanted = getattr(block.labels, kind)
        missing = [label for label in wanted if not (labels == label).any()]
        if missing:
            present = [int(label) for label in np.unique(labels) if label][:8]
            raise file.error(
                ("labels", kind),
                f"no voxel with the label {missing[0]}",
                f"labels that are in the file ({', '.join(map(str, present)) or 'it holds none but 0'})",
                f"correct {kind}",
            )
    if reader.reference is None:  # cannot happen: the labels were read
        raise InputError("a heart without a volume", "labels", "add them")
    affine = reader.reference.affine
    side = {kind: np.isin(labels, getattr(block.labels, kind)) for kind in KINDS}
    ventricle = np.where(side["left_wall"], LEFT, np.where(side["right_wall"], RIGHT, 0))
    ventricle, notes = _whole(file, _with_scar(ventricle, side["scar"]), affine)
    muscle = ventricle > 0
    blood = np.where(side["left_blood"], LEFT, np.where(side["right_blood"], RIGHT, 0))
    directions = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    fibres = transmural = None
    if block.fibres.file is not None:
        fibres = _checked_fibres(file, reader.vectors(block.fibres.file, "fibres", "file"), muscle) @ directions
    if block.transmural is not None:
        transmural = reader.volume(block.transmural, "transmural").array.astype(float)
        if transmural[muscle].min() < -1e-3 or transmural[muscle].max() > 1 + 1e-3:
            low, high = transmural[muscle].min(), transmural[muscle].max()
            raise file.error(("transmural",), f"values from {low:.3g} to {high:.3g}", "0 inside to 1 outside", "rescale them")
    found = Segmentation(ventricle, side["scar"] & muscle, blood, fibres, transmural, affine, notes)
    return _right_handed(found) if np.linalg.det(affine[:3, :3]) < 0 else found


def _with_scar(ventricle: np.ndarray, scar: np.ndarray) -> np.ndarray:
    """Scar belongs to the wall that is nearest."""
    from scipy import ndimage

    if not scar.any():
        return ventricle
    nearest = ndimage.distance_transform_edt(ventricle == 0, return_distances=False, return_indices=True)
    return np.where(scar, ventricle[tuple(nearest)], ventricle)


def _whole(file: RecordFile[HeartBlock], ventricle: np.ndarray, affine: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """The muscle in one piece, of a size that hearts have."""
    from scipy import ndimage

    millilitres = float((ventricle > 0).sum() * abs(np.linalg.det(affine[:3, :3])) / 1000)
    if not LEAST_ML <= millilitres <= MOST_ML:
        raise file.error(
            ("labels", "file"),
            f"{millilitres:.3g} mL of muscle",
            f"{LEAST_ML:g} to {MOST_ML:g} mL",
            "check the unit of length in the header (mm, not m or um) and the labels",
        )
    pieces, count = ndimage.label(ventricle > 0)
    if count == 1:
        return ventricle, ()
    sizes = np.bincount(pieces.ravel())[1:]
    stray = int(sizes.sum() - sizes.max())
    if stray > STRAY * sizes.sum():
        shown = ", ".join(str(size) for size in sorted((int(size) for size in sizes), reverse=True)[:4])
        raise file.error(
            ("labels", "file"), f"muscle in {count} pieces of {shown} voxels", "one piece, connected through faces", "close the gaps"
        )
    kept = np.where(pieces == 1 + int(sizes.argmax()), ventricle, 0)
    return kept, (f"{stray} muscle voxels that touch the rest by no face were left out",)


def _checked_fibres(file: RecordFile[HeartBlock], fibres: np.ndarray, muscle: np.ndarray) -> np.ndarray:
    inside = fibres[muscle].astype(float)
    bad = ~np.isfinite(inside).all(axis=1)
    if bad.any():
        got = f"fibres that are NaN or infinite in {int(bad.sum())} of {len(inside)} muscle voxels"
        raise file.error(("fibres", "file"), got, "a unit vector in each", "extend them from neighbours")
    length = np.linalg.norm(inside, axis=1)
    missing = length < 1e-6
    if missing.any():
        got = f"fibres missing (zero) in {int(missing.sum())} of {len(inside)} muscle voxels"
        raise file.error(("fibres", "file"), got, "a unit vector in each", "extend them from neighbours")
    worst = float(length[np.argmax(np.abs(length - 1))])
    if abs(worst - 1) > UNIT:
        raise file.error(("fibres", "file"), f"a fibre of length {worst:.4g}", "length one", "divide each vector by its length")
    result = np.zeros(fibres.shape)
    result[muscle] = inside / length[:, None]
    return result


def _right_handed(part: Segmentation) -> Segmentation:
    """The first axis reversed: a mirrored grid would turn helices the other way."""
    affine = part.affine.copy()
    affine[:3, 3] += affine[:3, 0] * (part.ventricle.shape[0] - 1)
    affine[:3, 0] *= -1
    turned = {
        name: None if (field := getattr(part, name)) is None else field[::-1] for name in ("ventricle", "scar", "blood", "transmural")
    }
    fibres = None if part.fibres is None else part.fibres[::-1] * np.array([-1.0, 1.0, 1.0])
    return replace(part, **turned, fibres=fibres, affine=affine)


def spacing_for(file: RecordFile[HeartBlock], part: Segmentation, spacing_mm: float | None) -> float | None:
    """The spacing to resample to; None where the voxels are as wanted."""
    edges = np.asarray(part.spacing)
    shown = " x ".join(f"{edge:.4g}" for edge in edges)
    if edges.max() > COARSEST_MM:
        raise file.error(
            ("labels", "file"),
            f"voxels of {shown} mm",
            f"edges of {COARSEST_MM:g} mm at most",
            "interpolate the outlines between the slices first",
        )
    if spacing_mm is None:
        if edges.max() > edges.min() * (1 + SAME):
            raise file.error(("labels", "file"), f"voxels of {shown} mm, which are no cubes", "cubes", "give a spacing to resample to")
        return None
    if np.abs(edges / spacing_mm - 1).max() < SAME:
        return None
    count = float(np.prod(np.asarray(part.ventricle.shape) * edges)) / spacing_mm**3
    if spacing_mm > 0 and count > MOST_VOXELS:
        raise file.error(
            ("labels", "file"),
            f"{count:.2g} voxels of {spacing_mm:g} mm",
            f"{MOST_VOXELS:.2g} at most",
            "choose a coarser spacing, or crop the volumes to the heart",
        )
    return spacing_mm


def resampled(part: Segmentation, spacing_mm: float, file: RecordFile[HeartBlock]) -> Segmentation:
    """On cubes: muscle where half of a voxel is, of the wall that fills more; fibres by the largest axis of the mean of their squares."""
    shape, affine = resampled_grid(part.ventricle.shape, part.affine, spacing_mm)

    def onto(values: np.ndarray) -> np.ndarray:
        return resample_onto(values, part.affine, shape, affine, outside=0.0)

    left, right = onto(part.ventricle == LEFT), onto(part.ventricle == RIGHT)
    muscle = mask_from_fraction(left + right)
    if not muscle.any():
        raise file.error(("labels", "file"), f"walls too thin for voxels of {spacing_mm:g} mm", "half a voxel", "choose a finer spacing")
    ventricle, notes = _whole(file, np.where(muscle, np.where(left >= right, LEFT, RIGHT), 0), affine)
    muscle = ventricle > 0
    share = np.maximum(left + right, 1e-6)
    rest = np.maximum(1 - left - right, 1e-6)  # of what is no muscle, so that no gap opens between blood and wall
    blood = np.where(mask_from_fraction(onto(part.blood == LEFT) / rest), LEFT, 0)
    blood = np.where(mask_from_fraction(onto(part.blood == RIGHT) / rest), RIGHT, blood)
    scar = muscle & mask_from_fraction(onto(part.scar) / share)
    transmural = None if part.transmural is None else np.where(muscle, onto(np.where(part.ventricle > 0, part.transmural, 0.0)) / share, 0)
    fibres = None
    if part.fibres is not None:
        pairs = [(a, b) for a in range(3) for b in range(a, 3)]
        square = np.zeros((*shape, 3, 3))
        for a, b in pairs:
            square[..., a, b] = square[..., b, a] = onto(part.fibres[..., a] * part.fibres[..., b])
        fibres = np.zeros((*shape, 3))
        fibres[muscle] = np.linalg.eigh(square[muscle])[1][..., -1]
    return Segmentation(ventricle, scar, np.where(muscle, 0, blood), fibres, transmural, affine, (*part.notes, *notes))


def cropped(part: Segmentation) -> Segmentation:
    """The smallest box round the muscle with one empty voxel round it, added where the file ends there."""
    where = np.argwhere(part.ventricle > 0)
    low, high = where.min(axis=0) - 1, where.max(axis=0) + 2
    pad = [(max(0, -int(a)), max(0, int(b) - n)) for a, b, n in zip(low, high, part.ventricle.shape, strict=True)]
    box = tuple(slice(int(a) + p, int(b) + p) for a, b, (p, _) in zip(low, high, pad, strict=True))
    affine = part.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ low

    def cut(values: np.ndarray) -> np.ndarray:
        return np.pad(values, [*pad, *[(0, 0)] * (values.ndim - 3)])[box]

    fields = {name: None if (field := getattr(part, name)) is None else cut(field) for name in ("fibres", "transmural")}
    return replace(part, ventricle=cut(part.ventricle), scar=cut(part.scar), blood=cut(part.blood), affine=affine, **fields)
