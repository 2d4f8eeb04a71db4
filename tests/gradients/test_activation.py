"""Gradients of activation and repolarisation times with respect to conductivity and channels, through every step."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from physics import (
    CELL_MODELS,
    Monodomain,
    RecordActivation,
    TissueStimulus,
    box_fraction,
    fibre_tensor,
    front_fit,
    niederer_diffusivities,
)
from solvers import LatticeDiffusion, VoxelGrid, simulate
from tests.problems import quick_jit

ALONG, ACROSS = niederer_diffusivities()
GRID = VoxelGrid(np.ones((10, 4, 1), bool), (0.2, 0.2, 1.0))
FIBRES = (np.cos(0.4), np.sin(0.4), 0.0)


def problem(name):
    cell = CELL_MODELS[name]()
    pulse = TissueStimulus(GRID, box_fraction(GRID, (0, 0, 0), (0.6, 9, 9)), 80.0, 1.0)
    directions = LatticeDiffusion(GRID, fibre_tensor(GRID, ALONG, ACROSS, FIBRES)).directions
    mesh = Monodomain(cell, LatticeDiffusion(GRID, fibre_tensor(GRID, ALONG, ACROSS, FIBRES)), (pulse,)).mesh([6.0], 0.05)
    pattern = jnp.asarray(np.random.default_rng(0).uniform(0.8, 1.2, GRID.shape))

    field = "sodium_conductance" if name.startswith("ten") else "inward_constant"

    def last(factors):
        changed = eqx.tree_at(lambda c: getattr(c, field), cell, getattr(cell, field) * factors[2])
        tensor = fibre_tensor(GRID, ALONG * factors[0] * pattern, ACROSS * factors[1] * pattern, FIBRES)
        diffusion = LatticeDiffusion(GRID, tensor, front_fit(cell), directions=directions)
        equation = Monodomain(changed, diffusion, (pulse,))
        recorder = RecordActivation(equation.stepper(), changed)
        record = simulate(recorder, recorder.start(equation.initial_state(GRID)), mesh).final.record
        return record.activated[-1] + 0.5 * record.activated[GRID.size // 2]

    return last


@pytest.mark.parametrize("name", ["mitchell_schaeffer", "ten_tusscher_2006_epi"])
def test_activation_times_against_central_differences(name):
    last = problem(name)
    value, gradient = quick_jit(last), np.asarray(quick_jit(jax.grad(last))(jnp.ones(3)))
    assert 1 < float(value(jnp.ones(3))) < 9
    for i in range(3):
        ahead, behind = (value(jnp.ones(3).at[i].add(sign * 1e-5)) for sign in (1, -1))
        difference = float(ahead - behind) / 2e-5
        assert abs(difference) > 1e-3
        assert float(gradient[i]) == pytest.approx(difference, rel=1e-6)


def test_forward_and_reverse_mode_agree():
    last = problem("mitchell_schaeffer")
    along = quick_jit(lambda f, d: jax.jvp(last, (f,), (d,))[1])(jnp.ones(3), jnp.asarray([0.3, -0.7, 0.2]))
    gradient = quick_jit(jax.grad(last))(jnp.ones(3))
    assert float(along) == pytest.approx(float(gradient @ jnp.asarray([0.3, -0.7, 0.2])), rel=1e-9)
