"""A plaque from the front door at toy size, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from experiments.haemodynamics.plaque import Config, _belief, run
from physics.labelled_section import plaque_labels
from physics.plaque_parameters import PLAQUE_TISSUE
from twinsim.errors import InputError
from twinsim.experiment import run_experiment
from twinsim.run_options import RunOptions
from twinsim.workspace import Workspace

TOY = Config(voxels_per_diameter=10, mean_flow_ml_per_min=10.0, lesion_length_mm=6.0, viscosity=0.006, draws=20)


def test_stiffnesses_are_those_of_the_table():
    assert all(getattr(TOY, f"{name}_kpa") == PLAQUE_TISSUE[name].value for name in ("fibrous", "lipid", "calcium"))


@pytest.mark.slow
def test_both_hypotheses_and_the_cap_are_reported_with_intervals(tmp_path):
    labels = plaque_labels(_belief(TOY).shape, 0.02, (0.3, -0.2))
    np.save(tmp_path / "labels.npy", labels)
    config = replace(TOY, labels=tmp_path / "labels.npy")
    summary = run_experiment("haemodynamics/plaque", config, RunOptions(out=tmp_path / "out"), progress=False)
    assert summary["peak_cap_stress_kpa"] == pytest.approx(143.3, rel=1e-3)
    for name in ("peak_cap_stress", "peak_cap_stress_first_order"):
        assert summary[f"{name}_low_kpa"] < summary["peak_cap_stress_kpa"] < summary[f"{name}_high_kpa"]
    assert summary["elasticity_pressure_1"] == pytest.approx(1, abs=1e-9)
    assert -1 < summary["elasticity_cap_1"] < -0.3
    assert summary["peak_lumen_stress_of_labels_kpa"] == pytest.approx(summary["peak_lumen_stress_kpa"], rel=0.15)
    assert summary["wall_shear_middle_mean_pa"] > 1.3 * summary["wall_shear_proximal_mean_pa"]
    assert summary["low_shear_lowest_sector_pa"] < summary["wall_shear_distal_mean_pa"]
    assert summary["low_shear_probability"] == 1 and summary["high_shear_probability"] == 0
    assert not any("score" in key or key.endswith("index") for key in summary)
    with xr.open_dataset(tmp_path / "out" / "result.h5", engine="h5netcdf") as found:
        assert found["section_stress"].attrs["units"] == "kPa" and found.sizes["draw"] == 20
    assert all((tmp_path / "out" / f"{name}.png").is_file() for name in ("section", "shear", "slopes"))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"diastolic_mmhg": 140.0}, "below 130"),
        ({"pool_depth_mm": 2.0}, "without tissue behind the pool"),
        ({"arc_degrees": 30.0}, "round ends"),
        ({"remodelling": 0.8, "stenosis": 0.05}, "thicker than the healthy wall"),
        ({"cap_um": float("nan")}, "--cap-um nan"),
    ],
)
def test_refusals(options, words, tmp_path):
    with pytest.raises(InputError, match=words):
        run(replace(TOY, **options), Workspace(tmp_path, progress=False))


@pytest.mark.slow
def test_a_flow_that_voxels_do_not_bear_and_bad_labels_are_refused(tmp_path):
    with pytest.raises(InputError, match="raise --voxels-per-diameter"):
        run(replace(TOY, viscosity=0.002, mean_flow_ml_per_min=60.0), Workspace(tmp_path, progress=False))
    np.save(tmp_path / "wall.npy", np.ones((5, 5)))
    with pytest.raises(InputError, match="label the plaque"):
        run(replace(TOY, labels=tmp_path / "wall.npy"), Workspace(tmp_path, progress=False))
