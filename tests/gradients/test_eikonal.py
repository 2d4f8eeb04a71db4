"""Derivatives of arrival times by speed, tensor and start, through the fixed point; and lowering for every platform."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from solvers import VoxelGrid
from solvers.fronts.eikonal import eikonal, start_at, start_ball
from tests.problems import noise, quick_jit, random_tensor, slitted_mask

SHAPE = (7, 6, 6)
GRID = VoxelGrid(slitted_mask(SHAPE), (1.0, 0.8, 1.3))
VOXELS = np.argwhere(np.asarray(GRID.mask))[[5, 40]]
WEIGHT = noise((GRID.size,), 7, 0.5, 1.5)
SCHEMES = ("godunov", "hopf-lax", "tensor")


def medium(scheme):
    if scheme == "tensor":
        return random_tensor(SHAPE, 3) * 0.2 + 0.5 * jnp.eye(3)[None, None, None]
    return noise(SHAPE, 2, 0.7, 1.4)


def times(scheme, medium, source_times, start=None):
    start = start_at(GRID, VOXELS, source_times) if start is None else start
    if scheme == "tensor":
        return eikonal(GRID, start, squared_speed=medium).times
    return eikonal(GRID, start, speed=medium, neighbours=6 if scheme == "godunov" else 26).times


def loss(scheme, medium, source_times):
    found = times(scheme, medium, source_times)
    return jnp.sum(jnp.where(jnp.isfinite(found), WEIGHT * jnp.where(jnp.isfinite(found), found, 0), 0))


@pytest.fixture(scope="module", params=SCHEMES)
def problem(request):
    scheme = request.param
    value = quick_jit(lambda m, t: loss(scheme, m, t))
    gradient = quick_jit(jax.grad(lambda m, t: loss(scheme, m, t), argnums=(0, 1)))
    point = (medium(scheme), jnp.array([0.1, 0.4]))
    return scheme, value, gradient(*point), point


def directions(point):
    for seed in range(3):
        change = noise(point[0].shape, 20 + seed, -1, 1)
        yield (change + jnp.swapaxes(change, -1, -2) if change.ndim == 5 else change), noise((2,), 30 + seed, -1, 1)


@pytest.mark.quick(1)
def test_reverse_mode_against_central_differences(problem):
    """In random directions of the whole field and both start times; steps small enough to meet no kink."""
    _, value, gradient, point = problem
    step = 1e-6
    for direction in directions(point):
        moved = [value(*(p + s * step * d for p, d in zip(point, direction))) for s in (1, -1)]
        difference = (moved[0] - moved[1]) / (2 * step)
        along = sum(jnp.vdot(g, d) for g, d in zip(gradient, direction))
        assert float(along) == pytest.approx(float(difference), rel=1e-6)


@pytest.mark.slow
def test_forward_mode_agrees_with_reverse_mode(problem):
    scheme, _, gradient, point = problem
    program = quick_jit(lambda p, d: jax.jvp(lambda *a: loss(scheme, *a), p, d)[1])
    for direction in directions(point):
        along = sum(jnp.vdot(g, d) for g, d in zip(gradient, direction))
        assert float(program(point, direction)) == pytest.approx(float(along), rel=1e-12)


@pytest.mark.quick(1)
def test_a_later_start_delays_everything_by_as_much_and_a_faster_medium_shortens_in_proportion(problem):
    """Two identities: the derivative by both starts together is the weight of all reached cells; and Euler's, of degree -1 or -1/2."""
    scheme, _, gradient, point = problem
    found = quick_jit(lambda m, t: times(scheme, m, t))(*point)
    reached = np.isfinite(found)
    assert 0 < reached.sum() < int(GRID.mask.sum())  # one voxel is on its own
    np.testing.assert_allclose(gradient[1].sum(), WEIGHT[reached].sum(), rtol=1e-12)
    degree = -0.5 if scheme == "tensor" else -1.0
    ran = jnp.sum((WEIGHT * jnp.where(reached, found, 0))[reached]) - jnp.vdot(gradient[1], point[1])
    np.testing.assert_allclose(jnp.vdot(gradient[0], point[0]), degree * ran, rtol=1e-10)


@pytest.mark.slow
def test_gradients_of_a_batch_equal_a_loop():
    point = medium("godunov")
    batch = jnp.stack([point, 1.1 * point, point[::-1]])
    one = quick_jit(jax.grad(lambda m: loss("godunov", m, jnp.array([0.1, 0.4]))))
    together = quick_jit(jax.vmap(jax.grad(lambda m: loss("godunov", m, jnp.array([0.1, 0.4])))))(batch)
    for found, member in zip(together, batch):
        np.testing.assert_allclose(found, one(member), rtol=1e-12, atol=1e-14)


def test_the_ball_around_a_source_passes_its_derivative_on():
    """Everything scales with the speed, the exact times of the ball too."""
    grid = VoxelGrid(np.ones((7, 7, 7), bool), 1.0)

    def total(speed):
        start = start_ball(grid, (3, 3, 3), 1.8, speed=speed)
        return eikonal(grid, start, speed=speed).times.sum()

    value, slope = quick_jit(jax.value_and_grad(total))(jnp.full((7, 7, 7), 1.3))
    np.testing.assert_allclose(jnp.sum(slope) * 1.3, -value, rtol=1e-12)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.quick(2)
def test_value_and_gradient_lower_for_every_platform_in_float32(scheme):
    with jax.enable_x64(False):
        grid = VoxelGrid(np.asarray(GRID.mask), GRID.spacing)
        point = jnp.asarray(np.asarray(medium(scheme)), jnp.float32)

        def total(medium):
            start = start_at(grid, VOXELS)
            if scheme == "tensor":
                found = eikonal(grid, start, squared_speed=medium).times
            else:
                found = eikonal(grid, start, speed=medium, neighbours=6 if scheme == "godunov" else 26).times
            return jnp.sum(jnp.where(jnp.isfinite(found), found, 0))

        exported = export.export(jax.jit(jax.value_and_grad(total)), platforms=("cpu", "cuda", "tpu"))
        text = exported(point).mlir_module()
    assert "f64" not in text and "custom_call" not in text.replace("@Sharding", "")
