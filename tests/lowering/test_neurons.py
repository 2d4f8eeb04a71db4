"""A branched neuron and its gradient lower for cpu, cuda and tpu in single precision, without LAPACK; a batch equals a loop."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from solvers import simulate
from tests.order.test_neurons import forked
from tests.problems import as_type, quick_jit


@pytest.mark.parametrize("method", ["symmetric", "staggered", "euler"])
@pytest.mark.quick(1)
def test_it_lowers(method):
    neuron = forked()
    with jax.enable_x64(False):
        neuron = as_type(neuron, jnp.float32)
        mesh = neuron.mesh([0.4], 0.1)

        def loss(neuron):
            return simulate(neuron.stepper(method), neuron.initial_state(), mesh).final[0].sum()

        program = jax.jit(jax.value_and_grad(loss))
        text = export.export(program, platforms=("cpu", "cuda", "tpu"))(neuron).mlir_module()
    assert "f32" in text
    assert "f64" not in text
    assert "custom_call" not in text.replace("@Sharding", "")


@pytest.mark.slow
def test_a_batch_equals_a_loop():
    neuron, factors = forked(), jnp.array([0.8, 1.0, 1.3])
    mesh = neuron.mesh([1.0], 0.1)

    def final(width):
        changed = eqx.tree_at(lambda one: one.shape, neuron, neuron.shape.scaled(width))
        return simulate(changed.stepper(), changed.initial_state(), mesh).final

    together, alone = quick_jit(jax.vmap(final))(factors), quick_jit(final)
    for i, factor in enumerate(factors):
        np.testing.assert_allclose(together[i], alone(factor), rtol=1e-11, atol=1e-13)
