"""Elliptic solves, their derivatives and the box transforms lower for cpu, cuda and tpu in both precisions, without host callbacks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from solvers.grid import VoxelGrid
from solvers.linear.components import connected_components
from solvers.linear.elliptic import solve_elliptic
from solvers.linear.multigrid import multigrid
from solvers.linear.transforms import BoxSolver
from solvers.space.diffusion import Diffusion
from tests.problems import noise, slitted_mask

PLATFORMS = ("cpu", "cuda", "tpu")
SHAPE = (5, 4, 3)
GRID = VoxelGrid(slitted_mask(SHAPE), 1.0)
BOX = VoxelGrid(np.ones(SHAPE, bool), 1.0)
PIECES = connected_components(Diffusion(GRID, np.ones(SHAPE)))


def shifted(coefficient, source):
    return jnp.sum(solve_elliptic(Diffusion(GRID, coefficient), source, 0.3).field ** 2)


def singular(coefficient, source):
    operator = Diffusion(GRID, coefficient)
    return solve_elliptic(operator, source, preconditioner=multigrid(operator), components=PIECES).field


def box(coefficient, source):
    return BoxSolver(BOX, coefficient[0, 0, 0], ("no flux", "periodic", "dirichlet")).solve(0.1, source)


PROGRAMS = {
    "value and gradients of a shifted solve": jax.value_and_grad(shifted, argnums=(0, 1)),
    "batch of singular solves": jax.vmap(singular, (None, 0)),
    "box": box,
}


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.quick(3)
def test_every_platform(name, dtype):
    with jax.enable_x64(dtype == "float64"):
        source = jnp.asarray(noise((60,), 2), dtype)
        arguments = jnp.asarray(noise(SHAPE, 1, 0.5, 2.0), dtype), jnp.stack([source] * 2) if "batch" in name else source
        exported = export.export(jax.jit(PROGRAMS[name]), platforms=PLATFORMS)(*arguments)
        text = exported.mlir_module()
    assert exported.platforms == PLATFORMS
    assert "custom_call" not in text.replace("@Sharding", "")
    assert ("f64" in text) == (dtype == "float64")
