"""Reads ``patient.yaml`` and its like: YAML with a line number for every field, checked by a schema, one line for every
mistake.
"""

import os
import re
import types
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from twinsim.environment import cache_folder
from twinsim.errors import InputError, near_misses
from twinsim.patient_schema import PatientBlock

FILE_NAME = "patient.yaml"
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")

type Location = tuple[str | int, ...]


@dataclass(frozen=True)
class RecordFile[B: BaseModel]:
    """A checked YAML file and where each of its fields stands."""

    path: Path
    content: B
    lines: dict[Location, int]

    def line(self, *location: str | int) -> int:
        """Line of a field, or of the nearest block around it that is in the file."""
        return _line(self.lines, location)

    def where(self, *location: str | int) -> str:
        """``patient.yaml line 7, field scans[0].oedema`` with the path of the file."""
        return _where(self.path, self.lines, location)

    def error(self, location: Location, got: str, expected: str, do: str) -> InputError:
        """A mistake at a field."""
        return InputError(f"{got} at {self.where(*location)}", expected, do)

    def resolve(self, text: str, *location: str | int) -> Path:
        """The file named by a field: ``~`` and ``${NAME}`` expanded, relative to the folder of the YAML file.

        ``TWINSIM_DATA`` is, where it is not set, the folder that ``twinsim data fetch`` fills, if that exists.
        """

        def value_of(match: re.Match[str]) -> str:
            name = match[1] or match[2]
            value = os.environ.get(name)
            cached, ours = cache_folder() / "data", name == "TWINSIM_DATA"
            if not value and ours and cached.is_dir():
                return str(cached)
            if not value:
                do = "run `twinsim data fetch NAME` for the set (`twinsim data` lists them)" if ours else "write the path out"
                raise self.error(
                    location,
                    f"the environment variable {name}, which is not set",
                    f"a value for {name}",
                    f"export {name}=FOLDER before running, or {do}",
                )
            return value

        expanded = Path(_VARIABLE.sub(value_of, text))
        try:
            expanded = expanded.expanduser()
        except RuntimeError as error:
            raise self.error(location, f"{text!r}, whose user is not known here", "a path", "write the path out") from error
        return expanded if expanded.is_absolute() else self.path.parent / expanded


type PatientFile = RecordFile[PatientBlock]


def read_patient_file(folder: str | Path) -> PatientFile:
    """Read and check ``patient.yaml`` of a folder; raises what `read_record_file` does."""
    return read_record_file(folder, FILE_NAME, PatientBlock, "docs/patient_folder.md")


def read_record_file[B: BaseModel](folder: str | Path, name: str, schema: type[B], page: str) -> RecordFile[B]:
    """Read and check the YAML file of this name in a folder.

    Args:
        folder: The folder, or the file itself.
        name: Of the file.
        schema: What may stand in it.
        page: The documentation that shows it.

    Raises:
        InputError: No folder, no file, no valid YAML, or a field that the schema refuses; names file, line
            and field.
    """
    folder = Path(folder)
    path = folder / name
    if folder.is_file() and folder.name == name:
        path = folder
    elif not folder.is_dir():
        beside = [entry.name for entry in folder.parent.iterdir() if entry.is_dir()] if folder.parent.is_dir() else []
        hint = near_misses(folder.name, beside) if beside else f"{folder.parent} holds no folders"
        raise InputError(f"{folder}, which is no folder", f"a folder with a {name}", f"check the name: {hint}")
    elif not path.is_file():
        present = [entry.name for entry in folder.iterdir()]
        hint = f" ({near_misses(name, present)})" if present else ""
        raise InputError(f"{folder} without a {name}", f"{path}", f"write one as {page} shows{hint}")
    try:
        data, lines = _read_yaml(path, page)
    except RecursionError as error:
        raise InputError(
            f"{path}, which is nested too deeply or contains itself", "plain blocks", "remove anchors that name themselves"
        ) from error
    try:
        return RecordFile(path, schema.model_validate(data), lines)
    except ValidationError as error:
        raise _first_error(error, path, lines, schema) from error


def _line(lines: dict[Location, int], location: Location) -> int:
    while location and location not in lines:
        location = location[:-1]
    return lines.get(location, 1)


def _where(path: Path, lines: dict[Location, int], location: Location) -> str:
    name = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).lstrip(".")
    return f"{path} line {_line(lines, location)}" + (f", field {name}" if name else "")


