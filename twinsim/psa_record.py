"""Records of prostate-specific antigen under intermittent androgen deprivation."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np

from twinsim.data import locate
from twinsim.errors import InputError

COLUMNS = 10
PATIENT, DATE, PSA, TESTOSTERONE, ON = 0, 1, 4, 5, 7


@dataclass(frozen=True)
class PsaRecord:
    """One patient's visits.

    Attributes:
        patient: Number in the trial.
        days: Since the first visit.
        psa: ng/mL; NaN where not measured.
        testosterone: nmol/L; NaN where not measured.
        on: Whether therapy is on from this visit to the next.
    """

    patient: int
    days: np.ndarray
    psa: np.ndarray
    testosterone: np.ndarray
    on: np.ndarray

    def __post_init__(self) -> None:
        """Refuses what is no record: lengths that differ, dates out of order, PSA that is not positive, no PSA at all."""
        where = f"patient {self.patient}"
        if not self.days.size == self.psa.size == self.testosterone.size == self.on.size:
            raise InputError(got=f"{where}: columns of different length", expected="one value per visit", do="fill gaps with NaN")
        backwards = np.flatnonzero(np.diff(self.days) <= 0)
        if backwards.size:
            k = int(backwards[0]) + 1
            raise InputError(
                got=f"{where}: day {self.days[k]:g} after day {self.days[k - 1]:g}",
                expected="visits in order of date, one per day",
                do="sort the visits and merge those of one day",
            )
        wrong = np.flatnonzero(self.psa <= 0)
        if wrong.size:
            raise InputError(
                got=f"{where}: PSA {self.psa[wrong[0]]:g} ng/mL on day {self.days[wrong[0]]:g}",
                expected="a PSA above 0 ng/mL, or an empty field",
                do="correct the value; give the detection limit for what is below it",
            )
        if not np.isfinite(self.psa).any():
            raise InputError(got=f"{where}: no PSA", expected="at least one PSA", do="give a record with PSA")

    @property
    def since_stop(self) -> np.ndarray:
        """Days since therapy stopped, at each visit; minus one where therapy is on."""
        stopped = np.where(self.on, -1.0, 0.0)
        start = self.days[0]
        for k in range(self.days.size):
            if not self.on[k]:
                start = self.days[k] if k and self.on[k - 1] else start
                stopped[k] = self.days[k] - start
        return stopped

    @property
    def phase(self) -> np.ndarray:
        """Number of the on or off phase that each visit begins or continues, from 0."""
        return np.concatenate([[0], np.cumsum(self.on[1:] != self.on[:-1])])


def read_record(path: Path) -> PsaRecord:
    """Read one file of the trial: patient, date, two doses, PSA, testosterone, cycle, on (1) or off (0), and two day counts.

    Raises:
        InputError: Not such a file, or a record that cannot be used.
    """
    with path.open(newline="") as file:
        rows = [row for row in csv.reader(file) if row]
    for number, row in enumerate(rows, 1):
        if len(row) != COLUMNS or row[ON].strip() not in ("0", "1"):
            raise InputError(
                got=f"line {number} of {path.name} with {len(row)} fields",
                expected=f"{COLUMNS} fields, the eighth of them 0 or 1",
                do="restore the file from its source",
            )
    try:
        dates = [datetime.strptime(row[DATE].split()[0], "%Y/%m/%d") for row in rows]
        psa, testosterone = (np.array([float(row[k]) if row[k].strip() else np.nan for row in rows]) for k in (PSA, TESTOSTERONE))
        patient = int(rows[0][PATIENT])
    except (ValueError, IndexError) as error:
        raise InputError(
            got=f"{path.name}: {error}", expected="dates as 1995/6/27 and numbers or empty fields", do="restore the file from its source"
        ) from None
    days = np.array([(date - dates[0]).days for date in dates], dtype=float)
    return PsaRecord(patient, days, psa, testosterone, np.array([row[ON].strip() == "1" for row in rows]))


def read_cohort() -> list[PsaRecord]:
    """All patients of the data set `psa_iadt`, by number."""
    return sorted((read_record(path) for path in locate("psa_iadt").glob("patient*.txt")), key=lambda record: record.patient)


def numbered(records: Sequence[PsaRecord], patient: int) -> int:
    """Index of a patient.

    Raises:
        InputError: Nobody has that number.
    """
    known = [record.patient for record in records]
    if patient not in known:
        close = sorted(sorted(known, key=lambda number: abs(number - patient))[:3])
        raise InputError(
            got=f"patient {patient}",
            expected=f"one of the {len(known)} patients of the data set, {known[0]} to {known[-1]} with gaps",
            do=f"use for instance {', '.join(map(str, close))}",
        )
    return known.index(patient)
