"""Tissue of the reduced cell with a network in its slot, and the gradient in the weights, lower for cpu, cuda and tpu in float32."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import export

from physics import SLOW_CURRENT_INPUTS, SLOW_CURRENT_OUTPUTS, Monodomain, ReducedVentricular
from solvers import Diffusion, VoxelGrid, simulate, time_mesh
from twinsim.closures import PerceptronClosure, written_out


def test_tissue_of_a_learned_cell_lowers():
    with jax.enable_x64(False):
        grid = VoxelGrid(np.ones((6, 4, 1), bool), 0.2)
        network = PerceptronClosure.create(0, SLOW_CURRENT_INPUTS, SLOW_CURRENT_OUTPUTS, hidden=(4,), activation="rational_tanh")
        cell = ReducedVentricular.with_law(written_out(network))
        diffusion = Diffusion(grid, jnp.full(grid.shape, 0.1))
        mesh = time_mesh(0.0, [0.5], 0.05)

        def mean(cell):
            equation = Monodomain(cell, diffusion)
            return simulate(equation.stepper(), equation.initial_state(grid), mesh).final[0].mean()

        arrays, rest = eqx.partition(cell, eqx.is_array)
        program = jax.jit(jax.value_and_grad(lambda arrays: mean(eqx.combine(arrays, rest))))
        text = export.export(program, platforms=("cpu", "cuda", "tpu"))(arrays).mlir_module()
    assert "f32" in text
    assert "f64" not in text
    assert "callback" not in text
