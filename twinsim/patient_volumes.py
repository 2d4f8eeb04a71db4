"""The volumes that a ``patient.yaml`` names: anatomy, scans and dose map, all on one grid, refused with line
and field.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from pydantic import BaseModel

from twinsim.anatomy import Anatomy, from_brain_mask, from_image, from_tissue_maps
from twinsim.errors import InputError
from twinsim.patient import Scan
from twinsim.patient_file import Location, RecordFile
from twinsim.patient_schema import PatientBlock
from twinsim.quantities import conversion_factor
from twinsim.volumes import Volume, read_mask, read_vectors, read_volume, require_same_grid

_ROUND_OFF = 1e-6  # a cellularity of 1 + 1e-7 is one that float32 rounded

LEAST_PEAK, LARGEST_PEAK = 0.5, 2.0  # of a dose map, over the prescription: a boost is above one, a map of one fraction far below


@dataclass
class VolumeReader[B: BaseModel]:
    """Reads volumes named by fields; the first one read sets the grid of all others."""

    file: RecordFile[B]
    reference: Volume | None = None
    reference_name: str = ""
    notes: list[str] = field(default_factory=list)

    def at[T](self, location: Location, action: Callable[[], T]) -> T:
        """Run an action; its InputError gets the line and field added."""
        try:
            return action()
        except InputError as error:
            raise self.file.error(location, error.got, error.expected, error.do) from error

    def path(self, text: str, *location: str | int) -> Path:
        """The file that a field names."""
        return self.file.resolve(text, *location)

    def same_grid(self, volume: Volume, path: Path, location: Location) -> None:
        """Refuse a volume that lies on another grid than the first one."""
        if not volume.oriented:
            self.notes.append(f"{path.name} does not say which way its axes run (no qform, sform or space): left and right are a guess")
        if self.reference is None:
            self.reference, self.reference_name = volume, f"{path.name} (line {self.file.line(*location)})"
        else:
            reference = self.reference
            self.at(location, lambda: require_same_grid(volume, path.name, reference, self.reference_name))

    def volume(self, text: str, *location: str | int, allow_nonfinite: bool = False) -> Volume:
        """A volume on the common grid."""
        path = self.path(text, *location)
        volume = self.at(location, lambda: read_volume(path, allow_nonfinite))
        self.same_grid(volume, path, location)
        return volume

    def vectors(self, text: str, *location: str | int) -> np.ndarray:
        """Three components per voxel on the common grid."""
        path = self.path(text, *location)
        volume = self.at(location, lambda: read_vectors(path))
        self.same_grid(Volume(volume.array[..., 0], volume.affine, volume.oriented), path, location)
        return volume.array

    def labels(self, text: str, *location: str | int) -> np.ndarray:
        """A volume of whole numbers on the common grid."""
        values = self.volume(text, *location).array
        labels = np.rint(values).astype(np.int64)
        if (off := np.abs(values - labels)).max() > 1e-3:
            raise self.file.error(
                location,
                f"{text} with the value {values.flat[int(off.argmax())]:g}, which is no label",
                "whole numbers: a label volume, resampled by nearest neighbour if at all",
                "export the labels again",
            )
        return labels

    def mask(self, text: str, *location: str | int) -> np.ndarray:
        """A mask on the common grid, with at least one voxel set."""
        path = self.path(text, *location)
        volume = self.at(location, lambda: read_mask(path))
        self.same_grid(volume, path, location)
        return volume.array


def read_anatomy(reader: VolumeReader[PatientBlock]) -> Anatomy | None:
    """The anatomy on the grid of its own files; None for an atlas, which has to wait for the grid of the
    scans.
    """
    block = reader.file.content.anatomy
    if block.atlas is not None:
        return None
    if block.brain_mask is not None or block.image is not None:
        key, make = ("brain_mask", from_brain_mask) if block.brain_mask is not None else ("image", from_image)
        location = ("anatomy", key)
        path = reader.path(str(getattr(block, key)), *location)
        anatomy = reader.at(location, lambda: make(path))
        reader.same_grid(Volume(anatomy.mask, anatomy.affine), path, location)
        return anatomy
    paths = {key: reader.path(text, "anatomy", key) for key in ("white", "grey", "csf") if (text := getattr(block, key)) is not None}
    for key, path in paths.items():  # one by one, so that a mistake is told with its own line
        reader.same_grid(reader.at(("anatomy", key), lambda path=path: read_volume(path)), path, ("anatomy", key))
    anatomy = reader.at(("anatomy", "white"), lambda: from_tissue_maps(**paths))
    changes: dict[str, object] = {"name": block.name} if block.name is not None else {}
    if block.mask is not None:
        changes |= {"mask": reader.mask(block.mask, "anatomy", "mask"), "notes": ()}
    if block.background is not None:
        changes["background"] = reader.volume(block.background, "anatomy", "background").array.astype(np.float32)
    return replace(anatomy, **changes)


def read_scan(reader: VolumeReader[PatientBlock], index: int, day: float) -> Scan:
    """The scan with this index, on the grid of the files."""
    block, here = reader.file.content.scans[index], ("scans", index)
    core = oedema = None
    if block.segmentation is not None:
        core, oedema = _read_segmentation(reader, index)
    elif block.lesion is not None:
        oedema = reader.mask(block.lesion, *here, "lesion")
    else:
        if block.enhancing_core is not None:
            core = reader.mask(block.enhancing_core, *here, "enhancing_core")
        if block.oedema is not None:
            oedema = reader.mask(block.oedema, *here, "oedema")
        if core is not None and oedema is not None and np.any(core & ~oedema):
            reader.notes.append(
                f"scan on day {day:g}: {int(np.sum(core & ~oedema))} voxels of the enhancing core lie outside "
                "of the oedema mask; the union of both is taken as the abnormal region"
            )
            oedema = oedema | core
    cellularity = mask = None
    if block.cellularity is not None:
        cellularity, mask = _read_cellularity(reader, index)
    scale = 0.01 if block.cellularity is not None and block.cellularity.unit == "percent" else 1.0
    noise = block.cellularity.noise * scale if block.cellularity is not None else 0.0
    return Scan(day, core, oedema, cellularity, noise, mask)


def _read_segmentation(reader: VolumeReader[PatientBlock], index: int) -> tuple[np.ndarray | None, np.ndarray | None]:
    block = reader.file.content.scans[index].segmentation
    if block is None:
        return None, None
    here = ("scans", index, "segmentation")
    labels = reader.labels(block.file, *here, "file")
    wanted = {"core_labels": block.core_labels, "oedema_labels": block.oedema_labels}
    for key, values in wanted.items():
        if values and not np.isin(labels, values).any():
            present = [int(label) for label in np.unique(labels) if label][:8]
            raise reader.file.error(
                (*here, key),
                f"an empty mask: no voxel has the label {' or '.join(map(str, values))}",
                f"labels that are in the file ({', '.join(map(str, present)) or 'it holds none but 0'})",
                f"correct the labels, or leave {key} out for this scan",
            )
    core = np.isin(labels, block.core_labels) if block.core_labels else None
    whole = np.isin(labels, block.core_labels + block.oedema_labels) if block.oedema_labels else None
    return core, whole


def _read_cellularity(reader: VolumeReader[PatientBlock], index: int) -> tuple[np.ndarray, np.ndarray | None]:
    block = reader.file.content.scans[index].cellularity
    here = ("scans", index, "cellularity")
    if block is None:
        raise reader.file.error(here, "no map", "a cellularity map", "add it")
    array = reader.volume(block.file, *here, "file", allow_nonfinite=True).array.astype(np.float32)
    mask = reader.mask(block.mask, *here, "mask") if block.mask is not None else None
    if block.unit == "percent":
        array = array / np.float32(100)
    with np.errstate(invalid="ignore"):
        kinds = {
            "NaN or infinite": ~np.isfinite(array),
            "negative": array < 0,
            "above 1 (above the carrying capacity)": np.isfinite(array) & (array > 1 + _ROUND_OFF),
        }
    for kind, bad in kinds.items():
        trusted = bad if mask is None else bad & mask
        if trusted.any():
            first = tuple(int(i) for i in np.argwhere(trusted)[0])
            hint = "write unit: percent if it is one, " if kind.startswith("above") and block.unit == "fraction" else ""
            raise reader.file.error(
                (*here, "file"),
                f"{block.file} with {int(trusted.sum())} voxels that are {kind}, first at {first}",
                "a cell density from 0 to 1 (0 to 100 percent) in every voxel",
                f"{hint}correct the map, or give a mask of where it is trusted",
            )
        if bad.any():
            array = np.where(bad, np.float32(0), array)  # outside of the mask, where nobody looks
    return array, mask


def read_dose_map(reader: VolumeReader[PatientBlock], prescribed_gy: float) -> np.ndarray | None:
    """Dose per voxel relative to the prescription (the sum of all fractions), or None."""
    therapy = reader.file.content.radiotherapy
    if therapy is None or therapy.dose_map is None:
        return None
    location = ("radiotherapy", "dose_map", "file")
    array = reader.volume(therapy.dose_map.file, *location).array.astype(np.float32)
    if array.min() < 0 or array.max() <= 0:
        raise reader.file.error(
            location,
            f"{therapy.dose_map.file} with doses from {array.min():g} to {array.max():g}",
            "doses of zero and more, somewhere above zero",
            "export the dose again",
        )
    unit = therapy.dose_map.unit
    if unit != "relative" and prescribed_gy <= 0:
        raise reader.file.error(location, "a dose map without fractions", "fractions or a course", "say when the dose was given")
    relative = array if unit == "relative" else array * np.float32(conversion_factor(unit, "gray") / prescribed_gy)
    if not LEAST_PEAK <= relative.max() <= LARGEST_PEAK:
        raise reader.file.error(
            location,
            f"{therapy.dose_map.file} ({unit}) whose largest dose is {relative.max():.3g} times the prescription of {prescribed_gy:g} Gy",
            f"{LEAST_PEAK:g} to {LARGEST_PEAK:g} times: a map of the whole dose, not of one fraction",
            "check the unit of the map, relative or Gy",
        )
    return relative
