"""The analytic heart, its fibres and its electrocardiogram against closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from physics import (
    ELECTRODES,
    LEADS,
    BiventricularShape,
    Pose,
    biventricular_heart,
    electrocardiogram_of_activation,
    fibre_tensor,
    lead_fields,
    point_sources,
    squared_velocity,
    standard_electrodes,
    torso_sources,
    twelve_leads,
)
from physics.biventricular import LEFT, RIGHT
from solvers import Diffusion, TensorDiffusion, VoxelGrid, eikonal, solve_elliptic, start_at
from tests.problems import slope

SHAPE = BiventricularShape()


@pytest.fixture(scope="module")
def heart():
    return biventricular_heart(2.0)


def truncated_ellipsoid(radius: float, length: float, base: float) -> float:
    """Volume of an ellipsoid of revolution below a height."""
    return np.pi * radius**2 * (base + length - (base**3 + length**3) / (3 * length**2))


@pytest.mark.slow
def test_the_left_muscle_has_the_volume_of_its_shell():
    exact = truncated_ellipsoid(33.0, 70.0, 12.0) - truncated_ellipsoid(23.0, 60.0, 12.0)
    for h in (2.0, 1.25):
        heart = biventricular_heart(h)
        assert (heart.ventricle == LEFT).sum() * h**3 == pytest.approx(exact, rel=0.01)
    assert 25e3 < (heart.ventricle == RIGHT).sum() * 1.25**3 < 45e3


def test_fibres_and_sheets_are_unit_perpendicular_and_turn_through_the_wall(heart):
    mask = np.asarray(heart.grid.mask)
    fibres, sheets, t = (np.asarray(part)[mask] for part in (heart.fibres, heart.sheets, heart.transmural))
    np.testing.assert_allclose(np.linalg.norm(fibres, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(sheets, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose((fibres * sheets).sum(axis=1), 0, atol=1e-5)
    assert t.min() >= 0 and t.max() <= 1
    # On the left equator the base's direction lies in the wall: the helix angle is that of the rule, right-handed inside.
    points = heart.positions()[mask]
    equator = (heart.ventricle[mask] == LEFT) & (np.abs(points[:, 2]) < 2)
    around = np.stack([-points[:, 1], points[:, 0], 0 * points[:, 0]], axis=1)
    around /= np.linalg.norm(around, axis=1, keepdims=True)
    angle = np.rad2deg(np.arctan2(fibres[:, 2], (fibres * around).sum(axis=1)))
    np.testing.assert_allclose(angle[equator], (60 - 120 * t)[equator], atol=1.0)
    assert ((np.asarray(heart.fibres)[~mask]) == [1, 0, 0]).all()


def test_the_nearest_muscle_voxel_and_bad_shapes(heart):
    index = heart.nearest((-23.0, 0.0, -20.0), inside=0.2)
    assert np.asarray(heart.grid.mask)[index] and float(heart.transmural[index]) <= 0.2
    assert np.linalg.norm(heart.positions()[index] - [-23, 0, -20]) < 5
    for bad, message in (
        ((4.0, None), "half of it at most"),
        ((-1.0, None), "expected all above zero"),
        ((1.0, SHAPE._replace(left_wall=0.0)), "expected all above zero"),
        ((1.0, SHAPE._replace(base=80.0)), "base at 80"),
        ((1.0, SHAPE._replace(right_offset=0.0, right_radii=(20.0, 20.0))), "reach out"),
    ):
        with pytest.raises(ValueError, match=message):
            biventricular_heart(*bad)
    with pytest.raises(ValueError, match="no muscle voxel"):
        heart.nearest((0.0, 0.0, 0.0), inside=-1.0)


def test_a_ball_of_potential_in_anisotropic_tissue_is_a_quadrupole():
    r"""For radially symmetric $V$ exactly $\varphi = \frac{\int V}{4\pi\sigma_b}\sum_j\sigma_j\partial_j^2\frac1r$; order two."""
    sigma, electrode = np.array([0.17, 0.05, 0.019]), np.array([30.0, 12.0, -8.0])
    errors, sizes = [], (2.0, 1.6, 1.25, 1.0)
    for h in sizes:
        n = round(32 / h)
        grid = VoxelGrid(np.ones((n, n, n), bool), h)
        origin = np.full(3, -h * (n - 1) / 2)
        axis = origin[0] + h * np.arange(n)
        squared = sum(part**2 for part in np.meshgrid(axis, axis, axis, indexing="ij"))
        v = np.exp(-squared / (2 * 3.0**2)).reshape(-1)
        operator = Diffusion(grid, tuple(jnp.full(grid.shape, s) for s in sigma))
        field = lead_fields(operator, point_sources(grid, origin, electrode[None], 0.24), h**3)
        r = np.linalg.norm(electrode)
        exact = (2 * np.pi * 9) ** 1.5 / (4 * np.pi * 0.24) * np.sum(sigma * (3 * electrode**2 - r**2)) / r**5
        errors.append(abs(float(field[0] @ v) - exact) / abs(exact))
    assert errors[-1] < 5e-3
    assert slope(sizes, errors) == pytest.approx(2.0, abs=0.2)


@pytest.mark.slow
def test_a_torso_seen_by_reciprocity_equals_the_direct_solve():
    """The lead field of an electrode times the potential is the potential there, solved for with the cells' current as source."""
    rng = np.random.default_rng(0)
    grid = VoxelGrid(np.ones((14, 12, 10), bool), 3.0)
    muscle = np.zeros(grid.shape, bool)
    muscle[4:9, 4:8, 3:7] = True
    sigma = jnp.asarray(np.where(muscle, 0.5, rng.uniform(0.1, 0.3, grid.shape)))
    torso = Diffusion(grid, (sigma, sigma, sigma))
    inside = TensorDiffusion(VoxelGrid(muscle, 3.0), fibre_tensor(grid, 0.17, 0.019, (0.6, 0.8, 0.0)))
    v = jnp.asarray(np.where(muscle, rng.uniform(-85, 40, grid.shape), 0).reshape(-1))
    electrodes, reference = [0, 777, grid.size - 1], 60
    fields = lead_fields(inside, torso_sources(torso, electrodes, reference, 27.0), 27.0)
    potential = solve_elliptic(torso, inside.apply(v), tolerance=1e-11).field
    direct = np.asarray(potential)[electrodes] - float(potential[reference])
    np.testing.assert_allclose(fields @ v, direct, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(fields.sum(axis=1), 0, atol=1e-12)


def test_leads_obey_einthoven_and_goldberger():
    leads = dict(zip(LEADS, twelve_leads(jnp.asarray(np.random.default_rng(1).normal(size=(9, 5)))), strict=True))
    np.testing.assert_allclose(leads["I"] + leads["III"], leads["II"], atol=1e-12)
    np.testing.assert_allclose(leads["aVR"] + leads["aVL"] + leads["aVF"], 0, atol=1e-12)
    same = twelve_leads(jnp.ones((9, 3)))
    np.testing.assert_allclose(same, 0, atol=1e-12)


def test_electrodes_turn_with_the_heart():
    upright = Pose(apex=(0.0, 0.0, -1.0), right_ventricle=(1.0, 0.0, 0.0))
    np.testing.assert_allclose(standard_electrodes(upright)[0], (165.0, 0.0, 190.0))
    axes = Pose().axes()
    np.testing.assert_allclose(axes @ axes.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(axes) == pytest.approx(1.0)
    with pytest.raises(ValueError, match="without V6"):
        standard_electrodes(body=dict.fromkeys(ELECTRODES[:-1], (0.0, 0.0, 0.0)))
    with pytest.raises(ValueError, match="along the axis"):
        Pose(right_ventricle=(-0.65, 0.45, -0.61)).axes()


def test_bad_electrodes_and_speeds(heart):
    with pytest.raises(ValueError, match="move it out"):
        point_sources(heart.grid, heart.origin, heart.positions()[heart.nearest((-28.0, 0.0, 0.0))][None])
    with pytest.raises(ValueError, match="expected finite positions"):
        point_sources(heart.grid, heart.origin, np.array([[0.0, np.nan, 0.0]]))
    with pytest.raises(ValueError, match="conductivity"):
        point_sources(heart.grid, heart.origin, np.array([[300.0, 0.0, 0.0]]), 0.0)
    with pytest.raises(ValueError, match="got along = 600"):
        squared_velocity(heart.grid, 600.0, 0.3, heart.fibres)
    with pytest.raises(ValueError, match="got fibres of shape"):
        squared_velocity(heart.grid, 0.6, 0.3, heart.fibres[1:])


@pytest.fixture(scope="module")
def beating(heart):
    """Lead fields and activation of the heart on 2 mm voxels, active cells only, and two kinds of action potentials."""
    active = np.flatnonzero(np.asarray(heart.grid.mask))
    operator = TensorDiffusion(heart.grid, fibre_tensor(heart.grid, 0.17, 0.019, heart.fibres), closure="no flux")
    fields = lead_fields(operator, point_sources(heart.grid, heart.origin, standard_electrodes()), 8.0)[:, active]
    start = start_at(heart.grid, [heart.nearest((-23.0, 0.0, -20.0), inside=0.3)])
    times = eikonal(heart.grid, start, squared_speed=squared_velocity(heart.grid, 0.6, 0.3, heart.fibres)).times[active]
    t = np.arange(300.0)
    shapes = np.stack([-85 + 120 * (t > 0) / (1 + np.exp((t - end) / 12)) for end in (200, 240)])
    kinds = jnp.asarray(np.asarray(heart.transmural).reshape(-1)[active] > 0.5, int)
    return fields, times, kinds, jnp.asarray(shapes)


@pytest.mark.slow
def test_the_convolution_is_the_sum_over_cells(beating):
    fields, times, kinds, shapes = beating
    found = electrocardiogram_of_activation(fields, times, kinds, shapes, 1.0, 400)
    for moment in (0, 17, 60, 230, 399):
        lag = moment - np.asarray(times)
        each = [np.interp(lag, np.arange(300), shape) for shape in np.asarray(shapes)]
        v = np.where(np.asarray(kinds) == 1, each[1], each[0])
        np.testing.assert_allclose(found[:, moment], np.asarray(fields) @ v, atol=1e-9)
    assert float(jnp.abs(found[:, 0]).max()) < 1e-9  # at rest nothing is seen
    late = electrocardiogram_of_activation(fields, times.at[3].set(jnp.inf), kinds, shapes, 1.0, 50)
    assert bool(jnp.isfinite(late).all())


@pytest.mark.slow
def test_the_gradient_of_the_electrocardiogram(beating):
    """With respect to activation times, against central differences; the template has kinks only at its samples."""
    fields, times, kinds, shapes = beating
    weight = jnp.asarray(np.random.default_rng(2).normal(size=(9, 200)))

    def seen(times):
        return jnp.vdot(weight, electrocardiogram_of_activation(fields, times, kinds, shapes, 1.0, 200))

    direction = jnp.asarray(np.random.default_rng(3).normal(size=times.shape))
    off = times + 0.31  # no cell at a sample
    away = jnp.where(jnp.abs(off - jnp.round(off)) < 1e-3, 2e-3, 0.0)
    off = off + away
    exact = float(jnp.vdot(jax.grad(seen)(off), direction))
    step = 1e-5
    estimate = float(seen(off + step * direction) - seen(off - step * direction)) / (2 * step)
    assert exact == pytest.approx(estimate, rel=1e-6)
