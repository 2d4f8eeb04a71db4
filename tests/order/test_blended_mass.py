"""The blended mass matrix cancels the leading error of the stiffness at one half: order four, in every direction of a wave."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from solvers.grid import VoxelGrid
from solvers.space.diffusion import Diffusion
from solvers.space.mass import BlendedDiffusion, BlendedMass
from tests.problems import noise, quick_jit, slitted_mask, slope


def decay_rates(shape, lengths, waves, theta: float, seven_points: bool = False):
    """Rate of a cosine mode under $M^{-1}K$, over the exact one."""
    grid = VoxelGrid(np.ones(shape, bool), tuple(length / n for length, n in zip(lengths, shape)))
    mode = np.ones(shape)
    for axis, (n, wave) in enumerate(zip(shape, waves)):
        along = np.cos(np.pi * wave * (np.arange(n) + 0.5) / n)
        mode = mode * along.reshape([-1 if a == axis else 1 for a in range(3)])
    exact = -sum((np.pi * wave / length) ** 2 for wave, length in zip(waves, lengths))

    def run(mode):
        operator = Diffusion(grid, 1.0) if seven_points else BlendedDiffusion(grid, 1.0, theta=theta)
        return BlendedMass(grid, theta).solve(operator.apply(mode))

    found = np.asarray(quick_jit(run)(jnp.asarray(mode.reshape(-1))))
    ratio = float(found @ mode.reshape(-1) / (mode**2).sum())
    assert np.abs(found - ratio * mode.reshape(-1)).max() <= 1e-7 * abs(ratio)  # an eigenvector, walls included
    return ratio / exact - 1


@pytest.mark.parametrize(("theta", "order"), [(0.0, 2), (0.5, 4), (1.0, 2)])
@pytest.mark.quick(1)
def test_a_heat_mode_oblique_to_a_flat_box(theta, order):
    counts = (8, 12, 16, 24)
    errors = [abs(decay_rates((n, n + 2, 1), (1.0, 1.3, 1.0), (2, 1, 0), theta)) for n in counts]
    assert slope(1 / np.array(counts), errors) == pytest.approx(order, abs=0.2)


@pytest.mark.slow
def test_a_heat_mode_oblique_to_a_box_of_three_axes():
    counts = (6, 8, 10, 12)
    errors = [abs(decay_rates((n, n, n), (1.0, 1.0, 1.0), (2, 1, 1), 0.5)) for n in counts]
    assert slope(1 / np.array(counts), errors) == pytest.approx(4, abs=0.2)


def test_with_seven_points_it_cancels_along_an_axis_only():
    counts = (8, 12, 16, 24)
    along = [abs(decay_rates((n, 1, 1), (1.0, 1.0, 1.0), (2, 0, 0), 0.5, seven_points=True)) for n in counts]
    oblique = [abs(decay_rates((n, n, 1), (1.0, 1.0, 1.0), (1, 1, 0), 0.5, seven_points=True)) for n in counts]
    assert slope(1 / np.array(counts), along) == pytest.approx(4, abs=0.2)
    assert slope(1 / np.array(counts), oblique) == pytest.approx(2, abs=0.2)


@pytest.mark.parametrize(("theta", "order"), [(0.0, 2), (0.5, 4)])
def test_the_speed_of_a_travelling_front(theta, order):
    r"""$u_t = u_{xx} + u(1-u)(u-a)$ has the front $1/(1+e^{(x-ct)/\sqrt2})$ with $c = (1-2a)/\sqrt2$ (Nagumo); the mass is on $u_t$."""
    a, length, span = 0.1, 40.0, 8.0
    speed = (1 - 2 * a) / np.sqrt(2)
    errors, counts = [], (36, 45, 56, 70)
    for n in counts:
        h = length / n
        grid = VoxelGrid(np.ones((n, 1, 1), bool), (h, 1.0, 1.0))
        x = (np.arange(n) + 0.5) * h - 15

        def front(time, x=x):
            return 1 / (1 + np.exp((x - speed * time) / np.sqrt(2)))

        def run(u, grid=grid, steps=240):
            mass, operator = BlendedMass(grid, theta), BlendedDiffusion(grid, 1.0, theta=theta)

            def rate(u):
                return mass.solve(operator.apply(u)) + u * (1 - u) * (u - a)

            def step(_, u):
                k1 = rate(u)
                k2 = rate(u + span / steps / 2 * k1)
                k3 = rate(u + span / steps / 2 * k2)
                k4 = rate(u + span / steps * k3)
                return u + span / steps / 6 * (k1 + 2 * k2 + 2 * k3 + k4)

            return lax.fori_loop(0, steps, step, u)

        final = np.asarray(quick_jit(run)(jnp.asarray(front(0.0))))
        errors.append(abs((final.sum() - front(span).sum()) * h) / (speed * span))  # how far the front lags, over its way
    assert slope(1 / np.array(counts), errors) == pytest.approx(order, abs=0.3)


@pytest.mark.slow
def test_mass_and_stiffness_on_an_irregular_mask():
    grid = VoxelGrid(slitted_mask((6, 5, 4)), (1.0, 1.3, 0.7))
    mass = BlendedMass(grid, 0.8)
    dense = np.asarray(mass.apply(jnp.eye(grid.size))).T
    np.testing.assert_allclose(dense, dense.T, atol=1e-15)
    np.testing.assert_allclose(dense.sum(axis=0), 1, atol=1e-14)
    eigenvalues = np.linalg.eigvalsh(dense)
    assert eigenvalues[0] >= 1 - 0.8 * (1 - 1 / 27) and eigenvalues[-1] <= 1 + 1e-14
    right = noise((2, grid.size), 1)
    np.testing.assert_allclose(mass.solve(right), np.linalg.solve(dense, np.asarray(right).T).T, atol=1e-8)
    stiffness = BlendedDiffusion(grid, noise(grid.shape, 2, 0.0, 3.0), 0.7, 0.8)
    dense = np.asarray(stiffness.apply(jnp.eye(grid.size))).T
    np.testing.assert_allclose(dense, dense.T, atol=1e-14)
    np.testing.assert_allclose(dense.sum(axis=0), 0, atol=1e-13)
    np.testing.assert_allclose(np.diag(dense), stiffness.diagonal(), atol=1e-13)
    eigenvalues = np.linalg.eigvalsh(dense)
    assert eigenvalues[-1] <= 1e-13 and -eigenvalues[0] <= float(stiffness.spectral_bound())
    inactive = ~np.asarray(grid.mask).reshape(-1)
    assert not dense[inactive].any()


def test_lumped_is_the_finite_volume_operator_and_the_identity():
    grid = VoxelGrid(slitted_mask((6, 5, 4)), (1.0, 1.3, 0.7))
    field = noise((grid.size,), 3)
    np.testing.assert_array_equal(BlendedMass(grid, 0.0).solve(field), field)
    np.testing.assert_allclose(BlendedDiffusion(grid, 2.0, 0.7, theta=0.0).apply(field), Diffusion(grid, 2.0, 0.7).apply(field), atol=1e-13)


def test_theta_may_be_traced_and_has_a_derivative():
    grid = VoxelGrid(slitted_mask((5, 4, 4)), 1.0)
    field = noise((grid.size,), 3)

    def value(theta):
        return jnp.vdot(BlendedMass(grid, theta).solve(field, 1e-13), field**2)

    size = 1e-5
    difference = (value(0.4 + size) - value(0.4 - size)) / (2 * size)
    assert float(quick_jit(jax.grad(value))(0.4)) == pytest.approx(float(difference), rel=1e-6)
