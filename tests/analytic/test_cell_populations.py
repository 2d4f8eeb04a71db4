"""Interacting cells against closed forms, SciPy, differences; order of the stepper; bounds that the equations promise."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from physics import CellPopulations, LogRate, lotka_volterra_rest
from solvers import ExplicitRungeKutta, simulate, time_mesh
from tests.problems import quick_jit, slope


def community(types=7, seed=0, rows=None):
    random = np.random.default_rng(seed)
    effect = random.normal(size=(types, types)) * (random.random((types, types)) < 0.5)
    np.fill_diagonal(effect, 0.0)
    saturation = random.uniform(0.3, 2.0, (rows or types, types))
    growth, crowding, immigration = random.uniform(-0.3, 0.8, types), random.uniform(0.5, 1.5, types), random.uniform(0.001, 0.01, types)
    return CellPopulations(*(jnp.asarray(part) for part in (growth, crowding, effect, saturation, immigration)))


@quick_jit
def march(equation, log_density, step, count):
    """A program for every step and number of steps."""
    return jax.lax.fori_loop(0, count, lambda _, x: equation.stepper().advance(x, jnp.zeros(()), step), log_density)


def densities(equation, start, days, step=0.05):
    rows, x, before = [], jnp.log(start), 0.0
    for day in days:
        count = int(np.ceil((day - before) / step - 1e-9))
        x, before = march(equation, x, jnp.asarray((day - before) / count), count), day
        rows.append(np.exp(np.asarray(x)))
    return np.array(rows)


def test_one_type_is_the_logistic_function():
    growth, crowding = jnp.asarray([0.7, -0.2]), jnp.asarray([0.35, 0.5])
    alone = CellPopulations(growth, crowding, jnp.zeros((2, 2)), jnp.ones((1, 2)), jnp.zeros(2))
    start, days = np.array([0.1, 1.3]), [1.0, 4.0, 10.0]
    found = densities(alone, jnp.asarray(start), days)
    r, k = np.asarray(growth), np.asarray(growth / crowding)
    for row, day in zip(found, days, strict=True):
        np.testing.assert_allclose(row, k / (1 + (k / start - 1) * np.exp(-r * day)), rtol=1e-7)


def test_growth_with_immigration_is_the_solution_of_riccati():
    """n' = rn - cn^2 + m goes to its upper root as the ratio of distances to both roots decays."""
    r, c, m = 0.4, 0.5, 0.2
    one = CellPopulations(*(jnp.asarray(part) for part in ([r], [c], [[0.0]], [[0.0]], [m])))
    high, low = np.roots([-c, r, m])[[np.argmax(np.roots([-c, r, m])), np.argmin(np.roots([-c, r, m]))]]
    start, days = 0.05, [0.5, 2.0, 6.0]
    found = densities(one, jnp.asarray([start]), days, 0.01)[:, 0]
    ratio = (start - high) / (start - low) * np.exp(-c * (high - low) * np.asarray(days))
    np.testing.assert_allclose(found, (high - low * ratio) / (1 - ratio), rtol=1e-6)


def test_two_competitors_rest_and_jacobian_by_hand():
    r1, r2, a12, a21 = 0.8, 0.6, -0.3, -0.2
    pair = CellPopulations.lotka_volterra(jnp.asarray([r1, r2]), jnp.asarray([[-1.0, a12], [a21, -0.9]]))
    determinant = 0.9 - a12 * a21
    exact = np.array([(0.9 * r1 + a12 * r2), (r2 + a21 * r1)]) / determinant
    rest = lotka_volterra_rest(pair)
    np.testing.assert_allclose(rest.density, exact, rtol=1e-13)
    assert rest.stable and rest.feasible
    by_hand = np.array([[-exact[0], a12 * exact[0]], [a21 * exact[1], -0.9 * exact[1]]])
    np.testing.assert_allclose(pair.jacobian(jnp.asarray(exact)), by_hand, rtol=1e-12)
    np.testing.assert_allclose(densities(pair, jnp.asarray([0.1, 2.0]), [80.0])[0], exact, rtol=1e-9)
    np.testing.assert_allclose(pair.rate(jnp.asarray(exact)), 0.0, atol=1e-13)


