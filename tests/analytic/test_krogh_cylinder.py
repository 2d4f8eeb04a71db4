"""Krogh's cylinder: against its differential equation, and voxels against it."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad

from physics import SECOMB_2004, CapillaryExchange, KroghCylinder, capillary_bed, exchange_coefficient, oxygen_exchange
from solvers import VoxelGrid
from tests.problems import number, slope

TUMOUR = {name: SECOMB_2004[name].value for name in SECOMB_2004}
D, M0, A, K = (TUMOUR[name] for name in ("krogh_diffusivity", "demand", "capillary_radius", "resistance"))


def cylinder(tissue, blood=60.0, demand=M0):
    return KroghCylinder(number(A), number(tissue), number(demand), number(D), number(K), number(blood))


@pytest.mark.parametrize("tissue", [0.05, 0.11])
def test_flux_balance_and_integrals(tissue):
    """The gradient carries what is consumed outside of every radius, the wall what is consumed in all, and means are integrals."""
    found = cylinder(tissue)
    supplied = float(found.supplied_radius())
    assert (supplied < tissue) == (tissue == 0.11)
    for r in np.linspace(A, supplied, 5)[:-1]:
        gradient = float(jax.grad(lambda r: found.pressure(r))(number(r)))
        assert -2 * np.pi * r * D * gradient == pytest.approx(np.pi * M0 * (supplied**2 - r**2), rel=1e-10)
    delivered = (60.0 - float(found.pressure(number(A)))) / K
    assert delivered == pytest.approx(np.pi * M0 * (supplied**2 - A**2), rel=1e-10)
    area = tissue**2 - A**2
    mean = quad(lambda r: 2 * r * float(found.pressure(number(r))) / area, A, tissue, epsabs=1e-9, points=[supplied])[0]
    assert float(found.mean_pressure()) == pytest.approx(mean, rel=1e-7)
    assert float(found.share()) == pytest.approx((supplied**2 - A**2) / area)


def test_lethal_corner():
    """At the lethal radius pressure and flux vanish; a cylinder just smaller has oxygen everywhere; the derivative is the implicit one."""
    lethal = float(cylinder(0.2).lethal_radius())
    assert float(cylinder(0.2).pressure(number(lethal))) == pytest.approx(0, abs=1e-9)
    assert float(cylinder(lethal * 0.999).pressure(number(lethal * 0.999))) > 0
    assert 0.05 < lethal < 0.1  # tumour cords: 60 to 120 um from the vessel
    below = cylinder(0.068).fraction_below(10.0)
    edge = np.sqrt(0.068**2 - float(below) * (0.068**2 - A**2))
    assert 0 < float(below) < 1
    assert float(cylinder(0.068).pressure(number(edge))) == pytest.approx(10.0, abs=1e-6)

    def radius(blood, demand):
        return KroghCylinder(number(A), number(0.2), demand, number(D), number(K), blood).lethal_radius()

    gradient = jax.grad(radius, argnums=(0, 1))(number(60.0), number(M0))
    for k, size in ((0, 1e-3), (1, 1e-8)):
        shifted = [radius(number(60.0 + (k == 0) * s * size), number(M0 + (k == 1) * s * size)) for s in (1, -1)]
        assert float(gradient[k]) == pytest.approx(float(shifted[0] - shifted[1]) / (2 * size), rel=1e-6)


def test_blood_without_oxygen_supplies_nothing():
    found = cylinder(0.05, blood=0.0)
    assert float(found.share()) == pytest.approx(0, abs=1e-12)
    assert float(found.mean_pressure()) == pytest.approx(0, abs=1e-9)


def slab(count, demand):
    """A wall of capillaries of 0.02 mm, of one exchange coefficient, beside 0.08 mm of tissue."""
    grid = VoxelGrid(np.ones((count, 1, 1), bool), 0.1 / count)
    x = (np.arange(count) + 0.5) * 0.1 / count
    inside, zero = jnp.asarray(x < 0.02, float), jnp.zeros(count)
    exchange = 2e-4 * inside
    half = number(1e-4)  # takes 1e-4 mmHg off, far below the errors
    return CapillaryExchange(grid, number(D), exchange, 40.0 * exchange, demand * (1 - inside), half, zero, (False,) * 3), x


@pytest.mark.slow  # a program per resolution
def test_a_slab_at_order_two():
    """A hyperbolic cosine among the capillaries, a parabola in the tissue."""
    demand, k, errors, counts = 2e-4, 2e-4, [], np.array([20, 30, 40, 60])
    rate = np.sqrt(k / D)
    fall = demand * 0.08 / D / (rate * np.sinh(rate * 0.02))
    for count in counts:
        problem, x = slab(int(count), demand)
        solution = problem.solve()
        solution.raise_for_status()
        edge = 40.0 - fall * np.cosh(rate * 0.02)
        exact = np.where(x < 0.02, 40.0 - fall * np.cosh(rate * x), edge - demand / D * ((0.08**2 - (0.1 - x) ** 2) / 2))
        errors.append(np.abs(np.asarray(solution.field) - exact).max())
    assert slope(1 / counts, errors) == pytest.approx(2, abs=0.2)


def covered(count, h, centre, radius):
    x = (np.arange(20 * count) + 0.5) * h / 20 - centre
    return (np.add.outer(x**2, x**2) <= radius**2).reshape(count, 20, count, 20).mean(axis=(1, 3)).reshape(-1)


@pytest.mark.slow  # a program per resolution
def test_voxels_converge_to_the_cylinder():
    """Consumption in the ring only, so that outside of it pressure is flat and walls do nothing. The capillary is off the voxels."""
    tissue, box, errors, counts = 0.05, 0.12, [], np.array([24, 36, 72, 144])
    exact = cylinder(tissue)
    for count in counts:
        h = box / count
        centre = box / 2 + 0.3 * h
        grid = VoxelGrid(np.ones((count, count, 1), bool), h)
        bed = capillary_bed(grid, np.array([[centre, centre, 0]]), np.array([[centre, centre, h]]), A)
        problem = oxygen_exchange(grid, bed, number(60.0), exchange_coefficient(K, D, A), number(D), number(M0), number(1e-2))
        ring = covered(count, h, centre, tissue) - covered(count, h, centre, A)
        ring *= np.pi * (tissue**2 - A**2) / (ring.sum() * h**2)
        problem = eqx.tree_at(lambda p: p.demand, problem, jnp.asarray(M0 * ring))
        solution = problem.solve()
        solution.raise_for_status()
        mean = float(jnp.sum(solution.field * ring) / ring.sum())
        errors.append(abs(mean - float(exact.mean_pressure())))
    assert slope(1 / counts, errors) > 1.6 and errors[-1] < 0.07
