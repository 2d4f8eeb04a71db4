r"""How much charge a contact may pass in one phase of a pulse."""

import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

LARGEST_DENSITY = 30.0
"""uC/cm² per phase: the limit of the makers of leads for the deep brain."""
SHANNON_K = 1.5
"""Of $\\log_{10} D = k - \\log_{10} Q$; damage was seen from 1.85 on. Shannon (1992), IEEE Trans. Biomed. Eng. 39, 424."""


def charge_density(milliampere: ArrayLike, area_mm2: ArrayLike, width_us: ArrayLike) -> Array:
    """Charge per phase over the area of the contact, uC/cm²; currents in mA of rectangular pulses, widths in µs."""
    return 0.1 * jnp.abs(jnp.asarray(milliampere)) * jnp.asarray(width_us) / jnp.asarray(area_mm2)


def shannon_k(milliampere: ArrayLike, area_mm2: ArrayLike, width_us: ArrayLike) -> Array:
    r"""$k = \log_{10}(D\,Q)$ with $Q$ in uC and $D$ in uC/cm² per phase; minus infinity without current."""
    charge = 1e-3 * jnp.abs(jnp.asarray(milliampere)) * jnp.asarray(width_us)
    return jnp.log10(charge * charge_density(milliampere, area_mm2, width_us))


def largest_current(
    area_mm2: Float[ArrayLike, " contacts"], width_us: ArrayLike, density: ArrayLike = LARGEST_DENSITY, k: ArrayLike = SHANNON_K
) -> Float[Array, " contacts"]:
    """Current that each contact may carry in mA, by both criteria: the smaller one.

    Args:
        area_mm2: Of each contact.
        width_us: Of a phase.
        density: Largest charge density, uC/cm² per phase.
        k: Shannon's.
    """
    area = jnp.asarray(area_mm2)
    by_density = 10 * density * area / width_us
    by_shannon = 1e3 * jnp.sqrt(area / 100 * 10 ** jnp.asarray(k)) / width_us
    return jnp.minimum(by_density, by_shannon)
