"""Gradient, divergence, fluxes, sources and transfers on masks, against what they must be exactly."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from solvers.grid import VoxelGrid
from solvers.space.differences import (
    diffusive_flux,
    divergence,
    face_differences,
    flux_between,
    flux_through_plane,
    gradient,
    to_faces,
    total,
)
from solvers.space.diffusion import Diffusion
from solvers.space.sources import point_source, surface_area, surface_source, volume_source
from solvers.space.transfer import Transfer, coarsened
from solvers.space.walls import Dirichlet, Neumann, Robin, Walls
from tests.problems import noise, quick_jit, slitted_mask, slope

SPACING = (1.0, 1.7, 0.6)
GRID = VoxelGrid(slitted_mask((7, 6, 5)), SPACING)
ACTIVE = np.asarray(GRID.mask).reshape(-1)


def coordinates(grid):
    return np.stack(np.meshgrid(*map(np.asarray, grid.centres()), indexing="ij")).reshape(3, -1)


def test_the_gradient_of_a_linear_field_is_exact_wherever_a_neighbour_exists():
    field = jnp.asarray(np.where(ACTIVE, np.array([2.0, -3.0, 0.5]) @ coordinates(GRID) + 1, 0))
    found = np.asarray(gradient(GRID, field))
    for axis, exact in enumerate((2.0, -3.0, 0.5)):
        faces = np.asarray(GRID.interior_faces(axis)).reshape(GRID.shape)
        has = (faces | np.roll(faces, 1, axis=axis)).reshape(-1)
        np.testing.assert_allclose(found[axis], np.where(has, exact, 0), atol=1e-12)


def test_divergence_is_minus_the_transpose_of_the_differences_and_keeps_the_integral():
    fluxes, field = noise((3, GRID.size), 1), noise((GRID.size,), 2)
    change = divergence(GRID, fluxes)
    assert float(jnp.vdot(change, field)) == pytest.approx(-float(jnp.vdot(fluxes, face_differences(GRID, field))), rel=1e-12)
    assert abs(float(change.sum())) < 1e-12
    assert not np.asarray(change)[~ACTIVE].any()


def test_the_divergence_of_a_vector_field_converges_at_order_two():
    errors, counts = [], (12, 18, 27, 40)
    for n in counts:
        grid = VoxelGrid(np.ones((n, n, 1), bool), (1 / n, 1 / n, 1.0))
        x, y, _ = coordinates(grid) + 0.5 / n
        vectors = jnp.asarray(np.stack([np.sin(3 * x) * y, np.cos(2 * y + x), 0 * x]))
        found = np.asarray(quick_jit(lambda v, grid=grid: divergence(grid, to_faces(grid, v)))(vectors)).reshape(n, n)
        exact = (3 * np.cos(3 * x) * y - 2 * np.sin(2 * y + x)).reshape(n, n)
        errors.append(np.abs(found - exact)[1:-1, 1:-1].max())
    assert slope(1 / np.array(counts), errors) == pytest.approx(2, abs=0.2)


def test_minus_the_divergence_of_the_diffusive_flux_is_the_operator():
    operator = Diffusion(GRID, noise(GRID.shape, 1, 0.1, 2.0), 0.7)
    field = GRID.cells(noise(GRID.shape, 2))
    np.testing.assert_allclose(-divergence(GRID, diffusive_flux(GRID, operator, field)), operator.apply(field), atol=1e-12)


def test_fluxes_between_regions_add_up_to_what_the_region_loses():
    """Three labels that fill the mask: what leaves one is what the others gain, and the planes see the same."""
    operator = Diffusion(GRID, noise(GRID.shape, 1, 0.1, 2.0))
    fields = jnp.where(jnp.asarray(ACTIVE)[None], noise((2, GRID.size), 2), 0)
    fluxes = diffusive_flux(GRID, operator, fields)
    labels = np.asarray(noise(GRID.shape, 3, 0, 3)).astype(int)
    lost = -GRID.voxel_volume * np.where((labels.reshape(-1) == 0) & ACTIVE, operator.apply(fields), 0).sum(axis=1)
    through = [quick_jit(lambda f, k=k: flux_between(GRID, f, labels == 0, labels == k))(fluxes) for k in (1, 2)]
    np.testing.assert_allclose(through[0] + through[1], lost, atol=1e-12)
    np.testing.assert_allclose(flux_between(GRID, fluxes, labels == 1, labels == 0), -through[0], atol=1e-12)
    for axis in range(3):
        below = (np.arange(GRID.shape[axis]) <= 1).reshape([-1 if a == axis else 1 for a in range(3)]) & np.ones(GRID.shape, bool)
        np.testing.assert_allclose(flux_through_plane(GRID, fluxes, axis, 1), flux_between(GRID, fluxes, below, ~below), atol=1e-12)


@pytest.mark.slow
def test_what_a_slab_conducts_at_steady_state():
    """Dirichlet on one side, Robin on the other, two layers: resistances in series, at every plane."""
    grid = VoxelGrid(np.ones((8, 2, 3), bool), (0.5, 1.0, 2.0))
    diffusivity = np.where(np.arange(8) < 3, 2.0, 0.1)[:, None, None] * np.ones(grid.shape)
    walls = Walls(grid, {"x-": Dirichlet(4.0), "x+": Robin(0.7, 1.0)})
    operator = Diffusion(grid, jnp.asarray(diffusivity), walls=walls)
    steady = jnp.linalg.solve(operator.apply(jnp.eye(grid.size)), -operator.source)
    fluxes = diffusive_flux(grid, operator, steady)
    expected = (4 - 1) / (1.5 / 2.0 + 2.5 / 0.1 + 1 / 0.7) * (2 * 1.0 * 3 * 2.0)
    for index in range(7):
        assert float(flux_through_plane(grid, fluxes, 0, index)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("position", [(3.2, 4.1, 1.3), (0.0, 0.0, 0.0), (-50.0, 3.0, 80.0), (2.0, 5.1, 1.2)])
def test_a_point_source_gives_its_rate_to_active_voxels(position):
    source = quick_jit(lambda p: point_source(GRID, p, 2.5))(jnp.asarray(position))
    assert float(total(GRID, source)) == pytest.approx(2.5, rel=1e-13)
    assert float(source.min()) >= 0 and not np.asarray(source)[~ACTIVE].any()


@pytest.mark.slow
def test_a_point_source_inside_has_its_centre_of_mass_at_the_point():
    grid = VoxelGrid(np.ones((5, 6, 4), bool), SPACING)
    positions = jnp.asarray([[2.3, 5.0, 1.1], [0.4, 2.2, 0.7]])
    sources = np.asarray(jax.vmap(lambda p: point_source(grid, p))(positions)) * grid.voxel_volume
    np.testing.assert_allclose(sources @ coordinates(grid).T, positions, atol=1e-12)
    slopes = np.asarray(jax.jacfwd(lambda p: point_source(grid, p))(positions[0])) * grid.voxel_volume
    np.testing.assert_allclose(coordinates(grid) @ slopes, np.eye(3), atol=1e-12)


def test_volume_and_surface_sources():
    weights = noise(GRID.shape, 4)
    source = volume_source(GRID, weights, 3.0)
    assert float(total(GRID, source)) == pytest.approx(3.0)
    share = np.where(ACTIVE, weights.reshape(-1), 0)
    np.testing.assert_allclose(source / source.sum(), share / share.sum(), atol=1e-15)
    cavity = np.ones((6, 5, 4), bool)
    cavity[2:4, 2, 1] = False
    grid = VoxelGrid(cavity, SPACING)
    area = 2 * (1.7 * 0.6) + 4 * (1.0 * 0.6) + 4 * (1.0 * 1.7)
    assert float(surface_area(grid, ~cavity)) == pytest.approx(area)
    entering = surface_source(grid, ~cavity, 0.3)
    assert float(total(grid, entering)) == pytest.approx(0.3 * area)
    wall = Diffusion(grid, 1.0, walls=Walls(grid, surfaces=[(~cavity, Neumann(0.3))])).source
    np.testing.assert_allclose(entering, wall, atol=1e-14)


@pytest.mark.parametrize("spacing", [(2.0, 3.4, 1.2), (1.6, 2.9, 0.7), (0.8, 1.7, 2.3)])
@pytest.mark.quick(1)
def test_transfers_keep_integral_constants_range_and_are_adjoint(spacing):
    coarse = coarsened(GRID, spacing)
    transfer = Transfer(GRID, coarse)
    assert float(transfer.uncovered()) == 0
    fine = GRID.cells(noise(GRID.shape, 1, 1.0, 2.0))
    other = coarse.cells(noise(coarse.shape, 2, 1.0, 2.0))
    down, up = transfer.restrict(fine), transfer.prolong(other)
    assert float(jnp.vdot(transfer.active_volume, down)) == pytest.approx(float(total(GRID, fine)), rel=1e-13)
    assert float(total(GRID, up)) == pytest.approx(float(jnp.vdot(transfer.active_volume, other)), rel=1e-13)
    one = coarse.mask.reshape(-1) * 1.0
    for order in ("constant", "linear"):
        np.testing.assert_allclose(transfer.prolong(one, order), ACTIVE * 1.0, atol=1e-13)
        integral = total(GRID, transfer.prolong(other, order))
        assert float(integral) == pytest.approx(float(jnp.vdot(transfer.active_volume, other)), rel=1e-12)
    np.testing.assert_allclose(transfer.restrict(jnp.asarray(ACTIVE * 1.0)), one, atol=1e-13)
    assert float(down[coarse.mask.reshape(-1)].min()) >= 1 - 1e-13 and float(down.max()) <= 2 + 1e-13
    left = float(jnp.vdot(transfer.active_volume * down, other))
    assert left == pytest.approx(float(jnp.vdot(fine, up)) * GRID.voxel_volume, rel=1e-13)


@pytest.mark.slow
def test_linear_prolongation_is_of_order_two_and_keeps_means_for_a_whole_ratio():
    errors, counts = [], (6, 9, 14, 20)
    for n in counts:
        fine, coarse = VoxelGrid(np.ones((3 * n, 2 * n, 1), bool), (1 / (3 * n), 1 / (2 * n), 1.0)), None
        coarse = coarsened(fine, (1 / n, 1 / n, 1.0))
        transfer = Transfer(fine, coarse)

        def means(edges_x, edges_y):
            along = [np.diff(np.sin(k * edges)) / (k * np.diff(edges)) for k, edges in ((2.0, edges_x), (3.0, edges_y))]
            return jnp.asarray((along[0][:, None] * along[1][None, :]).reshape(-1))

        given = means(np.linspace(0, 1, n + 1), np.linspace(0, 1, n + 1))
        exact = means(np.linspace(0, 1, 3 * n + 1), np.linspace(0, 1, 2 * n + 1))
        np.testing.assert_allclose(transfer.restrict(exact), given, atol=1e-13)
        found = transfer.prolong(given, "linear")
        np.testing.assert_allclose(transfer.restrict(found), given, atol=1e-13)
        errors.append(np.abs(found - exact).reshape(3 * n, 2 * n)[3:-3, 2:-2].max())
    assert slope(1 / np.array(counts), errors) == pytest.approx(2, abs=0.2)


def test_transfer_transposes_by_jax_are_the_stated_adjoints():
    coarse = coarsened(GRID, (1.6, 2.9, 0.7))
    transfer = Transfer(GRID, coarse, dtype=jnp.float64)
    weight = noise((coarse.size,), 3)
    (pulled,) = jax.linear_transpose(transfer.restrict, jnp.zeros(GRID.size))(weight)
    scaled = jnp.where(transfer.active_volume > 0, weight / jnp.where(transfer.active_volume > 0, transfer.active_volume, 1), 0)
    np.testing.assert_allclose(pulled, GRID.voxel_volume * transfer.prolong(scaled), atol=1e-13)