def test_predator_and_prey_keep_their_invariant():
    """Lotka's and Volterra's own system, without crowding: V = dn1 - g ln n1 + bn2 - a ln n2 is constant."""
    a, b, g, d = 1.1, 0.4, 0.4, 0.1
    own = CellPopulations.lotka_volterra(jnp.asarray([a, -g]), jnp.asarray([[0.0, -b], [d, 0.0]]))
    start = np.array([10.0, 5.0])
    prey, predator = np.asarray(densities(own, jnp.asarray(start), list(np.linspace(1, 30, 30)), 0.02)).T
    invariant = d * prey - g * np.log(prey) + b * predator - a * np.log(predator)
    np.testing.assert_allclose(invariant, d * start[0] - g * np.log(start[0]) + b * start[1] - a * np.log(start[1]), rtol=1e-7)
    rest = lotka_volterra_rest(own)
    np.testing.assert_allclose(rest.density, [g / d, a / b], rtol=1e-13)
    assert np.abs(np.linalg.eigvals(np.asarray(own.jacobian(jnp.asarray(rest.density)))).imag) == pytest.approx(np.sqrt(a * g), rel=1e-9)


@pytest.mark.parametrize("rows", [1, 7])
def test_rates_are_those_written_out_and_cultures_do_not_see_each_other(rows):
    equation = community(rows=rows)
    random = np.random.default_rng(1)
    n = random.uniform(0.1, 3.0, (7, 4, 2))
    found = np.asarray(equation.rate(jnp.asarray(n)))
    r, c, b, s, m = (np.asarray(part) for part in jax.tree.leaves(equation))
    s = np.broadcast_to(s, b.shape)
    for culture in np.ndindex(4, 2):
        one = n[(slice(None), *culture)]
        by_loops = [
            one[i] * (r[i] - c[i] * one[i] + sum(b[i, j] * one[j] / (1 + s[i, j] * one[j]) for j in range(7))) + m[i] for i in range(7)
        ]
        np.testing.assert_allclose(found[(slice(None), *culture)], by_loops, rtol=1e-12)


def test_half_saturation_is_half_of_the_largest_effect():
    largest, half = jnp.asarray([[0.0, -0.6], [0.4, 0.0]]), jnp.asarray([[1.0, 2.0], [3.0, 1.0]])
    pair = CellPopulations.from_half_saturation(jnp.zeros(2), jnp.ones(2), largest, half, jnp.zeros(2))
    np.testing.assert_allclose(pair.influence(jnp.asarray([3.0, 2.0])), [-0.3, 0.2], rtol=1e-14)
    np.testing.assert_allclose(pair.influence(jnp.asarray([1e9, 1e9])), [-0.6, 0.4], rtol=1e-8)


def test_the_jacobian_is_the_derivative():
    equation = community()
    n = jnp.asarray(np.random.default_rng(2).uniform(0.2, 2.0, 7))
    own = equation.immigration / n  # n ln-rate holds m once more: rate has m itself, whose derivative is zero
    derivative = jax.jacfwd(lambda n: n * (equation.growth - equation.crowding * n + equation.influence(n)) + equation.immigration)(n)
    np.testing.assert_allclose(equation.jacobian(n), derivative, rtol=1e-12, atol=1e-14)
    assert np.all(np.asarray(own) > 0)


