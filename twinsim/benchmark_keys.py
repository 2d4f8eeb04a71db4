"""What a benchmark's number is, read from its name: a time, a rate, an error, a size, or something that is not judged."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal

Kind = Literal["time", "rate", "error", "memory", "quotient", "peer", "value"]

JUDGED: tuple[Kind, ...] = ("time", "rate", "error", "memory")
"""Kinds for which a change has a direction."""

_TIMES = {"seconds", "milliseconds", "microseconds", "nanoseconds", "ms", "us", "ns"}
_ERRORS = {"error", "errors", "residual", "deviation"}
_SIZES = {"mib", "gib"}


def kind(key: str, peers: Iterable[str] = ()) -> Kind:
    """What ``key`` names.

    Args:
        key: E.g. ``step_seconds_96`` or ``forward_speed_ratio_to_diffrax``.
        peers: Names of peers, as :func:`peers_in` finds them: their own numbers are shown and never judged.
    """
    if any(key.startswith(f"{peer}_") for peer in peers):
        return "peer"
    words = key.split("_")
    if "ratio" in words or "fraction" in words or "speedup" in words or "efficiency" in words or "_to_forward" in key:
        return "quotient"
    if _ERRORS & set(words) or "against_difference" in key:
        return "error"
    if "per_second" in key or "per_microsecond" in key:
        return "rate"
    if "simulated" in words or "duration" in words:
        return "value"
    if _TIMES & set(words):
        return "time"
    return "memory" if _SIZES & set(words) else "value"


def peers_in(keys: Iterable[str]) -> set[str]:
    """Peers that ratios ``..._ratio_to_<peer>`` name."""
    return {match[1] for key in keys if (match := re.search(r"_ratio_to_([a-z0-9]+)", key))}


def is_number(value: Any) -> bool:
    """Whether ``value`` can be compared: an integer or a float, no truth value."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def median_sibling(key: str) -> str | None:
    """``forward_seconds_median_96`` for ``forward_seconds_96``, where a benchmark may report the median beside the minimum."""
    found = re.match(r"(.*(?:seconds|_ms|_us|_ns))(_.*)?$", key)
    return f"{found[1]}_median{found[2] or ''}" if found and "median" not in key else None


def spreads_within(numbers: Mapping[str, Any]) -> dict[str, float]:
    """Relative distance from the minimum to the median of each time that reports both."""
    found = {}
    for key, value in numbers.items():
        middle = numbers.get(median_sibling(key) or "")
        if is_number(value) and is_number(middle) and value > 0:
            found[key] = max(0.0, middle / value - 1)
    return found
