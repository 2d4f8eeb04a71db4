"""Heart, aorta and arm at toy size, and the beats that time them."""

from dataclasses import replace

import numpy as np
import pytest

from experiments.haemodynamics import wearable
from experiments.haemodynamics._wearable import intervals_of
from twinsim.errors import InputError
from twinsim.workspace import Workspace

TOY = wearable.Config(cell_mm=60.0, samples=81, substeps=14, settle=4, beats=3, draws=0, sensitivity=False)


def test_a_drawn_rhythm_has_its_rate_and_spread():
    found = intervals_of("", 4000, 75.0, 40.0, 1)
    assert found.mean() == pytest.approx(0.8, abs=2e-3)
    assert found.std() == pytest.approx(0.040, abs=2e-3)
    assert np.ptp(intervals_of("", 5, 60.0, 0.0, 0)) == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"heart_rate_per_min": 41.0, "variability_ms": 150.0, "beats": 400}, "intervals of"),
        ({"stiffness": 9.0}, "--stiffness 9"),
        ({"record": "100", "beats": 9000}, "data"),
    ],
)
def test_refuses(options, words, monkeypatch, tmp_path):
    monkeypatch.setenv("TWINSIM_DATA", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(InputError, match=words):
        wearable.run(replace(TOY, **options), Workspace(progress=False))


@pytest.mark.needs_data
@pytest.mark.parametrize("record", ["100", "s0010_re"])
def test_beats_of_a_record(record, dataset):
    dataset("wfdb")
    found = intervals_of(record, 20, 75.0, 40.0, 0)
    assert 60 < 60 / found.mean() < 100


@pytest.mark.slow
def test_a_toy_has_a_physiological_beat():
    result = wearable.run(TOY, Workspace(progress=False))
    summary = result.summary
    assert 0 < summary["pre_ejection_period_s"] < summary["pulse_arrival_time_s"] < 0.4
    assert 50 < summary["brachial_diastolic_mmhg"] < summary["brachial_mean_mmhg"] < summary["brachial_systolic_mmhg"] < 180
    assert 40 < summary["stroke_volume_ml"] < 120
    assert np.isfinite(result.dataset["plethysmogram"]).all()
    assert all("units" in result.dataset[name].attrs for name in result.dataset.data_vars)


@pytest.mark.slow
def test_slopes_are_those_of_differences_and_have_the_signs_of_physiology():
    """Stiffer walls carry the pulse faster; the slope through all beats against central differences of whole runs."""
    from experiments.haemodynamics._wearable import NAMES, settle, slopes_of
    from experiments.haemodynamics.wearable import _person
    from physics.heart_and_arm import HeartAndArm

    model, person = HeartAndArm(0.06, 81, 14), _person(TOY)
    values, slopes = slopes_of(model, person, ("stiffness", "resistance"), 2, 1.75)
    assert slopes[0, NAMES.index("pulse_transit_time")] < 0
    assert slopes[1, NAMES.index("brachial_diastolic")] > 0
    ahead, behind = (settle(model, person | {"stiffness": float(np.exp(sign * 1e-4))}, 2, 1.75)[2] for sign in (1, -1))
    error = np.abs(slopes[0] - (ahead - behind) / 2e-4) / (np.abs(slopes[0]) + np.abs(values))
    assert error.max() < 1e-6, dict(zip(NAMES, error, strict=True))
