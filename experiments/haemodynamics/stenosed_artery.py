"""A narrowing on voxels inside of an artery in one dimension: its pressure drop in the waves of the tree, beside Young and Tsai's law."""

import time
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from physics import ArteryNetwork, Block, assemble, couple, voxel_segment
from physics.coronary_tree import coronary_tree
from physics.coupled_arteries import CoupledArteries, artery_end
from physics.lattice_units import lattice_units
from physics.vessel_shape import straight_vessel
from physics.voxel_segment import SegmentState, VoxelSegment
from physics.wall_shear import WallProbe, wall_probe
from physics.wall_shear_indices import shear_indices
from physics.wave_speed import modulus_of_speed
from solvers import SimulationError, simulate, time_mesh
from solvers.lattice_boltzmann import D3Q19, TRT, ConstantViscosity, face_patches, lattice_domain, unit_inflow, wall_fractions
from twinsim.cli import run_script
from twinsim.errors import InputError, refused
from twinsim.experiment import Result, finite_or_none
from twinsim.option_checks import check_options
from twinsim.report import Report
from twinsim.vessel_case import INLET, OUTLET, bearable_magic, check_size, peak_axis_speed, systolic_wave
from twinsim.vessel_figures import pressure_drop, wall_shear
from twinsim.workspace import Workspace

PASCAL = 133.322
CELL_M = 2.5e-3
SAMPLES = 100
"""Looks at the voxels per beat."""
MOST_STEPS = 1_000_000
SPARE = 0.75
"""Diameters beside the openings whose wall is left out."""
RANGES = {
    "diameter_mm": (0.5, 30.0),
    "length_mm": (2.0, 200.0),
    "stenosis": (0.0, 0.7),
    "stenosis_length_mm": (0.5, 100.0),
    "upstream_mm": (10.0, 1000.0),
    "downstream_mm": (10.0, 1000.0),
    "wave_speed_m_per_s": (2.0, 20.0),
    "mean_flow_ml_per_min": (0.1, 5000.0),
    "pulse": (0.0, 4.0),
    "period_s": (0.1, 3.0),
    "mean_pressure_mmhg": (20.0, 200.0),
    "compliance_ul_per_mmhg": (0.1, 1000.0),
    "voxels_per_diameter": (6, 100),
    "mach": (0.01, 0.3),
    "beats": (1, 20),
    "density": (900.0, 1200.0),
    "viscosity": (1e-3, 0.05),
}


@dataclass(frozen=True)
class Config:
    """Options of the narrowed artery."""

    diameter_mm: float = 3.0
    """Of the healthy artery, in mm."""
    length_mm: float = 18.0
    """Of the piece on voxels, in mm."""
    stenosis: float = 0.35
    """Part of the diameter that is lost in the middle of the piece, 0 to 0.7."""
    stenosis_length_mm: float = 6.0
    """Length of the narrowing, in mm."""
    upstream_mm: float = 100.0
    """Artery in one dimension before the piece, in mm."""
    downstream_mm: float = 60.0
    """Artery in one dimension behind the piece, in mm."""
    wave_speed_m_per_s: float = 8.0
    """Of small waves in both, in m/s."""
    mean_flow_ml_per_min: float = 24.0
    """Mean flow into the artery, in mL/min."""
    pulse: float = 1.0
    """Height of the systolic peak over the mean: the flow is the mean times 1 + pulse times a wave without mean, whose peak is one."""
    period_s: float = 0.8
    """Of the beat, in s."""
    mean_pressure_mmhg: float = 90.0
    """That the windkessel at the end holds at the mean flow, in mmHg."""
    compliance_ul_per_mmhg: float = 3.0
    """Of that windkessel, in µL/mmHg."""
    voxels_per_diameter: int = 20
    """Resolution of the piece."""
    mach: float = 0.15
    """Mach number of the expected peak on the lattice: errors go with its square, and time of a run with its inverse."""
    beats: int = 2
    """Beats; the last one is reported, and compared with the one before."""
    density: float = 1060.0
    """Of blood, in kg/m^3."""
    viscosity: float = 0.0035
    """Of blood, in Pa s."""
    precision: Literal["float32", "float64"] = "float32"
    """Floating-point precision."""


