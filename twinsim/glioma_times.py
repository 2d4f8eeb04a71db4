"""When a glioma twin's steps begin, and the days that they stop at."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from solvers import TimeMesh, time_mesh
from twinsim.patient import PatientRecord, RadiotherapyFraction

MAX_STEP_DAYS = 1.0
UNSEEN_STEPS = 180
HISTORY_DAYS = 7.0


def first_day(record: PatientRecord) -> float:
    """The first scan or treatment; before it nothing is known of the tumour."""
    return min([record.scans[0].day, *record.chemotherapy.days, *(f.day for f in record.radiotherapy.fractions)])


def given_fractions(record: PatientRecord) -> list[RadiotherapyFraction]:
    """Fractions before the last scan; the others are the plan."""
    return [fraction for fraction in record.radiotherapy.fractions if fraction.day < record.scans[-1].day]


def growth_mesh(record: PatientRecord, save: Sequence[float]) -> TimeMesh:
    """Steps from onset to the last of the days to save, with an event for every fraction given before the last scan."""
    given = [fraction.day for fraction in given_fractions(record)]
    onset = first_day(record) - UNSEEN_STEPS * MAX_STEP_DAYS
    return time_mesh(onset, save, MAX_STEP_DAYS, events=given, breakpoints=record.chemotherapy.days)


def history_days(record: PatientRecord) -> tuple[float, ...]:
    """The days of the scans and, for curves, a day of every week between them (a hundred at most)."""
    scans = [scan.day for scan in record.scans]
    every = max(HISTORY_DAYS, (scans[-1] - scans[0]) / 100)
    between = [float(day) for one, other in pairwise(scans) for day in np.arange(one + every, other - every / 2, every)]
    return tuple(sorted([*scans, *between]))
