"""Forecasts: the posterior pushed forward, per treatment."""

from dataclasses import replace

import numpy as np
import pytest

from tests import tiny_glioma as tiny
from twinsim.forecast import EDGE_DENSITY, Forecast, course_mesh, ensemble, forecast, ranked, tempered_weights
from twinsim.treatment import OPTIMISED, REFERENCE, Course, treatment_days

HORIZON = 28.0
SAMPLES = 6
DAYS = treatment_days(60.0, 10)
NONE = Course("no further treatment", np.arange(10.0), np.zeros(10))
TREATED = Course("20 Gy in 10", np.arange(10.0), np.full(10, 2.0))


@pytest.fixture(scope="module")
def members():
    return ensemble(tiny.informed_twin(), SAMPLES, seed=3)


@pytest.fixture(scope="module")
def arms(members):
    twin = tiny.informed_twin()
    mesh = course_mesh(twin, DAYS, HORIZON)
    return {course.name: forecast(twin, members, mesh, course) for course in (NONE, TREATED)}


def test_the_first_member_is_the_maximum_a_posteriori(members):
    twin = tiny.informed_twin()
    assert members.z.shape == (SAMPLES + 1, len(tiny.Z_TRUTH))
    np.testing.assert_allclose(members.z[0], twin.posterior.mean, rtol=1e-12)
    np.testing.assert_allclose(twin.model.grid.volume(members.states)[0], tiny.grown(twin)[-1], rtol=1e-9, atol=1e-12)
    assert 0 <= members.power <= 1


def test_samples_spread_as_the_posterior_does(members):
    twin = tiny.informed_twin()
    away = (np.asarray(members.z[1:]) - twin.posterior.mean) / np.sqrt(np.diag(twin.posterior.covariance))
    assert 0.3 < np.sqrt(np.mean(away**2)) < 2.0


@pytest.mark.slow
def test_the_history_leads_from_the_first_scan_to_where_the_forecast_starts(members, arms):
    assert members.history_days[0] == tiny.informed_twin().record.scans[0].day and members.history_days[-1] == 60.0
    assert np.diff(members.history_days).max() <= 10.5
    assert members.history_mm3.shape == (SAMPLES + 1, members.history_days.size)
    np.testing.assert_allclose(members.history_mm3[:, -1], arms[NONE.name].volume_mm3[:, 0], rtol=1e-9)


def test_a_forecast_says_when_the_region_or_its_tissue_holds_it_back(arms):
    free = replace(arms[NONE.name], edge_density=0.01, filled=0.5)
    assert not free.capped
    assert replace(free, edge_density=0.03).capped
    assert replace(free, filled=0.95).capped
    tissue = float(np.asarray(tiny.informed_twin().model.grid.mask).sum()) * 64.0
    assert arms[NONE.name].filled == pytest.approx(arms[NONE.name].volume_mm3[:, -1].max() / tissue)


def test_the_same_seed_gives_the_same_members(members):
    twin = tiny.informed_twin()
    np.testing.assert_array_equal(ensemble(twin, SAMPLES, seed=3).z, members.z)
    assert not np.array_equal(ensemble(twin, SAMPLES, seed=4).z[1:], members.z[1:])


def test_the_curves_start_at_the_last_scan_and_end_at_the_horizon(arms, members):
    found = arms[NONE.name]
    assert found.days[0] == 60.0 and found.days[-1] == 60.0 + HORIZON
    assert (np.diff(found.days) > 0).all()
    assert found.volume_mm3.shape == found.burden_mm3.shape == (SAMPLES + 1, found.days.size)
    np.testing.assert_allclose(found.burden_mm3[:, 0], np.asarray(members.states).sum(axis=1) * 64.0, rtol=1e-10)
    assert (found.burden_mm3[:, -1] > 1.2 * found.burden_mm3[:, 0]).all()


def test_treatment_never_leaves_more_than_no_treatment(arms):
    untreated, treated = arms[NONE.name], arms[TREATED.name]
    assert (untreated.burden_mm3 >= treated.burden_mm3 - 1e-9).all()
    assert (untreated.burden_mm3[:, -1] > 1.3 * treated.burden_mm3[:, -1]).all()
    assert untreated.probability.sum() > treated.probability.sum()
    first = np.searchsorted(untreated.days, DAYS[0])
    np.testing.assert_allclose(untreated.burden_mm3[:, :first], treated.burden_mm3[:, :first], rtol=1e-12)


