"""The masked diffusion operator against a sparse matrix that a loop over faces assembles."""

import itertools

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse

from solvers import Diffusion, TensorDiffusion, VoxelGrid
from tests.problems import matrix, noise, random_tensor, slitted_mask

SPACING = (1.0, 1.7, 0.6)


def assembled(mask, spacing, per_axis) -> scipy.sparse.csr_array:
    """Face by face: what leaves one voxel enters its neighbour."""
    number = np.arange(mask.size).reshape(mask.shape)
    entries = scipy.sparse.dok_array((mask.size, mask.size))
    for voxel in itertools.product(*map(range, mask.shape)):
        for axis in range(3):
            other = tuple(index + (a == axis) for a, index in enumerate(voxel))
            if other[axis] == mask.shape[axis] or not (mask[voxel] and mask[other]):
                continue
            here, there = per_axis[axis][voxel], per_axis[axis][other]
            conductance = 0.0 if here * there == 0 else 2.0 / (1.0 / here + 1.0 / there) / spacing[axis] ** 2
            i, j = number[voxel], number[other]
            entries[i, i] -= conductance
            entries[j, j] -= conductance
            entries[i, j] += conductance
            entries[j, i] += conductance
    return entries.tocsr()


@pytest.mark.parametrize("orthotropic", [False, True])
def test_order_two(orthotropic):
    mask = slitted_mask((7, 6, 8))
    grid = VoxelGrid(mask, SPACING)
    per_axis = [np.array(noise(mask.shape, seed, 0.01, 5.0)) for seed in range(3 if orthotropic else 1)]
    per_axis[0][4, 3, 4] = 0.0
    operator = Diffusion(grid, tuple(map(jnp.asarray, per_axis)) if orthotropic else jnp.asarray(per_axis[0]), 0.3)
    expected = 0.3 * assembled(mask, SPACING, per_axis * (1 if orthotropic else 3))
    field = np.asarray(grid.cells(noise(mask.shape, 9)))
    np.testing.assert_allclose(operator.apply(jnp.asarray(field)), expected @ field, rtol=0, atol=1e-14 * abs(expected).max())
    np.testing.assert_allclose(matrix(operator, grid.size), expected.toarray(), rtol=0, atol=1e-14 * abs(expected).max())


def test_order_four():
    mask = slitted_mask((7, 6, 8))
    coefficient = np.asarray(noise(mask.shape, 0, 0.01, 5.0))
    operator = Diffusion(VoxelGrid(mask, SPACING), jnp.asarray(coefficient), 0.3, interior_order=4)
    nothing = np.zeros(mask.shape)
    expected = 0
    for axis in range(3):
        along = assembled(mask, SPACING, [coefficient if a == axis else nothing for a in range(3)])
        inverse = scipy.sparse.diags_array(SPACING[axis] ** 2 / 12 / coefficient.reshape(-1))
        expected = expected + 0.3 * (along - along @ inverse @ along)
    np.testing.assert_allclose(matrix(operator, mask.size), expected.toarray(), rtol=0, atol=1e-14 * abs(expected).max())


def test_tensor_is_the_gradient_of_the_energy_of_all_one_sided_differences():
    """The documented energy, built voxel by voxel and octant by octant; also with a tensor that is diagonal."""
    mask = slitted_mask((5, 5, 6))
    tensor = np.asarray(random_tensor(mask.shape, 2))
    number = np.arange(mask.size).reshape(mask.shape)
    energy = scipy.sparse.csr_array((mask.size, mask.size))
    for voxel in map(tuple, np.argwhere(mask)):
        for signs in itertools.product((-1, 1), repeat=3):
            gradient = scipy.sparse.dok_array((3, mask.size))
            for axis, sign in enumerate(signs):
                other = tuple(index + sign * (a == axis) for a, index in enumerate(voxel))
                if 0 <= other[axis] < mask.shape[axis] and mask[other]:
                    gradient[axis, number[other]] = sign / SPACING[axis]
                    gradient[axis, number[voxel]] = -sign / SPACING[axis]
            gradient = gradient.tocsr()
            energy = energy + gradient.T @ scipy.sparse.csr_array(tensor[voxel] / 8) @ gradient
    operator = TensorDiffusion(VoxelGrid(mask, SPACING), jnp.asarray(tensor), 0.3)
    expected = -0.3 * energy.toarray()
    np.testing.assert_allclose(matrix(operator, mask.size), expected, rtol=0, atol=1e-13 * np.abs(expected).max())
