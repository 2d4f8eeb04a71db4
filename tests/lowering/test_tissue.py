"""Tissue, its recorded activation and the gradient lower for cpu, cuda and tpu in float32, no accelerator needed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from physics import (
    CELL_MODELS,
    Bidomain,
    Monodomain,
    RecordActivation,
    Shock,
    TissueStimulus,
    box_fraction,
    conductor_tensor,
    fibre_tensor,
    front_fit,
    patches,
    phase_singularities,
)
from solvers import Diffusion, LatticeDiffusion, VoxelGrid, simulate


@pytest.mark.slow
def test_activation_times_and_their_gradient_lower():
    with jax.enable_x64(False):
        grid = VoxelGrid(np.ones((6, 4, 1), bool), 0.2)
        fibres = (0.6, 0.8, 0.0)
        cell = CELL_MODELS["mitchell_schaeffer"]()
        directions = LatticeDiffusion(grid, fibre_tensor(grid, 0.095, 0.0126, fibres)).directions
        pulse = TissueStimulus(grid, box_fraction(grid, (0, 0, 0), (0.4, 9, 9)), 60.0, 1.0)

        mesh = Monodomain(cell, LatticeDiffusion(grid, fibre_tensor(grid, 0.095, 0.0126, fibres)), (pulse,)).mesh([2.0], 0.1)

        def total(along):
            tensor = fibre_tensor(grid, along, 0.0126, fibres)
            equation = Monodomain(cell, LatticeDiffusion(grid, tensor, front_fit(cell), directions=directions), (pulse,))
            recorder = RecordActivation(equation.stepper(), cell)
            return simulate(recorder, recorder.start(equation.initial_state(grid)), mesh).final.record.activated.sum()

        program = jax.jit(jax.value_and_grad(total))
        text = export.export(program, platforms=("cpu", "cuda", "tpu"))(jnp.asarray(0.095)).mlir_module()
    assert "f32" in text
    assert "f64" not in text
    assert "callback" not in text


def test_tips_and_what_a_shock_leaves_lower():
    with jax.enable_x64(False):
        grid = VoxelGrid(np.ones((6, 4, 1), bool), 0.5)
        cell = CELL_MODELS["aliev_panfilov"]()
        operator = Diffusion(grid, jnp.full(grid.shape, 0.05))
        regions = patches(grid, 2)
        mesh = Monodomain(cell, operator, (Shock(regions, jnp.zeros((4, 2)), jnp.asarray([0.0, 0.5, 1.0])),)).mesh([2.0], 0.2)

        def left(amplitudes):
            equation = Monodomain(cell, operator, (Shock(regions, amplitudes, jnp.asarray([0.0, 0.5, 1.0])),))

            def observe(time, state):
                del time
                return phase_singularities(grid, state[0] - 0.5, state[1] - 1.0, most=4)

            solution = simulate(equation.stepper(), equation.initial_state(grid), mesh, observe=observe)
            return solution.final[0].sum(), solution.observations

        program = jax.jit(jax.value_and_grad(left, has_aux=True))
        text = export.export(program, platforms=("cpu", "cuda", "tpu"))(jnp.ones((4, 2))).mlir_module()
    assert "f64" not in text
    assert "callback" not in text


@pytest.mark.slow
def test_two_conductors_lower():
    with jax.enable_x64(False):
        mask = np.ones((6, 4, 2), bool)
        mask[..., 1] = False
        tissue, conductor = VoxelGrid(mask, 0.25), VoxelGrid(np.ones_like(mask), 0.25)
        outside = conductor_tensor(tissue, conductor, fibre_tensor(conductor, 0.443, 0.171), 0.7)
        equation = Bidomain(tissue, conductor, CELL_MODELS["mitchell_schaeffer"](), fibre_tensor(tissue, 0.121, 0.0136), outside)
        stepper, start = equation.stepper(), equation.initial_state()

        def stepped(state):
            return stepper.advance(state, jnp.zeros(()), jnp.asarray(0.05))

        text = export.export(jax.jit(stepped), platforms=("cpu", "cuda", "tpu"))(start).mlir_module()
    assert "f32" in text
    assert "f64" not in text
    assert "callback" not in text
