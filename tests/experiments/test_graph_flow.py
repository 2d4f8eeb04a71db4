"""Graph flow from the front door at toy size."""

import pytest
import xarray as xr

from experiments.haemodynamics.graph_flow import Config, run
from twinsim.errors import InputError
from twinsim.experiment import run_experiment
from twinsim.run_options import RunOptions
from twinsim.workspace import Workspace

TOY = Config(train_trees=12, test_trees=3, train_periods=(0.8,), steps=150, batch=4, seeds=1, beats=8, width=16, rounds=2)


@pytest.mark.slow
def test_a_graph_network_learns_what_linear_waves_lack(tmp_path):
    out = tmp_path / "out"
    summary = run_experiment("haemodynamics/graph_flow", TOY, RunOptions(out=out), progress=False)
    assert summary["test_shapes"] >= 2 and summary["test_shapes_trained_on"] == 0
    assert summary["solver_change_percent"] < 0.1
    for what in ("pulse", "flow"):
        assert summary[f"graph_network_{what}_error_percent"] < 0.6 * summary[f"linear_{what}_error_percent"]
    assert summary["graph_network_pressure_error_percent"] < 0.5
    assert summary["graph_network_flow_error_percent"] < 3
    assert summary["graph_network_junction_imbalance_fraction"] < 1e-10
    assert summary["lumped_pulse_error_percent"] > summary["linear_pulse_error_percent"] > summary["one_round_pulse_error_percent"]
    assert summary["graph_network_times_faster_from_rest"] > 20
    for name in ("waves", "errors", "losses"):
        assert (out / f"{name}.png").is_file()
    with xr.open_dataset(out / "result.h5", engine="h5netcdf") as data:
        assert data["pressure_graph_network"].shape == (3, 16, 5, 100)
        assert data["flow_solver"].attrs["units"] == "m3/s"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"train_periods": (0.1,)}, "--train-periods 0.1; expected 0.4 to 1.5"),
        ({"train_periods": ()}, "for 0 periods"),
        ({"train_trees": 4, "batch": 8}, "4 trees in batches of 8"),
        ({"learning_rate": 1.0}, "--learning-rate 1"),
        ({"seeds": 0}, "--seeds 0"),
    ],
)
def test_bad_options(tmp_path, options, words):
    with pytest.raises(InputError, match=words):
        run(Config(**options), Workspace(tmp_path, progress=False))
