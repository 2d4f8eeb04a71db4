"""Derivatives of oxygen round capillaries against central differences, of first order."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from physics import SECOMB_2004, capillary_bed, exchange_coefficient, oxygen_exchange
from solvers import VoxelGrid
from tests.problems import number, quick_jit

H, PERIODIC = 0.01, (True, True, False)
GRID = VoxelGrid(np.ones((8, 8, 1), bool), H)
PLACES = np.array([[0.021, 0.043, 0.0], [0.065, 0.069, 0.0]])
BED = capillary_bed(GRID, PLACES, PLACES + np.array([0, 0, H]), 0.01, PERIODIC)
INPUTS = {
    "demand": number(SECOMB_2004["demand"].value),
    "half_pressure": number(1.0),
    "blood_pressure": jnp.asarray([45.0, 30.0]),
    "diffusivity": number(SECOMB_2004["krogh_diffusivity"].value),
    "resistance": number(SECOMB_2004["resistance"].value),
}


def outcomes(inputs):
    """Mean pressure, what the tissue lacks per its demand, and the mean oxygen enhancement of radiation."""
    coefficient = exchange_coefficient(inputs["resistance"], inputs["diffusivity"], 0.005, 0.01)
    problem = oxygen_exchange(
        GRID,
        BED,
        inputs["blood_pressure"],
        coefficient,
        inputs["diffusivity"],
        inputs["demand"],
        inputs["half_pressure"],
        0.25,
        PERIODIC,
    )
    field = problem.solve().field
    lacking = 1 - problem.consumption(field).sum() / problem.demand.sum()
    return jnp.stack([field.mean(), 100 * lacking, ((3 * field + 3) / (field + 3)).mean()])


WEIGHTS = jnp.asarray([1.0, -3.0, 20.0])  # so that no two of them cancel


def weighted(inputs):
    return outcomes(inputs) @ WEIGHTS


@pytest.fixture(scope="module")
def compiled():
    return quick_jit(outcomes), quick_jit(jax.grad(weighted))(INPUTS)


@pytest.mark.parametrize("name", INPUTS)
def test_reverse_mode_against_central_differences(name, compiled):
    value, gradient = compiled
    unit = {key: (part * jnp.linspace(1.0, 0.7, part.size).reshape(part.shape)) * (key == name) for key, part in INPUTS.items()}
    size = 1e-3
    along = [value(jax.tree.map(lambda a, d, s=s: a + s * size * d, INPUTS, unit)) for s in (-2, -1, 1, 2)]
    each = (along[0] - 8 * along[1] + 8 * along[2] - along[3]) / (12 * size)
    assert jnp.all(jnp.abs(each) > 1e-3)
    assert float(jnp.sum(gradient[name] * unit[name])) == pytest.approx(float(each @ WEIGHTS), rel=1e-6)


@pytest.mark.slow  # a program per mode
def test_each_outcome_in_both_modes():
    found = jax.jit(jax.jacrev(outcomes))(INPUTS)
    for name in INPUTS:
        unit = {key: part * (key == name) for key, part in INPUTS.items()}
        _, forward = jax.jvp(outcomes, (INPUTS,), (unit,))
        np.testing.assert_allclose(forward, found[name].reshape(3, -1) @ unit[name].reshape(-1), rtol=1e-8)
