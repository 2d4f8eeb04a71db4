"""Coronary flow and its draws lower for cpu, cuda and tpu."""

import jax
import jax.numpy as jnp
import pytest

from physics.coronary_flow import reserve_slopes
from tests.coronaries import AORTA, VEIN, diseased, hyperaemia
from twinsim.coronary_reserve import reserve_draws


@pytest.mark.parametrize("platform", ["cpu", "cuda", "tpu"])
def test_lowers(platform):
    tree, beds = diseased(), hyperaemia()

    def program(tree, beds, key):
        drawn = reserve_draws(tree, beds, key, 8, jnp.asarray(0.2), jnp.asarray(0.3), True)
        return drawn.reserve, reserve_slopes(tree, beds.resistances(tree), AORTA, VEIN)

    exported = jax.export.export(jax.jit(program), platforms=[platform])(tree, beds, jax.random.key(0))
    assert exported.platforms == (platform,)
