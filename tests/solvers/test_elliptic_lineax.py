"""The same solve through Lineax's own front door."""

import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import pytest

from solvers.grid import VoxelGrid
from solvers.linear.elliptic import solve_elliptic
from solvers.linear.elliptic_lineax import MultigridCG, ShiftedOperator
from solvers.space.diffusion import Diffusion
from tests.problems import noise, number, quick_jit, slitted_mask

SHAPE = (7, 6, 5)
GRID = VoxelGrid(slitted_mask(SHAPE), (1.0, 1.2, 0.9))
SOURCE = GRID.cells(noise(SHAPE, 1))


SHIFT = number(0.2)


def shifted(coefficient, shift=SHIFT):
    return ShiftedOperator(Diffusion(GRID, coefficient), shift, (GRID.size,))


@pytest.mark.slow
def test_it_agrees_with_lineax_direct_and_with_our_front_door():
    operator = shifted(noise(SHAPE, 2, 0.3, 2.0))
    matrix = lx.MatrixLinearOperator(operator.as_matrix(), lx.positive_semidefinite_tag)
    expected = lx.linear_solve(matrix, SOURCE, lx.Cholesky()).value
    solver = MultigridCG(tolerance=1e-12)
    state = solver.init(operator, {})
    solution = lx.linear_solve(operator, SOURCE, solver, state=state)
    assert solution.result == lx.RESULTS.successful
    assert 0 < int(solution.stats["num_steps"]) < 20
    np.testing.assert_allclose(solution.value, expected, rtol=0, atol=1e-10)
    ours = solve_elliptic(operator.operator, SOURCE, operator.shift, tolerance=1e-12)
    np.testing.assert_allclose(solution.value, ours.field, rtol=0, atol=1e-10)
    np.testing.assert_allclose(lx.diagonal(operator), jnp.diag(operator.as_matrix()), rtol=0, atol=1e-13)


def test_our_operator_with_their_conjugate_gradients():
    operator = shifted(noise(SHAPE, 2, 0.3, 2.0))
    solution = lx.linear_solve(operator, SOURCE, lx.CG(rtol=1e-10, atol=1e-10))
    np.testing.assert_allclose(operator.mv(solution.value), SOURCE, rtol=0, atol=1e-7)


@pytest.mark.slow
def test_its_gradient_is_ours():
    coefficient = noise(SHAPE, 2, 0.3, 2.0)

    def theirs(coefficient, shift):
        return jnp.sum(lx.linear_solve(shifted(coefficient, shift), SOURCE, MultigridCG(tolerance=1e-12)).value ** 2)

    def ours(coefficient, shift):
        return jnp.sum(solve_elliptic(Diffusion(GRID, coefficient), SOURCE, shift, tolerance=1e-12).field ** 2)

    found, expected = (quick_jit(jax.grad(f, argnums=(0, 1)))(coefficient, number(0.2)) for f in (theirs, ours))
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-9 * float(jnp.abs(b).max()))


def test_not_converged_is_a_result():
    operator = shifted(noise(SHAPE, 2, 0.3, 2.0), number(1e-6))
    solution = lx.linear_solve(operator, SOURCE, MultigridCG(tolerance=1e-12, max_steps=2), throw=False)
    assert solution.result == lx.RESULTS.max_steps_reached
    with pytest.raises(ValueError, match="expected a ShiftedOperator"):
        MultigridCG().init(lx.MatrixLinearOperator(jnp.eye(2)), {})
