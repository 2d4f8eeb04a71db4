"""4-D flow on a small tube: scores, divergence, coverage, files."""

import jax.numpy as jnp
import numpy as np
import pytest

from experiments.haemodynamics import flow4d
from tests.flow_tube import tube, written
from twinsim.errors import InputError
from twinsim.flow_images import read_images
from twinsim.flow_reconstruction import FlowProblem, find_vessel
from twinsim.workspace import Workspace

STUDENT = 2.132  # 90 % with the deviation of five draws
TOY = {"layers": (0.0, 0.5), "penalties": (30.0, 3.0), "draws": 3, "section": 0.5}


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    low, high = written(tmp_path_factory.mktemp("tube"), tube(0, 20.0))
    return flow4d.run(flow4d.Config(images=low, truth=high, **TOY), Workspace(progress=False))


def test_a_tube_is_closer_than_interpolation_and_without_divergence(result):
    summary = result.summary
    assert summary["gain_over_trilinear_and_divergence_free"] > 0.25
    assert summary["reconstruction_vnrmse"] < summary["cubic_vnrmse"]
    assert summary["reconstruction_direction_error_deg"] < summary["trilinear_direction_error_deg"]
    assert summary["divergence_rms_per_s"] < 1e-7 * summary["trilinear_divergence_rms_per_s"]
    assert summary["signal_to_noise"] == pytest.approx(20, rel=0.15)
    assert summary["section_flow_ml_per_s"] == pytest.approx(summary["section_flow_true_ml_per_s"], rel=0.05)


def test_what_is_saved(result):
    dataset = result.dataset
    assert dataset["velocity"].shape == (3, 24, 24, 24)
    assert dataset["section_flow_draws"].size == 3
    assert not any("synthetic" in note for note in result.notes)


def test_the_slope_of_the_objective_is_that_of_central_differences():
    """Exact residuals, the constant Jacobian: agreement to first order in the spread of the phase, exact for the linear residual."""
    given = tube(1)
    problem = FlowProblem(given.images, find_vessel(given.images), 0.5)
    generator = np.random.default_rng(0)
    at, move = 0.1 * generator.normal(size=(2, problem.lattice.size, 3))

    def objective(c):
        return 0.5 * np.sum(problem.linear_residual(c) ** 2) + 0.5 * 50.0 * problem.scale * np.sum(c * problem.penalised(c))

    slope = 50.0 * problem.scale * problem.penalised(at)
    slope -= problem.angle * (problem.transposed @ (problem.weight[:, None] * problem.linear_residual(at)))
    step = 1e-3
    central = (objective(at + step * move) - objective(at - step * move)) / (2 * step)
    assert np.sum(slope * move) == pytest.approx(central, rel=1e-6)


def test_sparse_rows_are_the_scanner_s():
    """The cut kernels against the whole ones, for a smooth velocity, away from the ends that ring round."""
    given = tube(2)
    problem = FlowProblem(given.images, find_vessel(given.images), 0.0)
    smooth = np.stack([0.1 * np.sin(problem.lattice.nodes[:, 0] / 3.0 + a) for a in range(3)], axis=1)
    velocity = jnp.asarray(problem.velocity(smooth))
    exact = np.asarray(problem.scanner.weighted_mean(jnp.asarray(problem.vessel.magnitude), velocity))[:, problem.clear].T
    inner = np.abs(np.argwhere(problem.clear)[:, 2] - 5.5) < 2
    wrong = (problem.jacobian @ smooth - exact)[inner]
    assert np.sqrt(np.mean(wrong**2)) < 0.02 * np.sqrt(np.mean(exact[inner] ** 2))


def test_linear_fields_cost_nothing():
    given = tube(3)
    problem = FlowProblem(given.images, find_vessel(given.images), 0.0)
    x, y, z = problem.lattice.nodes.T
    turning = np.stack([-y, x, 0 * z], axis=1).astype(float)
    assert np.abs(problem.penalised(turning)).max() < 1e-10
    values = problem.velocity(turning)
    inside = given.share > 0.9
    inside[:, :, 22:] = False  # splines beyond the end of the box that hardly reach in are left out
    place = np.arange(24)[:, None, None] / 2 * np.ones(inside.shape)
    np.testing.assert_allclose(values[1][inside], place[inside], atol=1e-10)


@pytest.mark.slow
def test_intervals_of_the_flow_hold_the_truth():
    """Noise drawn anew six times; 90 % intervals of the flow through a plane, from the spread of five draws each."""
    hits = 0
    config = flow4d.Config(section=0.5, draws=5)
    for seed in range(6):
        given = tube(seed, 15.0, plug=True, shape=(24, 24, 16), radius=5.0)
        problem = FlowProblem(given.images, find_vessel(given.images), 0.0)
        fit = problem.fit(30.0, exact=1)
        space = flow4d.lumen_faces(problem.vessel, given.images.spacing / 2)
        found = {"coefficients": fit.coefficients, "penalty": 30.0}
        flows = flow4d._draws(config, problem, found, space, Workspace(progress=False))
        best = flow4d.project(space, problem.faces(fit.coefficients), problem.velocity(fit.coefficients))
        true = 0.6 * float(best.mask[:, :, 8].sum()) * (given.images.spacing / 2) ** 2
        hits += abs(flow4d.section_flow(config, best, given.images) - true) < STUDENT * np.std(flows, ddof=1)
    assert hits >= 4


def test_refusals(tmp_path):
    low, _ = written(tmp_path, tube(0))
    with pytest.raises(InputError, match=r"frame 3 of low\.h5"):
        read_images(low, 3)
    (tmp_path / "none.h5").write_text("no")
    with pytest.raises(InputError, match=r"none\.h5"):
        read_images(tmp_path / "none.h5")
    with pytest.raises(InputError, match="--layers without a number"):
        flow4d.run(flow4d.Config(layers=()), Workspace(progress=False))
