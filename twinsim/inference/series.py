"""What was measured of one kind: times, values with gaps, and how they scatter."""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float

from twinsim.errors import InputError
from twinsim.inference.likelihood import CensoredBelow, Likelihood

type Readings = ArrayLike | Sequence[float]


class Series(eqx.Module):
    """One kind of measurement of one patient at irregular times; made by :func:`series`.

    Attributes:
        times: Not decreasing, in the unit of time of the model.
        values: In `unit`; NaN where nothing was measured, and in the padding.
        likelihood: How values scatter about predictions.
        name: What was measured.
        unit: Its unit, for people.
    """

    times: Float[Array, "*batch observations"]
    values: Float[Array, "*batch observations"]
    likelihood: Likelihood
    name: str = eqx.field(static=True, default="measurement")
    unit: str = eqx.field(static=True, default="1")

    @property
    def mask(self) -> Bool[Array, "*batch observations"]:
        """Where there is a value."""
        return jnp.isfinite(self.values)

    def padded(self, length: int) -> "Series":
        """The same measurements in arrays of this length: the last time repeated, with nothing measured."""
        missing = length - self.times.shape[-1]
        if missing < 0:
            raise InputError(
                got=f"padding to {length}", expected=f"at least {self.times.shape[-1]}", do="give the longest length of the batch"
            )
        times = jnp.concatenate([self.times, jnp.repeat(self.times[-1:], missing)])
        values = jnp.concatenate([self.values, jnp.full(missing, jnp.nan, self.values.dtype)])
        return Series(times, values, self.likelihood, self.name, self.unit)

    def until(self, time: ArrayLike) -> "Series":
        """The same times, with what was measured after `time` missing: shapes stay, so nothing is compiled again."""
        kept = jnp.where(self.times <= time, self.values, jnp.nan)
        return Series(self.times, kept, self.likelihood, self.name, self.unit)


def series(times: Readings, values: Readings, likelihood: Likelihood, name: str = "measurement", unit: str = "1") -> Series:
    """A series from plain arrays.

    Args:
        times: Not decreasing.
        values: One per time; NaN where nothing was measured.
        likelihood: How values scatter about predictions.
        name: What was measured.
        unit: Its unit.

    Raises:
        InputError: Lengths that differ, times that are not finite or decrease, infinite values, values that the likelihood rules out.
    """
    try:
        t, y = np.asarray(times, dtype=float), np.asarray(values, dtype=float)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name}: {error}", "times and values that are numbers", "convert them, NaN where missing") from error
    if t.ndim != 1 or t.shape != y.shape or t.size == 0:
        raise InputError(
            got=f"{name}: times of shape {t.shape}, values of shape {y.shape}",
            expected="two lists of one length, not empty",
            do="give one value per time, NaN where missing",
        )
    if not np.isfinite(t).all() or (np.diff(t) < 0).any():
        raise InputError(
            got=f"{name}: times that are not finite or go backwards", expected="times in ascending order", do="sort the readings by time"
        )
    if np.isinf(y).any():
        raise InputError(got=f"{name}: an infinite value", expected="finite values, NaN where missing", do="mark it as missing")
    inner = likelihood.of if isinstance(likelihood, CensoredBelow) else likelihood
    seen = y[np.isfinite(y)]
    floor = float(jnp.max(likelihood.limit)) if isinstance(likelihood, CensoredBelow) else -np.inf
    if inner.support == "positive" and (np.maximum(seen, floor) <= 0).any():
        raise InputError(
            got=f"{name}: a value of {seen.min():g} {unit}",
            expected="values above 0",
            do="mark it as missing, or wrap the likelihood in CensoredBelow",
        )
    if inner.support == "count" and ((seen < 0) | (seen != np.round(seen))).any():
        raise InputError(
            got=f"{name}: a value that is not a count",
            expected="0, 1, 2, ...",
            do="mark it as missing, or choose a likelihood of real numbers",
        )
    return Series(jnp.asarray(t), jnp.asarray(y), likelihood, name, unit)


def stacked[Tree](patients: Sequence[Tree]) -> Tree:
    """Pytrees of one structure as one with a leading axis of patients, for ``eqx.filter_vmap``; what is not an array is the first's."""
    parts = [eqx.partition(patient, eqx.is_array) for patient in patients]
    return eqx.combine(jax.tree.map(lambda *leaves: jnp.stack(leaves), *[arrays for arrays, _ in parts]), parts[0][1])
