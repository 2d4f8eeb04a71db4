"""What is given over time at the ends of a circuit: samples of one period, a Fourier series, or a constant."""

from collections.abc import Sequence

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Float

type Samples = ArrayLike | Sequence[float]

CLOSURE = 1e-3


class Waveform(eqx.Module):
    """A periodic function of time, linear between samples.

    Attributes:
        times: Increasing; the last is one period after the first.
        values: At these times; the last equals the first.
    """

    times: Float[Array, " samples"]
    values: Float[Array, " samples"]

    def at(self, time: Array) -> Array:
        """The value at a time."""
        if self.values.size == 1:
            return self.values[0]
        first = self.times[0]
        return jnp.interp(first + jnp.mod(time - first, self.times[-1] - first), self.times, self.values)

    @property
    def constant(self) -> bool:
        """Whether there is only one value."""
        return self.values.size == 1


def waveform(times: Samples, values: Samples, name: str = "waveform") -> Waveform:
    """Samples of one period, both ends included.

    Args:
        times: s, increasing.
        values: One per time.
        name: For messages.

    Raises:
        ValueError: Lengths that differ, fewer than two samples, times that do not increase, values that are not finite, or a last value
            that is not the first (to a thousandth of the range): such a waveform jumps once a period.
    """
    t, y = jnp.asarray(times, float), jnp.asarray(values, float)
    if t.ndim != 1 or t.shape != y.shape or t.size < 2:
        raise ValueError(
            f"got {name} with times of shape {t.shape} and values of shape {y.shape}; expected two lists of one length of at least 2; "
            "do: give one value per time"
        )
    if not isinstance(t, Tracer) and not (np.diff(np.asarray(t)) > 0).all():
        raise ValueError(f"got {name} with times that do not increase; expected increasing times; do: sort the samples")
    if not isinstance(y, Tracer):
        seen = np.asarray(y)
        if not np.isfinite(seen).all():
            raise ValueError(f"got {name} with values that are not finite; expected numbers; do: fill the gaps")
        gap = abs(seen[-1] - seen[0])
        if gap > CLOSURE * np.ptp(seen):
            raise ValueError(
                f"got {name} that ends at {seen[-1]:.6g} and begins at {seen[0]:.6g}; expected a periodic one; "
                "do: end with the first value one period later, or subtract the drift"
            )
    return Waveform(t, y)


def constant(value: ArrayLike) -> Waveform:
    """The same at all times."""
    return Waveform(jnp.zeros(1), jnp.asarray(value, float).reshape(1))


def fourier(mean: ArrayLike, cosines: Samples, sines: Samples, period: float, samples: int = 257) -> Waveform:
    r"""$a_0 + \sum_k a_k\cos(2\pi kt/T) + b_k\sin(2\pi kt/T)$ at equally spaced samples of one period; differentiable in $a$ and $b$."""
    times = jnp.linspace(0.0, period, samples)
    a, b = jnp.asarray(cosines, float), jnp.asarray(sines, float)
    phase = 2 * jnp.pi * jnp.outer(jnp.arange(1, a.size + 1), times) / period
    return Waveform(times, jnp.asarray(mean, float) + a @ jnp.cos(phase) + b @ jnp.sin(phase))
