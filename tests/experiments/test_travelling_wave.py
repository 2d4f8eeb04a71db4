"""Waves over a sheet at toy size."""

import dataclasses

import numpy as np
import pytest

from experiments.neuro import travelling_wave
from physics import front_speed
from twinsim.errors import InputError
from twinsim.workspace import Workspace

TOY = travelling_wave.Config(thresholds=(0.2, 0.35), width=0.01, sheet_mm=30.0, voxels_per_reach=20, steps_per_time=30)


def test_fronts_have_their_speed_and_a_ring_runs_and_leaves_rest_behind():
    result = travelling_wave.run(TOY, Workspace(progress=False))
    summary, data = result.summary, result.dataset
    assert summary["largest_error_of_front_speed"] < 0.03 and summary["largest_error_of_its_slope"] < 0.1
    assert summary["front_speed_at_0.2_mm_per_ms"] == pytest.approx(front_speed(0.2, 1.0, 10.0), rel=0.03)
    assert 0.03 < summary["ring_speed_mm_per_ms"] < summary["flat_front_speed_mm_per_ms"]  # curved, and chased by its recovery
    assert summary["centre_recovered"]
    radius = data["ring_radius"].values
    assert (np.diff(radius[np.isfinite(radius)]) > 0).all()


@pytest.mark.parametrize(
    ("option", "value", "words"), [("thresholds", (0.6,), "0.01 to 0.49"), ("thresholds", (), "at least"), ("sheet_mm", 2.0, "reaches")]
)
def test_bad_options_are_one_line(option, value, words):
    with pytest.raises(InputError, match=words) as caught:
        travelling_wave.run(dataclasses.replace(TOY, **{option: value}), Workspace(progress=False))
    assert "\n" not in str(caught.value)
