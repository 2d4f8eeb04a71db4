"""Pulsatile flow in a voxel vessel, straight or tilted, with a narrowing: wall shear, pressure drop, vorticity, a bolus of contrast."""

import time
from dataclasses import dataclass, replace
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from experiments.haemodynamics._vessel_flow_report import Case, vessel_dataset, vessel_report
from physics.blood_viscosity import CHO_KENSEY_1991, blood_viscosity
from physics.lattice_units import LatticeRange, lattice_units
from physics.vessel_shape import straight_vessel
from physics.vorticity import vorticity
from physics.wall_shear import WallProbe, wall_probe
from physics.wall_shear_indices import ShearIndices, shear_indices
from physics.womersley import womersley_number, womersley_shear
from solvers import SimulationError, simulate, time_mesh
from solvers.lattice_boltzmann import (
    D3Q19,
    ConstantViscosity,
    FlowState,
    LatticeBoltzmann,
    ViscosityLaw,
    face_patches,
    lattice_domain,
)
from twinsim.cli import run_script
from twinsim.errors import InputError, refused
from twinsim.experiment import Result
from twinsim.option_checks import check_options
from twinsim.vessel_bolus import BolusCourse, bolus_dataset, bolus_numbers, carried, check_memory, least_diffusivity
from twinsim.vessel_case import INLET, OUTLET, bearable_magic, check_size, peak_axis_speed, systolic_wave, vessel_lattice
from twinsim.workspace import Workspace

SPARE = 0.75
"""Diameters beside inlet and outlet whose wall is left out: the parabola turns there into what the flow wants."""
RANGES = {
    "diameter_mm": (0.05, 50.0),
    "length_mm": (0.1, 500.0),
    "voxels_per_diameter": (6, 200),
    "angle_degrees": (0.0, 45.0),
    "stenosis": (0.0, 0.75),
    "stenosis_length_mm": (0.05, 500.0),
    "eccentricity": (0.0, 1.0),
    "mean_flow_ml_per_min": (1e-3, 10_000.0),
    "pulse": (0.0, 5.0),
    "period_s": (0.05, 5.0),
    "density": (900.0, 1200.0),
    "viscosity": (5e-4, 0.05),
    "proximal_mmhg_s_per_ml": (0.0, 1e4),
    "distal_mmhg_s_per_ml": (0.0, 1e5),
    "compliance_ml_per_mmhg": (0.0, 10.0),
    "mach": (0.01, 0.3),
    "magic": (0.0, 0.25),
    "beats": (1, 20),
    "frames": (4, 500),
    "bolus_s": (0.0, 60.0),
    "bolus_diffusivity_m2_per_s": (0.0, 1e-2),
}
BOLUS_BEATS = 100
"""Most beats that a bolus is followed for."""
MMHG_S_PER_ML = 133.322e6
ML_PER_MMHG = 1e-6 / 133.322


