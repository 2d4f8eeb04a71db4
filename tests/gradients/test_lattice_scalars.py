"""Derivatives of a scalar by its inlet, diffusivity, velocity and walls; and lowering for every platform."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from solvers.lattice_boltzmann import D3Q7, Periodic, ScalarInlet, ScalarTransport, face_patches, lattice_domain
from tests.problems import as_type, quick_jit

MASK = np.ones((5, 4, 4), bool)
MASK[2, 1, 1] = False
DOMAIN = lattice_domain(D3Q7, face_patches(MASK, {1: (0, 0), 2: (0, 1)}))
WALLS = DOMAIN.ends[0]
POINT = (jnp.array([0.4, 1.0, 0.2]), jnp.asarray(0.08), jnp.asarray(0.05), jnp.asarray(0.3))


def amount(kind, point):
    """What is there and what leaves after some steps."""
    samples, diffusivity, speed, walls = point
    velocity = jnp.stack([speed, 0.2 * speed, -0.1 * speed])[:, None] * DOMAIN.fluid.astype(speed.dtype)[None]
    values = walls * jnp.linspace(0, 1, WALLS, dtype=walls.dtype)
    inlet = ScalarInlet(1, Periodic(samples, jnp.asarray(7.0, samples.dtype)))
    transport = ScalarTransport(DOMAIN, velocity, diffusivity, wall=kind, wall_value=values, inlets=(inlet,), substeps=9)
    state = transport.advance(transport.initial_state(), jnp.zeros((), speed.dtype), jnp.asarray(9.0, speed.dtype))
    passed = transport.passed(state, jnp.asarray(9.0, speed.dtype))
    return jnp.sum(transport.concentration(state) ** 2) + transport.flow_out(state, 2) + passed[0] - 2 * passed[1]


@pytest.mark.parametrize("kind", ["flux", "concentration"])
@pytest.mark.quick(1)
def test_reverse_mode_against_central_differences(kind):
    value = quick_jit(lambda point: amount(kind, point))
    slopes = quick_jit(jax.grad(lambda point: amount(kind, point)))(POINT)
    for place, (leaf, slope) in enumerate(zip(POINT, slopes)):
        moved = [value(eqx.tree_at(lambda p, k=place: p[k], POINT, leaf + sign * 1e-5)) for sign in (1, -1)]
        assert float(jnp.sum(slope)) == pytest.approx(float(moved[0] - moved[1]) / 2e-5, rel=1e-6), place


def test_value_and_gradient_lower_for_every_platform_in_float32():
    with jax.enable_x64(False):
        point = as_type(POINT, jnp.float32)
        program = jax.jit(jax.value_and_grad(lambda p: amount("concentration", p)))
        exported = export.export(program, platforms=("cpu", "cuda", "tpu"))(point)
    assert "f64" not in exported.mlir_module()
