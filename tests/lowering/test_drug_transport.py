"""A step of a drug, by voxels and by the learned law, and its derivative lower for cpu, cuda and tpu in both precisions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from physics import Binding, CapillaryExchange, DrugTransport
from solvers import VoxelGrid
from twinsim.closures.drug_exchange import DrugLaw, DrugVoxels

PLATFORMS = ("cpu", "cuda", "tpu")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("scale", ["voxels", "zones"])
def test_a_step_and_its_derivative_lower(dtype, scale):
    with jax.enable_x64(dtype == "float64"):

        def one(value):
            return jnp.asarray(value, dtype)

        def stepper(dose):
            if scale == "zones":
                many = DrugVoxels(*(jnp.full(2, value, dtype) for value in (60.0, 0.06, 0.07, 1e-5, 1e5, 0.4, 0.1, 1e-3, 1e-5, 1.0)))
                return DrugLaw.create(0, many, 0.005).zones(many, lambda _: dose)
            grid = VoxelGrid(np.ones((4, 3, 1), bool), 0.01)
            exchange = jnp.zeros(12, dtype).at[5].set(0.1)
            problem = CapillaryExchange(grid, one(1e-5), exchange, exchange, 0 * exchange, one(1.0), 0 * exchange, (True, True, False))
            return DrugTransport(problem, 0 * exchange + 1, Binding(*map(one, (0.4, 0.1, 1e-3, 1e-5, 1.0))), lambda _: dose)

        def taken_up(dose, length):
            of = stepper(dose)
            return of.advance(of.start().astype(dtype), jnp.zeros((), dtype), length)[1].mean()

        scalar = jax.ShapeDtypeStruct((), dtype)
        exported = export.export(jax.jit(jax.value_and_grad(taken_up)), platforms=PLATFORMS)(scalar, scalar)
        text = exported.mlir_module()
    assert exported.platforms == PLATFORMS
    assert "custom_call" not in text.replace("@Sharding", "")
    assert ("f64" in text) == (dtype == "float64")
