"""Forecasts of the next visit from a fitted spreading load, simple rules to compare with, and scores of both."""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from twinsim.inference.problem import Predict
from twinsim.prior import values_of
from twinsim.spreading_model import PRIORS, SpreadingFit
from twinsim.visit_table import PersonVisits

RULE_STEPS = 20  # of the rule that follows rates at present readings


def predicted_readings(predict: Predict, years: np.ndarray, seeds: np.ndarray, z: np.ndarray, regions: int) -> np.ndarray:
    """Readings without scatter: ``(people, draws, times, regions)``.

    Args:
        predict: From :func:`twinsim.spreading_model.predictor`.
        years: Since the first visit, ascending, ``(people, times)``.
        seeds: Where the load started, ``(people, draws)``.
        z: Coordinates, ``(people, draws, parameters)``.
        regions: How many.
    """

    people, draws = seeds.shape
    flat = _predicted(
        predict,
        regions,
        jnp.asarray(np.repeat(years, draws, axis=0)),
        jnp.asarray(seeds.ravel()),
        jnp.asarray(z.reshape(people * draws, -1)),
    )
    return np.asarray(flat).reshape(people, draws, *flat.shape[1:])


def forecast_draws(fit: SpreadingFit, predict: Predict, years: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draws of what the next reading shows, without and with its scatter: twice ``(people, draws, regions)``.

    Args:
        fit: People up to their last given visit.
        predict: As they were fitted.
        years: Of the forecast, since the first visit, one per person.
        seed: Of the scatter.
    """
    clean = predicted_readings(predict, np.asarray(years)[:, None], fit.seeds, fit.z, fit.batch.record.shape[-1])[:, :, 0]
    error = np.asarray(PRIORS[-1].value(jnp.asarray(fit.z[..., -1])))
    return clean, clean + error[..., None] * np.random.default_rng([seed, 1]).standard_normal(clean.shape)


def no_change(person: PersonVisits) -> np.ndarray:
    """The last reading of each region; the person's mean reading then where a region has none."""
    last = person.readings[0]
    for row in person.readings[1:]:
        last = np.where(np.isfinite(row), row, last)
    return np.where(np.isfinite(last), last, np.nanmean(last))


def own_slopes(person: PersonVisits) -> np.ndarray:
    """Least-squares change per year of each region; zero where fewer than two visits have it."""
    seen = np.isfinite(person.readings)
    count = seen.sum(axis=0)
    at = np.where(seen, person.years[:, None] - person.years[0], 0.0)
    values = np.where(seen, person.readings, 0.0)
    middle, mean = at.sum(axis=0) / np.maximum(count, 1), values.sum(axis=0) / np.maximum(count, 1)
    off = np.where(seen, at - middle, 0.0)
    square = (off**2).sum(axis=0)
    return np.where((count > 1) & (square > 0), (off * (values - mean)).sum(axis=0) / np.where(square > 0, square, 1.0), 0.0)


def own_line(person: PersonVisits, year: float) -> np.ndarray:
    """Each region along its own line of least squares; without change where it has one reading."""
    seen = np.isfinite(person.readings)
    count = np.maximum(seen.sum(axis=0), 1)
    middle = np.where(seen, person.years[:, None], 0.0).sum(axis=0) / count
    mean = np.where(seen, person.readings, 0.0).sum(axis=0) / count
    slopes = own_slopes(person)
    return np.where(slopes != 0, mean + slopes * (year - middle), no_change(person))


def rules(people: Sequence[PersonVisits], years: Sequence[float]) -> dict[str, np.ndarray]:
    """Forecasts of simple rules, ``(people, regions)`` each; nobody's later visit is used.

    ``no_change``: the last reading. ``linear``: each region's own line. ``mean_rate``: the last reading and the mean slope of this region
    among all people. ``rate_of_level``: the last reading, moved with the mean rate of change that readings of its height had in all people
    and regions, a parabola by least squares.
    """
    last = np.stack([no_change(one) for one in people])
    ahead = np.array([year - one.years[-1] for one, year in zip(people, years, strict=True)])[:, None]
    slopes = np.stack([own_slopes(one) for one in people]).mean(axis=0)
    levels, rates = [], []
    for one in people:
        gaps = np.diff(one.years)[:, None]
        before, after = one.readings[:-1], one.readings[1:]
        both = np.isfinite(before) & np.isfinite(after)
        levels.append(before[both])
        rates.append(((after - before) / gaps)[both])
    level = np.concatenate(levels)
    degree = min(2, len(np.unique(level)) - 1)
    moved = last
    if degree >= 0:
        curve = np.polynomial.Polynomial.fit(level, np.concatenate(rates), degree)
        for _ in range(RULE_STEPS):
            moved = moved + ahead / RULE_STEPS * curve(np.clip(moved, level.min(), level.max()))
    line = np.stack([own_line(one, year) for one, year in zip(people, years, strict=True)])
    return {"no_change": last, "linear": line, "mean_rate": last + slopes * ahead, "rate_of_level": moved}


def root_mean_square(difference: np.ndarray) -> float:
    """Over what is not missing."""
    return float(np.sqrt(np.nanmean(difference**2)))


def covered(draws: np.ndarray, readings: np.ndarray, probability: float) -> np.ndarray:
    """Whether central intervals hold the readings, as 1 and 0; NaN where there is none. Draws are along the axis before the last."""
    low, high = np.quantile(draws, [0.5 - probability / 2, 0.5 + probability / 2], axis=-2)
    return np.where(np.isfinite(readings), (readings >= low) & (readings <= high), np.nan)


@eqx.filter_jit
def _predicted(predict: Predict, regions: int, years: Array, seeds: Array, z: Array) -> Array:
    def one(args: tuple[Array, Array, Array]) -> Array:
        times, seed, point = args
        record = jax.nn.one_hot(seed, regions, dtype=point.dtype)
        return predict(values_of(PRIORS, point), (jnp.repeat(times, regions),), record)[0].reshape(-1, regions)

    return jax.lax.map(one, (years, seeds, z), batch_size=256)
