"""From a `PatientRecord` to a patient folder: NIfTI volumes and a commented ``patient.yaml``."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from twinsim.anatomy import Anatomy
from twinsim.errors import InputError
from twinsim.patient import PatientRecord, Scan
from twinsim.patient_file import FILE_NAME

type Writer = Callable[[str, np.ndarray, str], str]
"""Writes a volume under a name with a description; returns the name of the file."""

_HEAD = """\
# A patient of twinsim; docs/patient_folder.md explains every field.
# Files lie in this folder; all volumes share one grid. Days count from the day 0 of this file.
"""


def save(record: PatientRecord, folder: str | Path, overwrite: bool = False) -> Path:
    """What `twinsim.patient.save_patient` does."""
    from twinsim.atomic import atomic_path
    from twinsim.store import write_nifti

    folder = Path(folder)
    target = folder / FILE_NAME
    if target.exists():
        if not overwrite:
            raise InputError(
                f"{folder}, which holds a {FILE_NAME} already",
                "a new folder",
                "choose another one, or overwrite",
            )
        target.unlink()  # while its volumes are replaced the folder must not look complete

    def write(name: str, array: np.ndarray, description: str) -> str:
        write_nifti(folder / f"{name}.nii.gz", array, record.anatomy.affine, description)
        return f"{name}.nii.gz"

    lines = [_HEAD + f"name: {_text(record.name)}", *_anatomy_lines(record.anatomy, write), "scans:"]
    for index, scan in enumerate(record.scans):
        lines += _scan_lines(index, scan, write)
    lines += _treatment_lines(record, write)
    with atomic_path(target) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def _text(value: str) -> str:
    """Text as YAML; JSON strings are YAML."""
    return json.dumps(value, ensure_ascii=False)


def _anatomy_lines(anatomy: Anatomy, write: Writer) -> list[str]:
    return [
        "anatomy:",
        f"  name: {_text(anatomy.name)}",
        f"  white: {write('white', anatomy.white, 'white matter, fraction')}  # fraction of each voxel",
        f"  grey: {write('grey', anatomy.grey, 'grey matter, fraction')}",
        f"  mask: {write('tissue', anatomy.mask, 'tissue that can carry tumour cells')}  # walls elsewhere",
        f"  background: {write('background', anatomy.background, 'image for display')}  # for display only",
    ]


def _scan_lines(index: int, scan: Scan, write: Writer) -> list[str]:
    lines = [f"  - day: {float(scan.day)!r}"]
    if scan.enhancing_core is not None:
        lines.append(f"    enhancing_core: {write(f'scan{index}_core', scan.enhancing_core, 'enhancing core')}")
    if scan.oedema is not None:
        name = write(f"scan{index}_oedema", scan.oedema, "abnormal region with core")
        lines.append(f"    oedema: {name}  # the whole abnormal region, core included")
    if scan.cellularity is not None:
        name = write(f"scan{index}_cellularity", scan.cellularity, "cell density, fraction of carrying capacity")
        lines += [
            "    cellularity:",
            f"      file: {name}",
            "      unit: fraction  # of the carrying capacity",
            f"      noise: {float(scan.cellularity_noise)!r}  # standard deviation per voxel",
        ]
        if scan.cellularity_mask is not None:
            name = write(f"scan{index}_trusted", scan.cellularity_mask, "where the map is trusted")
            lines.append(f"      mask: {name}")
    return lines


def _treatment_lines(record: PatientRecord, write: Writer) -> list[str]:
    lines: list[str] = []
    therapy = record.radiotherapy
    if therapy.fractions or therapy.dose_map is not None:
        lines.append("radiotherapy:")
        if therapy.fractions:
            lines.append("  fractions:")
            lines += [f"    - {{day: {float(f.day)!r}, dose: {float(f.dose_gy)!r} Gy}}" for f in therapy.fractions]
        if therapy.dose_map is not None:
            name = write("dose", therapy.dose_map, "dose relative to the prescription")
            lines.append(f"  dose_map: {{file: {name}, unit: relative}}")
    chemotherapy = record.chemotherapy
    if chemotherapy.days:
        lines += ["chemotherapy:", "  drug: temozolomide", "  doses:"]
        pairs = zip(chemotherapy.days, chemotherapy.doses_mg_per_m2, strict=True)
        lines += [f"    - {{day: {float(day)!r}, dose: {float(dose)!r} mg/m^2}}" for day, dose in pairs]
    return lines
