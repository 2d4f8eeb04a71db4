"""Derivatives through beats under the baroreflex, its delays and the beat at rest included, against central differences."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from physics.baroreflex import baroreflex
from physics.closed_loop import regazzoni_values
from physics.reflex_loop import reflex_program
from tests.problems import quick_jit


@pytest.mark.slow
def test_of_the_pressure_after_bleeding():
    beats = 14

    def after(z):
        values = regazzoni_values() | {"systemic_arteries_resistance": 0.8 * z[0]}
        reflex = eqx.tree_at(lambda r: r.effector, baroreflex(), baroreflex().effector.at[0].multiply(z[1]))
        run = reflex_program(values, reflex, jnp.zeros(beats).at[2].set(300.0 * z[2]), jnp.zeros(beats), 40)
        return run.mean[-1] + 10 * run.period[-1]

    at, value = jnp.array([1.0, 1.0, 1.0]), quick_jit(after)
    slopes = quick_jit(jax.grad(after))(at)
    for i in range(3):
        step = jnp.zeros(3).at[i].set(1e-5)
        np.testing.assert_allclose(slopes[i], (value(at + step) - value(at - step)) / 2e-5, rtol=1e-6)
