"""A network of spiking neurons, alone and as a batch, lowers for every backend."""

import jax
import jax.numpy as jnp
import pytest

from physics import MontbrioPazoRoxin, SpikingNetwork


@pytest.mark.parametrize("platform", ["cpu", "cuda", "tpu"])
@pytest.mark.parametrize("members", [None, 3])
def test_it_lowers(platform, members):
    network = SpikingNetwork.of(MontbrioPazoRoxin.published(), 64, 0.01, 0.5)
    network = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), network)
    state = network.initial_state(0.1, -2.0)

    def march(currents):
        return network.march(state, currents, every=10).rate

    currents = jnp.zeros(50 if members is None else (members, 50), jnp.float32)
    exported = jax.export.export(jax.jit(march if members is None else jax.vmap(march)), platforms=[platform])(currents)
    assert exported.platforms == (platform,) and exported.out_avals[0].dtype == jnp.float32
