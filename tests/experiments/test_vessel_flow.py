"""Flow in a voxel vessel at toy size."""

import pytest
import xarray as xr

from experiments.haemodynamics.vessel_flow import Config, run
from twinsim.errors import InputError
from twinsim.experiment import run_experiment
from twinsim.run_options import RunOptions
from twinsim.workspace import Workspace

TOY = Config(voxels_per_diameter=8, length_mm=9.0, frames=8, mach=0.25, mean_flow_ml_per_min=10.0, period_s=0.4, viscosity=0.01)


@pytest.mark.slow
def test_a_straight_vessel_has_the_wall_shear_of_the_closed_form(tmp_path):
    summary = run_experiment("haemodynamics/vessel_flow", TOY, RunOptions(out=tmp_path / "out"), progress=False)
    assert summary["tawss_mean_pa"] == pytest.approx(summary["tawss_closed_form_pa"], rel=0.04)
    assert summary["outlet_pressure_mean_mmhg"] == pytest.approx(10 / 60 * 100, rel=0.02)
    assert summary["flow_lost_relative"] < 0.01
    assert 0 <= summary["osi_max"] < 0.01 and summary["mach_peak"] < 0.3
    with xr.open_dataset(tmp_path / "out" / "result.h5", engine="h5netcdf") as found:
        assert found["wall_shear"].attrs["units"] == "Pa" and found.sizes["time"] == 8


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"stenosis": 0.6}, "narrowest radius of 1.6 voxels"),
        ({"length_mm": 2.0}, "length"),
        ({"mean_flow_ml_per_min": 400.0}, "use --voxels-per-diameter"),
        ({"viscosity": 0.05, "period_s": 5.0, "voxels_per_diameter": 200}, "steps per beat"),
    ],
)
def test_refusals(options, words, tmp_path):
    config = Config(**{**{name: getattr(TOY, name) for name in TOY.__dataclass_fields__}, **options})
    with pytest.raises(InputError, match=words):
        run(config, Workspace(tmp_path, progress=False))
