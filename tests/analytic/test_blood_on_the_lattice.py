"""Physical units, shear-thinning blood, wall shear indices, vorticity and the closed form of pulsatile flow."""

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.special import jv

from physics.blood_viscosity import CHO_KENSEY_1991, CarreauYasuda, blood_viscosity
from physics.lattice_units import LatticeUnits, lattice_units
from physics.vessel_shape import straight_vessel
from physics.vorticity import vorticity
from physics.wall_shear_indices import shear_indices
from physics.womersley import womersley_number, womersley_shear
from solvers.lattice_boltzmann import D3Q19, TRT, LatticeBoltzmann, face_patches, lattice_domain
from solvers.lattice_boltzmann.viscosity import relaxation_time, shear_times_relaxation
from solvers.status import SimulationError, Status
from tests.lattice_flows import moments_at
from tests.problems import number, quick_jit, slope

BLOOD = {"density": 1060.0, "viscosity": 3.3e-6}


def law(rest=0.3, limit=0.02, time=1e3, bend=1.25, power=0.22):
    return CarreauYasuda(*(number(value) for value in (rest, limit, time, bend, power)))


def test_units_are_those_of_a_developed_tube():
    """4 mu Q / pi R^3 and 8 mu L Q / pi R^4 are the same whether computed in metres or on the lattice."""
    units = lattice_units(1e-4, 1060.0, 3.3e-6, 0.3, mach=0.1)
    flow, radius = 1e-6, 1.5e-3
    on_lattice = 4 * (3.3e-6 / units.kinematic_viscosity) * (flow / units.flow) / (np.pi * (radius / units.voxel) ** 3)
    assert float(on_lattice * units.pressure) == pytest.approx(4 * 1060 * 3.3e-6 * flow / (np.pi * radius**3))
    assert float(units.resistance * units.compliance) == pytest.approx(float(units.step))
    assert float(0.3 / units.speed) * 3**0.5 == pytest.approx(0.1)


def test_steps_fit_into_a_period():
    units = lattice_units(1e-4, peak_speed=0.3, period=0.8, frames=40, **BLOOD)
    steps = 0.8 / float(units.step)
    assert steps / 40 == pytest.approx(round(steps / 40), abs=1e-9)
    longest = lattice_units(1e-4, peak_speed=0.3, **BLOOD)
    assert 0.99 < float(units.step / longest.step) <= 1


@pytest.mark.parametrize(
    ("speed", "viscosity", "words"),
    [
        (0.3, 3.3e-6, None),
        (2.0, 3.3e-6, "Mach number"),
        (0.3, 1e-7, "use smaller voxels"),
        (0.3, (3.3e-6, 1e-4), "expected at most 1.1; do: shorten the step"),
    ],
)
def test_what_leaves_the_good_range_is_named(speed, viscosity, words):
    units = LatticeUnits(number(1e-4), number(3e-5), number(1060.0))
    found = units.examine(speed, jnp.asarray(viscosity))
    assert int(found.status) == (Status.SUCCESS if words is None else Status.OUT_OF_RANGE)
    if words is None:
        found.raise_for_status()
        assert not found.words()
    else:
        with pytest.raises(SimulationError, match=words):
            found.raise_for_status()


def test_units_refuse_what_is_none():
    with pytest.raises(ValueError, match="peak_speed -1"):
        lattice_units(1e-4, peak_speed=-1.0, **BLOOD)
    with pytest.raises(ValueError, match="narrowest radius"):
        straight_vessel(4.0, 30.0, 0.0, 0.6, 10.0)


def test_blood_has_its_published_viscosity_at_both_ends():
    units = lattice_units(1e-4, 1060.0, 0.056 / 1060, 0.05)
    blood, scale = blood_viscosity(units), 1060 * float(units.kinematic_viscosity)
    ends = np.asarray(blood.at(jnp.array([0.0, 1e9]))) * scale
    np.testing.assert_allclose(ends, [CHO_KENSEY_1991["viscosity_at_rest"].value, 0.00345], rtol=2e-5)
    # At 1/lambda the bracket is 2.
    assert float(blood.at(1 / blood.time)) * scale == pytest.approx(0.00345 + (0.056 - 0.00345) * 2 ** (-0.78 / 1.25))


