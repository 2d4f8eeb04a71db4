"""Oxygen round capillaries and its derivative lower for cpu, cuda and tpu in both precisions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from physics import capillary_bed, exchange_coefficient, oxygen_exchange
from solvers import VoxelGrid

PLATFORMS = ("cpu", "cuda", "tpu")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_mean_pressure_and_its_derivative_lower(dtype):
    with jax.enable_x64(dtype == "float64"):
        grid = VoxelGrid(np.ones((4, 3, 1), bool), 0.01)
        bed = capillary_bed(grid, np.array([[0.02, 0.015, 0.0]]), np.array([[0.02, 0.015, 0.01]]), 0.01)

        def mean(blood, demand):
            d = jnp.asarray(4.2e-8, dtype)
            coefficient = exchange_coefficient(jnp.asarray(1.27e6, dtype), d, 0.005, 0.01)
            return oxygen_exchange(grid, bed, blood, coefficient, d, demand, jnp.asarray(1.0, dtype)).solve().field.mean()

        scalar = jax.ShapeDtypeStruct((), dtype)
        exported = export.export(jax.jit(jax.value_and_grad(mean, argnums=(0, 1))), platforms=PLATFORMS)(scalar, scalar)
        text = exported.mlir_module()
    assert exported.platforms == PLATFORMS
    assert "custom_call" not in text.replace("@Sharding", "")
    assert ("f64" in text) == (dtype == "float64")
