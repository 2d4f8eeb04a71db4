"""A hidden law of growth is learned at toy size, and options that make no sense are refused."""

from dataclasses import replace

import pytest

from experiments.learning import hidden_growth
from twinsim.errors import InputError
from twinsim.experiment import run_experiment
from twinsim.run_options import RunOptions

TOY = hidden_growth.Config(seeds=2, members=4, tests=2, voxels=10, snapshots=10, iterations=90, hidden=(6,), learning_rate=3e-2)


@pytest.mark.slow
def test_a_network_finds_death_without_oxygen_that_no_other_formula_has(tmp_path):
    summary = run_experiment("learning/hidden_growth", TOY, RunOptions(out=tmp_path / "out"), progress=False)
    assert summary["error_learned_inside_relative"] < 0.8 * summary["error_analytic_inside_relative"]
    assert summary["error_truth_inside_relative"] < 0.01
    assert summary["error_form_known_inside_relative"] < summary["error_analytic_inside_relative"]
    assert 0 <= summary["times_extrapolated_share"] <= 1


@pytest.mark.parametrize(
    ("options", "words"),
    [({"noise": -0.1}, "--noise"), ({"hidden": (0,)}, "--hidden"), ({"ahead": 0.5}, "--ahead"), ({"seeds": 1}, "--seeds")],
)
def test_options_are_refused(options, words, tmp_path):
    with pytest.raises(InputError, match=words):
        run_experiment("learning/hidden_growth", replace(TOY, **options), RunOptions(out=tmp_path / "out"), progress=False)
