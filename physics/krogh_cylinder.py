"""Oxygen round one capillary: the cylinder of Krogh and Erlang, with resistance on the side of the blood and a lethal corner."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.core import Tracer
from jaxtyping import Array, Float

from physics.number_checks import check_numbers
from solvers.shapes import Index

Scalars = Float[Array, "*members"]
HALVINGS = 60


class KroghCylinder(eqx.Module):
    r"""A capillary of radius $a$ in the axis of a cylinder of tissue of radius $R$ that consumes $M_0$ wherever there is oxygen:

    $$P(r) = P_c - qK - \frac{M_0R_s^2}{2\mathcal D}\ln\frac ra + \frac{M_0}{4\mathcal D}(r^2-a^2),\qquad q=\pi M_0(R_s^2-a^2),$$

    $R_s=\min(R,R_l)$. The lethal radius $R_l$ is the largest that is supplied, $P(R_l)=0$; beyond it $P=0$ and nothing is consumed.

    Args:
        capillary_mm: $a$.
        tissue_mm: $R>a$.
        demand: $M_0>0$, mL O2/mL/s.
        krogh_diffusivity: $\mathcal D=D\alpha$, diffusivity times solubility, mm²/s/mmHg (mL O2 per mL understood).
        resistance: $K\ge0$ from the blood to the wall, of a unit length of capillary, mmHg s/mm².
        blood_pressure: $P_c\ge0$, partial pressure of oxygen in the blood, mmHg.

    Leaves broadcast: many cylinders at once. Consumption of order zero: of Michaelis and Menten's law it is the limit $P_{50}\to0$. No
    change along the capillary and no exchange with neighbours. Fails where capillaries lie at random: the mean spacing says too much
    oxygen (see ``oncology/oxygen_exchange``). Good values: $a$ 0.0025 to 0.01 mm, $R$ 0.02 to 0.2 mm.

    Raises:
        ValueError: On construction, of numbers that are not finite or outside of these bounds. Traced values pass.

    Source: Krogh 1919, J Physiol 52, 409 (with Erlang's formula); resistance in the blood: Hellums 1977, Microvasc Res 13, 131.
    """

    capillary_mm: Scalars
    tissue_mm: Scalars
    demand: Scalars
    krogh_diffusivity: Scalars
    resistance: Scalars
    blood_pressure: Scalars

    def __check_init__(self) -> None:
        """What is traced passes: it is the host that refuses."""
        for name, zero in (
            ("capillary_mm", False),
            ("tissue_mm", False),
            ("demand", False),
            ("krogh_diffusivity", False),
            ("resistance", True),
            ("blood_pressure", True),
        ):
            check_numbers(name, getattr(self, name), zero)
        if isinstance(self.capillary_mm, Tracer) or isinstance(self.tissue_mm, Tracer):
            return
        narrow = np.asarray(self.tissue_mm) - np.asarray(self.capillary_mm)
        if not (narrow > 0).all():
            raise ValueError(
                f"got tissue_mm {narrow.min() + 0.0:g} mm more than capillary_mm; expected a radius larger than the capillary's; "
                "do: give both in mm"
            )

    def lethal_radius(self) -> Scalars:
        r"""$R_l$ in mm, by halving; $a$ where the blood has no oxygen. Derivatives are those of the implicit function."""
        low = self.capillary_mm + 0 * self._need(self.capillary_mm)
        ratio = self.blood_pressure * self.krogh_diffusivity / self.demand
        # From r = e a on the logarithm is above one, and P_c D / M_0 >= r^2 (ln(r/a) - 1/2) / 2 bounds r^2 by four times the ratio.
        high = jnp.maximum(jnp.e * low, 2 * jnp.sqrt(ratio)) + low

        def halve(_: Index, ends: tuple[Array, Array]) -> tuple[Array, Array]:
            low, high = ends
            middle = (low + high) / 2
            above = self._need(middle) > self.blood_pressure
            return jnp.where(above, low, middle), jnp.where(above, middle, high)

        low, high = lax.stop_gradient(lax.fori_loop(0, HALVINGS, halve, (low, high)))
        radius = (low + high) / 2
        slope = lax.stop_gradient(
            2 * jnp.pi * self.demand * radius * self.resistance
            + self.demand / self.krogh_diffusivity * radius * jnp.log(radius / self.capillary_mm)
        )
        missing = self._need(radius) - self.blood_pressure
        return radius - jnp.where(slope > 0, missing / jnp.where(slope > 0, slope, 1), 0)

    def supplied_radius(self) -> Scalars:
        """$R_s$ in mm."""
        return jnp.minimum(self.tissue_mm, self.lethal_radius())

    def pressure(self, radius_mm: Float[Array, "*members"]) -> Scalars:
        """$P(r)$ in mmHg for $r$ between $a$ and $R$; nearer or farther, that at the wall or at $R$."""
        supplied = self.supplied_radius()
        r = jnp.where(radius_mm < self.capillary_mm, self.capillary_mm, jnp.minimum(radius_mm, supplied))
        per, a2 = self.demand / self.krogh_diffusivity, self.capillary_mm**2
        return self._wall(supplied) - per * supplied**2 / 2 * jnp.log(r / self.capillary_mm) + per / 4 * (r**2 - a2)

    def share(self) -> Scalars:
        """Of the demand that is consumed, $(R_s^2-a^2)/(R^2-a^2)$."""
        return (self.supplied_radius() ** 2 - self.capillary_mm**2) / (self.tissue_mm**2 - self.capillary_mm**2)

    def mean_pressure(self) -> Scalars:
        """Over the tissue, mmHg."""
        supplied, a2 = self.supplied_radius(), self.capillary_mm**2
        per, ring = self.demand / self.krogh_diffusivity, supplied**2 - a2
        logarithm = supplied**2 * jnp.log(supplied / self.capillary_mm) - ring / 2
        total = self._wall(supplied) * ring - per * supplied**2 / 2 * logarithm + per / 8 * ring**2
        return total / (self.tissue_mm**2 - a2)

    def fraction_below(self, pressure: float | Scalars) -> Scalars:
        """Of the tissue, where $P$ is below a pressure in mmHg; by halving, without derivative."""
        low, high = self.capillary_mm + 0 * self.supplied_radius(), self.tissue_mm + 0 * self.supplied_radius()

        def halve(_: Index, ends: tuple[Array, Array]) -> tuple[Array, Array]:
            low, high = ends
            middle = (low + high) / 2
            above = self.pressure(middle) >= pressure
            return jnp.where(above, middle, low), jnp.where(above, high, middle)

        low, high = lax.fori_loop(0, HALVINGS, halve, (low, high))
        return (self.tissue_mm**2 - low**2) / (self.tissue_mm**2 - self.capillary_mm**2)

    def _wall(self, supplied: Scalars) -> Scalars:
        return self.blood_pressure - jnp.pi * self.demand * (supplied**2 - self.capillary_mm**2) * self.resistance

    def _need(self, radius: Scalars) -> Scalars:
        """The pressure in the blood that supplies just this radius."""
        ring = radius**2 - self.capillary_mm**2
        per = self.demand / self.krogh_diffusivity
        return jnp.pi * self.demand * ring * self.resistance + per * (radius**2 / 2 * jnp.log(radius / self.capillary_mm) - ring / 4)
