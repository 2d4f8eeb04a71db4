"""A correction, trained or not, leaves the order of the scheme."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from physics import FACE_INPUTS, FACE_OUTPUTS, GROWTH_INPUTS, GROWTH_OUTPUTS, CorrectedDiffusion, CorrectedInvasion, ProliferationInvasion
from solvers import Diffusion, VoxelGrid, simulate, time_mesh
from tests.problems import number
from tests.properties.test_corrected_diffusion import loud

LENGTH, DAYS, RATE, DIFFUSIVITY = 12.0, 8.0, 0.1, 0.5


def problem(cells):
    grid = VoxelGrid(np.ones((cells, 1, 1), bool), (LENGTH / cells, 1.0, 1.0))
    x = (jnp.arange(cells * 512 // cells) + 0.5) * LENGTH / 512
    start = (0.1 + 0.4 * jnp.exp(-((x - 4.0) ** 2) / 8)).reshape(cells, -1).mean(1)
    centres = (jnp.arange(cells) + 0.5) * LENGTH / cells
    pattern = (1 + 0.5 * jnp.cos(jnp.pi * centres / LENGTH)).reshape(cells, 1, 1)
    return grid, pattern, start


def final(cells, corrected):
    grid, pattern, start = problem(cells)
    diffusion = Diffusion(grid, pattern, DIFFUSIVITY)
    stepper = ProliferationInvasion(diffusion, number(RATE), stages=24).stepper()
    if corrected:
        fluxes = CorrectedDiffusion(diffusion, grid.cells(pattern), loud(FACE_INPUTS, FACE_OUTPUTS), number(1 / RATE), 24)
        stepper = CorrectedInvasion(fluxes, loud(GROWTH_INPUTS, GROWTH_OUTPUTS, 1)).stepper()
    solution = jax.jit(lambda u: simulate(stepper, u, time_mesh(0.0, [DAYS], DAYS / (cells // 4))))(start)
    solution.raise_for_status()
    return np.asarray(solution.final)


@pytest.mark.parametrize("corrected", [False, True])
def test_second_order_in_space_with_steps_in_proportion(corrected):
    exact = final(512, False)
    sizes = np.array([16, 32, 64, 128])
    errors = [np.sqrt(np.mean((final(n, corrected) - exact.reshape(n, -1).mean(1)) ** 2)) for n in sizes]
    slope = -np.polyfit(np.log(sizes), np.log(errors), 1)[0]
    assert slope == pytest.approx(2, abs=0.2)