def _read_yaml(path: Path, page: str) -> tuple[Any, dict[Location, int]]:
    try:
        loader = yaml.SafeLoader(path.read_text(encoding="utf-8"))
        root = loader.get_single_node()
    except UnicodeDecodeError as error:
        raise InputError(f"{path}, which is not UTF-8 text", "a YAML file in UTF-8", "save it again as UTF-8") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" line {mark.line + 1}" if mark is not None else ""
        raise InputError(
            f"{path}{line}, which is no YAML ({getattr(error, 'problem', None) or error})",
            "key: value lines with consistent indentation",
            "correct that line or the one above",
        ) from error
    lines: dict[Location, int] = {}
    if root is None:
        raise InputError(f"{path} line 1, an empty file", "key: value lines", f"write them as {page} shows")
    return _plain(root, (), path, lines, loader), lines


def _plain(node: yaml.Node, location: Location, path: Path, lines: dict[Location, int], loader: yaml.SafeLoader) -> Any:
    """Plain data of a YAML node (tuples for lists), noting the line of every field."""
    lines.setdefault(location, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value)
            here = (*location, key)
            if key in result:
                first = lines[here]
                lines[here] = key_node.start_mark.line + 1
                raise InputError(
                    f"the key {key!r} a second time at {_where(path, lines, here)}",
                    f"it once (line {first})",
                    "remove one",
                )
            lines[here] = key_node.start_mark.line + 1
            result[key] = _plain(value_node, here, path, lines, loader)
        return result
    if isinstance(node, yaml.SequenceNode):
        return tuple(_plain(child, (*location, i), path, lines, loader) for i, child in enumerate(node.value))
    try:
        return loader.construct_object(node)
    except (ValueError, yaml.YAMLError) as error:
        raise InputError(
            f"{node.value!r} at {_where(path, lines, location)}",
            "a valid value (dates as 2024-03-18)",
            "correct it",
        ) from error


def _first_error(error: ValidationError, path: Path, lines: dict[Location, int], schema: type[BaseModel]) -> InputError:
    """The mistake that stands first in the file, as one line."""
    details = [(detail, _in_file(tuple(detail["loc"]), lines)) for detail in error.errors()]
    # An unknown key often explains a missing one (a typo), so it is named first.
    detail, location = min(details, key=lambda pair: (pair[0]["type"] != "extra_forbidden", _line(lines, pair[1])))
    where = _where(path, lines, location)
    cause = detail.get("ctx", {}).get("error")
    if isinstance(cause, InputError):
        return InputError(f"{cause.got} at {where}", cause.expected, cause.do)
    known = _keys_at(schema, location[:-1])
    if detail["type"] == "extra_forbidden":
        name = str(location[-1])
        return InputError(
            f"the unknown key {name!r} at {where}",
            "one of: " + ", ".join(known),
            near_misses(name, known) + " else remove it",
        )
    if detail["type"] == "missing":
        return InputError(f"no {location[-1]!r} at {where}", f"the key {location[-1]!r}", "add it")
    expected = detail["msg"].removeprefix("Input should be ").replace("a valid tuple", "a list (lines with '- ')")
    if detail["type"] in ("model_type", "model_attributes_type", "dict_type"):
        expected = "a block of key: value lines"
    value = detail.get("input")
    shown = repr(value) if isinstance(value, str | int | float | bool | None) else type(value).__name__
    hint = "correct the value"
    if detail["type"] == "literal_error" and isinstance(value, str):
        hint = near_misses(value, re.findall(r"'([^']+)'", expected))
    return InputError(f"{shown} at {where}", expected, hint)


def _in_file(location: Location, lines: dict[Location, int]) -> Location:
    """The location without what pydantic adds to it (names of union branches); a missing key stays as the
    last part.
    """
    result: Location = ()
    for i, part in enumerate(location):
        if (*result, part) in lines or i == len(location) - 1:
            result = (*result, part)
    return result


def _keys_at(block: type[BaseModel], location: Location) -> list[str]:
    """Names of the keys that the schema knows at a location."""
    for part in location:
        if isinstance(part, int):
            continue
        inner = _block_in(block.model_fields[part].annotation)
        if inner is None:
            return []
        block = inner
    return list(block.model_fields)


def _block_in(annotation: Any) -> type[BaseModel] | None:
    """The block inside of an annotation such as ``tuple[ScanBlock, ...]`` or ``CourseBlock | None``."""
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias) and issubclass(annotation, BaseModel):
        return annotation
    return next((block for block in map(_block_in, typing.get_args(annotation)) if block is not None), None)
