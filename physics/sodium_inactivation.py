"""Time constants of the inactivation of the fast sodium current that ten Tusscher et al. (2004) and Tomek et al. (2019) share."""

import jax.numpy as jnp

from physics.cell_model import Cells


def sodium_inactivation(v: Cells, up_32: Cells) -> tuple[Cells, Cells]:
    """Time constants of h and j, ms, which have one formula below -40 mV and another above.

    Args:
        v: mV.
        up_32: The Boltzmann curve with centre -32 mV and width 10 mV.
    """
    # Each branch sees only voltages of its own: the other's exponentials would overflow, and spoil the gradient of the branch taken.
    below, low, high = v < -40, jnp.minimum(v, -40.0), jnp.maximum(v, -40.0)
    # One exponential for both branches where each needs one.
    of_h = jnp.exp(jnp.where(below, -(low + 80) / 6.8, -(high + 10.66) / 11.1))
    of_j = jnp.exp(jnp.where(below, 0.2444 * low, 0.057 * high))
    h_low = 0.057 * of_h + 2.7 * jnp.exp(0.079 * low) + 310000 * jnp.exp(0.3485 * low)
    h_high = 0.77 / 0.13 / (1 + of_h)
    opening = (-25428 * of_j - 6.948e-6 * jnp.exp(-0.04391 * low)) * (low + 37.78) / (1 + jnp.exp(0.311 * (low + 79.23)))
    j_low = opening + 0.02424 * jnp.exp(-0.01052 * low) / (1 + jnp.exp(-0.1378 * (low + 40.14)))
    j_high = 0.6 * of_j * up_32
    return 1 / jnp.where(below, h_low, h_high), 1 / jnp.where(below, j_low, j_high)
