"""Series with gaps, problems in standard-normal coordinates, batches of patients."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from tests.twinsim.inference.linear import NOISE, PRIORS, SEEN, TIMES, VALUES, line, predict
from twinsim.errors import InputError
from twinsim.inference import CensoredBelow, LogNormal, Normal, Poisson, Problem, problems, series
from twinsim.prior import Prior

Z = jnp.array([0.3, -0.4])


@pytest.mark.parametrize(
    ("times", "values", "likelihood", "word"),
    [
        ([0, 1], [1.0], Normal(1.0), "shape"),
        ([], [], Normal(1.0), "not empty"),
        ([1, 0], [1.0, 1.0], Normal(1.0), "backwards"),
        ([0, np.nan], [1.0, 1.0], Normal(1.0), "not finite"),
        ([0, 1], [1.0, np.inf], Normal(1.0), "infinite"),
        ([0, 1], [1.0, -0.1], LogNormal(0.2), "above 0"),
        ([0, 1], [1.0, 0.5], Poisson(), "count"),
        ([0, 1], [1.0, -1.0], Poisson(), "count"),
    ],
)
def test_readings_that_cannot_be_are_refused(times, values, likelihood, word):
    with pytest.raises(InputError, match=word):
        series(times, values, likelihood)


def test_zero_below_a_detection_limit_is_a_reading():
    assert series([0, 1], [1.0, 0.0], CensoredBelow(LogNormal(0.2), 0.1)).mask.all()


def test_the_posterior_is_prior_times_likelihood():
    offset, slope = 1.0 + 2.0 * 0.3, 0.5 - 0.7 * 0.4
    expected = stats.norm.logpdf(np.asarray(Z)).sum() + stats.norm.logpdf(VALUES, offset + slope * TIMES, NOISE)[SEEN].sum()
    assert float(line().log_posterior(Z)) == pytest.approx(expected, rel=1e-12)


def test_padding_changes_nothing():
    of = line()
    longer = eqx.tree_at(lambda p: p.series, of, tuple(one.padded(9) for one in of.series))
    assert float(longer.log_posterior(Z)) == pytest.approx(float(of.log_posterior(Z)), rel=1e-14)
    assert float(jnp.sum(longer.residuals(Z) ** 2)) == pytest.approx(float(jnp.sum(of.residuals(Z) ** 2)), rel=1e-14)
    with pytest.raises(InputError, match="padding"):
        of.series[0].padded(3)


def test_a_batch_holds_each_patient():
    short = Problem(PRIORS, predict, (series(TIMES[:3], VALUES[:3], Normal(NOISE), "mass", "mg"),))
    batch = problems([line(), short])
    found = eqx.filter_vmap(lambda p: p.log_posterior(Z), in_axes=(eqx.if_array(0),))(batch)
    np.testing.assert_allclose(found, [line().log_posterior(Z), short.log_posterior(Z)], rtol=1e-13)
    with pytest.raises(InputError, match="2 sets of priors"):
        problems([line(), Problem(PRIORS[:1], predict, line().series)])


def test_until_hides_the_future():
    assert np.asarray(line().series[0].until(1.0).mask).tolist() == [True, True, False, False, False]


def test_two_kinds_of_data_multiply():
    both = Problem(
        PRIORS, lambda v, t, r: (*predict(v, t, r), 2 * v["slope"] * jnp.ones(1)), (*line().series, series([0], [1.1], Normal(0.2)))
    )
    expected = float(line().log_likelihood(Z)) + stats.norm.logpdf(1.1, 2 * (0.5 - 0.28), 0.2)
    assert float(both.log_likelihood(Z)) == pytest.approx(expected, rel=1e-12)


def test_the_prior_of_a_population():
    mean, covariance = np.array([0.5, -1.0]), np.array([[0.5, 0.2], [0.2, 0.3]])
    moved = line().with_prior(jnp.asarray(mean), jnp.asarray(covariance))
    expected = stats.multivariate_normal.logpdf(np.asarray(Z), mean, covariance)
    assert float(moved.log_prior(Z)) == pytest.approx(expected, rel=1e-12)
    np.testing.assert_allclose(moved.unwhiten(moved.whiten(Z)), Z, rtol=1e-12)
    drawn = np.asarray(moved.prior_draws(jax.random.key(0), 20_000))
    np.testing.assert_allclose(drawn.mean(0), mean, atol=0.02)
    np.testing.assert_allclose(np.cov(drawn.T), covariance, atol=0.02)


def test_simulated_data_keep_the_gaps_and_scatter_about_the_model():
    drawn = jax.vmap(lambda key: line().simulated(key, Z).series[0].values)(jax.random.split(jax.random.key(0), 4000))
    assert np.isnan(drawn[:, 2]).all() and np.isfinite(np.delete(drawn, 2, axis=1)).all()
    np.testing.assert_allclose(np.mean(drawn, 0)[SEEN], line().predictions(Z)[0][SEEN], atol=0.04)


PRIOR_KINDS = [
    Prior("rate", "1/day", 0.02, 0.7, "log", "test"),
    Prior("share", "1", 0.3, 0.8, "logit", "test"),
    Prior("bounded", "mm", 3.0, 0.8, "logit", "test", low=2.0, high=7.0),
    Prior("position", "mm", -3.0, 6.0, "identity", "test"),
]


@pytest.mark.parametrize("prior", PRIOR_KINDS, ids=lambda prior: prior.name)
def test_densities_of_values_have_the_right_determinant(prior):
    z = jnp.linspace(-3, 3, 13)
    by_derivative = stats.norm.logpdf(np.asarray(z)) - np.log(jax.vmap(jax.grad(prior.value))(z))
    np.testing.assert_allclose(prior.log_density(z), by_derivative, rtol=1e-10)
    assert prior.coordinate(float(prior.value(z[2]))) == pytest.approx(float(z[2]), rel=1e-9)


def test_a_prior_outside_of_its_bounds_is_refused():
    with pytest.raises(InputError, match="2 to 7 for logit"):
        Prior("bounded", "mm", 8.0, 0.8, "logit", "test", low=2.0, high=7.0)
