"""Visits of people with one reading per brain region, from a table that anyone can write."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from twinsim.atomic import atomic_path
from twinsim.errors import InputError, near_misses

PERSON, TIME = "person", "time_years"
LEAST, MOST = 0.0, 20.0  # of a ratio of uptakes; what lies outside has another unit
LONGEST_YEARS = 100.0  # between visits of one person; more is days or months


@dataclass(frozen=True, eq=False)
class PersonVisits:
    """One person.

    Attributes:
        person: Name.
        years: Of the visits, ascending, from any origin.
        readings: Uptake ratios, ``(visits, regions)`` in the order of the connectome; NaN where nothing was read.
    """

    person: str
    years: np.ndarray
    readings: np.ndarray

    def __post_init__(self) -> None:
        """Refuses what no visits are: shapes that differ, times that do not increase, readings of another unit, a visit without any."""
        who = f"person {self.person}"
        if self.years.ndim != 1 or not self.years.size or self.readings.shape[:1] != self.years.shape or self.readings.ndim != 2:
            got = f"{who}: {self.years.shape} times with readings of shape {self.readings.shape}"
            raise InputError(got, "one row of readings per visit, at least one", "give as many")
        if not np.isfinite(self.years).all():
            raise InputError(f"{who}: a time that is no number", "years as numbers", "correct it")
        back = np.flatnonzero(np.diff(self.years) <= 0)
        if back.size:
            k = int(back[0])
            got = f"{who}: a visit at {self.years[k + 1]:g} years after one at {self.years[k]:g}"
            raise InputError(got, "visits in order of time, each later than the one before", "sort them, merge those of one day")
        if self.years[-1] - self.years[0] > LONGEST_YEARS:
            got = f"{who}: {self.years[-1] - self.years[0]:g} years from first to last visit"
            raise InputError(got, f"at most {LONGEST_YEARS:g}", "give years, not days or months")
        wrong = ~np.isnan(self.readings) & ~((self.readings > LEAST) & (self.readings < MOST))
        if wrong.any():
            visit, region = np.argwhere(wrong)[0]
            got = f"{who}: a reading of {self.readings[visit, region]:g} at {self.years[visit]:g} years"
            raise InputError(got, f"uptake ratios (SUVR) above {LEAST:g} and below {MOST:g}", "convert them, leave empty what is missing")
        empty = np.flatnonzero(np.isnan(self.readings).all(axis=1))
        if empty.size:
            raise InputError(f"{who}: a visit at {self.years[empty[0]]:g} years without a reading", "at least one", "remove the row")

    def first(self, visits: int) -> "PersonVisits":
        """The same person before the other visits."""
        return PersonVisits(self.person, self.years[:visits], self.readings[:visits])


def read_visits(path: str | Path, regions: Sequence[str]) -> list[PersonVisits]:
    """Reads a CSV with the columns ``person``, ``time_years`` and any of the regions; an empty field or ``nan`` is missing.

    Rows of one person stand in order of time; people may be mixed. Regions without a column are missing for everybody.

    Raises:
        InputError: No such file, no such table, an unknown or repeated column, a field that is no number, or what
            :class:`PersonVisits` refuses; each with line and column where there is one.
    """
    path = Path(path)
    wanted = f"a CSV with the columns {PERSON}, {TIME} and regions of the connectome"
    if not path.is_file():
        raise InputError(f"no file {path}", wanted, "correct the path")
    try:
        rows = [row for row in csv.reader(io.StringIO(path.read_text(encoding="utf-8-sig"))) if any(field.strip() for field in row)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path.name}: {error}", wanted, "save it as text with commas") from None
    if len(rows) < 2:
        raise InputError(f"{path.name} with {len(rows)} rows", f"{wanted}, and at least one visit", "fill it")
    columns = [field.strip() for field in rows[0]]
    places = _places(path.name, columns, regions, wanted)
    found: dict[str, list[tuple[float, np.ndarray]]] = {}
    for number, row in enumerate(rows[1:], 2):
        if len(row) != len(columns):
            raise InputError(f"{path.name}, row {number}: {len(row)} fields", f"{len(columns)}, one per column", "correct the row")
        readings = np.full(len(regions), np.nan)
        for place, column, field in zip(places, columns, row, strict=True):
            if place >= 0:
                readings[place] = _number(path.name, number, column, field, missing=True)
        person = row[columns.index(PERSON)].strip()
        if not person:
            raise InputError(f"{path.name}, row {number}: no person", "a name or number", "fill it in")
        found.setdefault(person, []).append((_number(path.name, number, TIME, row[columns.index(TIME)], missing=False), readings))
    people = []
    for person, visits in found.items():
        try:
            people.append(PersonVisits(person, np.array([years for years, _ in visits]), np.stack([one for _, one in visits])))
        except InputError as error:
            raise InputError(f"{path.name}: {error.got}", error.expected, error.do) from None
    return people


def write_visits(path: str | Path, people: Sequence[PersonVisits], regions: Sequence[str]) -> None:
    """Writes what :func:`read_visits` reads, whole or not at all.

    Raises:
        InputError: Readings that are not one per region, or a place that cannot be written to.
    """
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow([PERSON, TIME, *regions])
    for one in people:
        if one.readings.shape[1] != len(regions):
            got = f"person {one.person}: {one.readings.shape[1]} readings a visit"
            raise InputError(got, f"{len(regions)}, one per region", "name the regions in their order")
        for years, readings in zip(one.years, one.readings, strict=True):
            rows.writerow([one.person, repr(float(years)), *("" if np.isnan(value) else repr(float(value)) for value in readings)])
    with atomic_path(path) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8")


def _places(name: str, columns: list[str], regions: Sequence[str], wanted: str) -> list[int]:
    """Which region each column is; minus one for person and time."""
    for column in (PERSON, TIME):
        if column not in columns:
            raise InputError(f"{name} without the column {column}", wanted, "add it")
    twice = next((one for one in columns if columns.count(one) > 1), None)
    if twice is not None:
        raise InputError(f"{name} with the column {twice!r} twice", "each once", "remove one")
    index = {region: place for place, region in enumerate(regions)}
    for column in columns:
        if column not in index and column not in (PERSON, TIME):
            raise InputError(f"{name}: column {column!r}", "a region of the connectome", near_misses(column, regions))
    if len(columns) == 2:
        raise InputError(f"{name} without a region", wanted, "add columns")
    return [-1 if column in (PERSON, TIME) else index[column] for column in columns]


def _number(name: str, row: int, column: str, field: str, missing: bool) -> float:
    text = field.strip()
    if missing and text.lower() in ("", "nan", "na"):
        return np.nan
    try:
        value = float(text)
    except ValueError:
        value = np.nan
    if not np.isfinite(value):
        raise InputError(f"{name}, row {row}, column {column}: {text!r}", "a number" + (" or nothing" if missing else ""), "correct it")
    return value
