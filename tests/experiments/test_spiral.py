"""A spiral at toy size: that it turns, what is measured of it, and shocks that end it."""

import dataclasses

import numpy as np
import pytest

from experiments.cardiac import spiral
from experiments.cardiac._spiral_sheet import dominant_frequency, rotation_period, upward_crossings
from twinsim.errors import InputError
from twinsim.workspace import Workspace

# A quarter of the diffusivity at half the length is the same spiral.
TOY = spiral.Config(
    side_mm=30.0,
    dx_mm=1.0,
    diffusivity_mm2_per_ms=0.0953 / 4,
    rotate_ms=800.0,
    shock_intervals=6,
    shock_interval_ms=10.0,
    patches=2,
    optimise_steps=1,
    precision="float64",
)


@pytest.mark.slow
def test_a_spiral_turns_and_is_ended_by_less_energy_than_the_best_rectangle(tmp_path):
    result = spiral.run(TOY, Workspace(tmp_path, progress=False))
    summary = result.summary
    assert summary["singularities_at_end"] == 1 and summary["excited_fraction_at_end"] > 0
    assert 350 < summary["period_ms"] < 550
    assert summary["dominant_frequency_hz"] is None  # less than two turns were seen
    assert 0 < summary["tip_extent_mm"] < 15
    short, long = (summary[f"energy_rectangle_{length}_ms_a2_ms_per_f2"] for length in (10, 60))
    assert summary["amplitude_rectangle_10_ms_a_per_f"] ** 2 * 10 == pytest.approx(short, rel=1e-6)
    assert long < short  # weak and long: a current that holds the cells above threshold until the wave is back
    best, course, pattern = (summary[f"energy_{name}_a2_ms_per_f2"] for name in ("best_rectangle", "course", "pattern"))
    assert best <= long and pattern < course <= best and pattern < 0.9 * best
    assert summary["threshold_uncertainty_percent"] < 5


@pytest.mark.slow
def test_without_a_shock(tmp_path):
    small = dataclasses.replace(TOY, shock="none", rotate_ms=100.0, fibrosis_fraction=0.05)
    summary = spiral.run(small, Workspace(tmp_path, progress=False)).summary
    assert not any(name.startswith("energy") for name in summary) and summary["period_ms"] is None


def test_period_and_frequency_of_known_signals():
    times = np.arange(0, 3000, 1.0)
    voltage = -40 + 45 * np.sin(2 * np.pi * (times[:, None] + np.array([0.0, 60.0])[None]) / 217)
    assert rotation_period(times, voltage) == pytest.approx(217, abs=0.01)
    assert dominant_frequency(times, voltage) == pytest.approx(1000 / 217, rel=2e-3)
    assert len(upward_crossings(times, voltage)[0]) == 14
    assert rotation_period(times, voltage * 0 - 80) is None and dominant_frequency(times, voltage * 0 - 80) is None


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("cell_model", "aliev_panfilow", "aliev_panfilov"),
        ("side_mm", 1.0, "5 to 400"),
        ("dt_ms", 1.0, "0.005 to 0.2"),
        ("dx_mm", 3.0, "10 voxels|8 to 1000|0.1 to 3"),
        ("shock_intervals", 600, "ends before watch-ms"),
        ("patches", 0, "1 to 16"),
        ("fibrosis_fraction", 0.9, "0 to 0.6"),
    ],
)
def test_bad_options_are_refused_in_one_line(option, value, expected):
    config = dataclasses.replace(TOY, **{option: value})
    if option == "dx_mm":
        config = dataclasses.replace(config, side_mm=20.0)
    with pytest.raises(InputError, match=expected) as caught:
        spiral.run(config, Workspace(progress=False))
    assert "\n" not in str(caught.value)
