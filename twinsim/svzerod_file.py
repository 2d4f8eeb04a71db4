"""Reads the JSON input of svZeroDSolver into a circuit."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Array, Float

from physics import Block, Circuit, Waveform, assemble, constant, waveform
from twinsim.errors import InputError, near_misses, refused

type Item = Mapping[str, Any]

VESSEL = {"R_poiseuille": "resistance", "C": "compliance", "L": "inertance", "stenosis_coefficient": "stenosis"}
CORONARY = {"Ra1": "arterial_resistance", "Ra2": "micro_resistance", "Rv1": "venous_resistance", "Ca": "arterial_compliance",
            "Cc": "intramyocardial_compliance"}  # fmt: skip
WINDKESSEL = {"Rp": "proximal_resistance", "C": "compliance", "Rd": "distal_resistance"}
SECTIONS = ("simulation_parameters", "boundary_conditions", "vessels", "junctions", "chambers", "valves", "initial_condition")


@dataclass(frozen=True)
class SvZeroDCase:
    """What a file holds.

    Attributes:
        circuit: Blocks and connections, named as in the file; unknowns are named as svZeroDSolver names its variables, but for
            ``volume`` (its ``Vc``), ``inner_pressure`` (``pressure_c``) and ``intramyocardial_volume`` (``volume_im``, another zero).
        steps: Per cycle.
        cycles: That svZeroDSolver would run.
        spectral_radius: Of the generalised-alpha method.
        start: Unknowns at the start as the file gives them; zero where it doesn't.
    """

    circuit: Circuit
    steps: int
    cycles: int
    spectral_radius: float
    start: Float[Array, " unknowns"]


def read_svzerod(source: str | Path | Item) -> SvZeroDCase:
    """Reads a file, or what was read from one.

    Read: vessels (BloodVessel, BloodVesselCRL), boundary conditions (FLOW, PRESSURE, RESISTANCE, RCR, CORONARY), junctions
    (NORMAL_JUNCTION, internal_junction, resistive_junction, BloodVesselJunction), valves (ValveTanh, PiecewiseValve), chambers
    (LinearElastanceChamber, ChamberElastanceInductor) with the activations piecewise_cosine, half_cosine and wrapping_cosine. Units are
    those of the file.

    Raises:
        InputError: No such file, no JSON, a section, type or key unknown (with near misses) or missing, or what
            :func:`physics.circuit_netlist.assemble` refuses: a negative resistance, parts that are not connected, an inlet without data or
            with data that are not periodic.

    Not read: closed_loop_blocks (the lumped heart of version 2; write it as chambers, valves and vessels), external coupling, spheres,
    two-hill and Fourier activations. A steady start is not computed: periodic states are found by Newton's method.
    """
    data, where = _loaded(source)
    for section in data:
        if section not in SECTIONS and section not in ("description", "initial_condition_d") and not section.startswith("_"):
            other = "closed_loop" in section or "external" in section
            do = "write it as chambers, valves and vessels" if other else near_misses(section, SECTIONS)
            raise InputError(f"{where}: section {section!r}", f"one of {', '.join(SECTIONS)}", do)
    settings = _need(data, "simulation_parameters", where)
    period = _period(data, settings, where)
    blocks: list[Block] = []
    links: list[tuple[str, str]] = []
    vessels: dict[int, str] = {}
    for item in data.get("vessels", ()):
        name, kind = _need(item, "vessel_name", where), _need(item, "zero_d_element_type", where)
        kinds = {"BloodVessel": "vessel", "BloodVesselCRL": "vessel_inlet_compliance"}
        vessels[_need(item, "vessel_id", where)] = name
        blocks.append(Block(name, _chosen(kind, kinds, name), _renamed(_need(item, "zero_d_element_values", where), VESSEL, name)))
        ends = item.get("boundary_conditions", {})
        links += [(ends["inlet"], name)] if "inlet" in ends else []
        links += [(name, ends["outlet"])] if "outlet" in ends else []
    for item in data.get("boundary_conditions", ()):
        blocks.append(_boundary(item, where))
    for item in data.get("chambers", ()):
        blocks.append(_chamber(item, period, where))
    for item in data.get("valves", ()):
        valve, up, down = _valve(item, where)
        blocks.append(valve)
        links += [(up, valve.name), (valve.name, down)]
    for item in data.get("junctions", ()):
        _junction(item, vessels, blocks, links, where)
    steps = int(_need(settings, "number_of_time_pts_per_cardiac_cycle", where)) - 1
    cycles = int(_need(settings, "number_of_cardiac_cycles", where))
    if steps < 1 or cycles < 1:
        raise InputError(f"{where}: {steps + 1} points in {cycles} cycles", "at least 2 points and 1 cycle", "raise them")
    try:
        circuit = assemble(blocks, links, period, period / steps)
    except ValueError as error:
        raise refused(error, where) from error
    return SvZeroDCase(circuit, steps, cycles, float(settings.get("rho_infty", 0.5)), _start(data, circuit))


def _loaded(source: str | Path | Item) -> tuple[Item, str]:
    if isinstance(source, Mapping):
        return source, "svZeroD input"
    try:
        text = Path(source).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{source}: {getattr(error, 'strerror', None) or 'not text'}", "a JSON file", "check the path") from error
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"{source}, line {error.lineno}: {error.msg}", "JSON", "correct the line") from error
    if not isinstance(data, dict):
        raise InputError(f"{source}: a {type(data).__name__}", "an object with simulation_parameters", "check that it is svZeroD input")
    return data, str(source)


def _need(item: Item, key: str, where: str) -> Any:
    if key not in item:
        raise InputError(f"{where}: no {key} beside {', '.join(list(item)[:4]) or 'nothing'}", key, f"add {key}")
    return item[key]


def _chosen(kind: str, kinds: Mapping[str, str], name: str) -> str:
    if kind not in kinds:
        raise InputError(f"{name} of type {kind!r}", "a type that is read", near_misses(kind, kinds))
    return kinds[kind]


def _renamed(values: Item, names: Mapping[str, str], block: str) -> dict[str, float]:
    for key in values:
        if key not in names and not key.startswith("_"):
            raise InputError(f"{key!r} in {block}", f"one of {', '.join(names)}", near_misses(key, names))
    return {names[key]: float(value) for key, value in values.items() if key in names}


def _wave(values: Item, key: str, name: str) -> Waveform:
    """A number, a list of one, or samples of one period at ``t``."""
    found = _need(values, key, name)
    samples = np.atleast_1d(np.asarray(found, float))
    if samples.size == 1:
        return constant(samples[0])
    try:
        return waveform(np.asarray(_need(values, "t", name), float), samples, f"{key} of {name}")
    except ValueError as error:
        raise refused(error, name) from error


def _boundary(item: Item, where: str) -> Block:
    name, kind, values = (_need(item, key, where) for key in ("bc_name", "bc_type", "bc_values"))

    def rest(*inputs: str) -> dict[str, Any]:
        return {key: value for key, value in values.items() if key not in inputs}

    def distal() -> Waveform:
        return _wave(values, "Pd", name) if "Pd" in values else constant(0.0)

    makers: dict[str, Callable[[], Block]] = {
        "FLOW": lambda: Block(name, "flow_source", {}, {"flow": _wave(values, "Q", name)}),
        "PRESSURE": lambda: Block(name, "pressure_source", {}, {"pressure": _wave(values, "P", name)}),
        "RESISTANCE": lambda: Block(
            name, "resistance", _renamed(rest("Pd", "t"), {"R": "resistance"}, name), {"distal_pressure": distal()}
        ),
        "RCR": lambda: Block(name, "windkessel", _renamed(rest("Pd", "t"), WINDKESSEL, name), {"distal_pressure": distal()}),
        "CORONARY": lambda: Block(
            name,
            "coronary",
            _renamed(rest("Pim", "P_v", "t"), CORONARY, name),
            {"intramyocardial_pressure": _wave(values, "Pim", name), "venous_pressure": _wave(values, "P_v", name)},
        ),
    }
    if kind not in makers:
        raise InputError(f"{where}: boundary condition {name} of type {kind!r}", "a type that is read", near_misses(kind, makers))
    return makers[kind]()


def _chamber(item: Item, period: float, where: str) -> Block:
    name, kind, values = (_need(item, key, where) for key in ("name", "type", "values"))
    names = {
        "LinearElastanceChamber": ("Emax", "Epass", "Vrest"),
        "ChamberElastanceInductor": ("Emax", "Emin", "Vrd", "Vrs", "Impedance"),
    }
    if kind not in names:
        raise InputError(f"{where}: chamber {name} of type {kind!r}", "a type that is read", near_misses(kind, names))
    given = _renamed(values, {key: key for key in names[kind]}, name)
    for key in names[kind]:
        _need(given, key, name)
    if kind == "LinearElastanceChamber":
        found = {"passive_elastance": given["Epass"], "active_elastance": given["Emax"]}
        found |= {"diastolic_rest_volume": given["Vrest"], "systolic_rest_volume": given["Vrest"]}
    else:
        found = {"passive_elastance": given["Emin"], "active_elastance": given["Emax"] - given["Emin"], "inertance": given["Impedance"]}
        found |= {"diastolic_rest_volume": given["Vrd"], "systolic_rest_volume": given["Vrs"]}
    return Block(name, "chamber", found | _activation(_need(item, "activation_function", name), period, name))


def _activation(item: Item, period: float, name: str) -> dict[str, float]:
    """Every cosine hump as a start, a rise and a fall."""
    keys = {
        "piecewise_cosine": ("contract_start", "relax_start", "contract_duration", "relax_duration"),
        "half_cosine": ("t_active", "t_twitch"),
        "wrapping_cosine": ("Tsa", "tpwave"),
    }
    kind = _need(item, "type", name)
    if kind not in keys:
        raise InputError(f"activation {kind!r} of {name}", "one that is read", near_misses(kind, keys))
    given = [float(_need(item, key, name)) for key in keys[kind]]
    if kind == "piecewise_cosine":
        start, relax, rise, fall = given
        if abs(relax - start - rise) > 1e-9 * period:
            got = f"relax_start {relax:g} of {name}"
            raise InputError(got, f"{start + rise:g}, where the contraction ends", "correct it: the elastance jumps otherwise")
    elif kind == "half_cosine":
        start, rise = given[0], given[1] / 2
        fall = rise
    else:
        rise = fall = period * given[0] / 2
        start = period / given[1] - 2 * rise
    return {"contraction_start": start, "contraction_time": rise, "relaxation_time": fall}


def _valve(item: Item, where: str) -> tuple[Block, str, str]:
    name, kind, values = (_need(item, key, where) for key in ("name", "type", "params"))
    names = {"Rmin": "open_resistance", "Rmax": "closed_resistance"}
    chosen = _chosen(kind, {"ValveTanh": "valve", "PiecewiseValve": "valve_switch"}, name)
    up, down = _need(values, "upstream_block", name), _need(values, "downstream_block", name)
    numbers = {key: value for key, value in values.items() if key not in ("upstream_block", "downstream_block")}
    return Block(name, chosen, _renamed(numbers, names | ({"Steepness": "steepness"} if chosen == "valve" else {}), name)), up, down


def _junction(item: Item, vessels: Mapping[int, str], blocks: list[Block], links: list[tuple[str, str]], where: str) -> None:
    """Junctions with losses become a junction and vessels named ``junction:vessel``."""
    name, kind = _need(item, "junction_name", where), _need(item, "junction_type", where)
    plain = ("NORMAL_JUNCTION", "internal_junction")
    known = (*plain, "resistive_junction", "BloodVesselJunction")
    if kind not in known:
        raise InputError(f"{where}: junction {name} of type {kind!r}", "a type that is read", near_misses(kind, known))
    if "inlet_vessels" in item:
        for number in (*item["inlet_vessels"], *_need(item, "outlet_vessels", name)):
            if number not in vessels:
                raise InputError(f"{name}: vessel {number}", "the vessel_id of a vessel", f"use one of {sorted(vessels)[:12]}")
        up, down = [vessels[i] for i in item["inlet_vessels"]], [vessels[i] for i in item["outlet_vessels"]]
    else:
        up, down = list(_need(item, "inlet_blocks", name)), list(_need(item, "outlet_blocks", name))
    blocks.append(Block(name, "junction"))
    values = item.get("junction_values", {})
    lossy = [*up, *down] if kind == "resistive_junction" else down if kind == "BloodVesselJunction" else []
    names = {"R": "resistance"} if kind == "resistive_junction" else VESSEL
    if lossy:
        for key, numbers in values.items():
            if len(numbers) != len(lossy):
                raise InputError(f"{len(numbers)} values of {key} in {name}", f"{len(lossy)}, one per branch", "correct the list")
    for i, other in enumerate([*up, *down]):
        ends = (other, name) if i < len(up) else (name, other)
        if other in lossy:
            at = lossy.index(other)
            branch = f"{name}:{other}"
            blocks.append(Block(branch, "vessel", _renamed({k: v[at] for k, v in values.items()}, names, branch)))
            links += [(ends[0], branch), (branch, ends[1])]
        else:
            links.append(ends)


def _period(data: Item, settings: Item, where: str) -> float:
    """The cardiac period: said, or that of the waveforms; 1 s where all is steady."""
    said = settings.get("cardiac_period")
    found = {}
    for item in data.get("boundary_conditions", ()):
        times = item.get("bc_values", {}).get("t")
        if times is not None and len(times) > 1:
            found[item.get("bc_name")] = float(times[-1]) - float(times[0])
    if said is None and len({round(value, 12) for value in found.values()}) > 1:
        raise InputError(f"{where}: periods {found}", "one period", "give all waveforms over the same time, or cardiac_period")
    period = float(said) if said is not None and said > 0 else next(iter(found.values()), 1.0)
    if not period > 0:
        raise InputError(f"{where}: period {period:g}", "above 0", "correct the times")
    return period


def _start(data: Item, circuit: Circuit) -> Float[Array, " unknowns"]:
    given = dict(data.get("initial_condition", {}))
    pressure, flow = given.pop("pressure_all", 0.0), given.pop("flow_all", 0.0)
    values = {}
    for name, value in given.items():
        ours = name.replace("Vc:", "volume:").replace("pressure_c:", "inner_pressure:").replace("P_c:", "inner_pressure:")
        if ours in circuit.names:
            values[ours] = value
    return circuit.start(values, pressure, flow)
