"""Advection: second order where smooth, first without slopes, no new extrema, and the CFL limit that the operator states."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from solvers.grid import VoxelGrid
from solvers.space.advection import LIMITERS, Advection
from tests.problems import noise, number, quick_jit, slitted_mask, slope

ZERO = number(0.0)


def heun(advection: Advection, state, length, steps: int):
    """The SSP method of order two: the mean of the start and of two Euler steps."""

    def step(_, u):
        first = u + length * advection.evaluate(u, ZERO)
        return (u + first + length * advection.evaluate(first, ZERO)) / 2

    return lax.fori_loop(0, steps, step, state)


def ring(n: int, speed: float = 1.0, limiter: str = "MC") -> Advection:
    """A periodic line of length one."""
    grid = VoxelGrid(np.ones((n, 1, 1), bool), (1 / n, 1.0, 1.0))
    velocity = (jnp.full((n + 1, 1, 1), speed), jnp.zeros((n, 2, 1)), jnp.zeros((n, 1, 2)))
    return Advection(grid, velocity, limiter, periodic=(True, False, False))


@pytest.mark.parametrize("limiter", LIMITERS)
@pytest.mark.parametrize("speed", [1.0, -1.0])
@pytest.mark.quick(2)
def test_a_smooth_wave_once_around_a_ring(limiter, speed):
    """In the mean of the absolute error; limiters clip the two extrema, which superbee and the order of the whole wave can see."""
    errors, counts = [], (40, 60, 90, 135)
    for n in counts:
        edges = np.arange(n + 1) / n
        mean = jnp.asarray(1 - np.diff(np.cos(2 * np.pi * edges)) * n / (2 * np.pi))
        steps = 3 * n
        final = quick_jit(lambda u, n=n, steps=steps: heun(ring(n, speed, limiter), u, 1 / steps, steps))(mean)
        errors.append(float(jnp.abs(final - mean).mean()))
    order = slope(1 / np.array(counts), errors)
    if limiter == "upwind":
        assert order == pytest.approx(1, abs=0.25)
    elif limiter == "superbee":
        assert order > 1.3
    elif limiter == "minmod":
        assert order == pytest.approx(1.7, abs=0.3)
    else:
        assert order == pytest.approx(2, abs=0.2)


@pytest.mark.parametrize("limiter", ["van Leer", "MC", "superbee"])
@pytest.mark.quick(1)
def test_the_operator_is_of_order_two_away_from_extrema(limiter):
    """A monotone profile in one and in two dimensions, variable velocity, cell means and exact face velocities."""
    errors, counts = [], (20, 30, 45, 70)
    for n in counts:
        grid = VoxelGrid(np.ones((n, n, 1), bool), (1 / n, 1 / n, 1.0))
        edges, centres = np.arange(n + 1) / n, (np.arange(n) + 0.5) / n
        # v = (1 + x/2, -1 - y), u = exp(x + 2y): the divergence of v u by hand; point values are means to second order.
        velocity = (
            jnp.asarray(np.broadcast_to((1 + edges / 2)[:, None, None], (n + 1, n, 1))),
            jnp.asarray(np.broadcast_to((-1 - edges)[None, :, None], (n, n + 1, 1))),
            jnp.zeros((n, n, 2)),
        )
        x, y = centres[:, None], centres[None, :]
        field = np.exp(x + 2 * y)
        exact = -field * (1 / 2 - 1 + (1 + x / 2) - 2 * (1 + y))
        found = quick_jit(lambda u, grid=grid, v=velocity: Advection(grid, v, limiter).evaluate(u, ZERO))(jnp.asarray(field.reshape(-1)))
        inner = (slice(n // 5, n - n // 5),) * 2
        errors.append(np.abs(np.asarray(found).reshape(n, n) - exact)[inner].mean())
    order = slope(1 / np.array(counts), errors)
    assert order > 0.8 if limiter == "superbee" else order == pytest.approx(2, abs=0.2)


@pytest.mark.parametrize("limiter", LIMITERS)
def test_total_variation_and_range_of_a_step_function_at_the_limit(limiter):
    n = 60
    advection = ring(n, -2.0, limiter)
    state = jnp.asarray(((np.arange(n) > 20) & (np.arange(n) < 35)) * 1.0 + (np.arange(n) % 7 == 0) * 0.3)
    length = advection.limit()
    assert float(length) == pytest.approx((1 if limiter == "upwind" else 0.5) / (2.0 * n))
    variation = [float(jnp.abs(state - jnp.roll(state, 1)).sum())]
    step = quick_jit(lambda u: heun(advection, u, length, 5))
    low, high, mass = float(state.min()), float(state.max()), float(state.sum())
    for _ in range(12):
        state = step(state)
        variation.append(float(jnp.abs(state - jnp.roll(state, 1)).sum()))
    assert np.all(np.diff(variation) <= 1e-12)
    assert float(state.min()) >= low - 1e-13 and float(state.max()) <= high + 1e-13
    assert float(state.sum()) == pytest.approx(mass, rel=1e-13)


@pytest.mark.parametrize("limiter", LIMITERS)
@pytest.mark.quick(1)
def test_random_velocities_on_a_mask_keep_mass_and_sign(limiter):
    """Closed walls: velocities given there are ignored, and nothing leaves, not even at the sides of the box if they are zero."""
    grid = VoxelGrid(slitted_mask((6, 5, 5)), (1.0, 1.2, 0.9))
    shapes = [tuple(n + (a == axis) for a, n in enumerate(grid.shape)) for axis in range(3)]
    velocity = [np.array(noise(shape, axis, -1.0, 1.0)) for axis, shape in enumerate(shapes)]
    for axis in range(3):
        np.moveaxis(velocity[axis], axis, 0)[[0, -1]] = 0
    advection = Advection(grid, tuple(map(jnp.asarray, velocity)), limiter)
    starts = jnp.concatenate([jnp.eye(grid.size), noise((3, grid.size), 5)]) * grid.mask.reshape(1, -1)
    euler = starts + advection.limit() * advection.evaluate(starts, ZERO)
    assert float(euler.min()) >= -1e-15
    np.testing.assert_allclose(euler.sum(axis=1), starts.sum(axis=1), rtol=1e-13, atol=1e-14)
    assert not np.asarray(euler)[:, ~np.asarray(grid.mask).reshape(-1)].any()
    final = heun(advection, starts, advection.limit(), 40)
    assert float(final.min()) >= -1e-15


@pytest.mark.slow
def test_inflow_fills_a_channel_and_what_leaves_is_what_the_sides_carry():
    n = 30
    grid = VoxelGrid(np.ones((n, 2, 1), bool), (0.1, 1.0, 1.0))
    velocity = (jnp.full((n + 1, 2, 1), 0.5), jnp.zeros((n, 3, 1)), jnp.zeros((n, 2, 2)))
    advection = Advection(grid, velocity, "van Leer", {"x-": 3.0})
    start = jnp.zeros(grid.size)
    np.testing.assert_allclose(advection.evaluate(start, ZERO).sum(), 2 * 3.0 * 0.5 / 0.1)
    early = heun(advection, start, 0.05, 40)  # the front has come half of the way
    assert float(early.sum()) == pytest.approx(2 * 3.0 * 0.5 * 2.0 / 0.1, rel=1e-12)
    assert float(early.max()) <= 3 + 1e-12
    late = heun(advection, start, 0.05, 400)
    np.testing.assert_allclose(late, 3.0, rtol=1e-8)


@pytest.mark.slow
def test_the_form_that_is_not_conservative_keeps_constants():
    grid = VoxelGrid(slitted_mask((6, 5, 4)), (1.0, 1.2, 0.9))
    shapes = [tuple(n + (a == axis) for a, n in enumerate(grid.shape)) for axis in range(3)]
    velocity = tuple(noise(shape, axis, -1.0, 1.0) for axis, shape in enumerate(shapes))
    sides = dict.fromkeys(("x-", "x+", "y-", "y+", "z-", "z+"), 2.5)
    constant = 2.5 * grid.mask.reshape(-1)
    change = Advection(grid, velocity, "MC", sides, conservative=False).evaluate(constant, ZERO)
    np.testing.assert_allclose(change, 0, atol=1e-13)
    assert np.abs(Advection(grid, velocity, "MC", sides).evaluate(constant, ZERO)).max() > 1
    assert jax.tree.leaves(Advection(grid, velocity, "MC", sides))