class Traces(NamedTuple):
    """The last beat: times in s, flow into the piece in m³/s, pressures before and behind it and the drop between them in Pa."""

    times: np.ndarray
    flow: np.ndarray
    before: np.ndarray
    behind: np.ndarray


def run(config: Config, workspace: Workspace) -> Result:
    """Beats of both models from one start, then what they say of the last one."""
    check_options(config, RANGES)
    if config.stenosis_length_mm > config.length_mm - 2 * config.diameter_mm * SPARE:
        raise InputError(
            f"a stenosis of {config.stenosis_length_mm:g} mm in a piece of {config.length_mm:g} mm",
            f"at most {config.length_mm - 2 * config.diameter_mm * SPARE:g} mm, a healthy stretch before each opening",
            "raise --length-mm or shorten --stenosis-length-mm",
        )
    check_size(config.diameter_mm * 1e-3, config.length_mm * 1e-3, config.voxels_per_diameter)
    model, probe = voxel_model(config)
    workspace.message(f"{int(np.asarray(model.flow.domain.fluid).sum())} voxels of blood, steps of {float(model.step) * 1e6:.3g} µs")
    traces, shear, numbers = workspace.stage("voxels", lambda: voxel_beats(config, model, probe))
    law = workspace.stage("law", lambda: law_beat(config, len(traces.times)))
    summary = _summary(config, traces, law, shear, numbers)
    notes = [
        "The piece on voxels is rigid, and flow enters it as a parabola at all phases.",
        "The law is for steady flow, Reynolds numbers of 100 to 1000 and narrowings with flow that separates; not for care.",
    ]
    if summary["change_to_beat_before_relative"] is None:
        notes.append("One beat from rest: its start is in every number, peaks first; raise --beats.")
    if summary["reynolds_peak"] < 100:
        notes.append(f"Reynolds number {summary['reynolds_peak']:.0f} at the peak: below the law's range, where it overstates the drop.")
    if summary["change_to_beat_before_relative"] is not None and summary["change_to_beat_before_relative"] > 0.02:
        notes.append("The drop still changed by more than 2 % from the beat before: raise --beats.")
    return Result(summary, _report(config, traces, law, shear, probe, model, summary, notes), _dataset(traces, law, shear), notes=notes)


def _wave(config: Config, count: int) -> np.ndarray:
    """Flow over its mean at ``count`` times from 0 to the period."""
    return systolic_wave(np.linspace(0, 1, count), config.pulse)


def _mean_flow(config: Config) -> float:
    return config.mean_flow_ml_per_min * 1e-6 / 60


def arteries(config: Config, dtype: Any, cell: float = CELL_M) -> ArteryNetwork:
    """One artery before and one behind the piece, nodes 1-2 and 3-4, at rest at the mean pressure, a windkessel at the end."""

    def both(*values: float) -> jax.Array:
        return jnp.array(values if len(values) == 2 else values * 2, dtype)

    lengths = config.upstream_mm * 1e-3, config.downstream_mm * 1e-3
    radius = config.diameter_mm * 5e-4
    thickness, pressure = 0.1 * radius, config.mean_pressure_mmhg * PASCAL
    modulus = float(modulus_of_speed(config.wave_speed_m_per_s, config.density, radius, thickness))
    return ArteryNetwork(
        labels=("before", "behind"),
        cells=(max(3, int(lengths[0] / cell)), max(3, int(lengths[1] / cell))),
        source=(1, 3),
        target=(2, 4),
        length=both(*lengths),
        youngs_modulus=both(modulus),
        radius_start=both(radius),
        radius_end=both(radius),
        thickness=both(thickness),
        external_pressure=both(pressure),
        profile=both(2.0),
        correction=None,
        proximal=both(0.0),
        distal=both(0.0, pressure / _mean_flow(config)),
        compliance=both(0.0, config.compliance_ul_per_mmhg * 1e-9 / PASCAL),
        downstream=both(0.0),
        reflection=both(0.0),
        outlet=("", "matched"),
        inlet_times=jnp.linspace(0.0, config.period_s, 401, dtype=dtype),
        inlet_flow=jnp.asarray(_mean_flow(config) * _wave(config, 401), dtype)[None],
        inlet_nodes=(1,),
        density=jnp.asarray(config.density, dtype),
        viscosity=jnp.asarray(config.viscosity, dtype),
        initial_velocity=both(0.0),
        initial_pressure=both(pressure),
        thickness_given=(True, True),
    )


