"""What a forecast of seizures has to beat: a constant rate, and the cycles of a person's risk without any hidden state."""

import numpy as np

from twinsim.seizure_twin import DAY_H, SeizureRecord

SHORTEST_D, LONGEST_D = 6.0, 45.0
PRIOR_PRECISION = 1.0  # of the logarithmic amplitudes of cycles


def multidien_period(record: SeizureRecord) -> float:
    """Hours: the period from 6 to 45 days whose sine takes most of the variance of log spikes, the daily cycle taken out with it."""
    there = record.present[:, 1]
    times, values = record.times[there], record.readings[there, 1]
    candidates = DAY_H * np.exp(np.linspace(np.log(SHORTEST_D), np.log(min(LONGEST_D, record.times[-1] / DAY_H / 2)), 120))
    left = [np.linalg.lstsq(_waves(times, one), values, rcond=None)[1].sum() for one in candidates]
    return float(candidates[int(np.argmin(left))])


def _waves(times: np.ndarray, period_h: float) -> np.ndarray:
    angles = (2 * np.pi * times / DAY_H, 2 * np.pi * times / period_h)
    return np.stack([np.ones_like(times), *(f(angle) for angle in angles for f in (np.cos, np.sin))], axis=1)


def fitted_cycles(record: SeizureRecord, period_h: float, rounds: int = 60) -> np.ndarray:
    """Log-linear rate of seizures in the two cycles, by Newton with a normal prior of unit spread on every amplitude.

    Source: Poisson regression, McCullagh and Nelder 1989, *Generalized Linear Models*, 6.2.
    """
    waves, count = _waves(record.times - record.interval / 2, period_h), record.readings[:, 2]
    precision = PRIOR_PRECISION * np.diag([0.0, 1.0, 1.0, 1.0, 1.0])
    weights = np.zeros(5)
    weights[0] = np.log((count.sum() + 0.5) / (count.size * record.interval))
    for _ in range(rounds):
        expected = record.interval * np.exp(waves @ weights)
        slope = waves.T @ (count - expected) - precision @ weights
        curvature = waves.T @ (expected[:, None] * waves) + precision
        move = np.linalg.solve(curvature, slope)
        weights = weights + move / max(1.0, np.abs(move).max())
    return weights


def cycles_survival(weights: np.ndarray, period_h: float, at_h: np.ndarray, times: np.ndarray) -> np.ndarray:
    """$S$ at the times after each of ``at_h``; the cycle goes on as it was."""
    middle = (times[1:] + times[:-1]) / 2
    rate = np.exp(np.stack([_waves(at + middle, period_h) @ weights for at in at_h]))
    return np.concatenate([np.ones((len(at_h), 1)), np.exp(-np.cumsum(rate * np.diff(times)[None], axis=1))], axis=1)


def poisson_survival(record: SeizureRecord, forecasts: int, times: np.ndarray) -> np.ndarray:
    """$S$ at a constant rate: the posterior mean under Jeffreys's prior."""
    rate = (record.readings[:, 2].sum() + 0.5) / (record.times.size * record.interval)
    return np.broadcast_to(np.exp(-rate * times), (forecasts, times.size)).copy()
