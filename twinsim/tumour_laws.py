"""Laws of tumour growth as models of a cohort: log10 volumes from parameters with priors."""

from collections.abc import Callable
from dataclasses import dataclass

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from physics.tumour_growth_laws import bertalanffy, drug_response, exponential, gompertz, logistic
from twinsim.prior import Prior, Values

BROAD = "wide enough for doubling or halving in about a month; the population narrows it"


class Readings(eqx.Module):
    """When, and how large at first, for one lesion or, with a leading axis, for many.

    Attributes:
        days: Since the first reading.
        first: First volume, mm^3.
    """

    days: Float[Array, "*batch times"]
    first: Float[Array, "*batch"]


@dataclass(frozen=True)
class Law:
    """A law and the priors of its parameters; `predict` gives log10 of the volume in mm^3."""

    name: str
    priors: tuple[Prior, ...]
    predict: Callable[[Values, Readings], Array]


_START = Prior("start", "1", 1.0, 0.3, "log", "relative to the first reading")
_SIGNED = Prior("rate", "1/day", 0.0, 0.005, "identity", BROAD)
_APPROACH = Prior("rate", "1/day", 0.006, 0.8, "log", BROAD)
_END = Prior("capacity", "1", 0.7, 1.0, "log", "relative to the first reading; below one under therapy")
_ROOM = Prior("capacity", "1", 10.0, 1.0, "log", "relative to the first reading")


def _of(law: Callable[..., Array], *relative: str) -> Callable[[Values, Readings], Array]:
    def predict(values: Values, readings: Readings) -> Array:
        scaled = {name: value * readings.first if name in ("start", *relative) else value for name, value in values.items()}
        return jnp.log10(jnp.maximum(law(readings.days, **scaled), 1e-9))

    return predict


LAWS = {
    "exponential": Law("exponential", (_START, _SIGNED), _of(exponential)),
    "logistic": Law("logistic", (_START, _SIGNED, _ROOM), _of(logistic, "capacity")),
    "gompertz": Law("Gompertz", (_START, _APPROACH, _END), _of(gompertz, "capacity")),
    "bertalanffy": Law(
        "general Bertalanffy",
        (_START, _APPROACH, _END, Prior("shape", "1", 0.33, 0.5, "log", "von Bertalanffy's 1/3, within a factor of about two")),
        _of(bertalanffy, "capacity"),
    ),
    "two-population": Law(
        "two populations",
        (
            _START,
            Prior("resistant", "1", 0.4, 1.2, "logit", "anything between none and all"),
            Prior("kill", "1/day", 0.015, 0.8, "log", BROAD),
            Prior("growth", "1/day", 0.001, 0.002, "identity", BROAD),
        ),
        _of(drug_response),
    ),
}
