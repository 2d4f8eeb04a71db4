"""How good forecasts of events are: probabilities and times scored properly, and warnings beside chance."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy import stats

from twinsim.errors import InputError

Survival = Float[np.ndarray, "forecasts times"]
PerForecast = Float[np.ndarray, " forecasts"]


@dataclass(frozen=True)
class Warnings:
    """What an alarm did over a record.

    Attributes:
        sensitivity: Share of the events that were warned of.
        warned: How many.
        events: Of how many.
        time_in_warning: Share of the time.
        false_per_hour: Warnings without an event, per hour of the record.
        chance: Sensitivity of a Poisson alarm with as much time in warning.
        p_value: That such an alarm warns of as many, one-sided.
    """

    sensitivity: float
    warned: int
    events: int
    time_in_warning: float
    false_per_hour: float
    chance: float
    p_value: float

    @property
    def improvement(self) -> float:
        """Over chance."""
        return self.sensitivity - self.chance


def _check_survival(survival: np.ndarray, times: np.ndarray) -> None:
    if survival.ndim != 2 or survival.shape[1] != times.size or times.size < 2 or times[0] != 0 or not (np.diff(times) > 0).all():
        raise InputError(
            f"survival of shape {survival.shape} at {times.size} times from {times[0] if times.size else None}",
            "one column per time, from 0 upwards",
            "give S(t) on one grid that begins at 0",
        )
    if (
        not np.isfinite(survival).all()
        or (np.diff(survival, axis=1) > 1e-9).any()
        or (survival < -1e-9).any()
        or (survival > 1 + 1e-9).any()
    ):
        raise InputError("a survival that rises, leaves 0 to 1 or is no number", "1 at first, never rising", "check the forecast")


def brier(probability: PerForecast, happened: np.ndarray) -> float:
    r"""$\overline{(p-o)^2}$. Source: Brier 1950, Mon Weather Rev 78, 1."""
    return float(np.mean((probability - happened) ** 2))


def skill(score: float, reference: float) -> float:
    """One minus the ratio: 1 is perfect, 0 no better than the reference, negative worse; NaN without a reference."""
    return 1 - score / reference if reference > 0 else float("nan")


def probability_within(survival: Survival, times: Float[np.ndarray, " times"], window: float) -> PerForecast:
    """Of an event within the window, from survival curves; linear between the times."""
    _check_survival(survival, times)
    if not 0 < window <= times[-1]:
        raise InputError(f"a window of {window:g}", f"above 0 and at most {times[-1]:g}", "choose one within the forecast")
    right = int(np.searchsorted(times, window))
    share = (window - times[right - 1]) / (times[right] - times[right - 1])
    return 1 - ((1 - share) * survival[:, right - 1] + share * survival[:, right])


def crps_of_onset(survival: Survival, times: Float[np.ndarray, " times"], onset: PerForecast) -> PerForecast:
    r"""$\int_0^H\left(F(t)-[t\ge T]\right)^2dt$: the continuous ranked probability score up to the horizon, in the unit of the times.

    Onsets beyond the horizon (infinite too) count as not before it, so that the score stays proper for censored times. Exact for $F$
    linear between the times. Source: Gneiting and Ranjan 2011, J Bus Econ Stat 29, 411 (weight on $[0,H]$).
    """
    _check_survival(survival, times)
    left, right, step = 1 - survival[:, :-1], 1 - survival[:, 1:], np.diff(times)[None]
    share = np.clip((onset[:, None] - times[None, :-1]) / step, 0.0, 1.0)  # of each interval that lies before the onset
    middle = left + share * (right - left)

    def squared(first: np.ndarray, last: np.ndarray) -> np.ndarray:
        return (first**2 + first * last + last**2) / 3

    return (step * (share * squared(left, middle) + (1 - share) * squared(1 - middle, 1 - right))).sum(axis=1)


def log_score(survival: Survival, times: Float[np.ndarray, " times"], onset: PerForecast, least: float = 1e-12) -> PerForecast:
    r"""$-\log$ of the probability of what came: of the interval of the grid that holds the onset, or of none up to the horizon."""
    _check_survival(survival, times)
    place = np.searchsorted(times, onset, side="left")  # times[place - 1] < onset <= times[place]
    rows = np.arange(onset.size)
    inside = onset <= times[-1]
    held = np.clip(place, 1, times.size - 1)
    mass = np.where(inside, survival[rows, held - 1] - survival[rows, held], survival[:, -1])
    return -np.log(np.maximum(mass, least))


def reliability(probability: PerForecast, happened: np.ndarray, bins: int = 8) -> tuple[np.ndarray, np.ndarray, Int[np.ndarray, " bins"]]:
    """Mean forecast, observed share and count in bins of as many forecasts each; equal forecasts stay in one bin.

    Source: Bröcker and Smith 2007, Weather Forecast 22, 651.
    """
    order = np.argsort(probability, kind="stable")
    rising = np.round(np.asarray(probability, float)[order], 9)
    cuts = np.searchsorted(rising, rising[np.unique(len(rising) * np.arange(1, bins) // bins)], "left") if len(rising) else np.zeros(0, int)
    full = [one for one in np.split(order, np.unique(cuts)) if one.size]
    return (
        np.array([probability[one].mean() for one in full]),
        np.array([np.mean(happened[one]) for one in full]),
        np.array([one.size for one in full]),
    )


def chance_sensitivity(time_in_warning: float, duration: float, lead: float = 0.0) -> float:
    r"""Share of events that Poisson alarms warn of, each of which keeps the warning on for ``duration``.

    With rate $\Lambda=-\log(1-\rho)/\tau_w$, the share $\rho$ of the time is in warning. An event counts when the warning was on without a
    gap over the last $\tau_0\le\tau_w$: $1-e^{-\Lambda\tau_w}(1+\Lambda\tau_0)$, which is $\rho$ for $\tau_0=0$. (Snyder et al. print
    $1-e^{-\Lambda\tau_w+1-e^{-\Lambda\tau_0}}$, equal to first order in $\Lambda\tau_0$.)

    Source: Snyder, Echauz, Grimes and Litt 2008, J Neural Eng 5, 392.
    """
    if not 0 <= time_in_warning <= 1 or not 0 <= lead <= duration or not duration > 0:
        raise InputError(
            f"time in warning {time_in_warning:g}, duration {duration:g}, lead {lead:g}",
            "a share from 0 to 1, a duration above 0, a lead from 0 to the duration",
            "correct them",
        )
    if time_in_warning == 1:
        return 1.0
    rate = -np.log1p(-time_in_warning) / duration
    return float(1 - np.exp(-rate * duration) * (1 + rate * lead))


def _on(alarm: np.ndarray, events: np.ndarray, step: float, lead: float) -> np.ndarray:
    """Whether each event has the warning on at it and all through the lead before it."""
    last = np.clip(np.ceil(events / step - 1e-9).astype(int) - 1, 0, alarm.size - 1)
    first = np.clip(np.ceil((events - lead) / step - 1e-9).astype(int) - 1, 0, alarm.size - 1)
    since = np.concatenate([[0], np.cumsum(~alarm)])
    return since[last + 1] - since[first] == 0


def warnings_of(alarm: np.ndarray, events: Sequence[float] | np.ndarray, step: float, lead: float = 0.0) -> Warnings:
    """Scores of an alarm that is decided at the beginning of every step and kept over it.

    Args:
        alarm: Boolean, one per step.
        events: Times from the beginning of the record; one at the border of two steps belongs to the earlier.
        step: Hours.
        lead: Hours that the warning must have been on before an event for it to count.

    Raises:
        InputError: No step, or an event outside of the record.
    """
    alarm, events = np.asarray(alarm, bool), np.asarray(events, float)
    if not alarm.size or (events < 0).any() or (events > alarm.size * step + 1e-9).any():
        raise InputError(f"{alarm.size} steps and events up to {events.max(initial=0):g}", "events within the record", "cut both alike")
    warned = _on(alarm, events, step, lead)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], alarm, [False]]).astype(int)))
    starts, ends = edges[::2] * step, edges[1::2] * step
    false = sum(not ((events > a) & (events <= b)).any() for a, b in zip(starts, ends, strict=True))
    share = float(alarm.mean())
    chance = chance_sensitivity(share, max(step, lead), lead)
    count = int(warned.sum())
    p_value = float(stats.binom.sf(count - 1, events.size, chance)) if events.size else 1.0
    sensitivity = count / events.size if events.size else float("nan")
    return Warnings(sensitivity, count, int(events.size), share, false / (alarm.size * step), chance, p_value)


def surrogate_p_value(
    alarm: np.ndarray, events: np.ndarray, step: float, seed: int, lead: float = 0.0, surrogates: int = 999, whole: float | None = None
) -> float:
    r"""$(1+\#\{\text{surrogates warned at least as often}\})/(1+\#)$ with event times shifted round the record.

    A shift keeps the intervals between events. ``whole`` draws shifts of whole multiples of it: with 24 h the time of the
    day of every event stays, and only what the alarm knows beyond the time of the day can be significant.

    Source: Andrzejak, Chicharro, Elger and Mormann 2009, Clin Neurophysiol 120, 1465; Andrzejak et al. 2003, Phys Rev E 67, 010901.
    """
    alarm, events = np.asarray(alarm, bool), np.asarray(events, float)
    span = alarm.size * step
    generator = np.random.default_rng([seed, 2009])
    shifts = generator.uniform(0, span, surrogates)
    if whole is not None:
        span = np.floor(span / whole) * whole
        if span < 2 * whole:
            raise InputError(f"a record of {alarm.size * step:g} h", f"two multiples of {whole:g} h at least", "take a longer record")
        events = events[events <= span]
        shifts = whole * generator.integers(1, round(span / whole), surrogates)
        alarm = alarm[: round(span / step)]
    own = _on(alarm, events, step, lead).sum()
    found = np.array([_on(alarm, (events + shift) % span, step, lead).sum() for shift in shifts])
    return float((1 + (found >= own).sum()) / (1 + surrogates))


def sensitivity_curve(
    risk: PerForecast, events: np.ndarray, step: float, shares: np.ndarray, lead: float = 0.0
) -> Float[np.ndarray, " shares"]:
    """Sensitivity when the steps of highest risk are in warning, for each share of the time; chance is the share itself without a lead."""
    rank = np.argsort(np.argsort(-risk, kind="stable"), kind="stable")
    found = [_on(rank < round(share * risk.size), np.asarray(events, float), step, lead).mean() for share in shares]
    return np.array(found)
