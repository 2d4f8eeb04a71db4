"""Forecasts of a spreading load at toy size."""

import dataclasses

import numpy as np
import pytest

from experiments.neuro import cognitive_decline
from physics import NetworkSpreading, synthetic_connectome
from twinsim.errors import InputError
from twinsim.spreading_forecast import covered, own_line, predicted_readings, rules
from twinsim.spreading_model import PRIORS, Scanner, predictor
from twinsim.visit_table import PersonVisits, write_visits
from twinsim.workspace import Workspace

TOY = cognitive_decline.Config(regions=20, people=6, draws=100, shortlist=2, nuts_people=0)


@pytest.mark.slow
def test_the_headline():
    result = cognitive_decline.run(TOY, Workspace(progress=False))
    summary = result.summary
    others = [summary[f"forecast_rmse_suvr_{rule}"] for rule in ("no_change", "linear", "mean_rate", "rate_of_level")]
    assert summary["forecast_rmse_suvr_model"] < 0.8 * min(others)
    assert summary["forecast_rmse_of_truth_suvr_model"] < 0.4 * summary["forecast_rmse_of_truth_suvr_no_change"]
    assert 80 < summary["forecast_coverage_90_percent"] <= 98 and 38 < summary["forecast_coverage_50_percent"] < 62
    assert summary["true_seed_is_likeliest_percent"] == 100
    assert summary["typical_spread_per_year"] == pytest.approx(TOY.true_spread_per_year, rel=0.4)
    assert summary["typical_growth_per_year"] == pytest.approx(TOY.true_growth_per_year, rel=0.4)
    assert summary["scatter_suvr"] == pytest.approx(TOY.noise_suvr, rel=0.1)
    assert summary["information_nats_after_1_visits"] < summary["information_nats_after_2_visits"]
    assert summary["least_information_eigenvalue_after_1_visits"] < 0.05  # one visit does not tell growth, spread and amplitude apart
    assert result.dataset["forecast"].shape == (6, 20) and result.dataset["information"].shape == (6, 4, 3, 3)
    assert set(result.report._pictures) == {"trajectories", "brains", "forecast", "identifiability"}


def test_a_prediction_does_not_depend_on_other_times():
    connectome = synthetic_connectome(12)
    predict = predictor(NetworkSpreading.of(connectome), Scanner(steps=40, lead_steps=200))
    z = np.zeros((1, 1, len(PRIORS)))
    few, many = (
        predicted_readings(predict, np.array([years]), np.array([[3]]), z, 12)[0, 0] for years in ([0.0, 4.0], [0.0, 1.0, 2.5, 4.0])
    )
    np.testing.assert_allclose(few[-1], many[-1], atol=2e-5)
    assert few[0].max() > 1.05 and (few >= 1).all()


def test_simple_rules_by_hand():
    one = PersonVisits("a", np.array([0.0, 1.0, 3.0]), np.array([[1.0, 1.2, np.nan], [1.1, np.nan, np.nan], [1.3, 1.6, 1.4]]))
    other = PersonVisits("b", np.array([1.0, 2.0]), np.array([[1.0, 1.0, 1.0], [1.0, 1.3, np.nan]]))
    found = rules([one, other], [5.0, 4.0])
    np.testing.assert_allclose(found["no_change"], [[1.3, 1.6, 1.4], [1.0, 1.3, 1.0]])
    np.testing.assert_allclose(found["linear"], [[1.5, 1.6 + 2 * 0.4 / 3, 1.4], [1.0, 1.9, 1.0]])
    np.testing.assert_allclose(found["mean_rate"][0], [1.3 + 2 * 0.05, 1.6 + (0.4 / 3 + 0.3), 1.4])
    np.testing.assert_allclose(own_line(one, 3.0)[0], 1.3)
    assert covered(np.linspace(0, 1, 101)[None, :, None], np.array([[0.5]]), 0.5).tolist() == [[1.0]]
    assert covered(np.linspace(0, 1, 101)[None, :, None], np.array([[0.2]]), 0.5).tolist() == [[0.0]]
    assert np.isnan(covered(np.linspace(0, 1, 101)[None, :, None], np.array([[np.nan]]), 0.5)).all()


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("visits_each", (2,), "3 to 20"),
        ("visits_each", (), "at least one"),
        ("full_suvr", 0.9, "more than a healthy one"),
        ("visits", "nowhere.csv", "correct the path"),
        ("connectome", "nowhere.zip", "correct the path"),
        ("missing", 0.95, "0 to 0.9"),
        ("people", 1, "2 to 1000"),
    ],
)
def test_bad_options_are_one_line(option, value, words):
    with pytest.raises(InputError, match=words) as caught:
        cognitive_decline.run(dataclasses.replace(TOY, **{option: value}), Workspace(progress=False))
    assert "\n" not in str(caught.value)


def test_people_with_few_visits_are_refused(tmp_path):
    names = synthetic_connectome(20).names
    people = [PersonVisits(name, np.arange(2.0), np.full((2, 20), 1.1)) for name in ("a", "b")]
    write_visits(tmp_path / "visits.csv", people, names)
    with pytest.raises(InputError, match="0 people with three visits"):
        cognitive_decline.run(dataclasses.replace(TOY, visits=str(tmp_path / "visits.csv")), Workspace(progress=False))


@pytest.mark.slow
def test_people_from_a_table_are_those_that_were_made(tmp_path):
    connectome = synthetic_connectome(TOY.regions)
    predict = predictor(NetworkSpreading.of(connectome), Scanner())
    medians = (TOY.true_spread_per_year, TOY.true_growth_per_year, TOY.true_amplitude, TOY.noise_suvr)
    people, _ = cognitive_decline.synthetic_people(
        connectome, predict, 6, TOY.visits_each, TOY.gap_years, medians, TOY.between, TOY.missing, 0
    )
    write_visits(tmp_path / "visits.csv", people, connectome.names)
    made = cognitive_decline.run(TOY, Workspace(progress=False)).summary
    read = cognitive_decline.run(dataclasses.replace(TOY, visits=str(tmp_path / "visits.csv")), Workspace(progress=False)).summary
    assert not read["synthetic"] and "growth_log_rmse" not in read
    for key in ("forecast_rmse_suvr_model", "typical_growth_per_year", "scatter_suvr"):
        assert read[key] == pytest.approx(made[key], rel=1e-6), key


@pytest.mark.slow
def test_the_normal_approximation_is_near_the_sampler():
    summary = cognitive_decline.run(dataclasses.replace(TOY, nuts_people=2), Workspace(progress=False)).summary
    assert summary["laplace_to_nuts_largest_log_ratio_of_sd"] < 0.25
    assert summary["laplace_to_nuts_largest_difference_of_means_in_sd"] < 0.5
