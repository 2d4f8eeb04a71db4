"""What diffusion does in closed form: mass, moments, and the steady flux through layers."""

import jax.numpy as jnp
import numpy as np
import pytest

from solvers import Diffusion, RungeKuttaChebyshev2, TensorDiffusion, VoxelGrid, simulate, time_mesh
from tests.problems import quick_jit

SHAPE, SPACING, CENTRE, SPAN = (27, 25, 23), (1.0, 1.2, 0.9), (13, 12, 11), 0.6
TENSOR = np.array([[0.5, 0.2, 0.1], [0.2, 0.4, 0.05], [0.1, 0.05, 0.3]])


@pytest.fixture(scope="module")
def grid() -> VoxelGrid:
    return VoxelGrid(np.ones(SHAPE, bool), SPACING)


@pytest.mark.parametrize("kind", ["order 2", "orthotropic", "order 4", "tensor"])
@pytest.mark.quick(2)
def test_heat_kernel_keeps_its_mass_and_centre_and_its_covariance_grows_by_twice_the_tensor(grid, kind):
    """A point source away from walls: the stencils are exact on quadratics, so the covariance is $2Dt$ to round-off."""
    tensor = TENSOR if kind == "tensor" else np.diag([0.5, 0.4, 0.3]) if kind == "orthotropic" else 0.4 * np.eye(3)
    if kind == "tensor":
        operator = TensorDiffusion(grid, np.broadcast_to(tensor, (*SHAPE, 3, 3)))
    elif kind == "orthotropic":
        operator = Diffusion(grid, (0.5, 0.4, 0.3))
    else:
        operator = Diffusion(grid, 0.4, interior_order=int(kind[-1]))
    start = np.zeros(SHAPE)
    start[CENTRE] = 2.0
    mesh = time_mesh(0.0, [SPAN], SPAN / 2)
    solution = quick_jit(lambda state: simulate(RungeKuttaChebyshev2(operator, 2), state, mesh))(jnp.asarray(start.reshape(-1)))
    solution.raise_for_status()
    final = np.asarray(solution.final).reshape(SHAPE)
    assert final.sum() == pytest.approx(2.0, rel=1e-13)
    offsets = np.stack(np.meshgrid(*[(np.arange(n) - c) * h for n, c, h in zip(SHAPE, CENTRE, SPACING)], indexing="ij"))
    np.testing.assert_allclose(np.einsum("axyz,xyz->a", offsets, final), 0, atol=1e-12)
    covariance = np.einsum("axyz,bxyz,xyz->ab", offsets, offsets, final) / 2.0
    np.testing.assert_allclose(covariance, 2 * SPAN * tensor, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_two_layers_carry_the_exact_steady_flux(axis):
    r"""A flux $F$ through layers of 5 and 0.01: $u$ is piecewise linear, and harmonic faces give $F$ at every face, the jump's too."""
    cells, h, flux = 12, 0.7, 0.3
    spacing = tuple(h if a == axis else 1.0 for a in range(3))
    along = [-1 if a == axis else 1 for a in range(3)]
    diffusivity = np.where(np.arange(cells) < 5, 5.0, 0.01)
    edges = np.concatenate([[0.0], np.cumsum(flux * h / diffusivity)])
    field = (edges[1:] + edges[:-1]) / 2
    grid = VoxelGrid(np.ones(np.reshape(field, along).shape, bool), spacing)
    change = np.asarray(Diffusion(grid, jnp.asarray(diffusivity.reshape(along))).apply(jnp.asarray(field)))
    expected = np.zeros(cells)
    expected[0], expected[-1] = flux / h, -flux / h
    np.testing.assert_allclose(change, expected, atol=1e-12)


def test_a_voxel_without_diffusion_is_a_wall():
    grid = VoxelGrid(np.ones((3, 1, 1), bool), 1.0)
    change = Diffusion(grid, jnp.array([1.0, 0.0, 1.0]).reshape(3, 1, 1)).apply(jnp.array([1.0, 5.0, 2.0]))
    np.testing.assert_array_equal(change, 0)
