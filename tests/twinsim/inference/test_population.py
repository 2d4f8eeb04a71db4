"""Populations of straight lines, whose marginal likelihood is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize, stats

from tests.problems import quick_jit
from tests.twinsim.inference.linear import NOISE, PRIORS, TIMES, predict
from twinsim.inference import Normal, Problem, fit_population, nuts_chains, problems, series
from twinsim.inference.acceleration import Anderson
from twinsim.inference.population_sampling import joint_density
from twinsim.prior import Prior

ROWS = np.stack([2.0 * np.ones(5), 0.7 * TIMES], axis=1)
RNG = np.random.default_rng(4)
TRUE_MEAN, TRUE_SD = np.array([0.4, -0.3]), np.array([0.5, 0.8])
PEOPLE = TRUE_MEAN + TRUE_SD * RNG.standard_normal((40, 2))
READINGS = 1.0 + 0.5 * TIMES + PEOPLE @ ROWS.T + NOISE * RNG.standard_normal((40, 5))


def people(noise: float | str = NOISE, priors: tuple[Prior, ...] = PRIORS) -> list[Problem]:
    return [Problem(priors, predict, (series(TIMES, one, Normal(noise)),)) for one in READINGS]


def marginal(flat: np.ndarray) -> float:
    """Negative log marginal posterior of mean, standard deviations and noise for a diagonal covariance, in closed form."""
    mean, sd, noise = flat[:2], np.exp(flat[2:4]), np.exp(flat[4])
    covariance = ROWS @ np.diag(sd**2) @ ROWS.T + noise**2 * np.eye(5)
    return -stats.multivariate_normal.logpdf(READINGS - 1.0 - 0.5 * TIMES, ROWS @ mean, covariance).sum() + 0.5 * mean @ mean


@pytest.fixture(scope="module")
def fitted():
    priors = (*PRIORS, Prior("noise", "mg", 0.5, 1.0, "log", "test"))
    batch = problems(people("noise", priors))
    return fit_population(batch, shared=("noise",), diagonal=True, pseudo=1e-6, tolerance=1e-4, steps=200)


@pytest.mark.slow
def test_expectation_maximisation_ends_at_the_marginal_maximum(fitted):
    best = optimize.minimize(marginal, [0, 0, -1, -1, -0.5], method="BFGS").x
    assert fitted.converged
    np.testing.assert_allclose(fitted.mean[:2], best[:2], atol=0.01)
    np.testing.assert_allclose(np.sqrt(np.diag(fitted.covariance))[:2], np.exp(best[2:4]), rtol=0.03)
    assert fitted.value("noise") == pytest.approx(np.exp(best[4]), rel=0.03)
    assert fitted.covariance[2, 2] == 0.0


def test_patients_are_drawn_to_the_population(fitted):
    alone = np.linalg.lstsq(ROWS, (READINGS - 1.0 - 0.5 * TIMES).T, rcond=None)[0].T
    together = np.asarray(fitted.individuals.mean)[:, :2]
    assert (together.std(0) < alone.std(0)).all()
    assert np.square(together - PEOPLE).mean() < 0.9 * np.square(alone - PEOPLE).mean()


def test_a_new_patient_starts_from_the_population(fitted):
    new = fitted.new_patient(people("noise", fitted.priors)[0])
    np.testing.assert_allclose(new.location, fitted.mean)
    np.testing.assert_allclose(new.root @ new.root.T, fitted.covariance + fitted.mean_covariance, atol=1e-12)
    assert fitted.standard_error("offset") == pytest.approx(2.0 * fitted.between("offset") / 2.0 / np.sqrt(40), rel=0.3)


@pytest.mark.slow
def test_the_joint_sampler_agrees():
    density = joint_density(problems(people()[:12]), between=0.6)
    start = 0.1 * jax.random.normal(jax.random.key(1), (4, density.size))
    z, _ = quick_jit(lambda start, key: nuts_chains(density, start, key, 200, 250, dense=False))(start, jax.random.key(0))
    mean = np.asarray(z)[..., :2].reshape(-1, 2)
    # with the standard deviations at their posterior means, the mean of the population is normal in closed form
    tau = np.asarray(jnp.stack([prior.value(jnp.asarray(z[..., 2 + i])) for i, prior in enumerate(density.between)])).reshape(2, -1)
    covariance = ROWS @ np.diag((tau**2).mean(1)) @ ROWS.T + NOISE**2 * np.eye(5)
    weight = ROWS.T @ np.linalg.inv(covariance)
    precision = 12 * weight @ ROWS + np.eye(2)
    expected = np.linalg.solve(precision, weight @ (READINGS[:12] - 1.0 - 0.5 * TIMES).sum(0))
    np.testing.assert_allclose(mean.mean(0), expected, atol=0.08)
    np.testing.assert_allclose(mean.std(0), np.sqrt(np.diag(np.linalg.inv(precision))), rtol=0.25)


def test_mixing_solves_a_slow_linear_iteration_in_as_many_steps_as_it_has_dimensions():
    """Six directions that forget 1 to 10 % of their error per step: plain steps would take hundreds."""
    rates, limit = np.linspace(0.9, 0.99, 6), np.arange(6.0)
    mixing, x = Anderson(), limit + 0.1
    for _ in range(8):
        x = mixing.propose(x, limit + rates * (x - limit))
    np.testing.assert_allclose(x, limit, atol=1e-5)


@pytest.mark.slow
def test_a_parameter_that_most_patients_say_nothing_about_still_converges():
    """Thirty of forty patients are read at one time only, so that plain steps forget the slope's error slowly; marginal in closed form."""
    readings = READINGS.copy()
    readings[10:, 1:] = np.nan
    batch = problems([Problem(PRIORS, predict, (series(TIMES, one, Normal(NOISE)),)) for one in readings])
    found = fit_population(batch, diagonal=True, pseudo=1e-6, tolerance=1e-5, steps=60)

    def objective(flat: np.ndarray) -> float:
        total, sd = 0.5 * flat[:2] @ flat[:2], np.exp(flat[2:])
        for count, part in ((5, readings[:10]), (1, readings[10:])):
            rows = ROWS[:count]
            covariance = rows @ np.diag(sd**2) @ rows.T + NOISE**2 * np.eye(count)
            seen = part[:, :count] - 1.0 - 0.5 * TIMES[:count]
            total -= stats.multivariate_normal.logpdf(seen, rows @ flat[:2], covariance).sum()
        return total

    best = optimize.minimize(objective, [0, 0, -1, -1], method="BFGS").x
    assert found.converged
    np.testing.assert_allclose(found.mean, best[:2], atol=2e-3)
    np.testing.assert_allclose(np.sqrt(np.diag(found.covariance)), np.exp(best[2:]), rtol=5e-3)
