"""A quotient that channel gates and fluxes through membranes share, smooth where its formula is 0/0."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from solvers.elementary import exp, expm1, reciprocal

FARADAY = 96.485  # C/mmol


def over_expm1(x: Float[Array, "*cells"]) -> Float[Array, "*cells"]:
    """x / (e^x - 1), and its series where that is 0/0; the first term left out is x^4/720."""
    small = jnp.abs(x) < 1e-3
    safe = jnp.where(small, 1.0, x)
    return jnp.where(small, 1 - x / 2 + x**2 / 12, safe * reciprocal(expm1(safe)))


def constant_field(
    x: Float[Array, "*cells"], charge: int, inside: Float[Array, "*cells"], outside: Float[Array, "#*cells"]
) -> Float[Array, "*cells"]:
    """Constant-field flux in A/F per permeability in cm/s, of concentrations in mmol/L; x is the voltage over RT/(zF)."""
    return 1e3 * charge * FARADAY * over_expm1(x) * (inside * exp(x) - outside)
