"""Forecasts of PSA for a cohort: leave-one-out priors, baselines that see the same schedule, and scores."""

from collections.abc import Sequence
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np

from twinsim.cohort import Cohort, Draws, Noise, PopulationNormal, draw_forecasts, estimate_population
from twinsim.errors import InputError
from twinsim.psa_models import PsaModel, Schedule
from twinsim.psa_record import PsaRecord

RISE, RISE_NG_PER_ML, SETTLED_DAYS = 1.25, 1.0, 90.0


@dataclass(frozen=True)
class Score:
    """How good forecasts were.

    Attributes:
        rmse: Root mean squared error of log PSA by the median of the draws.
        coverage90: Fraction of readings in the central 90 % interval.
        crps: Mean continuous ranked probability score of log PSA.
        count: Readings forecast.
    """

    rmse: float
    coverage90: float
    crps: float
    count: int


def psa_cohort(records: Sequence[PsaRecord], model: PsaModel) -> Cohort:
    """Records as one batch of log PSA; rows without data split intervals that are too long for the model."""
    rows = [_rows(record, model.longest_interval) for record in records]
    length = max(days.size for days, _, _ in rows)
    times, stops = (np.stack([_padded(row[k], length, row[k][-1]) for row in rows]) for k in (0, 1))
    values = np.stack([_padded(row[2], length, np.nan) for row in rows])
    scale = np.exp([row[np.isfinite(row)][0] for row in values])
    schedule = Schedule(jnp.asarray(times), jnp.asarray(stops), jnp.asarray(scale))
    return Cohort(model.priors, model.log_psa, schedule, times, values)


