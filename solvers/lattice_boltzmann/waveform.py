"""Numbers given over time: constant, once, or samples of a period."""

from abc import abstractmethod

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from solvers.shapes import Scalar


class Waveform(eqx.Module):
    """A number by time; write one's own for a function."""

    @abstractmethod
    def at(self, time: Scalar) -> Scalar:
        """Value at a time, in steps."""


class Constant(Waveform):
    """The same at all times, reached by a smooth rise from zero over ``rise`` steps (0: at once)."""

    value: Scalar
    rise: float = eqx.field(static=True, default=0.0)

    def at(self, time: Scalar) -> Scalar:
        """See :class:`Waveform`."""
        if not self.rise:
            return self.value
        share = jnp.clip(time / self.rise, 0, 1)
        return self.value * share**2 * (3 - 2 * share)


class Bolus(Waveform):
    r"""$\sin^2(\pi t/T)$ from zero to the duration $T$ in steps, once, zero before and after: what is injected; its mean time is $T/2$."""

    duration: Scalar

    def at(self, time: Scalar) -> Scalar:
        """See :class:`Waveform`."""
        return jnp.where((time > 0) & (time < self.duration), jnp.sin(jnp.pi * time / self.duration) ** 2, 0)


class Periodic(Waveform):
    """Samples at equal distances over a period, linear in between, repeated; the first follows the last.

    Args:
        samples: At times 0, period/n, ... ; at least two.
        period: In steps.
        rise: Steps over which the whole rises from zero.
    """

    samples: Float[Array, " samples"]
    period: Scalar
    rise: float = eqx.field(static=True, default=0.0)

    def __check_init__(self) -> None:
        if self.samples.shape[0] < 2:
            raise ValueError(f"got {self.samples.shape[0]} samples of a period; expected at least 2; do: use Constant")

    def at(self, time: Scalar) -> Scalar:
        """See :class:`Waveform`."""
        count = self.samples.shape[0]
        place = jnp.mod(time / self.period, 1) * count
        # A sum of hats: no search and no gather, and its derivative by the samples is exact.
        distance = jnp.abs(jnp.mod(place - jnp.arange(count) + count / 2, count) - count / 2)
        value = jnp.sum(self.samples * jnp.maximum(1 - distance, 0))
        if not self.rise:
            return value
        share = jnp.clip(time / self.rise, 0, 1)
        return value * share**2 * (3 - 2 * share)
