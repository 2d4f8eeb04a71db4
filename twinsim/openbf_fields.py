"""Fields of an openBF file, checked one by one."""

from collections.abc import Iterable, Mapping
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from twinsim.errors import InputError, near_misses

NEEDED = ("label", "sn", "tn", "L", "E")
POSITIVE = ("L", "E", "R0", "Rp", "Rd", "h0", "R1", "R2", "Cc")
FINITE = ("Pext", "gamma_profile", "Rt", "Pout", "initial_pressure", "initial_flow")
OTHER = ("gamma profile", "M", "to_save", "visco-elastic", "inlet_impedance_matching", "outlet")
VESSEL = (*NEEDED, *POSITIVE, *FINITE, *OTHER)
LARGEST_RADIUS = 0.05
LARGEST_LENGTH = 3.0
LARGEST_FLOW = 5e-3
"""m³/s, beyond any heart: as by a flow in mL/s."""
PERIODIC = 0.01
"""Part of the inlet's range by which its last flow may differ from its first."""


def parsed(path: Path, expected: str = "an openBF YAML file") -> Any:
    """The content of a YAML file."""
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}", expected, "check the path") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        where = getattr(error, "problem_mark", None)
        line = f", line {where.line + 1}" if where is not None else ""
        raise InputError(f"{path}{line}: not YAML", expected, "correct the line") from None


def mapping(value: Any, where: str, known: Iterable[str]) -> Mapping[str, Any]:
    """A mapping with known keys only."""
    if not isinstance(value, dict):
        got = "nothing" if value is None else f"a {type(value).__name__}"
        raise InputError(f"{where}: {got}", "keys with values", "write it as in openBF's documentation")
    known = tuple(known)
    for key in value:
        if key not in known:
            got, do = f"{where}: unknown key {key!r}", f"correct its spelling or leave it out; {near_misses(str(key), known)}"
            raise InputError(got, "a key that openBF knows", do)
    return value


def number(content: Mapping[str, Any], key: str, where: str, above: float | None = None) -> float:
    """A finite number, also one that YAML takes for text (700.0e3)."""
    if key not in content:
        raise InputError(f"{where} without {key}", "a number", f"add {key}")
    try:
        if isinstance(content[key], bool):
            raise ValueError
        value = float(content[key])
    except (TypeError, ValueError):
        value = float("nan")
    if not isfinite(value) or (above is not None and not value > above):
        expected = "a finite number" if above is None else f"a number above {above:g}"
        raise InputError(f"{where}: {key} {content[key]}", expected, "correct it")
    return value


def whole(content: Mapping[str, Any], key: str, where: str, least: int, default: int | None = None) -> int:
    """A whole number not below ``least``."""
    value = number(content, key, where) if default is None or key in content else float(default)
    if value != int(value) or value < least:
        raise InputError(f"{where}: {key} {content[key]}", f"a whole number, at least {least}", "correct it")
    return int(value)


def vessels_of(content: Any, path: Path) -> list[dict[str, Any]]:
    """The vessels, with numbers as numbers, ``Rp`` and ``Rd`` always there, ``gamma profile`` as ``gamma_profile``."""
    if not isinstance(content, list) or not content:
        raise InputError(f"{path}: network without vessels", "a list of vessels", "add one")
    found, labels = [], set()
    for place, raw in enumerate(content, start=1):
        name = raw.get("label", place) if isinstance(raw, dict) else place
        where = f"{path}: vessel {name}"
        vessel = dict(mapping(raw, where, VESSEL))
        for key in NEEDED:
            if key not in vessel:
                raise InputError(f"{where} without {key}", f"a vessel with {', '.join(NEEDED)} and R0 or Rp", f"add {key}")
        if "gamma profile" in vessel:
            vessel.setdefault("gamma_profile", vessel["gamma profile"])
        for key in (*POSITIVE, *FINITE):
            if key in vessel:
                vessel[key] = number(vessel, key, where, 0.0 if key in POSITIVE else None)
        if "R0" not in vessel and "Rp" not in vessel:
            raise InputError(f"{where} without a radius", "R0, or Rp and Rd, in m", "add it")
        vessel.setdefault("Rp", vessel.get("R0"))
        vessel.setdefault("Rd", vessel["Rp"])
        if max(vessel["Rp"], vessel["Rd"]) > LARGEST_RADIUS:
            raise InputError(f"{where}: radius {max(vessel['Rp'], vessel['Rd']):g} m", f"at most {LARGEST_RADIUS} m", "give radii in m")
        if vessel["L"] > LARGEST_LENGTH:
            raise InputError(f"{where}: length {vessel['L']:g} m", f"at most {LARGEST_LENGTH:g} m", "give lengths in m")
        vessel["sn"], vessel["tn"] = (whole(vessel, key, where, 0) for key in ("sn", "tn"))
        vessel["label"] = str(vessel["label"])
        if vessel["label"] in labels:
            raise InputError(f"{where} twice", "a name of its own for every vessel", "rename one")
        if vessel["sn"] == vessel["tn"]:
            raise InputError(f"{where} from node {vessel['sn']} to itself", "two different nodes", "correct sn or tn")
        if not isinstance(vessel.get("visco-elastic", False), bool):
            raise InputError(f"{where}: visco-elastic {vessel['visco-elastic']}", "true or false", "correct it")
        if abs(vessel.get("Rt", 0.0)) > 1:
            raise InputError(f"{where}: Rt {vessel['Rt']:g}", "-1 to 1", "correct it")
        labels.add(vessel["label"])
        found.append(vessel)
    return found


