"""A real electrocardiogram at toy size."""

from dataclasses import replace

import numpy as np
import pytest

from experiments.cardiac import ecg_record
from twinsim.errors import InputError
from twinsim.workspace import Workspace

TOY = ecg_record.Config(torso_spacing_mm=12.0, evaluations=2, starts=1, cell_model="mitchell_schaeffer", beats=1, dt_ms=0.1)


@pytest.mark.needs_data
def test_the_averaged_beat_of_the_real_record(dataset):
    """51 of 52 beats; the limb leads obey Einthoven and Goldberger to the recording's resolution; zero where the window ends."""
    dataset("wfdb")
    beat, frank, comments = ecg_record._recorded("ptb_s0010")
    assert beat.beats >= 45 and beat.interval_ms == pytest.approx(734, abs=5) and 110 < beat.qrs_ms < 160
    one, two, three, avr = beat.values[:4]
    np.testing.assert_allclose(one + three, two, atol=0.05)
    np.testing.assert_allclose(avr, -(one + two) / 2, atol=0.05)
    assert frank.shape[0] == 3 and any("infarct" in line.lower() for line in comments)
    data = ecg_record._window(beat, beat.values[:12], ecg_record.SAMPLES)
    assert data.shape == (12, ecg_record.SAMPLES)
    assert ecg_record._relative(ecg_record._low_rank(data), data) < 0.3
    assert ecg_record._relative(ecg_record._naive(data, data), data) < 1e-12


@pytest.mark.slow
@pytest.mark.needs_data
def test_two_steps_already_beat_the_usual_heart(dataset, tmp_path):
    dataset("wfdb")
    summary = ecg_record.run(TOY, Workspace(tmp_path, progress=False)).summary
    assert summary["relative_residual_fit"] < summary["relative_residual_naive"]
    assert summary["relative_residual_best_three_dipoles"] < summary["relative_residual_fit"]
    assert summary["correlation_fit"] > summary["correlation_naive"]
    assert 80 < summary["qrs_ms_fit"] < 220
    assert summary["t_wave_relative_residual"] <= summary["t_wave_relative_residual_flat"] * 1.2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"spacing_mm": 3.0}, "0.8 to 2"),
        ({"error_mv": 0.0}, "0.001 to 10"),
        ({"starts": 4}, "1 to 3"),
        ({"cell_model": "mitchel_schaeffer"}, "did you mean"),
    ],
)
def test_bad_options(change, message):
    with pytest.raises(InputError, match=message):
        ecg_record.run(replace(TOY, **change), Workspace(progress=False))


def test_no_data(tmp_path, monkeypatch):
    monkeypatch.setenv("TWINSIM_DATA", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(InputError, match=r"no data set wfdb.*TWINSIM_DATA"):
        ecg_record.run(TOY, Workspace(progress=False))


@pytest.mark.needs_data
def test_a_record_without_twelve_leads(dataset):
    dataset("wfdb")
    with pytest.raises(InputError, match="without i, ii"):
        ecg_record.run(replace(TOY, record="100"), Workspace(progress=False))
