"""Equations with closures of every kind, and the gradients that train them, lower for cpu, cuda and tpu in single precision."""

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest
from jax import export

from tests.closure_slots import SLOTS, closure_of, outcome, with_closure

PLATFORMS = ("cpu", "cuda", "tpu")
PAIRS = [
    ("tumour", "cosine"), ("spreading", "graph"), ("loop", "perceptron"), ("tissue", "ensemble"), ("field", "deep"),
    ("cell", "gaussian process"), ("masses", "graph"), ("disposition", "sparse"),
]  # fmt: skip


@pytest.mark.quick(2)
@pytest.mark.parametrize(("name", "kind"), PAIRS)
def test_training_through_an_equation_with_a_closure_lowers(name, kind):
    with jax.enable_x64(False):
        slot = SLOTS[name]()
        state = jnp.asarray(slot.state(), jnp.float32)
        arrays, rest = eqx.partition(closure_of(kind, slot), eqx.is_inexact_array)

        def loss(arrays):
            return jnp.sum(outcome(slot, with_closure(slot, eqx.combine(arrays, rest)), state) ** 2)

        text = export.export(jax.jit(jax.value_and_grad(loss)), platforms=PLATFORMS)(arrays).mlir_module()
    assert "f32" in text
    assert "f64" not in text
    assert "callback" not in text
