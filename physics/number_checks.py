"""The one refusal of numbers that a model cannot take, on the host."""

from typing import Any

import numpy as np
from jax.core import Tracer


def check_numbers(name: str, value: Any, zero: bool = False, most: float = np.inf) -> None:
    """Refuses what is not finite, negative, or zero where that isn't allowed; traced values pass, since it is the host that refuses.

    Args:
        name: Of the quantity, for the message.
        value: A number or an array of any shape.
        zero: Whether zero may be.
        most: The largest that may be.

    Raises:
        ValueError: Says between which numbers the value lies, and what was expected.
    """
    if isinstance(value, Tracer):
        return
    numbers = np.asarray(value, float)
    if not (np.isfinite(numbers) & ((numbers >= 0) if zero else (numbers > 0)) & (numbers <= most)).all():
        bounds = f"{'not below' if zero else 'above'} zero" + (f" and at most {most:g}" if most < np.inf else "")
        raise ValueError(
            f"got {name} between {numbers.min():g} and {numbers.max():g}; expected finite numbers {bounds}; do: check sign and unit"
        )
