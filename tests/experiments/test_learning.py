"""Burgers' equation and the tracer at toy size, their references, and the benchmark of learning."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import learning
from experiments.learning import _burgers, _tracer, _tracer_inversion, burgers, field_reconstruction
from solvers import Diffusion
from twinsim.errors import InputError
from twinsim.experiment import RunOptions, run_experiment
from twinsim.workspace import Workspace

BURGERS, FIELD, BENCH = burgers.Config(), field_reconstruction.Config(), learning.Config()
TOY = replace(
    BURGERS, seeds=1, width=8, layers=2, first_points=150, first_iterations=40, iterations=0, samples=20, seconds=0.0, classical_cells=256
)


def test_the_closed_form_has_the_published_steepest_slope():
    """152.00516 at t = 1.6037/pi: Basdevant and others (1986), Comput. Fluids 14:23, table of the spectral solutions."""
    step = 1e-5
    low, high = _burgers.exact(np.array([-step, step]), np.full(2, 1.6037 / np.pi))
    assert abs((low - high) / (2 * step) / 152.00516 - 1) < 1e-4
    x = np.linspace(-1, 1, 41)
    np.testing.assert_allclose(_burgers.exact(x, np.zeros(41)), -np.sin(np.pi * x), atol=1e-14)
    later = _burgers.exact(x, np.full(41, 0.7))
    np.testing.assert_allclose(later, -later[::-1], atol=1e-12)


def test_finite_differences_are_of_order_two():
    errors = []
    for cells in (64, 96, 144, 216):
        x, found = _burgers.finite_differences(cells, 2 * cells, np.array([0.25]))
        errors.append(np.abs(found[0] - _burgers.exact(x, np.full_like(x, 0.25))).max())
    order = -np.polyfit(np.log([64, 96, 144, 216]), np.log(errors), 1)[0]
    assert abs(order - 2) < 0.2, (order, errors)


@pytest.mark.slow
def test_start_and_walls_hold_exactly_and_the_residual_is_that_of_nested_derivatives():
    model = _burgers.field(3, (8, 8))
    x = np.linspace(-1, 1, 9)
    np.testing.assert_allclose(_burgers.values(model, jnp.column_stack([x, jnp.zeros(9)])), -np.sin(np.pi * x), atol=1e-15)
    np.testing.assert_allclose(_burgers.values(model, jnp.array([[-1.0, 0.4], [1.0, 0.9]])), 0.0, atol=1e-15)
    point = jnp.array([0.3, 0.6])
    slope, bend = jax.grad(model)(point), jax.hessian(model)(point)
    expected = slope[1] + model(point) * slope[0] - _burgers.VISCOSITY * bend[0, 0]
    np.testing.assert_allclose(_burgers.residual(model, point), expected, rtol=1e-11)
    np.testing.assert_allclose(_burgers.residual_with_viscosity(model, point), expected, rtol=1e-11)
    slopes = [jax.grad(lambda m, r=r: r(m, point))(model).log_viscosity for r in (_burgers.residual, _burgers.residual_with_viscosity)]
    assert slopes[0] == 0
    np.testing.assert_allclose(slopes[1], -_burgers.VISCOSITY * bend[0, 0], rtol=1e-11)


@pytest.mark.slow
def test_burgers_runs(tmp_path):
    summary = run_experiment("learning/burgers", TOY, RunOptions(out=tmp_path / "run"), progress=False)
    assert summary["error_relative_worst"] < 0.4 and summary["iterations_median"] == 40
    assert summary["classical_256_error_relative"] < 0.01 < summary["classical_128_error_relative"]
    assert np.isfinite(summary["viscosity_error_percent_worst"])  # forty iterations are no fit of it: the slow test is


@pytest.mark.slow
def test_burgers_and_its_viscosity_are_found(tmp_path):
    config = replace(BURGERS, seeds=1, seconds=0.0)
    summary = run_experiment("learning/burgers", config, RunOptions(out=tmp_path / "run"), progress=False)
    assert summary["error_relative_worst"] < 1e-3 and summary["viscosity_error_percent_worst"] < 0.1


@pytest.mark.slow
def test_the_map_and_the_equation_are_those_of_nested_derivatives():
    model = _tracer.tracer_model(0, 5)
    model = type(model)(model.network, jnp.asarray(np.random.default_rng(0).normal(size=len(_tracer.DEVIATIONS))))
    point = jnp.array([4.0, 3.0, 40.0])

    def log_d(p):
        return _tracer.log_diffusivity(model.z, p).value

    slope, bend = jax.grad(model)(point), jax.hessian(model)(point)
    drift = jax.grad(log_d)(point) @ slope
    expected = 120.0 * (slope[2] - jnp.exp(log_d(point)) * (bend[0, 0] + bend[1, 1] + drift))
    np.testing.assert_allclose(_tracer._equation(model, point), expected, rtol=1e-10)
    cell = 400
    place = _tracer.places()[cell]
    np.testing.assert_allclose(_tracer.basis()[cell] @ model.z + np.log(_tracer.DIFFUSIVITY), log_d(place), rtol=1e-12)


def test_the_prior_has_the_spread_and_length_that_it_says():
    at = np.asarray(_tracer.places())
    covariance = _tracer.basis() @ _tracer.basis().T
    inner = (np.abs(at - np.array([6.0, 5.0])) < 2.5).all(axis=1)
    assert abs(np.sqrt(np.diag(covariance)[inner].mean()) / _tracer.SPREAD - 1) < 0.15
    middle = int(np.argmin(np.linalg.norm(at - np.array([6.0, 5.0]), axis=1)))
    other = int(np.argmin(np.linalg.norm(at - np.array([6.0 - _tracer.LENGTH_MM, 5.0]), axis=1)))
    likeness = covariance[middle, other] / np.sqrt(covariance[middle, middle] * covariance[other, other])
    assert abs(likeness - np.exp(-0.5)) < 0.15


@pytest.mark.slow
def test_the_solver_keeps_the_tracer_and_both_voxel_sizes_agree():
    z = np.random.default_rng(1).normal(size=len(_tracer.DEVIATIONS)) * 0.5
    coarse, fine = (
        np.asarray(jax.jit(lambda m, r=r: _tracer.simulated(m, r))(jnp.asarray(_tracer.basis(r) @ z + np.log(_tracer.DIFFUSIVITY))))
        for r in (1, 3)
    )
    np.testing.assert_allclose(coarse.sum(axis=1), coarse[0].sum(), rtol=1e-10)
    shared = fine.reshape(8, *_tracer.grid(3).shape[:2])[:, 1::3, 1::3].reshape(8, -1)
    active = np.asarray(_tracer.grid().mask).ravel()
    off = np.linalg.norm((coarse - shared)[:, active]) / np.linalg.norm(shared[:, active])
    assert off < 0.02
    assert float(Diffusion(_tracer.grid(), 0.1).spectral_bound()) <= 8 * 0.1 / _tracer.COARSE_MM**2 * 1.01


def test_posterior_and_evidence_are_those_of_the_joint_normal_distribution():
    random = np.random.default_rng(0)
    slopes, spreads = random.normal(size=(7, 4)), np.array([0.3, 1.0, 2.0, 0.5])
    data = random.normal(size=7)
    marginal = np.eye(7) + (slopes * spreads**2) @ slopes.T
    gain = (slopes * spreads**2).T @ np.linalg.inv(marginal)
    mean, covariance, evidence = _tracer_inversion.conditioned(slopes.T @ slopes, slopes.T @ data, spreads)
    np.testing.assert_allclose(mean, gain @ data, rtol=1e-10)
    np.testing.assert_allclose(covariance, np.diag(spreads**2) - gain @ slopes * spreads**2, rtol=1e-9, atol=1e-12)
    expected = -0.5 * np.linalg.slogdet(marginal)[1] - 0.5 * data @ np.linalg.solve(marginal, data) + 0.5 * data @ data
    np.testing.assert_allclose(evidence, expected, rtol=1e-10)


def test_nodes_reproduce_planes_and_their_differences():
    (values, pairs), active = _tracer_inversion.hats(1), np.asarray(_tracer.grid().mask).ravel()
    x, y = np.asarray(_tracer.places())[active].T
    nodes = np.linalg.lstsq(values[active], 2 * x - y, rcond=None)[0]
    np.testing.assert_allclose(values[active].sum(axis=1), 1.0, rtol=1e-12)
    np.testing.assert_allclose(values[active] @ nodes, 2 * x - y, atol=1e-9)
    np.testing.assert_array_equal(pairs.sum(axis=1), 0)
    assert np.linalg.matrix_rank(pairs) == pairs.shape[1] - 1  # only a constant is free


@pytest.mark.slow
def test_the_process_is_at_the_optimum_of_fine_voxels_and_its_interval_covers():
    data = _tracer.make_data(101, 60, 0.02)
    found = _tracer_inversion.gaussian_process(data, learned=False)
    solver = _tracer_inversion.Solver(data, _tracer.waves(1), _tracer.waves(3))
    spreads = _tracer.deviations(_tracer.LENGTH_MM, _tracer.SPREAD)
    slopes, a = solver.slopes(found.coefficients), found.coefficients
    covariance = _tracer_inversion.conditioned(slopes.T @ slopes, a, spreads)[1]
    root = np.linalg.cholesky(covariance + 1e-14 * np.eye(len(a)))

    def objective(at):
        return 0.5 * np.sum(solver.residuals(at) ** 2) + 0.5 * np.sum((at / spreads) ** 2)

    for k in range(3):  # along directions of one posterior deviation: how many deviations are left to go by exact slopes
        way = root[:, k]
        assert abs(objective(a + 0.1 * way) - objective(a - 0.1 * way)) / 0.2 < 0.3
    off = np.abs(np.log(data.diffusivity / found.diffusivity))
    assert 0.8 < np.mean(off <= 1.6449 * np.asarray(found.deviation)) < 0.97
    assert np.linalg.norm(found.diffusivity - data.diffusivity) / np.linalg.norm(data.diffusivity) < 0.06


@pytest.mark.slow
def test_field_reconstruction_runs(tmp_path):
    config = replace(FIELD, maps=2, networks=1, sites=30, refinement=1, truth_refinement=3, width=5, points=100, iterations=20)
    summary = run_experiment("learning/field_reconstruction", config, RunOptions(out=tmp_path / "run"), progress=False)
    assert summary["process_error_relative_median"] < 0.12 and summary["samples"] == 240
    assert summary["process_maps"] == 2 and summary["informed_maps"] == 1
    assert 0 <= summary["informed_coverage90"] <= 1 and summary["informed_error_relative_median"] > 0
    names = ("tikhonov_by_oracle", "tikhonov", "tikhonov_by_discrepancy", "tikhonov_by_validation")
    best, better, *rules = (float(summary[f"{name}_error_relative_median"] or 0) for name in names)
    assert 0 < best <= better <= min(rules)


@pytest.mark.slow
def test_the_benchmark_runs(monkeypatch, tmp_path):
    monkeypatch.setenv("TWINSIM_PEERS", str(tmp_path))
    numbers = learning.run(
        replace(
            BENCH,
            seconds=0.5,
            seeds=1,
            width=6,
            first_points=60,
            first_iterations=10,
            points=60,
            samples=10,
            problems=("drug_target",),
            effort=0.1,
        )
    )
    assert 0 < numbers["error_relative"] < 2 and numbers["iterations"] >= 5 and np.isfinite(numbers["viscosity_error_percent"])
    assert numbers["classical_1024_error_relative"] < 1e-3 and numbers["classical_equal_error_seconds"] > 0
    assert 0 < numbers["drug_target_error_relative"] < 2 and numbers["drug_target_speed_ratio_to_classical"] > 0
    assert numbers["drug_target_classical_equal_error_solver"].startswith("integrate_stiff")
    assert not [key for key in numbers if "deepxde" in key or "jinns" in key]


@pytest.mark.parametrize(
    ("experiment", "config", "change", "message"),
    [
        (burgers, BURGERS, {"seeds": 0}, "--seeds 0"),
        (burgers, BURGERS, {"noise": float("nan")}, "--noise nan"),
        (burgers, BURGERS, {"precision": "float32"}, "float64"),
        (field_reconstruction, FIELD, {"sites": 1}, "5 to 300"),
        (field_reconstruction, FIELD, {"equation_weight": 0.0}, "equation-weight"),
        (field_reconstruction, FIELD, {"precision": "float32"}, "float64"),
        (field_reconstruction, FIELD, {"refinement": 2}, "an odd number"),
    ],
)
def test_bad_options_are_refused_in_one_line(experiment, config, change, message):
    with pytest.raises(InputError, match=message) as caught:
        experiment.run(replace(config, **change), Workspace(None, progress=False))
    assert "\n" not in str(caught.value)


def test_a_benchmark_without_time_is_refused():
    with pytest.raises(InputError, match="--seconds 0"):
        learning.run(replace(BENCH, seconds=0.0))
