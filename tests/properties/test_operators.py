"""What every diffusion operator keeps on any mask: symmetry, mass, dissipation, and the names of the axes."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from physics import LogisticLogKill
from solvers import (
    Diffusion,
    ExactFlow,
    RungeKuttaChebyshev2,
    Strang,
    TensorDiffusion,
    VoxelGrid,
    simulate,
    stability_limit,
    time_mesh,
)
from tests.problems import OPERATORS, as_type, make_operator, matrix, noise, number, quick_jit, slitted_mask

# A few shapes, one voxel thin included, so that programs are compiled once; masks, spacings and coefficients are drawn.
SHAPES = ((4, 3, 5), (5, 1, 4), (1, 1, 7))
LENGTHS = st.floats(0.2, 5.0)


@st.composite
def grids(draw) -> VoxelGrid:
    shape = draw(st.sampled_from(SHAPES))
    bits = draw(st.lists(st.booleans(), min_size=int(np.prod(shape)), max_size=int(np.prod(shape))).filter(any))
    return VoxelGrid(np.array(bits).reshape(shape), (draw(LENGTHS), draw(LENGTHS), draw(LENGTHS)))


@pytest.mark.parametrize("kind", OPERATORS)
@settings(max_examples=15)
@given(grid=grids(), seed=st.integers(0, 2**31))
@pytest.mark.quick(1)
def test_symmetric_conservative_dissipative_and_bounded(kind, grid, seed):
    operator = make_operator(kind, grid, seed)
    dense = matrix(operator, grid.size)
    size = max(np.abs(dense).max(), 1e-300)
    inactive = ~np.asarray(grid.mask).reshape(-1)
    np.testing.assert_allclose(dense, dense.T, rtol=0, atol=4e-15 * size)
    np.testing.assert_allclose(dense.sum(axis=0), 0, atol=2e-14 * size)
    assert not dense[inactive].any() and not dense[:, inactive].any()
    eigenvalues = np.linalg.eigvalsh((dense + dense.T) / 2)
    assert eigenvalues.max() <= 1e-13 * size
    assert -eigenvalues.min() <= float(operator.spectral_bound()) * (1 + 1e-12)


@pytest.mark.parametrize("kind", OPERATORS)
@pytest.mark.parametrize("axes", [(1, 2, 0), (1, 0, 2)])  # these two generate all six
@pytest.mark.quick(3)
def test_the_names_of_the_axes_do_not_matter(kind, axes):
    mask, spacing = slitted_mask((6, 5, 4)), (1.0, 1.7, 0.6)
    field = np.asarray(noise(mask.shape, 1))
    coefficients = [np.array(noise(mask.shape, 2 + axis, 0.1, 2.0)) for axis in range(3)]
    root = np.random.default_rng(5).normal(size=(*mask.shape, 3, 3))
    tensor = root @ np.swapaxes(root, -1, -2)

    def change(axes):
        turned = [np.transpose(values, axes) for values in (mask, field, *coefficients)]
        grid = VoxelGrid(turned[0], tuple(spacing[a] for a in axes))
        if kind == "tensor":
            operator = TensorDiffusion(grid, np.transpose(tensor, (*axes, 3, 4))[..., axes, :][..., :, axes])
        elif kind == "orthotropic":
            operator = Diffusion(grid, tuple(jnp.asarray(turned[2 + a]) for a in axes))
        else:
            operator = Diffusion(grid, jnp.asarray(turned[2]), interior_order=int(kind[-1]))
        return np.asarray(grid.volume(operator.apply(grid.cells(jnp.asarray(turned[1])))))

    expected = change((0, 1, 2))
    np.testing.assert_allclose(change(axes), np.transpose(expected, axes), rtol=0, atol=1e-13 * np.abs(expected).max())


@pytest.mark.parametrize(("dtype", "drift"), [(jnp.float64, 1e-12), (jnp.float32, 1e-5)])
@pytest.mark.parametrize("kind", OPERATORS)
@pytest.mark.quick(2)
def test_mass_after_a_thousand_steps_on_a_mask_with_slits(kind, dtype, drift):
    """Acceptance 5 of the first slice."""
    grid = VoxelGrid(slitted_mask((9, 8, 7)), (2.0, 1.5, 2.5))
    operator = make_operator(kind, grid, 3)
    step = 0.9 * stability_limit(2) / float(operator.spectral_bound())
    mesh = time_mesh(0.0, [1000 * step], step)
    assert mesh.steps == 1000
    stepper, start = as_type((RungeKuttaChebyshev2(operator, 2), grid.cells(noise(grid.shape, 4))), dtype)
    solution = quick_jit(lambda stepper, start: simulate(stepper, start, mesh))(stepper, start)
    solution.raise_for_status()
    assert solution.final.dtype == dtype
    before, after = (np.asarray(state, dtype=np.float64) for state in (start, solution.final))
    assert np.abs(after - before).max() > 0.1
    assert abs(after.sum() / before.sum() - 1) <= drift


@pytest.mark.parametrize("share", [0.3, 0.7, 1.0])
def test_two_stages_at_order_two_never_go_below_zero(share):
    """Within the stability limit, from the worst start there is: single voxels of one, and random coefficients."""
    grid = VoxelGrid(slitted_mask((6, 5, 5)), (1.0, 1.2, 0.9))
    operator = Diffusion(grid, noise(grid.shape, 1, 0.0, 3.0))
    stepper = RungeKuttaChebyshev2(operator, 2)
    length = number(share * stability_limit(2)) / operator.spectral_bound()
    assert bool(stepper.stable(length))
    after = stepper.advance(jnp.eye(grid.size), number(0.0), length)
    assert float(after.min()) >= 0
    assert float(after.max()) <= 1


@pytest.mark.parametrize("kind", OPERATORS)
@pytest.mark.quick(1)
def test_a_constant_state_follows_the_logistic_law_on_every_grid(kind):
    finals = []
    for shape, h in (((3, 4, 2), 2.0), ((6, 8, 4), 1.0)):
        coarse = slitted_mask((6, 8, 4))[::2, ::2, ::2] | True
        mask = coarse if h == 2.0 else np.kron(coarse, np.ones((2, 2, 2), bool))
        assert mask.shape == shape
        grid = VoxelGrid(mask, h)

        def run(start, grid=grid):
            operator = eqx.tree_at(lambda operator: operator.scale, make_operator(kind, grid), number(0.01))
            stepper = Strang(ExactFlow(LogisticLogKill(number(0.3))), RungeKuttaChebyshev2(operator, 3))
            return simulate(stepper, start, time_mesh(0.0, [4.0], 1.0))

        solution = quick_jit(run)(jnp.full(mask.size, 0.2) * mask.reshape(-1))
        solution.raise_for_status()
        finals.append(np.asarray(solution.final)[mask.reshape(-1)])
    exact = 0.2 / (0.2 + 0.8 * np.exp(-1.2))
    for final in finals:
        np.testing.assert_allclose(final, exact, rtol=1e-13)


def test_pieces_that_do_not_touch_keep_their_own_mass():
    mask = np.ones((7, 4, 3), bool)
    mask[3] = False
    grid = VoxelGrid(mask, 1.0)
    start = noise((7, 4, 3), 1)
    operator = Diffusion(grid, 1.0, interior_order=4)
    final = grid.volume(RungeKuttaChebyshev2(operator, 4).advance(grid.cells(start), number(0.0), number(0.4)))
    assert float(final[:3].sum()) == pytest.approx(float(start[:3].sum()), rel=1e-14)
    assert float(final[4:].sum()) == pytest.approx(float(start[4:].sum()), rel=1e-14)
    assert not jax.device_get(final[3]).any()
