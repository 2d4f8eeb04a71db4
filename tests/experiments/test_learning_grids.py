"""Coarse grids with learned fluxes, and neural operators, at toy size."""

from dataclasses import replace

import pytest

from experiments.learning import coarse_correction, operators
from twinsim.errors import InputError
from twinsim.experiment import run_experiment
from twinsim.run_options import RunOptions
from twinsim.workspace import Workspace

TOY = coarse_correction.Config(
    seeds=1, members=6, tests=2, voxels=10, test_voxels=12, timing_voxels=12, horizons=(4, 8), iterations=(60, 30),
    learning_rates=(2e-2, 5e-3), hidden=(6,), repeats=1,
)  # fmt: skip
TOY_OPERATORS = operators.Config(
    seeds=1, samples=20, tests=4, voxels=16, iterations=40, channels=6, layers=2, modes=8, rank=8, repeats=1, learning_rate=1e-2,
)  # fmt: skip


@pytest.mark.slow
def test_learned_fluxes_beat_the_coarse_grid_they_correct(tmp_path):
    summary = run_experiment("learning/coarse_correction", TOY, RunOptions(out=tmp_path / "out"), progress=False)
    assert summary["error_learned_over_coarse"] < 0.8
    assert summary["sum_lost_by_fluxes_relative"] < 1e-6
    assert summary["rollout_smallest_value"] > -0.05 and summary["rollout_largest_value"] < 1.05
    assert summary["error_3_times_finer_ms"] < summary["error_2_times_finer_ms"] < summary["error_coarse_ms"]


@pytest.mark.slow
def test_learned_fluxes_beat_the_coarse_grid_in_a_volume_of_ventricular_cells(tmp_path):
    toy = replace(
        TOY, cell="ten_tusscher_2006", dimension=3, members=2, voxels=8, test_voxels=8, timing_voxels=8, horizons=(5,), iterations=(60,),
        learning_rates=(2e-2,),
    )  # fmt: skip
    summary = run_experiment("learning/coarse_correction", toy, RunOptions(out=tmp_path / "out"), progress=False)
    assert summary["error_learned_over_coarse"] < 0.8
    assert summary["sum_lost_by_fluxes_relative"] < 1e-6
    assert summary["rollout_smallest_value"] > -0.1 and summary["rollout_largest_value"] < 1.2


@pytest.mark.slow
def test_operators_beat_a_constant_and_the_solver_of_equal_error_is_named(tmp_path):
    summary = run_experiment("learning/operators", TOY_OPERATORS, RunOptions(out=tmp_path / "out"), progress=False)
    for problem in ("gray_scott", "activation"):
        assert summary[f"{problem}_cosine_error_relative"] < 0.8 * summary[f"{problem}_error_of_the_best_constant_relative"]
        assert summary[f"{problem}_cosine_solver_of_equal_error"]


@pytest.mark.parametrize(
    ("experiment", "options", "words"),
    [
        (coarse_correction, {"iterations": (10,)}, "as many of each"),
        (coarse_correction, {"horizons": (500,), "iterations": (1,), "learning_rates": (0.1,)}, "horizon of 500"),
        (coarse_correction, {"voxels": 2}, "--voxels"),
        (operators, {"modes": 40}, "modes"),
        (operators, {"networks": ()}, "at least one"),
    ],
)
def test_refusals(experiment, options, words, tmp_path):
    with pytest.raises(InputError, match=words):
        experiment.run(experiment.Config(**options), Workspace(tmp_path, progress=False))
