"""Reads networks of arteries in the format of openBF v2: a YAML file, and a table of the flow at the inlet beside it."""

from dataclasses import dataclass
from math import ceil, pi, sqrt
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array

from physics import ArteryNetwork, wall_stiffness, wall_thickness, wall_viscosity
from twinsim.errors import InputError
from twinsim.openbf_fields import check_topology, inlet_table, loose_ends, mapping, number, parsed, vessels_of, whole

TOP = ("project_name", "inlet_file", "write_results", "output_directory", "blood", "solver", "network")
SOLVER = ("Ccfl", "cycles", "jump", "convergence_tolerance")
BLOOD = ("rho", "mu")
OPENBF_TAPER = 1e-3
"""Part of the taper that openBF v2 applies at its cells of a millimetre."""
LEAST_WAVE_SPEED = 0.5
"""m/s: slower than the pulse of any artery, as by a modulus in kPa."""
LIQUID_DENSITY, LIQUID_VISCOSITY = (500.0, 2000.0), (1e-4, 0.1)
"""kg/m³ and Pa s, of blood and of what stands for it in a bench."""
PLAUSIBLE_MMHG = (20.0, 250.0)
"""Mean pressures of arteries."""
PASCAL_PER_MMHG = 133.332
"""As openBF has it."""


@dataclass(frozen=True)
class OpenBFFile:
    """What the file says.

    Attributes:
        name: Of the project.
        network: The vessels.
        cycles: Most beats.
        samples: Recorded times per beat.
        tolerance_pa: Root mean square difference of pressure between beats at which it stops, Pa.
        notes: What a reader should know of how the file was understood, in sentences.
    """

    name: str
    network: ArteryNetwork
    cycles: int
    samples: int
    tolerance_pa: float
    notes: tuple[str, ...]


class _Outlet(NamedTuple):
    kind: str = ""
    proximal: float = 0.0
    distal: float = 0.0
    compliance: float = 0.0


Walls = Literal["file", "elastic", "viscoelastic"]


