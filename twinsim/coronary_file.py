"""Coronary trees from tables: the built-in one, or a CSV or YAML of segments."""

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from physics.coronary_tree import CoronaryTree, coronary_tree
from twinsim.errors import InputError, near_misses, refused
from twinsim.openbf_fields import parsed

COLUMNS = ("name", "parent", "length_mm", "proximal_diameter_mm", "distal_diameter_mm", "stenosis_diameter_mm", "stenosis_length_mm")
type Row = Mapping[str, Any]

HEALTHY_TREE = (
    # name, parent, length, proximal and distal diameter, mm
    ("left_main", "", 10.0, 4.5, 4.3),
    ("lad_proximal", "left_main", 25.0, 3.7, 3.3),
    ("diagonal", "lad_proximal", 45.0, 2.1, 1.3),
    ("lad_mid", "lad_proximal", 30.0, 2.9, 2.5),
    ("second_diagonal", "lad_mid", 40.0, 1.7, 1.2),
    ("lad_distal", "lad_mid", 55.0, 2.2, 1.9),
    ("circumflex_proximal", "left_main", 20.0, 3.4, 3.0),
    ("obtuse_marginal", "circumflex_proximal", 50.0, 2.3, 1.4),
    ("circumflex_distal", "circumflex_proximal", 40.0, 2.3, 1.6),
    ("right_proximal", "", 40.0, 3.9, 3.6),
    ("right_mid", "right_proximal", 40.0, 3.5, 3.2),
    ("posterior_descending", "right_mid", 50.0, 2.3, 1.5),
    ("posterolateral", "right_mid", 40.0, 2.3, 1.4),
)
"""A right-dominant man without disease. Diameters of left main, left anterior descending (first and last), circumflex (first) and right
coronary artery (first): Dodge et al. (1992), Circulation 86, 232. Side branches and what lies between follow the 7/3 law of Huo and Kassab
(2009) at branchings, rounded; lengths are usual ones, without a source."""
LARGEST_DIAMETER, LEAST_DIAMETER = 15.0, 0.1
"""mm, of a segment in a file: what no coronary artery is, as by metres or centimetres."""
RIGHT = ("right_proximal", "right_mid", "posterior_descending", "posterolateral")


def healthy_tree(lesions: Mapping[str, tuple[float, float]] | None = None, **blood: float) -> CoronaryTree:
    """The built-in tree with stenoses: diameter and length in mm by segment.

    Raises:
        InputError: No such segment, or a stenosis that does not fit it.
    """
    lesions = lesions or {}
    names = [row[0] for row in HEALTHY_TREE]
    for name in lesions:
        if name not in names:
            raise InputError(f"a lesion in {name!r}", "a segment of the built-in tree", near_misses(name, names))
    rows: list[dict[str, Any]] = [dict(zip(COLUMNS, (*row, *lesions.get(row[0], (None, None))), strict=True)) for row in HEALTHY_TREE]
    return tree_of_rows(rows, "built-in tree", **blood)


def read_coronary(path: str | Path, **blood: float) -> CoronaryTree:
    """A CSV with a header, or a YAML with a list ``segments`` of mappings; keys are :data:`COLUMNS`, an empty parent is the aorta.

    Raises:
        InputError: No such file, no table, a column unknown or missing, a number that is none, or what
            :func:`physics.coronary_tree.coronary_tree` refuses.
    """
    path = Path(path)
    if path.suffix.lower() in (".yaml", ".yml"):
        data = parsed(path, "a CSV or YAML file")
        rows = data.get("segments") if isinstance(data, dict) else data
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise InputError(f"{path}: no list of segments", "segments: a list of mappings", f"give each {', '.join(COLUMNS)}")
    else:
        try:
            rows = list(csv.DictReader(path.read_text(encoding="utf-8-sig").splitlines()))
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{path}: {getattr(error, 'strerror', None) or 'not text'}", "a CSV or YAML file", "check the path") from error
    return tree_of_rows(rows, str(path), **blood)


def tree_of_rows(rows: Sequence[Row], where: str, **blood: float) -> CoronaryTree:
    """A tree of mappings; see :func:`read_coronary`."""
    if not rows:
        raise InputError(f"{where}: no segments", "one row per segment", f"give {', '.join(COLUMNS)}")
    names, parents = [], []
    sizes: dict[str, list[float]] = {key: [] for key in COLUMNS[2:5]}
    stenoses: dict[str, list[float | None]] = {key: [] for key in COLUMNS[5:]}
    for line, row in enumerate(rows, 1):
        for key in row:
            if key not in COLUMNS:
                do = "separate columns by commas, and write 2.5 with a point" if ";" in str(key) else near_misses(str(key), COLUMNS)
                raise InputError(f"{where}: column {key!r}", f"one of {', '.join(COLUMNS)}", do)
        name, parent = str(row.get("name") or "").strip(), str(row.get("parent") or "").strip()
        if not name or not name.replace("_", "").replace("-", "").isalnum():
            raise InputError(f"{where}, segment {line}: name {name!r}", "letters, digits and underscores", "name it")
        names.append(name)
        parents.append(parent or None)
        for key in sizes:
            found = _number(row.get(key), f"{where}: {key} of {name}")
            if found is None:
                raise InputError(f"nothing as {where}: {key} of {name}", "a length in mm", "fill it in")
            if "diameter" in key and found > 0 and not LEAST_DIAMETER <= found <= LARGEST_DIAMETER:
                bounds = f"{LEAST_DIAMETER:g} to {LARGEST_DIAMETER:g} mm"
                raise InputError(f"{where}: {key} {found:g} of {name}", bounds, "give lengths and diameters in mm")
            sizes[key].append(found)
        for key in stenoses:
            stenoses[key].append(_number(row.get(key), f"{where}: {key} of {name}"))
    try:
        return coronary_tree(
            names, parents, sizes[COLUMNS[2]], sizes[COLUMNS[3]], sizes[COLUMNS[4]], stenoses[COLUMNS[5]], stenoses[COLUMNS[6]], **blood
        )  # fmt: skip
    except ValueError as error:
        raise refused(error, where) from error


def _number(value: Any, what: str) -> float | None:
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    try:
        found = float(value)
    except (TypeError, ValueError):
        found = math.nan
    if isinstance(value, bool) or not math.isfinite(found):
        raise InputError(f"{value!r} as {what}", "a length in mm", "write a number")
    return found
