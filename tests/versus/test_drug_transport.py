"""A drug round capillaries in time, by voxels and by zones, against SciPy's integrator and closed forms."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.special import iv, kv

from physics import (
    ANTIBODY,
    DOXORUBICIN,
    Binding,
    CapillaryExchange,
    Doses,
    DrugTransport,
    PlasmaCourse,
    TissueZones,
    TwoCompartment,
    capillary_bed,
    drug_transport,
    krogh_rings,
)
from solvers import VoxelGrid
from tests.problems import number, quick_jit, slope

H, SHAPE, CLOSED, END = 0.01, (5, 4), (True, True, False), 400.0
OF = {name: DOXORUBICIN[name].value for name in DOXORUBICIN}
CELLS = Binding(number(0.4), number(0.05), number(3e-3), number(4e-4), number(1.5))


def plasma():
    """An injection, and an infusion that lasts."""
    kinetics = TwoCompartment(*map(number, (13.0, 0.02, 40.0, 0.05)))
    return PlasmaCourse(kinetics, Doses(jnp.asarray([0.0, 0.0]), jnp.asarray([0.0, END]), jnp.asarray([20.0, 3.0])), number(0.5))


def section():
    grid = VoxelGrid(np.ones((*SHAPE, 1), bool), H)
    places = np.array([[0.021, 0.013, 0.0]])
    bed = capillary_bed(grid, places, places + np.array([0, 0, H]), 0.01, CLOSED)
    bed = capillary_bed(grid, places, places + np.array([0, 0, H]), 0.01, CLOSED)
    return drug_transport(grid, bed, 0.08, 4e-5, CELLS, plasma(), 0.25, CLOSED)


def marched(stepper, count, end=END):
    """Equal steps; their number is no part of the program."""
    length = end / count
    return jax.lax.fori_loop(0, count, lambda i, state: stepper.advance(state, i * length, length), stepper.start())


def around(count):
    return np.roll(np.eye(count), 1, axis=0) + np.roll(np.eye(count), -1, axis=0) - 2 * np.eye(count)


@pytest.fixture(scope="module")
def reference():
    """The method of lines, by an implicit Runge-Kutta method of order five, without any of our operators."""
    problem = section()
    exchange, tissue = np.asarray(problem.problem.exchange), np.asarray(problem.tissue)
    matrix = 4e-5 / H**2 * (np.kron(around(SHAPE[0]), np.eye(SHAPE[1])) + np.kron(np.eye(SHAPE[0]), around(SHAPE[1])))
    course, cells = plasma(), [float(leaf) for leaf in (CELLS.space, CELLS.on, CELLS.off, CELLS.loss, CELLS.sites)]
    space, on, off, loss, sites = cells
    fast, slow = (float(rate) for rate in course.kinetics.rates())

    def blood(t):
        first = (fast - 0.05 / 40) / (fast - slow) / 13
        parts = ((first, fast), (1 / 13 - first, slow))
        return 0.5 * sum(share * (20 * np.exp(-rate * t) + 3 * (1 - np.exp(-rate * t)) / rate / END) for share, rate in parts)

    def rate(t, y):
        free, bound, _, _ = y.reshape(4, -1)
        binds = on * free * (sites - bound) - off * bound
        delivered = exchange * (blood(t) - free)
        change = (matrix @ free + delivered - tissue * binds) / (tissue * space)
        return np.concatenate([change, binds - loss * bound, loss * bound, delivered])

    return solve_ivp(rate, (0, END), np.zeros(4 * len(tissue)), method="Radau", rtol=1e-9, atol=1e-12).y[:, -1].reshape(4, -1)


def test_voxels_at_order_two_in_time_and_balanced(reference):
    problem, counts = section(), np.array([40, 60, 90, 140])
    run = quick_jit(partial(marched, problem))
    states = [run(jnp.asarray(count)) for count in counts]
    errors = [np.abs(np.asarray(state - reference)[:2]).max() for state in states]
    assert slope(1 / counts, errors) == pytest.approx(2, abs=0.2)
    np.testing.assert_allclose(states[-1], reference, atol=3e-4)
    for state in states:
        assert float(problem.amount(state).sum()) == pytest.approx(float(state[3].sum()), rel=1e-10)
        assert float(state[:3].min()) > -1e-12 and float(state[1].max()) <= 1.5


def test_one_voxel_is_one_zone_and_first_order_is_first_order():
    """The same tissue by conjugate gradients and by elimination; implicit Euler halves its error with its step."""
    grid = VoxelGrid(np.ones((1, 1, 1), bool), 1.0)
    one = jnp.ones(1)
    of = CapillaryExchange(grid, number(1e-4), 0.03 * one, 0.03 * one, 0 * one, number(1.0), 0 * one, (False,) * 3)
    voxel, zone = (
        DrugTransport(of, 0.9 * one, CELLS, plasma()),
        TissueZones(0.9 * one[None], 0.03 * one, jnp.zeros((0, 1)), CELLS, plasma()),
    )
    single = quick_jit(partial(marched, zone))(jnp.asarray(50))
    np.testing.assert_allclose(quick_jit(partial(marched, voxel))(jnp.asarray(50)), single[:, 0], rtol=1e-9)
    euler = TissueZones(0.9 * one[None], 0.03 * one, jnp.zeros((0, 1)), CELLS, plasma(), False)
    run = quick_jit(partial(marched, euler))
    fine = quick_jit(partial(marched, zone))(jnp.asarray(3000))
    counts = np.array([40, 80, 160, 320])
    assert slope(1 / counts, [np.abs(np.asarray(run(jnp.asarray(n)) - fine)[:2]).max() for n in counts]) == pytest.approx(1, abs=0.2)


def rings(count, uptake, diffusivity, resistance, density):
    share = jnp.full((count, 1), 1 / count)
    wall, between = krogh_rings(share, jnp.full(1, density), 0.005, jnp.full(1, diffusivity), jnp.full(1, resistance))
    # So many sites and so little drug that uptake is of first order, all of it lost.
    cells = Binding(number(0.4), number(uptake * 1e-6), number(0.0), number(1e3), number(1e6))
    return TissueZones(share * (1 - np.pi * density * 0.005**2), wall, between, cells, lambda _: jnp.ones(()))


@pytest.mark.slow
def test_rings_against_the_closed_form_of_a_cylinder_at_order_two():
    """Steady, of first order: modified Bessel functions, with the wall's resistance and no flux at the outer radius."""
    uptake, diffusivity, resistance, density = 0.5, 4.7e-5, 1.2e4, 1500.0
    outer, rate = 1 / np.sqrt(np.pi * density), np.sqrt(uptake / diffusivity)
    shape = [iv(0, rate * 0.005) + iv(1, rate * outer) / kv(1, rate * outer) * kv(0, rate * 0.005)]
    steep = rate * (iv(1, rate * 0.005) - iv(1, rate * outer) / kv(1, rate * outer) * kv(1, rate * 0.005))
    flux = -2 * np.pi * 0.005 * diffusivity * steep
    exact = density * flux / (shape[0] + resistance * flux)  # delivered per volume and time at a plasma of one
    counts, errors = np.array([8, 12, 18, 27]), []
    for count in counts:
        zones = rings(int(count), uptake, diffusivity, resistance, density)
        with jax.disable_jit():  # a few small steps, and a program per count
            state = zones.advance(zones.start(), jnp.zeros(()), number(1e9))
        delivered = float(zones.wall[0] * (1 - state[0, 0, 0]))
        errors.append(abs(delivered - exact) / exact)
    assert slope(1 / counts, errors) == pytest.approx(2, abs=0.2) and errors[-1] < 2e-3


