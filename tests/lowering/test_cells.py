"""Paced cells, their biomarkers and the gradient lower for cpu, cuda and tpu in float32, no accelerator needed."""

import jax
import jax.numpy as jnp
import pytest
from jax import export

from physics import CELL_MODELS, RectangularPulse, action_potential
from solvers import simulate, time_mesh


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mitchell_schaeffer", "aliev_panfilov", "ten_tusscher_2006_endo", "ohara_rudy_cipa_2017_endo"])
def test_a_paced_cell_and_its_gradient_lower(name):
    with jax.enable_x64(False):
        cell = CELL_MODELS[name]()
        mesh = time_mesh(0.0, [20.0], 0.1, breakpoints=[1.0])

        def peak(cell, amplitude):
            stepper = cell.paced(RectangularPulse(amplitude, jnp.asarray(1.0)))
            start = cell.initial_state()
            seen = simulate(stepper, start, mesh, observe=lambda _, state: cell.millivolts(state)).observations
            times = jnp.concatenate([jnp.zeros(1), mesh.times])
            return action_potential(times, jnp.concatenate([cell.millivolts(start)[None], seen])).peak

        program = jax.jit(jax.value_and_grad(peak))
        text = export.export(program, platforms=("cpu", "cuda", "tpu"))(cell, jnp.asarray(52.0)).mlir_module()
    assert "f32" in text
    assert "f64" not in text
    assert "custom_call" not in text.replace("@Sharding", "")
