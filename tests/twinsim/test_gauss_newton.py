"""The search for the maximum a posteriori."""

import numpy as np
import pytest

from twinsim.gauss_newton import minimise


def least_squares(residual, jacobian):
    def evaluate(point):
        r, j = residual(point), jacobian(point)
        return float(0.5 * r @ r), j.T @ r, j.T @ j

    return evaluate


def test_a_quadratic_takes_one_step():
    root = np.array([[2.0, 0.3, 0.0], [0.0, 1.0, -0.4], [0.0, 0.0, 0.5]])
    target = np.array([0.3, -0.4, 0.6])
    evaluate = least_squares(lambda p: root @ (p - target), lambda p: root)
    found = minimise(evaluate, np.zeros(3))
    assert found.converged and found.iterations == 1
    assert found.gradient_norm < 0.03
    np.testing.assert_allclose(found.z, target, atol=0.05)
    np.testing.assert_allclose(found.curvature, root.T @ root)
    exact = minimise(evaluate, np.zeros(3), tolerance=1e-10)
    assert exact.converged
    np.testing.assert_allclose(exact.z, target, atol=1e-9)


def test_the_bent_valley_of_rosenbrock():
    evaluate = least_squares(lambda p: np.array([10 * (p[1] - p[0] ** 2), 1 - p[0]]), lambda p: np.array([[-20 * p[0], 10.0], [-1.0, 0.0]]))
    found = minimise(evaluate, np.array([-1.2, 1.0]), iterations=100, tolerance=1e-8)
    assert found.converged and found.iterations > 1
    np.testing.assert_allclose(found.z, [1, 1], atol=1e-7)
    assert found.value < 1e-14


def test_every_accepted_step_goes_down_and_a_step_is_at_most_two_long():
    visited = []
    plain = least_squares(lambda p: np.array([p[0] - 9.0, p[1] + 7.0]), lambda p: np.eye(2))

    def evaluate(point):
        visited.append(point.copy())
        return plain(point)

    found = minimise(evaluate, np.zeros(2), tolerance=1e-9)
    assert found.converged
    np.testing.assert_allclose(found.z, [9, -7], atol=1e-7)
    lengths = np.linalg.norm(np.diff(visited, axis=0), axis=1)
    assert lengths.max() <= 2 + 1e-12 and lengths[0] == pytest.approx(2)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_region_without_finite_values_is_backed_out_of(bad):
    """log(1 - x) + 3 has its root at 1 - exp(-3); the first full step lands beyond one."""
    failed = []

    def evaluate(point):
        x = float(point[0])
        if x >= 1:
            failed.append(x)
            return bad, np.full(1, bad), np.full((1, 1), bad)
        r, slope = np.log(1 - x) + 3, -1 / (1 - x)
        return 0.5 * r**2, np.array([slope * r]), np.array([[slope**2]])

    found = minimise(evaluate, np.zeros(1), tolerance=1e-6)
    assert failed
    assert found.converged
    assert found.z[0] == pytest.approx(1 - np.exp(-3), rel=1e-6)


def test_a_start_without_a_finite_value_says_so():
    found = minimise(lambda p: (np.nan, np.zeros(2), np.eye(2)), np.zeros(2))
    assert not np.isfinite(found.value)
    assert not found.converged and found.iterations == 0


def test_too_few_iterations_are_not_called_converged():
    evaluate = least_squares(lambda p: p - 30.0, lambda p: np.eye(1))
    found = minimise(evaluate, np.zeros(1), iterations=3)
    assert not found.converged
    assert found.gradient_norm == pytest.approx(30 - 3 * 2)
    assert found.z[0] == pytest.approx(6)
