"""Unit fields, the field's strength and the activated volume lower for cpu, cuda and tpu, with gradients and without host callbacks."""

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest
from jax import export

from physics import activated_volume, field_per_milliampere, sphere_lead_field, strength, unit_fields
from tests.electrodes import lead_conductor
from tests.problems import as_type

PLATFORMS = ("cpu", "cuda", "tpu")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.quick(1)
def test_every_platform(dtype):
    with jax.enable_x64(dtype == "float64"):
        frame = as_type(lead_conductor(), dtype)

        def volume(conductivity, current):
            conductor = eqx.tree_at(lambda c: c.conductivity, frame, conductivity)
            field = field_per_milliampere(conductor, unit_fields(conductor))
            grid = conductor.voxels.grid
            size = strength(jnp.einsum("k,kcp->cp", current, field), grid.mask)
            return activated_volume(size, 0.2, grid.mask, grid.voxel_volume)

        arguments = frame.conductivity, jnp.ones(2, dtype)
        exported = export.export(jax.jit(jax.value_and_grad(volume, argnums=(0, 1))), platforms=PLATFORMS)(*arguments)
        text = exported.mlir_module()
    assert exported.platforms == PLATFORMS
    assert "custom_call" not in text.replace("@Sharding", "")
    assert ("f64" in text) == (dtype == "float64")


def test_the_sphere_lowers():
    exported = export.export(jax.jit(sphere_lead_field), platforms=PLATFORMS)(jnp.ones((4, 3)), jnp.zeros((2, 3)), 90.0, 0.33)
    assert exported.platforms == PLATFORMS
