"""Many small calibrations at once, against the closed form of linear models."""

import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest

from twinsim.batched_least_squares import least_squares
from twinsim.cohort import Cohort, Noise, draw_forecasts, estimate_population
from twinsim.prior import Prior

TIMES = np.tile(np.arange(6.0), (40, 1))
PRIORS = (Prior("level", "1", 0.0, 2.0, "identity", "test"), Prior("slope", "1/day", 0.0, 1.0, "identity", "test"))
NOISE = Noise(0.3, 0.5, 2.0)
DESIGN = np.stack([np.full(6, 2.0), np.arange(6.0)], 1)


def line(values, days):
    return values["level"] + values["slope"] * days


@pytest.fixture(scope="module")
def cohort():
    random = np.random.default_rng(0)
    z = np.array([0.5, -0.3]) + random.standard_normal((40, 2)) * np.array([0.4, 0.2])
    root = np.linalg.cholesky(0.09 * (0.5 * np.exp(-np.abs(TIMES[0][:, None] - TIMES[0]) / 2) + 0.5 * np.eye(6)))
    values = z @ DESIGN.T + random.standard_normal((40, 6)) @ root.T
    values[::3, 5] = np.nan
    return Cohort(PRIORS, line, jnp.asarray(TIMES), TIMES, values)


def closed_form(cohort, patient):
    seen = np.isfinite(cohort.values[patient])
    k = NOISE.lasting(TIMES[:1])[0] + 0.5 * np.eye(6)
    inverse = np.linalg.inv(0.09 * k[np.ix_(seen, seen)])
    design = DESIGN[seen]
    covariance = np.linalg.inv(design.T @ inverse @ design + np.eye(2))
    return covariance @ design.T @ inverse @ cohort.values[patient][seen], covariance


@pytest.fixture(scope="module")
def first(cohort):
    return cohort.fit([cohort.wide(NOISE)] * 40, np.zeros((40, 2)), 8)


def test_the_maximum_of_a_linear_model(cohort, first):
    for patient in (0, 1):
        mean, covariance = closed_form(cohort, patient)
        np.testing.assert_allclose(first.z[patient], mean, rtol=1e-4)
        np.testing.assert_allclose(np.linalg.inv(first.curvature[patient]), covariance, rtol=1e-4)
    assert np.all(np.asarray(first.finite))
    assert float(first.distance.max()) < 1e-3


def test_the_population_is_found(cohort, first):
    found = estimate_population(cohort, cohort.wide(NOISE), first, np.ones(40))
    np.testing.assert_allclose(found.mean, [0.5, -0.3], atol=0.15)
    assert 0.15 < np.sqrt(found.covariance[0, 0]) < 0.6
    assert 0.22 < found.noise.scale < 0.4


def test_somebody_left_out_has_no_part_in_the_population(cohort, first):
    weights = np.ones(40)
    weights[0] = 0.0
    before = estimate_population(cohort, cohort.wide(NOISE), first, weights, rounds=1)
    values = cohort.values.copy()
    values[0] += 50.0
    changed = Cohort(PRIORS, line, cohort.records, TIMES, values)
    other = changed.fit([changed.wide(NOISE)] * 40, np.zeros((40, 2)), 8)
    after = estimate_population(changed, changed.wide(NOISE), other, weights, rounds=1)
    np.testing.assert_allclose(after.mean, before.mean, rtol=1e-6)
    np.testing.assert_allclose(after.noise.scale, before.noise.scale, rtol=1e-6)


def test_draws_have_the_mean_and_spread_of_the_posterior(cohort):
    draws = draw_forecasts(cohort, [cohort.wide(NOISE)] * 40, 300, 0)
    means, covariances = zip(*(closed_form(cohort, p) for p in range(40)), strict=True)
    away = draws.points - np.array(means)
    assert np.abs(away.mean((0, 1))).max() < 0.01
    spread = np.einsum("kpi,kpj->ij", away, away) / (300 * 40)
    np.testing.assert_allclose(np.sqrt(np.diag(spread)), np.sqrt(np.diag(np.mean(covariances, 0))), rtol=0.05)


def test_a_step_into_nothing_costs_an_iteration_only():
    """The residual is NaN below zero; the start is far from the minimum at 1."""
    found = least_squares(lambda z: jnp.log(z) * 10.0, jnp.array([5.0]), 30)
    np.testing.assert_allclose(found.z, [1.0], rtol=1e-6)


DIVIDED = """
import sys, jax
jax.config.update("jax_enable_x64", True)
jax.config.update("jax_num_cpu_devices", 3)
import jax.numpy as jnp, numpy as np
from tests.twinsim.test_cohort import NOISE, PRIORS, TIMES, line
from twinsim.cohort import Cohort
values = np.loadtxt(sys.stdin)
cohort = Cohort(PRIORS, line, jnp.asarray(TIMES), TIMES, values)
assert len(jax.local_devices()) == 3
np.savetxt(sys.stdout, cohort.fit([cohort.wide(NOISE)] * 40, np.zeros((40, 2)), 8).z, fmt="%.17g")
"""


def test_patients_divided_over_devices_are_fitted_as_on_one(cohort, first):
    """Forty patients on three devices: the last share is padded."""
    table = "\n".join(" ".join(map(repr, map(float, row))) for row in cohort.values)
    done = subprocess.run([sys.executable, "-c", DIVIDED], input=table, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    np.testing.assert_allclose(np.loadtxt(done.stdout.splitlines()), first.z, atol=1e-12)
