"""Stiff integration, its gradient and its batches lower for cpu, cuda and tpu in the precision of the state."""

import jax
import jax.numpy as jnp
import pytest
from jax import export

from solvers.stiff.linear_structure import Dense
from solvers.stiff.linear_structure_block import BlockDiagonal, Tridiagonal
from solvers.stiff.linear_structure_sparse import banded
from solvers.stiff.rosenbrock_integrate import integrate_stiff

PLATFORMS = ("cpu", "cuda", "tpu")
STRUCTURES = {
    "dense": (Dense(), (3,)),
    "dense with pivoting": (Dense(), (6,)),
    "block diagonal": (BlockDiagonal(), (2, 4)),
    "cable": (Tridiagonal(1), (2, 5)),
    "chain of three": (Tridiagonal(), (3, 4)),
    "banded": (banded(12, 3, 2), (12,)),
}


@pytest.mark.parametrize("name", STRUCTURES)
@pytest.mark.quick(1)
def test_a_batch_of_gradients_lowers_for_every_platform(name):
    """Dense with output times and an event, in both precisions; the others plain, in single."""
    structure, shape = STRUCTURES[name]
    whole = name == "dense"

    def loss(start, rate):
        solution = integrate_stiff(
            lambda t, y, p: -p * y * jnp.cos(t),
            start,
            0.0,
            1.0,
            rate,
            structure=structure,
            save_at=jnp.array([0.5]) if whole else None,
            event=(lambda t, y, p: y[0] - 0.1) if whole else None,
            max_steps=32,
        )
        return solution.final.sum() + (solution.states.sum() if whole else 0)

    for dtype, absent in ((jnp.float32, "f64"), (jnp.float64, "f32"))[: 2 if whole else 1]:
        with jax.enable_x64(dtype == jnp.float64):
            arguments = jnp.ones((4, *shape), dtype), jnp.ones(4, dtype)
            exported = export.export(jax.jit(jax.vmap(jax.value_and_grad(loss))), platforms=PLATFORMS)(*arguments)
            text = exported.mlir_module()
        assert exported.platforms == PLATFORMS
        assert absent not in text
        assert "custom_call" not in text.replace("@Sharding", "")
