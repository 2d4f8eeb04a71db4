"""Tensors of cell problems left early, and their derivatives, lower for cpu, cuda and tpu in both precisions."""

import jax
import jax.numpy as jnp
import pytest
from jax import export

from solvers import truncated_tensors

PLATFORMS = ("cpu", "cuda", "tpu")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.quick(1)
def test_early_tensors_and_their_derivatives_lower(dtype):
    with jax.enable_x64(dtype == "float64"):
        program = jax.value_and_grad(lambda cell: jnp.trace(truncated_tensors(cell, 1)[-1]))
        exported = export.export(jax.jit(program), platforms=PLATFORMS)(jax.ShapeDtypeStruct((2, 4, 2), dtype))
        text = exported.mlir_module()
    assert exported.platforms == PLATFORMS
    assert "custom_call" not in text.replace("@Sharding", "")
    assert ("f64" in text) == (dtype == "float64")