def _filled[State](network: ArteryNetwork, state: State, pressure: float) -> State:
    """The state with the windkessel at the pressure that it holds at the mean flow."""
    stored = network.initial_state().flow[2].at[network.layout.nodes.index(4)].set(pressure)
    return eqx.tree_at(lambda s: s.arteries.flow[2], state, stored)


def voxel_model(config: Config) -> tuple[VoxelSegment, WallProbe]:
    """The piece between both arteries, and what reads the shear at its wall."""
    dtype, diameter = jnp.dtype(config.precision), config.diameter_mm * 1e-3
    voxel, kinematic = diameter / config.voxels_per_diameter, config.viscosity / config.density
    peak = peak_axis_speed(diameter, config.stenosis, (1 + config.pulse) * _mean_flow(config))
    magic = bearable_magic(peak, diameter, config.voxels_per_diameter, kinematic)
    units = lattice_units(voxel, config.density, kinematic, peak, config.mach, config.period_s)
    steps = round(config.beats * config.period_s / float(units.step))
    if steps > MOST_STEPS:
        raise InputError(f"{steps} steps", f"at most {MOST_STEPS}", "use larger voxels, a higher --mach or fewer --beats")
    per_mm = 1e-3 / voxel
    area = float(np.pi * diameter**2 / 4)
    try:
        narrowing = config.stenosis, config.stenosis_length_mm * per_mm
        shape = straight_vessel(config.voxels_per_diameter / 2, config.length_mm * per_mm, 0.0, *narrowing)
        domain = lattice_domain(D3Q19, face_patches(shape.distance[1:-1, 1:-1, 1:-1] > 0, {INLET: (0, 0), OUTLET: (0, 1)}))
        model = voxel_segment(
            arteries(config, dtype, max(CELL_M, 2 * config.wave_speed_m_per_s * float(units.step))),
            domain,
            TRT(ConstantViscosity(jnp.asarray(kinematic / float(units.kinematic_viscosity), dtype)), magic=magic),
            jax.tree.map(lambda leaf: leaf.astype(dtype), units),
            ports={INLET: 2, OUTLET: 3},
            profiles={INLET: unit_inflow(domain, INLET, shape.entering)},
            areas={INLET: area, OUTLET: area},
            fraction=wall_fractions(domain, jnp.asarray(shape.distance, dtype)),
        )
        return model, wall_probe(domain, shape.distance, SPARE * config.voxels_per_diameter)
    except ValueError as error:
        raise refused(error, remedy="(--diameter-mm, --voxels-per-diameter, --stenosis, --wave-speed-m-per-s, --mach)") from error


