"""A beat of a network and its gradient lower for cpu, cuda and tpu in single precision."""

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest
from jax import export

from physics import beat, beat_mesh
from tests.arteries import tree
from tests.problems import as_type

PLATFORMS = ("cpu", "cuda", "tpu")
OPTIONS = {"openbf": {"scheme": "openbf"}, "viscous": {"wall_viscosity": jnp.ones(3)}}


@pytest.mark.parametrize("program", ["forward", "adaptive", "gradient", "openbf", "viscous"])
@pytest.mark.quick(1)
def test_float32_programs_lower_for_every_platform(program):
    with jax.enable_x64(False):
        mesh, network = as_type((beat_mesh(0.2, 4), tree(5, **OPTIONS.get(program, {}))), jnp.float32)

        def pressure(stiffness):
            changed = eqx.tree_at(lambda n: n.youngs_modulus, network, stiffness)
            return beat(changed, changed.initial_state(), mesh, None if program == "adaptive" else 3).pressure.sum()

        function = jax.grad(pressure) if program == "gradient" else pressure
        exported = export.export(jax.jit(function), platforms=PLATFORMS)(network.youngs_modulus)
        text = exported.mlir_module()
    assert exported.platforms == PLATFORMS
    assert "f32" in text
    assert "f64" not in text
