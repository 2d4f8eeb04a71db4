"""Derivatives of the peak stress of a cap by every length, modulus and the pressure; and lowering for every platform."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export
from jax.flatten_util import ravel_pytree

from physics.plaque_section import plaque_stress
from tests.elastic_sections import FEW, plaque, tissues
from tests.problems import as_type, number, quick_jit

POINT = (plaque(), tissues(), number(16.0))
FLAT, UNFLAT = ravel_pytree(POINT)


def peak(flat):
    return plaque_stress(*UNFLAT(flat), FEW).peak_cap


@pytest.mark.slow
def test_reverse_mode_against_central_differences_and_forward_mode():
    value, slopes = quick_jit(peak), quick_jit(jax.grad(peak))(FLAT)
    tangents = quick_jit(jax.jacfwd(peak))(FLAT)
    np.testing.assert_allclose(tangents, slopes, rtol=1e-8)
    for place, (at, slope) in enumerate(zip(FLAT, slopes)):
        step = 1e-4 * float(at)
        moved = [float(value(FLAT.at[place].add(sign * step))) for sign in (2, 1, -1, -2)]
        difference = (-moved[0] + 8 * moved[1] - 8 * moved[2] + moved[3]) / (12 * step)
        assert float(slope * at) == pytest.approx(difference * float(at), rel=1e-6, abs=1e-6 * float(value(FLAT))), place


def test_value_and_gradient_lower_for_every_platform_in_float32():
    with jax.enable_x64(False):
        point = as_type(POINT, jnp.float32)
        program = jax.value_and_grad(lambda shape, tissue, pressure: plaque_stress(shape, tissue, pressure, FEW).peak_cap)
        exported = export.export(jax.jit(program), platforms=("cpu", "cuda", "tpu"))(*point)
    assert "f64" not in exported.mlir_module() and "callback" not in exported.mlir_module()
