"""What the speed of the pulse says of an artery's wall, and back."""

import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array

from physics.artery_wall import POISSON_RATIO


def distensibility_of_speed(speed: ArrayLike, density: ArrayLike) -> Array:
    r"""$D = \tfrac1A\tfrac{dA}{dp} = 1/(\rho c^2)$, 1/Pa, of a pulse of speed $c$ (m/s) in blood of density $\rho$ (kg/m³).

    Holds for any thin wall and small waves; $D$ is that at the pressure at which the speed was measured (the foot: diastolic), and blood
    flow adds to the speed of the pulse. Good values: 60e-6 1/Pa at 4 m/s, 10e-6 at 10 m/s. Source: Bramwell, Hill (1922), Proc. R. Soc.
    Lond. B 93, 298.
    """
    return 1 / (jnp.asarray(density) * jnp.asarray(speed) ** 2)


def speed_of_distensibility(distensibility: ArrayLike, density: ArrayLike) -> Array:
    """The inverse of :func:`distensibility_of_speed`, m/s."""
    return 1 / jnp.sqrt(jnp.asarray(density) * distensibility)


def modulus_of_speed(speed: ArrayLike, density: ArrayLike, radius: ArrayLike, thickness: ArrayLike) -> Array:
    r"""Young's modulus $E = 2\rho(1-\sigma^2)\,R\,c^2/h$, Pa, of a thin wall held in its length, $\sigma = 1/2$.

    Args:
        speed: $c$, m/s.
        density: $\rho$, kg/m³.
        radius: $R$ of the lumen, m.
        thickness: $h$ of the wall, m.

    The factor $1-\sigma^2$ is Bergel's for a tethered wall; without it the modulus is a third larger. It is the incremental modulus at the
    pressure of the measurement. Good values: 0.4 to 1.5 MPa. It fails for thick walls ($h$ above a fifth of $R$). Source: Korteweg (1878),
    Ann. Phys. 241, 525; Moens (1878); Bergel (1961), J. Physiol. 156, 458.
    """
    return 2 * jnp.asarray(density) * (1 - POISSON_RATIO**2) * jnp.asarray(radius) * jnp.asarray(speed) ** 2 / thickness


def speed_of_modulus(modulus: ArrayLike, density: ArrayLike, radius: ArrayLike, thickness: ArrayLike) -> Array:
    """The inverse of :func:`modulus_of_speed`, m/s: the resting speed of :class:`physics.artery_wall.ArteryWall`."""
    return jnp.sqrt(jnp.asarray(modulus) * thickness / (2 * jnp.asarray(density) * (1 - POISSON_RATIO**2) * jnp.asarray(radius)))