def read_openbf(
    path: str | Path, conventions: Literal["openbf", "textbook"] = "openbf", cell_mm: float = 0.0, walls: Walls = "file"
) -> OpenBFFile:
    """Reads a network.

    Args:
        path: The YAML file; the inlet's table beside it is ``inlet_file``, else ``<project_name>_inlet.dat``.
        conventions: ``"openbf"`` as openBF v2 computes it: a thousandth of the taper in the file (it multiplies the change of radius per
            cell with a length), static pressure continuous where three vessels meet, a velocity profile that acts on friction only.
            ``"textbook"`` tapers from Rp to Rd, keeps total pressure at every junction and takes the profile's Coriolis coefficient.
        cell_mm: Longest cell; 0 takes the file's, which are at most 1 mm.
        walls: ``"file"``: viscous where a vessel has ``visco-elastic: true``, by :func:`physics.wall_viscosity` of its proximal radius;
            ``"elastic"`` or ``"viscoelastic"``: all of them.

    Raises:
        InputError: No such file, no YAML, unknown keys, numbers out of range, a network in pieces, an inlet without data or one that is not
            periodic, an end without a condition.
    """
    path = Path(path)
    content = mapping(parsed(path), str(path), TOP)
    for key in ("project_name", "blood", "solver", "network"):
        if key not in content:
            raise InputError(f"{path} without {key}", "an openBF v2 file with project_name, blood, solver and network", f"add {key}")
    blood, solver = mapping(content["blood"], f"{path}: blood", BLOOD), mapping(content["solver"], f"{path}: solver", SOLVER)
    density, viscosity = (number(blood, key, f"{path}: blood", above=0.0) for key in BLOOD)
    for key, value, (low, high), unit in (("rho", density, LIQUID_DENSITY, "kg/m³"), ("mu", viscosity, LIQUID_VISCOSITY, "Pa s")):
        if not low <= value <= high:
            raise InputError(f"{path}: blood: {key} {value:g} {unit}", f"{low:g} to {high:g} {unit}", f"give it in {unit}")
    courant = number(solver, "Ccfl", f"{path}: solver", above=0.0)
    if courant > 1:
        raise InputError(
            f"{path}: solver: Ccfl {courant:g}", "above 0 and at most 1, the CFL limit", "use 0.9: a wave may cross one cell per step"
        )
    vessels = vessels_of(content["network"], path)
    check_topology(vessels, path)
    roots, ends = loose_ends(vessels)
    notes: list[str] = []
    inlet = path.parent / str(content.get("inlet_file", f"{content['project_name']}_inlet.dat"))
    times, flow = inlet_table(inlet, path, notes)
    for vessel in vessels:
        speed = sqrt(_stiffness(vessel) / (2 * density))
        if speed < LEAST_WAVE_SPEED:
            got = f"{path}: vessel {vessel['label']}: E {vessel['E']:g} Pa, with which the pulse travels at {speed:.2g} m/s"
            raise InputError(got, f"at least {LEAST_WAVE_SPEED:g} m/s", "give E in Pa, and h0 in m")
    outlets = [_outlet(vessel, vessel["tn"] in ends, path, density, notes) for vessel in vessels]

    notes += _foreseen(outlets, vessels, times, flow)

    def column(key: str, default: float = 0.0) -> np.ndarray:
        return np.array([vessel.get(key, default) for vessel in vessels], dtype=float)

    start, end, profile = column("Rp"), column("Rd"), column("gamma_profile", 2.0)
    if conventions == "openbf" and np.any(np.abs(end - start) > 1e-9):
        end = start + (end - start) * OPENBF_TAPER
        notes.append(
            "Tapered vessels keep their proximal radius, as in openBF v2, which applies a thousandth of the taper in the file; "
            "--conventions textbook tapers them."
        )
    if any("gamma profile" in vessel for vessel in vessels):
        notes.append("'gamma profile' is read as gamma_profile; openBF v2 does not know the older spelling and takes 2.")
    external = column("Pext")
    viscous = [vessel.get("visco-elastic", False) if walls == "file" else walls == "viscoelastic" for vessel in vessels]
    network = ArteryNetwork(
        labels=tuple(vessel["label"] for vessel in vessels),
        cells=tuple(_cells(vessel, cell_mm, path) for vessel in vessels),
        source=tuple(vessel["sn"] for vessel in vessels),
        target=tuple(vessel["tn"] for vessel in vessels),
        length=_array(column("L")),
        youngs_modulus=_array(column("E")),
        radius_start=_array(start),
        radius_end=_array(end),
        thickness=_array(column("h0")),
        external_pressure=_array(external),
        profile=_array(profile),
        correction=_array((profile + 2) / (profile + 1)) if conventions == "textbook" else None,
        proximal=_array([outlet.proximal for outlet in outlets]),
        distal=_array([outlet.distal for outlet in outlets]),
        compliance=_array([outlet.compliance for outlet in outlets]),
        downstream=_array(column("Pout")),
        reflection=_array(column("Rt")),
        outlet=tuple(outlet.kind for outlet in outlets),
        inlet_times=_array(times),
        inlet_flow=_array(flow[None]),
        inlet_nodes=tuple(roots),
        density=_array(density),
        viscosity=_array(viscosity),
        initial_velocity=_array(column("initial_flow") / (pi * start**2)),
        initial_pressure=_array([vessel.get("initial_pressure", pressure) for vessel, pressure in zip(vessels, external)]),
        thickness_given=tuple("h0" in vessel for vessel in vessels),
        continuous="pairs" if conventions == "openbf" else "total",
        courant=courant,
        wall_viscosity=_array(np.where(viscous, np.asarray(wall_viscosity(start)), 0)) if any(viscous) else None,
    )
    cycles, samples = (whole(solver, key, f"{path}: solver", least) for key, least in (("cycles", 1), ("jump", 5)))
    tolerance = number(solver, "convergence_tolerance", f"{path}: solver", above=0.0)
    return OpenBFFile(str(content["project_name"]), network, cycles, samples, tolerance * PASCAL_PER_MMHG, tuple(dict.fromkeys(notes)))


