"""Every estimator on a straight line, whose posterior is known, and the tempered one on two modes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.problems import quick_jit
from tests.twinsim.inference.linear import COVARIANCE, MEAN, TIMES, VALUES, line, log_evidence
from twinsim.errors import InputError
from twinsim.inference import (
    Normal,
    Outcome,
    Problem,
    diagnose,
    ensemble_posterior,
    inverted_ensemble,
    laplace,
    laplace_each,
    maximise,
    normal_draws,
    nuts_chains,
    problems,
    series,
    tempered_particles,
)
from twinsim.prior import Prior


@pytest.mark.parametrize("method", ["least_squares", "lbfgs"])
def test_the_maximum(method):
    found = quick_jit(lambda start: maximise(line(), start, method=method))(jnp.array([[2.0, -2.0], [-2.0, 1.0]]))
    np.testing.assert_allclose(found.z, MEAN, atol=2e-4)
    assert bool(found.converged) and float(found.distance) < 1e-2


def test_a_search_that_may_not_go_on_says_so():
    found = quick_jit(lambda start: maximise(line(), start, method="lbfgs", steps=1))(jnp.array([[3.0, -3.0]]))
    assert not bool(found.converged)


def test_laplace_is_exact_for_a_line():
    for curvature in ("hessian", "gauss_newton"):
        found = quick_jit(lambda z, curvature=curvature: laplace(line(), z, curvature))(jnp.asarray(MEAN))
        np.testing.assert_allclose(found.covariance, COVARIANCE, rtol=1e-9)
        assert float(found.log_evidence) == pytest.approx(log_evidence(), rel=1e-9)
        assert bool(found.proper)


@pytest.mark.slow
def test_laplace_of_patients_side_by_side_under_a_population():
    other = np.where(np.isnan(VALUES), VALUES, VALUES + 0.5)
    covariance = jnp.array([[0.5, 0.2], [0.2, 0.3]])
    people = [one.with_prior(jnp.array([0.2, 0.1]), covariance) for one in (line(), line(other))]
    batch = problems(people)
    found, normal = quick_jit(lambda start: laplace_each(batch, start))(jnp.zeros((2, 1, 2)))
    for i, person in enumerate(people):
        slope = jax.grad(person.log_posterior)(found.z[i])
        assert float(jnp.abs(slope).max()) < 1e-4
        np.testing.assert_allclose(jnp.linalg.inv(normal.covariance[i]), -jax.hessian(person.log_posterior)(found.z[i]), rtol=1e-6)


def close_to_truth(z: np.ndarray, effective: float) -> None:
    """Mean within four standard errors, covariance within what so many draws allow."""
    sd = np.sqrt(np.diag(COVARIANCE))
    assert (np.abs(z.mean(0) - MEAN) < 4 * sd / np.sqrt(effective)).all()
    assert (np.abs(np.cov(z.T) - COVARIANCE) < 6 * np.outer(sd, sd) / np.sqrt(effective)).all()


@pytest.mark.slow
def test_nuts_draws_the_posterior():
    of = line()
    z, divergent = quick_jit(lambda start, key: nuts_chains(of.log_posterior, start, key, 150, 400))(jnp.zeros((4, 2)), jax.random.key(0))
    assert int(divergent.sum()) == 0
    diagnostics = diagnose(np.asarray(z))
    assert diagnostics.outcome is Outcome.GOOD
    close_to_truth(np.asarray(z).reshape(-1, 2), float(diagnostics.effective.min()))


def two_modes() -> Problem:
    """Only the square of the parameter is seen: +1 and -1 are alike."""
    priors = (Prior("root", "1", 0.0, 1.0, "identity", "test"),)
    return Problem(priors, lambda v, t, r: (v["root"] ** 2 * jnp.ones(1),), (series([0.0], [1.0], Normal(0.1)),))


@pytest.mark.slow
def test_tempered_particles_find_both_modes_and_the_evidence():
    of = two_modes()
    found = quick_jit(lambda key: tempered_particles(of, key, 600, 10))(jax.random.key(3))
    z = np.asarray(found.z)[:, 0]
    assert float(found.temperature) == 1.0
    assert 0.4 < (z > 0).mean() < 0.6
    assert np.abs(np.abs(z) - 1).mean() < 0.1
    grid = np.linspace(-4, 4, 4001)
    density = np.exp(np.asarray(jax.vmap(lambda one: of.log_posterior(one[None]))(jnp.asarray(grid))))
    assert float(found.log_evidence) == pytest.approx(np.log(np.trapezoid(density, grid)), abs=0.25)


def test_an_ensemble_inverts_a_line():
    z, temperature = quick_jit(lambda key: inverted_ensemble(line(), key, 1500))(jax.random.key(1))
    assert float(temperature) == 1.0
    close_to_truth(np.asarray(z), 1000)


def test_an_ensemble_refuses_a_scale_that_it_cannot_see():
    priors = (*line().priors, Prior("noise", "mg", 0.5, 0.5, "log", "test"))
    with pytest.raises(InputError, match="'noise'"):
        ensemble_posterior(Problem(priors, line().predict, (series(TIMES, VALUES, Normal("noise")),)))


def test_draws_tell_values_predict_and_leave_for_arviz():
    draws = normal_draws(line(), jnp.asarray(MEAN), jnp.asarray(COVARIANCE), 2000)
    low, high = draws.interval("slope", 0.9)
    half = 1.6449 * 0.7 * np.sqrt(COVARIANCE[1, 1])
    assert draws.value("slope") == pytest.approx(0.5 + 0.7 * MEAN[1], abs=0.02)
    assert (high - low) / 2 == pytest.approx(half, rel=0.06)
    np.testing.assert_allclose(draws.normal.covariance, COVARIANCE, rtol=0.1)
    predicted = draws.predict(line(), (jnp.array([4.0]),), count=1000)[0]
    direction = np.array([2.0, 0.7 * 4.0])
    assert predicted.std() == pytest.approx(np.sqrt(direction @ COVARIANCE @ direction + 0.36), rel=0.1)
    tree = draws.to_arviz()
    assert tree["posterior"]["slope"].attrs["units"] == "mg/h"
    assert tree["log_likelihood"]["y"].shape == (1, 2000, 4)
    with pytest.raises(InputError, match="slope"):
        draws.value("slop")


@pytest.mark.parametrize(
    ("z", "expected"),
    [
        (np.random.default_rng(0).normal(size=(4, 300, 2)), Outcome.GOOD),
        (np.random.default_rng(0).normal(size=(1, 300, 2)), Outcome.FEW_EFFECTIVE),
        (np.random.default_rng(0).normal(size=(4, 300, 2)) + 3.0 * np.arange(4)[:, None, None], Outcome.NOT_MIXED),
        (np.full((2, 10, 2), np.nan), Outcome.NOT_FINITE),
        (np.random.default_rng(0).normal(size=(4, 300, 1)) * np.array([1.0, 1e-6]), Outcome.ILL_CONDITIONED),
    ],
)
def test_diagnostics_in_words(z, expected):
    found = diagnose(z)
    assert found.outcome is expected
    assert expected.message in found.words
