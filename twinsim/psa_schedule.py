"""Which way of giving and pausing therapy delays progression most, by the posterior of one patient."""

from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from twinsim.prior import values_of
from twinsim.psa_models import PsaModel, Schedule
from twinsim.psa_record import PsaRecord

STEP_DAYS = 28.0
ON_DAYS = 252.0  # nine months, the trial's
PAUSES_DAYS = (0.0, 84.0, 168.0, 252.0, 364.0)
PROGRESSED_NG_PER_ML, SETTLED_DAYS = 4.0, 84.0


@dataclass(frozen=True)
class Option:
    """One way of treating.

    Attributes:
        pause_days: Days off after each course; zero is continuous therapy.
        days_to_progression: Per draw; the horizon where nothing happens within it.
        fraction_on: Of the horizon.
    """

    pause_days: float
    days_to_progression: np.ndarray
    fraction_on: float

    @property
    def mean_days(self) -> float:
        """Mean over the draws, progression counted at the horizon at the latest."""
        return float(self.days_to_progression.mean())

    def later_than(self, other: "Option") -> tuple[float, float]:
        """By how many days progression comes later than under another option, mean over the draws and its standard error.

        Paired: both options continue the same draws. The error is that of so many draws; it says nothing about the model.
        """
        difference = self.days_to_progression - other.days_to_progression
        return float(difference.mean()), float(difference.std(ddof=1) / np.sqrt(difference.size))


def told_apart(options: list[Option]) -> Option | None:
    """The first option, if its progression comes later than under every other by more than two standard errors; else None."""
    differences = [options[0].later_than(other) for other in options[1:]]
    return options[0] if all(mean > 2 * error for mean, error in differences) else None


def compare_options(model: PsaModel, record: PsaRecord, points: np.ndarray, origin: float, horizon: float = 1092.0) -> list[Option]:
    """Courses of nine months with pauses of several lengths from the origin on, best first; ties go to less therapy.

    Progression is PSA above 4 ng/mL after 84 days of a course or more: the trial took who did not fall below that out of intermittent
    therapy. A simulation from a model of PSA, with no account of survival, side effects or later treatment; no advice.

    Args:
        model: The model that was calibrated.
        record: The patient; only visits up to the origin count.
        points: Draws of the posterior, ``(draws, parameters)``.
        origin: Day from which the options differ.
        horizon: Days after it.
    """
    past = record.days <= origin
    days, stops = record.days[past], record.since_stop[past]
    first_psa = float(record.psa[np.isfinite(record.psa)][0])
    future = origin + np.arange(0.0, horizon + STEP_DAYS / 2, STEP_DAYS)
    options = []
    for pause in PAUSES_DAYS:
        at = future - origin
        cycle = ON_DAYS + pause
        inside = np.mod(at, cycle)
        on = (inside < ON_DAYS) | (pause == 0)
        later = np.where(on, -1.0, inside - ON_DAYS)
        rows = np.concatenate([stops[days < origin], later])
        times, row, since = _split(np.concatenate([days[days < origin], future]))
        off = np.where(rows[row] < 0, -1.0, rows[row] + since)
        schedule = Schedule(jnp.asarray(times), jnp.asarray(off), jnp.asarray(first_psa))
        curves = np.asarray(_curves(model, jnp.asarray(points), schedule))[:, -future.size :]
        given = at if pause == 0 else inside
        settled = (np.where(on, given, 0.0) >= SETTLED_DAYS) if pause else at >= SETTLED_DAYS
        high = (curves > np.log(PROGRESSED_NG_PER_ML)) & settled
        first = np.where(high.any(1), at[high.argmax(1)], horizon)
        options.append(Option(pause, first, float(on.mean())))
    return sorted(options, key=lambda option: (-option.mean_days, option.fraction_on))


def _split(days: np.ndarray, longest: float = 32.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Times with long gaps filled, the row that each continues, and the days since that row."""
    times, rows, since = [], [], []
    for k in range(days.size):
        parts = int(np.ceil((days[k + 1] - days[k]) / longest)) if k + 1 < days.size else 1
        for j in range(max(parts, 1)):
            step = 0.0 if j == 0 else (days[k + 1] - days[k]) * j / parts
            times.append(days[k] + step)
            rows.append(k)
            since.append(step)
    return np.array(times), np.array(rows), np.array(since)


@eqx.filter_jit
def _curves(model: PsaModel, points: jax.Array, schedule: Schedule) -> jax.Array:
    return jax.vmap(lambda z: model.log_psa(values_of(model.priors, z), schedule))(points)
