"""The monotone operator against closed forms: order two inside with oblique tensors, and never below zero."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from solvers.grid import VoxelGrid
from solvers.space.monotone_diffusion import MonotoneDiffusion
from solvers.space.tensor_diffusion import TensorDiffusion
from tests.problems import quick_jit, random_tensor, slitted_mask, slope


def tensor(x):
    """Principal axes that turn through 45 degrees to the grid, anisotropy up to 5:1 and varying."""
    angle = 0.6 + 0.3 * jnp.sin(x[0]) * jnp.cos(x[1])
    along, across = 2 + jnp.sin(x[0] + 0.5 * x[1]), 0.6 + 0.1 * jnp.cos(x[1] - x[0])
    first, second = jnp.array([jnp.cos(angle), jnp.sin(angle), 0.0]), jnp.array([-jnp.sin(angle), jnp.cos(angle), 0.0])
    return along * jnp.outer(first, first) + across * jnp.outer(second, second) + jnp.diag(jnp.array([0.0, 0.0, 0.7]))


def bump(x):
    return jnp.exp(-2 * ((x[0] - 2.9) ** 2 + 0.7 * (x[1] - 3.1) ** 2))


def divergence(x):
    return jnp.trace(jax.jacfwd(lambda x: tensor(x) @ jax.grad(bump)(x))(x))


@pytest.mark.slow
def test_a_tensor_that_turns_is_of_order_two_in_the_mean():
    """Where a weight of the decomposition vanishes it has a kink, along which the local error is larger: hence the mean."""
    errors, counts = [], (24, 36, 54, 81)
    for n in counts:
        grid = VoxelGrid(np.ones((n, n, 1), bool), (6 / n, 6 / n, 1.0))
        x = (np.arange(n) + 0.5) * 6 / n
        points = jnp.asarray(np.stack(np.meshgrid(x, x, [0.0], indexing="ij"), axis=-1)).reshape(-1, 3)
        tensors = quick_jit(jax.vmap(tensor))(points).reshape(*grid.shape, 3, 3)
        operator = MonotoneDiffusion(grid, tensors)

        def error(points, operator=operator):
            return jnp.abs(operator.apply(jax.vmap(bump)(points)) - jax.vmap(divergence)(points)).mean()

        errors.append(float(quick_jit(error)(points)))
    assert slope(1 / np.array(counts), errors) == pytest.approx(2, abs=0.2)


@pytest.mark.slow
def test_moments_of_an_oblique_heat_kernel_are_exact():
    """One Euler step from a point: mass, centre and a covariance of twice the tensor, in three dimensions and unequal voxels."""
    spacing = (1.0, 1.2, 0.9)
    given = np.array([[0.5, 0.25, 0.1], [0.25, 0.4, 0.05], [0.1, 0.05, 0.3]])
    grid = VoxelGrid(np.ones((9, 9, 9), bool), spacing)
    operator = MonotoneDiffusion(grid, np.broadcast_to(given, (9, 9, 9, 3, 3)), 2.0)
    start = np.zeros((9, 9, 9))
    start[4, 4, 4] = 1
    change = np.asarray(grid.volume(operator.apply(jnp.asarray(start.reshape(-1)))))
    offsets = np.stack(np.meshgrid(*[(np.arange(9) - 4) * h for h in spacing], indexing="ij"))
    assert change.sum() == pytest.approx(0, abs=1e-14)
    np.testing.assert_allclose(np.einsum("axyz,xyz->a", offsets, change), 0, atol=1e-14)
    np.testing.assert_allclose(np.einsum("axyz,bxyz,xyz->ab", offsets, offsets, change), 2 * 2.0 * given, atol=1e-13)


@pytest.mark.slow
def test_the_maximum_principle_where_the_tensor_operator_breaks_it():
    """Anisotropy 10:1 at 45 degrees on an irregular mask: every entry off the diagonal is nonnegative."""
    direction = np.array([1.0, 1.0, 0.3]) / np.linalg.norm([1.0, 1.0, 0.3])
    given = np.broadcast_to(0.1 * np.eye(3) + 0.9 * np.outer(direction, direction), (7, 6, 5, 3, 3))
    grid = VoxelGrid(slitted_mask((7, 6, 5)), (1.0, 1.1, 0.9))
    monotone, plain = MonotoneDiffusion(grid, given), TensorDiffusion(grid, given)
    starts = jnp.eye(grid.size)
    after = starts + monotone.apply(starts) / jnp.max(-monotone.diagonal())
    assert float(after.min()) >= 0 and float(after.max()) <= 1
    assert float((starts + plain.apply(starts) / plain.spectral_bound()).min()) < -0.01


@pytest.mark.parametrize("anisotropy", [1.0, 3.0, 5.0, 30.0, 300.0])
def test_selling_s_decomposition_rebuilds_random_tensors(anisotropy):
    """Weights nonnegative, directions whole, the sum the tensor; near neighbours only while the anisotropy is moderate."""
    from solvers.space.monotone_diffusion import _decomposed, _obtuse_bases

    random = np.random.default_rng(0)
    rotations = np.linalg.qr(random.normal(size=(500, 3, 3)))[0]
    tensors = rotations @ np.diag([anisotropy, 1.0, 1.0]) @ np.swapaxes(rotations, 1, 2)
    weights, edges = quick_jit(lambda t: _decomposed(t, _obtuse_bases(t)))(jnp.asarray(tensors))
    rebuilt = np.einsum("kn,akn,bkn->nab", weights, edges, edges)
    np.testing.assert_allclose(rebuilt, tensors, atol=1e-9 * anisotropy)
    assert float(weights.min()) >= 0
    np.testing.assert_array_equal(edges, np.round(edges))
    reach = np.abs(np.asarray(edges)[:, np.asarray(weights) > 1e-9]).max()
    assert reach == 1 if anisotropy <= 5 else reach <= 1.2 * np.sqrt(anisotropy)


@pytest.mark.slow
def test_directions_given_beforehand_serve_a_traced_tensor():
    grid = VoxelGrid(slitted_mask((5, 4, 4)), 1.0)
    tensors = jnp.asarray(np.asarray(random_tensor(grid.shape, 1)) + 0.5 * np.eye(3))
    known = MonotoneDiffusion(grid, tensors)
    traced = quick_jit(lambda t: MonotoneDiffusion(grid, t, directions=known.directions))(tensors)
    assert float(traced.lost) <= 1e-12
    field = jnp.ones(grid.size).at[3].set(2.0) * grid.mask.reshape(-1)
    np.testing.assert_allclose(traced.apply(field), known.apply(field), atol=1e-12)
    fewer = quick_jit(lambda t: MonotoneDiffusion(grid, t, directions=known.directions[:5]))(tensors)
    assert float(fewer.lost) > 0.1
