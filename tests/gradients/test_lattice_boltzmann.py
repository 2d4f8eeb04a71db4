"""Derivatives of a flow between curved walls by inlet, viscosity, wall distance and load; and lowering for every platform."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from solvers.lattice_boltzmann import (
    D3Q19,
    D3Q27,
    TRT,
    ConstantViscosity,
    Cumulant,
    Inlet,
    LatticeBoltzmann,
    Outlets,
    Periodic,
    face_patches,
    lattice_domain,
    wall_fractions,
)
from tests.problems import as_type, quick_jit

SHAPE, RADIUS, STEPS = (5, 6, 6), 2.4, 6
PLACES = np.stack(np.meshgrid(*[np.arange(-1, n + 1) - (n - 1) / 2 for n in SHAPE], indexing="ij"))
DISTANCE = RADIUS - np.hypot(PLACES[1] + 0.1, PLACES[2] - 0.2)
LABELS = face_patches(DISTANCE[1:-1, 1:-1, 1:-1] > 0, {1: (0, 0), 2: (0, 1)})


def outflow(lattice, kind, point):
    """A number that everything acts on: pressures, velocities and loads after some steps."""
    speed, viscosity, moved, resistance = point
    domain = lattice_domain(lattice, LABELS)
    links = domain.links_of(1)
    profile = jnp.asarray(np.tile([1.0, 0.1, 0.0], (links.stop - links.start, 1)), speed.dtype)
    one = jnp.ones(1, speed.dtype)
    flow = LatticeBoltzmann(
        domain,
        kind(ConstantViscosity(viscosity)),
        wall_fractions(domain, jnp.asarray(DISTANCE, speed.dtype) + moved),
        inlets=(Inlet(1, profile, Periodic(speed, jnp.asarray(8.0, speed.dtype))),),
        outlets=Outlets((2,), (Periodic(0.1 * speed, jnp.asarray(9.0, speed.dtype)),), resistance * one, 0.1 * one, 30 * one, follow=0.2),
        substeps=STEPS,
    )
    state = flow.advance(flow.initial_state(), jnp.zeros((), speed.dtype), jnp.asarray(float(STEPS), speed.dtype))
    moments = flow.moments(state, jnp.asarray(float(STEPS), speed.dtype))
    return jnp.sum(moments.pressure**2) + jnp.sum(moments.velocity**3) + jnp.sum(state.loads) + jnp.sum(moments.strain_rate**2)


POINT = (jnp.array([0.02, 0.05, 0.03, 0.01]), jnp.asarray(0.07), jnp.asarray(0.05), jnp.asarray(0.02))


@pytest.mark.parametrize(("lattice", "kind"), [(D3Q19, TRT), pytest.param(D3Q27, Cumulant, marks=pytest.mark.slow)])
def test_reverse_mode_against_central_differences(lattice, kind):
    value = quick_jit(lambda point: outflow(lattice, kind, point))
    slopes = quick_jit(jax.grad(lambda point: outflow(lattice, kind, point)))(POINT)
    for place, (leaf, slope) in enumerate(zip(POINT, slopes)):
        step = 1e-5
        direction = jnp.ones_like(leaf)
        moved = [value(eqx.tree_at(lambda p, k=place: p[k], POINT, leaf + sign * step * direction)) for sign in (1, -1)]
        difference = float(moved[0] - moved[1]) / (2 * step)
        assert float(jnp.sum(slope)) == pytest.approx(difference, rel=1e-6), place


@pytest.mark.slow
def test_the_gradient_is_that_of_the_tiles():
    """The program that runs on a CPU and the one that is differentiated give the same numbers."""
    value = quick_jit(lambda point: outflow(D3Q19, TRT, point))(POINT)
    differentiated = quick_jit(jax.value_and_grad(lambda point: outflow(D3Q19, TRT, point)))(POINT)[0]
    np.testing.assert_allclose(value, differentiated, rtol=1e-12)


@pytest.mark.parametrize(("lattice", "kind"), [(D3Q19, TRT), (D3Q27, Cumulant)])
@pytest.mark.quick(1)
def test_value_and_gradient_lower_for_every_platform_in_float32(lattice, kind):
    with jax.enable_x64(False):
        point = as_type(POINT, jnp.float32)
        exported = export.export(jax.jit(jax.value_and_grad(lambda p: outflow(lattice, kind, p))), platforms=("cpu", "cuda", "tpu"))(point)
        forward = export.export(jax.jit(lambda p: outflow(lattice, kind, p)), platforms=("cpu", "cuda", "tpu"))(point)
    assert "f64" not in exported.mlir_module() and "f64" not in forward.mlir_module()
