"""Dates of a ``patient.yaml`` become days, and the order of scans and treatments is checked."""

import datetime
from collections.abc import Iterator
from itertools import pairwise

from twinsim.patient_file import Location, PatientFile
from twinsim.patient_schema import Time

EARLIEST_TREATMENT_DAYS = 365.0
"""A treatment that lies further before the first scan is taken for a typing mistake."""

LONGEST_GAP_DAYS = 3653.0
"""Two scans that lie further apart, or a treatment that lies further past the last scan, are taken for typing mistakes."""

type Event = tuple[float, float, Location]
"""Day, dose, and where it stands in the file."""


class Timeline:
    """Days since the first scan for files with dates; the file's own days otherwise."""

    def __init__(self, file: PatientFile) -> None:
        self.file = file
        first = file.content.scans[0].time
        self.origin = first if isinstance(first, datetime.datetime) else None
        self._reference: Location = ("scans", 0, "day" if self.origin is None else "date")

    def day(self, time: Time, location: Location) -> float:
        """The day of a date or day at a location of the file; dates and days do not mix."""
        if isinstance(time, datetime.datetime) != (self.origin is not None):
            mine, other = ("a day number", "dates") if self.origin is not None else ("a date", "day numbers")
            raise self.file.error(
                location,
                mine,
                f"{other}, as the first scan has at line {self.file.line(*self._reference)}",
                "write all times of the file in the same way",
            )
        if isinstance(time, datetime.datetime) and self.origin is not None:
            return (time - self.origin) / datetime.timedelta(days=1)
        return float(time)  # type: ignore[arg-type]

    def scan_days(self) -> tuple[float, ...]:
        """Days of the scans, strictly increasing."""
        days: list[float] = []
        for index, scan in enumerate(self.file.content.scans):
            location = ("scans", index, "date" if scan.date is not None else "day")
            day = self.day(scan.time, location)
            if days and day <= days[-1]:
                raise self.file.error(
                    location,
                    f"a scan on day {day:g}, not after the one before it (day {days[-1]:g}, "
                    f"line {self.file.line('scans', index - 1, location[-1])})",
                    "scans in order of time",
                    "sort them, or correct the date",
                )
            if days and day - days[-1] > LONGEST_GAP_DAYS:
                raise self.file.error(
                    location,
                    f"a scan {day - days[-1]:g} days after the one before it",
                    f"at most {LONGEST_GAP_DAYS:g} days",
                    "check the year",
                )
            days.append(day)
        return tuple(days)

    def fractions(self) -> tuple[Event, ...]:
        """Radiotherapy fractions in order, dose in Gy."""
        block = self.file.content.radiotherapy
        events: list[Event] = []
        if block is not None:
            for index, fraction in enumerate(block.fractions):
                location = (
                    "radiotherapy",
                    "fractions",
                    index,
                    "date" if fraction.date is not None else "day",
                )
                events.append((self.day(fraction.time, location), fraction.dose, location))
            if block.course is not None:
                course, location = block.course, ("radiotherapy", "course", "start")
                start = self.day(course.start, location)
                offsets = self._working_days(course.start, location) if course.weekdays else iter(range(10**6))
                events += [(start + next(offsets), course.dose_per_fraction, location) for _ in range(course.fractions)]
        return self._ordered(events, "fractions")

    def drug_doses(self) -> tuple[Event, ...]:
        """Chemotherapy doses in order, dose in mg/m^2."""
        block = self.file.content.chemotherapy
        events: list[Event] = []
        if block is not None:
            for index, dose in enumerate(block.doses):
                location = ("chemotherapy", "doses", index, "date" if dose.date is not None else "day")
                events.append((self.day(dose.time, location), dose.dose, location))
            if block.cycles is not None:
                cycles, location = block.cycles, ("chemotherapy", "cycles", "start")
                start = self.day(cycles.start, location)
                events += [
                    (start + cycle * cycles.cycle_length_days + day, cycles.dose, location)
                    for cycle in range(cycles.count)
                    for day in range(cycles.days_per_cycle)
                ]
            if block.daily is not None:
                location = ("chemotherapy", "daily", "start")
                start = self.day(block.daily.start, location)
                events += [(start + day, block.daily.dose, location) for day in range(block.daily.days)]
        return self._ordered(events, "doses of a drug")

    def check_flags(self, scan_days: tuple[float, ...], treatments: tuple[Event, ...]) -> None:
        """Refuse scans whose ``pre_treatment`` or ``post_treatment`` contradicts the dates, and treatments
        long before or after all scans.
        """
        first = min(treatments, default=None)
        if first is not None and first[0] < scan_days[0] - EARLIEST_TREATMENT_DAYS:
            raise self.file.error(
                first[2],
                f"a treatment {scan_days[0] - first[0]:g} days before the first scan",
                f"at most {EARLIEST_TREATMENT_DAYS:g} days",
                "check the year",
            )
        last = max(treatments, default=None)
        if last is not None and last[0] > scan_days[-1] + LONGEST_GAP_DAYS:
            raise self.file.error(
                last[2],
                f"a treatment {last[0] - scan_days[-1]:g} days after the last scan",
                f"at most {LONGEST_GAP_DAYS:g} days",
                "check the year",
            )
        for index, (scan, day) in enumerate(zip(self.file.content.scans, scan_days, strict=True)):
            if scan.pre_treatment and first is not None and day > first[0]:
                raise self.file.error(
                    ("scans", index, "pre_treatment"),
                    f"a pre_treatment scan on day {day:g}, after the first treatment (day {first[0]:g}, line {self.file.line(*first[2])})",
                    "it before the first treatment",
                    "correct one of the dates, or remove pre_treatment",
                )
            if scan.post_treatment and (first is None or day < first[0]):
                when = (
                    "and no treatment at all"
                    if first is None
                    else (f"before the first treatment (day {first[0]:g}, line {self.file.line(*first[2])})")
                )
                raise self.file.error(
                    ("scans", index, "post_treatment"),
                    f"a post_treatment scan on day {day:g}, {when}",
                    "it after the first treatment",
                    "correct one of the dates, or remove post_treatment",
                )

    def _working_days(self, start: Time, location: Location) -> Iterator[int]:
        """Offsets in days of Mondays to Fridays; a start given as a day number counts as a Monday."""
        weekday = start.weekday() if isinstance(start, datetime.datetime) else 0
        if weekday > 4:
            raise self.file.error(
                location,
                f"a course on weekdays that starts on a {('Saturday', 'Sunday')[weekday - 5]}",
                "a start from Monday to Friday",
                "correct the date, or write weekdays: false",
            )
        return (offset for offset in range(10**6) if (weekday + offset) % 7 < 5)

    def _ordered(self, events: list[Event], what: str) -> tuple[Event, ...]:
        events = sorted(events, key=lambda event: event[0])
        for one, other in pairwise(events):
            if one[0] == other[0]:
                raise self.file.error(
                    other[2],
                    f"two {what} at one time (day {one[0]:g}; the other at line {self.file.line(*one[2])})",
                    "different times",
                    "remove one, or give the hour (2024-03-18 14:00:00)",
                )
        return tuple(events)
