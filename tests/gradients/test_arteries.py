"""Gradients of pressures in a network with respect to walls, windkessels and shape, through every step and junction."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from physics import beat, beat_mesh, periodic_beat
from tests.arteries import tree
from tests.problems import quick_jit

MESH = beat_mesh(0.2, 6)
NETWORK = tree(6, continuous="total")
SUBSTEPS = 20
FIELDS = ("youngs_modulus", "distal", "compliance", "proximal", "radius_end")


def pulse(factors):
    """Pressures at the middle of the vessels, weighted, after a beat of a network whose parameters are scaled."""
    changed = [getattr(NETWORK, name) * factors[place] for place, name in enumerate(FIELDS)]
    network = eqx.tree_at(lambda n: [getattr(n, name) for name in FIELDS], NETWORK, changed)
    last = beat(network, network.initial_state(), MESH, SUBSTEPS)
    weights = jnp.arange(1.0, 7.0)[None]
    return jnp.sum(last.pressure[:, 2] * weights) / 1e3


@pytest.mark.slow
def test_reverse_mode_against_central_differences_and_forward_mode():
    one = jnp.ones(len(FIELDS))
    value = quick_jit(pulse)
    gradient = np.asarray(quick_jit(jax.grad(pulse))(one))
    for place in range(len(FIELDS)):
        ahead, behind = (float(value(one.at[place].add(sign * 1e-5))) for sign in (1, -1))
        assert gradient[place] == pytest.approx((ahead - behind) / 2e-5, rel=1e-6), FIELDS[place]
    direction = jnp.array([0.3, -0.7, 0.2, 0.5, 0.1])
    along = quick_jit(lambda f, d: jax.jvp(pulse, (f,), (d,))[1])(one, direction)
    assert float(along) == pytest.approx(float(gradient @ np.asarray(direction)), rel=1e-9)


@pytest.mark.slow
def test_the_gradient_through_viscous_walls():
    def pressures(viscosity):
        network = eqx.tree_at(lambda n: n.wall_viscosity, NETWORK, viscosity, is_leaf=lambda leaf: leaf is None)
        return jnp.sum(beat(network, network.initial_state(), MESH, SUBSTEPS).pressure[:, 2] * jnp.arange(1.0, 7.0)[None]) / 1e3

    point = jnp.array([0.8, 1.0, 1.2])
    value = quick_jit(pressures)
    gradient = np.asarray(quick_jit(jax.grad(pressures))(point))
    for place in range(3):
        ahead, behind = (float(value(point.at[place].add(sign * 1e-4))) for sign in (1, -1))
        assert gradient[place] == pytest.approx((ahead - behind) / 2e-4, rel=1e-6)


def test_forward_mode_where_the_state_chooses_the_steps():
    def pressure(factor):
        network = eqx.tree_at(lambda n: n.youngs_modulus, NETWORK, NETWORK.youngs_modulus * factor)
        return beat(network, network.initial_state(), MESH).pressure[1, 2, -1]

    slope = quick_jit(lambda f: jax.jvp(pressure, (f,), (jnp.ones(()),))[1])(jnp.ones(()))
    ahead, behind = (float(quick_jit(pressure)(jnp.asarray(1 + sign * 1e-6))) for sign in (1, -1))
    assert float(slope) == pytest.approx((ahead - behind) / 2e-6, rel=1e-5)


@pytest.mark.slow
def test_the_gradient_of_the_periodic_state():
    """Of a state that many beats lead to, without differentiating them: against differences of converged states."""
    mesh = beat_mesh(0.2, 4)

    def mean_pressure(factor):
        network = eqx.tree_at(
            lambda n: (n.distal, n.youngs_modulus), NETWORK, (NETWORK.distal * factor[0], NETWORK.youngs_modulus * factor[1])
        )
        last, found = periodic_beat(network, mesh, 34, 1e-12, 60)
        return last.pressure[1, 2].mean() / 1e3, found

    one = jnp.ones(2)
    value = quick_jit(mean_pressure)
    (_, found), gradient = quick_jit(jax.value_and_grad(mean_pressure, has_aux=True))(one)
    assert float(found.residual) <= 1e-12
    assert int(found.evaluations) < 40
    for place in range(2):
        ahead, behind = (float(value(one.at[place].add(sign * 1e-5))[0]) for sign in (1, -1))
        assert float(gradient[place]) == pytest.approx((ahead - behind) / 2e-5, rel=1e-6)
