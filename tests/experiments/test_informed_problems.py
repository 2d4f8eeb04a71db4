"""The problems of informed networks: conditions by construction, residuals against nested derivatives, references of known order."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from experiments.learning import _allen_cahn, _box_growth, _drug_target, _inverse_heat, _masked_poisson, informed_problems
from physics import PELETIER2012
from solvers import Diffusion, ExplicitRungeKutta, Periodic, Rate, VoxelGrid, Walls, simulate, time_mesh
from twinsim.errors import InputError
from twinsim.experiment import RunOptions, run_experiment
from twinsim.informed import FieldRows, SmoothPerceptron
from twinsim.workspace import Workspace

CONFIG = informed_problems.Config()


class Bistable(Rate):
    """The equation of Allen and Cahn by the project's operator."""

    diffusion: Diffusion

    def evaluate(self, state, time):
        return self.diffusion.apply(state) + _allen_cahn.GROWTH * (state - state**3)


def test_start_and_period_of_allen_cahn_hold():
    model = _allen_cahn.field(3, (6, 6))
    x = np.linspace(-1, 1, 9)
    value = jax.jit(jax.vmap(model))
    np.testing.assert_allclose(value(jnp.column_stack([x, jnp.zeros(9)])), x**2 * np.cos(np.pi * x), atol=2e-6)
    left, right = (jnp.array([[side, 0.1], [side, 0.8]]) for side in (-1.0, 1.0))
    np.testing.assert_allclose(value(left), value(right), atol=1e-13)
    inside = jnp.array([[side * (1 - 1e-9), 0.3] for side in (-1, 1)])
    slopes = jax.jit(jax.vmap(jax.grad(model)))(inside)[:, 0]
    np.testing.assert_allclose(slopes[0], slopes[1], atol=1e-5)  # no kink is left at the seam


@pytest.mark.slow
def test_the_residual_of_allen_cahn_is_that_of_nested_derivatives():
    model = _allen_cahn.field(3, (6, 6))
    both = jax.jit(lambda p: (model(p), jax.grad(model)(p), jax.hessian(model)(p)))
    for point in (jnp.array([0.3, 0.6]), jnp.array([0.995, 0.05])):
        u, slope, bend = both(point)
        expected = slope[1] - _allen_cahn.DIFFUSIVITY * bend[0, 0] - _allen_cahn.GROWTH * (u - u**3)
        np.testing.assert_allclose(jax.jit(_allen_cahn.residual)(model, point), expected, rtol=1e-9)


