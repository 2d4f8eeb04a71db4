"""Likelihoods: densities against SciPy, gaps, residuals, samples, scales that are parameters."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from twinsim.errors import InputError
from twinsim.inference import CensoredBelow, LogNormal, NegativeBinomial, Normal, Poisson, ProportionalAdditive, StudentT

Y = np.array([0.4, 1.0, 2.5, 3.0])
F = np.array([0.6, 0.9, 2.0, 3.5])
COUNTS = np.array([0.0, 1.0, 4.0, 2.0])
COMBINED = np.sqrt(0.2**2 + (0.1 * F) ** 2)

CASES = {
    "normal": (Normal(0.3), Y, stats.norm.logpdf(Y, F, 0.3)),
    "log-normal": (LogNormal(0.3), Y, stats.lognorm.logpdf(Y, 0.3, scale=F)),
    "student": (StudentT(0.3, 4.0), Y, stats.t.logpdf(Y, 4, F, 0.3)),
    "combined": (ProportionalAdditive(0.2, 0.1), Y, stats.norm.logpdf(Y, F, COMBINED)),
    "censored": (
        CensoredBelow(Normal(0.3), 1.0),
        np.maximum(Y, 1.0),
        np.where(Y <= 1.0, stats.norm.logcdf(1.0, F, 0.3), stats.norm.logpdf(Y, F, 0.3)),
    ),
    "censored log-normal": (
        CensoredBelow(LogNormal(0.3), 1.0),
        np.maximum(Y, 1.0),
        np.where(Y <= 1.0, stats.lognorm.logcdf(1.0, 0.3, scale=F), stats.lognorm.logpdf(Y, 0.3, scale=F)),
    ),
    "censored student": (
        CensoredBelow(StudentT(0.3, 4.0), 1.0),
        np.maximum(Y, 1.0),
        np.where(Y <= 1.0, stats.t.logcdf(1.0, 4, F, 0.3), stats.t.logpdf(Y, 4, F, 0.3)),
    ),
    "poisson": (Poisson(), COUNTS, stats.poisson.logpmf(COUNTS, F)),
    "negative binomial": (NegativeBinomial(2.0), COUNTS, stats.nbinom.logpmf(COUNTS, 2.0, 2.0 / (2.0 + F))),
}
every_likelihood = pytest.mark.parametrize(("likelihood", "data", "expected"), CASES.values(), ids=CASES)


@every_likelihood
def test_densities_are_those_of_scipy(likelihood, data, expected):
    np.testing.assert_allclose(likelihood.log_density(jnp.asarray(data), jnp.asarray(F)), expected, rtol=1e-9)


@every_likelihood
def test_a_missing_value_counts_nothing_and_has_no_slope(likelihood, data, expected):
    gaps = jnp.asarray(data).at[1].set(jnp.nan)
    terms, slope = likelihood.log_density(gaps, jnp.asarray(F)), jax.grad(lambda f: likelihood.log_density(gaps, f).sum())(jnp.asarray(F))
    assert float(terms[1]) == 0.0 and float(slope[1]) == 0.0
    assert np.isfinite(slope).all() and np.count_nonzero(slope) == 3
    np.testing.assert_allclose(np.delete(terms, 1), np.delete(expected, 1), rtol=1e-9)


@every_likelihood
def test_half_squares_of_residuals_differ_as_the_density_does(likelihood, data, expected):
    def half_squares(f):
        return 0.5 * jnp.sum(likelihood.residual(jnp.asarray(data), f) ** 2)

    if likelihood.residual(jnp.asarray(data), jnp.asarray(F)) is None:
        assert isinstance(likelihood, StudentT | Poisson | NegativeBinomial) or isinstance(likelihood.of, StudentT)
        return
    moved = jnp.asarray(F * 1.1)
    by_density = likelihood.log_density(jnp.asarray(data), jnp.asarray(F)).sum() - likelihood.log_density(jnp.asarray(data), moved).sum()
    assert float(half_squares(moved) - half_squares(jnp.asarray(F))) == pytest.approx(float(by_density), abs=1e-9)


MOMENTS = {
    "normal": (Normal(0.3), 2.0, 0.09),
    "combined": (ProportionalAdditive(0.2, 0.1), 2.0, 0.08),
    "student": (StudentT(0.3, 10.0), 2.0, 0.09 * 10 / 8),
    "log-normal": (LogNormal(0.3), 2 * np.exp(0.045), 4 * np.exp(0.09) * (np.exp(0.09) - 1)),
    "poisson": (Poisson(), 2.0, 2.0),
    "negative binomial": (NegativeBinomial(2.0), 2.0, 2.0 + 4.0 / 2.0),
}


@pytest.mark.parametrize(("likelihood", "mean", "variance"), MOMENTS.values(), ids=MOMENTS)
@pytest.mark.quick(2)
def test_samples_have_the_moments_of_the_distribution(likelihood, mean, variance):
    drawn = np.asarray(likelihood.sample(jax.random.key(1), jnp.full(40_000, 2.0)))
    assert drawn.mean() == pytest.approx(mean, abs=4 * np.sqrt(variance / 40_000))
    assert drawn.var() == pytest.approx(variance, rel=0.06)


def test_censored_samples_stop_at_the_limit():
    drawn = np.asarray(CensoredBelow(Normal(1.0), 1.5).sample(jax.random.key(0), jnp.full(20_000, 2.0)))
    assert drawn.min() == 1.5
    assert (drawn == 1.5).mean() == pytest.approx(stats.norm.cdf(-0.5), abs=0.01)


def test_a_scale_may_be_a_parameter_and_its_normaliser_is_a_residual_too():
    likelihood, f = Normal("noise"), jnp.asarray(F)

    def half_squares(scale):
        return 0.5 * jnp.sum(likelihood.residual(jnp.asarray(Y), f, {"noise": scale}) ** 2)

    low, high = jnp.asarray(0.2), jnp.asarray(0.7)
    by_density = stats.norm.logpdf(Y, F, 0.2).sum() - stats.norm.logpdf(Y, F, 0.7).sum()
    assert float(half_squares(high) - half_squares(low)) == pytest.approx(by_density, abs=1e-9)
    with pytest.raises(InputError, match="did you mean 'noise'"):
        Normal("nois").log_density(jnp.asarray(Y), f, {"noise": low})
