"""Models in closed form and their rates are one equation."""

import jax.numpy as jnp
import numpy as np
import pytest

from physics import OneCompartment
from physics.androgen_deprivation_hirata import HirataTanaka
from solvers import simulate, time_mesh
from tests.closure_slots import SLOTS
from tests.problems import number, quick_jit


def test_an_oral_dose():
    equation, times = SLOTS["dose"]().equation, [0.5, 2.0, 8.0]
    model: OneCompartment = equation.parameters
    mesh = time_mesh(0.0, times, 0.05)
    states = quick_jit(lambda state: simulate(equation.stepper(), state, mesh).states)(jnp.array([80.0, 0.0]))
    np.testing.assert_allclose(states[:, 1], model.concentration(jnp.asarray(times), number(80.0)), rtol=1e-7)


@pytest.mark.parametrize("on", [True, False])
def test_androgen_deprivation(on):
    model: HirataTanaka = SLOTS["androgen"]().equation.parameters
    start, days = jnp.array([8.0, 0.5, 0.1]), jnp.array([0.0, 30.0])
    exact = model.states(days, jnp.full(2, -1.0 if on else 400.0), start)[-1]
    x, h = start, 0.1
    for _ in range(300):  # the midpoint rule
        middle = x + h / 2 * model.rate(x, number(float(on)))
        x = x + h * model.rate(middle, number(float(on)))
    np.testing.assert_allclose(x, exact, rtol=1e-5)
