"""The slope of a rhythm's period lowers for every backend."""

import jax
import jax.numpy as jnp
import pytest

from solvers import periodic_orbit


@pytest.mark.parametrize("platform", ["cpu", "cuda", "tpu"])
def test_it_lowers(platform):
    def rates(growth, state):
        turned = jnp.stack([-state[1], state[0]])
        return (growth - jnp.sum(state**2)) * state + (2 - jnp.sum(state**2)) * turned

    def period(growth):
        return periodic_orbit(rates, growth, jnp.asarray([0.9, 0.1], jnp.float32), 6.0, jnp.ones(2, jnp.float32), 50).period

    exported = jax.export.export(jax.jit(jax.value_and_grad(period)), platforms=[platform])(jnp.asarray(1.0, jnp.float32))
    assert exported.platforms == (platform,)