@pytest.mark.slow
def test_the_spectral_solver_is_of_order_four_in_time_and_the_projects_operator_agrees():
    times = np.array([0.5, 1.0])
    fine = _allen_cahn.spectral(256, 544, times)[1]
    errors = [np.abs(_allen_cahn.spectral(256, n, times)[1] - fine).max() for n in (40, 60, 90, 136)]
    order = -np.polyfit(np.log([40, 60, 90, 136]), np.log(errors), 1)[0]
    assert abs(order - 4) < 0.2, (order, errors)
    _, exact = _allen_cahn.spectral(1536, 100, times)
    cells, grid = 384, VoxelGrid(np.ones((384, 1, 1), bool), (2 / 384, 1.0, 1.0))
    stepper = ExplicitRungeKutta(Bistable(Diffusion(grid, _allen_cahn.DIFFUSIVITY, walls=Walls(grid, {"x": Periodic()}))))
    start = _allen_cahn.start(-1 + (jnp.arange(cells) + 0.5) * 2 / cells)
    found = np.asarray(simulate(stepper, start, time_mesh(0.0, [1.0], 0.02)).final)
    at = exact[1, 1536 // cells // 2 :: 1536 // cells]  # centres of voxels are among the places
    assert np.sqrt(np.mean((found - at) ** 2)) < 1e-3


def test_the_rod_meets_its_ends_and_its_residual_is_that_of_nested_derivatives():
    case = _inverse_heat.case(0, 6, 1, 1.0)
    model = type(case.model)(case.model.network, jnp.array([0.3, -0.5, 0.4]))
    ends = jax.jit(jax.vmap(lambda p: model.jet(p).slope(0)))(jnp.array([[0.0, 0.4], [1.0, 0.4]]))
    np.testing.assert_allclose(ends, 0.0, atol=1e-12)
    x = np.linspace(0, 1, 7)
    np.testing.assert_allclose(jax.jit(jax.vmap(model))(jnp.column_stack([x, jnp.zeros(7)])), _inverse_heat.start(x, np.cos), atol=1e-13)
    point = jnp.array([0.3, 0.6])
    slope, bend = jax.jit(lambda p: (jax.grad(model)(p), jax.hessian(model)(p)))(point)

    def log_d(x):
        return _inverse_heat.log_diffusivity(_inverse_heat.SPREAD * model.z, x)

    expected = slope[1] - jnp.exp(log_d(0.3)) * (bend[0, 0] + jax.grad(log_d)(0.3) * slope[0])
    np.testing.assert_allclose(jax.jit(_inverse_heat.residual)(model, point), expected, rtol=1e-10)


def test_the_series_of_the_rod_is_exact_for_a_constant_and_of_order_two_for_a_map():
    x, t = np.array([0.1, 0.55, 0.9]), np.array([0.3, 0.1, 0.3])
    constant = 1 + sum(
        a * np.cos(k * np.pi * x) * np.exp(-((k * np.pi) ** 2) * _inverse_heat.MIDDLE * np.exp(0.2) * t) for k, a in _inverse_heat.WAVES
    )
    np.testing.assert_allclose(_inverse_heat.series(np.array([0.2]), x, t), constant, rtol=1e-4)
    theta = np.array([0.1, 0.6, -0.4])
    fine = _inverse_heat.series(theta, x, t, 480)
    counts = (24, 36, 54, 81)
    errors = [np.abs(_inverse_heat.series(theta, x, t, n) - fine).max() for n in counts]
    order = -np.polyfit(np.log(counts), np.log(errors), 1)[0]
    assert abs(order - 2) < 0.25, (order, errors)


@pytest.mark.slow
def test_the_drug_is_that_of_scipy_with_the_equations_written_anew():
    k = {name: PELETIER2012[name].value for name in PELETIER2012}

    def slopes(t, y):
        drug, target, bound = y
        binds = k["binding"] * drug * target - k["unbinding"] * bound
        return [
            -binds - k["elimination"] * drug,
            k["production"] - k["turnover"] * target - binds,
            binds - k["internalisation"] * bound,
        ]

    start = [_drug_target.DOSE, k["production"] / k["turnover"], 0.0]
    found = solve_ivp(slopes, (0, _drug_target.HOURS), start, "LSODA", rtol=1e-10, atol=1e-12, t_eval=_drug_target.times())
    np.testing.assert_allclose(_drug_target.exact(), (found.y / np.asarray(_drug_target.sizes())[:, None]).T, atol=2e-7)
    rates = np.linalg.eigvals(np.asarray(jax.jacfwd(_drug_target.equation().rate)(_drug_target.begin())))
    assert np.abs(rates).max() * _drug_target.HOURS > 1e4  # stiff


@pytest.mark.slow
def test_the_drug_starts_exactly_and_its_residual_is_the_equation_as_it_stands():
    model, point = _drug_target.case(0, 4, 1).model, jnp.array([30.0])
    parts = jax.jit(lambda p: (model.jet(jnp.zeros(1)).value, model.jet(p), _drug_target.residual(model, p), jax.jacfwd(model)(p[0])))
    begin, y, found, slope = parts(point)
    np.testing.assert_array_equal(begin, _drug_target.begin())
    np.testing.assert_allclose(y.slope(0), slope, rtol=1e-10)
    equation = _drug_target.equation()
    matrix = np.eye(3) / (30.0 + _drug_target.FAST_H) - jax.jit(jax.jacfwd(equation.rate))(y.value)
    np.testing.assert_allclose(matrix @ (found * _drug_target.sizes()), slope - equation.rate(y.value), rtol=1e-8)


@pytest.mark.slow
def test_growth_in_a_box_is_that_of_the_projects_voxels_and_both_networks_share_its_residual():
    voxels = [_box_growth.relative_error(_box_growth.by_voxels(n, 0.5).ravel(), _box_growth.exact()) for n in (12, 24)]
    assert 1.7 < np.log2(voxels[0] / voxels[1]) < 2.3 and voxels[1] < 2e-3
    separable = _box_growth.case(0, 3, 1, rank=2, points=2)
    plain, point = _box_growth.rival(0, 3, 1).model, jnp.array([5.0, 7.0, 3.0, 4.0])
    for model in (separable.model, plain):
        slope, bends = jax.jit(lambda p, m=model: (jax.grad(m)(p), jax.hessian(m)(p)))(point)
        u = model(point)
        spread = sum(d * bends[i, i] for i, d in enumerate(_box_growth.DIFFUSIVITY))
        expected = (slope[3] - spread) / _box_growth.PROLIFERATION - u * (1 - u)
        np.testing.assert_allclose(jax.jit(_box_growth.residual)(model, point), expected, rtol=1e-9)
    at = np.stack(np.meshgrid(*_box_growth.places(), _box_growth.TIMES, indexing="ij"), axis=-1).reshape(-1, 4)[::4001]
    answer = np.asarray(separable.answer(separable.model))[::4001]
    np.testing.assert_allclose(answer, jax.jit(jax.vmap(separable.model))(jnp.asarray(at)), rtol=1e-11)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("problem", "error", "classical"),
    [
        ("allen_cahn", 2e-3, "Fourier"),
        ("inverse_heat", 0.06, "Gauss-Newton"),
        ("masked_poisson", 1e-3, "solve_elliptic"),
        ("drug_target", 1e-3, "stiff"),
    ],
)
def test_a_problem_is_solved_and_its_classical_solver_stands_beside_it(problem, error, classical, tmp_path):
    config = replace(CONFIG, problem=problem, seeds=1)
    summary = run_experiment("learning/informed_problems", config, RunOptions(out=tmp_path / "run"), progress=False)
    assert summary["error_relative_worst"] < error and classical in summary["classical_equal_error_solver"]
    assert summary["inference_seconds_median"] > 0 and summary["classical_equal_error_seconds"] > 0


