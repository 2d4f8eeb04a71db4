"""Sweeps: the product of option values, and what they mean for a benchmark's Config."""

import dataclasses
import itertools
import json
import typing
from collections.abc import Mapping, Sequence
from typing import Any

from twinsim.benchmark_keys import is_number
from twinsim.errors import InputError, near_misses


def parse(texts: Sequence[str]) -> dict[str, list[str]]:
    """``["edge_voxels=64,128", "precision=float32"]`` as option name to values, still as text.

    Raises:
        InputError: Not ``name=value,value``, an option given twice, or a value given twice.
    """
    sweeps: dict[str, list[str]] = {}
    for text in texts:
        name, equals, listed = text.partition("=")
        name = name.strip().lstrip("-").replace("-", "_")
        values = [value.strip() for value in listed.split(",")]
        if not equals or not name or not all(values):
            raise InputError(got=f"--sweep {text}", expected="OPTION=VALUE,VALUE,...", do="write, e.g., --sweep edge_voxels=64,128")
        if name in sweeps or len(set(values)) < len(values):
            what = f"option {name}" if name in sweeps else f"a value of {name}"
            raise InputError(got=f"{what} twice in --sweep", expected="each option and each value once", do="join them, or drop one")
        sweeps[name] = values
    return sweeps


def points(config: Any, sweeps: Mapping[str, Sequence[str]], benchmark: str) -> list[tuple[dict[str, Any], Any]]:
    """Every combination of the swept values: the values by option, and the Config with them.

    Args:
        config: The Config whose other options stay.
        sweeps: As :func:`parse` returns them.
        benchmark: For the messages.

    Raises:
        InputError: The benchmark lacks an option, or a value does not fit it.
    """
    known = {field.name for field in dataclasses.fields(config)}
    hints = typing.get_type_hints(type(config), include_extras=True)
    axes: list[list[tuple[str, Any]]] = []
    for name, texts in sweeps.items():
        if name not in known:
            raise InputError(
                got=f"--sweep {name}, which {benchmark} does not have",
                expected=f"an option of `twinsim bench {benchmark} --help`",
                do=f"correct the option; {near_misses(name, known)}",
            )
        axes.append([(name, _value(text, hints[name], name, benchmark)) for text in texts])
    combinations = [dict(combination) for combination in itertools.product(*axes)]
    return [(values, dataclasses.replace(config, **values)) for values in combinations]


def without_size(numbers: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """The numbers with the swept size taken off their names, so that the names agree along the sweep.

    ``step_seconds_64`` becomes ``step_seconds`` where an option was swept to 64.
    """
    sizes = {text for value in values.values() for text in _suffixes(value)}
    found = {}
    for key, value in numbers.items():
        head, _, tail = key.rpartition("_")
        found[head if head and tail in sizes and head not in numbers else key] = value
    return found


def label(value: Any) -> str:
    """A swept value for a table: ``(32, 32, 16)`` as ``32x32x16``."""
    return "x".join(map(str, value)) if isinstance(value, tuple | list) else str(value)


def axis_number(value: Any) -> float | None:
    """Where a value lies on an axis; None where it has no place on one."""
    if isinstance(value, tuple | list) and len(set(value)) == 1:
        value = value[0]
    return float(value) if isinstance(value, int | float) and is_number(value) else None


def _suffixes(value: Any) -> set[str]:
    number = axis_number(value)
    return {label(value)} | ({str(int(number))} if number is not None and number == int(number) else set())


def _value(text: str, hint: Any, name: str, benchmark: str) -> Any:
    """The text as a value of the option's type: as JSON, as a word, or, for a tuple, as one or several values joined by x."""
    from pydantic import ConfigDict, TypeAdapter, ValidationError

    # A path's or a class's own type passes as it is; text is never taken for a number silently.
    adapter = TypeAdapter(hint, config=ConfigDict(arbitrary_types_allowed=True))
    candidates: list[Any] = [None] if text.lower() == "none" else []
    candidates += [_json(text), text]
    if typing.get_origin(hint) is tuple:
        candidates = [tuple(_json(part) for part in text.split("x")), (_json(text),), (text,)]
    message = ""
    for candidate in candidates:
        if isinstance(candidate, bool) and hint in (int, float):
            continue
        try:
            return adapter.validate_python(candidate)
        except ValidationError as error:
            message = message or error.errors()[0]["msg"]
    raise InputError(
        got=f"--sweep {name}: {text!r} ({message})",
        expected=f"a value of the option {name} of {benchmark}",
        do=f"see `twinsim bench {benchmark} --help`",
    )


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text.lower() == "true" if text.lower() in ("true", "false") else text
