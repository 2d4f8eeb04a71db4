"""Currents into a conductor of voxels against closed forms: point sources, balls, images, tensors, networks of resistors."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest

from physics import (
    activated_volume,
    activating_function,
    conductivity_from_diffusion,
    fibre_coefficients,
    fibre_conductivity,
    field_per_milliampere,
    strength,
)
from solvers import Diffusion, Dirichlet, TensorDiffusion, VoxelGrid, Walls, solve_elliptic
from solvers.linear.elliptic import Jacobi
from tests.diffusion_files import FSL, MRTRIX, SHAPE, WORLD, fsl_axes, oblique, write
from tests.electrodes import distances, lead_conductor, solved, sphere_conductor
from tests.problems import matrix, slope
from twinsim.diffusion_tensors import read_tensors, tensors_onto

HALF = 5.0
EDGES = (13, 17, 23, 31)
SIDES = ("x-", "x+", "y-", "y+", "z-", "z+")


def cube(edge, half=HALF):
    """Centres of the voxels of a cube with an odd edge, the middle one at zero, and the spacing."""
    h = 2 * half / edge
    axis = (np.arange(edge) - edge // 2) * h
    return np.stack(np.meshgrid(axis, axis, axis, indexing="ij")), h


def point_source(edge, exact, coefficient, insulated=(), potential=False, half=HALF):
    """1 mA in the middle voxel, the potential given at all walls but insulated ones; relative error of E or of that beyond 2 mm."""
    x, h = cube(edge, half)
    grid = VoxelGrid(np.ones((edge,) * 3, bool), h)
    sides = {}
    for number, name in enumerate(SIDES):
        if name not in insulated:
            at = x.copy()
            at[number // 2] += (1 if number % 2 else -1) * h / 2
            sides[name] = Dirichlet(jnp.asarray(exact(at)))
    tensor = np.ndim(coefficient(x)) == 5
    operator = (TensorDiffusion if tensor else Diffusion)(grid, coefficient(x), walls=Walls(grid, sides))
    middle = np.ravel_multi_index((edge // 2,) * 3, grid.shape)
    source = operator.source.at[middle].add(1 / h**3)
    solution = solve_elliptic(operator, source, preconditioner=Jacobi(-operator.diagonal()), tolerance=1e-10, max_iterations=2000)
    solution.raise_for_status()
    phi = np.asarray(solution.field).reshape(grid.shape)
    # Smoothly from 2 mm on: which voxels are nearest must not matter.
    weight = np.clip(np.linalg.norm(x, axis=0) - 2, 0, 1) ** 2
    if potential:
        return float(np.sqrt((weight * (phi - exact(x)) ** 2).sum() / (weight * exact(x) ** 2).sum())), h
    inner = (slice(1, -1),) * 3
    field = np.stack(np.gradient(-phi, h))[(slice(None), *inner)]
    step = 1e-4
    truth = -np.stack([(exact(x + step * unit) - exact(x - step * unit)) / (2 * step) for unit in np.eye(3)[:, :, None, None, None]])
    truth, weight = truth[(slice(None), *inner)], weight[inner]
    return float(np.sqrt((weight * (field - truth) ** 2).sum() / (weight * truth**2).sum())), h


def fitted(edges, *arguments, **options):
    found = [point_source(edge, *arguments, **options) for edge in edges]
    return slope([h for _, h in found], [error for error, _ in found]), found[-1][0]


def radius_of(x, shift=(0.0, 0.0, 0.0)):
    return np.maximum(np.sqrt(sum((x[a] - shift[a]) ** 2 for a in range(3))), 1e-9)


@pytest.mark.slow
def test_a_point_source_at_order_two():
    sigma = 0.2
    order, last = fitted(EDGES, lambda x: 1 / (4 * np.pi * sigma * radius_of(x)), lambda x: np.full(x.shape[1:], sigma))
    assert order == pytest.approx(2, abs=0.2)
    assert last < 0.02


@pytest.mark.slow
def test_a_point_source_in_an_oblique_anisotropic_conductor_at_order_two():
    tensor = np.asarray(fibre_conductivity(0.2, (1.0, 0.5, 0.3), 2.0))
    inverse = np.linalg.inv(tensor)

    def exact(x):
        reach = np.sqrt(np.maximum(np.einsum("axyz,ab,bxyz->xyz", x, inverse, x), 1e-18))
        return 1 / (4 * np.pi * np.sqrt(np.linalg.det(tensor)) * reach)

    order, last = fitted(EDGES, exact, lambda x: np.broadcast_to(tensor, (*x.shape[1:], 3, 3)))
    assert order == pytest.approx(2, abs=0.3)
    assert last < 0.03


@pytest.mark.parametrize("convention", ["fsl", "mrtrix"])
def test_a_point_source_in_a_medium_read_from_an_oblique_file_of_diffusion_tensors(tmp_path, convention):
    """phi = I/(4 pi sqrt(det sigma) sqrt(x^T sigma^-1 x)), sigma = 844 D: the other handedness of a file would turn the ellipsoids."""
    affine = oblique(1)
    affine[:3, 3] = -affine[:3, :3] @ (np.array(SHAPE) - 1) / 2
    path = tmp_path / "tensor.nii"
    write(path, fsl_axes(WORLD, affine) if convention == "fsl" else WORLD, FSL if convention == "fsl" else MRTRIX, affine)
    edge, half = 13, 3.0
    spacing = 2 * half / edge
    grid = np.diag([spacing, spacing, spacing, 1.0])
    grid[:3, 3] = -(edge - 1) / 2 * spacing
    diffusion, known = tensors_onto(read_tensors(path, convention), (edge,) * 3, grid)
    assert known.all()
    sigma = 844 * WORLD
    inverse = np.linalg.inv(sigma)

    def exact(x):
        reach = np.sqrt(np.maximum(np.einsum("axyz,ab,bxyz->xyz", x, inverse, x), 1e-18))
        return 1 / (4 * np.pi * np.sqrt(np.linalg.det(sigma)) * reach)

    tensor = conductivity_from_diffusion(diffusion, scaling="linear")
    right, _ = point_source(edge, exact, lambda x: tensor, potential=True, half=half)
    assert right < 0.03
    mirror = np.diag([-1.0, 1.0, 1.0])
    wrong, _ = point_source(edge, exact, lambda x: mirror @ tensor @ mirror, potential=True, half=half)
    assert wrong > 5 * right


@pytest.mark.slow
def test_an_insulated_plane_is_an_image_of_the_same_sign():
    sigma = 0.2
    mirror = (0.0, 0.0, -2 * HALF)

    def exact(x):
        return (1 / radius_of(x) + 1 / radius_of(x, mirror)) / (4 * np.pi * sigma)

    order, last = fitted(EDGES, exact, lambda x: np.full(x.shape[1:], sigma), insulated=("z-",))
    assert order == pytest.approx(2, abs=0.2)
    assert last < 0.02


@pytest.mark.slow
def test_a_half_space_of_another_conductivity_is_an_image():
    """sigma_2 below the plane z = -d: above it an image of strength (s1 - s2)/(s1 + s2), below it 2 s1/(s1 + s2) of the source."""
    one, two = 0.2, 1.8
    errors, widths = [], []
    for edge in EDGES:
        h = 2 * HALF / edge
        depth = (np.floor(2.0 / h) + 0.5) * h  # a plane of faces

        def exact(x, depth=depth):
            above = 1 / radius_of(x) + (one - two) / (one + two) / radius_of(x, (0.0, 0.0, -2 * depth))
            return np.where(x[2] > -depth, above, 2 * one / (one + two) / radius_of(x)) / (4 * np.pi * one)

        error, _ = point_source(edge, exact, lambda x, depth=depth: np.where(x[2] > -depth, one, two), potential=True)
        errors.append(error)
        widths.append(h)
    assert slope(widths, errors) == pytest.approx(2, abs=0.5)  # the plane moves by parts of a voxel
    assert errors[-1] < 0.01


@pytest.mark.slow
@pytest.mark.parametrize("tensor", [False, True])
def test_a_ball_of_metal_has_its_resistance_and_its_field(tensor):
    """R = 1/(4 pi sigma a) and E = I/(4 pi sigma r^2), the ground far away."""
    sigma, a, resistances, fields, widths = 0.2, 1.0, [], [], []
    for edge in (12, 16, 22, 30):  # from 0.83 of the radius on
        conductor = sphere_conductor(edge, HALF, a, sigma, tensor=tensor)
        unit = solved(conductor)
        size = np.asarray(strength(field_per_milliampere(conductor, unit), conductor.voxels.grid.mask))[0]
        r = distances(conductor)
        part = (r > 2) & (r < 4)
        truth = 1 / (4 * np.pi * sigma * r[part] ** 2)
        fields.append(float(np.sqrt(((size[part] - truth) ** 2).mean() / (truth**2).mean())))
        resistances.append(abs(float(unit.resistance[0, 0]) * 4 * np.pi * sigma * a - 1))
        widths.append(2 * HALF / edge)
        assert float(unit.to_ground[0]) == pytest.approx(float(unit.conductance[0, 0]), rel=1e-7)
    assert slope(widths, fields) == pytest.approx(2, abs=0.3)
    assert fields[-1] < 0.02 and resistances[-1] < 0.01
    assert slope(widths, resistances) > 1.8


@pytest.mark.slow
@pytest.mark.parametrize("thickness", [0.1, 0.6])  # thinner than a voxel, and two voxels
def test_an_encapsulated_ball(thickness):
    """R = [(1/a - 1/b)/sigma_1 + 1/(b sigma_2)]/(4 pi)."""
    a, inner, outer, errors, widths = 1.0, 0.1, 0.3, [], []
    b = a + thickness
    exact = ((1 / a - 1 / b) / inner + 1 / (b * outer)) / (4 * np.pi)
    for edge in (12, 16, 22, 30):
        unit = solved(sphere_conductor(edge, HALF, a, outer, thickness, inner))
        errors.append(abs(float(unit.resistance[0, 0]) / exact - 1))
        widths.append(2 * HALF / edge)
    assert errors[-1] < 0.01 and max(errors) < 0.1
    assert slope(widths, errors) > 1.8


@pytest.mark.slow
def test_the_impedance_of_the_contact_adds_to_a_ball():
    a, sigma, zeta = 1.0, 0.3, 5.0
    bare = sphere_conductor(24, HALF, a, sigma)
    unit = solved(bare)
    with_skin = solved(eqx.tree_at(lambda c: c.contact_impedance, bare, jnp.asarray(zeta)))
    more = float(with_skin.resistance[0, 0] - unit.resistance[0, 0])
    assert more == pytest.approx(zeta / (4 * np.pi * a**2), rel=0.03)


@pytest.mark.slow
def test_floating_contacts_and_sources_against_a_dense_network_of_resistors():
    """Potentials of voxels and metal as the unknowns of one dense system, solved by NumPy; reciprocity of voxels and contacts."""
    conductor = lead_conductor(impedance=2.0)
    unit = solved(conductor, 1e-12)
    grid, count = conductor.voxels.grid, conductor.voxels.contacts
    volume = grid.voxel_volume
    couplings = np.asarray(conductor.contact_sources()) * volume
    network = np.zeros((grid.size + count,) * 2)
    network[: grid.size, : grid.size] = -matrix(conductor.operator(), grid.size) * volume
    network[: grid.size, grid.size :], network[grid.size :, : grid.size] = -couplings.T, -couplings
    network[grid.size :, grid.size :] = np.diag(couplings.sum(axis=1))
    active = np.concatenate([np.asarray(grid.mask).reshape(-1), np.ones(count, bool)])
    current = np.array([-1.5, 0.4])  # mA
    right = np.concatenate([np.zeros(grid.size), current])
    solution = np.zeros(len(network))
    solution[active] = np.linalg.solve(network[np.ix_(active, active)], right[active])
    np.testing.assert_allclose(unit.potential(current), solution[: grid.size], rtol=0, atol=1e-9)
    np.testing.assert_allclose(unit.resistance @ current, solution[grid.size :], rtol=0, atol=1e-9)
    # 1 mA into a voxel: the floating contacts then have the potential that 1 mA through them gives to the voxel.
    voxel = int(np.ravel_multi_index((2, 6, 5), grid.shape))
    right = np.zeros(len(network))
    right[voxel] = 1.0
    solution[active] = np.linalg.solve(network[np.ix_(active, active)], right[active])
    np.testing.assert_allclose(unit.per_milliampere[:, voxel], solution[grid.size :], rtol=0, atol=1e-9)


@pytest.mark.parametrize("ground", ["case", "box"])
def test_currents_are_conserved_superpose_and_are_reciprocal(ground):
    unit = solved(lead_conductor(ground=ground), 1e-11)
    assert np.abs(unit.conductance - unit.conductance.T).max() < 1e-9 * float(unit.conductance[0, 0])
    np.testing.assert_allclose(unit.to_ground, unit.conductance.sum(axis=0), rtol=1e-9)
    one, other = np.array([1.0, 0.0]), np.array([0.0, -2.0])
    np.testing.assert_allclose(unit.potential(one) + unit.potential(other), unit.potential(one + other), atol=1e-12)
    volts, current = unit.controlled(np.array([-3.0, np.nan]))
    assert float(current[1]) == pytest.approx(0, abs=1e-9) and float(volts[0]) == -3.0
    np.testing.assert_allclose(unit.resistance @ current, volts, atol=1e-9)
    assert float(current[0]) == pytest.approx(-3.0 / float(unit.resistance[0, 0]), rel=1e-8)


@pytest.mark.parametrize("spacing", [0.5, 0.75])
@pytest.mark.quick(1)
def test_the_activated_volume_of_a_point_source_is_within_two_percent(spacing):
    """|E| = I/(4 pi sigma r^2) above the threshold is a ball."""
    sigma, threshold, current = 0.2, 0.2, 3.0
    radius = np.sqrt(current / (4 * np.pi * sigma * threshold))
    edge = int(2 * np.ceil(1.5 * radius / spacing))
    for shift in ((0.0, 0.0, 0.0), (0.3, 0.1, 0.45)):
        axes = [(np.arange(edge) - edge / 2 + 0.5 + part) * spacing for part in shift]
        r = np.sqrt(sum(part**2 for part in np.meshgrid(*axes, indexing="ij")))
        size = jnp.asarray(current / (4 * np.pi * sigma * r**2))
        found = float(activated_volume(size, threshold, jnp.ones(size.shape, bool), spacing**3))
        assert found == pytest.approx(4 / 3 * np.pi * radius**3, rel=0.02)


@pytest.mark.slow
def test_the_activated_volume_round_a_solved_ball_is_within_two_percent():
    sigma, a, current, threshold = 0.2, 1.0, 3.0, 0.2
    conductor = sphere_conductor(28, HALF, a, sigma)
    unit = solved(conductor)
    assert float(unit.resistance[0, 0]) == pytest.approx(1 / (4 * np.pi * sigma * a), rel=0.015)
    size = strength(current * field_per_milliampere(conductor, unit)[0], conductor.voxels.grid.mask)
    grid = conductor.voxels.grid
    found = float(activated_volume(size, threshold, grid.mask, grid.voxel_volume))
    radius = np.sqrt(current / (4 * np.pi * sigma * threshold))
    inside = float((~np.asarray(grid.mask)).sum()) * grid.voxel_volume  # the metal, as voxels have it
    assert found + inside == pytest.approx(4 / 3 * np.pi * radius**3, rel=0.02)


@pytest.mark.slow
def test_the_activating_function_along_a_fibre():
    """A fibre 4 mm from a point of -1 mA: the second difference of -1/(4 pi sigma r), positive at the nearest node."""
    sigma, edge, h = 0.2, 24, 0.5
    axis = (np.arange(edge) - edge / 2 + 0.5) * h
    x, y, z = np.meshgrid(axis, axis, axis, indexing="ij")
    grid = VoxelGrid(y > -2.5, h)

    def phi(x, y, z):
        return -1 / (4 * np.pi * sigma * np.sqrt(x**2 + (y + 3) ** 2 + z**2))

    potential = jnp.asarray(np.where(y > -2.5, phi(x, np.maximum(y, -2.5), z), 0).reshape(1, -1))
    nodes = jnp.stack([jnp.linspace(-3, 3, 13), jnp.full(13, 1.1), jnp.full(13, -0.2)], axis=-1)
    coefficients = jnp.asarray(fibre_coefficients(grid, potential))
    found = activating_function(coefficients, grid, (axis[0],) * 3, nodes, jnp.array([1.0, 0.0, 0.0]), 0.5)[0]
    at = np.asarray(nodes).T
    exact = sum(w * phi(at[0] + d, at[1], at[2]) for w, d in ((1, -0.5), (-2, 0), (1, 0.5))) / 0.25
    np.testing.assert_allclose(found, exact, atol=0.01 * np.abs(exact).max())
    assert float(found[6]) > 0 > float(found[0])


def test_tensors_from_diffusion():
    tensor = np.array([[1.5e-3, 2e-4, 0], [2e-4, 5e-4, 0], [0, 0, 4e-4]])
    volume = conductivity_from_diffusion(tensor, 0.126)
    assert float(jnp.cbrt(jnp.linalg.det(volume))) == pytest.approx(0.126)
    np.testing.assert_allclose(conductivity_from_diffusion(tensor, scaling="linear"), 844 * tensor)
    along = fibre_conductivity(0.126, (0.0, 0.0, 2.0), 9.0)
    assert float(along[2, 2] / along[0, 0]) == pytest.approx(9) and float(jnp.linalg.det(along)) == pytest.approx(0.126**3)
