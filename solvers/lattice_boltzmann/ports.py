"""Openings: velocity given over time, and pressure given or answered by a load of resistances and a compliance."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from solvers.lattice_boltzmann.waveform import Waveform


class Inlet(eqx.Module):
    """A patch through which fluid moves with a given profile in space, times a number over time.

    Args:
        patch: Number of the opening.
        profile: Velocity at the voxels' half-way points beyond, one per link of the patch, ``(links, 3)``, voxel/step.
        waveform: Factor over time.
    """

    patch: int = eqx.field(static=True)
    profile: Float[Array, "links 3"]
    waveform: Waveform


class Outlets(eqx.Module):
    r"""Patches with a pressure: given over time, plus that of a load which the flow fills.

    :math:`C\dot p_c = Q - p_c/R_d`, solved exactly over a step, and :math:`p = p_{given} + R_pQ + p_c`, followed with the share ``follow``
    per step so that sound waves of the lattice do not feed back through the resistance.

    Args:
        patches: Numbers of the openings.
        given: A waveform of pressure per patch, lattice units (density of one is zero).
        proximal: Resistance before the compliance, per patch.
        distal: Resistance behind it.
        compliance: May be zero: two resistances in series.
        relative: True takes the mean over the patches away from all pressures: the flow of a fluid of constant density is the same,
            and pressures of the circulation, far too large for a lattice, stay out of it. ``FlowState.loads`` has the whole.
        follow: Share of the difference that the pressure follows in a step; below about 0.3 over resistance times area.
    """

    patches: tuple[int, ...] = eqx.field(static=True)
    given: tuple[Waveform, ...]
    proximal: Float[Array, " patches"]
    distal: Float[Array, " patches"]
    compliance: Float[Array, " patches"]
    relative: bool = eqx.field(static=True, default=False)
    follow: float = eqx.field(static=True, default=1.0)

    def __check_init__(self) -> None:
        if len(self.given) != len(self.patches) or self.proximal.shape != (len(self.patches),):
            raise ValueError(
                f"got {len(self.patches)} patches with {len(self.given)} waveforms and resistances of shape {self.proximal.shape}; "
                "expected one of each per patch; do: give zeros where there is no load"
            )
        if not 0 < self.follow <= 1:
            raise ValueError(f"got follow {self.follow}; expected above 0 to 1; do: use 1 without a load")

    def advance(self, loads: Float[Array, "patches 2"], flow: Float[Array, " patches"]) -> Float[Array, "patches 2"]:
        """Pressure of the load and pressure in its compliance after a step with this flow out of each patch."""
        pressure, stored = loads[:, 0], loads[:, 1]
        time = self.distal * self.compliance
        kept = jnp.where(time > 0, jnp.exp(-1 / jnp.where(time > 0, time, 1)), 0)
        stored = kept * stored + (1 - kept) * self.distal * flow
        return jnp.stack([pressure + self.follow * (self.proximal * flow + stored - pressure), stored], axis=1)

    def pressure(self, loads: Float[Array, "patches 2"], time: Float[Array, ""]) -> Float[Array, " patches"]:
        """What acts on the fluid."""
        whole = loads[:, 0] + jnp.stack([given.at(time) for given in self.given]).astype(loads.dtype)
        return whole - whole.mean() if self.relative else whole
