"""From a checked ``patient.yaml`` to a `PatientRecord`: reads the volumes, resamples, compares lesions and
tissue.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

from twinsim.anatomy import Anatomy, bounds_with_margin, crop, keep_largest_component, mni152
from twinsim.errors import InputError
from twinsim.patient import Chemotherapy, PatientRecord, Radiotherapy, RadiotherapyFraction, Scan
from twinsim.patient_file import PatientFile, read_patient_file
from twinsim.patient_schema import PatientBlock
from twinsim.patient_timeline import Timeline
from twinsim.patient_volumes import VolumeReader, read_anatomy, read_dose_map, read_scan
from twinsim.resampling import mask_from_fraction, resample_onto, resampled_grid


def load(folder: str | Path, spacing_mm: float | tuple[float, float, float] | None) -> PatientRecord:
    """What `twinsim.patient.load_patient` does."""
    file = read_patient_file(folder)
    timeline = Timeline(file)
    days, fractions, doses = timeline.scan_days(), timeline.fractions(), timeline.drug_doses()
    timeline.check_flags(days, fractions + doses)

    reader = VolumeReader(file)
    anatomy = read_anatomy(reader)
    scans = tuple(read_scan(reader, index, day) for index, day in enumerate(days))
    dose_map = read_dose_map(reader, sum(dose for _, dose, _ in fractions))
    if reader.reference is None:  # cannot happen: a scan without any volume is refused by the schema
        raise InputError("a patient without any volume", "at least one", "add a scan")

    grid = reader.reference
    shape, affine = grid.array.shape, grid.affine
    if spacing_mm is not None:
        shape, affine = resampled_grid(shape, affine, spacing_mm)
        scans = tuple(_resampled(scan, grid.affine, shape, affine, file, index) for index, scan in enumerate(scans))
        dose_map = None if dose_map is None else resample_onto(dose_map, grid.affine, shape, affine)
    if anatomy is None:
        anatomy = _atlas_on(reader, shape, affine)
    elif spacing_mm is not None:
        anatomy = anatomy.sampled_onto(shape, affine)  # type: ignore[arg-type]
    anatomy, notes = _reconciled(anatomy, scans, file)
    if spacing_mm is not None:
        start, stop = _bounds(anatomy, scans)
        anatomy = anatomy.cropped(start, stop)
        scans = tuple(replace(scan, **{name: crop(array, start, stop) for name, array in scan.volumes().items()}) for scan in scans)
        dose_map = None if dose_map is None else crop(dose_map, start, stop)
    return PatientRecord(
        name=file.content.name,
        anatomy=anatomy,
        scans=scans,
        radiotherapy=Radiotherapy(tuple(RadiotherapyFraction(day, dose) for day, dose, _ in fractions), dose_map),
        chemotherapy=Chemotherapy(tuple(day for day, _, _ in doses), tuple(dose for _, dose, _ in doses)),
        folder=file.path.parent,
        notes=anatomy.notes + tuple(reader.notes) + notes,
    )


def _atlas_on(reader: VolumeReader[PatientBlock], shape: tuple[int, ...], affine: np.ndarray) -> Anatomy:
    location = ("anatomy", "atlas")
    atlas = mni152(1.0)
    anatomy = reader.at(location, lambda: atlas.sampled_onto(shape, affine))  # type: ignore[arg-type]
    if not anatomy.mask.any():
        raise reader.file.error(
            location,
            f"scans (grid of {reader.reference_name}) that lie outside of the atlas's brain",
            "volumes registered to MNI152 space",
            "register them, or give tissue maps of the patient",
        )
    mask, dropped = keep_largest_component(anatomy.mask)
    notes = (f"{dropped} tissue voxels that touch the rest of the brain by no face were left out",) if dropped else ()
    return replace(anatomy, mask=mask, notes=notes)


def _resampled(scan: Scan, affine: np.ndarray, shape: tuple[int, ...], target: np.ndarray, file: PatientFile, index: int) -> Scan:
    """The scan on the working grid: masks by half of a voxel, cellularity as the mean over trusted parts of a
    voxel.
    """
    changes: dict[str, np.ndarray] = {}
    for name in ("enhancing_core", "oedema", "cellularity_mask"):
        mask = getattr(scan, name)
        if mask is not None:
            changes[name] = mask_from_fraction(resample_onto(mask, affine, shape, target, outside=0.0))
            if not changes[name].any():
                raise file.error(
                    ("scans", index),
                    f"{int(mask.sum())} voxels of {name}, too few to fill half a voxel at this spacing",
                    "a mask that the spacing resolves",
                    "choose a finer spacing",
                )
    if scan.cellularity is not None and scan.cellularity_mask is not None:
        trusted = scan.cellularity_mask
        weight = resample_onto(trusted, affine, shape, target, outside=0.0)
        total = resample_onto(np.where(trusted, scan.cellularity, 0), affine, shape, target, outside=0.0)
        changes["cellularity"] = np.where(weight > 0, total / np.where(weight > 0, weight, 1), 0).astype(np.float32)
    elif scan.cellularity is not None:
        changes["cellularity"] = resample_onto(scan.cellularity, affine, shape, target)
    return replace(scan, **changes)


def _reconciled(anatomy: Anatomy, scans: tuple[Scan, ...], file: PatientFile) -> tuple[Anatomy, tuple[str, ...]]:
    """Lesions against tissue: refused when wholly outside, noted when partly; a heuristic brain mask gives
    way to them.
    """
    notes: list[str] = []
    for index, scan in enumerate(scans):
        if scan.cellularity_mask is not None and not (scan.cellularity_mask & anatomy.mask).any():
            raise file.error(
                ("scans", index, "cellularity", "mask"),
                "a mask of trusted voxels that holds no voxel of the brain's tissue",
                "a mask that overlaps grey or white matter",
                "check that scan and anatomy are registered",
            )
        lesion = scan.oedema if scan.oedema is not None else scan.enhancing_core
        if lesion is None:
            continue
        outside = int(np.sum(lesion & ~anatomy.mask))
        if outside == int(lesion.sum()):
            raise file.error(
                ("scans", index),
                "a lesion that lies wholly outside of the brain's tissue (in CSF, or outside of the brain)",
                "a lesion in grey or white matter",
                "check that scan and anatomy are registered",
            )
        if not outside:
            continue
        if file.content.anatomy.image is not None:
            mask = anatomy.mask | lesion
            white = np.maximum(anatomy.white, (lesion & ~anatomy.mask).astype(np.float32))
            anatomy = replace(anatomy, mask=mask, white=white)
            notes.append(f"scan on day {scan.day:g}: {outside} lesion voxels were added to the heuristic brain mask")
        else:
            notes.append(f"scan on day {scan.day:g}: {outside} of {int(lesion.sum())} lesion voxels lie off tissue")
    return anatomy, tuple(notes)


def _bounds(anatomy: Anatomy, scans: tuple[Scan, ...]) -> tuple[np.ndarray, np.ndarray]:
    seen = anatomy.mask.copy()
    for scan in scans:
        for mask in (scan.enhancing_core, scan.oedema):
            if mask is not None:
                seen |= mask
    return bounds_with_margin(seen)