def loose_ends(vessels: list[dict[str, Any]]) -> tuple[list[int], set[int]]:
    """Nodes into which no vessel flows, and those out of which none does."""
    sources, targets = {vessel["sn"] for vessel in vessels}, {vessel["tn"] for vessel in vessels}
    return sorted(sources - targets), targets - sources


def check_topology(vessels: list[dict[str, Any]], path: Path) -> None:
    """Refuses networks in pieces, without a beginning, or with several."""
    reached, grew = {vessels[0]["sn"]}, True
    while grew:
        more = {node for vessel in vessels for node in (vessel["sn"], vessel["tn"]) if {vessel["sn"], vessel["tn"]} & reached}
        grew, reached = not more <= reached, reached | more
    apart = [vessel["label"] for vessel in vessels if vessel["sn"] not in reached]
    if apart:
        raise InputError(
            f"{path}: vessels not connected to {vessels[0]['label']}: {', '.join(apart[:5])}", "one network", "join their nodes sn and tn"
        )
    roots = loose_ends(vessels)[0]
    if len(roots) != 1:
        got = "no node where the network begins" if not roots else f"nodes {', '.join(map(str, roots))} into which no vessel flows"
        raise InputError(f"{path}: {got}", "one inlet: the file has flow data for one", "turn vessels round (sn, tn) or join the nodes")


def inlet_table(path: Path, yaml_path: Path, notes: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Times (s, from zero) and flows (m³/s) over one period; rows out of order are sorted, and noted."""
    try:
        lines = [line.split() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        table = np.array([[float(part) for part in line] for line in lines])
        if table.ndim != 2 or table.shape[1] != 2 or len(table) < 3 or not np.isfinite(table).all():
            raise ValueError
    except OSError as error:
        raise InputError(
            f"{yaml_path}: inlet without data: {path.name}: {error.strerror}",
            "a table of time (s) and flow (m³/s)",
            "put it beside the file",
        ) from None
    except ValueError:
        raise InputError(
            f"{path}: no table of numbers", "two columns, time (s) and flow (m³/s), three rows or more", "correct it"
        ) from None
    if (np.diff(table[:, 0]) < 0).any():
        table = table[np.argsort(table[:, 0], kind="stable")]
        notes.append(f"{path.name} was sorted by time.")
    times, flow = table.T
    if times[0] < 0 or abs(times[0]) > 1e-9 * times[-1] or not (np.diff(times) > 0).all():
        raise InputError(f"{path}: times from {times[0]:g} to {times[-1]:g} s", "different times from 0 to the period", "correct them")
    if np.abs(flow).max() > LARGEST_FLOW:
        raise InputError(
            f"{path}: a flow of {np.abs(flow).max():g} m³/s", f"at most {LARGEST_FLOW:g} m³/s", "give the flow in m³/s, not mL/s"
        )
    span = float(np.ptp(flow))
    if span == 0 and flow[0] == 0:
        raise InputError(f"{path}: inlet without data: no flow at any time", "flow in m³/s", "give the flow")
    if abs(flow[-1] - flow[0]) > PERIODIC * span:
        raise InputError(
            f"{path}: a flow that is not periodic, {flow[0]:.4g} m³/s at the start and {flow[-1]:.4g} at the end",
            f"the same within {100 * PERIODIC:g} % of its range",
            "give one whole period, its first and last flow alike",
        )
    return times, flow
