"""Rates of inactivation of the fast sodium current that ten Tusscher et al. (2004) and Tomek et al. (2019) share."""

import jax.numpy as jnp

from physics.cell_model import Cells
from physics.quotient import Quotient
from solvers.elementary import exp


def sodium_inactivation(v: Cells, up_32: Quotient) -> tuple[Quotient, Quotient]:
    """Inverse time constants of h and j, 1/ms, which have one formula below -40 mV and another above.

    Args:
        v: mV.
        up_32: The Boltzmann curve with centre -32 mV and width 10 mV.
    """
    # Each branch sees only voltages of its own: the other's exponentials would overflow, and spoil the gradient of the branch taken.
    below, low, high = v < -40, jnp.minimum(v, -40.0), jnp.maximum(v, -40.0)
    # One exponential for both branches where each needs one.
    of_h = exp(jnp.where(below, (low + 80) * (-1 / 6.8), (high + 10.66) * (-1 / 11.1)))
    of_j = exp(jnp.where(below, 0.2444 * low, 0.057 * high))
    h_low = 0.057 * of_h + 2.7 * exp(0.079 * low) + 310000 * exp(0.3485 * low)
    h = Quotient(jnp.where(below, h_low, 0.77 / 0.13), jnp.where(below, 1.0, 1 + of_h))
    opening = Quotient((-25428 * of_j - 6.948e-6 * exp(-0.04391 * low)) * (low + 37.78), 1 + exp(0.311 * (low + 79.23)))
    j_low = opening + Quotient(0.02424 * exp(-0.01052 * low), 1 + exp(-0.1378 * (low + 40.14)))
    j_high = 0.6 * of_j * up_32
    j = Quotient(jnp.where(below, j_low.over, j_high.over), jnp.where(below, j_low.under, j_high.under))
    return h, j
