"""The alpha rhythm at toy size: points published by Grimbert and Faugeras, laws of scaling that slopes obey, a network of two speeds."""

import dataclasses

import numpy as np
import pytest

from experiments.neuro import alpha_rhythm
from twinsim.errors import InputError
from twinsim.workspace import Workspace

TOY = alpha_rhythm.Config(
    steps=150,
    longest_period_ms=250.0,
    regions=3,
    couplings=(0.0, 10.0),
    speeds_mm_per_ms=(2.0, 0.0),
    duration_ms=6000.0,
    noise_per_s=0.0,
)


@pytest.mark.slow
def test_the_diagram_the_rhythm_and_the_network():
    result = alpha_rhythm.run(TOY, Workspace(progress=False))
    summary, data = result.summary, result.dataset
    # Grimbert and Faugeras 2006: two Hopf points bound the alpha rhythm
    assert data["hopf_input"].values[1:] == pytest.approx([89.829108, 315.696428], abs=1e-5)
    assert summary["hopf_inputs_per_s"].startswith("-12.1474") and data["fold_input"].values == pytest.approx(
        [-41.301411, 113.586273], abs=2e-6
    )
    assert float(summary["fold_of_rhythms_inputs_per_s"]) == pytest.approx(137.3793, abs=2e-3)  # 150 steps
    assert summary["families_of_rhythms"] == 2  # the third Hopf point is where the alpha rhythm ends
    assert summary["alpha_frequency_hz"] == pytest.approx(10.9380, abs=2e-4) and summary["alpha_largest_multiplier"] < 1
    slope = {name: summary[f"frequency_elasticity_to_{name}"] for name in data["parameter"].values}
    # Time in other units multiplies four parameters and the frequency; potentials in other units leave the frequency alone.
    assert sum(slope[name] for name in ("excitatory_rate", "inhibitory_rate", "input", "half_rate")) == pytest.approx(1.0, abs=1e-8)
    gains = slope["excitatory_gain"] + slope["inhibitory_gain"]
    assert gains + slope["half_potential"] - slope["steepness"] == pytest.approx(0.0, abs=1e-8)
    assert summary["largest_difference_to_central_differences"] < 1e-5
    # Two programs, one column: shooting, and the peak of the spectrum of the march without noise.
    assert summary["network_peak_uncoupled_hz"] == pytest.approx(summary["alpha_frequency_hz"], abs=0.02)
    assert data["power"].shape[:2] == (2, 2) and np.isfinite(data["power"]).all()
    assert set(result.report._pictures) == {"diagram", "rhythm", "network"}


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("steps", 10, "100 to 20000"),
        ("dt_ms", 0.3, "divides 4 ms"),
        ("couplings", (), "one of each"),
        ("speeds_mm_per_ms", (0.01,), "which it is"),
        ("highest_input_per_s", -100.0, "exchange"),
        ("connectome", "nowhere.zip", "correct the path"),
    ],
)
def test_bad_options_are_one_line(option, value, words):
    with pytest.raises(InputError, match=words) as caught:
        alpha_rhythm.run(dataclasses.replace(TOY, **{option: value}), Workspace(progress=False))
    assert "\n" not in str(caught.value)
