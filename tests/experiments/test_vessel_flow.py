"""Flow in a voxel vessel at toy size."""

from dataclasses import replace

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


@pytest.mark.slow
def test_a_bolus_reads_the_flow_off_the_voxels(tmp_path):
    """Steady flow from rest: the transit time is volume over flow, and dose over area the flow."""
    config = replace(TOY, pulse=0.0, bolus_s=0.5)
    summary = run_experiment("haemodynamics/vessel_flow", config, RunOptions(out=tmp_path / "out"), progress=False)
    assert summary["bolus_mean_transit_s"] == pytest.approx(summary["bolus_volume_over_flow_s"], rel=5e-3)
    assert summary["bolus_flow_stewart_hamilton_ml_per_min"] == pytest.approx(summary["flow_mean_ml_per_min"], rel=5e-3)
    assert summary["bolus_flow_imaged_ml_per_min"] == pytest.approx(summary["flow_mean_ml_per_min"], rel=0.03)
    assert summary["bolus_left_relative"] < 1e-4
    assert (tmp_path / "out" / "bolus.png").exists()
    with xr.open_dataset(tmp_path / "out" / "result.h5", engine="h5netcdf") as found:
        assert found["bolus_mixed"].attrs["units"] == "1" and found["bolus_time"].attrs["units"] == "s"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"stenosis": 0.6}, "narrowest radius of 1.6 voxels"),
        ({"length_mm": 2.0}, "length"),
        ({"mean_flow_ml_per_min": 400.0}, "use --voxels-per-diameter"),
        ({"bolus_s": -1.0}, "--bolus-s -1; expected 0 to 60"),
        ({"bolus_s": 0.5, "frames": 500, "beats": 20, "voxels_per_diameter": 24}, "GB of velocities for a bolus; .* use --frames"),
        ({"voxels_per_diameter": 200, "length_mm": 50.0}, "million voxels; expected at most 20 million; do: use --voxels-per-diameter 106"),
        ({"viscosity": 0.05, "period_s": 5.0, "voxels_per_diameter": 185}, "steps per beat"),
    ],
)
def test_refusals(options, words, tmp_path):
    config = Config(**{**{name: getattr(TOY, name) for name in TOY.__dataclass_fields__}, **options})
    with pytest.raises(InputError, match=words):
        run(config, Workspace(tmp_path, progress=False))
