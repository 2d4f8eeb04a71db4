"""Priors in an unconstrained space where each is a standard normal."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.stats import norm

from twinsim.errors import InputError, near_misses

Values = dict[str, Array]


@dataclass(frozen=True)
class Prior:
    r"""The prior of one parameter: $z\sim N(0,1)$ and value $= g^{-1}(g(\text{median}) + \text{spread}\cdot z)$.

    Args:
        name: Name of the parameter.
        unit: Its unit, for people.
        median: Median of the prior, in that unit.
        spread: Standard deviation in the transformed space: of the logarithm, of the logit, or of the value itself.
        transform: $g$: ``log`` for positive values, ``logit`` for values between two bounds, ``identity`` for positions.
        source: Where median and spread come from.
        low: Lower bound of ``logit``, $g(v)=\log\frac{v-\text{low}}{\text{high}-v}$.
        high: Upper bound of ``logit``.
        convention: Whether the value means something only within the model (a round seed, a threshold of imaging), so that a
            narrow posterior is no statement about biology.

    Since $z$ is the coordinate that estimators move in, the density of $z$ is the standard normal and needs no determinant; that of the
    value is :meth:`log_density`.
    """

    name: str
    unit: str
    median: float
    spread: float
    transform: Literal["log", "logit", "identity"]
    source: str
    low: float = 0.0
    high: float = 1.0
    convention: bool = False

    def __post_init__(self) -> None:
        """Refuses a spread that is not positive and a median outside of what the transform can reach."""
        inside = {"log": self.median > 0, "logit": self.low < self.median < self.high, "identity": True}
        if self.transform not in inside:
            known = near_misses(self.transform, inside)
            raise InputError(f"prior of {self.name} with transform {self.transform!r}", ", ".join(inside), known)
        if not (self.spread > 0 and np.isfinite([self.spread, self.median]).all() and inside[self.transform]):
            raise InputError(
                got=f"prior of {self.name} with median {self.median:g}, spread {self.spread:g}, transform {self.transform}",
                expected=f"finite ones, a spread above 0, and a median above 0 for log or {self.low:g} to {self.high:g} for logit",
                do="correct the prior",
            )

    def value(self, z: Array) -> Array:
        """The value that belongs to a standard-normal coordinate."""
        if self.transform == "log":
            return self.median * jnp.exp(self.spread * z)
        if self.transform == "logit":
            odds = float(np.log((self.median - self.low) / (self.high - self.median)))
            return self.low + (self.high - self.low) * jax.nn.sigmoid(odds + self.spread * z)
        return self.median + self.spread * z

    def coordinate(self, value: float) -> float:
        """The standard-normal coordinate of a value."""
        if self.transform == "log":
            return float(np.log(value / self.median) / self.spread)
        if self.transform == "logit":
            odds = (value - self.low) / (self.high - value) * (self.high - self.median) / (self.median - self.low)
            return float(np.log(odds) / self.spread)
        return (value - self.median) / self.spread

    def log_density(self, z: Array) -> Array:
        r"""Log density of the value that belongs to $z$: $\log N(z; 0, 1) - \log|dv/dz|$."""
        slope = jnp.full_like(z, self.spread)
        if self.transform == "log":
            slope = self.spread * self.value(z)
        if self.transform == "logit":
            value = self.value(z)
            slope = self.spread * (value - self.low) * (self.high - value) / (self.high - self.low)
        return -0.5 * z**2 - 0.5 * float(np.log(2 * np.pi)) - jnp.log(slope)

    def interval(self, probability: float) -> tuple[float, float]:
        """The central interval of this probability."""
        half = float(norm.ppf(0.5 + probability / 2))
        return float(self.value(jnp.asarray(-half))), float(self.value(jnp.asarray(half)))


def values_of(priors: Sequence[Prior], z: Float[Array, " parameters"]) -> Values:
    """Parameter values by name from a vector of standard-normal coordinates."""
    return {prior.name: prior.value(z[i]) for i, prior in enumerate(priors)}
