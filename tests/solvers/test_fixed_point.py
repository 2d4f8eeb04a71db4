"""Fixed points against what linear algebra and differences say."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from solvers import anderson_step, fixed_point
from tests.problems import quick_jit

SIZE = 12
MATRIX = jnp.asarray(np.random.default_rng(1).normal(size=(SIZE, SIZE)))
MATRIX = 0.95 * MATRIX / jnp.abs(jnp.linalg.eigvals(MATRIX)).max()


def linear(parameters, state):
    matrix, shift = parameters
    return {"a": (matrix @ jnp.concatenate([state["a"], 1e-6 * state["b"]]) + shift)[:5], "b": 1e6 * (matrix @ _flat(state) + shift)[5:]}


def _flat(state):
    return jnp.concatenate([state["a"], 1e-6 * state["b"]])


START = {"a": jnp.ones(5), "b": 1e6 * jnp.ones(SIZE - 5)}
SHIFT = jnp.linspace(1.0, 2.0, SIZE)


def test_a_linear_map_with_leaves_of_different_size():
    found = quick_jit(lambda p: fixed_point(linear, p, START, 1e-12, 200, 6))((MATRIX, SHIFT))
    np.testing.assert_allclose(_flat(found.state), jnp.linalg.solve(jnp.eye(SIZE) - MATRIX, SHIFT), rtol=1e-9)
    plain = quick_jit(lambda p: fixed_point(linear, p, START, 1e-12, 1000, 1))((MATRIX, SHIFT))
    assert int(found.evaluations) < int(plain.evaluations) / 4


def test_the_limit_is_kept_and_the_residual_says_so():
    found = quick_jit(lambda p: fixed_point(linear, p, START, 1e-12, 3, 2))((MATRIX, SHIFT))
    assert int(found.evaluations) == 3
    assert float(found.residual) > 1e-3


def test_gradients_of_a_nonlinear_fixed_point():
    def function(parameters, state):
        return jnp.tanh(0.8 * state * parameters) + 0.3 * jnp.roll(state, 1) + parameters**2

    def value(parameters):
        return jnp.sum(fixed_point(function, parameters, jnp.ones(4), 1e-13, 100).state * jnp.arange(1.0, 5.0))

    at = jnp.array([0.5, 0.7, 0.2, 0.9])
    gradient = quick_jit(jax.grad(value))(at)
    for place in range(4):
        ahead, behind = (quick_jit(value)(at.at[place].add(sign * 1e-5)) for sign in (1, -1))
        assert float(gradient[place]) == pytest.approx(float(ahead - behind) / 2e-5, rel=1e-7)


def test_steps_taken_one_by_one_reach_the_same_point():
    """Two unknowns of very different size: a linear map is solved once three evaluations are known."""
    matrix, shift = np.array([[0.9, 0.2], [-0.1, 0.8]]), np.array([1.0, 2.0])

    def mapped(state):
        moved = matrix @ np.array([state["a"][0], 1e-6 * state["b"][0]]) + shift
        return {"a": jnp.asarray(moved[:1]), "b": jnp.asarray(1e6 * moved[1:])}

    points = [{"a": jnp.ones(1), "b": jnp.ones(1)}]
    images = [mapped(points[0])]
    for _ in range(3):
        points.append(anderson_step(points, images))
        images.append(mapped(points[-1]))
    exact = np.linalg.solve(np.eye(2) - matrix, shift)
    np.testing.assert_allclose([points[-1]["a"][0], 1e-6 * points[-1]["b"][0]], exact, rtol=1e-7)


def test_one_evaluation_is_a_plain_iteration():
    image = linear((MATRIX, SHIFT), START)
    np.testing.assert_allclose(_flat(anderson_step([START], [image])), _flat(image), rtol=1e-14)
