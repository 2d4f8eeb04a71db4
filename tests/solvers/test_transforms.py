"""Solves by transforms on boxes: the discrete operator's own modes, exact to round-off, and as a preconditioner."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from solvers.grid import VoxelGrid
from solvers.linear.elliptic import solve_elliptic
from solvers.linear.transforms import BoxSolver, box_preconditioner
from solvers.space.diffusion import Diffusion
from solvers.space.walls import Dirichlet, Periodic, Walls
from tests.problems import matrix, noise

SHAPE = (6, 7, 5)
SPACING = (1.0, 1.4, 0.7)
GRID = VoxelGrid(np.ones(SHAPE, bool), SPACING)
KINDS = [
    ("no flux", "no flux", "no flux"),
    ("dirichlet", "dirichlet", "dirichlet"),
    ("periodic", "periodic", "periodic"),
    ("periodic", "no flux", "dirichlet"),
    ("dirichlet", "periodic", "no flux"),
]


def walled(kinds, coefficient):
    """The same problem as a finite-volume operator with walls."""
    walls = {}
    for axis, kind in zip("xyz", kinds, strict=True):
        if kind == "periodic":
            walls[axis] = Periodic()
        elif kind == "dirichlet":
            walls |= {f"{axis}-": Dirichlet(0.0), f"{axis}+": Dirichlet(0.0)}
    per_axis = tuple(np.full(SHAPE, value) for value in coefficient)
    return Diffusion(GRID, per_axis, walls=Walls(GRID, walls) if walls else None)


@pytest.mark.parametrize("kinds", KINDS)
@pytest.mark.quick(1)
def test_the_modes_diagonalise_the_finite_volume_operator_and_the_solve_is_exact(kinds):
    coefficient = (1.0, 0.3, 2.0)
    box = BoxSolver(GRID, jnp.asarray(coefficient), kinds)
    dense = -matrix(walled(kinds, coefficient), GRID.size)
    modes = np.asarray(box.transform(jnp.eye(GRID.size))).reshape(GRID.size, -1).T
    np.testing.assert_allclose(modes @ modes.T, np.eye(GRID.size), rtol=0, atol=1e-13)
    np.testing.assert_allclose(modes @ dense @ modes.T, np.diag(np.asarray(box.eigenvalues()).reshape(-1)), rtol=0, atol=1e-12)
    source = noise((2, GRID.size), 1)
    expected = np.linalg.solve(0.1 * np.eye(GRID.size) + dense, source.T).T
    np.testing.assert_allclose(box.solve(0.1, source), expected, rtol=0, atol=1e-12)
    singular = np.linalg.pinv(dense, rcond=1e-12, hermitian=True)
    np.testing.assert_allclose(box.solve(0.0, source), source @ singular, rtol=0, atol=1e-11)


def test_derivatives_of_the_exact_solve():
    source = noise((GRID.size,), 1)

    def value(coefficient, shift):
        return jnp.sum(BoxSolver(GRID, coefficient, "dirichlet").solve(shift, source) ** 2)

    point, step = (jnp.array([1.0, 0.3, 2.0]), jnp.array(0.4)), 1e-5
    slopes = jax.grad(value, argnums=(0, 1))(*point)
    for axis in range(3):
        move = step * jnp.eye(3)[axis]
        difference = (value(point[0] + move, point[1]) - value(point[0] - move, point[1])) / (2 * step)
        assert float(slopes[0][axis]) == pytest.approx(float(difference), rel=1e-6)
    difference = (value(point[0], point[1] + step) - value(point[0], point[1] - step)) / (2 * step)
    assert float(slopes[1]) == pytest.approx(float(difference), rel=1e-6)


@pytest.mark.slow
def test_as_preconditioner_it_is_exact_on_a_box_and_counts_little_on_smooth_coefficients():
    grid = VoxelGrid(np.ones((16, 16, 16), bool), 1.0)
    source = grid.cells(noise(grid.shape, 1))
    uniform = Diffusion(grid, 2.0)
    once = solve_elliptic(uniform, source, 0.1, preconditioner=box_preconditioner(uniform, 0.1, grid.spacing))
    assert int(once.iterations) == 1
    counts = []
    for edge in (8, 16, 32):
        fine = VoxelGrid(np.ones((edge,) * 3, bool), 1.0 / edge)
        centre = (np.arange(edge) + 0.5) / edge
        wave = np.exp(np.sin(2 * np.pi * centre))[:, None, None] * np.ones((edge,) * 3)
        operator = Diffusion(fine, wave)
        solution = solve_elliptic(
            operator, fine.cells(noise(fine.shape, 1)), 1.0, preconditioner=box_preconditioner(operator, 1.0, fine.spacing)
        )
        assert float(solution.residual) <= 1e-8
        counts.append(int(solution.iterations))
    assert max(counts) <= 25
    assert counts[-1] <= 1.5 * counts[0]


@pytest.mark.slow
def test_on_a_mask_it_stays_symmetric_and_converges():
    mask = np.asarray(noise((9, 8, 7), 3)) > 0.15
    grid = VoxelGrid(mask, SPACING)
    operator = Diffusion(grid, noise(grid.shape, 1, 0.5, 2.0))
    preconditioner = box_preconditioner(operator, 0.1, grid.spacing)
    dense = np.asarray(preconditioner.apply(jnp.eye(grid.size)))
    np.testing.assert_allclose(dense, dense.T, rtol=0, atol=1e-13 * np.abs(dense).max())
    assert np.linalg.eigvalsh(dense[np.ix_(mask.reshape(-1), mask.reshape(-1))]).min() > 0
    solution = solve_elliptic(operator, grid.cells(noise(grid.shape, 2)), 0.1, preconditioner=preconditioner, tolerance=1e-11)
    exact = np.linalg.solve(0.1 * np.eye(grid.size) - matrix(operator, grid.size), grid.cells(noise(grid.shape, 2)))
    np.testing.assert_allclose(solution.field, exact, rtol=0, atol=1e-9 * np.abs(exact).max())


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: BoxSolver(VoxelGrid(np.arange(8).reshape(2, 2, 2) > 0, 1.0)), "got a mask with inactive voxels"),
        (lambda: BoxSolver(GRID, -1.0), "got coefficient -1.0"),
        (lambda: BoxSolver(GRID, float("nan")), "got coefficient nan"),
    ],
)
def test_bad_input(call, said):
    with pytest.raises(ValueError, match=said):
        call()
