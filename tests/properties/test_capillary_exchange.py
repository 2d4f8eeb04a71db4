"""Oxygen round capillaries: positive, monotone, conserved, invariant, and bad input refused in one line."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest

from physics import SECOMB_2004, KroghCylinder, capillary_bed, exchange_coefficient, oxygen_exchange
from solvers import SimulationError, VoxelGrid
from tests.problems import number, slitted_mask

TUMOUR = {name: SECOMB_2004[name].value for name in SECOMB_2004}
D, M0, P50, A, K = (TUMOUR[name] for name in ("krogh_diffusivity", "demand", "half_pressure", "capillary_radius", "resistance"))
H = 0.01
MASK = slitted_mask((10, 9, 8))
GRID = VoxelGrid(MASK, H)
PLACES = np.array([[0.0453, 0.0207, 0.0411], [0.0751, 0.0507, 0.0313]])
ENDS = np.array([[0.0559, 0.0702, 0.0457], [0.0813, 0.0609, 0.0611]])

SECTION = VoxelGrid(np.ones((10, 9, 1), bool), H)
BED = capillary_bed(GRID, PLACES, ENDS, 0.0075)


def problem(blood=(40.0, 20.0), demand=M0, grid=GRID, places=PLACES, ends=ENDS):
    bed = capillary_bed(grid, places, ends, 0.0075)
    coefficient = exchange_coefficient(K, D, A, 0.0075)
    return oxygen_exchange(grid, bed, jnp.asarray(blood), coefficient, number(D), number(demand), number(P50), 0.4)


@pytest.fixture(scope="module")
def solved():
    found = problem()
    solution = found.solve()
    solution.raise_for_status()
    return found, solution.field


@pytest.mark.slow
def test_oblique_capillaries_in_a_mask_are_conserved_and_positive(solved):
    found, field = solved
    inside = np.asarray(GRID.mask).reshape(-1)
    assert np.asarray(field)[~inside].max() == 0
    assert float(field.min()) > -1e-12 and float(field.max()) < 40
    np.testing.assert_allclose(found.delivery(field).sum(), found.consumption(field).sum(), rtol=1e-10)
    bed = capillary_bed(VoxelGrid(np.ones_like(MASK), H), PLACES, ENDS, 0.0075)
    volume = np.pi * 0.0075**2 * np.linalg.norm(ENDS - PLACES, axis=1).sum()
    np.testing.assert_allclose(bed.gathered(number(1.0)).sum() * H**3, volume, rtol=1e-10)


def test_more_pressure_in_a_capillary_is_nowhere_less_and_more_demand_nowhere_more(solved):
    _, field = solved
    assert float((problem(blood=(40.0, 30.0)).solve().field - field).min()) >= -1e-9
    assert float((problem(demand=2 * M0).solve().field - field).max()) <= 1e-9


@pytest.mark.slow  # a program of its own
def test_axes_may_be_exchanged(solved):
    _, field = solved
    turned = VoxelGrid(MASK.transpose(2, 0, 1), H)
    other = problem(grid=turned, places=PLACES[:, [2, 0, 1]], ends=ENDS[:, [2, 0, 1]]).solve().field
    np.testing.assert_allclose(turned.volume(other), GRID.volume(field).transpose(2, 0, 1), rtol=1e-6, atol=1e-7)


@pytest.mark.slow
def test_too_few_steps_are_a_status():
    solution = problem().solve(max_steps=1)
    with pytest.raises(SimulationError):
        solution.raise_for_status()
    broken = eqx.tree_at(lambda p: p.half_pressure, problem(), number(1.0))
    broken = eqx.tree_at(lambda p: p.demand, broken, broken.demand.at[5].set(jnp.inf))
    with pytest.raises(ValueError, match="demand between"):
        broken.solve()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda: problem(demand=-M0).solve(), "demand between"),
        (lambda: problem(blood=(0.0, 0.0)).solve(), "no supply anywhere"),
        (lambda: problem(blood=(40.0, float("nan"))).solve(), "concentration in the blood between"),
        (lambda: problem(places=np.zeros((0, 3)), ends=np.zeros((0, 3))), "give the tissue a capillary"),
        (lambda: problem(places=PLACES + 5, ends=ENDS + 5), "outside of the tissue"),
        (lambda: problem(places=PLACES, ends=PLACES), "without length"),
        (lambda: capillary_bed(GRID, PLACES, ENDS, 0.005), "three quarters"),
        (lambda: exchange_coefficient(0.0, D, A), "resistance"),
        (lambda: exchange_coefficient(K, D, A, A / 2), "radii"),
        (lambda: exchange_coefficient(K, D, A, float("inf")), "radii"),
        (lambda: exchange_coefficient(float("inf"), D, A), "resistance between inf"),
        (lambda: exchange_coefficient(K, -D, A, 2 * A), "diffusivity between"),
        (lambda: exchange_coefficient(-K / 100, D, A, 2 * A), "resistance between"),
        (lambda: capillary_bed(GRID, PLACES[:, :2], ENDS[:, :2], 0.0075), "shape"),
        (lambda: capillary_bed(GRID, PLACES, ENDS, float("nan")), "radius of nan"),
        (lambda: capillary_bed(GRID, PLACES, ENDS, 7.5), "radius of 7.5"),
        (lambda: capillary_bed(GRID, PLACES, 1000 * ENDS, 0.0075), "in mm"),
        (lambda: capillary_bed(GRID, PLACES, PLACES + np.array([0, 0, 1e-6]), 0.0075), "join it"),
        (lambda: capillary_bed(SECTION, PLACES * [1, 1, 0], PLACES * [1, 1, 0] + np.array([0, 0, 1.0]), 0.0075), "cut it at the faces"),
        (lambda: problem(blood=(40.0, 30.0, 20.0)), "for 2 capillaries"),
        (lambda: problem(blood=(40.0,)), "for 2 capillaries"),
        (lambda: problem(blood=(40.0, -1.0)), "in the blood"),
        (lambda: oxygen_exchange(SECTION, BED, number(40.0), number(1e-3), number(D), number(M0), number(P50)), "on 720 voxels"),
        (lambda: oxygen_exchange(GRID, BED, number(40.0), number(1e-3), number(D), number(M0), number(P50), 4.0), "lumen"),
        (lambda: eqx.tree_at(lambda p: p.supply, problem(), problem().supply.astype(jnp.float32)).solve(), "with supply of float32"),
        (lambda: KroghCylinder(*map(number, (A, A, M0, D, K, 60.0))), "tissue_mm"),
        (lambda: KroghCylinder(*map(number, (A, 0.05, 0.0, D, K, 60.0))), "demand"),
        (lambda: KroghCylinder(*map(number, (A, 0.05, M0, D, K, float("nan")))), "blood_pressure"),
        (lambda: eqx.tree_at(lambda p: p.half_pressure, problem(), number(0.0)).solve(), "half_pressure between 0"),
        (lambda: eqx.tree_at(lambda p: p.diffusivity, problem(), number(-D)).solve(), "diffusivity"),
        (lambda: eqx.tree_at(lambda p: p.uptake, problem(), jnp.zeros(3)).solve(), "shape"),
    ],
)
def test_bad_input_is_refused_in_one_line(change, message):
    with pytest.raises(ValueError, match=message) as caught:
        change()
    assert "\n" not in str(caught.value)
