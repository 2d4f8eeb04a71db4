"""What a drug does to the channels of a heart cell: pore block by concentration, and binding to the hERG channel."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from physics.cell_model import Cells, Scalar

CHANNELS = ("INa", "INaL", "ICaL", "IKr", "IKs", "IK1", "Ito")
"""Currents that pore block is measured for, in the order of every table here."""


def open_share(concentration: Scalar, half: Float[Array, "..."], hill: Float[Array, "..."]) -> Float[Array, "..."]:
    r"""$1/(1 + (c/IC_{50})^h)$: the share of channels that a drug leaves open at once and at every voltage.

    Args:
        concentration: Free in plasma, in the unit of ``half``; zero leaves every channel open.
        half: $IC_{50}$, where half of the channels are blocked; infinite for a channel that is not.
        hill: $h$, about 1.
    """
    given = concentration > 0
    ratio = jnp.where(given, concentration, 1.0) / half
    return jnp.where(given, 1 / (1 + ratio**hill), 1.0)


class HergBinding(eqx.Module):
    r"""Binding of a drug to open and inactivated hERG channels, and how it is trapped when they close (Li et al. 2017).

    A channel binds at $K_{max}K_u\,c^n/(c^n + EC)$, lets go at $K_u$, and a closed one keeps the drug: it goes to the trapped state at
    $K_t$ and comes back at $K_t/(1+e^{-(V-V_{half})/6.789\,mV})$.

    Args:
        strength: $K_{max}$, no unit.
        unbinding: $K_u$, 1/ms.
        hill: $n$.
        half: $EC$, the half of the n-th power of the concentration, nmol/L to the n.
        trapping_voltage: $V_{half}$, mV; far below rest for drugs that are not trapped.
        trapping: $K_t$, 1/ms.
        concentration: Free, nmol/L.

    Good values: of 28 drugs in the table of ``cardiac/drug_safety``; ``trapping`` is 3.5e-5 for all. Without a drug: :meth:`none`.
    """

    strength: Scalar
    unbinding: Scalar
    hill: Scalar
    half: Scalar
    trapping_voltage: Scalar
    trapping: Scalar
    concentration: Scalar

    @classmethod
    def none(cls) -> "HergBinding":
        """No drug: nothing binds."""
        return cls(*(jnp.asarray(value, dtype=float) for value in (0.0, 0.0, 1.0, 1.0, 1.0, 0.0, 0.0)))

    def binding(self) -> Scalar:
        """1/ms, of one open channel; as a share that is safe where powers of large concentrations overflow short numbers."""
        given = self.concentration > 0
        inverse = self.half * jnp.where(given, self.concentration, 1.0) ** -self.hill
        return jnp.where(given, self.strength * self.unbinding / (1 + inverse), 0.0)


class PoreBlock(eqx.Module):
    """How strongly a drug blocks each of :data:`CHANNELS`.

    Args:
        half: IC50 by channel; infinite for what it does not block.
        hill: Hill coefficient by channel.
    """

    half: Float[Array, " channels"]
    hill: Float[Array, " channels"]

    def open_shares(self, concentration: Scalar) -> dict[str, Scalar]:
        """The share of each channel that is left open, by its current."""
        return dict(zip(CHANNELS, open_share(concentration, self.half, self.hill), strict=True))


NET_CURRENTS = ("INaL", "ICaL", "IKr", "Ito", "IKs", "IK1")


def net_current(currents: dict[str, Cells]) -> Cells:
    """The sum of six currents whose integral over a beat is the net charge qNet of Dutta et al. (2017), A/F.

    What holds the action potential up counts against what ends it: less charge means more risk of early afterdepolarisations.
    """
    return sum((currents[name] for name in NET_CURRENTS[1:]), currents[NET_CURRENTS[0]])
