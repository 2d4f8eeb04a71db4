"""Forecasts of seizures at toy size."""

import dataclasses

import numpy as np
import pytest

from experiments.neuro import seizure_forecast
from twinsim.errors import InputError
from twinsim.workspace import Workspace

TOY = seizure_forecast.Config(people=3, train_days=80, test_days=60, horizon_days=4, fit_steps=60, particles=100, forecast_particles=30)


@pytest.mark.slow
def test_the_twin_beats_a_constant_rate_and_the_oracle_is_no_worse():
    result = seizure_forecast.run(TOY, Workspace(progress=False))
    summary, data = result.summary, result.dataset
    assert summary["held_out_seizures"] > 20
    assert summary["twin_brier_skill"] > 0.03 and summary["twin_nats_gained"] > 0.1
    assert summary["oracle_nats_gained"] > summary["twin_nats_gained"] > summary["cycles_nats_gained"]
    assert summary["twin_improvement_over_chance"] > 0.2
    assert (data["crps"].values > 0).all() and np.isfinite(data["log_score"].values).all()
    assert data["time_in_warning"].sel(forecaster="poisson").values.max() == 0  # it never warns: its risk does not change


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [("issue_h", 5.0, "multiple of 2 h"), ("horizon_days", 40, "shorten"), ("people", 1, "at least 2"), ("lead_h", 8.0, "lead no longer")],
)
def test_bad_options_are_one_line(option, value, words):
    with pytest.raises(InputError, match=words) as caught:
        seizure_forecast.run(dataclasses.replace(TOY, **{option: value}), Workspace(progress=False))
    assert "\n" not in str(caught.value)
