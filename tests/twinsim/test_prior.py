"""Priors: coordinates and values, intervals, and the glioma's own."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twinsim.glioma_priors import GLIOMA_PRIORS, IMAGING_PRIORS, TISSUE_PRIORS
from twinsim.prior import Prior, values_of

PRIORS = {
    "log": Prior("rate", "1/day", 0.02, 0.7, "log", "test"),
    "logit": Prior("threshold", "1", 0.16, 0.25, "logit", "test"),
    "identity": Prior("position", "mm", -3.0, 6.0, "identity", "test"),
}
every_transform = pytest.mark.parametrize("prior", PRIORS.values(), ids=PRIORS)


@every_transform
@given(z=st.floats(-6, 6))
def test_a_coordinate_comes_back_from_its_value(prior, z):
    assert prior.coordinate(float(prior.value(jnp.asarray(z)))) == pytest.approx(z, abs=1e-9)


@every_transform
def test_the_median_lies_at_zero_and_values_rise(prior):
    assert float(prior.value(jnp.asarray(0.0))) == pytest.approx(prior.median, rel=1e-14)
    assert prior.coordinate(prior.median) == pytest.approx(0.0, abs=1e-14)
    assert (np.diff(prior.value(jnp.linspace(-5, 5, 101))) > 0).all()


def test_transforms_against_their_formulas():
    z = jnp.asarray(1.3)
    assert float(PRIORS["log"].value(z)) == pytest.approx(0.02 * np.exp(0.7 * 1.3), rel=1e-14)
    odds = 0.16 / 0.84 * np.exp(0.25 * 1.3)
    assert float(PRIORS["logit"].value(z)) == pytest.approx(odds / (1 + odds), rel=1e-14)
    assert float(PRIORS["identity"].value(z)) == pytest.approx(-3 + 6 * 1.3, rel=1e-14)


@every_transform
@pytest.mark.parametrize("probability", [0.5, 0.9, 0.99])
def test_an_interval_holds_its_share_of_draws(prior, probability):
    draws = prior.value(jnp.asarray(np.random.default_rng(3).standard_normal(40_000)))
    low, high = prior.interval(probability)
    share = float(((draws > low) & (draws < high)).mean())
    assert share == pytest.approx(probability, abs=4 * np.sqrt(probability * (1 - probability) / 40_000))
    assert low < prior.median < high


def test_values_by_name_in_the_order_of_the_priors():
    z = jnp.arange(len(GLIOMA_PRIORS), dtype=float) / 10
    values = values_of(GLIOMA_PRIORS, z)
    assert list(values) == [prior.name for prior in GLIOMA_PRIORS]
    for prior, coordinate in zip(GLIOMA_PRIORS, z, strict=True):
        assert float(values[prior.name]) == float(prior.value(coordinate))


@pytest.mark.parametrize("prior", GLIOMA_PRIORS, ids=lambda prior: prior.name)
def test_the_glioma_priors_have_sources_units_and_medians_inside(prior):
    assert prior.source.strip() and prior.unit.strip()
    low, high = prior.interval(0.9)
    assert low < prior.median < high
    if prior.transform == "log":
        assert low > 0
    if prior.transform == "logit":
        assert 0 < low < high < 1


def test_the_glioma_priors_reach_what_was_published():
    """Rates of Swanson 2000 and of Rockne 2010 lie inside of 95 % of the priors."""
    by_name = {prior.name: prior for prior in GLIOMA_PRIORS}
    assert len(by_name) == len(GLIOMA_PRIORS) == len(TISSUE_PRIORS) + len(IMAGING_PRIORS)
    for name, published in (("diffusivity_white", 0.65), ("proliferation", 0.012), ("radiosensitivity", 0.1), ("threshold_oedema", 0.16)):
        low, high = by_name[name].interval(0.95)
        assert low < published < high, name
