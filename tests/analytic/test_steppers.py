"""Steppers that are exact where they say so: transforms for constant coefficients, exponentials for gates, and the phi functions."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import expm

from solvers import Diffusion, VoxelGrid
from solvers.linear.spectral_diffusion import SpectralDiffusion
from solvers.rate import Rate
from solvers.space.walls import Periodic, Walls
from solvers.steppers.exponential import ExactDiffusion, ExponentialRungeKutta, phi_functions
from solvers.steppers.locally_one_dimensional import LocallyOneDimensional
from solvers.steppers.rush_larsen import GatedRate, RushLarsen
from tests.problems import matrix, noise, number

SHAPE = (6, 5, 4)
GRID = VoxelGrid(np.ones(SHAPE, bool), (1.0, 0.8, 1.3))
FIELD = noise((120,), 1)
WRAPPED = [(False, False, False), (True, True, True), (True, False, False), (False, False, True), (False, True, True)]


def by_voxels(periodic, loss=0.3) -> Diffusion:
    walls = Walls(GRID, {axis: Periodic() for axis, wrap in zip("xyz", periodic) if wrap}) if any(periodic) else None
    return Diffusion(GRID, 0.7, loss=jnp.full(GRID.size, loss), walls=walls)


@pytest.mark.parametrize("periodic", WRAPPED)
@pytest.mark.quick(1)
def test_the_transform_diagonalises_the_voxel_operator(periodic):
    spectral = SpectralDiffusion(GRID, 0.7, 0.3, periodic)
    np.testing.assert_allclose(spectral.apply(FIELD), by_voxels(periodic).apply(FIELD), atol=1e-13)
    assert float(spectral.spectral_bound()) <= float(by_voxels(periodic).spectral_bound()) * (1 + 1e-12)
    np.testing.assert_allclose(spectral.inverse(spectral.transform(FIELD)), FIELD, atol=1e-14)


@pytest.mark.parametrize("periodic", WRAPPED)
@pytest.mark.parametrize("length", [1e-6, 0.5, 40.0])
def test_exact_diffusion_is_the_matrix_exponential(periodic, length):
    exact = expm(length * matrix(by_voxels(periodic), GRID.size)) @ np.asarray(FIELD)
    found = ExactDiffusion(SpectralDiffusion(GRID, 0.7, 0.3, periodic)).advance(FIELD, number(0.0), number(length))
    np.testing.assert_allclose(found, exact, atol=1e-13)


@pytest.mark.parametrize("periodic", [False, True])
def test_the_exact_symbol_has_no_error_for_waves_that_the_grid_resolves(periodic):
    x, y, _ = GRID.centres()
    h = GRID.spacing
    turns = (2 if periodic else 1) * np.pi
    kx, ky = turns / (SHAPE[0] * h[0]), 2 * turns / (SHAPE[1] * h[1])
    wave = jnp.cos(kx * (x + h[0] / 2))[:, None, None] * jnp.cos(ky * (y + h[1] / 2))[None, :, None] * jnp.ones(SHAPE)
    spectral = SpectralDiffusion(GRID, 0.7, 0.0, periodic, "exact")
    found = ExactDiffusion(spectral).advance(wave.reshape(-1), number(0.0), number(1.5))
    np.testing.assert_allclose(found, wave.reshape(-1) * np.exp(-0.7 * 1.5 * (kx**2 + ky**2)), atol=1e-14)


def test_one_coefficient_per_component():
    both = SpectralDiffusion(GRID, jnp.array([0.7, 0.2]), jnp.array([0.3, 0.0]))
    found = ExactDiffusion(both).advance(jnp.stack([FIELD, 2 * FIELD]), number(0.0), number(0.5))
    for i, (coefficient, loss) in enumerate(((0.7, 0.3), (0.2, 0.0))):
        alone = ExactDiffusion(SpectralDiffusion(GRID, coefficient, loss)).advance((i + 1) * FIELD, number(0.0), number(0.5))
        np.testing.assert_allclose(found[i], alone, atol=1e-14)


@pytest.mark.parametrize("accuracy", [1, 2, 4])
def test_exponential_steps_are_exact_for_linear_diffusion_with_a_constant_source(accuracy):
    class Source(Rate):
        def evaluate(self, state, time):
            return jnp.broadcast_to(noise((120,), 5), state.shape)

    operator, length = by_voxels((False,) * 3), 3.0
    dense = matrix(operator, GRID.size)
    propagator = expm(length * dense)
    exact = propagator @ np.asarray(FIELD) + np.linalg.solve(dense, (propagator - np.eye(120)) @ np.asarray(noise((120,), 5)))
    stepper = ExponentialRungeKutta(SpectralDiffusion(GRID, 0.7, 0.3), Source(), accuracy)
    np.testing.assert_allclose(stepper.advance(FIELD, number(0.0), number(length)), exact, atol=1e-12)


def test_phi_functions_are_the_integrals_that_define_them():
    r"""$\varphi_k(z) = \int_0^1 e^{(1-s)z} s^{k-1}/(k-1)!\,ds$ by Gauss quadrature, across the switch at one."""
    z = np.concatenate([-(10.0 ** np.linspace(-12, 1.5, 400)), [-1 - 1e-12, -1.0, -1 + 1e-12, 0.0, 0.5, 2.0]])
    nodes, weights = np.polynomial.legendre.leggauss(80)
    nodes, weights = (nodes + 1) / 2, weights / 2
    for k, (values, factor) in enumerate(zip(phi_functions(jnp.asarray(z), 3), (1, 1, 2)), start=1):
        exact = (np.exp(np.outer(z, 1 - nodes)) * nodes ** (k - 1) / factor) @ weights
        np.testing.assert_allclose(values, exact, rtol=5e-15 * 4**k)
        single = phi_functions(jnp.asarray(z, jnp.float32), k)[-1]
        assert single.dtype == jnp.float32
        np.testing.assert_allclose(single, exact, rtol=1e-5)


def test_lines_are_exact_products_for_constant_coefficients():
    """Axes commute on a box, so the step is the product of three scalar Crank-Nicolson factors per cosine."""
    spectral, length = SpectralDiffusion(GRID, 0.7), 0.9
    modes, ratio = spectral.transform(FIELD), 1.0
    for axis, (n, h) in enumerate(zip(SHAPE, GRID.spacing)):
        z = -length * 0.7 * (2 * np.sin(np.pi * np.arange(n) / (2 * n)) / h) ** 2
        parts = ((1 + z / 2) / (1 - z / 2)) if axis == 2 else ((1 + z / 4) / (1 - z / 4)) ** 2
        ratio = ratio * parts.reshape([-1 if a == axis else 1 for a in range(3)])
    found = LocallyOneDimensional(Diffusion(GRID, 0.7)).advance(FIELD, number(0.0), number(length))
    np.testing.assert_allclose(found, spectral.inverse(jnp.asarray(ratio) * modes), atol=1e-14)


class Clamped(GatedRate):
    """Hodgkin-Huxley's gates m, h, n at held potentials, with their rates of 1952 in 1/ms."""

    def evaluate(self, state, time):
        v = state[0]
        alpha = jnp.stack([0.1 * (25 - v) / jnp.expm1((25 - v) / 10), 0.07 * jnp.exp(-v / 20), 0.01 * (10 - v) / jnp.expm1((10 - v) / 10)])
        beta = jnp.stack([4 * jnp.exp(-v / 18), 1 / (jnp.exp((30 - v) / 10) + 1), 0.125 * jnp.exp(-v / 80)])
        return jnp.zeros_like(state[:1]), alpha / (alpha + beta), alpha + beta


@pytest.mark.parametrize("accuracy", [1, 2])
@pytest.mark.parametrize("length", [1e-3, 1.0, 50.0])
def test_gates_under_voltage_clamp_follow_the_closed_form(accuracy, length):
    potential = jnp.linspace(-20.3, 110.1, 12)
    start = jnp.concatenate([potential[None], noise((3, 12), 2)])
    _, steady, speed = Clamped().evaluate(start, number(0.0))
    found = RushLarsen(Clamped(), accuracy).advance(start, number(0.0), number(length))
    np.testing.assert_allclose(found[1:], steady + (start[1:] - steady) * np.exp(-length * speed), rtol=1e-13, atol=1e-15)
    np.testing.assert_array_equal(found[0], potential)
