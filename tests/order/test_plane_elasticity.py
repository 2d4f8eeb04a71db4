"""Elastic sections: patch, bending, order on curved elements at every ratio of moduli, and Lamé's ring."""

import jax.numpy as jnp
import numpy as np
import pytest

from solvers.linear.block_ring import BlockRing
from solvers.space.plane_elasticity import PlaneElasticity
from solvers.space.quadratic_mesh import QuadraticMesh
from solvers.status import SimulationError, Status
from tests.elastic_sections import body, border, held, lame, manufactured, ring, square
from tests.problems import number, quick_jit, slope


@quick_jit
def solved(section, pressure):
    return section.solve(section.mesh.pressure_load(pressure))


stresses = quick_jit(lambda section, moved: section.stress(moved))
at_lumen = quick_jit(
    lambda section, moved: (section.stress(moved, (0.0,), (-1.0,))[:, 0, 0], section.mesh.places((0.0,), (-1.0,))[:, 0, 0])
)


def test_the_ring_of_blocks_equals_a_dense_solve():
    random = np.random.default_rng(0)
    for blocks in (3, 5):
        part = random.normal(size=(blocks, 3, 3))
        dense = np.zeros((blocks, 3, blocks, 3))
        for i in range(blocks):
            dense[i, :, i] += 12 * np.eye(3)
            dense[i, :, (i + 1) % blocks] += part[i]
            dense[(i + 1) % blocks, :, i] += part[i].T
        ring_of = BlockRing(jnp.asarray(np.broadcast_to(12 * np.eye(3), part.shape)), jnp.asarray(part))
        right = random.normal(size=(blocks, 3))
        exact = np.linalg.solve(dense.reshape(3 * blocks, -1), right.reshape(-1)).reshape(right.shape)
        np.testing.assert_allclose(quick_jit(lambda a, b: a.solve(b))(ring_of, jnp.asarray(right)), exact, rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(ring_of.apply(jnp.asarray(exact)), right, rtol=1e-12, atol=1e-12)
    with pytest.raises(ValueError, match="three blocks"):
        BlockRing(ring_of.diagonal[:2], ring_of.upper[:2])


@pytest.mark.parametrize("bulk", [pytest.param(1.0, marks=pytest.mark.slow), 1e6])
@pytest.mark.slow
def test_a_patch_of_bent_elements_keeps_every_linear_field(bulk):
    mesh = square(3, 2, bent=0.1)
    section = body(mesh, 1.3, bulk, free=border(mesh))
    slopes = jnp.array([[0.2, 0.5], [-0.1, -0.2 + 0.3 / bulk]])
    exact = mesh.nodes @ slopes.T
    found = quick_jit(held)(section, jnp.zeros_like(exact), exact)
    np.testing.assert_allclose(found, exact, atol=1e-9)
    strain, trace = (slopes + slopes.T) / 2, jnp.trace(slopes)
    stress = 2.6 * (strain - trace / 3 * jnp.eye(2)) + bulk * trace * jnp.eye(2)
    zz = bulk * trace - 2.6 * trace / 3
    exact_stress = jnp.array([stress[0, 0], stress[1, 1], zz, stress[0, 1]])
    np.testing.assert_allclose(stresses(section, found), jnp.broadcast_to(exact_stress, (3, 2, 9, 4)), atol=1e-6)


@pytest.mark.slow
def test_a_slender_strip_bends_without_locking():
    """One element high, two long, 40 times as long as high, and hardly compressible: pure bending is met to round-off."""
    mesh, shear, bulk = square(2, 1, length=40.0), 1.0, 1e5
    free = np.ones(mesh.nodes.shape, bool)
    free[0], free[-1] = False, False
    section = body(mesh, shear, bulk, free=free)
    x, y = mesh.nodes[..., 0], mesh.nodes[..., 1] - 0.5
    first = bulk - 2 * shear / 3
    turned = first / (first + 2 * shear)
    exact = jnp.stack([x * y, -(x**2) / 2 - turned * y**2 / 2], axis=-1)
    found = quick_jit(held)(section, jnp.zeros_like(exact), exact)
    np.testing.assert_allclose(found, exact, atol=1e-6 * float(jnp.abs(exact).max()))
    places = mesh.places(*2 * (tuple(np.sqrt(0.6) * np.array([-1.0, 0.0, 1.0])),))
    stiff = 4 * shear * (first + shear) / (first + 2 * shear)
    np.testing.assert_allclose(stresses(section, found)[..., 0], stiff * (places[..., 1] - 0.5), atol=1e-3)


@pytest.mark.parametrize("bulk", [5.0, pytest.param(1e6, marks=pytest.mark.slow)])
@pytest.mark.slow
def test_order_three_of_displacement_and_two_of_stress(bulk):
    sides = (3, 4, 6, 8)
    moved, stressed = zip(*[manufactured(n, bulk) for n in sides])
    widths = [1 / n for n in sides]
    assert slope(widths, stressed) > 1.8, stressed
    assert slope(widths, moved) > 2.8, moved
    assert moved[-1] < 1e-3 and stressed[-1] < 1e-2


@pytest.mark.slow
def test_thick_ring_under_pressure():
    sizes = ((6, 1), (8, 2), (12, 3), (16, 4))
    hoop, moved = zip(*[lame(*size) for size in sizes])
    widths = [1 / size[0] for size in sizes]
    assert slope(widths, hoop) > 1.8, hoop
    assert slope([*widths[1:], 1 / 24], [*moved[1:], lame(24, 6)[1]]) > 2.8, moved
    assert hoop[1] < 0.03 and hoop[-1] < 0.01


@pytest.mark.slow
def test_jumps_along_elements_keep_the_ring_exact():
    """Two layers, one four times as stiff: Lamé's constants of both from displacement and radial stress at their border."""
    mesh = ring(16, 4, 1.0, 1.5)
    shear = jnp.ones((16, 4, 9)).at[:, 2:].set(4.0)
    section = PlaneElasticity(mesh, shear, jnp.full_like(shear, 1e4), number(1e-5))
    found = solved(section, number(1.0))
    inner, middle, outer = 1.0, 1.25, 1.5
    # sigma_r = q - 2 G c/r², u = c/r + q r/(2 (K + G/3)): unknown c, q of both layers.
    rows, right = np.zeros((4, 4)), np.array([-1.0, 0.0, 0.0, 0.0])
    soft = [1 / (2 * (1e4 + g / 3)) for g in (1.0, 4.0)]
    rows[0, :2] = -2 / inner**2, 1
    rows[1, 2:] = -8 / outer**2, 1
    rows[2] = 1 / middle, soft[0] * middle, -1 / middle, -soft[1] * middle
    rows[3] = -2 / middle**2, 1, 8 / middle**2, -1
    c, q = np.linalg.solve(rows, right)[:2]
    stress, place = at_lumen(section, found.displacement)
    s, co = (place / jnp.linalg.norm(place, axis=1)[:, None])[:, ::-1].T
    hoop = stress[:, 0] * s**2 + stress[:, 1] * co**2 - 2 * stress[:, 3] * s * co
    np.testing.assert_allclose(hoop, q + 2 * c / inner**2, rtol=0.01)


def test_what_cannot_stand_is_a_status():
    mesh = ring(6, 1)
    loose = body(mesh, support=-1.0)
    found = solved(loose, number(1.0))
    assert int(found.status) == Status.NOT_FINITE
    with pytest.raises(SimulationError, match="not positive definite"):
        found.raise_for_status()
    with pytest.raises(ValueError, match="moduli of shape"):
        PlaneElasticity(mesh, jnp.ones((5, 1, 9)), jnp.ones((5, 1, 9)), number(0.0))
    with pytest.raises(ValueError, match="expected an even number of lines"):
        QuadraticMesh(mesh.nodes[:-1])