@pytest.mark.slow
def test_the_experiment_runs(tmp_path):
    config = replace(CONFIG, problem="inverse_heat", seeds=1, effort=0.1, width=5, layers=1)
    summary = run_experiment("learning/informed_problems", config, RunOptions(out=tmp_path / "run"), progress=False)
    assert 0 < summary["error_relative_worst"] < 2 and 0 <= summary["share_in_interval90_median"] <= 1
    assert summary["classical_equal_error_error_relative"] < 0.06


def test_poisson_on_the_mask_is_the_projects_own_equation():
    rows = FieldRows(_masked_poisson.value, _masked_poisson.equation(), _masked_poisson.grid())
    model = _masked_poisson.PotentialField(SmoothPerceptron((0.0, 0.0), (12.0, 10.0), (4,), key=jax.random.key(0)))
    answer = np.asarray(jax.jit(jax.vmap(model))(rows.points[0]))
    voxels, source = _masked_poisson.grid(), np.asarray(_masked_poisson.equation().source)
    assert abs(source.sum()) < 1e-10
    full = np.full(voxels.mask.size, np.nan)
    full[np.asarray(rows.active)] = answer
    box = np.pad(full.reshape(voxels.shape[:2]), 1, constant_values=np.nan)
    expected = source.reshape(voxels.shape[:2]).copy()
    for axis, step in ((0, 1), (0, -1), (1, 1), (1, -1)):  # by hand: five points, none across a wall
        expected += np.nan_to_num(np.roll(box, step, axis) - box)[1:-1, 1:-1] / voxels.spacing[axis] ** 2
    found = jax.jit(lambda m: rows.residuals(m))(model) * len(answer) ** 0.5  # a method of a module with arrays has no hash
    np.testing.assert_allclose(found, expected.ravel()[np.asarray(rows.active)], atol=1e-10)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seeds": 0}, "--seeds 0"),
        ({"effort": 0.0}, "--effort 0"),
        ({"precision": "float32"}, "float64"),
        ({"problem": "stokes"}, "stokes"),
    ],
)
def test_bad_options_are_refused_in_one_line(change, message):
    with pytest.raises(InputError, match=message) as caught:
        informed_problems.run(replace(CONFIG, **change), Workspace(None, progress=False))
    assert "\n" not in str(caught.value)