@pytest.mark.slow  # a program per resolution
def test_a_slab_at_order_two_in_space():
    """Capillaries in 0.02 mm beside 0.08 mm of tissue, uptake of first order, steady: hyperbolic cosines."""
    diffusivity, uptake, exchange, errors, counts = 4e-5, 0.05, 0.1, [], np.array([20, 30, 40, 60])
    inner, outer = np.sqrt((uptake + exchange) / diffusivity), np.sqrt(uptake / diffusivity)
    plateau = exchange / (exchange + uptake)
    # plateau - a cosh(inner x) meets b cosh(outer (0.1 - x)) at 0.02 with its slope
    left = np.array([[np.cosh(inner * 0.02), np.cosh(outer * 0.08)], [inner * np.sinh(inner * 0.02), -outer * np.sinh(outer * 0.08)]])
    a, b = np.linalg.solve(left, [plateau, 0.0])
    cells = Binding(number(0.4), number(uptake * 1e-6), number(0.0), number(1e3), number(1e6))
    for count in counts:
        grid = VoxelGrid(np.ones((count, 1, 1), bool), 0.1 / count)
        x = (np.arange(count) + 0.5) * 0.1 / count
        inside, one = jnp.asarray(x < 0.02, float), jnp.ones(count)
        of = CapillaryExchange(grid, number(diffusivity), exchange * inside, exchange * inside, 0 * one, number(1.0), 0 * one, (False,) * 3)
        problem = DrugTransport(of, one, cells, lambda _: jnp.ones(()), False)
        state = jax.jit(partial(problem.advance, time=jnp.zeros(()), length=number(1e9)))(problem.start())
        exact = np.where(x < 0.02, plateau - a * np.cosh(inner * x), b * np.cosh(outer * (0.1 - x)))
        errors.append(np.abs(np.asarray(state[0]) - exact).max())
    assert slope(1 / counts, errors) == pytest.approx(2, abs=0.2)


