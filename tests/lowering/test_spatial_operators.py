"""Every spatial operator lowers for cpu, cuda and tpu in both precisions, without callbacks and without silent promotion."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from solvers.grid import VoxelGrid
from solvers.space.advection import Advection
from solvers.space.compact import CompactGrid, CompactOperator
from solvers.space.differences import divergence, gradient
from solvers.space.diffusion import Diffusion
from solvers.space.mass import BlendedDiffusion, BlendedMass
from solvers.space.monotone_diffusion import MonotoneDiffusion
from solvers.space.sources import point_source
from solvers.space.tensor_diffusion import TensorDiffusion
from solvers.space.transfer import Transfer, coarsened
from solvers.space.walls import Dirichlet, Periodic, Robin, Walls
from tests.problems import as_type, noise, number, random_tensor, slitted_mask

PLATFORMS = ("cpu", "cuda", "tpu")
GRID = VoxelGrid(slitted_mask((5, 4, 4)), (1.0, 1.3, 0.8))
TENSOR = np.asarray(random_tensor(GRID.shape, 3)) + 0.5 * np.eye(3)
COEFFICIENT = noise(GRID.shape, 1, 0.2, 1.0)


def some_walls():
    return Walls(GRID, {"x-": Dirichlet(1.0), "y": Periodic()}, [(~np.asarray(GRID.mask), Robin(0.4, 2.0))])


def with_source(operator, field):
    return operator.apply(field) + operator.source


VELOCITY = tuple(noise(tuple(n + (a == axis) for a, n in enumerate(GRID.shape)), axis, -1.0, 1.0) for axis in range(3))
COMPACT = CompactGrid(GRID)
CASES = {
    "walls": (lambda: Diffusion(GRID, COEFFICIENT, walls=some_walls()), with_source),
    "walls, order 4": (lambda: Diffusion(GRID, COEFFICIENT, 0.7, 4, walls=some_walls()), with_source),
    "walls, tensor": (lambda: TensorDiffusion(GRID, TENSOR, walls=some_walls(), closure="no flux"), with_source),
    "monotone": (lambda: MonotoneDiffusion(GRID, TENSOR), lambda operator, field: operator.apply(field)),
    "compact": (
        lambda: CompactOperator(COMPACT, Diffusion(GRID, COEFFICIENT)),
        lambda operator, field: operator.apply(COMPACT.pack(field)),
    ),
    "blended": (lambda: BlendedDiffusion(GRID, COEFFICIENT), lambda operator, field: operator.apply(field)),
    "mass": (lambda: BlendedMass(GRID, 0.5), lambda mass, field: mass.solve(field)),
    "advection": (lambda: Advection(GRID, VELOCITY), lambda advection, field: advection.evaluate(field, number(0.0).astype(field.dtype))),
    "transfer": (
        lambda: Transfer(GRID, coarsened(GRID, 1.7)),
        lambda transfer, field: transfer.prolong(transfer.restrict(field), "linear"),
    ),
    "differences": (lambda: jnp.zeros(3), lambda shift, field: divergence(GRID, gradient(GRID, field)) + shift[0]),
    "point source": (lambda: jnp.array([1.2, 0.4, 2.2]), lambda position, field: point_source(GRID, position) * field),
}


@pytest.mark.parametrize("dtype", [jnp.float32, pytest.param(jnp.float64, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) if n == "monotone" else n for n in CASES])
@pytest.mark.quick(2)
def test_program_and_gradient_lower_for_every_platform(name, dtype):
    make, apply = CASES[name]
    operator, field = as_type((make(), GRID.cells(noise(GRID.shape, 2))), dtype)

    def program(operator, field):
        return jax.value_and_grad(lambda field: jnp.sum(apply(operator, field) ** 2))(field)

    exported = export.export(jax.jit(program), platforms=PLATFORMS)(operator, field)
    assert exported.platforms == PLATFORMS
    text = exported.mlir_module()
    assert ("f64" in text) == (dtype == jnp.float64)
    assert "callback" not in text
    value, slopes = jax.jit(program)(operator, field)
    assert value.dtype == slopes.dtype == dtype