def _foreseen(outlets: list[_Outlet], vessels: list[dict[str, Any]], times: np.ndarray, flow: np.ndarray) -> list[str]:
    """A sentence where the windkessels would hold no arterial pressure at the mean flow: their units are not Pa s/m³, perhaps."""
    conductance = sum(1 / (outlet.proximal + outlet.distal) for outlet in outlets if outlet.distal > 0)
    if not conductance or any(outlet.kind == "reflection" for outlet in outlets):
        return []
    level = max(vessel.get("Pout", 0.0) for vessel in vessels)
    pressure = (np.trapezoid(flow, times) / times[-1] / conductance + level) / PASCAL_PER_MMHG
    if PLAUSIBLE_MMHG[0] <= pressure <= PLAUSIBLE_MMHG[1]:
        return []
    return [
        f"At the mean flow of the inlet the windkessels hold {pressure:.3g} mmHg, unlike arteries "
        f"({PLAUSIBLE_MMHG[0]:g} to {PLAUSIBLE_MMHG[1]:g}): check that R1 and R2 are in Pa s/m³."
    ]


def _cells(vessel: dict[str, Any], cell_mm: float, path: Path) -> int:
    """As openBF counts them, M or more where a cell would be longer than 1 mm, at least five; of a given length, at least three."""
    wanted = whole(vessel, "M", f"{path}: vessel {vessel['label']}", 1, default=5)
    longest = cell_mm or 1.0
    return max(3, ceil(1e3 * vessel["L"] / longest - 1e-9)) if cell_mm else max(5, wanted, ceil(1e3 * vessel["L"]))


def _stiffness(vessel: dict[str, Any]) -> float:
    """Of the wall at a vessel's end, Pa."""
    radius = vessel["Rd"]
    return float(wall_stiffness(vessel["E"], vessel.get("h0", float(wall_thickness(radius))), radius))


def _outlet(vessel: dict[str, Any], end: bool, path: Path, density: float, notes: list[str]) -> _Outlet:
    """What the keys at a vessel's end mean."""
    where = f"{path}: vessel {vessel['label']}"
    if not end:
        if {"R1", "R2", "Cc", "Rt"} & vessel.keys():
            notes.append(f"The outlet of {vessel['label']} is not used: the vessel goes on.")
        return _Outlet()
    matched = bool(vessel.get("inlet_impedance_matching", False))
    if "R1" not in vessel and "R2" not in vessel:
        if "Rt" not in vessel:
            raise InputError(f"{where} ends without a condition", "R1, R2 and Cc, or R1 and Cc, or Rt", "add it, or a vessel that goes on")
        return _Outlet("reflection")
    for key in ("R1", "Cc"):
        if key not in vessel:
            raise InputError(f"{where} with a windkessel without {key}", "R1, R2 and Cc, or R1 and Cc", f"add {key}")
    if "R2" in vessel:
        return _Outlet("matched" if matched else "windkessel", vessel["R1"], vessel["R2"], vessel["Cc"])
    impedance = sqrt(density * _stiffness(vessel) / 2) / (pi * vessel["Rd"] ** 2)
    if vessel["R1"] <= impedance:
        raise InputError(
            f"{where}: R1 {vessel['R1']:g} Pa s/m³ without R2",
            f"more than the vessel's impedance, {impedance:.4g} Pa s/m³",
            "raise it or give R2",
        )
    notes.append("R1 without R2 is the whole resistance, its proximal part the vessel's impedance; openBF v2 adds that difference to R1.")
    return _Outlet("matched" if matched else "windkessel", impedance, vessel["R1"] - impedance, vessel["Cc"])


def _array(values: ArrayLike | list[float]) -> Array:
    return jnp.asarray(values, dtype=float)
