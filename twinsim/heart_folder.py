"""A user's own heart: a folder with ``heart.yaml``, a segmentation and perhaps fibres, read and written."""

from dataclasses import dataclass
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from physics import ELECTRODES, Heart, Pose, WallCoordinates, biventricular_heart, rule_fibres, standard_electrodes
from physics.biventricular import LEFT, RIGHT
from physics.rule_fibres import Surroundings
from solvers import VoxelGrid
from twinsim.errors import InputError, near_misses
from twinsim.heart_cavities import Frame, surroundings
from twinsim.heart_schema import KINDS, HeartBlock
from twinsim.heart_volumes import Segmentation, cropped, read_segmentation, resampled, spacing_for
from twinsim.patient_file import RecordFile, read_record_file
from twinsim.patient_volumes import VolumeReader

type Point = tuple[float, float, float]

FILE_NAME = "heart.yaml"
PAGE = "docs/heart_folder.md"

# First activated places in the frame of the analytic heart, mm, and when, ms: on the left the three of Durrer et al. (1970), Circulation
# 41, 899 (high anterior, the middle of the septum, posterior between base and apex), on the right the foot of the papillary muscle, later.
FIRST_PLACES = (
    ((0.0, 23.0, -15.0), 0.0),
    ((23.0, 0.0, -20.0), 0.0),
    ((0.0, -23.0, -20.0), 0.0),
    ((58.0, 8.0, -20.0), 5.0),
)
INNER = 0.35  # transmural coordinate up to which a beat may begin
NEAREST_MM, FARTHEST_MM = 5.0, 1000.0  # electrodes from muscle: the potential of a point is singular, and no body is larger
RADIUS, LENGTH = 23.0, 72.0  # mm of that heart's left cavity


@dataclass(frozen=True, eq=False)
class HeartRecord:
    """A heart in its own voxels and where it lies.

    Attributes:
        name: For reports.
        heart: Muscle that conducts (no scar), fibres in the axes of the voxels; mm counted along these axes from the world's origin.
        affine: Index of its voxels to world mm (right, anterior, superior); right-handed.
        blood: LEFT or RIGHT where the cavities are, ``(x, y, z)``.
        frame: How it lies and how large it is, in the axes of the voxels.
        places: Where a beat begins, mm in these axes, and when, ms.
        electrodes: Of ``physics.ELECTRODES``, mm in these axes.
        notes: What a reader of the results should know.
    """

    name: str
    heart: Heart
    affine: np.ndarray
    blood: np.ndarray
    frame: Frame
    places: tuple[tuple[Point, float], ...]
    electrodes: np.ndarray
    notes: tuple[str, ...] = ()

    @property
    def directions(self) -> np.ndarray:
        """Columns: the axes of the voxels in the world."""
        return self.affine[:3, :3] / np.linalg.norm(self.affine[:3, :3], axis=0)


