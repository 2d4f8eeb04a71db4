"""Corrected coarse grids and neural operators, and the gradients that train them, lower for cpu, cuda and tpu in single precision."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from physics import (
    FACE_INPUTS,
    FACE_OUTPUTS,
    GROWTH_INPUTS,
    GROWTH_OUTPUTS,
    CorrectedDiffusion,
    CorrectedInvasion,
    CorrectedTissue,
    TenTusscher2006,
    Variable,
)
from solvers import Diffusion, VoxelGrid
from twinsim.closures import OperatorClosure, PerceptronClosure, unroll

PLATFORMS = ("cpu", "cuda", "tpu")


def lowered(loss, model):
    arrays, rest = eqx.partition(model, eqx.is_inexact_array)
    program = jax.jit(jax.value_and_grad(lambda arrays: loss(eqx.combine(arrays, rest))))
    text = export.export(program, platforms=PLATFORMS)(arrays).mlir_module()
    assert "f32" in text
    assert "f64" not in text
    assert "callback" not in text


def test_training_through_a_corrected_grid_lowers():
    with jax.enable_x64(False):
        grid = VoxelGrid(np.ones((5, 4, 3), bool), 1.0)
        field = jnp.linspace(0.1, 0.9, grid.size)
        model = (PerceptronClosure.create(0, FACE_INPUTS, FACE_OUTPUTS), PerceptronClosure.create(1, GROWTH_INPUTS, GROWTH_OUTPUTS))

        def loss(model):
            fluxes = CorrectedDiffusion(Diffusion(grid, 1.0, 0.2), jnp.ones(grid.size), model[0], jnp.asarray(10.0), 3)
            return jnp.sum(unroll(CorrectedInvasion(fluxes, model[1]).stepper(), field, 1.0, 4) ** 2)

        lowered(loss, model)


@pytest.mark.slow
def test_training_through_corrected_ventricular_tissue_lowers():
    with jax.enable_x64(False):
        cell = TenTusscher2006.published()
        grid = VoxelGrid(np.ones((3, 3, 3), bool), 0.6)
        state = jnp.broadcast_to(cell.initial_state()[:, None], (19, grid.size))
        closure = PerceptronClosure.create(0, FACE_INPUTS, FACE_OUTPUTS)

        def loss(closure):
            fluxes = CorrectedDiffusion(Diffusion(grid, 1.0, 0.1), jnp.ones(grid.size), closure, jnp.asarray(0.1), 3)
            stepper = CorrectedTissue(cell.stepper(), fluxes, jnp.asarray(-85.0), jnp.asarray(120.0), 2)
            return jnp.sum(unroll(stepper, state, 0.2, 2)[:, 0] ** 2)

        lowered(loss, closure)


def test_neural_operators_lower():
    with jax.enable_x64(False):
        fields = jnp.ones((2, 3, 8, 8))
        for network in ("cosine", "deep"):
            variables = (Variable("u", "1"), Variable("v", "1"))
            model = OperatorClosure.create(0, variables, variables, network=network, channels=4, modes=4, rank=3, residual=True)
            lowered(lambda model: jnp.sum(model(fields) ** 2), model)