@dataclass(frozen=True)
class Config:
    """Options of the flow in a vessel."""

    diameter_mm: float = 3.0
    """Of the healthy vessel, in mm."""
    length_mm: float = 18.0
    """Of the box along x, in mm."""
    voxels_per_diameter: int = 20
    """Resolution; 20 gives the shear at the wall of a tube within two per cent at any angle."""
    angle_degrees: float = 0.0
    """Of the vessel to the voxels, 0 to 45."""
    stenosis: float = 0.0
    """Part of the diameter that is lost in the middle, 0 to 0.75."""
    stenosis_length_mm: float = 6.0
    """Length of the narrowing, in mm."""
    eccentricity: float = 0.0
    """0 for a narrowing that is the same all round, 1 for one that is all on the side of +y."""
    mean_flow_ml_per_min: float = 40.0
    """Mean flow, in mL/min."""
    pulse: float = 1.0
    """Height of the systolic peak over the mean: the flow is the mean times 1 + pulse times a wave without mean, whose peak is one."""
    wave: Literal["systolic", "sine"] = "systolic"
    """`systolic`: a peak in the first third of the beat; `sine`: one harmonic."""
    period_s: float = 0.8
    """Of the beat, in s."""
    blood: Literal["newton", "carreau_yasuda"] = "newton"
    """Constant viscosity, or the law of Carreau and Yasuda with the values of Cho and Kensey 1991."""
    density: float = 1060.0
    """Of blood, in kg/m^3."""
    viscosity: float = 0.0035
    """Of blood without a law, in Pa s."""
    proximal_mmhg_s_per_ml: float = 10.0
    """Resistance at the outlet, in mmHg s/mL."""
    distal_mmhg_s_per_ml: float = 90.0
    """Resistance behind the compliance, in mmHg s/mL."""
    compliance_ml_per_mmhg: float = 0.01
    """Compliance between both resistances, in mL/mmHg; 0 leaves the resistances alone."""
    mach: float = 0.15
    """Mach number of the expected peak on the lattice: errors go with its square, and time of a run with its inverse."""
    magic: float = 0.0
    """Product of the two relaxations; 0 takes 3/16 up to a peak speed times voxel over viscosity of 13, and 0.05, which bears 19, above."""
    beats: int = 2
    """Beats; the last one is reported, and compared with the one before."""
    frames: int = 40
    """Times per beat at which the wall is looked at."""
    bolus_s: float = 0.0
    """Length of a bolus (contrast, indicator, oxygen) that is injected at the inlet once the beats are over, in s; 0 for none."""
    bolus_diffusivity_m2_per_s: float = 0.0
    """Of the bolus, in m^2/s; 0 takes the least that the voxels carry, which is far above a molecule's 1e-9."""
    precision: Literal["float32", "float64"] = "float32"
    """Floating-point precision."""


def run(config: Config, workspace: Workspace) -> Result:
    """Beats until the last, then what it says of the wall."""
    check_options(config, RANGES)
    if config.length_mm < config.diameter_mm:
        got = f"a box of {config.length_mm:g} mm for a vessel of {config.diameter_mm:g} mm"
        raise InputError(got, "at least one diameter", "raise --length-mm; closed forms hold two diameters from its ends")
    check_size(config.diameter_mm * 1e-3, config.length_mm * 1e-3, config.voxels_per_diameter, config.angle_degrees)
    thinnest = min(_viscosities(config)) / config.density
    magic = bearable_magic(_peak_speed(config), config.diameter_mm * 1e-3, config.voxels_per_diameter, thinnest, config.magic)
    case = vessel_case(replace(config, magic=magic))
    foreseen = case.units.examine(_peak_speed(config), jnp.asarray(_viscosities(config)) / config.density)
    cells = int(np.asarray(case.flow.domain.fluid).sum())
    if config.bolus_s:
        check_memory(config.beats * config.frames, case.flow.domain, jnp.dtype(config.precision).itemsize)
    workspace.message(
        f"{cells} voxels of blood, {case.flow.substeps * config.frames} steps per beat of {float(case.units.step) * 1e6:.3g} µs"
    )
    found = workspace.stage("beats", lambda: last_beats(config, case))
    shear = found["shear"] * float(case.units.pressure)
    last = shear_indices(jnp.asarray(shear[-config.frames :]))
    seen = case.units.examine(found["speed"] * float(case.units.speed), found["viscosity"] * float(case.units.kinematic_viscosity))
    summary, times = _summary(config, case, found, shear, last, seen)
    course = bolus(config, case, found, workspace) if config.bolus_s else None
    if course:
        volume = cells * float(case.units.voxel) ** 3 * 1e6
        summary |= bolus_numbers(course, case.units, volume, summary["flow_mean_ml_per_min"])
        summary["bolus_diffusivity_m2_per_s"] = _diffusivity(config)
    notes = _notes(config, foreseen, seen, summary)
    report = vessel_report(config, case, found, shear, last, summary, notes, course)
    dataset = vessel_dataset(config, case, found, shear, last, times)
    return Result(summary, report, dataset if course is None else dataset.merge(bolus_dataset(course)), notes=notes)


