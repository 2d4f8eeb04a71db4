"""What may stand in a ``patient.yaml``: the schema, one frozen model per block. ``docs/patient_folder.md``
shows it in full.
"""

import datetime
import math
from contextlib import suppress
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, model_validator

from twinsim.errors import InputError
from twinsim.quantities import conversion_factor, quantity

type Time = float | datetime.datetime
"""A day on the file's own clock, or a date; one file uses one of the two."""


class Block(BaseModel):
    """A mapping of the file: unknown keys are refused, values are not converted, nothing changes after
    reading.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, arbitrary_types_allowed=True)


def _date(value: object) -> datetime.datetime:
    if isinstance(value, str):
        with suppress(ValueError):
            value = datetime.datetime.fromisoformat(value)
    if isinstance(value, datetime.datetime):
        return value.astimezone(datetime.UTC).replace(tzinfo=None) if value.tzinfo else value
    if isinstance(value, datetime.date):
        return datetime.datetime(value.year, value.month, value.day)
    raise InputError(f"{value!r}", "a date such as 2024-03-18", "write year-month-day")


def _finite(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InputError(f"{value!r}", "a finite number", "write a number such as 14")
    return float(value)


def _start(value: object) -> Time:
    return _finite(value) if isinstance(value, int | float) else _date(value)


def _positive(value: object) -> float:
    number = _finite(value)
    if number <= 0:
        raise InputError(f"{value!r}", "a number above zero", "correct the number")
    return number


MOST_DAYS = 3650
MOST_GRAY = 50.0
MOST_DRUG = 20_000.0  # mg/m^2; high-dose methotrexate takes 12,000


def _count(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InputError(f"{value!r}", "a whole number of at least 1", "correct the number, or leave the block out")
    if value > MOST_DAYS:
        raise InputError(f"{value!r}", f"at most {MOST_DAYS}, ten years of days", "correct the number")
    return value


def _dose(value: object, unit: str, what: str) -> float:
    amount = quantity(value, unit)
    if amount < 0:
        raise InputError(f"{value!r}, a dose below zero", "a dose above zero", "correct the sign")
    if amount == 0:
        raise InputError(f"{value!r}, a dose of zero", "a dose above zero", f"leave the {what} out")
    if unit == "gray" and amount > MOST_GRAY:
        raise InputError(f"{value!r} in one fraction", f"at most {MOST_GRAY:g} Gy", "check the unit: cGy or Gy")
    if unit == "mg/m^2" and amount > MOST_DRUG:
        raise InputError(f"{value!r} in one dose", f"at most {MOST_DRUG:g} mg/m^2", "check the unit: mg/m^2 or g/m^2")
    return amount


def _dose_map_unit(value: object) -> str:
    if value != "relative":
        conversion_factor(str(value), "gray")
    return str(value)


Date = Annotated[datetime.datetime, BeforeValidator(_date)]
Day = Annotated[float, BeforeValidator(_finite)]
Start = Annotated[Any, BeforeValidator(_start)]
Positive = Annotated[float, BeforeValidator(_positive)]
Count = Annotated[int, BeforeValidator(_count)]
RadiationDose = Annotated[float, BeforeValidator(lambda value: _dose(value, "gray", "fraction"))]
DrugDose = Annotated[float, BeforeValidator(lambda value: _dose(value, "mg/m^2", "dose"))]
DoseMapUnit = Annotated[str, BeforeValidator(_dose_map_unit)]


class Timed(Block):
    """An entry with a ``date`` or a ``day``."""

    date: Date | None = None
    day: Day | None = None

    @model_validator(mode="after")
    def _one_time(self) -> "Timed":
        if (self.date is None) == (self.day is None):
            got = "an entry without a time" if self.date is None else "an entry with both 'date' and 'day'"
            raise InputError(got, "either 'date' or 'day'", "give exactly one of them")
        return self

    @property
    def time(self) -> Time:
        """The date, or the day."""
        return self.date if self.date is not None else float(self.day or 0.0)


class AnatomyBlock(Block):
    """Where the tissue is, in one of four ways; ``mask`` and ``background`` refine the tissue maps."""

    atlas: Literal["mni152"] | None = None
    white: str | None = None
    grey: str | None = None
    csf: str | None = None
    mask: str | None = None
    background: str | None = None
    brain_mask: str | None = None
    image: str | None = None
    name: str | None = None

    @model_validator(mode="after")
    def _one_way(self) -> "AnatomyBlock":
        ways = [key for key in ("atlas", "brain_mask", "image") if getattr(self, key) is not None]
        if self.white is not None or self.grey is not None:
            if self.white is None or self.grey is None:
                raise InputError("only one of 'white' and 'grey'", "both tissue maps", "add the other one")
            ways.append("white and grey")
        if len(ways) != 1:
            raise InputError(
                f"an anatomy given by {' and by '.join(ways) or 'nothing'}",
                "exactly one of: atlas; white and grey; brain_mask; image",
                "keep one",
            )
        extra = [key for key in ("csf", "mask", "background", "name") if getattr(self, key) is not None]
        if extra and ways != ["white and grey"]:
            raise InputError(f"{extra[0]!r} beside {ways[0]!r}", f"{extra[0]!r} only beside white and grey", "remove it")
        return self


class SegmentationBlock(Block):
    """A label volume; the whole abnormal region is the union of core and oedema."""

    file: str
    core_labels: tuple[int, ...] = ()
    oedema_labels: tuple[int, ...] = ()

    @model_validator(mode="after")
    def _some_label(self) -> "SegmentationBlock":
        if not self.core_labels and not self.oedema_labels:
            raise InputError("a segmentation without labels", "core_labels, oedema_labels or both", "list the label values")
        if 0 in self.core_labels + self.oedema_labels:
            raise InputError("the label 0", "labels other than 0, which is the background", "remove it")
        if shared := set(self.core_labels) & set(self.oedema_labels):
            got = f"the label {min(shared)} in both core_labels and oedema_labels"
            raise InputError(got, "every label in one of them (the core counts as abnormal anyway)", "remove it from one")
        return self


class CellularityBlock(Block):
    """A map of cell density as a part of the carrying capacity; noise (standard deviation per voxel) in the
    same unit.
    """

    file: str
    noise: Positive
    unit: Literal["fraction", "percent"] = "fraction"
    mask: str | None = None


class ScanBlock(Timed):
    """One scan: masks, a segmentation, a lesion, and a cellularity map, at least one of them."""

    enhancing_core: str | None = None
    oedema: str | None = None
    segmentation: SegmentationBlock | None = None
    lesion: str | None = None
    cellularity: CellularityBlock | None = None
    pre_treatment: bool = False
    post_treatment: bool = False

    @model_validator(mode="after")
    def _observations(self) -> "ScanBlock":
        masks = ["masks"] if self.enhancing_core is not None or self.oedema is not None else []
        ways = masks + [key for key in ("segmentation", "lesion") if getattr(self, key) is not None]
        if not ways and self.cellularity is None:
            raise InputError(
                "a scan without any observation",
                "enhancing_core, oedema, segmentation, lesion or cellularity",
                "add one, or remove the scan",
            )
        if len(ways) > 1:
            raise InputError(
                f"a scan outlined by {' and by '.join(ways)}",
                "one of: enhancing_core and oedema; segmentation; lesion",
                "keep one",
            )
        if self.pre_treatment and self.post_treatment:
            raise InputError("a scan both pre_treatment and post_treatment", "at most one of them", "remove one")
        return self


class FractionBlock(Timed):
    """One fraction."""

    dose: RadiationDose


class CourseBlock(Block):
    """A course of equal fractions, one a day, on working days unless ``weekdays: false``."""

    start: Start
    fractions: Count
    dose_per_fraction: RadiationDose
    weekdays: bool = True


class DoseMapBlock(Block):
    """Dose per voxel: relative to the prescription, or the total in a unit of dose."""

    file: str
    unit: DoseMapUnit


class RadiotherapyBlock(Block):
    """Fractions one by one, a course, or both."""

    fractions: tuple[FractionBlock, ...] = ()
    course: CourseBlock | None = None
    dose_map: DoseMapBlock | None = None


class DrugDoseBlock(Timed):
    """One dose of a drug."""

    dose: DrugDose


class CyclesBlock(Block):
    """Cycles of daily doses, e.g. days 1 to 5 of 28."""

    start: Start
    count: Count
    days_per_cycle: Count = 5
    cycle_length_days: Count = 28
    dose: DrugDose

    @model_validator(mode="after")
    def _fits(self) -> "CyclesBlock":
        if self.days_per_cycle > self.cycle_length_days:
            raise InputError(
                f"{self.days_per_cycle} days of doses in a cycle of {self.cycle_length_days} days",
                "days_per_cycle <= cycle_length_days",
                "swap or correct them",
            )
        return self


class DailyBlock(Block):
    """A dose every day, e.g. during radiotherapy."""

    start: Start
    days: Count
    dose: DrugDose


class ChemotherapyBlock(Block):
    """Doses one by one, in cycles, daily, or together."""

    drug: Literal["temozolomide"]
    doses: tuple[DrugDoseBlock, ...] = ()
    cycles: CyclesBlock | None = None
    daily: DailyBlock | None = None


class PatientBlock(Block):
    """The whole file."""

    name: str
    anatomy: AnatomyBlock
    scans: tuple[ScanBlock, ...]
    radiotherapy: RadiotherapyBlock | None = None
    chemotherapy: ChemotherapyBlock | None = None

    @model_validator(mode="after")
    def _some_scan(self) -> "PatientBlock":
        if not self.scans:
            raise InputError("an empty list of scans", "at least one scan", "add a scan")
        return self
