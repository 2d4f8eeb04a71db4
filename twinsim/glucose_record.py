"""A continuous monitor's export as times and glucose."""

import csv
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np

from twinsim.errors import InputError
from twinsim.quantities import conversion_factor

TIME, KIND, VALUE = "Timestamp (YYYY-MM-DDThh:mm:ss)", "Event Type", "Glucose Value"


@dataclass(frozen=True)
class GlucoseRecord:
    """Readings in the order of the file, minutes from the first.

    Attributes:
        minutes: Times; a file may hold them out of order.
        values: Glucose in the unit of the file; NaN where the monitor wrote no number (it writes Low and High beyond its range).
        unit: Of the values.
        first: Clock time of the first reading.
    """

    minutes: np.ndarray
    values: np.ndarray
    unit: str
    first: datetime


def read_glucose(path: str | Path) -> GlucoseRecord:
    """Reads an export of the Dexcom Clarity layout: a header, a few rows about the patient, one row per reading (event type EGV).

    Raises:
        InputError: No such file, not text, missing columns, no readings, or a time that is none.
    """
    path = Path(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.reader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        cause = error.strerror if isinstance(error, OSError) else "not a text file"
        raise InputError(f"{path}: {cause}", "a monitor's export as comma-separated text", "check the path") from error
    header = rows[0] if rows else []
    column = next((i for i, name in enumerate(header) if name.startswith(VALUE) and "(" in name), None)
    if column is None or TIME not in header or KIND not in header:
        columns = f"columns {TIME!r}, {KIND!r} and '{VALUE} (unit)'"
        raise InputError(f"{path} with the columns {', '.join(header[:4]) or '(none)'}", columns, "export it in that layout")
    unit = header[column].split("(")[1].rstrip(") ")
    glucose_unit_factor(unit, str(path))
    when, kind = header.index(TIME), header.index(KIND)
    found: list[tuple[datetime, float]] = []
    for number, row in enumerate(rows[1:], start=2):
        if len(row) <= max(column, when, kind) or row[kind] != "EGV":
            continue
        try:
            moment = datetime.fromisoformat(row[when])
        except ValueError as error:
            raise InputError(f"{path}, line {number}: time {row[when]!r}", "a time like 2016-10-24T11:24:17", "correct the line") from error
        found.append((moment, _number(row[column])))
    if not found:
        raise InputError(f"{path} without a reading", "rows of the event type EGV", "export the readings, not only the events")
    first = found[0][0]
    minutes = np.array([(moment - first).total_seconds() / 60 for moment, _ in found])
    return GlucoseRecord(minutes, np.array([value for _, value in found]), unit, first)


def glucose_unit_factor(unit: str, where: str) -> float:
    """mg/dL per unit; a molar unit by the molar mass of glucose, 180.16 g/mol."""
    if unit.replace(" ", "") in ("mmol/L", "mmol/l"):
        return 18.016
    try:
        return conversion_factor(unit, "mg/dL")
    except InputError as error:
        raise InputError(f"{where}: glucose in {unit!r}", "mg/dL or mmol/L", "name the unit in the header of the column") from error


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")
