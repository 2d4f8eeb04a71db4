"""One patient: anatomy, dated scans and treatments. Days are counted from the first scan where a file gives
dates.
"""

from dataclasses import dataclass, field, fields
from itertools import pairwise
from pathlib import Path

import numpy as np

from twinsim.anatomy import Anatomy
from twinsim.errors import InputError


class _Comparable:
    """Equality of frozen dataclasses that hold arrays; fields marked ``compare=False`` do not count."""

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(
            _same(getattr(self, item.name), getattr(other, item.name))
            for item in fields(self)  # type: ignore[arg-type]
            if item.compare
        )

    __hash__ = None  # type: ignore[assignment]


def _same(one: object, other: object) -> bool:
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return np.array_equal(one, other)
    return type(one) is type(other) and bool(one == other)


@dataclass(frozen=True, eq=False)
class Scan(_Comparable):
    """What was seen on one day; volumes are [x, y, z] on the grid of the anatomy.

    Attributes:
        day: Time of the scan.
        enhancing_core: Mask of the contrast-enhancing core, or None if unknown.
        oedema: Mask of the WHOLE abnormal region including the core, or None if unknown.
        cellularity: Cell density as a fraction of the carrying capacity, float32, or None.
        cellularity_noise: Standard deviation of its noise per voxel, as a fraction; 0 without a map.
        cellularity_mask: Where the map is trusted; None means everywhere.
    """

    day: float
    enhancing_core: np.ndarray | None = None
    oedema: np.ndarray | None = None
    cellularity: np.ndarray | None = None
    cellularity_noise: float = 0.0
    cellularity_mask: np.ndarray | None = None

    def volumes(self) -> dict[str, np.ndarray]:
        """The volumes that this scan has, by the names of the fields."""
        names = ("enhancing_core", "oedema", "cellularity", "cellularity_mask")
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}


@dataclass(frozen=True)
class RadiotherapyFraction:
    """One fraction: day and prescribed dose in Gy."""

    day: float
    dose_gy: float


@dataclass(frozen=True, eq=False)
class Radiotherapy(_Comparable):
    """All fractions in order of time, and the dose per voxel relative to the prescription (None: 1
    everywhere).
    """

    fractions: tuple[RadiotherapyFraction, ...] = ()
    dose_map: np.ndarray | None = None


@dataclass(frozen=True)
class Chemotherapy:
    """Days and doses (mg per m^2 of body surface) of temozolomide, in order of time."""

    days: tuple[float, ...] = ()
    doses_mg_per_m2: tuple[float, ...] = ()


@dataclass(frozen=True, eq=False)
class PatientRecord(_Comparable):
    """Everything known about a patient.

    Attributes:
        name: Name or pseudonym.
        anatomy: Tissue on the grid that all volumes share.
        scans: At least one, in order of time.
        radiotherapy: Fractions, given and planned.
        chemotherapy: Doses, given and planned.
        folder: Where it was read from (does not count in comparisons).
        notes: What a reader of the results should know (does not count either).

    Raises:
        InputError: No scans, scans out of order, a volume of another shape, a core that sticks out of the
            abnormal region.
    """

    name: str
    anatomy: Anatomy
    scans: tuple[Scan, ...]
    radiotherapy: Radiotherapy = field(default_factory=Radiotherapy)
    chemotherapy: Chemotherapy = field(default_factory=Chemotherapy)
    folder: Path | None = field(default=None, compare=False)
    notes: tuple[str, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        days = [scan.day for scan in self.scans]
        if not days or any(later <= earlier for earlier, later in pairwise(days)):
            raise InputError(f"scans on the days {days}", "one scan or more in order of time", "sort the scans")
        for index, scan in enumerate(self.scans):
            for name, array in scan.volumes().items():
                self._require_shape(f"{name} of scan {index}", array)
            if scan.enhancing_core is not None and scan.oedema is not None and np.any(scan.enhancing_core & ~scan.oedema):
                raise InputError(
                    f"an enhancing core that sticks out of the abnormal region in scan {index}",
                    "oedema = the whole abnormal region, core included",
                    "give the union of both as oedema",
                )
        if self.radiotherapy.dose_map is not None:
            self._require_shape("the dose map", self.radiotherapy.dose_map)

    def _require_shape(self, name: str, array: np.ndarray) -> None:
        if array.shape != self.anatomy.shape:
            raise InputError(f"{name} with shape {array.shape}", f"the anatomy's {self.anatomy.shape}", "resample it")


def load_patient(folder: str | Path, spacing_mm: float | tuple[float, float, float] | None = None) -> PatientRecord:
    """Read and check a patient folder (``docs/patient_folder.md``).

    Args:
        folder: The folder with ``patient.yaml``.
        spacing_mm: Resample everything to this spacing (fields by volume-weighted means, masks where half of
            a voxel is set) and crop to tissue and lesions with one voxel around. ``None`` keeps the grid of
            the files.

    Raises:
        InputError: Anything wrong with the folder, in one line with file, line and field.
    """
    from twinsim.patient_load import load

    return load(folder, spacing_mm)


def save_patient(record: PatientRecord, folder: str | Path, overwrite: bool = False) -> Path:
    """Write a patient folder that `load_patient` reads back to an equal record; returns the folder.

    ``patient.yaml`` is written last, so a folder that holds one is complete.

    Raises:
        InputError: The folder holds a ``patient.yaml`` already and ``overwrite`` is not set; the disk is
            full.
    """
    from twinsim.patient_save import save

    return save(record, folder, overwrite)
