"""A population from weighted draws of its people, where everything is normal: against a grid over its two numbers."""

import jax.numpy as jnp
import numpy as np
import pytest

from twinsim.errors import InputError
from twinsim.inference import reweighted_population
from twinsim.inference.population_reweighting import PopulationDensity
from twinsim.prior import Prior

PRIORS = (Prior("one", "1", 0.0, 1.0, "identity", "test"),)
BETWEEN = (Prior("sd_one", "1", 0.3, 1.0, "log", "test"),)
NOISE = 0.3


def people(count, seed=0):
    random = np.random.default_rng(seed)
    return 0.4 + 0.5 * random.standard_normal(count) + NOISE * random.standard_normal(count)


def proposed(data, draws, width=1.5):
    """Draws round the data, wider than the noise; log likelihood and log proposal up to constants."""
    z = data[:, None] + width * NOISE * np.random.default_rng(1).standard_normal((len(data), draws))
    return z[..., None], -0.5 * ((data[:, None] - z) / NOISE) ** 2, -0.5 * ((z - data[:, None]) / (width * NOISE)) ** 2


def exact(data, mean, log_tau):
    """Log density of the population with people integrated out."""
    variance = (0.3 * np.exp(log_tau)) ** 2 + NOISE**2
    marginal = -0.5 * (data[:, None, None] - mean) ** 2 / variance - 0.5 * np.log(variance)
    return marginal.sum(0) - 0.5 * mean**2 - 0.5 * log_tau**2


def test_density_with_people_integrated_out():
    data = people(8)
    z, likelihood, proposal = proposed(data, 20_000)
    density = PopulationDensity(jnp.asarray(z), jnp.asarray(likelihood - proposal), BETWEEN)
    points = np.array([[0.3, 0.0], [0.5, 0.5], [0.1, 0.3], [0.4, -0.4]])
    found = np.array([float(density(jnp.asarray(point))) for point in points])
    known = np.array([exact(data, *point[:, None, None])[0, 0] for point in points])
    np.testing.assert_allclose(found - found[0], known - known[0], atol=0.1)


@pytest.mark.slow
def test_against_a_grid():
    data = people(8)
    mean, log_tau = np.meshgrid(np.linspace(-1.5, 2.0, 301), np.linspace(-4.0, 4.0, 301), indexing="ij")
    weights = exact(data, mean, log_tau)
    weights = np.exp(weights - weights.max())
    weights /= weights.sum()
    z, likelihood, proposal = proposed(data, 1500)
    found = reweighted_population(PRIORS, z, likelihood, proposal, count=800, seed=3)
    assert found.population.diagnostics.r_hat.max() < 1.03 and found.effective.min() > 300
    for flat, known in zip(found.population.flat.T, (mean, log_tau), strict=True):
        centre = (weights * known).sum()
        width = np.sqrt((weights * (known - centre) ** 2).sum())
        assert flat.mean() == pytest.approx(centre, abs=0.15 * width)
        assert flat.std() == pytest.approx(width, rel=0.15)
    share = (0.3 * np.exp(log_tau)) ** 2 / ((0.3 * np.exp(log_tau)) ** 2 + NOISE**2)
    each = np.array([(weights * (share * one + (1 - share) * mean)).sum() for one in data])
    ours = z[np.arange(8)[:, None], found.chosen, 0]
    np.testing.assert_allclose(ours.mean(axis=1), each, atol=0.05)
    spread = np.array(
        [np.sqrt((weights * (share * NOISE**2 + (share * one + (1 - share) * mean - e) ** 2)).sum()) for one, e in zip(data, each)]
    )
    np.testing.assert_allclose(ours.std(axis=1), spread, rtol=0.12)


@pytest.mark.slow
def test_a_discrete_choice_is_carried_along():
    """Two of three draws are of kind 0, proposed twice as often, equally likely before: the data make it three times likelier."""
    data = np.zeros(4)
    z, likelihood, proposal = proposed(data, 900)
    kind = np.arange(900) % 3 == 2
    likelihood = likelihood + np.where(kind, 0.0, np.log(3.0))
    proposal = proposal + np.where(kind, np.log(1 / 3), np.log(2 / 3))
    chosen = reweighted_population(PRIORS, z, likelihood, proposal, count=800, chains=2, warmup=200).chosen
    assert kind[chosen].mean() == pytest.approx(0.25, abs=0.03)


def test_refusals():
    z, likelihood, proposal = proposed(np.zeros(3), 10)
    with pytest.raises(InputError, match="seed"):
        reweighted_population(PRIORS, z, likelihood, proposal, seed=-1)
    with pytest.raises(InputError, match="make them fit"):
        reweighted_population(PRIORS * 2, z, likelihood, proposal)
    likelihood[1] = np.nan
    with pytest.raises(InputError, match="person 1 without a draw"):
        reweighted_population(PRIORS, z, likelihood, proposal)