def _wave(config: Config, phase: np.ndarray) -> np.ndarray:
    """Flow over its mean."""
    if config.wave == "sine":
        return 1 + config.pulse * np.sin(2 * np.pi * phase)
    return systolic_wave(phase, config.pulse)


def _viscosities(config: Config) -> tuple[float, float]:
    """Lowest and highest, Pa s."""
    if config.blood == "newton":
        return config.viscosity, config.viscosity
    return CHO_KENSEY_1991["viscosity_limit"].value, CHO_KENSEY_1991["viscosity_at_rest"].value


def _peak_speed(config: Config) -> float:
    """m/s, at the peak of the flow."""
    fine = np.linspace(0, 1, 400, endpoint=False)
    flow = np.abs(_wave(config, fine)).max() * config.mean_flow_ml_per_min * 1e-6 / 60
    return peak_axis_speed(config.diameter_mm * 1e-3, config.stenosis, flow)


def vessel_case(config: Config) -> Case:
    """Voxels, units and the stepper for options that have been checked."""
    voxel = config.diameter_mm * 1e-3 / config.voxels_per_diameter
    per_mm = 1e-3 / voxel
    kinematic = max(_viscosities(config)) / config.density
    units = lattice_units(voxel, config.density, kinematic, _peak_speed(config), config.mach, config.period_s, config.frames)
    steps = round(config.period_s / float(units.step))
    if steps > 2_000_000:
        raise InputError(f"{steps} steps per beat", "at most 2000000", "use larger voxels, a higher --mach or a thinner fluid")
    try:
        shape = straight_vessel(
            config.voxels_per_diameter / 2,
            config.length_mm * per_mm,
            config.angle_degrees,
            config.stenosis,
            config.stenosis_length_mm * per_mm,
            config.eccentricity,
        )
        domain = lattice_domain(D3Q19, face_patches(shape.distance[1:-1, 1:-1, 1:-1] > 0, {INLET: (0, 0), OUTLET: (0, 1)}))
        probe = wall_probe(domain, shape.distance, SPARE * config.voxels_per_diameter)
    except ValueError as error:
        raise refused(error, remedy="(--diameter-mm, --length-mm, --voxels-per-diameter, --stenosis)") from error
    samples = _wave(config, np.arange(128) / 128)
    dtype = jnp.dtype(config.precision)
    law: ViscosityLaw = blood_viscosity(units)
    if config.blood == "newton":
        law = ConstantViscosity(jnp.asarray(config.viscosity / config.density / float(units.kinematic_viscosity)))
    load = (config.proximal_mmhg_s_per_ml * MMHG_S_PER_ML, config.distal_mmhg_s_per_ml * MMHG_S_PER_ML)
    load = (*load, config.compliance_ml_per_mmhg * ML_PER_MMHG)
    mean = config.mean_flow_ml_per_min * 1e-6 / 60
    flow, start = vessel_lattice(shape, domain, units, law, mean, samples, load, steps, config.frames, dtype, config.magic)
    far = config.length_mm * per_mm / 2 - SPARE * config.voxels_per_diameter
    near = np.abs(np.abs(shape.along) - far * np.cos(np.radians(config.angle_degrees))) < 1
    sections = np.stack([near & (sign * shape.along > 0) & (shape.distance > 0) for sign in (-1, 1)]).reshape(2, -1)
    return Case(shape, units, flow, probe, start, samples, sections & np.asarray(domain.fluid))


def _diffusivity(config: Config) -> float:
    """Of the bolus, m²/s."""
    return config.bolus_diffusivity_m2_per_s or least_diffusivity(
        _peak_speed(config), config.diameter_mm * 1e-3 / config.voxels_per_diameter
    )


def bolus(config: Config, case: Case, found: dict[str, np.ndarray], workspace: Workspace) -> BolusCourse:
    """A bolus carried by the last beat again and again."""
    velocity = jnp.asarray(found["velocity"])
    given = case.units, case.flow.substeps, _diffusivity(config), config.bolus_s, BOLUS_BEATS
    parts = workspace.stage("bolus", lambda: carried(case.flow.domain, velocity, *given)._asdict())
    return BolusCourse(**parts)


