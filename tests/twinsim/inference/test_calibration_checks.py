"""Checks that pass for right uncertainty, and fail for wrong one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.inference.honesty import growth, invasion, population
from tests.twinsim.inference.linear import COVARIANCE, MEAN, line
from twinsim.errors import InputError
from twinsim.inference import SAMPLERS, conformal_widening, coverage, normal_draws, predictive_check, simulation_based_calibration
from twinsim.inference.samplers import population_sampler

RNG = np.random.default_rng(5)


def exact(problem, key, width=1.0, shift=0.0):
    """The posterior of the line in closed form, or wrong on purpose."""
    covariance = jnp.asarray(COVARIANCE)
    slope = jax.grad(problem.log_posterior)(jnp.zeros(2))
    noise = jax.random.normal(key, (99, 2)) @ jnp.linalg.cholesky(covariance).T
    return (covariance @ slope)[None] + width * noise + shift


@pytest.mark.slow
def test_ranks_of_the_exact_posterior_are_uniform():
    found = simulation_based_calibration(line(), exact, replicates=400, seed=1)
    assert found.passed, found.words
    assert found.counts.sum() == 800


WRONG = {"narrow": (0.6, 0.0, "too narrow"), "wide": (1.8, 0.0, "too wide"), "shifted": (1.0, 0.25, "biased")}


@pytest.mark.parametrize(("width", "shift", "words"), WRONG.values(), ids=WRONG)
@pytest.mark.quick(1)
def test_ranks_of_a_wrong_posterior_are_not(width, shift, words):
    found = simulation_based_calibration(line(), lambda p, key: exact(p, key, width, shift), replicates=400, seed=1)
    assert not found.passed
    assert words in found.words


@pytest.mark.slow
def test_laplace_is_calibrated_for_growth():
    """The reduced version of the slow test below."""
    found = simulation_based_calibration(growth(), SAMPLERS["laplace"], replicates=60, seed=2, bins=5, batch_size=60)
    assert found.passed, found.words


@pytest.mark.slow
@pytest.mark.parametrize("problem", [growth, invasion], ids=["growth", "invasion"])
@pytest.mark.parametrize("estimator", SAMPLERS)
def test_every_estimator_is_calibrated(estimator, problem):
    """An ordinary and a partial differential equation, 200 replicates, uniform at the 1 % level."""
    found = simulation_based_calibration(problem(), SAMPLERS[estimator], replicates=200, seed=0)
    assert found.passed, found.words


@pytest.mark.slow
def test_the_sampler_of_populations_is_calibrated():
    found = simulation_based_calibration(population(growth()), population_sampler, replicates=200, seed=0)
    assert found.passed, found.words


@pytest.mark.slow
def test_ranks_need_bins_that_divide():
    with pytest.raises(InputError, match="multiple"):
        simulation_based_calibration(line(), exact, replicates=20, bins=7)


def test_coverage_of_right_and_of_narrow_intervals():
    truth, draws = RNG.standard_normal(1000), RNG.standard_normal((1000, 400))
    assert coverage(truth, draws).passed
    narrow = coverage(truth, 0.7 * draws)
    assert not narrow.passed
    assert narrow.found[-1] < 0.85


def test_conformal_widening_restores_coverage_of_new_cases():
    truth = RNG.standard_normal(4000)
    low, high = np.full(4000, -1.0), np.full(4000, 1.0)
    wider = conformal_widening(low[:2000], high[:2000], truth[:2000], 0.9)
    inside = np.abs(truth[2000:]) < 1 + wider
    assert inside.mean() == pytest.approx(0.9, abs=0.025)
    assert wider == pytest.approx(0.645, abs=0.08)
    with pytest.raises(InputError, match="at least 9"):
        conformal_widening(low[:5], high[:5], truth[:5], 0.9)


def test_a_predictive_check_sees_data_that_the_model_cannot_make():
    of = line()
    draws = normal_draws(of, jnp.asarray(MEAN), jnp.asarray(COVARIANCE), 1000)
    assert 0.05 < predictive_check(of, draws, np.max) < 0.95
    outlier = line(np.array([1.9, 9.0, np.nan, 4.2, 4.6]))
    assert predictive_check(outlier, draws, np.max) < 0.01
