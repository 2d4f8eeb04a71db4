"""From cells to tissue at toy size."""

from dataclasses import replace

import numpy as np
import pytest

from experiments.cardiac import _microstructures as structures
from experiments.cardiac import _resolved_slab as slab
from experiments.cardiac import microstructure
from twinsim.errors import InputError
from twinsim.experiment import RunOptions, run_experiment
from twinsim.workspace import Workspace

CONFIG = microstructure.Config()


def test_windows_are_cut_in_order():
    pattern = np.arange(2 * 64 * 96).reshape(2, 64, 96)
    cells = structures.cut(pattern)
    assert cells.shape == (6, 2, 32, 32)
    np.testing.assert_array_equal(cells[1], pattern[:, :32, 32:64])
    np.testing.assert_array_equal(cells[5], pattern[:, 32:, 64:])


def test_coarse_activation_is_the_mean_of_the_muscle_that_is_activated():
    times, joined = np.arange(64.0).reshape(8, 8), np.ones((8, 8), bool)
    times[0, 0], joined[1, 1], joined[4:, 4:] = np.inf, False, False
    found = slab.averaged(times, joined, 4)
    seen = [t for i, t in enumerate(times[:4, :4].reshape(-1)) if i not in (0, 5)]
    assert found[0, 0] == pytest.approx(np.mean(seen)) and np.isnan(found[1, 1])


@pytest.mark.slow
def test_a_sheet_at_coarse_voxels_is_activated_as_the_resolved_one(tmp_path):
    config = replace(CONFIG, patterns=60, unseen_patterns=16, steps=150, seeds=1, sheets=1, length_mm=6.4, width_mm=3.2, until_ms=45.0)
    summary = run_experiment("cardiac/microstructure", config, RunOptions(out=tmp_path / "run"), progress=False)
    assert summary["cell_problems_activation_error_median_percent"] < 3
    assert summary["network_activation_error_median_percent"] < summary["law_activation_error_median_percent"]
    assert summary["network_error_of_healthy_mean_percent"] < summary["percolation_error_of_healthy_mean_percent"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"length_mm": 2.0}, "multiple of 0.8"),
        ({"coarse_mm": 0.3}, "divisor of 0.8"),
        ({"most_fibrosis": 0.6}, "0.38"),
        ({"patterns": 0}, "20"),
        ({"dt_ms": float("nan")}, "dt-ms"),
        ({"seed": -1}, "--seed -1"),
    ],
)
def test_bad_options_are_refused_in_one_line(change, message):
    with pytest.raises(InputError, match=message) as caught:
        microstructure.run(replace(CONFIG, **change), Workspace(None, progress=False))
    assert "\n" not in str(caught.value)
