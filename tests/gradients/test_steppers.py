"""Derivatives through every stepper: reverse mode against central differences, and forward against reverse."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.problems import noise, number, quick_jit
from tests.stepper_table import SHORT_ROWS, STEPPERS, parameters


@pytest.mark.slow
@pytest.mark.parametrize("name", SHORT_ROWS)
def test_gradient_reaches_every_leaf_and_agrees_with_differences(name):
    row = STEPPERS[name]
    p = parameters()
    length, steps = (1 / 16, 2)
    shape = row.stepper(p)[1].shape
    weight, direction = noise(shape, 11, -1.0, 1.0), noise(shape, 12, -1.0, 1.0)

    def loss(values):
        p = dict(zip(parameters(), values))
        stepper, start = row.stepper(p)
        state = start + values[-1] * direction * (start != 0)
        for i in range(steps):
            state = stepper.advance(state, number(0.2 + i * length), values[-2] * length)
        return jnp.vdot(weight, state)

    values = jnp.array([*p.values(), 1.0, 0.0])  # parameters, the length of the step and the initial state
    program = quick_jit(loss)
    gradient = np.asarray(quick_jit(jax.grad(loss))(values))
    size = 1e-4
    eye = np.eye(values.size)

    def difference(size):
        return np.array([(program(values + size * unit) - program(values - size * unit)) / (2 * size) for unit in eye])

    expected = (4 * difference(size) - difference(2 * size)) / 3
    scale = np.abs(expected).max()
    assert scale > 1e-4
    np.testing.assert_allclose(gradient, expected, rtol=1e-6, atol=1e-7 * scale)
    tangent = np.asarray(noise(values.shape, 13, -1.0, 1.0))
    forward = quick_jit(lambda v, t: jax.jvp(loss, (v,), (t,))[1])(values, jnp.asarray(tangent))
    np.testing.assert_allclose(forward, gradient @ tangent, rtol=1e-10)
