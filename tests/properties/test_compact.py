"""The compact form is the dense one on the active voxels: values, gradients, bounds, on any mask."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solvers.grid import VoxelGrid
from solvers.space.compact import CompactGrid, CompactOperator, representation_for
from solvers.space.diffusion import Diffusion
from solvers.space.mass import BlendedDiffusion
from solvers.space.monotone_diffusion import MonotoneDiffusion
from solvers.space.walls import Dirichlet, Periodic, Robin, Walls
from tests.problems import noise, quick_jit, random_tensor, slitted_mask

SHAPE = (5, 4, 4)


def tensors():
    return jnp.asarray(np.asarray(random_tensor(SHAPE, 3)) + 0.5 * np.eye(3))


def walls(grid):
    return Walls(grid, {"x": Periodic(), "y-": Dirichlet(1.0)}, [(~np.asarray(grid.mask), Robin(0.4, 2.0))])


KINDS = {
    "order 2": lambda grid, c: Diffusion(grid, c, 0.7),
    "order 4": lambda grid, c: Diffusion(grid, c, 0.7, interior_order=4),
    "walls": lambda grid, c: Diffusion(grid, c, 0.7, loss=grid.cells(c), walls=walls(grid)),
    "walls, order 4": lambda grid, c: Diffusion(grid, c, 0.7, 4, walls=walls(grid)),
    "monotone": lambda grid, c: MonotoneDiffusion(grid, tensors(), c[2, 2, 2]),
    "blended": lambda grid, c: BlendedDiffusion(grid, c, 0.7),
}


def mask_with_ends():
    mask = slitted_mask(SHAPE)
    mask[[0, -1], 1, 2] = True
    return mask


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.quick(1)
def test_equal_to_the_dense_operator(kind):
    grid = VoxelGrid(mask_with_ends(), (1.0, 1.3, 0.8))
    dense = KINDS[kind](grid, noise(SHAPE, 1, 0.2, 1.0))
    compact = CompactGrid(grid)
    operator = CompactOperator(compact, dense)
    fields = jnp.where(grid.mask.reshape(1, -1), noise((3, grid.size), 2), 0)
    packed = compact.pack(fields)
    assert packed.shape == (3, int(grid.mask.sum()))
    np.testing.assert_array_equal(compact.unpack(packed), fields)
    found = operator.apply(packed)
    size = np.abs(dense.apply(fields)).max()
    np.testing.assert_allclose(compact.unpack(found), dense.apply(fields), atol=1e-14 * size)
    np.testing.assert_allclose(compact.unpack(operator.diagonal()), dense.diagonal() * grid.mask.reshape(-1), atol=1e-13 * size)
    assert float(operator.spectral_bound()) == pytest.approx(float(dense.spectral_bound()), rel=1e-12)
    if operator.source is not None:
        np.testing.assert_allclose(compact.unpack(operator.source), dense.source, atol=1e-14)


@settings(max_examples=15)
@given(bits=st.lists(st.booleans(), min_size=60, max_size=60).filter(any), seed=st.integers(0, 2**31))
@pytest.mark.slow
def test_on_any_mask(bits, seed):
    grid = VoxelGrid(np.array(bits).reshape(5, 3, 4), (1.0, 2.0, 0.5))
    dense = Diffusion(grid, noise(grid.shape, seed, 0.0, 2.0))
    compact = CompactGrid(grid)
    field = grid.cells(noise(grid.shape, seed + 1))
    found = compact.unpack(CompactOperator(compact, dense).apply(compact.pack(field)))
    np.testing.assert_allclose(found, dense.apply(field), atol=1e-12)


@pytest.mark.parametrize("kind", ["order 2", "order 4", "walls"])
@pytest.mark.quick(1)
def test_gradients_are_those_of_the_dense_operator(kind):
    """With respect to the field and the coefficient, through the rules of the gathering primitive; second derivatives too."""
    grid = VoxelGrid(mask_with_ends(), (1.0, 1.3, 0.8))
    compact = CompactGrid(grid)
    coefficient, field = noise(SHAPE, 1, 0.2, 1.0), grid.cells(noise(SHAPE, 2))

    def dense_energy(coefficient, field):
        return jnp.sum(KINDS[kind](grid, coefficient).apply(field) ** 3)

    def compact_energy(coefficient, field):
        return jnp.sum(CompactOperator(compact, KINDS[kind](grid, coefficient)).apply(compact.pack(field)) ** 3)

    found, expected = (quick_jit(jax.grad(f, argnums=(0, 1)))(coefficient, field) for f in (compact_energy, dense_energy))
    active = np.asarray(grid.mask)
    np.testing.assert_allclose(np.asarray(found[0])[active], np.asarray(expected[0])[active], rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(found[1], expected[1] * active.reshape(-1), rtol=1e-10, atol=1e-10)

    def along(f):
        step = grid.cells(noise(SHAPE, 5))
        return jax.jvp(lambda u: jax.grad(f, argnums=1)(coefficient, u), (field,), (step,))[1]

    np.testing.assert_allclose(along(compact_energy), along(dense_energy) * active.reshape(-1), rtol=1e-9, atol=1e-9)


@pytest.mark.slow
def test_batches_of_coefficients_and_fields():
    grid = VoxelGrid(slitted_mask(SHAPE), 1.0)
    compact = CompactGrid(grid)
    coefficients, fields = noise((3, *SHAPE), 1, 0.2, 1.0), compact.pack(noise((3, grid.size), 2))

    def change(coefficient, field):
        return CompactOperator(compact, Diffusion(grid, coefficient)).apply(field)

    expected = jnp.stack([change(c, u) for c, u in zip(coefficients, fields, strict=True)])
    np.testing.assert_allclose(jax.vmap(change)(coefficients, fields), expected, atol=1e-13)
    one = CompactOperator(compact, Diffusion(grid, coefficients[0]))
    np.testing.assert_allclose(jax.vmap(one.apply, 1, 1)(fields.T), one.apply(fields).T, atol=1e-13)
    slopes = jax.vmap(jax.grad(lambda c, u: jnp.sum(change(c, u) ** 2), argnums=(0, 1)))(coefficients, fields)
    assert all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(slopes))


def test_no_scatter_in_the_gradient():
    """The point of the primitive: plain reverse mode through gathers scatters."""
    grid = VoxelGrid(slitted_mask(SHAPE), 1.0)
    compact = CompactGrid(grid)
    operator = CompactOperator(compact, Diffusion(grid, 1.0))
    dynamic, static = eqx.partition(operator, eqx.is_inexact_array)

    def energy(dynamic, field):
        return jnp.sum(eqx.combine(dynamic, static).apply(field) ** 2)

    text = jax.jit(jax.grad(energy, argnums=(0, 1))).lower(dynamic, compact.pack(jnp.ones(grid.size))).as_text()
    assert "scatter" not in text and "gather" in text


def test_the_choice_follows_the_fill_fraction():
    full, sparse = np.ones(SHAPE, bool), np.zeros(SHAPE, bool)
    sparse[2, 1:3, 1:3] = True
    assert representation_for(VoxelGrid(full, 1.0)) == "dense"
    assert representation_for(VoxelGrid(sparse, 1.0)) == "compact"
    assert representation_for(VoxelGrid(sparse, 1.0), compact_below=0.01) == "dense"
