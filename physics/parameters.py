"""Parameter values with unit, bounds and source."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

import jax.numpy as jnp
from jaxtyping import Array, Float


@dataclass(frozen=True)
class Parameter:
    """One value and where it comes from.

    Args:
        value: In ``unit``.
        unit: As the field writes it, e.g. ``mm^2/day``.
        bounds: Smallest and largest value that makes sense.
        source: Paper and place in it.
    """

    value: float
    unit: str
    bounds: tuple[float, float]
    source: str

    def __post_init__(self) -> None:
        low, high = self.bounds
        if not (math.isfinite(self.value) and low <= self.value <= high):
            raise ValueError(f"got {self.value} {self.unit}; expected {low} to {high}; do: check the unit of the value")


class ParameterSet(Mapping[str, Parameter]):
    """Named parameters of one paper; a wrong name gets the near misses.

    Args:
        name: The paper, e.g. ``Swanson2000``.
        parameters: Values by name.
    """

    def __init__(self, name: str, **parameters: Parameter) -> None:
        self.name = name
        self._parameters = parameters

    def __getitem__(self, key: str) -> Parameter:
        if key not in self._parameters:
            close = get_close_matches(key, self._parameters, n=3, cutoff=0.4) or sorted(self._parameters)
            raise KeyError(f"got {key!r}; expected a parameter of {self.name}; do: use one of {', '.join(close)}")
        return self._parameters[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._parameters)

    def __len__(self) -> int:
        return len(self._parameters)

    def __repr__(self) -> str:
        return f"ParameterSet({self.name}: {', '.join(self._parameters)})"


def arrays_of(parameters: ParameterSet) -> dict[str, Float[Array, ""]]:
    """The values of a parameter set as arrays, by name."""
    return {name: jnp.asarray(parameters[name].value, dtype=float) for name in parameters}
