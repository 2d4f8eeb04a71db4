"""Numbers with units as people write them ("2 Gy", "150 mg/m^2"), turned into the unit that the code works
in, by pint.
"""

import math
import re
from functools import lru_cache
from typing import Any

from twinsim.errors import InputError, near_misses

_QUANTITY = re.compile(r"\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*(\S.*?)?\s*$")

_EXAMPLES: dict[str, tuple[str, tuple[str, ...]]] = {
    "gray": ("an absorbed dose", ("Gy", "cGy", "mGy", "gray", "centigray")),
    "mg/m^2": ("a dose per body surface area", ("mg/m^2", "g/m^2", "mg/m**2", "ug/m^2")),
}
"""For each unit that the code asks for: what it measures, and how people write units of its kind."""


@lru_cache(maxsize=1)
def unit_registry() -> Any:
    """The one pint registry of the process, made on first use because that takes a moment."""
    import pint

    return pint.UnitRegistry()


def quantity(value: object, unit: str) -> float:
    """The number of ``unit`` in a quantity such as ``"2 Gy"``.

    Args:
        value: Text, number and unit.
        unit: The unit wanted, e.g. ``"gray"`` or ``"mg/m^2"``.

    Raises:
        InputError: No unit, no number, an unknown unit (with near misses) or one of another dimension.
    """
    meaning, examples = _EXAMPLES.get(unit, (f"a quantity in {unit}", (unit,)))
    expected = f"{meaning} such as '2 {examples[0]}'"
    match = _QUANTITY.match(value) if isinstance(value, str) else None
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise InputError(f"{value!r} without a unit", expected, f"write '{value} {examples[0]}'")
    if match is None or not match[2]:
        raise InputError(f"{value!r}", expected, "write a number, a space and the unit")
    number = float(match[1]) * conversion_factor(match[2], unit)
    if not math.isfinite(number):
        raise InputError(f"{value!r}", expected, "write a finite number")
    return number


def conversion_factor(name: str, unit: str) -> float:
    """How many ``unit`` one ``name`` is, e.g. 0.01 for centigray in gray; errors as in `quantity`."""
    import pint

    meaning, examples = _EXAMPLES.get(unit, (f"a quantity in {unit}", (unit,)))
    expected = f"a unit of {meaning}, such as " + ", ".join(examples[:3])
    try:
        parsed = unit_registry().Unit(name)
        # Gray and sievert share their dimension, but an equivalent dose is no absorbed dose.
        if unit == "gray" and re.search(r"sievert|rem\b", str(parsed)):
            raise InputError(f"the unit {name!r}, which measures equivalent dose", expected, "give the absorbed dose in Gy")
        return float(unit_registry().Quantity(1.0, parsed).to(unit).magnitude)
    except pint.DimensionalityError as error:
        raise InputError(
            f"the unit {name!r} of dimension {error.dim1}",
            f"{expected} (dimension {error.dim2})",
            "convert it",
        ) from error
    except InputError:
        raise
    except Exception as error:  # pint and its tokenizer raise half a dozen types for text that is no unit
        raise InputError(f"the unknown unit {name!r}", expected, near_misses(name, examples)) from error
