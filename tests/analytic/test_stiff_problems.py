"""Published stiff problems end at their reference values, and linear ones at the matrix exponential."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import expm_multiply

from solvers.stiff.linear_structure import Dense
from solvers.stiff.linear_structure_block import BlockDiagonal, Tridiagonal
from solvers.stiff.linear_structure_sparse import Coloured, banded
from solvers.stiff.rosenbrock import RODAS3, RODAS4, RODAS5P
from solvers.stiff.rosenbrock_integrate import integrate_stiff
from tests import stiff_problems as known
from tests.problems import quick_jit

METHODS = pytest.mark.parametrize("method", [RODAS3, RODAS4, RODAS5P], ids=lambda method: method.name)
METHOD_TOLERANCE = {"RODAS3": 1e-6, "RODAS4": 1e-7, "RODAS5P": 1e-7}


def solved(field, start, stop, args, method, absolute, tolerance=None, **options):
    tolerance = tolerance or METHOD_TOLERANCE[method.name]
    run = quick_jit(
        lambda start, args: integrate_stiff(
            field, start, 0.0, stop, args, method=method, relative_tolerance=tolerance, absolute_tolerance=absolute, **options
        )
    )
    solution = run(jnp.asarray(start, float), args)
    solution.raise_for_status()
    return solution


@METHODS
@pytest.mark.parametrize(("stop", "end"), [(4e4, known.ROBERTSON_4E4), (1e11, known.ROBERTSON_1E11)])
@pytest.mark.quick(3)
def test_robertson(method, stop, end):
    absolute = jnp.array([1e-10, 1e-15, 1e-10]) if stop < 1e6 else jnp.array([1e-12, 1e-19, 1e-10])
    solution = solved(known.robertson, known.ROBERTSON_START, stop, jnp.asarray(known.ROBERTSON_RATES), method, absolute)
    assert np.abs(solution.final / end - 1).max() < (3e-6 if stop < 1e6 else 2e-4)
    assert float(solution.final.sum()) == pytest.approx(1, abs=1e-12)  # a linear invariant is kept by every Rosenbrock method
    assert int(solution.rejected) < int(solution.accepted) / 4


@METHODS
def test_van_der_pol_through_its_fast_turns(method):
    solution = solved(known.van_der_pol, [2.0, 0.0], 2.0, jnp.asarray(1e6), method, 1e-9, max_steps=20_000)
    assert np.abs(solution.final / known.VAN_DER_POL_2 - 1).max() < 1e-4


@METHODS
def test_hires_eight_species_with_pivoting_elimination(method):
    solution = solved(known.hires, known.HIRES_START, known.HIRES_STOP, None, method, 1e-12)
    assert np.abs(solution.final / known.HIRES_END - 1).max() < 1e-4


@pytest.mark.slow
def test_a_network_of_a_thousand_species_against_the_matrix_exponential():
    matrix, start = known.linear_network(1000)
    structure = Coloured(matrix != 0)
    assert structure.colours <= 12
    assert not structure.dense
    rows, columns = matrix.nonzero()
    rates = jnp.asarray(matrix[rows, columns])

    def field(time, state, rates):
        del time
        return jnp.zeros_like(state).at[rows].add(rates * state[columns])

    solution = solved(field, start, 0.02, rates, RODAS4, 1e-9, tolerance=1e-6, structure=structure)
    exact = expm_multiply(csr_matrix(0.02 * matrix), start)
    assert np.abs(solution.final - exact).max() < 1e-6 * np.abs(exact).max()
    assert float(solution.final.sum()) == pytest.approx(start.sum(), rel=1e-11)


@pytest.mark.parametrize(
    "structure", [Tridiagonal(1), pytest.param(Tridiagonal(), marks=pytest.mark.slow)], ids=["local recovery", "all spreading"]
)
def test_a_stiff_cable_is_the_same_through_its_structure_and_dense(structure):
    field, start, parameters = known.excitable_chain(10)
    dense, sparse = (solved(field, start, 5.0, parameters, RODAS4, 1e-9, 1e-6, structure=s) for s in (Dense(), structure))
    assert int(dense.accepted) == int(sparse.accepted)
    np.testing.assert_allclose(sparse.final, dense.final, rtol=1e-10)


def test_local_chemistry_is_the_same_in_blocks_and_cell_by_cell():
    rates = jnp.asarray(known.ROBERTSON_RATES)
    scales = jnp.linspace(0.5, 1.5, 5)

    def cells(time, state, rates):
        return scales[None] * known.robertson(time, state, rates)

    start = jnp.broadcast_to(jnp.asarray(known.ROBERTSON_START)[:, None], (3, 5))
    together = solved(cells, start, 40.0, rates, RODAS4, 1e-12, structure=BlockDiagonal())
    for index in (0, 4):
        alone = solved(known.robertson, known.ROBERTSON_START, 40.0 * float(scales[index]), rates, RODAS4, 1e-12)
        np.testing.assert_allclose(together.final[:, index], alone.final, rtol=1e-6)


@pytest.mark.parametrize(("lower", "upper"), [(1, 1), (2, 1), (0, 3)])
def test_banded_systems_of_every_shape_against_the_matrix_exponential(lower, upper):
    random = np.random.default_rng(lower + 10 * upper)
    size = 17
    offset = np.arange(size)[None] - np.arange(size)[:, None]
    matrix = np.where((offset >= -lower) & (offset <= upper), random.uniform(-1, 1, (size, size)), 0) - 30 * np.diag(random.random(size))
    structure = banded(size, lower, upper)
    assert structure.colours == lower + upper + 1
    start = random.uniform(0, 1, size)
    values = jnp.asarray(matrix)
    solution = solved(lambda time, y, a: a @ y, start, 1.0, values, RODAS5P, 1e-10, 1e-8, structure=structure)
    exact = expm_multiply(matrix, start)
    np.testing.assert_allclose(solution.final, exact, atol=1e-7 * np.abs(exact).max())


@pytest.mark.parametrize("size", [1, 2, 3, 4, 12, 40])
@pytest.mark.quick(4)
def test_dense_elimination_of_every_size_pivots(size):
    """A matrix whose leading entries vanish breaks an elimination without exchange of rows."""
    random = np.random.default_rng(size)
    matrix = random.normal(size=(size, size))
    matrix[0, 0] = 2.0 if size > 1 else 1.0
    structure, right = Dense(), jnp.asarray(random.normal(size=size))
    _, entries = structure.linearise(lambda y: jnp.asarray(matrix) @ y, right)
    factors = jax.jit(structure.factor)(entries, 2.0)  # entry (0, 0) of the shifted matrix is zero
    shifted = 2.0 * np.eye(size) - matrix
    np.testing.assert_allclose(shifted @ structure.solve(factors, right), right, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(shifted.T @ structure.solve_transposed(factors, right), right, rtol=1e-9, atol=1e-9)