def voxel_beats(config: Config, model: VoxelSegment, probe: WallProbe) -> tuple[Traces, np.ndarray, dict[str, float]]:
    """The last beat, wall shear at its times in Pa, and numbers about the run."""
    step, pressure = float(model.step), config.mean_pressure_mmhg * PASCAL
    per_beat = round(config.period_s / step)
    every = max(1, per_beat // SAMPLES)
    count, lattice = config.beats * per_beat // every, model.flow
    rate = model.network.flow()
    ends = model.stepper().ports.faces

    @jax.jit
    def program(model: VoxelSegment, probe: WallProbe, state: SegmentState) -> Any:
        stepper = model.stepper()

        def frame(state: SegmentState, number: jax.Array) -> tuple[SegmentState, Any]:
            def one(k: jax.Array, state: SegmentState) -> SegmentState:
                return stepper.advance(state, (number * every + k) * model.step, model.step)

            state = jax.lax.fori_loop(0, every, one, state)
            moments = lattice.moments(state.flow, jnp.zeros(()))
            sides = rate.sides(*state.arteries.flow[:2])
            seen = state.entering[0], sides[0][ends[0]], sides[1][ends[1]], probe.shear(moments), lattice.peak_speed(state.flow)
            return state, seen

        return jax.lax.scan(frame, state, jnp.arange(count))[1]

    start = _filled(model.network, model.initial_state(), pressure)
    begun = time.perf_counter()
    compiled = program.lower(model, probe, start).compile()
    ready = time.perf_counter()
    flow, before, behind, shear, speed = (np.asarray(part, float) for part in jax.block_until_ready(compiled(model, probe, start)))
    done = time.perf_counter()
    if not np.isfinite(flow).all():
        raise InputError("a run that became infinite", "flow that stays finite", "use more --voxels-per-diameter, or less flow")
    times = (np.arange(count) + 1) * every * step
    last = times > (config.beats - 1) * config.period_s
    earlier = (times > (config.beats - 2) * config.period_s) & ~last
    drops = [float((before - behind)[part].mean()) for part in (last, earlier) if part.any()]
    numbers = {
        "run_seconds": done - ready,
        "compile_seconds": ready - begun,
        "mach_peak": float(speed.max()) * 3**0.5,
        "change": abs(drops[1] / drops[0] - 1) if len(drops) > 1 and drops[0] else np.nan,
    }
    traces = Traces(times[last] - (config.beats - 1) * config.period_s, flow[last], before[last], behind[last])
    return traces, shear[last] * float(model.units.pressure), numbers


def law_model(config: Config) -> CoupledArteries:
    """The same arteries with Young and Tsai's law for the piece."""
    narrow = config.diameter_mm * (1 - config.stenosis)
    stenosis = (narrow, config.stenosis_length_mm) if config.stenosis else (None, None)
    tree = coronary_tree(
        ["piece"], [None], [config.length_mm], [config.diameter_mm], [config.diameter_mm], *([part] for part in stenosis),
        density=config.density, viscosity=config.viscosity,
    )  # fmt: skip
    linear, square = tree.losses()
    values = {"resistance": float(linear[0]), "stenosis": float(square[0]), "inertance": float(tree.inertance()[0])}
    ends = [Block("into", "from_artery", artery_end(), {"outgoing": 0.0}), Block("out", "to_artery", artery_end(), {"outgoing": 0.0})]
    circuit = assemble([ends[0], Block("piece", "vessel", values), ends[1]], [("into", "piece"), ("piece", "out")], config.period_s)
    return couple(arteries(config, jnp.dtype(config.precision)), circuit, {"into": 2, "out": 3})


def law_beat(config: Config, samples: int) -> Traces:
    """The last beat with the law."""
    model = law_model(config)
    times = np.arange(1, samples + 1) * config.period_s / samples
    begin = (config.beats - 1) * config.period_s
    mesh = time_mesh(0.0, (begin + times).tolist(), config.period_s / samples)
    start = _filled(model.network, model.initial_state(), config.mean_pressure_mmhg * PASCAL)
    try:
        solution = simulate(model.stepper(), start, mesh)
        solution.raise_for_status()
    except SimulationError as error:
        raise InputError(f"the law's run that ended: {error}", "waves that stay finite", "use less flow or a smaller --pulse") from None
    unknowns = np.asarray(solution.states.circuit, float)
    index = model.circuit.index
    flow, before, behind = (unknowns[:, index(name)] for name in ("flow:into:piece", "pressure:into:piece", "pressure:piece:out"))
    return Traces(times, flow * 1e-6, before * PASCAL, behind * PASCAL)


def _summary(config: Config, voxels: Traces, law: Traces, shear: np.ndarray, numbers: dict[str, float]) -> dict[str, Any]:
    indices = shear_indices(jnp.asarray(shear))
    found: dict[str, Any] = {}
    for name, traces in (("voxel", voxels), ("law", law)):
        drop = traces.before - traces.behind
        found |= {
            f"{name}_drop_mean_mmhg": drop.mean() / PASCAL,
            f"{name}_drop_peak_mmhg": drop.max() / PASCAL,
            f"{name}_pressure_ratio": traces.behind.mean() / traces.before.mean(),
            f"{name}_flow_mean_ml_per_min": traces.flow.mean() * 6e7,
            f"{name}_flow_peak_ml_per_min": traces.flow.max() * 6e7,
        }
    area = np.pi * (config.diameter_mm * 5e-4) ** 2
    return found | {
        "poiseuille_drop_mean_mmhg": _poiseuille(config, voxels.flow.mean()) / PASCAL,
        "drop_mean_over_law": found["voxel_drop_mean_mmhg"] / found["law_drop_mean_mmhg"],
        "drop_peak_over_law": found["voxel_drop_peak_mmhg"] / found["law_drop_peak_mmhg"],
        "tawss_max_pa": float(np.asarray(indices.time_averaged).max()),
        "tawss_min_pa": float(np.asarray(indices.time_averaged).min()),
        "osi_max": float(np.asarray(indices.oscillatory).max()),
        "reynolds_peak": voxels.flow.max() / area * config.diameter_mm * 1e-3 * config.density / config.viscosity,
        "mach_peak": numbers["mach_peak"],
        "change_to_beat_before_relative": finite_or_none(numbers["change"]),
        "run_seconds": numbers["run_seconds"],
        "compile_seconds": numbers["compile_seconds"],
    }


def _poiseuille(config: Config, flow: float) -> float:
    """Pressure drop over the piece where every section has a parabola, 8 mu Q / pi times the integral of r^-4, in Pa: slow flow."""
    along = np.linspace(-0.5, 0.5, 2001) * config.length_mm * 1e-3
    span = config.stenosis_length_mm * 1e-3
    narrowing = np.where(np.abs(along) < span / 2, config.stenosis / 2 * (1 + np.cos(2 * np.pi * along / span)), 0)
    radius = config.diameter_mm * 5e-4 * (1 - narrowing)
    return float(8 * config.viscosity * flow / np.pi * np.trapezoid(radius**-4.0, along))


def _report(
    config: Config,
    voxels: Traces,
    law: Traces,
    shear: np.ndarray,
    probe: WallProbe,
    model: VoxelSegment,
    summary: dict[str, Any],
    notes: list[str],
) -> Report:
    report = Report("A narrowed artery", f"{config.diameter_mm:g} mm, {100 * config.stenosis:.0f} % narrowed, voxels between two arteries")
    for note in notes:
        report.warn(note)
    report.headline(
        [
            ("Mean drop, voxels", f"{summary['voxel_drop_mean_mmhg']:.3g}", "mmHg"),
            ("Mean drop, Young and Tsai", f"{summary['law_drop_mean_mmhg']:.3g}", "mmHg"),
            ("Largest wall shear", f"{summary['tawss_max_pa']:.3g}", "Pa"),
            ("Largest oscillatory index", f"{summary['osi_max']:.2f}", ""),
        ]
    )
    courses = {"voxels": voxels, "Young and Tsai": law}
    figure = pressure_drop({label: (each.times, each.before / PASCAL, each.behind / PASCAL) for label, each in courses.items()})
    report.figure(
        figure, "Pressure drop over the piece, and the pressures on both sides of it.", "drop", alt="Two plots of pressure over a beat"
    )
    place = np.asarray(probe.point)[:, 0] * float(model.units.voxel) * 1e3
    average = np.asarray(shear_indices(jnp.asarray(shear)).time_averaged)
    report.figure(wall_shear(place, average, voxels.times, shear), "Shear at the wall of the piece.", "wall", alt="Two plots of wall shear")
    report.table(["Number", "Value"], [[key, "none" if value is None else f"{value:.4g}"] for key, value in summary.items()])
    return report


def _dataset(voxels: Traces, law: Traces, shear: np.ndarray) -> xr.Dataset:
    parts: dict[str, Any] = {"wall_shear": (("time", "point", "axis"), shear, {"units": "Pa"})}
    for name, traces, axis in (("voxel", voxels, "time"), ("law", law, "law_time")):
        parts |= {
            f"{name}_flow": (axis, traces.flow, {"units": "m3/s"}),
            f"{name}_pressure_before": (axis, traces.before, {"units": "Pa"}),
            f"{name}_pressure_behind": (axis, traces.behind, {"units": "Pa"}),
        }
    times = {"time": ("time", voxels.times, {"units": "s"}), "law_time": ("law_time", law.times, {"units": "s"})}
    return xr.Dataset(parts, coords={**times, "axis": ["x", "y", "z"]})


if __name__ == "__main__":
    run_script(__spec__)
