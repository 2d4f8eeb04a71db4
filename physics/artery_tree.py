"""A tree of uniform arteries as padded arrays, so that trees of different shapes are one batch."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

PerVessel = Float[Array, "*batch vessels"]


class ArteryTree(eqx.Module):
    r"""Elastic vessels from one inlet to windkessels, parents before daughters; what is not ``present`` pads and touches nothing.

    A wall of resting speed $c_0$ obeys $p = p_{ext} + 2\rho c_0^2(\sqrt{A/A_0}-1)$, that of :class:`physics.artery_wall.ArteryWall`.

    Args:
        parent: Row of the vessel that each starts from; -1 for the root, which is row 0, and for padding.
        present: Rows that are vessels.
        terminal: Vessels that end in a windkessel.
        length: m; any positive number where not present, as the next two.
        radius: At rest, m.
        speed: $c_0$, m/s.
        proximal: Resistance of the windkessel, Pa s/m³; zero elsewhere, as the next two.
        distal: Pa s/m³.
        compliance: m³/Pa.
        inlet: Flow into the root at equally spaced times over a period, the first not repeated, m³/s; linear between.
        period: s.
        external_pressure: Pa, of all vessels: where the radius is that at rest.
        density: kg/m³.
        viscosity: Pa s.
        profile: Exponent of the velocity profile, which sets the friction (:class:`physics.artery_network.ArteryNetwork`).

    All may have the same leading batch axes; functions take one tree and are mapped. Windkessels drain to zero pressure.
    """

    parent: Int[Array, "*batch vessels"]
    present: Bool[Array, "*batch vessels"]
    terminal: Bool[Array, "*batch vessels"]
    length: PerVessel
    radius: PerVessel
    speed: PerVessel
    proximal: PerVessel
    distal: PerVessel
    compliance: PerVessel
    inlet: Float[Array, "*batch times"]
    period: Float[Array, "*batch"]
    external_pressure: Float[Array, "*batch"]
    density: Float[Array, "*batch"]
    viscosity: Float[Array, "*batch"]
    profile: Float[Array, "*batch"]

    @property
    def reference_area(self) -> PerVessel:
        """$A_0$, m²."""
        return jnp.pi * self.radius**2

    def root(self, pressure: Float[Array, "..."]) -> Float[Array, "..."]:
        r"""$\sqrt{A/A_0}$ of a pressure at any places of each vessel, ``(*batch, vessels, *places)``."""
        places = (1,) * (pressure.ndim - self.speed.ndim)
        external, density = (part.reshape(*part.shape, 1, *places) for part in (self.external_pressure, self.density))
        return 1 + (pressure - external) / (2 * density * self.speed.reshape(*self.speed.shape, *places) ** 2)

    def area(self, pressure: Float[Array, "..."]) -> Float[Array, "..."]:
        """$A$ of a pressure, m²; shaped as in :meth:`root`."""
        places = (1,) * (pressure.ndim - self.speed.ndim)
        return self.reference_area.reshape(*self.speed.shape, *places) * self.root(pressure) ** 2

    @property
    def daughters(self) -> Float[Array, "*batch vessels vessels"]:
        """One where the column's vessel starts at the end of the row's."""
        rows = jnp.arange(self.parent.shape[-1])
        found = (self.parent[..., None, :] == rows[:, None]) & self.present[..., None, :]
        return found.astype(self.length.dtype)
