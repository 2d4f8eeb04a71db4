"""Elastic walls of arteries: pressure and wave speed of a cross-section."""

import equinox as eqx
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

POISSON_RATIO = 0.5
THICKNESS_2014 = (0.2802, -505.3, 0.1324, -11.14)
"""a, b (1/m), c, d (1/m) of the wall's thickness."""


def wall_thickness(radius: ArrayLike) -> Array:
    r"""Thickness $h = R\,(a e^{bR} + c e^{dR})$ of an artery's wall, m, from its radius at rest, m.

    Source: Blanco, Watanabe, Dari, Passos, Feijóo (2014), Biomech. Model. Mechanobiol. 13, 1303; the numbers as in Boileau et al. (2015),
    Int. J. Numer. Methods Biomed. Eng. 31, e02732, the model of 56 arteries.
    """
    a, b, c, d = THICKNESS_2014
    radius = jnp.asarray(radius)
    return radius * (a * jnp.exp(b * radius) + c * jnp.exp(d * radius))


def wall_stiffness(youngs_modulus: ArrayLike, thickness: ArrayLike, radius: ArrayLike) -> Array:
    r"""$\beta = E h/\left((1-\sigma^2)R_0\right)$ in Pa, $\sigma = 1/2$: how much pressure twice the area's root asks for."""
    return jnp.asarray(youngs_modulus) * thickness / ((1 - POISSON_RATIO**2) * jnp.asarray(radius))


class ArteryWall(eqx.Module):
    r"""$p = p_{ext} + \beta\left(\sqrt{A/A_0} - 1\right)$: a thin, elastic, incompressible tube; with waves of speed
    $c = \sqrt{\tfrac A\rho\,\partial p/\partial A} = \sqrt{\beta/(2\rho)}\,(A/A_0)^{1/4}$.

    Args:
        reference_area: $A_0$, m², where the pressure is the external one.
        stiffness: $\beta$, Pa, from :func:`wall_stiffness`.
        external_pressure: $p_{ext}$, Pa.
        density: $\rho$ of blood, kg/m³.

    All of one shape but the density. Good values: $\beta$ 30 to 90 kPa in the systemic arteries, $c$ 4 to 12 m/s. It fails where the wall
    stiffens with strain (above about 1.5 in area) and in a collapsed vessel (negative transmural pressure: real ones buckle); viscosity is
    added by :class:`physics.artery_viscosity.ViscousWall`. Source: Formaggia, Lamponi, Quarteroni (2003), J. Eng. Math. 47, 251, equation
    2.4; Alastruey et al. (2012), J. Eng. Math. 77, 19.
    """

    reference_area: Float[Array, "*sections"]
    stiffness: Float[Array, "*sections"]
    external_pressure: Float[Array, "*sections"]
    density: Float[Array, ""]

    def pressure(self, area: Float[Array, "*sections"]) -> Float[Array, "*sections"]:
        """Pressure inside, Pa."""
        return self.external_pressure + self.stiffness * (jnp.sqrt(area / self.reference_area) - 1)

    def area(self, pressure: Float[Array, "*sections"]) -> Float[Array, "*sections"]:
        """Area of the cross-section, m²; of a pressure above external pressure less the stiffness."""
        return self.reference_area * self.root(pressure) ** 2

    def root(self, pressure: Float[Array, "*sections"]) -> Float[Array, "*sections"]:
        r"""$\sqrt{A/A_0}$ of a pressure."""
        return 1 + (pressure - self.external_pressure) / self.stiffness

    def wave_speed(self, area: Float[Array, "*sections"]) -> Float[Array, "*sections"]:
        """c, m/s."""
        return self.resting_speed * jnp.sqrt(jnp.sqrt(area / self.reference_area))

    @property
    def resting_speed(self) -> Float[Array, "*sections"]:
        """c at the reference area, m/s."""
        return jnp.sqrt(self.stiffness / (2 * self.density))

    @property
    def resting_impedance(self) -> Float[Array, "*sections"]:
        r"""Characteristic impedance $\rho c/A$ at the reference area, Pa s/m³."""
        return self.density * self.resting_speed / self.reference_area