def analytic_record(spacing_mm: float, pose: Pose | None = None, middle_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> HeartRecord:
    """The analytic heart as it lies in the body: what the experiments take when no folder is given.

    Args:
        spacing_mm: Voxel edge.
        pose: How it lies; None for a usual heart.
        middle_mm: Where its middle lies in the world.
    """
    pose = Pose() if pose is None else pose
    heart = biventricular_heart(spacing_mm)
    affine = np.eye(4)
    affine[:3, :3] = pose.axes().T * spacing_mm
    offset = pose.axes() @ np.asarray(middle_mm)
    affine[:3, 3] = pose.axes().T @ (heart.origin + offset)
    heart = heart._replace(origin=heart.origin + offset)
    none = np.zeros(heart.ventricle.shape, int)
    around, _ = surroundings(heart.ventricle, none, heart.positions(), np.array([0.0, 0.0, 1.0]))
    places = [(_endocardial(heart, np.asarray(place) + offset), time) for place, time in FIRST_PLACES]
    return HeartRecord(
        "analytic heart",
        heart,
        affine,
        np.where(around.left, LEFT, np.where(around.right, RIGHT, 0)),
        Frame(offset, np.eye(3), RADIUS, LENGTH),
        tuple(places),
        standard_electrodes(pose) + offset,
    )


def load_heart(folder: str | Path, spacing_mm: float | None = None) -> HeartRecord:
    """Read and check a heart folder (``docs/heart_folder.md``).

    Args:
        folder: The folder with ``heart.yaml``.
        spacing_mm: Edge of the voxels to resample to; None keeps the file's, which are then to be cubes.

    Raises:
        InputError: Anything wrong with the folder, in one line with file, line and field.
    """
    file = read_record_file(folder, FILE_NAME, HeartBlock, PAGE)
    reader = VolumeReader(file)
    given = read_segmentation(reader)
    spacing = spacing_for(file, given, spacing_mm)
    part = cropped(given if spacing is None else resampled(given, spacing, file))
    edge = part.edge if spacing_mm is None else float(spacing_mm)
    directions = part.affine[:3, :3] / part.spacing
    origin = directions.T @ part.affine[:3, 3]
    index = np.stack(np.meshgrid(*(np.arange(n) for n in part.ventricle.shape), indexing="ij"), axis=-1)
    positions = origin + index * edge
    base = file.content.base
    up = None if base is None else _unit(file, base) @ directions
    around, frame = reader.at(("labels",), lambda: surroundings(part.ventricle, part.blood, positions, up))
    coordinates = _coordinates(file, part, around, edge)
    blood = np.where(around.left, LEFT, np.where(around.right, RIGHT, 0))
    alive = (part.ventricle > 0) & ~part.scar
    if not alive.any():
        raise file.error(("labels", "scar"), "scar everywhere", "muscle that conducts", "correct the labels")
    heart = Heart(
        VoxelGrid(alive, edge),
        origin,
        jnp.where(alive, coordinates.transmural, 0),
        np.where(alive, part.ventricle, 0),
        jnp.where(alive[..., None], coordinates.fibres, jnp.asarray([1.0, 0.0, 0.0], coordinates.fibres.dtype).reshape(1, 1, 1, 3)),
        jnp.where(alive[..., None], coordinates.sheets, jnp.asarray([0.0, 1.0, 0.0], coordinates.sheets.dtype).reshape(1, 1, 1, 3)),
    )
    notes = (*reader.notes, *part.notes)
    places = _places(file, heart, directions, frame)
    return HeartRecord(file.content.name, heart, part.affine, blood, frame, places, _electrodes(file, heart, directions, frame), notes)


def _unit(file: RecordFile[HeartBlock], base: tuple[float, float, float]) -> np.ndarray:
    size = float(np.linalg.norm(base))
    if size < 1e-6:
        raise file.error(("base",), "a base in no direction", "a direction from apex to base", "write one as [0.65, -0.45, 0.61]")
    return np.asarray(base) / size


def _coordinates(file: RecordFile[HeartBlock], part: Segmentation, around: Surroundings, edge: float) -> WallCoordinates:
    """Fibres of the file, else by rule; the transmural coordinate of the file, else by rule."""
    if part.fibres is not None and part.transmural is not None:
        fibres = np.asarray(part.fibres, float)
        # Any direction perpendicular to the fibre: what is computed here takes both alike.
        least = np.eye(3)[np.abs(fibres).argmin(axis=-1)]
        sheets = np.cross(fibres, least)
        size = np.linalg.norm(sheets, axis=-1, keepdims=True)
        return WallCoordinates(jnp.asarray(fibres), jnp.asarray(sheets / np.where(size > 0, size, 1)), jnp.asarray(part.transmural, float))
    block = file.content.fibres
    made = rule_fibres(VoxelGrid(part.ventricle > 0, edge), part.ventricle, around, block.helix_inside, block.helix_outside)
    if part.fibres is not None:
        made = made._replace(fibres=jnp.asarray(part.fibres, float))
    return made if part.transmural is None else made._replace(transmural=jnp.asarray(part.transmural, float))


def _places(file: RecordFile[HeartBlock], heart: Heart, directions: np.ndarray, frame: Frame) -> tuple[tuple[Point, float], ...]:
    """Those of the file, refused where there is no muscle; else the usual ones, in proportion to this heart."""
    found = []
    given = [(np.asarray(block.place) @ directions, block.time) for block in file.content.activation]
    for number, (place, time) in enumerate(given):
        away = _away(heart, place)
        if away > 5.0:
            raise file.error(
                ("activation", number, "place"), f"a place {away:.3g} mm from muscle", "5 mm at most", "give world mm, or finer voxels"
            )
        found.append(((float(place[0]), float(place[1]), float(place[2])), time))
    if found:
        return tuple(found)
    scale = np.array([frame.radius / RADIUS, frame.radius / RADIUS, frame.length / LENGTH])
    return tuple((_endocardial(heart, frame.middle + (scale * np.asarray(place)) @ frame.axes), time) for place, time in FIRST_PLACES)


def _away(heart: Heart, place: np.ndarray) -> float:
    """From the nearest centre of a voxel of muscle, mm."""
    return float(np.linalg.norm(heart.origin + np.asarray(heart.nearest(place)) * np.asarray(heart.grid.spacing) - place))


def _endocardial(heart: Heart, place: np.ndarray) -> Point:
    """Centre of the nearest voxel of the inner third of a wall: a place on a voxel, so that reading it again finds the same one."""
    index = heart.nearest(place, inside=INNER)
    x, y, z = (float(x) for x in heart.origin + np.asarray(index) * np.asarray(heart.grid.spacing))
    return x, y, z


def _electrodes(file: RecordFile[HeartBlock], heart: Heart, directions: np.ndarray, frame: Frame) -> np.ndarray:
    """Those of the file; else where they sit on an adult, counted from the middle of this heart in the axes of the body."""
    given = file.content.electrodes
    if given is None:
        upright = Pose(apex=(0.0, 0.0, -1.0), right_ventricle=(1.0, 0.0, 0.0))
        return frame.middle + standard_electrodes(upright) @ directions
    if unknown := [name for name in given if name not in ELECTRODES]:
        do = near_misses(unknown[0], ELECTRODES)
        raise file.error(("electrodes", unknown[0]), f"the electrode {unknown[0]}", "one of " + ", ".join(ELECTRODES), do)
    if missing := [name for name in ELECTRODES if name not in given]:
        raise file.error(("electrodes",), f"electrodes without {', '.join(missing)}", "all of " + ", ".join(ELECTRODES), "add them")
    places = np.array([given[name] for name in ELECTRODES]) @ directions
    for name, place in zip(ELECTRODES, places, strict=True):
        away = _away(heart, place)
        if not NEAREST_MM <= away <= FARTHEST_MM:
            expected = f"{NEAREST_MM:g} to {FARTHEST_MM:g} mm"
            raise file.error(("electrodes", name), f"an electrode {away:.3g} mm from muscle", expected, "give world mm")
    return places


def save_heart(record: HeartRecord, folder: str | Path, *, fibres: bool = True, overwrite: bool = False) -> Path:
    """Write a heart folder that `load_heart` reads back; returns the folder. ``heart.yaml`` is written last.

    Args:
        record: The heart.
        folder: Where to.
        fibres: Whether fibres and the transmural coordinate go along; without, reading computes them by rule.
        overwrite: Replace a heart that is there.

    Raises:
        InputError: The folder holds a ``heart.yaml`` and ``overwrite`` is not set; the disk is full.
    """
    import json

    from twinsim.atomic import atomic_path
    from twinsim.store import write_nifti

    folder = Path(folder)
    target = folder / FILE_NAME
    if target.exists():
        if not overwrite:
            raise InputError(f"{folder}, which holds a {FILE_NAME} already", "a new folder", "choose another one, or overwrite")
        target.unlink()
    heart, directions = record.heart, record.directions
    labels = np.where(heart.ventricle > 0, heart.ventricle, np.where(record.blood > 0, record.blood + 2, 0)).astype(np.uint8)
    write_nifti(folder / "labels.nii.gz", labels, record.affine, "walls 1, 2; blood 3, 4")

    def row(values: np.ndarray) -> str:
        return "[" + ", ".join(repr(float(value)) for value in values) + "]"

    lines = [
        "# A heart of twinsim; docs/heart_folder.md explains every field. World coordinates: right, anterior, superior, mm.",
        f"name: {json.dumps(record.name, ensure_ascii=False)}",
        "labels: {file: labels.nii.gz, left_wall: [1], right_wall: [2], left_blood: [3], right_blood: [4]}",
        f"base: {row(directions @ record.frame.axes[2])}",
    ]
    if fibres:
        mask = np.asarray(heart.grid.mask)
        world = np.where(mask[..., None], np.asarray(heart.fibres, float) @ directions.T, 0)
        write_nifti(folder / "fibres.nii.gz", world.astype(np.float32), record.affine, "fibres, world axes")
        write_nifti(folder / "transmural.nii.gz", np.asarray(heart.transmural, np.float32), record.affine, "0 inside, 1 outside")
        lines += ["fibres: {file: fibres.nii.gz}", "transmural: transmural.nii.gz"]
    lines.append("activation:")
    lines += [f"  - {{place: {row(directions @ np.asarray(place))}, time: {time!r}}}" for place, time in record.places]
    lines.append("electrodes:")
    lines += [f"  {name}: {row(place)}" for name, place in zip(ELECTRODES, record.electrodes @ directions.T, strict=True)]
    with atomic_path(target) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


__all__ = ["FIRST_PLACES", "KINDS", "HeartRecord", "load_heart", "save_heart"]
