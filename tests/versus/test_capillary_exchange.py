"""Oxygen round capillaries against a sparse Newton iteration that shares no code with it."""

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse
from scipy.sparse.linalg import spsolve

from physics import SECOMB_2004, capillary_bed, drug_exchange, exchange_coefficient, oxygen_exchange
from solvers import VoxelGrid
from tests.problems import number

TUMOUR = {name: SECOMB_2004[name].value for name in SECOMB_2004}
D, M0, P50, A, K = (TUMOUR[name] for name in ("krogh_diffusivity", "demand", "half_pressure", "capillary_radius", "resistance"))
H, SHAPE = 0.01, (14, 24)
CLOSED = (True, True, False)


def hexagonal():
    """Two capillaries of an array whose period is 0.14 by 0.24 mm: each has six neighbours at 0.139 mm."""
    grid = VoxelGrid(np.ones((*SHAPE, 1), bool), H)
    places = np.array([[0.0351, 0.0602, 0.0], [0.1051, 0.1802, 0.0]])
    return grid, places, capillary_bed(grid, places, places + np.array([0, 0, H]), 0.01, CLOSED)


def laplacian():
    lines = []
    for count in SHAPE:
        eye = scipy.sparse.eye_array(count).tocsr()
        around = scipy.sparse.csr_array((np.ones(count), (np.arange(count), (np.arange(count) + 1) % count)), (count, count))
        lines.append((around + around.T - 2 * eye) / H**2)
    return scipy.sparse.kron(lines[0], scipy.sparse.eye_array(SHAPE[1])) + scipy.sparse.kron(scipy.sparse.eye_array(SHAPE[0]), lines[1])


def shares(places, radius):
    """Of each voxel within a radius of a capillary, by 50 points per edge."""
    axes = [(np.arange(50 * count) + 0.5) * H / 50 for count in SHAPE]
    total = np.zeros(SHAPE)
    for place in places:
        inside = np.add.outer((axes[0] - place[0]) ** 2, (axes[1] - place[1]) ** 2) <= radius**2
        total += inside.reshape(SHAPE[0], 50, SHAPE[1], 50).mean(axis=(1, 3))
    return total.reshape(-1)


@pytest.mark.slow
def test_the_hexagonal_array():
    grid, places, bed = hexagonal()
    coefficient = exchange_coefficient(K, D, A, 0.01)
    blood = np.array([40.0, 25.0])
    problem = oxygen_exchange(grid, bed, jnp.asarray(blood), coefficient, number(D), number(M0), number(P50), (A / 0.01) ** 2, CLOSED)
    solution = problem.solve()
    solution.raise_for_status()
    np.testing.assert_allclose(bed.gathered(number(1.0)), shares(places, 0.01), atol=0.04)
    k, source = np.asarray(problem.exchange), np.asarray(problem.supply)
    demand, matrix, field = np.asarray(problem.demand), laplacian() * D, np.full(grid.size, 20.0)
    for _ in range(40):  # damped by half, from a guess that is far
        slope = demand * P50 / (field + P50) ** 2
        balance = matrix @ field + source - k * field - demand * field / (field + P50)
        field = np.maximum(field + 0.9 * spsolve((scipy.sparse.diags_array(k + slope) - matrix).tocsc(), balance), 0)
    np.testing.assert_allclose(solution.field, field, rtol=1e-8, atol=1e-9)
    delivered, consumed = problem.delivery(solution.field).sum(), problem.consumption(solution.field).sum()
    assert float(delivered) == pytest.approx(float(consumed), rel=1e-10)
    assert float(problem.demand.sum()) == pytest.approx(M0 * (grid.size - 2 * np.pi * A**2 / H**2), rel=1e-12)


@pytest.mark.slow
def test_a_drug():
    grid, _, bed = hexagonal()
    coefficient = exchange_coefficient(1e5, 4e-5, A, 0.01)
    problem = drug_exchange(grid, bed, number(2.0), coefficient, number(4e-5), number(0.1), 0.25, CLOSED)
    solution = problem.solve()
    solution.raise_for_status()
    matrix = scipy.sparse.diags_array(np.asarray(problem.exchange + problem.uptake)) - laplacian() * 4e-5
    np.testing.assert_allclose(solution.field, spsolve(matrix.tocsc(), np.asarray(problem.supply)), rtol=1e-9)
    assert float(problem.consumption(solution.field).sum()) == pytest.approx(float(problem.delivery(solution.field).sum()), rel=1e-10)
    assert int(solution.steps) <= 8  # linear: only the loose steps count


@pytest.mark.parametrize("resistance", [2e5, 1.27e6, 1e8])
def test_the_exchange_coefficient_against_bessel_functions_of_scipy(resistance):
    from scipy.special import iv

    k = float(exchange_coefficient(resistance, D, A, 0.01))
    s = 0.01 * np.sqrt(k / D)
    assert iv(0, s) / (2 * np.pi * s * iv(1, s)) == pytest.approx(resistance * D + np.log(2) / (2 * np.pi), rel=1e-12)