def last_beats(config: Config, case: Case) -> dict[str, np.ndarray]:
    """Frames of all beats; the field at the systolic peak and at the end of the last."""
    flow, dtype = case.flow, jnp.dtype(config.precision)
    steps = flow.substeps * config.frames
    peak = max(1, min(config.frames - 1, round(config.frames * float(np.argmax(case.samples)) / len(case.samples))))
    save = [float((config.beats - 1) * steps + peak * flow.substeps), float(config.beats * steps)]
    mesh = time_mesh(0.0, save, float(flow.substeps))

    @jax.jit
    def program(flow: LatticeBoltzmann, probe: WallProbe, sections: jax.Array, state: FlowState) -> Any:
        def observe(now: jax.Array, state: FlowState) -> dict[str, jax.Array]:
            seen = flow.moments(state, now)
            fluid = flow.domain.fluid
            pressure = jnp.sum(jnp.where(sections, seen.pressure, 0), axis=1) / jnp.sum(sections, axis=1).astype(dtype)
            carrying = {"velocity": seen.velocity} if config.bolus_s else {}
            return carrying | {
                "shear": probe.shear(seen),
                "pressure": pressure,
                "outflow": flow.flow_out(state, OUTLET),
                "inflow": -flow.flow_out(state, INLET),
                "load": state.loads[0, 0],
                "speed": jnp.sqrt(jnp.max(jnp.sum(seen.velocity**2, axis=0))),
                "viscosity": jnp.stack([jnp.min(jnp.where(fluid, seen.viscosity, jnp.inf)), jnp.max(seen.viscosity)]),
            }

        solution = simulate(flow, state, mesh, observe=observe)
        moments = flow.moments(jax.tree.map(lambda leaf: leaf[0], solution.states), jnp.asarray(save[0], dtype))
        fields = jnp.concatenate([moments.velocity, moments.pressure[None], vorticity(flow.domain, moments.velocity)])
        return solution, fields

    arguments = flow, case.probe, jnp.asarray(case.sections), case.start
    begun = time.perf_counter()
    compiled = program.lower(*arguments).compile()
    ready = time.perf_counter()
    solution, fields = jax.block_until_ready(compiled(*arguments))
    done = time.perf_counter()
    try:
        solution.raise_for_status()
    except SimulationError as error:
        raise InputError(f"a run that ended: {error}", "flow that stays finite", "use more --voxels-per-diameter, or less flow") from None
    observed = dict(solution.observations)
    carrying = {"velocity": np.asarray(observed.pop("velocity")[-config.frames :])} if config.bolus_s else {}
    found = carrying | {name: np.asarray(part, float) for name, part in observed.items()}
    seconds = np.array([ready - begun, done - ready])
    return found | {"fields": np.asarray(flow.domain.volume(fields), np.float32), "seconds": seconds}


