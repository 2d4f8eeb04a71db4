"""Priors in an unconstrained space where each is a standard normal."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.stats import norm

Values = dict[str, Array]


@dataclass(frozen=True)
class Prior:
    r"""The prior of one parameter: $z\sim N(0,1)$ and value $= g^{-1}(g(\text{median}) + \text{spread}\cdot z)$.

    Args:
        name: Name of the parameter.
        unit: Its unit, for people.
        median: Median of the prior, in that unit.
        spread: Standard deviation in the transformed space: of the logarithm, of the logit, or of the value itself.
        transform: $g$: ``log`` for positive values, ``logit`` for fractions, ``identity`` for positions.
        source: Where median and spread come from.
    """

    name: str
    unit: str
    median: float
    spread: float
    transform: Literal["log", "logit", "identity"]
    source: str

    def value(self, z: Array) -> Array:
        """The value that belongs to a standard-normal coordinate."""
        if self.transform == "log":
            return self.median * jnp.exp(self.spread * z)
        if self.transform == "logit":
            return jax.nn.sigmoid(float(np.log(self.median / (1 - self.median))) + self.spread * z)
        return self.median + self.spread * z

    def coordinate(self, value: float) -> float:
        """The standard-normal coordinate of a value."""
        if self.transform == "log":
            return float(np.log(value / self.median) / self.spread)
        if self.transform == "logit":
            odds = value / (1 - value) * (1 - self.median) / self.median
            return float(np.log(odds) / self.spread)
        return (value - self.median) / self.spread

    def interval(self, probability: float) -> tuple[float, float]:
        """The central interval of this probability."""
        half = float(norm.ppf(0.5 + probability / 2))
        return float(self.value(jnp.asarray(-half))), float(self.value(jnp.asarray(half)))


def values_of(priors: Sequence[Prior], z: Float[Array, " parameters"]) -> Values:
    """Parameter values by name from a vector of standard-normal coordinates."""
    return {prior.name: prior.value(z[i]) for i, prior in enumerate(priors)}
