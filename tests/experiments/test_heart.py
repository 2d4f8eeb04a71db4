"""The experiments on whole hearts at toy size."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from experiments.cardiac import ecg_inverse, heart_folder, realtime_heart
from twinsim.errors import InputError
from twinsim.experiment import RunOptions, run_experiment
from twinsim.heart_folder import analytic_record, save_heart
from twinsim.workspace import Workspace

COARSE = realtime_heart.Config(spacing_mm=2.0, beats=1, dt_ms=0.05, repeats=1, beat_ms=500.0)


@pytest.fixture(scope="module")
def beat(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "heart"
    return run_experiment("cardiac/realtime_heart", COARSE, RunOptions(out=folder), progress=False), folder


def test_a_beat_looks_like_one(beat):
    """Normal QRS is 60 to 110 ms; V1 ends in a deep S, V5 has a tall R, T goes with R."""
    summary, folder = beat
    assert 55 < summary["qrs_duration_ms"] < 110
    assert 60 < summary["last_activation_ms"] < 110
    assert summary["r_v5_mv"] > 0.2 and 0 < summary["t_v5_mv"] < summary["r_v5_mv"]
    assert summary["real_time_factor"] > 0
    with xr.open_dataset(folder / "result.h5", engine="h5netcdf", decode_times=False) as result:
        leads = result["leads"]
        v1 = leads.sel(lead="V1").values[:120]
        assert v1.min() < -2 * v1.max()
        np.testing.assert_allclose(leads.sel(lead="I") + leads.sel(lead="III"), leads.sel(lead="II"), atol=1e-5)
        assert abs(leads.values[:, -1]).max() < 0.02 * abs(leads.values).max()
        assert int(np.isfinite(result["activation"].values).sum()) == summary["active_voxels"]


@pytest.mark.slow
def test_a_folder_of_the_same_heart_in_a_torso(beat, tmp_path):
    """The same activation as without a folder; a torso keeps the current in: limb leads are larger than in an infinite conductor."""
    folder = save_heart(analytic_record(2.0), tmp_path / "heart")
    config = replace(COARSE, heart=folder, torso=True, torso_spacing_mm=12.0)
    result = realtime_heart.run(config, Workspace(progress=False))
    plain, found = beat[0], result.summary
    assert found["active_voxels"] == plain["active_voxels"]
    assert found["last_activation_ms"] == pytest.approx(plain["last_activation_ms"], abs=0.01)
    assert found["qrs_limb_leads_largest_peak_to_peak_mv"] > 1.5 * plain["qrs_limb_leads_largest_peak_to_peak_mv"]
    assert 0.2 < found["qrs_limb_leads_largest_peak_to_peak_mv"] < 3 and 0.5 < found["qrs_chest_leads_largest_peak_to_peak_mv"] < 5
    assert found["torso_voxels"] > 10000 and 0 < found["torso_iterations"] < 40
    assert found["r_v5_mv"] > 0.3 and found["t_v5_mv"] > 0


@pytest.mark.slow
def test_a_heart_written_and_read(tmp_path):
    config = heart_folder.Config(spacing_mm=2.0, folder=tmp_path / "heart")
    summary = heart_folder.run(config, Workspace(tmp_path / "run", progress=False)).summary
    assert (tmp_path / "heart" / "heart.yaml").is_file()
    assert summary["read_back_largest_difference_ms"] < 1e-4
    assert summary["rule_fibre_angle_deg_median_away_from_apex_and_junction"] < 8
    assert summary["rule_activation_difference_ms_rms"] < 0.03 * summary["last_activation_ms"]
    with pytest.raises(InputError, match="overwrite"):
        heart_folder.run(config, Workspace(progress=False))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"heart": Path("nowhere")}, "which is no folder"),
        ({"torso_spacing_mm": 1.0}, "2 to 12"),
        ({"spacing_mm": 3.0}, "0.5 to 2"),
        ({"velocity_along_m_per_s": float("nan")}, "0.05 to 6"),
        ({"velocity_across_m_per_s": 0.9}, "swap the two"),
        ({"cell_model": "ten_tusher_2006_epi"}, "did you mean"),
        ({"beats": 0}, "1 to 10000"),
    ],
)
def test_bad_options(change, message):
    with pytest.raises(InputError, match=message):
        realtime_heart.run(replace(COARSE, **change), Workspace(None, progress=False))


@pytest.mark.slow
def test_the_earliest_place_is_found(tmp_path, monkeypatch):
    """At toy size: few places to start from, and hardly finer voxels for the fit than for the search."""
    monkeypatch.setattr(ecg_inverse, "APART_MM", 30.0)
    monkeypatch.setattr(ecg_inverse, "FINALISTS", 1)
    config = ecg_inverse.Config(truth_spacing_mm=1.8, spacing_mm=1.9, seed=3)
    summary = run_experiment("cardiac/ecg_inverse", config, RunOptions(out=tmp_path / "run"), progress=False)
    assert summary["site_error_mm_worst"] < 5
    assert summary["velocity_along_relative_error_worst"] < 0.1
    assert summary["site_coordinates"] == 3 and 0 <= summary["site_coordinates_covered_by_ci90"] <= 3


@pytest.mark.parametrize(
    ("change", "message"), [({"spacing_mm": 2.0}, "not below"), ({"noise_mv": 0.0}, "0.0001 to 1"), ({"seed": -1}, "--seed -1")]
)
def test_bad_options_of_the_inverse(change, message):
    with pytest.raises(InputError, match=message):
        ecg_inverse.run(replace(ecg_inverse.Config(), **change), Workspace(None, progress=False))
