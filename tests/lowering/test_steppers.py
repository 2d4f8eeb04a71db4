"""Every stepper and its reverse mode lower for cpu, cuda and tpu in float32; a batch equals a loop."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from tests.problems import noise, number, quick_jit
from tests.stepper_table import SHORT_ROWS, STEPPERS, parameters

PLATFORMS = ("cpu", "cuda", "tpu")


@pytest.mark.parametrize("name", SHORT_ROWS)
def test_step_and_gradient_lower_for_every_platform(name):
    row = STEPPERS[name]

    def total(p, length):
        stepper, start = row.stepper(p, jnp.float32)
        return stepper.advance(start, jnp.float32(0.1), length).sum()

    with jax.enable_x64(False):
        program = jax.jit(jax.value_and_grad(total))
        exported = export.export(program, platforms=PLATFORMS)(parameters(jnp.float32), jnp.float32(0.05))
        text = exported.mlir_module()
    assert exported.platforms == PLATFORMS
    assert "f32" in text and "f64" not in text
    assert "callback" not in text


@pytest.mark.parametrize(
    "name", ["Heun", "LOD Crank-Nicolson", "ETDRK2", pytest.param("Crank-Nicolson by multigrid", marks=pytest.mark.slow)]
)
@pytest.mark.quick(1)
def test_a_batch_of_parameters_and_steps_equals_a_loop(name):
    row = STEPPERS[name]
    factors, lengths = jnp.array([0.7, 1.0, 1.2]), jnp.array([0.02, 0.0, 0.01])
    batch = jax.tree.map(lambda value: value * factors, parameters())

    def step(p, length):
        stepper, start = row.stepper(p)
        return stepper.advance(start * (1 + 0.1 * noise(start.shape, 3)), number(0.1), length)

    together = quick_jit(jax.vmap(step))(batch, lengths)
    alone = quick_jit(step)
    for i in range(3):
        np.testing.assert_allclose(together[i], alone(jax.tree.map(lambda v: v[i], batch), lengths[i]), rtol=1e-11, atol=1e-13)  # noqa: B023
