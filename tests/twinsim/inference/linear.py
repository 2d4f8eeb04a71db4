"""A straight line with normal errors and normal priors: every posterior in closed form."""

import jax.numpy as jnp
import numpy as np

from twinsim.inference import Normal, Problem, series
from twinsim.prior import Prior

PRIORS = (Prior("offset", "mg", 1.0, 2.0, "identity", "test"), Prior("slope", "mg/h", 0.5, 0.7, "identity", "test"))
TIMES = np.array([0.0, 0.5, 1.0, 2.0, 3.0])
VALUES = np.array([1.9, 2.1, np.nan, 4.2, 4.6])
NOISE = 0.6
SEEN = np.isfinite(VALUES)
DESIGN = np.stack([2.0 * np.ones(5), 0.7 * TIMES], axis=1)[SEEN] / NOISE
TARGET = (VALUES - 1.0 - 0.5 * TIMES)[SEEN] / NOISE
COVARIANCE = np.linalg.inv(DESIGN.T @ DESIGN + np.eye(2))
MEAN = COVARIANCE @ DESIGN.T @ TARGET


def predict(values, times, record):
    return (values["offset"] + values["slope"] * times[0],)


def line(values: np.ndarray = VALUES, noise: float | str = NOISE) -> Problem:
    return Problem(PRIORS, predict, (series(TIMES, values, Normal(noise), "mass", "mg"),))


def log_evidence() -> float:
    """Marginal density of the readings: normal with covariance of noise and prior."""
    n = int(SEEN.sum())
    covariance = (DESIGN @ DESIGN.T + np.eye(n)) * NOISE**2
    residual = TARGET * NOISE
    _, log_det = np.linalg.slogdet(covariance)
    return float(-0.5 * residual @ np.linalg.solve(covariance, residual) - 0.5 * log_det - 0.5 * n * np.log(2 * np.pi))


def zeros() -> jnp.ndarray:
    return jnp.zeros(2)
