"""Gradients of an activation time and of a potential in the bath through every solve of a bidomain run."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from physics import (
    CELL_MODELS,
    Bidomain,
    ExtracellularStimulus,
    RecordActivation,
    TissueStimulus,
    box_fraction,
    conductor_tensor,
    fibre_tensor,
)
from solvers import VoxelGrid, simulate, time_mesh
from tests.problems import quick_jit


def seen_of():
    """From factors (inside, outside, bath, electrode) and one per voxel to an activation time and a late potential of the bath."""
    mask = np.ones((8, 2, 2), bool)
    mask[..., 1] = False
    tissue, conductor = VoxelGrid(mask, 0.25), VoxelGrid(np.ones_like(mask), 0.25)
    cell = CELL_MODELS["mitchell_schaeffer"]()
    pulse = TissueStimulus(tissue, box_fraction(tissue, (0, 0, 0), (0.75, 9, 0.25)), 80.0, 1.0)
    spot, ground = np.zeros((2, *mask.shape), bool)
    spot[3, 0, 1], ground[7, 1, 1] = True, True

    mesh = time_mesh(0.0, [4.0], 0.1, breakpoints=[1.0, 2.0])

    def run(factors, voxels):
        inside = fibre_tensor(tissue, 0.121 * factors[0] * voxels, 0.0136 * voxels, (0.8, 0.6, 0.0))
        outside = conductor_tensor(tissue, conductor, fibre_tensor(conductor, 0.443 * factors[1], 0.171, (0.8, 0.6, 0.0)), 0.7 * factors[2])
        electrode = ExtracellularStimulus(conductor, spot, ground, 0.1 * factors[3], 2.0)
        equation = Bidomain(tissue, conductor, cell, inside, outside, (pulse,), (electrode,), tolerance=1e-12)
        recorder = RecordActivation(equation.stepper(), cell, upper=-20.0)
        end = simulate(recorder, recorder.start(equation.initial_state()), mesh).final
        potential = equation.extracellular_potential(end.cells, 4.0).field
        return end.record.activated.reshape(mask.shape)[-1, 0, 0] + potential.reshape(mask.shape)[0, 0, 1]

    return run, mask.shape


@pytest.mark.slow
def test_against_central_differences():
    run, shape = seen_of()
    both = quick_jit(jax.value_and_grad(run, argnums=(0, 1)))
    random = np.random.default_rng(0)
    voxels, direction = jnp.asarray(random.uniform(0.8, 1.2, shape)), jnp.asarray(random.normal(size=shape))
    ones, step = jnp.ones(4), 1e-5
    of_factors, of_voxels = both(ones, voxels)[1]
    ahead, behind = (float(both(ones, voxels + sign * step * direction)[0]) for sign in (1, -1))
    found = [(float(jnp.vdot(of_voxels, direction)), (ahead - behind) / (2 * step))]
    for i in range(4):
        ahead, behind = (float(both(ones.at[i].add(sign * step), voxels)[0]) for sign in (1, -1))
        found.append((float(of_factors[i]), (ahead - behind) / (2 * step)))
    for exact, difference in found:
        assert 1e-4 < abs(difference) < 1e3
        assert exact == pytest.approx(difference, rel=1e-6)