def _summary(
    config: Config, case: Case, found: dict[str, np.ndarray], shear: np.ndarray, last: ShearIndices, seen: LatticeRange
) -> tuple[dict[str, Any], np.ndarray]:
    units, frames = case.units, config.frames
    times = (np.arange(frames) + 1) * config.period_s / frames
    pressure = found["pressure"][-frames:] * float(units.pressure)
    drop = pressure[:, 0] - pressure[:, 1]
    flows = {name: found[name][-frames:] * float(units.flow) * 6e7 for name in ("inflow", "outflow")}
    radius, kinematic = config.diameter_mm * 5e-4, config.viscosity / config.density
    average, residence = np.asarray(last.time_averaged), np.asarray(last.residence)
    exact = None
    if config.blood == "newton" and not config.stenosis:
        wave = config.mean_flow_ml_per_min * 1e-6 / 60 * _wave(config, np.arange(512) / 512)
        exact = float(np.abs(womersley_shear(wave, radius, config.period_s, config.density, config.viscosity)).mean())
    change = None
    if config.beats > 1:
        before = np.asarray(shear_indices(jnp.asarray(shear[-2 * frames : -frames])).time_averaged)
        change = float(np.abs(average - before).max() / average.max())
    compile_seconds, run_seconds = found["seconds"]
    updates = int(np.asarray(case.flow.domain.fluid).sum()) * case.flow.substeps * frames * config.beats
    summary = {
        "tawss_mean_pa": average.mean(),
        "tawss_min_pa": average.min(),
        "tawss_max_pa": average.max(),
        "tawss_closed_form_pa": exact,
        "shear_mean_vector_pa": np.linalg.norm(np.asarray(last.mean), axis=1).mean(),
        "shear_peak_pa": np.linalg.norm(shear[-frames:], axis=-1).max(),
        "osi_mean": np.asarray(last.oscillatory).mean(),
        "osi_max": np.asarray(last.oscillatory).max(),
        "rrt_median_per_pa": np.median(residence),
        "pressure_drop_mean_pa": drop.mean(),
        "pressure_drop_peak_pa": drop.max(),
        "outlet_pressure_mean_mmhg": found["load"][-frames:].mean() * float(units.pressure) / 133.322,
        "flow_mean_ml_per_min": flows["inflow"].mean(),
        "flow_lost_relative": abs(flows["outflow"].mean() / flows["inflow"].mean() - 1),
        "womersley_number": womersley_number(radius, config.period_s, kinematic),
        "reynolds_peak": _reynolds(config),
        "mach_peak": float(seen.mach),
        "relaxation_min": float(seen.relaxation[0]),
        "relaxation_max": float(seen.relaxation[1]),
        "vorticity_peak_per_s": np.abs(found["fields"][4:]).max() / float(units.step),
        "change_of_tawss_to_beat_before_relative": change,
        "fluid_voxels_n": int(np.asarray(case.flow.domain.fluid).sum()),
        "steps_per_beat_n": case.flow.substeps * frames,
        "million_updates_per_second": updates / run_seconds / 1e6,
        "run_seconds": run_seconds,
        "compile_seconds": compile_seconds,
    }
    return {key: float(value) if isinstance(value, np.floating) else value for key, value in summary.items()}, times


def _reynolds(config: Config) -> float:
    """Of the healthy diameter and the mean speed at the peak of the flow."""
    flow = np.abs(_wave(config, np.linspace(0, 1, 400, endpoint=False))).max() * config.mean_flow_ml_per_min * 1e-6 / 60
    return float(4 * flow * config.density / (np.pi * config.diameter_mm * 1e-3 * _viscosities(config)[0]))


def _notes(config: Config, foreseen: LatticeRange, seen: LatticeRange, summary: dict[str, Any]) -> list[str]:
    notes = [f"On the lattice: {words}." for words in dict.fromkeys((*seen.words(), *foreseen.words()))]
    if config.voxels_per_diameter * (1 - config.stenosis) < 10:
        notes.append("Fewer than 10 voxels across the narrowest section: shear there is a rough figure.")
    change = summary["change_of_tawss_to_beat_before_relative"]
    if change is None:
        notes.append("One beat from rest: whether it repeats is not known; raise --beats.")
    elif change > 0.01:
        notes.append(f"The last beat's wall shear differs by {100 * change:.1f} % from the one before; raise --beats.")
    if summary["reynolds_peak"] > 2000:
        notes.append(f"Reynolds number {summary['reynolds_peak']:.0f}: the flow may be turbulent, which these voxels do not resolve.")
    if summary.get("bolus_left_relative", 0) > 0.01:
        notes.append(
            f"{100 * summary['bolus_left_relative']:.1f} % of the bolus was still in the vessel at the end: its times are too short."
        )
    if config.bolus_s and config.pulse and config.bolus_s < 4 * config.period_s:
        notes.append(
            "The bolus is short beside the beat: its transit time and the flow read off it depend on the phase in which it enters."
        )
    if config.bolus_s and not config.bolus_diffusivity_m2_per_s:
        notes.append("The bolus diffuses as the voxels need, far more than a molecule in blood: its spread is no patient's.")
    notes.append("A parabola enters at all times; closed forms hold far from the inlet only. Walls are rigid. Not for care.")
    return notes


if __name__ == "__main__":
    run_script(__spec__)
