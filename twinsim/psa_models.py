"""Models of PSA under intermittent therapy as functions of named parameters with priors."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from physics.androgen_deprivation_hirata import HIRATA2010, HirataTanaka
from physics.androgen_deprivation_portz import PORTZ2012, PortzKuangNagy
from physics.parameters import ParameterSet
from twinsim.prior import Prior, Values

Series = Float[Array, " times"]
BROAD = "broad: decades rather than percent"


class Schedule(eqx.Module):
    """When therapy was on, for one patient or, with a leading axis, for many.

    Attributes:
        times: Days, not decreasing; padded by repeating the last.
        since_stop: Days since therapy stopped at each time; minus one where it is on.
        scale: PSA at the first visit, ng/mL: initial values are relative to it.
    """

    times: Float[Array, "*batch times"]
    since_stop: Float[Array, "*batch times"]
    scale: Float[Array, "*batch"]


@dataclass(frozen=True)
class PsaModel:
    """A model and the priors of its parameters.

    Attributes:
        name: For tables.
        priors: One per parameter, wide; a population narrows them.
        predict: From values and a schedule the logarithm of PSA and the resistant part of the cells, both at the times of the schedule.
        longest_interval: Days between two times of a schedule that its steps allow; infinite where intervals are exact.
    """

    name: str
    priors: tuple[Prior, ...]
    predict: Callable[[Values, Schedule], tuple[Series, Series]]
    longest_interval: float = math.inf

    def log_psa(self, values: Values, schedule: Schedule) -> Series:
        """The first of what `predict` gives."""
        return self.predict(values, schedule)[0]

    def resistant_fraction(self, values: Values, schedule: Schedule) -> Series:
        """The second."""
        return self.predict(values, schedule)[1]


def _log(name: str, unit: str, median: float, spread: float, source: str = BROAD) -> Prior:
    return Prior(name, unit, median, spread, "log", source)


def _signed(name: str, unit: str, median: float, spread: float, source: str = BROAD) -> Prior:
    return Prior(name, unit, median, spread, "identity", source)


def _published(parameters: ParameterSet, name: str, spread: float, make: Callable[..., Prior] = _log) -> Prior:
    """Around a published value, with its unit and source."""
    known = parameters[name]
    return make(name, known.unit, known.value, spread, known.source)


def hirata_tanaka(values: Values) -> HirataTanaka:
    """The equation with named values; without one, no transfer from the second to the third kind of cells, and no washout."""
    given = {"transfer_32_on": None, "washout": jnp.zeros(()), **values}
    return HirataTanaka(**{name: given[name] for name in HirataTanaka.__dataclass_fields__})


def _hirata(values: Values, schedule: Schedule) -> tuple[Series, Series]:
    model = hirata_tanaka(values)
    initial = schedule.scale * jnp.stack([values["initial_1"], values["initial_2"], values["initial_3"]])
    states = model.states(schedule.times, schedule.since_stop, initial)
    total = jnp.sum(states, axis=1)
    return jnp.log(jnp.maximum(total, 1e-12)), states[:, 2] / total


_HIRATA = (
    _published(HIRATA2010, "decay_1_on", 0.5),
    _published(HIRATA2010, "transfer_21_on", 1.0),
    _published(HIRATA2010, "decay_2_on", 0.006, _signed),
    _published(HIRATA2010, "transfer_31_on", 1.2),
    _published(HIRATA2010, "growth_3_on", 0.003, _signed),
    _log("growth_1_off", "1/day", 0.02, 0.7),
    _log("transfer_12_off", "1/day", 0.05, 1.0),
    _signed("growth_2_off", "1/day", 0.0, 0.006),
    _signed("growth_3_off", "1/day", -0.005, 0.006),
    _log("initial_1", "1", 0.9, 0.4),
    _log("initial_2", "1", 0.05, 1.0),
    _log("initial_3", "1", 0.005, 1.5),
)

HIRATA = PsaModel("Hirata-Tanaka", _HIRATA, _hirata)
HIRATA_WASHOUT = PsaModel("Hirata-Tanaka with washout", (*_HIRATA, _log("washout", "day", 50.0, 0.6)), _hirata)


QUOTA = 1.4  # nmol/L: about where uptake balances loss at a serum androgen of 12 nmol/L


def _portz(values: Values, schedule: Schedule) -> tuple[Series, Series]:
    fields = PortzKuangNagy.__dataclass_fields__
    given: dict[str, Any] = {name: value for name, value in values.items() if name in fields}
    model = PortzKuangNagy(**given)
    sensitive = schedule.scale * values["cells_per_psa"]
    initial = jnp.stack(
        [
            jnp.log(sensitive),
            jnp.log(sensitive * values["initial_resistant"]),
            jnp.log(schedule.scale * values["initial_psa"]),
            jnp.asarray(QUOTA),
            jnp.asarray(QUOTA),
            values["androgen_off"],
        ]
    )
    states = model.states(schedule.times, schedule.since_stop, initial)
    return states[:, 2], 1 / (1 + jnp.exp(states[:, 0] - states[:, 1]))


PORTZ = PsaModel(
    "Portz-Kuang-Nagy",
    (
        _published(PORTZ2012, "growth", 0.5),
        _published(PORTZ2012, "least_quota_sensitive", 0.3),
        _published(PORTZ2012, "least_quota_resistant", 0.3),
        _published(PORTZ2012, "death_sensitive", 0.5),
        _published(PORTZ2012, "death_resistant", 0.5),
        _log("androgen_off", "nmol/L", 12.0, 0.4),
        _log("androgen_on", "nmol/L", 0.5, 0.5),
        _log("rise_days", "day", 40.0, 0.6),
        _log("fall_days", "day", 7.0, 0.5),
        _log("washout", "day", 40.0, 0.6),
        _published(PORTZ2012, "secretion_sensitive", 0.7),
        _published(PORTZ2012, "secretion_resistant", 0.7),
        _log("cells_per_psa", "1", 1.5, 0.7),
        _log("initial_resistant", "1", 0.01, 1.5),
        _log("initial_psa", "1", 1.0, 0.3),
    ),
    _portz,
    longest_interval=32.0,
)

MODELS = {"hirata": HIRATA, "hirata-washout": HIRATA_WASHOUT, "portz": PORTZ}
