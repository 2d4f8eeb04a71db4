"""The graph network in the wave solve, and its gradient, lower for cpu, cuda and tpu in single precision."""

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest
from jax import export

from tests.problems import as_type
from twinsim.closures.graph_flow import GraphFlow
from twinsim.random_arteries import draw_trees

PLATFORMS = ("cpu", "cuda", "tpu")


@pytest.mark.slow
@pytest.mark.parametrize("program", ["forward", "gradient"])
def test_float32_programs_lower_for_every_platform(program):
    with jax.enable_x64(False):
        trees = as_type(draw_trees(0, 2, 0.8, False, 50), jnp.float32)
        weights, rest = eqx.partition(GraphFlow.create(0, 8, 2, harmonics=8, times=20), eqx.is_inexact_array)

        def pressure(weights):
            model = eqx.combine(weights, rest)
            return jax.vmap(lambda tree: model(tree, 24)[0])(trees).sum()

        function = jax.grad(pressure) if program == "gradient" else pressure
        exported = export.export(jax.jit(function), platforms=PLATFORMS)(weights)
        text = exported.mlir_module()
    assert exported.platforms == PLATFORMS
    assert "f32" in text
    assert "f64" not in text
