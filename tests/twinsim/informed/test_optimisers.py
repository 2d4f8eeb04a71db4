"""The optimisers on functions whose minima are known, and what they do where there is none."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import least_squares

from twinsim.informed import Rows, levenberg_marquardt, normal_equations, quasi_newton, split, sum_of_squares
from twinsim.informed.quasi_newton import _updated
from twinsim.informed.rows import gram


def rosenbrock(z, _=None):
    return jnp.concatenate([10 * (z[1:] - z[:-1] ** 2), 1 - z[:-1]])


ROSENBROCK = Rows(rosenbrock, jnp.zeros((1, 1)), jnp.ones(1))
START = jnp.array([-1.2, 1.0])


@pytest.mark.slow
def test_levenberg_marquardt_finds_the_minimum_of_rosenbrock():
    vector, restore = split(START)
    found = jax.jit(lambda at: levenberg_marquardt((ROSENBROCK,), at, restore, 60, jnp.asarray(0.1)))(vector)
    np.testing.assert_allclose(found.vector, 1.0, atol=1e-12)
    assert bool(found.finite) and (np.diff(found.values) <= 0).all() and int(found.accepted) > 5


@pytest.mark.parametrize("update", ["bfgs", "broyden"])
def test_quasi_newton_finds_the_minimum_of_rosenbrock(update):
    found = jax.jit(lambda at: quasi_newton(lambda z: 0.5 * jnp.sum(rosenbrock(z) ** 2), at, 80, None, update))(START)
    np.testing.assert_allclose(found.vector, 1.0, atol=1e-7)
    assert bool(found.finite) and (np.diff(found.values) <= 0).all()


@pytest.mark.parametrize("update", ["bfgs", "broyden"])
def test_the_update_keeps_symmetry_definiteness_and_the_secant(update):
    random = np.random.default_rng(0)
    root = random.normal(size=(6, 6))
    matrix = jnp.asarray(root @ root.T + np.eye(6))
    other = random.normal(size=(6, 6))
    s = jnp.asarray(random.normal(size=6))
    y = (jnp.asarray(other @ other.T) + jnp.eye(6)) @ s  # as of a convex function
    new = _updated(matrix, s, y, -jnp.linalg.solve(matrix, s), update)
    np.testing.assert_allclose(new @ y, s, rtol=1e-9)
    np.testing.assert_allclose(new, new.T, rtol=1e-12)
    assert np.linalg.eigvalsh(new).min() > 0


def line(model, point):
    x, y = point
    return model["slope"] * x + model["level"] - y


def linear_rows():
    random = np.random.default_rng(1)
    x, y, weights = random.normal(size=40), random.normal(size=40), random.uniform(0.5, 2, 40)
    return Rows(line, (jnp.asarray(x), jnp.asarray(y)), jnp.asarray(weights)), x, y, weights


def test_linear_least_squares_is_exact():
    rows, x, y, weights = linear_rows()
    design = np.stack([x, np.ones(40)], axis=1)
    expected = np.linalg.lstsq(weights[:, None] * design, weights * y, rcond=None)[0]
    vector, restore = split({"slope": jnp.zeros(()), "level": jnp.zeros(())})
    found = levenberg_marquardt((rows,), vector, restore, 12, jnp.asarray(1e-13))
    model = restore(found.vector)
    np.testing.assert_allclose([model["slope"], model["level"]], expected, rtol=1e-10)
    quasi = quasi_newton(lambda at: sum_of_squares((rows,), restore(at)), vector, 30)
    np.testing.assert_allclose(quasi.vector, found.vector, rtol=1e-6)


@pytest.mark.slow
def test_normal_equations_equal_forward_mode():
    rows, *_ = linear_rows()
    both = (rows, Rows(lambda model, point: jnp.stack([model["slope"] ** 2, model["slope"] * point]), jnp.arange(3.0), jnp.ones(3)))
    vector, restore = split({"slope": jnp.asarray(0.7), "level": jnp.asarray(-0.2)})
    value, gradient, curvature = normal_equations(both, vector, restore)

    def residuals(at):
        return jnp.concatenate([one.residuals(restore(at)) for one in both])

    found, jacobian = residuals(vector), jax.jacfwd(residuals)(vector)
    np.testing.assert_allclose(value, 0.5 * found @ found, rtol=1e-13)
    np.testing.assert_allclose(gradient, jacobian.T @ found, rtol=1e-12)
    np.testing.assert_allclose(curvature, jacobian.T @ jacobian, rtol=1e-12)


@pytest.mark.parametrize("columns", [5, 256, 303])
def test_a_gram_matrix_from_its_upper_blocks(columns):
    matrix = np.random.default_rng(2).normal(size=(37, columns))
    np.testing.assert_allclose(gram(jnp.asarray(matrix)), matrix.T @ matrix, rtol=1e-12, atol=1e-12)


def test_a_trial_that_is_no_number_costs_an_iteration_and_nothing_else():
    rows = Rows(lambda z, _: jnp.log(z) + 3.0, jnp.zeros((1, 1)), jnp.ones(1))  # undefined where full steps lead
    vector, restore = split(jnp.array([1.0]))
    found = levenberg_marquardt((rows,), vector, restore, 40, jnp.asarray(1e-8))
    np.testing.assert_allclose(found.vector, np.exp(-3.0), rtol=1e-10)
    assert int(found.accepted) < 40
    quasi = quasi_newton(lambda z: jnp.sum((jnp.log(z) + 3.0) ** 2), vector, 60)
    np.testing.assert_allclose(quasi.vector, np.exp(-3.0), rtol=1e-5)


def test_a_start_that_is_no_number_is_said():
    rows = Rows(lambda z, _: jnp.log(z), jnp.zeros((1, 1)), jnp.ones(1))
    vector, restore = split(jnp.array([-1.0]))
    found = levenberg_marquardt((rows,), vector, restore, 3, jnp.asarray(0.1))
    assert not bool(found.finite) and np.array_equal(found.vector, vector)


def test_a_curve_is_fitted_as_by_scipy():
    x = np.linspace(0, 2, 30)
    y = 1.3 * np.exp(-0.8 * x) + 0.02 * np.sin(17 * x)
    rows = Rows(lambda z, point: z[0] * jnp.exp(-z[1] * point[0]) - point[1], (jnp.asarray(x), jnp.asarray(y)), jnp.ones(30))
    vector, restore = split(jnp.array([1.0, 0.0]))
    found = levenberg_marquardt((rows,), vector, restore, 30, jnp.asarray(0.1))
    theirs = least_squares(lambda z: z[0] * np.exp(-z[1] * x) - y, [1.0, 0.0], xtol=1e-14, ftol=1e-14, gtol=1e-14)
    np.testing.assert_allclose(found.vector, theirs.x, rtol=1e-7)
