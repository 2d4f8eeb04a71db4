"""What brain regions do to each other, given what each hears of the others."""

from abc import abstractmethod

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from physics.neural_mass import Coupled, PerRegion

Rows = Float[Array, "rows *regions"]
TotalWeight = Float[Array, "1 #*regions"]


class MassCoupling(eqx.Module):
    r"""The effect of others on the coupled variables $x$, from sums $\sum_j w_{ij}\,f(x_j(t-\tau_{ij}))$ of what each sends.

    Attributes:
        strength: Global, one number, or one per member of a batch.
    """

    strength: eqx.AbstractVar[PerRegion]

    @abstractmethod
    def sent(self, own: Coupled) -> Rows:
        """$f$ of a region's own coupled variables."""

    @abstractmethod
    def effect(self, own: Coupled, heard: Rows, total_weight: TotalWeight) -> Coupled:
        """Of the sums; ``total_weight`` is each region's sum of weights."""


class LinearCoupling(MassCoupling):
    r"""$c_i = a\sum_jw_{ij}x_j(t-\tau_{ij}) + b$; $a$ is ``strength``."""

    strength: PerRegion
    offset: PerRegion = eqx.field(default_factory=lambda: jnp.asarray(0.0))

    def sent(self, own: Coupled) -> Rows:
        """See :class:`MassCoupling`."""
        return own

    def effect(self, own: Coupled, heard: Rows, total_weight: TotalWeight) -> Coupled:
        """See :class:`MassCoupling`."""
        return self.strength * heard + self.offset


class DifferenceCoupling(MassCoupling):
    r"""$c_i = a\sum_jw_{ij}\left(x_j(t-\tau_{ij}) - x_i(t)\right)$; $a$ is ``strength``."""

    strength: PerRegion

    def sent(self, own: Coupled) -> Rows:
        """See :class:`MassCoupling`."""
        return own

    def effect(self, own: Coupled, heard: Rows, total_weight: TotalWeight) -> Coupled:
        """See :class:`MassCoupling`."""
        return self.strength * (heard - total_weight * own)


class PhaseCoupling(MassCoupling):
    r"""$c_i = \frac aN\sum_jw_{ij}\sin\left(x_j(t-\tau_{ij}) - x_i(t)\right)$ over $N$ regions; $a$ is ``strength``.

    Of a difference of angles the sums of sines and of cosines are all that has to be heard.
    """

    strength: PerRegion

    def sent(self, own: Coupled) -> Rows:
        """See :class:`MassCoupling`."""
        return jnp.concatenate([jnp.sin(own), jnp.cos(own)])

    def effect(self, own: Coupled, heard: Rows, total_weight: TotalWeight) -> Coupled:
        """See :class:`MassCoupling`."""
        sines, cosines = jnp.split(heard, 2)
        return self.strength / own.shape[1] * (sines * jnp.cos(own) - cosines * jnp.sin(own))