def test_a_fraction_kills_what_the_linear_quadratic_model_says(arms):
    """A fraction acts after the curve's point of its own day; the ratio of the arms just after is the survival, logistic growth aside."""
    untreated, treated = arms[NONE.name], arms[TREATED.name]
    after = np.searchsorted(untreated.days, DAYS[0]) + 1
    ratio = treated.burden_mm3[0, after] / untreated.burden_mm3[0, after]
    assert ratio == pytest.approx(np.exp(-tiny.TRUTH["radiosensitivity"] * 2 * 1.2), rel=0.01)


def test_the_probability_is_a_share_of_the_members(arms):
    for found in arms.values():
        assert found.probability.shape == (16, 16, 16)
        assert found.probability.min() >= 0 and found.probability.max() <= 1
        assert not found.probability[~tiny.anatomy().mask].any()
        votes = found.probability * SAMPLES  # the MAP has no vote
        np.testing.assert_allclose(votes, np.round(votes), atol=1e-9)


def test_a_tumour_that_reaches_the_border_is_told(arms):
    """The tiny brain is filled in a month; treatment keeps the density at its border lower."""
    assert arms[NONE.name].edge_density > EDGE_DENSITY
    assert 0 < arms[TREATED.name].edge_density < arms[NONE.name].edge_density < 1


def test_intervals_leave_the_best_guess_out_and_nest(arms):
    found = arms[NONE.name]
    (low, high), (lower, higher) = (found.interval(found.volume_mm3, p) for p in (0.5, 0.9))
    assert (lower <= low).all() and (low <= high).all() and (high <= higher).all()
    shifted = found.volume_mm3.copy()
    shifted[0] = 1e9
    np.testing.assert_array_equal(found.interval(shifted, 0.9)[1], higher)


def test_an_uncalibrated_twin_is_refused():
    with pytest.raises(ValueError, match="calibrate"):
        ensemble(tiny.twin_of(tiny.record()), 4, seed=0)


def test_importance_weights_are_flattened_only_as_far_as_needed():
    even, power = tempered_weights(np.zeros(40), 20)
    assert power == 1.0 and np.allclose(even, 1 / 40)
    steep = -np.arange(40.0)
    steep[7] = -np.inf
    weight, power = tempered_weights(steep, 20)
    assert 0 < power < 1 and weight[7] == 0
    assert 1 / np.sum(weight**2) == pytest.approx(20, rel=1e-3)


@pytest.mark.slow
def test_what_voxels_cannot_resolve_spreads_the_forecast():
    from dataclasses import replace

    twin = tiny.informed_twin()
    names = [prior.name for prior in twin.posterior.priors]
    difference = np.zeros(len(names))
    difference[names.index("growth_time")] = 0.2
    wider = replace(twin, posterior=twin.posterior.widened(difference))
    narrow, wide = (ensemble(one, SAMPLES, seed=3) for one in (twin, wider))
    burden = [np.log(np.asarray(members.states).sum(axis=1)) for members in (narrow, wide)]
    assert burden[0][0] == pytest.approx(burden[1][0])
    assert burden[1][1:].std() > 1.5 * burden[0][1:].std()


@pytest.mark.parametrize(("gain", "first"), [(1.005, REFERENCE), (1.2, OPTIMISED), (0.9, REFERENCE)])
def test_an_optimised_schedule_is_first_only_with_a_sure_gain(gain, first):
    def arm(name, burden):
        burdens = np.outer(np.linspace(1, 3, 9), [1.0, burden])
        return Forecast(Course(name, np.zeros(0), np.zeros(0)), np.arange(2.0), burdens, burdens, np.zeros(1), 0.0, 0.0)

    arms = ranked([arm("none", 50.0), arm(OPTIMISED, 10.0 / gain), arm(REFERENCE, 10.0)])
    assert arms[0].course.name == first and arms[-1].course.name == "none"
