"""Networks of arteries from the front door, at toy size."""

import numpy as np
import pytest
import xarray as xr
import yaml

from experiments.haemodynamics.network import Config, run
from twinsim.errors import InputError
from twinsim.experiment import run_experiment
from twinsim.run_options import RunOptions
from twinsim.workspace import Workspace

FLOW = 6e-6


def toy(folder, external=0.0, flow=FLOW, cycles=12):
    """A parent and two daughters; the flow is a raised cosine."""
    end = {"R1": 2.5e8, "R2": 5e8, "Cc": 1.8e-10, "Pext": external}
    vessel = {"E": 7e5, "h0": 3e-4, "L": 0.05, "Pext": external}
    content = {
        "project_name": "toy",
        "blood": {"rho": 1060.0, "mu": 4e-3},
        "solver": {"Ccfl": 0.9, "cycles": cycles, "jump": 25, "convergence_tolerance": 0.1},
        "network": [
            {"label": "parent", "sn": 1, "tn": 2, "R0": 3e-3, **vessel, "L": 0.006},
            {"label": "left", "sn": 2, "tn": 3, "R0": 2.2e-3, **vessel, **end, "L": 0.006},
            {"label": "right", "sn": 2, "tn": 4, "R0": 1.8e-3, **vessel, **end, "L": 0.006},
        ],
    }
    (folder / "toy.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    times = np.linspace(0, 0.5, 51)
    rows = (f"{t} {flow * (1 - np.cos(4 * np.pi * t)) / 2}" for t in times)
    (folder / "toy_inlet.dat").write_text("\n".join(rows), encoding="utf-8")
    return str(folder / "toy.yaml")


def test_a_network_of_three(tmp_path):
    out = tmp_path / "out"
    summary = run_experiment("haemodynamics/network", Config(network=toy(tmp_path), cell_mm=2.0), RunOptions(out=out), progress=False)
    assert 2 <= summary["cycles_to_convergence"] <= 12
    assert summary["difference_mmhg"] < 0.1
    mean = {name: summary[f"{name}_flow_mean_m3_per_s"] for name in ("parent", "left", "right")}
    assert mean["parent"] == pytest.approx(FLOW / 2, rel=5e-3)
    assert mean["left"] + mean["right"] == pytest.approx(mean["parent"], rel=5e-3)
    assert summary["left_pressure_mean_pa"] == pytest.approx(7.5e8 * mean["left"], rel=1e-2)
    assert summary["parent_pressure_min_pa"] < summary["parent_pressure_mean_pa"] < summary["parent_pressure_max_pa"]
    assert {"run_seconds", "compile_seconds"} <= summary.keys()
    with xr.open_dataset(out / "result.h5", engine="h5netcdf") as waves:
        assert waves["pressure"].dims == ("vessel", "station", "time")
        assert dict(waves.sizes) == {"vessel": 3, "station": 5, "time": 25}
        assert waves["flow"].attrs["units"] == "m3/s"
        assert float(waves["pressure"].sel(vessel="left", station="middle").max()) == pytest.approx(summary["left_pressure_max_pa"])


@pytest.mark.slow
def test_viscous_walls_and_openbfs_scheme_from_the_front_door(tmp_path):
    path, workspace = toy(tmp_path), Workspace(tmp_path, progress=False)
    pulse = {}
    for walls in ("elastic", "viscoelastic"):
        summary = run(Config(network=path, cell_mm=2.0, walls=walls, cycles=3), workspace).summary
        pulse[walls] = summary["left_pressure_max_pa"] - summary["left_pressure_min_pa"]
    assert pulse["viscoelastic"] == pytest.approx(pulse["elastic"], rel=0.1)
    assert pulse["viscoelastic"] != pulse["elastic"]
    with pytest.raises(InputError, match="--scheme openbf with viscous walls"):
        run(Config(network=path, walls="viscoelastic", scheme="openbf"), workspace)


def test_a_collapsed_vessel_is_named_with_its_time(tmp_path):
    with pytest.raises(InputError) as caught:
        run(Config(network=toy(tmp_path, flow=-6e-4), cell_mm=2.0), Workspace(tmp_path, progress=False))
    text = str(caught.value)
    assert "vessel parent collapsed at 0." in text
    assert " s: its area" in text


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"network": ""}, "no --network"),
        ({"cell_mm": -1.0}, "cell-mm -1"),
        ({"cycles": -1}, "cycles -1"),
        ({"network": "x.yaml"}, "x.yaml"),
        ({"scheme": "openbf", "conventions": "textbook"}, "--scheme openbf with --conventions textbook"),
    ],
)
def test_bad_options(tmp_path, options, words):
    with pytest.raises(InputError, match=words):
        run(Config(**{"network": "none.yaml", **options}), Workspace(tmp_path, progress=False))


def test_beats_that_do_not_repeat_are_noted(tmp_path):
    result = run(Config(network=toy(tmp_path, cycles=2), cell_mm=2.0, tolerance_mmhg=1e-9), Workspace(tmp_path, progress=False))
    assert result.summary["cycles_to_convergence"] is None
    assert any("did not repeat within 2 beats" in note for note in result.notes or ())
