"""The one check of numbers among the options of experiments and benchmarks, before any work starts; light, for anyone to import."""

import math
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from twinsim.errors import InputError

LARGEST_SEED = 2**32 - 1

Ranges = Mapping[str, tuple[float, float]]


def check_options(config: Any, ranges: Ranges | None = None) -> None:
    """Refuses numbers that are not finite, seeds that are none, and what lies outside of its range.

    Args:
        config: A dataclass of options; of a tuple each number is checked, what is no number is passed over.
        ranges: Lowest and highest value by name of the field, both allowed; infinite where there is no bound.

    Raises:
        InputError: Names the flag and the side on which it is wrong. A comparison with NaN is false, so that NaN is refused as well.
    """
    known = {"seed": (0.0, LARGEST_SEED), **(ranges or {})}
    for one in fields(config):
        value = getattr(config, one.name)
        for number in value if isinstance(value, tuple) else (value,):
            if isinstance(number, int | float) and not isinstance(number, bool):
                check_number(f"--{one.name.replace('_', '-')}", number, *known.get(one.name, (-math.inf, math.inf)))


def check_number(what: str, number: float, low: float = -math.inf, high: float = math.inf) -> None:
    """Refuses a number that is not finite or outside of ``low`` to ``high``.

    Raises:
        InputError: Says which, and what to choose.
    """
    if math.isfinite(number) and low <= number <= high:
        return
    least, most = (f"at least {_text(low)}" if low > -math.inf else ""), (f"at most {_text(high)}" if high < math.inf else "")
    both = f"{_text(low)} to {_text(high)}" if least and most else least or most
    remedy = (least if number < low else most if number > high else "") or both or "a finite number"
    raise InputError(f"{what} {_text(number)}", both or "a finite number", f"choose {remedy}")


def check_seed(seed: int) -> None:
    """Refuses a seed below zero or beyond 32 bits.

    Raises:
        InputError: Says which.
    """
    check_number("seed", seed, 0, LARGEST_SEED)


def _text(number: float) -> str:
    return str(int(number)) if math.isfinite(number) and number == int(number) and abs(number) < 1e15 else f"{number:g}"