def _rows(record: PsaRecord, longest: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    days, stops, logs = [], [], []
    since, log_psa = record.since_stop, np.log(record.psa)
    for k in range(record.days.size):
        parts = 1
        if k + 1 < record.days.size:
            parts = max(1, int(np.ceil((record.days[k + 1] - record.days[k]) / longest)))
        for j in range(parts):
            step = 0.0 if j == 0 else (record.days[k + 1] - record.days[k]) * j / parts
            days.append(record.days[k] + step)
            stops.append(-1.0 if record.on[k] else since[k] + step)
            logs.append(log_psa[k] if j == 0 else np.nan)
    return np.array(days), np.array(stops), np.array(logs)


def _padded(row: np.ndarray, length: int, value: float) -> np.ndarray:
    return np.concatenate([row, np.full(length - row.size, value)])


def leave_one_out(cohort: Cohort, noise: Noise, left_out: Sequence[int], rounds: int = 3) -> list[PopulationNormal]:
    """For each patient named, the prior that everybody else's full records give."""
    wide = cohort.wide(noise)
    first = cohort.fit([wide] * cohort.size, np.zeros((cohort.size, len(cohort.priors))), 20)
    priors = []
    for patient in left_out:
        weights = np.asarray(first.finite, dtype=float)
        weights[patient] = 0.0
        priors.append(estimate_population(cohort, wide, first, weights, rounds))
    return priors


def in_window(cohort: Cohort, origin: float, horizon: float) -> np.ndarray:
    """Which readings lie after the origin and within the horizon."""
    return np.isfinite(cohort.values) & (cohort.times > origin) & (cohort.times <= origin + horizon)


def forecast(cohort: Cohort, priors: list[PopulationNormal], origin: float, draws: int, seed: int) -> Draws:
    """Draws for everybody from what was measured up to the origin."""
    return draw_forecasts(cohort.until(origin), priors, draws, seed)


def score(truth: np.ndarray, curves: np.ndarray, readings: np.ndarray, widening: float | np.ndarray = 1.0) -> Score:
    """Scores of forecasts of log PSA; arrays ``(readings,)`` and ``(draws, readings)``; `widening` stretches about the median."""
    centre = np.median(curves, axis=0)
    spread = centre + widening * (readings - np.median(readings, axis=0))
    low, high = np.quantile(spread, [0.05, 0.95], axis=0)
    draws = np.sort(spread, axis=0)
    n = len(draws)
    ranks = (2 * np.arange(1, n + 1) - n - 1)[:, None]
    crps = np.abs(draws - truth).mean(0) - (ranks * draws).sum(0) / n**2
    return Score(
        float(np.sqrt(np.mean((centre - truth) ** 2))), float(np.mean((low <= truth) & (truth <= high))), float(crps.mean()), truth.size
    )


def widening(truth: np.ndarray, curves: np.ndarray, readings: np.ndarray, probability: float = 0.9) -> float:
    """By which factor intervals about the median must be stretched to hold this fraction of readings."""
    centre, middle = np.median(curves, axis=0), np.median(readings, axis=0)
    low, high = np.quantile(readings, [(1 - probability) / 2, (1 + probability) / 2], axis=0)
    half = np.where(truth > centre, high - middle, middle - low)
    return float(np.quantile(np.abs(truth - centre) / np.maximum(half, 1e-9), probability))


def widening_by_others(patient: np.ndarray, truth: np.ndarray, curves: np.ndarray, readings: np.ndarray) -> np.ndarray:
    """Per reading, the :func:`widening` that every other patient's readings ask for: conformal correction, one patient left out.

    A new patient is exchangeable with those already followed through the same window; earlier windows are not exchangeable with it:
    they are easier. Readings of one patient err alike, so that the guarantee is for patients, and rough for few.
    Source: Vovk 2005, *Algorithmic Learning in a Random World*; by groups, Dunn 2023, J. Am. Stat. Assoc. 118:2491.
    """
    factors = np.empty(truth.size)
    for one in np.unique(patient):
        others = patient != one
        factors[~others] = widening(truth[others], curves[:, others], readings[:, others])
    return factors


def persistence(record: PsaRecord, origin: float, days: np.ndarray) -> np.ndarray:
    """The last log PSA up to the origin, for all days."""
    return np.full(days.size, np.log(record.psa[_last(record, origin)]))


def cycle(record: PsaRecord, origin: float, days: np.ndarray) -> np.ndarray:
    """Mean log PSA of the patient's earlier phases of the same kind, on or off, as many days after their start.

    Moved by what that rule misses at the last reading, which makes it harder to beat; persistence where there is no earlier phase.
    The phases of the days forecast are known to it, as they are to the models.
    """
    last = _last(record, origin)
    level = float(np.log(record.psa[last]))
    there = _same_phase(record, origin, record.days[last])
    found = []
    for day in days:
        value = _same_phase(record, origin, day)
        found.append(level if value is None else value + (0.0 if there is None else level - there))
    return np.array(found)


def _last(record: PsaRecord, origin: float) -> int:
    seen = np.flatnonzero(np.isfinite(record.psa) & (record.days <= origin))
    if not seen.size:
        raise InputError(got=f"no PSA up to day {origin:g} of patient {record.patient}", expected="one at least", do="raise --train-days")
    return int(seen[-1])


def _same_phase(record: PsaRecord, origin: float, day: float) -> float | None:
    """Mean over earlier phases of the same kind; a visit belongs to the phase that it ends."""
    phase = record.phase
    visit = int(np.searchsorted(record.days, day, side="right")) - 1
    if visit > 0 and record.days[visit] == day:
        visit -= 1
    current, since = phase[visit], day - record.days[np.flatnonzero(phase == phase[visit])[0]]
    values = []
    for earlier in range(current - 2, -1, -2):
        start = np.flatnonzero(phase == earlier)[0]
        belongs = np.isfinite(record.psa) & (record.days <= origin) & (phase == earlier)
        ends = np.flatnonzero(phase == earlier + 1)[0]
        belongs[ends] = np.isfinite(record.psa[ends]) and record.days[ends] <= origin
        if belongs.any():
            values.append(np.interp(since, record.days[belongs] - record.days[start], np.log(record.psa[belongs])))
    return float(np.mean(values)) if values else None


def rising_on_therapy(cohort: Cohort, curves: np.ndarray, origin: float, horizon: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Patients whose last reading of the window's second half is on therapy of 90 days or more: who, was PSA rising, how likely was it.

    Rising is 25 % and 1 ng/mL above the lowest reading since that therapy began.
    """
    stops = np.asarray(cohort.records.since_stop)
    who, happened, likely = [], [], []
    for p in range(cohort.size):
        target = np.flatnonzero(in_window(cohort, origin + horizon / 2, horizon / 2)[p])
        if not target.size:
            continue
        k = int(target[-1])
        start = k - 1
        while start > 0 and stops[p, start - 1] < 0:
            start -= 1
        if stops[p, k - 1] >= 0 or cohort.times[p, k] - cohort.times[p, start] < SETTLED_DAYS:
            continue
        seen = np.flatnonzero(np.isfinite(cohort.values[p, : k + 1]) & (np.arange(k + 1) >= start))
        psa, model = np.exp(cohort.values[p, seen]), np.exp(curves[:, p, seen])
        who.append(p)
        happened.append(psa[-1] >= max(RISE * psa.min(), psa.min() + RISE_NG_PER_ML))
        nadir = model.min(axis=1)
        # A smooth rule: nearly all draws may lie on one side of the threshold.
        above = np.log(model[:, -1] / np.maximum(RISE * nadir, nadir + RISE_NG_PER_ML))
        likely.append(float(above.mean()))
    return np.array(who, dtype=int), np.array(happened, dtype=bool), np.array(likely)


def area_under_curve(happened: np.ndarray, likely: np.ndarray) -> float | None:
    """Probability that a case scores above a non-case; ties count half; None without both kinds."""
    if happened.all() or not happened.any():
        return None
    more = likely[happened][:, None] - likely[~happened][None]
    return float(np.mean((more > 0) + 0.5 * (more == 0)))


def bootstrap_area(who: np.ndarray, happened: np.ndarray, likely: np.ndarray, seed: int, count: int = 1000) -> tuple[float, float] | None:
    """Central 90 % of the area over resampled patients."""
    random, areas = np.random.default_rng(seed), []
    patients = np.unique(who)
    for _ in range(count):
        chosen = np.concatenate([np.flatnonzero(who == p) for p in random.choice(patients, patients.size)])
        area = area_under_curve(happened[chosen], likely[chosen])
        if area is not None:
            areas.append(area)
    return (float(np.quantile(areas, 0.05)), float(np.quantile(areas, 0.95))) if areas else None
