"""The spread of a seizure at toy size."""

import dataclasses

import numpy as np
import pytest

from experiments.neuro import seizure_spread
from twinsim.errors import InputError
from twinsim.workspace import Workspace

TOY = seizure_spread.Config(regions=12, duration_ms=600.0, slow_time_ms=300.0, coupling=4.0, removals=2)


def test_a_zone_recruits_others_and_slopes_have_their_sign():
    result = seizure_spread.run(TOY, Workspace(progress=False))
    summary, data = result.summary, result.dataset
    assert summary["regions_seizing"] > 4 and summary["regions_recruited"] == summary["regions_seizing"] - 4
    assert summary["first_onset_ms"] < summary["first_recruited_onset_ms"] <= summary["last_onset_ms"]
    seizing = np.isfinite(data["onset"].values)
    own = np.diagonal(data["onset_slope"].values)[seizing]
    assert (own < 0).all()  # the more epileptogenic, the sooner
    assert summary["regions_seizing_after_it"] < summary["regions_seizing"]


def test_a_healthy_brain_does_not_seize():
    summary = seizure_spread.run(
        dataclasses.replace(TOY, zone_epileptogenicity=-2.4, other_epileptogenicity=-2.4, removals=0), Workspace(progress=False)
    ).summary
    assert summary["regions_seizing"] == 0 and summary["first_onset_ms"] is None and summary["removal_leaving_fewest"] is None


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("zone", ("R00",), "did you mean"),
        ("dt_ms", 0.3, "whole number of steps"),
        ("coupling", -1.0, "0 to 100"),
        ("connectome", "nowhere.zip", "correct the path"),
    ],
)
def test_bad_options_are_one_line(option, value, words):
    with pytest.raises(InputError, match=words) as caught:
        seizure_spread.run(dataclasses.replace(TOY, **{option: value}), Workspace(progress=False))
    assert "\n" not in str(caught.value)
