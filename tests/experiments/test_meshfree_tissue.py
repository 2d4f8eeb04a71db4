"""Tissue as a cloud of points at toy size."""

from dataclasses import replace

import numpy as np
import pytest

from experiments.learning import _point_clouds as clouds
from experiments.learning import meshfree_tissue
from twinsim.closures import KernelConductances
from twinsim.errors import InputError
from twinsim.experiment import RunOptions, run_experiment
from twinsim.workspace import Workspace

CONFIG = meshfree_tissue.Config()


def test_cells_of_the_points_follow_the_fine_voxels_and_a_plain_kernel_does_not():
    """The truth, the cells and the readings are made by three programs: together they agree."""
    one = clouds.member(5, True, (0.5, 0.6))
    cells, kernel = (
        meshfree_tissue._scores(None, [one]),
        meshfree_tissue._scores(meshfree_tissue._single(KernelConductances.plain()), [one]),
    )
    assert cells[0, 0] < 0.12 and cells[1, 0] < 0.02 and kernel[0, 0] > 2 * cells[0, 0]
    assert float(one.voronoi.volumes[one.here].sum()) == pytest.approx(float(one.cloud.area))
    assert 2.0 < np.nanmax(clouds.arrivals(one.front)) < clouds.INTERVAL * clouds.FRONT_SNAPSHOTS


@pytest.mark.slow
def test_a_network_learns_more_than_the_kernel(tmp_path):
    config = replace(CONFIG, seeds=1, learned_from=12, tests=4, iterations=150, width=8, rounds=1)
    summary = run_experiment("learning/meshfree_tissue", config, RunOptions(out=tmp_path / "run"), progress=False)
    assert summary["unseen_finite_volumes_field_error_relative"] < summary["unseen_network_field_error_relative"]
    assert summary["unseen_network_field_error_relative"] < 0.9 * summary["unseen_kernel_field_error_relative"]
    assert summary["denser_network_field_error_relative"] < 0.9 * summary["denser_kernel_field_error_relative"]


def test_distances_that_contradict_each_other_are_refused():
    with pytest.raises(InputError, match=r"--least-apart-mm 0\.7 above --most-apart-mm 0\.3"):
        meshfree_tissue.run(replace(CONFIG, least_apart_mm=0.7, most_apart_mm=0.3), Workspace(None, progress=False))
