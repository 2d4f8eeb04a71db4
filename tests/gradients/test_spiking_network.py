"""Derivatives of spiking neurons: exact through a spike without coupling, and zero of what counts spikes, as the docstring says."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from physics import MontbrioPazoRoxin, SpikingNetwork, SpikingState


def test_states_of_uncoupled_neurons_against_central_differences():
    network = SpikingNetwork(jnp.asarray([-2.0, 0.0, 1.5, 40.0]), jnp.asarray(0.0), jnp.asarray(1.3), jnp.asarray(0.0), 0.05)

    def loss(parts):
        eta, tau, start, currents = parts
        moved = eqx.tree_at(lambda n: (n.excitabilities, n.membrane_time), network, (eta, tau))
        record = moved.march(SpikingState.of(start), currents)
        return jnp.sum(record.final.direction * jnp.asarray([[1.0, 0.7, -0.4, 0.3], [0.2, -1.0, 0.5, 0.8]])), record.rate

    parts = (network.excitabilities, network.membrane_time, jnp.asarray([3.0, 0.2, -1.0, 0.0]), 0.3 * jnp.cos(jnp.arange(60.0)))
    (_, rate), gradient = jax.jit(jax.value_and_grad(loss, has_aux=True))(parts)
    assert float(rate.sum()) * 0.05 * 4 > 4  # spikes there are
    flat, restore = ravel_pytree(parts)
    own, _ = ravel_pytree(gradient)
    generator = np.random.default_rng(1)
    value = jax.jit(lambda flat: loss(restore(flat))[0])
    for _ in range(3):
        way = jnp.asarray(generator.normal(size=flat.shape))
        central = (value(flat + 1e-6 * way) - value(flat - 1e-6 * way)) / 2e-6
        assert float(own @ way) == pytest.approx(float(central), rel=1e-6)


def test_rates_have_no_derivative():
    network = SpikingNetwork.of(MontbrioPazoRoxin.published(), 50, 0.01)
    slope = jax.jit(jax.grad(lambda current: network.march(network.initial_state(0.5, -0.5), jnp.full(50, current)).rate.mean()))(3.0)
    assert float(slope) == 0.0