@pytest.mark.parametrize("drug", [DOXORUBICIN, ANTIBODY])
def test_plasma_of_two_compartments(drug):
    """An injection, an infusion and a later injection, hours."""
    v = [drug[name].value for name in ("volume", "clearance", "peripheral", "exchange")]
    doses = Doses(jnp.asarray([0.0, 2.0, 9.0]), jnp.asarray([0.0, 5.0, 0.0]), jnp.asarray([3.0, 4.0, 2.0]))
    times = np.array([0.5, 1.9, 4.0, 7.5, 8.9, 9.5, 40.0])

    def rate(infused, t, y):
        return [(infused - (v[1] + v[3]) * y[0] + v[3] * y[1]) / v[0], v[3] / v[2] * (y[0] - y[1])]

    state, exact = np.array([3.0 / v[0], 0.0]), []
    for begin, end, infused, dose in ((0, 2, 0.0, 0.0), (2, 7, 0.8, 0.0), (7, 9, 0.0, 0.0), (9, 40, 0.0, 2.0)):
        state = state + np.array([dose / v[0], 0])
        inside = times[(times > begin) & (times <= end)]
        run = solve_ivp(partial(rate, infused), (begin, end), state, method="LSODA", t_eval=sorted({*inside, end}), rtol=1e-10, atol=1e-13)
        exact.extend(run.y[0][: len(inside)])
        state = run.y[:, -1]
    found = TwoCompartment(*map(number, v)).concentration(jnp.asarray(times), doses)
    np.testing.assert_allclose(found, exact, rtol=1e-6)


def test_published_numbers_say_what_their_sources_do():
    """Half-lives and uptake of doxorubicin come back."""
    kinetics = TwoCompartment(*(number(OF[name]) for name in ("volume", "clearance", "peripheral", "exchange")))
    fast, slow = kinetics.rates()
    assert 60 * np.log(2) / float(fast) == pytest.approx(4.3, rel=0.01) and np.log(2) / float(slow) == pytest.approx(10.4, rel=0.01)
    assert OF["on"] * OF["sites"] == pytest.approx(0.28 / 0.219 / 60 * 10, rel=0.01)
