"""Arteries and voxels together lower for every backend."""

import jax
import jax.numpy as jnp
import pytest

from tests.segments import segment


@pytest.mark.parametrize("platform", ["cpu", "cuda", "tpu"])
@pytest.mark.quick(1)
def test_it_lowers(platform):
    model = segment(voxels=5, length=6, cells=4)
    one, length = model.stepper(), model.step
    state = model.initial_state()
    exported = jax.export.export(jax.jit(lambda state: one.advance(state, jnp.zeros(()), length)), platforms=[platform])(state)
    assert exported.platforms == (platform,)
