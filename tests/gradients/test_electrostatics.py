"""Derivatives of potentials, impedances and activated volume: by one more solve, against central differences."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from physics import activated_volume, field_per_milliampere, strength, unit_fields
from solvers.linear.elliptic import Jacobi
from tests.electrodes import lead_conductor
from tests.problems import noise

TIGHT = 1e-13
FRAME = lead_conductor(impedance=1.5)
GRID = FRAME.voxels.grid
JACOBI = Jacobi(-FRAME.operator().diagonal())
POINT = {
    "conductivity": FRAME.conductivity,
    "layer_conductivity": FRAME.layer_conductivity,
    "contact_impedance": FRAME.contact_impedance,
    "milliampere": jnp.array([-2.0, 0.7]),
}
WEIGHT = GRID.cells(noise(GRID.shape, 4, -1, 1))


def objective(point):
    """Of a potential, an impedance, and a smooth function of the field's strength."""
    names = ("conductivity", "layer_conductivity", "contact_impedance")
    conductor = eqx.tree_at(lambda c: tuple(getattr(c, name) for name in names), FRAME, tuple(point[name] for name in names))
    unit = unit_fields(conductor, JACOBI, TIGHT, 3000)
    size = strength(jnp.einsum("k,kcp->cp", point["milliampere"], field_per_milliampere(conductor, unit)), GRID.mask)
    return jnp.sum(WEIGHT * unit.potential(point["milliampere"])) + unit.resistance[0, 1] + jnp.sum(jnp.tanh(size))


@pytest.fixture(scope="module")
def value():
    return jax.jit(objective)


@pytest.fixture(scope="module")
def gradient():
    return jax.jit(jax.grad(objective))(POINT)


@pytest.mark.parametrize("name", POINT)
def test_reverse_mode_against_central_differences(name, value, gradient):
    direction = jnp.asarray(noise(POINT[name].shape, 7, 0.2, 1.0))
    size = 1e-3
    along = [float(value({**POINT, name: POINT[name] + step * size * direction})) for step in (-2, -1, 1, 2)]
    expected = (along[0] - 8 * along[1] + 8 * along[2] - along[3]) / (12 * size)
    assert abs(expected) > 1e-4
    assert float(jnp.sum(gradient[name] * direction)) == pytest.approx(expected, rel=1e-6)


@pytest.mark.slow
def test_forward_mode_agrees(gradient):
    direction = {name: jnp.asarray(noise(part.shape, 9, -0.5, 0.5)) for name, part in POINT.items()}
    _, forward = jax.jit(lambda point, along: jax.jvp(objective, (point,), (along,)))(POINT, direction)
    assert float(forward) == pytest.approx(sum(float(jnp.sum(gradient[name] * direction[name])) for name in POINT), rel=1e-9)


@pytest.mark.slow
def test_the_gradient_of_the_activated_volume_with_respect_to_currents():
    """By superposition, no solve at all; the measure is piecewise smooth, so the step is small."""
    x = np.stack(np.meshgrid(*(np.arange(n) - (n - 1) / 2 for n in (14, 14, 14)), indexing="ij"))
    fields = jnp.asarray(
        np.stack([x / np.linalg.norm(x - place, axis=0) ** 3 for place in (np.full((3, 1, 1, 1), 0.2), np.full((3, 1, 1, 1), 1.3))])
    )
    mask = jnp.ones((14, 14, 14), bool)

    def volume(current):
        return activated_volume(strength(jnp.einsum("k,kcxyz->cxyz", current, fields).reshape(3, -1), mask), 0.2, mask, 1.0)

    run, point, direction, size = jax.jit(volume), jnp.array([2.0, 1.0]), jnp.array([0.6, -0.3]), 1e-6
    expected = (float(run(point + size * direction)) - float(run(point - size * direction))) / (2 * size)
    assert float(jax.grad(volume)(point) @ direction) == pytest.approx(expected, rel=1e-6)
