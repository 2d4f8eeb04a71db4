"""The Laplace posterior: intervals, samples, and words about identifiability."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm

from twinsim.posterior import Posterior
from twinsim.prior import Prior

PRIORS = (
    Prior("diffusivity", "mm^2/day", 0.15, 0.8, "log", "test"),
    Prior("proliferation", "1/day", 0.025, 0.7, "log", "test"),
    Prior("threshold", "1", 0.16, 0.25, "logit", "test"),
    Prior("seed", "mm", 0.0, 6.0, "identity", "test"),
)
MEAN = np.array([0.4, -0.3, 0.2, 0.5])
ROOT = np.array([[0.3, 0, 0, 0], [-0.2, 0.6, 0, 0], [0.1, 0.1, 0.95, 0], [0, 0.05, 0, 0.2]])
POSTERIOR = Posterior(PRIORS, MEAN, ROOT @ ROOT.T)


def test_intervals_are_those_of_the_transformed_normal():
    half = norm.ppf(0.95) * 0.3
    low, high = POSTERIOR.interval("diffusivity", 0.9)
    assert low == pytest.approx(0.15 * np.exp(0.8 * (0.4 - half)), rel=1e-12)
    assert high == pytest.approx(0.15 * np.exp(0.8 * (0.4 + half)), rel=1e-12)
    assert POSTERIOR.value("diffusivity") == pytest.approx(0.15 * np.exp(0.32), rel=1e-12)
    assert POSTERIOR.value("seed") == pytest.approx(3.0)


def test_without_data_the_intervals_are_the_prior_s():
    untouched = Posterior(PRIORS, np.zeros(4), np.eye(4))
    for prior in PRIORS:
        np.testing.assert_allclose(untouched.interval(prior.name, 0.9), prior.interval(0.9), rtol=1e-12)
        assert untouched.spread(prior.name) == 1.0
        assert untouched.identifiability(prior.name) == "prior only"


def test_samples_have_the_moments_of_the_posterior():
    draws = POSTERIOR.sample(20_000, seed=1)
    assert draws.shape == (20_000, 4)
    np.testing.assert_allclose(draws.mean(axis=0), MEAN, atol=1e-12)  # mirror images cancel
    np.testing.assert_allclose(np.cov(draws.T), POSTERIOR.covariance, atol=0.02)
    low, high = POSTERIOR.interval("proliferation", 0.9)
    values = 0.025 * np.exp(0.7 * draws[:, 1])
    assert np.mean((values > low) & (values < high)) == pytest.approx(0.9, abs=0.01)


def test_samples_depend_on_the_seed_alone():
    np.testing.assert_array_equal(POSTERIOR.sample(7, seed=3), POSTERIOR.sample(7, seed=3))
    assert POSTERIOR.sample(7, seed=3).shape == (7, 4)
    assert not np.array_equal(POSTERIOR.sample(8, seed=3), POSTERIOR.sample(8, seed=4))


def test_words_follow_the_spread():
    words = {prior.name: POSTERIOR.identifiability(prior.name) for prior in PRIORS}
    assert words == {"diffusivity": "identified", "proliferation": "weak", "threshold": "prior only", "seed": "identified"}


def informed_along(direction, narrow=0.1, wide=0.95):
    """Covariance of the first two coordinates that is narrow along one direction and wide across it."""
    direction = np.asarray(direction) / np.linalg.norm(direction)
    across = np.array([-direction[1], direction[0]])
    covariance = np.eye(4)
    covariance[:2, :2] = narrow**2 * np.outer(direction, direction) + wide**2 * np.outer(across, across)
    return Posterior(PRIORS, np.zeros(4), covariance)


def test_the_ratio_is_named_when_only_the_ratio_is_known():
    """ln(D/rho) = 0.8 z1 - 0.7 z2 up to a constant."""
    (wide, wide_spread), (narrow, narrow_spread) = informed_along([0.8, -0.7]).combinations(("diffusivity", "proliferation"))
    assert narrow in ("diffusivity^+1.0 · proliferation^-1.0", "diffusivity^-1.0 · proliferation^+1.0")
    assert narrow_spread == pytest.approx(0.1)
    assert wide_spread == pytest.approx(0.95)
    assert wide == "diffusivity^+0.8 · proliferation^+1.0"


def test_the_product_is_named_when_only_the_speed_is_known():
    (_, wide_spread), (narrow, narrow_spread) = informed_along([0.8, 0.7]).combinations(("diffusivity", "proliferation"))
    assert narrow == "diffusivity^+1.0 · proliferation^+1.0"
    assert narrow_spread < wide_spread


def test_a_direction_of_one_parameter_names_only_that_one():
    found = informed_along([1.0, 0.0]).combinations(("diffusivity", "proliferation"))
    assert [formula for formula, _ in found] == ["proliferation^+1.0", "diffusivity^+1.0"]


def test_an_unknown_name_is_an_error():
    with pytest.raises(ValueError):
        POSTERIOR.value("temperature")


def test_what_voxels_cannot_resolve_widens_the_intervals_and_the_draws():
    difference = np.array([0.4, 0.0, 0.0, -0.1])
    wider = POSTERIOR.widened(difference)
    np.testing.assert_allclose(wider.covariance, POSTERIOR.covariance + np.outer(difference, difference))
    assert wider.spread("diffusivity") == pytest.approx(0.5)
    assert wider.spread("proliferation") == POSTERIOR.spread("proliferation")
    draws = wider.moved(wider.sample(20_000, seed=1), seed=1)
    np.testing.assert_allclose(np.cov(draws.T), wider.covariance, atol=0.02)
    np.testing.assert_array_equal(POSTERIOR.moved(draws, seed=1), draws)


def test_what_voxels_cannot_resolve_never_makes_a_posterior_wider_than_the_prior():
    """Maxima on two grids lie far apart along what the data don't know: that is no knowledge of an error."""
    for difference in (np.array([0.4, 3.0, 0.0, -0.1]), np.array([-20.0, 5.0, 7.0, 1.0])):
        wider = POSTERIOR.widened(difference)
        spreads = np.linalg.eigvalsh(wider.covariance)
        assert spreads.max() <= 1 + 1e-9
        assert (np.diag(wider.covariance) >= np.diag(POSTERIOR.covariance) - 1e-12).all()
        assert wider.resolution @ difference > 0
    unknown = replace(POSTERIOR, laplace=np.eye(4))
    np.testing.assert_allclose(unknown.widened(np.ones(4)).covariance, np.eye(4), atol=1e-12)
