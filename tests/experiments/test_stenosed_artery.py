"""A narrowed artery at toy size."""

from dataclasses import replace

import pytest
import xarray as xr

from experiments.haemodynamics.stenosed_artery import Config, run
from twinsim.errors import InputError
from twinsim.experiment import run_experiment
from twinsim.run_options import RunOptions
from twinsim.workspace import Workspace

TOY = Config(
    voxels_per_diameter=8,
    length_mm=9.0,
    stenosis=0.25,
    stenosis_length_mm=4.0,
    upstream_mm=20.0,
    downstream_mm=20.0,
    mean_flow_ml_per_min=20.0,
    viscosity=0.02,
    compliance_ul_per_mmhg=0.5,
    period_s=0.3,
    mach=0.2,
    precision="float64",
)


@pytest.mark.slow
def test_slow_flow_falls_between_a_parabola_and_the_law(tmp_path):
    summary = run_experiment("haemodynamics/stenosed_artery", TOY, RunOptions(out=tmp_path / "out"), progress=False)
    # At a Reynolds number of a few, losses are viscous: above a parabola in every section, below a law made for jets.
    assert 1 < summary["voxel_drop_mean_mmhg"] / summary["poiseuille_drop_mean_mmhg"] < 1.25
    assert summary["voxel_drop_mean_mmhg"] < summary["law_drop_mean_mmhg"]
    assert summary["voxel_flow_mean_ml_per_min"] == pytest.approx(summary["law_flow_mean_ml_per_min"], rel=0.01)
    assert summary["change_to_beat_before_relative"] < 0.05
    assert 0 < summary["tawss_min_pa"] < summary["tawss_max_pa"]
    with xr.open_dataset(tmp_path / "out" / "result.h5", engine="h5netcdf") as found:
        assert found["voxel_pressure_before"].attrs["units"] == "Pa" and found.sizes["time"] > 50


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"stenosis_length_mm": 8.0}, "a healthy stretch before each opening"),
        ({"stenosis": 0.6}, "narrowest radius of 1.6 voxels"),
        ({"mean_flow_ml_per_min": 900.0}, "use --voxels-per-diameter"),
        ({"viscosity": 0.05, "period_s": 3.0, "voxels_per_diameter": 100}, "fewer --beats"),
        ({"stenosis": 0.9}, "stenosis"),
    ],
)
def test_refusals(options, words, tmp_path):
    with pytest.raises(InputError, match=words):
        run(replace(TOY, **options), Workspace(tmp_path, progress=False))
