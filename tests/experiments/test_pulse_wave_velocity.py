"""Pulse wave velocity from the front door: a made record, the Doppler records, and what it refuses."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from experiments.haemodynamics.pulse_wave_velocity import Config, run
from twinsim.errors import InputError
from twinsim.experiment import run_experiment
from twinsim.run_options import RunOptions
from twinsim.transit_time import METHODS
from twinsim.workspace import Workspace

TOY = Config(draws=200, tube_cells=60, repeats=1)


@pytest.fixture
def made(tmp_path):
    """A pulse of 70 ms of delay, once in 1.1 s."""
    times = np.arange(800) / 100
    shape = [10 + 25 * np.exp(-(((np.mod(times - delay, 1.1) - 0.5) / 0.06) ** 2)) for delay in (0.0, 0.07)]
    savemat(tmp_path / "made.mat", {"signal": np.stack(shape, axis=1), "f": 100.0})
    return tmp_path / "made.mat"


@pytest.mark.slow
def test_velocity_and_stiffness_of_a_made_record(made, tmp_path):
    config = replace(TOY, record=made, path_mm=420.0, path_error_mm=21.0)
    summary = run_experiment("haemodynamics/pulse_wave_velocity", config, RunOptions(out=tmp_path / "out"), progress=False)
    for name in METHODS:
        assert summary[f"made_{name}_transit_ms"] == pytest.approx(70, abs=0.5)
        assert summary[f"made_{name}_velocity_m_per_s"] == pytest.approx(6.0, rel=0.01)
        assert summary[f"made_{name}_distensibility_per_mpa"] == pytest.approx(1e6 / (1060 * 36), rel=0.02)
        # 5 % of the path and nothing from beats that are all alike
        low, high = summary[f"made_{name}_velocity_low_m_per_s"], summary[f"made_{name}_velocity_high_m_per_s"]
        assert high / low == pytest.approx(np.exp(2 * 1.96 * 0.05), rel=0.06)
        assert summary[f"made_{name}_youngs_modulus_low_kpa"] < summary[f"made_{name}_youngs_modulus_kpa"]
        assert summary[f"made_{name}_reflecting_clean_bias_percent"] is not None
    shares = [summary[f"made_foot_to_foot_modulus_variance_share_{key}"] for key in ("beats", "path", "radius", "thickness")]
    assert sum(shares) == pytest.approx(1) and shares[0] < 0.01
    assert {file.name for file in (tmp_path / "out").glob("*.png")} == {"waves_made.png", "transit_made.png"}


def test_without_a_path_there_is_no_velocity(made):
    result = run(replace(TOY, record=made), Workspace(progress=False))
    assert not any("velocity" in key or "modulus" in key for key in result.summary)
    assert "No --path-mm" in (result.notes or [])[0]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"record": "none.mat"}, "no file none.mat"),
        ({"path_mm": 100.0, "path_error_mm": 60.0}, "--path-error-mm 60"),
        ({"draws": 1}, "--draws 1; expected 100 to"),
        ({"longest_ms": 600.0}, "--longest-ms 600"),
    ],
)
def test_refuses(options, words):
    with pytest.raises(InputError, match=words):
        run(replace(TOY, **options), Workspace(progress=False))


@pytest.mark.parametrize("change", [lambda signal: signal[:, ::-1], lambda signal: -signal], ids=["exchanged", "upside down"])
def test_columns_exchanged_or_upside_down_are_refused(made, change):
    content = loadmat(made)
    savemat(made, {"signal": change(content["signal"]), "f": 100.0})
    with pytest.raises(InputError, match="exchange the columns"):
        run(replace(TOY, record=made), Workspace(progress=False))


def test_records_that_are_not_there_are_asked_for(monkeypatch, tmp_path):
    monkeypatch.setenv("TWINSIM_DATA", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(InputError, match="no data set pwdb"):
        run(TOY, Workspace(progress=False))


@pytest.mark.needs_data
def test_the_doppler_records(dataset):
    """Two people: eight whole beats each, and a transit time by the foot that agrees with the fit of the rise."""
    dataset("pwdb")
    summary = run(TOY, Workspace(progress=False)).summary
    for name, transit in (("testdata01_doppler", 72.5), ("testdata02_doppler", 54.4)):
        assert summary[f"{name}_beats"] == 8
        assert summary[f"{name}_foot_to_foot_transit_ms"] == pytest.approx(transit, abs=1.0)
        assert summary[f"{name}_least_squares_transit_ms"] == pytest.approx(transit, abs=4.0)
        assert summary[f"{name}_foot_to_foot_transit_low_ms"] < transit < summary[f"{name}_foot_to_foot_transit_high_ms"]
