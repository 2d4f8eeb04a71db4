"""Readings as they come in, and what can become of one."""

import hashlib
import json
import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from twinsim.errors import InputError, near_misses
from twinsim.quantities import conversion_factor


class Outcome(StrEnum):
    """What became of a reading; written to the journal with it."""

    ACCEPTED = "accepted"
    AFTER_GAP = "accepted after a gap"
    OUTLIER = "accepted as an outlier"
    REORDERED = "accepted out of order"
    DUPLICATE = "refused: duplicate"
    CONFLICT = "refused: conflicts with an accepted reading of the same identity"
    TOO_OLD = "refused: older than the window that can be run again"
    FROM_FUTURE = "refused: too far ahead"
    NOT_A_NUMBER = "refused: not a number"
    OUT_OF_RANGE = "refused: out of range"
    WRONG_UNIT = "refused: wrong unit"
    UNKNOWN_CHANNEL = "refused: unknown channel"
    NOT_A_TIME = "refused: not a time"
    FAILED = "refused: the update was not finite"

    @property
    def accepted(self) -> bool:
        """Whether the twin knows the reading."""
        return self.value.startswith("accepted")


@dataclass(frozen=True)
class Channel:
    """One kind of reading.

    Attributes:
        name: What a reading calls it.
        unit: The unit that the model works in; readings in other units of the same dimension are converted.
        low: Least value that is possible, in that unit; with ``logarithmic`` the value itself must also be above 0.
        high: Largest.
        logarithmic: Whether the model predicts the logarithm.
        size: Values per reading: 1, or the number of places of a field.
    """

    name: str
    unit: str
    low: float = -math.inf
    high: float = math.inf
    logarithmic: bool = False
    size: int = 1

    def __post_init__(self) -> None:
        if not self.low < self.high or self.size < 1:
            raise InputError(
                got=f"channel {self.name} from {self.low} to {self.high}, {self.size} values",
                expected="low < high and at least one value",
                do="correct them",
            )


@dataclass(frozen=True)
class Reading:
    """One reading, as it comes from outside: nothing is checked before a twin sees it.

    Attributes:
        channel: Name of its channel.
        time: In the model's unit of time, from its origin.
        value: A number, or one per place (None or NaN where a place was not read).
        unit: Unit of the value, as people write it.
        identity: The sender's own name for it; None names it by its content: channel, time and value in the model's unit.
    """

    channel: Any
    time: Any
    value: Any
    unit: Any
    identity: str | None = None


class Refusal(InputError):
    """A reading that cannot be used, whatever the twin's state: the outcome, and the one line.

    Args:
        outcome: For the journal.
        got: As in :class:`InputError`.
        expected: The same.
        do: The same.
    """

    def __init__(self, outcome: Outcome, got: str, expected: str, do: str) -> None:
        self.outcome = outcome
        super().__init__(got, expected, do)


def check_channels(channels: tuple[Channel, ...]) -> None:
    """Refuses channels that no reading could use.

    Raises:
        InputError: None, two of one name, or a unit that pint does not know.
    """
    names = [channel.name for channel in channels]
    if not names or len(set(names)) < len(names):
        raise InputError(f"the channels {', '.join(names) or '(none)'}", "at least one, each with a name of its own", "rename or add one")
    for channel in channels:
        try:
            conversion_factor(channel.unit, channel.unit)
        except InputError as error:
            got = f"channel {channel.name} with the unknown unit {channel.unit!r}"
            raise InputError(got, "a unit that pint knows, such as mL, mg/dL or ng/mL; 1 for none", "correct the unit") from error


def checked(reading: Reading, channels: tuple[Channel, ...]) -> tuple[int, np.ndarray]:
    """Index of the channel, and the values in the model's unit and transform; NaN where a place was not read.

    Raises:
        Refusal: Unknown channel or unit, a time or value that is no finite number, a value out of range.
    """
    names = [channel.name for channel in channels]
    if reading.channel not in names:
        raise Refusal(
            Outcome.UNKNOWN_CHANNEL, f"channel {reading.channel!r}", "one of the twin's", near_misses(str(reading.channel), names)
        )
    place = names.index(reading.channel)
    channel = channels[place]
    if isinstance(reading.time, bool) or not isinstance(reading.time, int | float) or not math.isfinite(reading.time):
        raise Refusal(Outcome.NOT_A_TIME, f"time {reading.time!r}", "a finite number", "check the clock of the sender")
    if reading.unit != channel.unit and not (isinstance(reading.unit, str) and reading.unit.strip()):
        raise Refusal(Outcome.WRONG_UNIT, f"the unit {reading.unit!r} of {channel.name}", channel.unit, "give the unit of the value")
    try:
        factor = 1.0 if reading.unit == channel.unit else conversion_factor(reading.unit, channel.unit)
        offset = reading.unit.strip().lower() in ("degc", "degf", "celsius", "fahrenheit") and reading.unit != channel.unit
        if offset or not math.isfinite(factor):
            raise InputError(f"the unit {reading.unit!r}", f"{channel.unit}, or a multiple of it", "convert it")
    except InputError as error:
        raise Refusal(Outcome.WRONG_UNIT, error.got, error.expected, error.do) from error
    try:
        given = reading.value if isinstance(reading.value, list | tuple | np.ndarray) else [reading.value]
        if any(isinstance(v, bool | str | bytes) for v in given):
            raise TypeError
        values = np.array([math.nan if v is None else v for v in given], dtype=float) * factor
    except (TypeError, ValueError) as error:
        raise Refusal(Outcome.NOT_A_NUMBER, f"{channel.name} {_short(reading.value)}", "a number", "leave the reading out") from error
    if values.shape != (channel.size,):
        expected = f"{channel.size} values" if channel.size > 1 else "one number"
        raise Refusal(Outcome.NOT_A_NUMBER, f"{channel.name} with {values.size} values", expected, "give None where nothing was read")
    seen = values[~np.isnan(values)]
    if not seen.size or np.isinf(seen).any():
        raise Refusal(Outcome.NOT_A_NUMBER, f"{channel.name} {_short(reading.value)}", "a finite number", "leave the reading out")
    low, high = channel.low, channel.high
    if (seen < low).any() or (seen > high).any() or (channel.logarithmic and (seen <= 0).any()):
        wrong = float(seen[(seen < low) | (seen > high) | (channel.logarithmic & (seen <= 0))][0])
        least = f"above {max(low, 0.0):g}" if channel.logarithmic else f"at least {low:g}"
        raise Refusal(
            Outcome.OUT_OF_RANGE, f"{channel.name} {wrong:g} {channel.unit}", f"{least} and at most {high:g}", "check sensor and unit"
        )
    return place, np.log(values) if channel.logarithmic else values


def content_of(place: int, time: float, values: tuple[float | None, ...]) -> str:
    """A digest of what a checked reading says."""
    return hashlib.sha256(json.dumps([place, time, values]).encode()).hexdigest()[:24]


def shown(reading: Reading) -> dict[str, Any]:
    """The reading as it came, for people; what JSON cannot hold as text."""
    parts = {"channel": reading.channel, "time": reading.time, "value": reading.value, "unit": reading.unit}
    return {name: _plain(part) for name, part in parts.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if value is None or isinstance(value, bool | int | str) or (isinstance(value, float) and math.isfinite(value)):
        return value
    return repr(value)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 40 else text[:37] + "..."
