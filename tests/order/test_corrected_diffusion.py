"""A correction, trained or not, leaves the order of the scheme."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest

from physics import FACE_INPUTS, FACE_OUTPUTS, GROWTH_INPUTS, GROWTH_OUTPUTS, CorrectedDiffusion, CorrectedInvasion, ProliferationInvasion
from solvers import Diffusion, VoxelGrid
from tests.problems import number
from tests.properties.test_corrected_diffusion import loud
from twinsim.closures import unroll

LENGTH, DAYS, RATE, DIFFUSIVITY, STAGES = 12.0, 4.0, 0.1, 0.3, 19


def final(cells, corrected):
    """After steps of the same length on every grid, so that what differs is space."""
    grid = VoxelGrid(np.ones((cells, 1, 1), bool), (LENGTH / cells, 1.0, 1.0))
    x = (jnp.arange(768) + 0.5) * LENGTH / 768
    start = (0.1 + 0.4 * jnp.exp(-((x - 4.0) ** 2) / 8)).reshape(cells, -1).mean(1)
    pattern = (1 + 0.5 * jnp.cos(jnp.pi * (jnp.arange(cells) + 0.5) / cells)).reshape(cells, 1, 1)
    diffusion = Diffusion(grid, pattern, DIFFUSIVITY)
    stepper = ProliferationInvasion(diffusion, number(RATE), stages=STAGES).stepper()
    if corrected:
        fluxes = CorrectedDiffusion(diffusion, grid.cells(pattern), loud(FACE_INPUTS, FACE_OUTPUTS), number(1 / RATE), STAGES)
        stepper = CorrectedInvasion(fluxes, loud(GROWTH_INPUTS, GROWTH_OUTPUTS, 1)).stepper()
    assert stepper.stable(number(DAYS / 32))
    return np.asarray(eqx.filter_jit(unroll)(stepper, start, DAYS / 32, 32)[-1])


@pytest.mark.slow
@pytest.mark.parametrize("corrected", [False, True])
def test_second_order_in_space(corrected):
    exact = final(384, False)
    sizes = np.array([16, 32, 64, 128])
    errors = [np.sqrt(np.mean((final(n, corrected) - exact.reshape(n, -1).mean(1)) ** 2)) for n in sizes]
    slope = -np.polyfit(np.log(sizes), np.log(errors), 1)[0]
    assert slope == pytest.approx(2, abs=0.2)
