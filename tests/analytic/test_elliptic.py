"""Poisson's equation against closed forms: on a box, in a ball made of voxels, and around a sphere of another conductivity."""

import jax.numpy as jnp
import numpy as np
import pytest

from solvers.grid import VoxelGrid
from solvers.linear.components import connected_components
from solvers.linear.elliptic import solve_elliptic
from solvers.linear.multigrid import multigrid
from solvers.space.diffusion import Diffusion
from solvers.space.walls import Dirichlet, Walls
from solvers.status import Status
from tests.problems import slope


def solved(operator, source, components=None):
    solution = solve_elliptic(operator, source, components=components, tolerance=1e-10)
    assert int(solution.status) == Status.SUCCESS
    return np.asarray(solution.field)


def centred(edge, half_width):
    """Coordinates of the voxel centres of a cube of this half width around the origin, and the spacing."""
    spacing = 2 * half_width / edge
    axis = (np.arange(edge) + 0.5) * spacing - half_width
    return np.meshgrid(axis, axis, axis, indexing="ij"), spacing


def errors(found, expected, weight):
    """Root of the mean square over a set of voxels, over that of the solution."""
    return float(np.sqrt(((found - expected)[weight] ** 2).mean() / (expected[weight] ** 2).mean()))


@pytest.mark.slow
def test_no_flux_box_at_order_two():
    edges, found = (8, 11, 16, 22), []
    for edge in edges:
        shape = (edge, edge + 2, edge - 1)
        spacing = tuple(1 / n for n in shape)
        grid = VoxelGrid(np.ones(shape, bool), spacing)
        x, y, z = np.meshgrid(*((np.arange(n) + 0.5) / n for n in shape), indexing="ij")
        exact = np.cos(np.pi * x) * np.cos(2 * np.pi * y) + np.cos(2 * np.pi * z)
        source = np.pi**2 * (5 * np.cos(np.pi * x) * np.cos(2 * np.pi * y) + 4 * np.cos(2 * np.pi * z))
        field = solved(Diffusion(grid, 1.0), grid.cells(jnp.asarray(source - source.mean())))
        assert abs(field.mean()) < 1e-12
        found.append(errors(field.reshape(shape), exact - exact.mean(), np.ones(shape, bool)))
    assert slope([1 / edge for edge in edges], found) == pytest.approx(2, abs=0.2)


@pytest.mark.slow
def test_a_ball_with_no_flux_converges_at_first_order():
    """-lap u = 10 z without flux at r = 1: u = z (3 - r^2)."""
    edges, found = (12, 17, 24, 34), []
    for edge in edges:
        (x, y, z), spacing = centred(edge, 1.1)
        radius = np.sqrt(x**2 + y**2 + z**2)
        mask = radius < 1
        grid = VoxelGrid(mask, spacing)
        exact = z * (3 - radius**2)
        source = 10 * z * mask
        field = solved(Diffusion(grid, 1.0), grid.cells(jnp.asarray(source)))
        found.append(errors(field.reshape(mask.shape), exact, mask))
    assert slope([1 / edge for edge in edges], found) == pytest.approx(1, abs=0.2)
    assert found[-1] < 0.03


@pytest.mark.slow
def test_a_ball_held_at_its_staircase_wall_converges_at_first_order():
    """-lap u = 6 with u = 0 at r = 1: u = 1 - r^2; held on the outer faces of the voxels."""
    edges, found, core = (12, 17, 24, 34), [], []
    for edge in edges:
        (x, y, z), spacing = centred(edge, 1.1)
        radius = np.sqrt(x**2 + y**2 + z**2)
        mask = radius < 1
        grid = VoxelGrid(mask, spacing)
        operator = Diffusion(grid, 1.0, walls=Walls(grid, surfaces=[(~mask, Dirichlet(0.0))]))
        field = solved(operator, grid.cells(jnp.full(mask.shape, 6.0))).reshape(mask.shape)
        found.append(errors(field, 1 - radius**2, mask))
        core.append(errors(field, 1 - radius**2, radius < 0.5))
    assert slope([1 / edge for edge in edges], found) == pytest.approx(1, abs=0.2)
    assert found[-1] < 0.03 and core[-1] < 0.02


@pytest.mark.slow
@pytest.mark.parametrize(("inside", "anisotropic"), [(100.0, True), (100.0, False), (0.01, False)])
def test_a_sphere_of_another_conductivity_in_a_uniform_field(inside, anisotropic):
    """Maxwell: inside E = 3/(2 + s) z, outside z - (s - 1)/(s + 2) a^3 z / r^3, held at that on the box; voxels cut the sphere."""
    a, edges, found = 0.5, (12, 16, 22, 30), []
    for edge in edges:
        shape = (edge, edge, edge // 2) if anisotropic else (edge,) * 3
        spacing = tuple(2 / n for n in shape)
        x, y, z = np.meshgrid(*((np.arange(n) + 0.5) * h - 1 for n, h in zip(shape, spacing, strict=True)), indexing="ij")

        def exact(x, y, z):
            radius = np.sqrt(x**2 + y**2 + z**2)
            ratio = (inside - 1) / (inside + 2)
            return np.where(radius < a, (1 - ratio) * z, z * (1 - ratio * a**3 / np.maximum(radius, a) ** 3))

        # A voxel belongs to the sphere if half of it does; blending conductivities instead measured worse.
        part = np.zeros(shape)
        offsets = (np.arange(4) + 0.5) / 4 - 0.5
        for shift in np.stack(np.meshgrid(offsets, offsets, offsets), -1).reshape(-1, 3) * spacing:
            part += (x + shift[0]) ** 2 + (y + shift[1]) ** 2 + (z + shift[2]) ** 2 < a**2
        conductivity = np.where(part > 32, inside, 1.0)
        grid = VoxelGrid(np.ones(shape, bool), spacing)
        sides = {}
        for number, name in enumerate("xyz"):
            for sign, end in (("-", 0), ("+", -1)):
                points = [np.take(c, [end], axis=number) for c in (x, y, z)]
                points[number] = np.full_like(points[number], -1.0 if end == 0 else 1.0)
                sides[f"{name}{sign}"] = Dirichlet(jnp.asarray(np.broadcast_to(exact(*points), shape)))
        operator = Diffusion(grid, conductivity, walls=Walls(grid, sides))
        field = solved(operator, operator.source)
        found.append(errors(field.reshape(shape), exact(x, y, z), np.ones(shape, bool)))
    assert slope([1 / edge for edge in edges], found) > 0.8
    assert found[-1] < 0.01


@pytest.mark.slow
def test_the_hierarchy_and_components_serve_every_right_hand_side():
    """Eigenfunctions of the ball's voxels: what the operator makes of a field is solved back to it."""
    (x, y, z), spacing = centred(14, 1.1)
    grid = VoxelGrid(x**2 + y**2 + z**2 < 1, spacing)
    operator = Diffusion(grid, 1.0)
    components = connected_components(operator)
    fields = jnp.stack([grid.cells(jnp.asarray(f)) for f in (x, y * z, x**2 - z**2 + 0.3 * y)])
    fields = components.without_mean(fields, jnp.ones(grid.size, bool))
    solution = solve_elliptic(operator, -operator.apply(fields), preconditioner=multigrid(operator), components=components, tolerance=1e-12)
    np.testing.assert_allclose(solution.field, fields, rtol=0, atol=1e-10)