def test_the_relaxation_time_solves_its_equation_from_rest_to_fast():
    target = jnp.logspace(-12, 0, 60)
    stress = tuple(part * target for part in (0, 0, 0, 1.0, 0, 0))
    time = relaxation_time(law(), stress)
    rate = np.asarray(shear_times_relaxation(stress) / time)
    np.testing.assert_allclose(np.asarray(3 * law().at(jnp.asarray(rate)) + 0.5), time, rtol=1e-6)


def thinning_channel(n, blood, force, steps):
    domain = lattice_domain(D3Q19, face_patches(np.ones((n, 1, 1), bool), {}), (False, True, True))
    flow = LatticeBoltzmann(domain, TRT(blood), force=jnp.array([0, force, 0.0]))
    return flow, np.asarray(domain.volume(moments_at(flow, flow.initial_state(), steps).velocity))[1, :, 0, 0]


def exact_channel(n, blood, force):
    """Momentum gives the stress F y; the shear rate from it by bisection, the velocity by Gauss points between voxel centres."""
    half = n / 2
    rest, limit, time, bend, power = (float(value) for value in (blood.rest, blood.limit, blood.time, blood.bend, blood.power))

    def rate(y):
        def excess(g):
            return g * (limit + (rest - limit) * (1 + (time * g) ** bend) ** ((power - 1) / bend)) - force * y

        return brentq(excess, 0, force * y / limit, xtol=1e-18, rtol=1e-12)

    edges = np.concatenate([[half], (half - 0.5 - np.arange(n // 2))])
    nodes, weights = np.polynomial.legendre.leggauss(4)
    pieces = [sum(w * rate((a + b) / 2 + x * (a - b) / 2) for x, w in zip(nodes, weights)) * (a - b) / 2 for a, b in pairwise(edges)]
    side = np.cumsum(pieces)
    return np.concatenate([side, side[::-1]])


@pytest.mark.slow
def test_a_shear_thinning_channel_converges_at_order_two_to_its_integral():
    sides, errors = (8, 12, 16, 24), []
    for n in sides:
        blood, force = law(time=4e2 * (n / 8) ** 2), 2e-4 * (8 / n) ** 3
        _, found = thinning_channel(n, blood, force, 40 * n * n)
        exact = exact_channel(n, blood, force)
        errors.append(np.abs(found - exact).max() / exact.max())
    assert slope([1 / n for n in sides], errors) == pytest.approx(2, abs=0.3), errors
    assert errors[-1] < 5e-3
    assert exact.max() / exact.mean() < 1.45  # it does thin: a parabola has 1.5


@pytest.mark.slow
def test_the_gradient_reaches_every_number_of_the_law():
    def mean(values):
        domain = lattice_domain(D3Q19, face_patches(np.ones((5, 1, 1), bool), {}), (False, True, True))
        flow = LatticeBoltzmann(domain, TRT(CarreauYasuda(*values)), force=jnp.array([0, 1e-3, 0.0]))
        state = jax.lax.fori_loop(0, 6, lambda n, s: flow.step(s, n.astype(float)), flow.initial_state())
        return jnp.sum(flow.moments(state, number(6)).velocity) * 1e3

    point = jnp.array([0.3, 0.02, 300.0, 1.25, 0.22])
    value = quick_jit(lambda p: mean(tuple(p)))
    slopes = quick_jit(jax.grad(lambda p: mean(tuple(p))))(point)
    for place in range(5):
        step = 1e-4 * point[place] * jnp.eye(5)[place]
        difference = (value(point + step) - value(point - step)) / (2 * step[place])
        assert float(slopes[place]) == pytest.approx(float(difference), rel=1e-6), place


def test_indices_of_a_sine_with_a_mean():
    """mean |m + sin| = (2/pi)(m asin m + sqrt(1 - m^2)) for m below one."""
    phase = np.arange(4000) * 2 * np.pi / 4000
    mean = np.array([0.0, 0.3, 0.9, 2.0])
    stress = np.zeros((4000, 4, 3))
    stress[:, :, 1] = mean + np.sin(phase)[:, None]
    found = shear_indices(jnp.asarray(stress))
    low = np.minimum(mean, 1)
    average = np.where(mean < 1, 2 / np.pi * (low * np.arcsin(low) + np.sqrt(1 - low**2)), mean)
    np.testing.assert_allclose(found.time_averaged, average, rtol=1e-5)
    np.testing.assert_allclose(found.oscillatory, (1 - mean / average) / 2, atol=1e-5)
    np.testing.assert_allclose(found.residence[1:], 1 / mean[1:], rtol=1e-5)
    with np.errstate(divide="ignore"):
        np.testing.assert_allclose(found.residence[1:], 1 / ((1 - 2 * found.oscillatory[1:]) * found.time_averaged[1:]), rtol=1e-5)
    turning = np.stack([np.cos(phase), np.sin(phase), 0 * phase], axis=1)[:, None]
    assert float(shear_indices(jnp.asarray(turning)).oscillatory[0]) == pytest.approx(0.5, abs=1e-9)
    assert float(shear_indices(jnp.zeros((4, 1, 3))).oscillatory[0]) == 0


def test_vorticity_is_exact_for_quadratic_flow_inside():
    domain = lattice_domain(D3Q19, face_patches(np.ones((6, 7, 5), bool), {}))
    x, y, z = np.meshgrid(*[np.arange(n, dtype=float) for n in (6, 7, 5)], indexing="ij")
    field = domain.cells(jnp.asarray(np.stack([y * y + z, x * z, 2 * x * y - z * z])))
    curl = np.asarray(domain.volume(vorticity(domain, field)))[:, 1:-1, 1:-1, 1:-1]
    exact = np.stack([2 * x - x, 1 - 2 * y, z - 2 * y])[:, 1:-1, 1:-1, 1:-1]
    np.testing.assert_allclose(curl, exact, atol=1e-12)


@pytest.mark.parametrize("alpha", [0.5, 4.0, 20.0])
def test_pulsatile_wall_shear_belongs_to_the_profile_that_carries_the_flow(alpha):
    """Flow by quadrature and slope by differences of Womersley's velocity, not by the ratio of Bessel functions in the code."""
    radius, density, viscosity = 2e-3, 1060.0, 3.5e-3
    frequency = alpha**2 * viscosity / (density * radius**2)
    period = 2 * np.pi / frequency
    assert womersley_number(radius, period, viscosity / density) == pytest.approx(alpha)
    root = np.sqrt(-1j) * alpha
    place, weight = np.polynomial.legendre.leggauss(60)
    r, weight = (place + 1) / 2 * radius, weight / 2 * radius
    phase = np.arange(64) * 2 * np.pi / 64

    def speed(r):
        return np.real(np.exp(1j * phase)[:, None] / 1j * (1 - jv(0, root * r / radius) / jv(0, root)))

    flow = (speed(r) * 2 * np.pi * r * weight).sum(axis=1)
    step = 1e-4 * radius
    near = speed(radius - step * np.array([0.0, 1.0, 2.0]))
    slope_in = (-1.5 * near[:, 0] + 2 * near[:, 1] - 0.5 * near[:, 2]) / step
    found = womersley_shear(flow + 1e-9, radius, period, density, viscosity)
    np.testing.assert_allclose(found, viscosity * slope_in + 4 * viscosity * 1e-9 / (np.pi * radius**3), atol=1e-5 * np.abs(found).max())
