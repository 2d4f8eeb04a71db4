"""Likelihoods of scans: slopes, curvatures, and what a segmentation measures."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from solvers import Diffusion, VoxelGrid
from twinsim.observation import CellularityMap, IsoContour, logit, near, steepness, visible_volume

GRID = VoxelGrid(np.ones((6, 5, 4), bool), (1.0, 2.0, 1.5))
WEIGHT = jnp.asarray(0.1)


def cellularity_map(data, noise=0.1):
    x, y, z = (jnp.full(GRID.shape, h**2 / 24) for h in GRID.spacing)
    return CellularityMap(0, jnp.arange(len(data)), jnp.asarray(data), WEIGHT, jnp.asarray(noise), Diffusion(GRID, (x, y, z)))


def iso_contour(data, grid=GRID, threshold="threshold_oedema"):
    return IsoContour(0, jnp.arange(len(data)), jnp.asarray(data, dtype=float), WEIGHT, grid, threshold)


MEASURED = cellularity_map([0.2, 0.5, 0.7, 0.95, 0.03])
CENSORED = cellularity_map([1.0, 1.0, 0.0, 0.0, 1.0, 0.0])
OUTLINED = iso_contour([0, 1, 1, 0, 1, 0])
ETA = {
    "measured": (MEASURED, jnp.array([0.25, 0.1, 0.7, 1.4, -0.2])),
    "censored": (CENSORED, jnp.array([0.7, 1.3, -0.2, 0.4, 0.99, 0.01])),
    "outlined": (OUTLINED, jnp.array([-4.0, -1.0, 0.0, 0.7, 3.0, 9.0])),
}
every_likelihood = pytest.mark.parametrize(("observation", "eta"), ETA.values(), ids=ETA)


@every_likelihood
@pytest.mark.quick(1)
def test_the_slope_is_the_derivative_of_the_loss(observation, eta):
    expected = jax.grad(lambda eta: observation.loss(eta).sum())(eta)
    np.testing.assert_allclose(observation.slope(eta), expected, rtol=1e-10, atol=1e-12)


@every_likelihood
def test_the_curvature_is_not_negative_even_far_out(observation, eta):
    far = jnp.linspace(-30, 30, eta.size)
    assert (np.asarray(observation.curvature(far)) >= 0).all()
    assert np.isfinite(observation.loss(far)).all() and np.isfinite(observation.slope(far)).all()


@every_likelihood
@pytest.mark.quick(1)
def test_the_curvature_is_the_second_derivative(observation, eta):
    """Of the normal and the Bernoulli likelihood it does not depend on the data, so the expected one is the observed one."""
    hessian = jax.hessian(lambda eta: observation.loss(eta).sum())(eta)
    np.testing.assert_allclose(observation.curvature(eta), np.diag(hessian), rtol=1e-8, atol=1e-10)


def test_the_curvature_is_the_variance_of_the_slope():
    """Fisher information: over data drawn from the likelihood itself."""
    random = np.random.default_rng(5)
    draws = jnp.asarray(0.4 + 0.1 * random.standard_normal(60_000))
    observation = cellularity_map(draws)
    eta = jnp.full(draws.size, 0.4)
    assert float(observation.slope(eta).var()) == pytest.approx(float(observation.curvature(eta)[0]), rel=0.02)
    inside = jnp.asarray(random.random(60_000) < 0.3, dtype=float)
    eta = jnp.full(inside.size, np.log(0.3 / 0.7))
    assert float(iso_contour(inside).slope(eta).var()) == pytest.approx(float(iso_contour(inside).curvature(eta)[0]), rel=0.02)


def test_a_censored_voxel_beyond_its_end_asks_for_nothing():
    beyond, short = jnp.array([1.5, 1.5, -0.5, -0.5, 1.5, -0.5]), jnp.array([0.5, 0.5, 0.5, 0.5, 0.5, 0.5])
    assert np.abs(CENSORED.slope(beyond)).max() < 1e-3
    assert (np.asarray(CENSORED.slope(short)) * np.array([-1, -1, 1, 1, -1, 1]) > 10).all()


def test_a_cellularity_map_sees_the_average_over_a_voxel():
    """Exact for a cubic polynomial: the average of x^2 over a voxel is its middle plus h^2/12."""
    x, y, _ = (jnp.broadcast_to(axis.reshape([-1 if a == i else 1 for a in range(3)]), GRID.shape) for i, axis in enumerate(GRID.centres()))
    observation = cellularity_map(np.full(GRID.size, 0.5))
    seen = GRID.volume(observation.predict((x**2 + 3 * y**2 + x * y).reshape(-1), {}))
    expected = x**2 + 3 * y**2 + x * y + 1 / 12 + 3 * 4 / 12
    np.testing.assert_allclose(seen[1:-1, 1:-1, 1:-1], expected[1:-1, 1:-1, 1:-1], rtol=1e-12)


def front(steep, threshold=0.16):
    """A plane front that crosses the threshold at x = 7.3 mm, so many log odds per mm steep."""
    grid = VoxelGrid(np.ones((15, 3, 3), bool), 1.0)
    odds = jnp.broadcast_to(logit(jnp.asarray(threshold)) - steep * (grid.centres()[0] - 7.3)[:, None, None], grid.shape)
    values = {"threshold_oedema": jnp.asarray(threshold)}
    return iso_contour(np.zeros(grid.size), grid).predict(jax.nn.sigmoid(odds).reshape(-1), values).reshape(grid.shape)[:, 1, 1]


@pytest.mark.slow
def test_an_outline_measures_distance_whatever_the_slope_of_the_front():
    near_contour = slice(4, 11)
    distance = (7.3 - np.arange(15.0)) / 0.7
    np.testing.assert_allclose(front(1.0)[near_contour], distance[near_contour], rtol=2e-3)
    np.testing.assert_allclose(front(2.0)[near_contour], front(1.0)[near_contour], rtol=2e-3)


def test_an_outline_moves_with_its_threshold():
    grid = VoxelGrid(np.ones((15, 3, 3), bool), 1.0)
    odds = jnp.broadcast_to(1.5 * (6.0 - grid.centres()[0])[:, None, None], grid.shape)
    observation = iso_contour(np.zeros(grid.size), grid)

    def crossing(threshold):
        eta = observation.predict(jax.nn.sigmoid(odds).reshape(-1), {"threshold_oedema": jnp.asarray(threshold)})
        return float(np.interp(0, -np.asarray(eta).reshape(grid.shape)[:, 1, 1], np.arange(15.0)))

    assert crossing(0.5) == pytest.approx(6.0, abs=1e-3)
    assert crossing(0.16) == pytest.approx(6.0 + np.log(0.84 / 0.16) / 1.5, abs=2e-2)


@pytest.mark.parametrize("width", [0.5, 2.0, 8.0])
def test_the_visible_volume_of_a_ball(width):
    """Whatever the slope of its edge."""
    radius = 12.0
    grid = VoxelGrid(np.ones((20, 20, 20), bool), 2.0)
    x, y, z = (axis - 19.37 for axis in grid.centres())
    distance = jnp.sqrt((x**2)[:, None, None] + (y**2)[None, :, None] + (z**2)[None, None, :])
    threshold = jnp.asarray(0.16)
    state = jax.nn.sigmoid(logit(threshold) - (distance - radius) / width).reshape(-1)
    assert float(visible_volume(grid, state, threshold)) == pytest.approx(4 / 3 * np.pi * radius**3, rel=0.015)
    half = VoxelGrid(np.arange(20)[:, None, None] * np.ones((20, 20, 20)) >= 10, 2.0)
    assert float(visible_volume(half, state, threshold)) == pytest.approx(0.5 * float(visible_volume(grid, state, threshold)), rel=0.1)


def test_the_visible_volume_of_a_field_without_slope_is_a_count():
    grid = VoxelGrid(np.ones((8, 8, 8), bool), 3.0)
    state = jnp.where(jnp.arange(grid.size) < 100, 0.169, 0.15)
    assert float(visible_volume(grid, state, jnp.asarray(0.16))) == pytest.approx(100 * 27, rel=0.1)
    assert float(visible_volume(grid, jnp.full(grid.size, 0.15), jnp.asarray(0.16))) == 0


def test_steepness_at_walls_uses_the_neighbours_there_are():
    mask = np.ones((6, 6, 6), bool)
    mask[2, 2:4, :] = False
    mask[4:, 4:, 4:] = False
    mask[5, 5, 5] = True  # a voxel on its own
    grid = VoxelGrid(mask, (1.0, 2.0, 3.0))
    x, y, z = grid.centres()
    field = 0.7 * x[:, None, None] - 0.3 * y[None, :, None] + 0.2 * z[None, None, :]
    field = jnp.where(grid.mask, field, 1e3).reshape(-1)  # what lies behind a wall must not be seen
    found = np.asarray(grid.volume(steepness(grid, field)))
    connected = mask.copy()
    connected[5, 5, 5] = False
    np.testing.assert_allclose(found[connected], np.sqrt(0.7**2 + 0.3**2 + 0.2**2 + 0.05**2), rtol=1e-12)
    assert found[5, 5, 5] == pytest.approx(0.05)


def test_log_odds_stay_finite_at_both_ends():
    odds = np.asarray(logit(jnp.array([-0.1, 0.0, 0.5, 1.0, 1.2])))
    assert np.isfinite(odds).all()
    np.testing.assert_allclose(odds, [-odds[3], -odds[3], 0, odds[3], odds[3]], rtol=1e-9, atol=1e-12)
    assert odds[3] == pytest.approx(np.log(1e6), rel=1e-5)


def test_near_reaches_so_many_voxels():
    region = np.zeros((9, 9, 9), bool)
    region[4, 4, 4] = True
    reached = near(region, 3)
    np.testing.assert_array_equal(near(region, 0), region)
    assert reached[7, 4, 4] and not reached[8, 4, 4] and reached[5, 5, 5] and not reached[6, 6, 6]


def test_an_observation_without_its_threshold_is_refused():
    with pytest.raises(KeyError, match="threshold_oedema"):
        OUTLINED.predict(jnp.full(GRID.size, 0.5), {})
