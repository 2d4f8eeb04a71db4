"""Derivatives of oxygen round capillaries against central differences, in both modes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from physics import SECOMB_2004, capillary_bed, exchange_coefficient, oxygen_exchange
from solvers import VoxelGrid
from tests.problems import number, quick_jit

H, PERIODIC = 0.01, (True, True, False)
GRID = VoxelGrid(np.ones((12, 10, 1), bool), H)
PLACES = np.array([[0.021, 0.043, 0.0], [0.085, 0.079, 0.0]])
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


@pytest.fixture(scope="module")
def compiled():
    return quick_jit(outcomes), quick_jit(jax.jacrev(outcomes))(INPUTS), quick_jit(lambda t: jax.jvp(outcomes, (INPUTS,), (t,))[1])


@pytest.mark.parametrize("name", INPUTS)
def test_both_modes_against_central_differences(name, compiled):
    value, reverse, forward = compiled
    unit = {key: (part * jnp.linspace(1.0, 0.7, part.size).reshape(part.shape)) * (key == name) for key, part in INPUTS.items()}
    size = 1e-3
    along = [value(jax.tree.map(lambda a, d, s=s: a + s * size * d, INPUTS, unit)) for s in (-2, -1, 1, 2)]
    expected = (along[0] - 8 * along[1] + 8 * along[2] - along[3]) / (12 * size)
    found = sum(reverse[key].reshape(3, -1) @ unit[key].reshape(-1) for key in INPUTS)
    assert jnp.all(jnp.abs(expected) > 1e-3)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    np.testing.assert_allclose(forward(unit), found, rtol=1e-9)
