"""Gradients of simulated brains with respect to masses, weights and coupling against central differences."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from physics import NEURAL_MASSES, BrainNetwork, WhiteNoise, synthetic_connectome, usual_coupling


@pytest.mark.slow
@pytest.mark.parametrize("name", ["montbrio_pazo_roxin", "epileptor_plane", "jansen_rit", "kuramoto"])
def test_against_central_differences(name):
    mass = NEURAL_MASSES[name]()
    edges = synthetic_connectome(6).edges(4.0, 0.1)
    network = BrainNetwork(mass, usual_coupling(name, 0.2), edges, 0.1)
    noise = WhiteNoise(jax.random.key(0), jnp.full(len(mass.names), 1e-4), (len(mass.names), 6), 0.1)
    state = network.initial_state() * (1 + 0.1 * jnp.sin(jnp.arange(6.0)))[None] + 0.01
    parts = (eqx.filter((network, noise), eqx.is_inexact_array), state)
    fixed = eqx.filter((network, noise), eqx.is_inexact_array, inverse=True)
    flat, restore = jax.flatten_util.ravel_pytree(parts)

    @jax.jit
    def loss(flat):
        moving, state = restore(flat)
        network, noise = eqx.combine(moving, fixed)
        states = network.march(state, 120, noise=noise, every=10, mean=True).states
        return jnp.sum(states**2 * jnp.cos(jnp.arange(states.size).reshape(states.shape)))

    gradient = jax.jit(jax.grad(loss))(flat)
    generator = np.random.default_rng(1)
    for _ in range(3):
        way = jnp.asarray(generator.normal(size=flat.shape)) * jnp.maximum(jnp.abs(flat), 1e-3)
        central = (loss(flat + 1e-5 * way) - loss(flat - 1e-5 * way)) / 2e-5
        assert float(gradient @ way) == pytest.approx(float(central), rel=1e-6)
