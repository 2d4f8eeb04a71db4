"""Derivatives of a drug in time, by voxels and by the learned law, against central differences."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from physics import Binding, Doses, PlasmaCourse, TwoCompartment, capillary_bed, drug_transport, exchange_coefficient
from solvers import VoxelGrid
from tests.problems import number, quick_jit
from tests.properties.test_drug_law import LAW, PLASMA, VOXELS
from twinsim.closures.learned import network_parameters

H, CLOSED = 0.01, (True, True, False)
GRID = VoxelGrid(np.ones((4, 4, 1), bool), H)
PLACE = np.array([[0.021, 0.013, 0.0]])
BED = capillary_bed(GRID, PLACE, PLACE + np.array([0, 0, H]), 0.01, CLOSED)
INPUTS = {
    "diffusivity": number(4e-5),
    "resistance": number(1e4),
    "on": number(0.05),
    "off": number(3e-3),
    "sites": number(1.5),
    "dose": number(20.0),
    "clearance": number(0.02),
}


def outcome(inputs):
    """Free and bound after four steps, one number."""
    kinetics = TwoCompartment(number(13.0), inputs["clearance"], number(40.0), number(0.05))
    plasma = PlasmaCourse(kinetics, Doses(jnp.zeros(1), jnp.zeros(1), inputs["dose"][None]), number(0.5))
    cells = Binding(number(0.4), inputs["on"], inputs["off"], number(4e-4), inputs["sites"])
    coefficient = exchange_coefficient(inputs["resistance"], inputs["diffusivity"], 0.005, 0.01)
    problem = drug_transport(GRID, BED, coefficient, inputs["diffusivity"], cells, plasma, 0.25, CLOSED)
    state = jax.lax.scan(lambda s, t: (problem.advance(s, t, number(30.0)), None), problem.start(), 30.0 * jnp.arange(4.0))[0]
    return 3 * state[0].mean() + state[1].mean() + 0.5 * state[1, 0]


def differences(value, inputs, unit, size=1e-3):
    along = [value(jax.tree.map(lambda a, d, s=s: a + s * size * d, inputs, unit)) for s in (-2, -1, 1, 2)]
    return float((along[0] - 8 * along[1] + 8 * along[2] - along[3]) / (12 * size))


@pytest.fixture(scope="module")
def compiled():
    return quick_jit(outcome), quick_jit(jax.grad(outcome))(INPUTS)


@pytest.mark.parametrize("name", INPUTS)
def test_voxels_in_reverse_mode(name, compiled):
    value, gradient = compiled
    unit = {key: part * (key == name) for key, part in INPUTS.items()}
    each = differences(value, INPUTS, unit)
    assert abs(each) > 1e-4
    assert float(gradient[name] * unit[name]) == pytest.approx(each, rel=1e-6)


def test_the_law_to_its_weights():
    parameters, rest = eqx.partition(LAW, network_parameters(LAW))

    def taken_up(parameters):
        zones = eqx.combine(parameters, rest).zones(VOXELS, PLASMA)
        state = jax.lax.scan(lambda s, t: (zones.advance(s, t, number(60.0)), None), zones.start(), 60.0 * jnp.arange(3.0))[0]
        return jnp.sum(zones.means(state) * jnp.asarray([[30.0], [1.0]]))

    unit = jax.tree.map(lambda leaf: jnp.cos(jnp.arange(leaf.size, dtype=float)).reshape(leaf.shape), parameters)
    gradient = quick_jit(jax.grad(taken_up))(parameters)
    along = sum(float(jnp.sum(a * b)) for a, b in zip(jax.tree.leaves(gradient), jax.tree.leaves(unit), strict=True))
    assert along == pytest.approx(differences(quick_jit(taken_up), parameters, unit), rel=1e-6)
    assert abs(along) > 1e-4
