"""What every spatial operator keeps on any mask: symmetry, mass, sign, the names of the axes, and the size of the empty box around."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solvers.grid import VoxelGrid
from solvers.space.advection import Advection
from solvers.space.diffusion import Diffusion
from solvers.space.mass import BlendedDiffusion, BlendedMass
from solvers.space.monotone_diffusion import MonotoneDiffusion
from solvers.space.tensor_diffusion import TensorDiffusion
from solvers.space.walls import Dirichlet, Neumann, Periodic, Robin, Walls
from tests.problems import matrix, noise, number, quick_jit, slitted_mask

LENGTHS = st.floats(0.2, 5.0)


@st.composite
def grids(draw) -> VoxelGrid:
    shape = draw(st.sampled_from(((4, 3, 5), (5, 1, 4), (2, 1, 7))))
    bits = draw(st.lists(st.booleans(), min_size=int(np.prod(shape)), max_size=int(np.prod(shape))).filter(any))
    return VoxelGrid(np.array(bits).reshape(shape), (draw(LENGTHS), draw(LENGTHS), draw(LENGTHS)))


def positive_tensor(shape, seed):
    root = np.random.default_rng(seed).normal(size=(*shape, 3, 3))
    return root @ np.swapaxes(root, -1, -2) + 0.5 * np.eye(3)


def moderate_tensor(shape, seed):
    """Anisotropy that a stencil of few directions can take, in voxels of any shape."""
    root = np.random.default_rng(seed).normal(size=(*shape, 3, 3))
    return 0.2 * root @ np.swapaxes(root, -1, -2) + np.eye(3)


def some_walls(grid, seed):
    values = np.array(noise(grid.shape, seed, -1.0, 1.0))
    conditions = {"x-": Dirichlet(values), "x+": Neumann(0.3), "z+": Robin(np.abs(values), 1.5)}
    outer = {"x-": grid.mask[0], "x+": grid.mask[-1], "z+": grid.mask[..., -1]}
    conditions = {side: wall for side, wall in conditions.items() if outer[side].any()}  # a wall needs a voxel
    ends = np.asarray(grid.mask)[:, [0, -1]].all(axis=1).any()
    if ends and grid.shape[1] > 1:
        conditions["y"] = Periodic()
    return Walls(grid, conditions)


OPERATORS = {
    "walls": lambda grid, c, seed: Diffusion(grid, c, 0.7, walls=some_walls(grid, seed)),
    "walls, order 4": lambda grid, c, seed: Diffusion(grid, c, 0.7, 4, walls=some_walls(grid, seed)),
    "walls, tensor": lambda grid, c, seed: TensorDiffusion(
        grid, positive_tensor(grid.shape, seed), 0.7, walls=some_walls(grid, seed), closure="no flux"
    ),
    "loss": lambda grid, c, seed: Diffusion(grid, c, 0.7, loss=grid.cells(c)),
    "no-flux tensor": lambda grid, c, seed: TensorDiffusion(grid, positive_tensor(grid.shape, seed), 0.7, closure="no flux"),
    "monotone": lambda grid, c, seed: MonotoneDiffusion(VoxelGrid(grid.mask, (1.0, 1.3, 0.9)), moderate_tensor(grid.shape, seed), 0.7),
    "blended": lambda grid, c, seed: BlendedDiffusion(grid, c, 0.7, 0.5),
}


@pytest.mark.parametrize("kind", [pytest.param(k, marks=pytest.mark.slow) if k == "monotone" else k for k in OPERATORS])
@settings(max_examples=8)
@given(grid=grids(), seed=st.integers(0, 2**31))
@pytest.mark.quick(1)
def test_symmetric_dissipative_bounded_and_with_the_diagonal_that_it_says(kind, grid, seed):
    operator = OPERATORS[kind](grid, noise(grid.shape, seed, 0.1, 2.0), seed)
    dense = matrix(operator, grid.size)
    size = max(np.abs(dense).max(), 1e-300)
    inactive = ~np.asarray(grid.mask).reshape(-1)
    np.testing.assert_allclose(dense, dense.T, rtol=0, atol=1e-14 * size)
    np.testing.assert_allclose(np.diag(dense), operator.diagonal(), rtol=0, atol=1e-13 * size)
    assert not dense[inactive].any() and not dense[:, inactive].any()
    eigenvalues = np.linalg.eigvalsh(dense)
    assert eigenvalues.max() <= 1e-12 * size
    assert -eigenvalues.min() <= float(operator.spectral_bound()) * (1 + 1e-12)
    if kind in ("no-flux tensor", "monotone", "blended"):
        np.testing.assert_allclose(dense.sum(axis=0), 0, atol=1e-13 * size)
    if kind == "monotone":
        assert (dense - np.diag(np.diag(dense))).min() >= 0


CHANGES = ("diffusion", "tensor", "monotone", "blended", "mass", "advection")


def change(kind, mask, spacing, field, coefficient, tensor, velocity):
    """One application of an operator, as a volume."""
    grid = VoxelGrid(mask, spacing)
    cells = grid.cells(jnp.asarray(field))
    if kind == "diffusion":
        walls = Walls(grid, surfaces=[(~np.asarray(mask), Robin(0.4, 2.0))])
        operator = Diffusion(grid, jnp.asarray(coefficient), interior_order=4, walls=walls)
        result = operator.apply(cells) + operator.source
    elif kind == "tensor":
        result = TensorDiffusion(grid, tensor, closure="no flux").apply(cells)
    elif kind == "monotone":
        result = MonotoneDiffusion(grid, tensor).apply(cells)
    elif kind == "blended":
        result = BlendedDiffusion(grid, jnp.asarray(coefficient)).apply(cells)
    elif kind == "mass":
        result = BlendedMass(grid, 0.7).solve(cells)
    else:
        result = Advection(grid, tuple(map(jnp.asarray, velocity)), "MC").evaluate(cells, number(0.0))
    return np.asarray(grid.volume(result))


def problem(shape=(6, 5, 4)):
    velocity = [np.array(noise(tuple(n + (a == axis) for a, n in enumerate(shape)), axis, -1.0, 1.0)) for axis in range(3)]
    for axis in range(3):
        np.moveaxis(velocity[axis], axis, 0)[[0, -1]] = 0
    mask = slitted_mask(shape)
    mask[0] = mask[:, 0] = mask[:, :, 0] = mask[-1] = mask[:, -1] = mask[:, :, -1] = False  # so that the wall is inside the box
    mask[2:4, 2, 1:3] = True
    return mask, (1.0, 1.3, 0.8), np.array(noise(shape, 1)), np.array(noise(shape, 2, 0.1, 2.0)), moderate_tensor(shape, 3), velocity


@pytest.mark.parametrize("kind", CHANGES)
@pytest.mark.parametrize("axes", [(1, 2, 0), (1, 0, 2)])  # these two generate all six
@pytest.mark.quick(2)
def test_the_names_of_the_axes_do_not_matter(kind, axes):
    mask, spacing, field, coefficient, tensor, velocity = problem()
    expected = change(kind, mask, spacing, field, coefficient, tensor, velocity)
    turned = [np.transpose(values, axes) for values in (mask, field, coefficient)]
    tensor = np.transpose(tensor, (*axes, 3, 4))[..., axes, :][..., :, axes]
    velocity = [np.transpose(velocity[a], axes) for a in axes]
    found = change(kind, turned[0], tuple(spacing[a] for a in axes), turned[1], turned[2], tensor, velocity)
    np.testing.assert_allclose(found, np.transpose(expected, axes), rtol=0, atol=1e-12 * np.abs(expected).max())


@pytest.mark.parametrize("kind", CHANGES)
@pytest.mark.quick(1)
def test_a_larger_empty_box_changes_nothing(kind):
    mask, spacing, field, coefficient, tensor, velocity = problem()
    expected = change(kind, mask, spacing, field, coefficient, tensor, velocity)
    widths = ((1, 2), (0, 1), (3, 0))
    padded = [np.pad(values, widths) for values in (mask, field, coefficient)]
    tensor = np.pad(tensor, (*widths, (0, 0), (0, 0)))
    velocity = [np.pad(values, widths, mode="edge") for values in velocity]
    found = change(kind, padded[0], spacing, padded[1], padded[2], tensor, velocity)
    inner = found[1:-2, :-1, 3:]
    np.testing.assert_allclose(inner, expected, rtol=0, atol=1e-13 * np.abs(expected).max())
    assert np.abs(found).sum() == pytest.approx(np.abs(inner).sum())


def test_robin_goes_from_closed_to_dirichlet():
    grid = VoxelGrid(slitted_mask((5, 4, 4)), 1.0)
    coefficient = noise(grid.shape, 1, 0.5, 2.0)

    def terms(wall):
        operator = Diffusion(grid, coefficient, walls=Walls(grid, surfaces=[(~np.asarray(grid.mask), wall)]))
        return operator.loss, operator.source

    for found, expected in zip(terms(Robin(1e12, 3.0)), terms(Dirichlet(3.0)), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-10)
    assert not any(np.asarray(part).any() for part in terms(Robin(0.0, 3.0)))


def test_a_constant_is_steady_between_walls_that_hold_it():
    grid = VoxelGrid(slitted_mask((5, 4, 4)), (1.0, 0.7, 1.2))
    walls = Walls(grid, {"x-": Dirichlet(3.0), "y+": Robin(0.4, 3.0)}, [(~np.asarray(grid.mask), Dirichlet(3.0))])
    constant = 3.0 * grid.mask.reshape(-1)
    for operator in (
        Diffusion(grid, noise(grid.shape, 1), 0.6, walls=walls),
        Diffusion(grid, noise(grid.shape, 1), 0.6, 4, walls=walls),
        TensorDiffusion(grid, positive_tensor(grid.shape, 2), 0.6, walls=walls),
        TensorDiffusion(grid, positive_tensor(grid.shape, 2), 0.6, walls=walls, closure="no flux"),
    ):
        np.testing.assert_allclose(operator.apply(constant) + operator.source, 0, atol=1e-12)


@pytest.mark.slow
def test_a_periodic_box_does_not_know_where_it_starts():
    shape = (5, 4, 3)
    mask = np.array(noise(shape, 9)) > 0.2
    coefficient, tensor, field = np.array(noise(shape, 1, 0.1, 2.0)), positive_tensor(shape, 2), np.array(noise(shape, 3)) * mask

    def changes(shift):
        turned = [np.roll(values, shift, axis=(0, 1, 2)) for values in (mask, coefficient, tensor, field)]
        grid = VoxelGrid(turned[0], (1.0, 1.3, 0.8))
        walls = Walls(grid, dict.fromkeys("xyz", Periodic()))
        operators = [Diffusion(grid, jnp.asarray(turned[1]), interior_order=order, walls=walls) for order in (2, 4)]
        operators += [TensorDiffusion(grid, turned[2], walls=walls, closure=closure) for closure in ("zero", "no flux")]
        back = tuple(-step for step in shift)
        cells = grid.cells(jnp.asarray(turned[3]))
        return [np.roll(grid.volume(operator.apply(cells)), back, axis=(0, 1, 2)) for operator in operators]

    for found, expected in zip(changes((2, 3, 1)), changes((0, 0, 0)), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-12)
        assert expected.sum() == pytest.approx(0, abs=1e-11)


def test_without_loss_and_walls_the_program_is_what_it_was():
    """The options cost nothing where they are not used: the same number of operations as exchange, scale and barrier."""
    operator = Diffusion(VoxelGrid(np.ones((3, 3, 3), bool), 1.0), 1.0)
    jaxpr = jax.make_jaxpr(lambda operator, u: operator.apply(u))(operator, jnp.ones(27))
    assert [equation.primitive.name for equation in jaxpr.eqns] == ["twinsim_exchange", "mul", "optimization_barrier"]
    assert operator.loss is None and operator.source is None and operator.wraps is None
    assert len(jax.tree.leaves(eqx.filter(operator, eqx.is_array))) == 4


@pytest.mark.parametrize("kind", [k for k in OPERATORS if k not in ("monotone", "walls, tensor")])
@pytest.mark.quick(3)
def test_leading_batch_axes_and_vmap(kind):
    grid = VoxelGrid(slitted_mask((4, 5, 3)), (1.0, 2.0, 0.5))
    operator = OPERATORS[kind](grid, noise(grid.shape, 1, 0.1, 2.0), 1)
    fields = noise((2, 3, grid.size), 4)
    apply = quick_jit(lambda field: operator.apply(field))
    expected = np.stack([[apply(field) for field in row] for row in fields])
    np.testing.assert_allclose(apply(fields), expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(quick_jit(jax.vmap(jax.vmap(operator.apply)))(fields), expected, rtol=0, atol=1e-12)
