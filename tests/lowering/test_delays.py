"""A network with delays, its gradient, and a batch of networks lower for every backend."""

import jax
import jax.numpy as jnp
import pytest

from physics import NEURAL_MASSES, BrainNetwork, synthetic_connectome, usual_coupling


@pytest.mark.parametrize("platform", ["cpu", "cuda", "tpu"])
@pytest.mark.parametrize("members", [None, 3])
@pytest.mark.quick(3)
def test_it_lowers(platform, members):
    edges = synthetic_connectome(8).edges(4.0, 0.1)
    network = BrainNetwork(NEURAL_MASSES["montbrio_pazo_roxin"](), usual_coupling("montbrio_pazo_roxin", 0.1), edges, 0.1)

    def loss(state):
        return jnp.sum(network.march(state, 70, every=10, mean=True).states ** 2)

    network = jax.tree.map(lambda leaf: leaf.astype(jnp.float32) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf, network)
    state = network.initial_state(members)
    exported = jax.export.export(jax.jit(jax.value_and_grad(loss)), platforms=[platform])(state)
    assert exported.platforms == (platform,)
