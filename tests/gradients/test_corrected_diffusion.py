"""Gradients through a corrected coarse run, with respect to weights, parameters and the start."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from physics import FACE_INPUTS, FACE_OUTPUTS, GROWTH_INPUTS, GROWTH_OUTPUTS, CorrectedDiffusion, CorrectedInvasion, TenTusscher2006
from solvers import Diffusion, VoxelGrid
from tests.problems import noise, number, slitted_mask
from tests.properties.test_corrected_diffusion import loud
from tests.properties.test_corrected_tissue import excited, tissue
from twinsim.closures import unroll

SHAPE = (6, 5, 1)


@pytest.mark.slow
def test_reverse_mode_agrees_with_central_differences():
    mask = np.asarray(slitted_mask((6, 5, 3)))[:, :, :1]
    grid = VoxelGrid(mask, 1.0)
    field = grid.cells(noise(SHAPE, 3) + 0.05)
    networks = (loud(FACE_INPUTS, FACE_OUTPUTS), loud(GROWTH_INPUTS, GROWTH_OUTPUTS, 1))
    arrays, rest = eqx.partition(networks, eqx.is_inexact_array)
    flat, unravel = ravel_pytree((arrays, number(0.3), number(4.0), field))

    def total(flat):
        arrays, diffusivity, time, field = unravel(flat)
        fluxes, growth = eqx.combine(arrays, rest)
        diffusion = Diffusion(grid, noise(SHAPE, 2) + 0.1, diffusivity)
        corrected = CorrectedDiffusion(diffusion, grid.cells(noise(SHAPE, 2) + 0.1), fluxes, time, 4)
        states = unroll(CorrectedInvasion(corrected, growth).stepper(), field, 1.0, 3)
        return jnp.sum(states * jnp.cos(jnp.arange(states.size)).reshape(states.shape))

    direction = jax.random.normal(jax.random.key(0), flat.shape) * jnp.where(flat == 0, 0, 1)
    slope = float(jax.jit(jax.grad(total))(flat) @ direction)
    value = jax.jit(total)
    step = 1e-6
    differences = [float(value(flat + s * step * direction)) for s in (-2, -1, 1, 2)]
    central = (differences[0] - 8 * differences[1] + 8 * differences[2] - differences[3]) / (12 * step)
    assert abs(slope) > 1e-3
    np.testing.assert_allclose(slope, central, rtol=1e-6)


@pytest.mark.slow
def test_reverse_mode_through_ventricular_cells_in_a_volume():
    cell = TenTusscher2006.published()
    start, scheme = excited(cell, -85.23, 120.0), tissue(cell, -85.23, 120.0, 2)
    arrays, rest = eqx.partition(scheme.fluxes.closure, eqx.is_inexact_array)
    flat, unravel = ravel_pytree((arrays, number(0.1), start[0] / 100))

    def total(flat):
        arrays, diffusivity, voltage = unravel(flat)
        parts = lambda s: (s.fluxes.closure, s.fluxes.diffusion.scale)  # noqa: E731
        stepper = eqx.tree_at(parts, scheme, (eqx.combine(arrays, rest), diffusivity))
        voltages = unroll(stepper, start.at[0].set(100 * voltage), 0.2, 3)[:, 0] / 100
        return jnp.sum(voltages * jnp.cos(jnp.arange(voltages.size)).reshape(voltages.shape))

    direction = jax.random.normal(jax.random.key(0), flat.shape) * 0.1
    slope = float(jax.jit(jax.grad(total))(flat) @ direction)
    value = jax.jit(total)
    step = 1e-5
    differences = [float(value(flat + s * step * direction)) for s in (-2, -1, 1, 2)]
    central = (differences[0] - 8 * differences[1] + 8 * differences[2] - differences[3]) / (12 * step)
    assert abs(slope) > 1e-3
    np.testing.assert_allclose(slope, central, rtol=1e-6)