def test_against_scipy():
    equation, start = community(), np.random.default_rng(3).uniform(0.1, 2.0, 7)
    rate = jax.jit(lambda n: equation.rate(n))
    reference = solve_ivp(lambda t, n: np.asarray(rate(n)), (0, 12), start, "DOP853", [3.0, 12.0], rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(densities(equation, jnp.asarray(start), [3.0, 12.0], 0.02), reference.y.T, rtol=2e-7)


def test_order_four():
    equation, start = community(rows=1), jnp.asarray(np.random.default_rng(3).uniform(0.1, 2.0, 7))
    exact = densities(equation, start, [4.0], 0.002)[0]
    steps = [0.4, 0.2, 0.1, 0.05, 0.025]
    errors = [float(np.abs(densities(equation, start, [4.0], step)[0] / exact - 1).max()) for step in steps]
    assert slope(steps, errors) == pytest.approx(4.0, abs=0.2), errors


@pytest.mark.parametrize("rows", [1, 7])
def test_gradients_against_differences(rows):
    equation, start = community(rows=rows), jnp.asarray(np.random.default_rng(4).uniform(0.2, 2.0, 7))
    mesh = time_mesh(0.0, [1.0, 3.0], 0.1)

    @jax.jit
    def loss(equation, start):
        states = simulate(equation.stepper(), jnp.log(start), mesh).states
        return (states**2 * jnp.arange(1.0, 8.0)[None]).sum()

    gradient = jax.grad(loss, (0, 1))(equation, start)
    random = np.random.default_rng(5)
    direction = jax.tree.map(lambda leaf: jnp.asarray(random.normal(size=leaf.shape)) * jnp.abs(leaf), (equation, start))
    shift = 1e-5
    sides = [loss(*jax.tree.map(lambda leaf, way, sign=sign: leaf + sign * shift * way, (equation, start), direction)) for sign in (1, -1)]
    along = sum(float((one * way).sum()) for one, way in zip(jax.tree.leaves(gradient), jax.tree.leaves(direction), strict=True))
    assert along == pytest.approx(float(sides[0] - sides[1]) / (2 * shift), rel=1e-6)


def test_positive_and_below_the_ceiling_whatever_the_step():
    equation = community(types=40, seed=6)
    equation = CellPopulations(equation.growth, equation.crowding, equation.effect, equation.saturation, jnp.zeros(40))
    ceiling = np.asarray(equation.ceiling())
    start = jnp.asarray(np.random.default_rng(6).uniform(0.01, 1.0, 40) * np.maximum(ceiling, 1e-3))
    for step in (0.05, 0.5):
        found = np.asarray(densities(equation, start, list(np.arange(1.0, 15.0)), step))
        assert (found > 0).all()
    assert (np.asarray(densities(equation, start, [100.0]))[0] <= np.maximum(ceiling, 1e-6) * (1 + 1e-9)).all()


def test_spans_of_time_are_days_of_each_culture():
    equation = community()
    start = jnp.log(jnp.asarray(np.random.default_rng(7).uniform(0.2, 2.0, (7, 2))))
    spans = np.array([1.0, 2.5])
    stepper = ExplicitRungeKutta(LogRate(equation, jnp.asarray(spans)))
    together = jax.jit(lambda x: jax.lax.fori_loop(0, 50, lambda _, x: stepper.advance(x, jnp.zeros(()), jnp.asarray(0.02)), x))(start)
    for k, span in enumerate(spans):
        np.testing.assert_allclose(together[:, k], march(equation, start[:, k], jnp.asarray(0.02 * span), 50), rtol=1e-12)


def test_support_without_saturation_ends_in_a_status():
    pair = CellPopulations.lotka_volterra(jnp.asarray([0.5, 0.5]), jnp.asarray([[-0.1, 1.0], [1.0, -0.1]]))
    solution = simulate(pair.stepper(), jnp.zeros(2), time_mesh(0.0, [20.0], 0.1))
    assert solution.status == 2
    assert np.isinf(np.asarray(pair.ceiling())).all()


def test_wrong_input_is_one_line():
    ones = jnp.ones(3)
    with pytest.raises(ValueError, match="one row and column per type") as caught:
        CellPopulations(ones, ones, jnp.ones((3, 3)), jnp.ones((2, 3)), ones)
    assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="until it is still"):
        lotka_volterra_rest(community())
    nowhere = lotka_volterra_rest(CellPopulations.lotka_volterra(jnp.ones(2), jnp.asarray([[-1.0, -1.0], [-1.0, -1.0]])))
    assert np.isnan(nowhere.density).all() and not nowhere.feasible
