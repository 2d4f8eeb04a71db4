"""An eccentric plaque: peak stress of its cap, low and high wall shear along it, each against its threshold with its uncertainty."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from experiments.haemodynamics import vessel_flow
from physics.labelled_section import cap_of, labelled_section
from physics.lesion_shear import PARTS, LesionWall, lesion_wall, low_part, scaled_shear
from physics.plaque_parameters import PLAQUE_THRESHOLDS, PLAQUE_TISSUE
from physics.plaque_section import PlaqueShape, PlaqueTissues, SectionCounts, outlines
from physics.section_stress import SectionStress, section_stress
from physics.wall_shear_indices import shear_indices
from solvers.status import Status, raise_for_status
from twinsim.cli import run_script
from twinsim.errors import InputError, refused
from twinsim.experiment import Result
from twinsim.option_checks import check_options
from twinsim.plaque_draws import UNKNOWNS, PeakDraws, PeakSlopes, PlaqueBelief, interval, peak_draws, peak_slopes
from twinsim.plaque_figures import section_map, shear_along, what_moves_it
from twinsim.report import Report
from twinsim.section_file import read_section
from twinsim.workspace import Workspace

KPA_PER_MMHG = 0.133322
RANGES = {
    "diameter_mm": (1.0, 12.0),
    "stenosis": (0.05, 0.7),
    "lesion_length_mm": (2.0, 60.0),
    "remodelling": (0.8, 1.8),
    "wall_mm": (0.1, 2.0),
    "cap_um": (20.0, 1000.0),
    "arc_degrees": (30.0, 240.0),
    "pool_depth_mm": (0.1, 3.0),
    "systolic_mmhg": (50.0, 280.0),
    "diastolic_mmhg": (20.0, 200.0),
    "fibrous_kpa": (10.0, 10_000.0),
    "lipid_kpa": (0.05, 5000.0),
    "calcium_kpa": (10.0, 1e6),
    "cap_error_um": (0.1, 200.0),
    "lumen_error_mm": (1e-3, 0.5),
    "depth_error": (1e-3, 0.5),
    "arc_error": (1e-3, 0.5),
    "cuff_error_mmhg": (0.1, 40.0),
    "mean_flow_ml_per_min": (1.0, 2000.0),
    "flow_error": (0.0, 1.0),
    "viscosity": (1e-3, 0.02),
    "viscosity_error": (0.0, 0.5),
    "shear_error": (0.0, 0.5),
    "voxels_per_diameter": (8, 80),
    "refinement": (1, 4),
    "draws": (20, 20_000),
    "pixel_mm": (1e-3, 1.0),
}


@dataclass(frozen=True)
class Config:
    """Options of a plaque."""

    diameter_mm: float = 3.0
    """Of the healthy lumen beside the lesion, in mm."""
    stenosis: float = 0.35
    """Part of that diameter that is lost at the narrowest section."""
    lesion_length_mm: float = 8.0
    """Length of the narrowing, in mm."""
    remodelling: float = 1.1
    """Diameter of the outer wall at the lesion over that beside it; above one is outward."""
    wall_mm: float = 0.4
    """Thickness of the healthy wall, in mm."""
    cap_um: float = 80.0
    """Thickness of the cap, in µm; a thin cap is below 65."""
    arc_degrees: float = 110.0
    """Angle that the pool spans, seen from the middle of the lumen."""
    pool_depth_mm: float = 0.7
    """Thickness of the pool, in mm."""
    pool: Literal["lipid", "calcium"] = "lipid"
    """What is in the pool."""
    labels: Path | None = None
    """A section of your own instead: an .npy or .csv of pixels (0 outside, 1 lumen, 2 wall, 3 lipid, 4 calcium)."""
    pixel_mm: float = 0.02
    """Side of its pixels, in mm."""
    systolic_mmhg: float = 130.0
    """By cuff, in mmHg."""
    diastolic_mmhg: float = 80.0
    """By cuff, in mmHg."""
    fibrous_kpa: float = 600.0
    """Young's modulus of cap and wall, in kPa."""
    lipid_kpa: float = 1.0
    """Young's modulus of lipid, in kPa."""
    calcium_kpa: float = 10000.0
    """Young's modulus of calcium, in kPa."""
    cap_error_um: float = 20.0
    """Standard deviation of the measured cap, in µm; of the order of the axial resolution of optical coherence tomography."""
    lumen_error_mm: float = 0.05
    """Standard deviation of the measured radius of the lumen, in mm."""
    depth_error: float = 0.1
    """Standard deviation of the pool's depth, as a part."""
    arc_error: float = 0.1
    """Standard deviation of the pool's arc, as a part."""
    cuff_error_mmhg: float = 8.0
    """Standard deviation of the cuff, in mmHg (what standards allow)."""
    mean_flow_ml_per_min: float = 50.0
    """Mean flow, in mL/min."""
    pulse: float = 0.0
    """Systolic peak over the mean, less one; 0 solves for the mean flow alone (no oscillatory index). Pulses need smaller voxels."""
    flow_error: float = 0.2
    """Standard deviation of the flow, as a part."""
    viscosity: float = 0.0035
    """Of blood, in Pa s."""
    viscosity_error: float = 0.1
    """Standard deviation of the viscosity, as a part."""
    shear_error: float = 0.05
    """Standard deviation of the wall shear solved for, as a part; 4 % high in a tube at this resolution."""
    voxels_per_diameter: int = 18
    """Resolution of the flow."""
    refinement: int = 1
    """Of the section's elements: 1 has the peak of caps from 65 µm up within 3 %; take 2 for thinner ones."""
    draws: int = 200
    """Plaques drawn."""
    seed: int = 0
    """Of the draws."""
    precision: Literal["float64"] = "float64"
    """Floating-point precision of the section; nearly incompressible tissue needs the digits. The flow is in float32."""


def run(config: Config, workspace: Workspace) -> Result:
    """The section and its draws, the flow and its draws, and both hypotheses side by side."""
    check_options(config, RANGES)
    belief = _belief(config)
    flow = _flow_case(config)
    own = None if config.labels is None else _labelled(config, config.labels, belief)
    workspace.message("section")
    found = peak_slopes(belief)
    raise_for_status(found.stress.status)
    caps = np.unique(np.append([30, 40, 50, 65, 80, 100, 125, 150, 200, 250, 300, 400, 500], config.cap_um))
    sweep = (config.draws, "cap", jnp.asarray(caps / 1000))
    drawn, swept = workspace.stage("peaks", lambda: peak_draws(belief, jax.random.key(config.seed), *sweep))
    peaks = np.asarray(swept)
    workspace.message("flow")
    wall, along, angle, shear, oscillatory, change = _shear(config, *flow, workspace)
    summary = _stress_summary(config, found, drawn, own) | _shear_summary(config, wall, shear, oscillatory, change, drawn)
    notes = _notes(config, summary)
    report = _report(config, belief, found, own, summary, notes, (caps, peaks), (wall, along, angle, shear))
    return Result(summary, report, _dataset(belief, found, own, drawn, caps, peaks, along, angle, shear, oscillatory), notes=notes)


def _belief(config: Config) -> PlaqueBelief:
    if config.diastolic_mmhg >= config.systolic_mmhg:
        raise InputError(f"--diastolic-mmhg {config.diastolic_mmhg:g}", f"below {config.systolic_mmhg:g}", "exchange both")
    lumen = config.diameter_mm / 2 * (1 - config.stenosis)
    outer = config.remodelling * (config.diameter_mm / 2 + config.wall_mm)
    cap, arc = config.cap_um / 1000, np.radians(config.arc_degrees / 2)
    shape = PlaqueShape(*(jnp.asarray(part, float) for part in (lumen, outer, config.wall_mm, cap, arc, config.pool_depth_mm)))
    margins = np.asarray(shape.margins())
    if (margins <= 0).any():
        lacks = ("plaque thicker than the healthy wall", "tissue behind the pool", "arc for the pool's round ends", "healthy wall")
        got = f"a section without {lacks[int(np.argmax(margins <= 0))]}"
        raise InputError(got, "a pool inside of the plaque", "change --pool-depth-mm, --arc-degrees, --remodelling or --stenosis")
    lipid = config.pool == "lipid"
    moduli = (
        config.fibrous_kpa,
        config.lipid_kpa if lipid else config.calcium_kpa,
        PLAQUE_TISSUE["bulk"].value,
        PLAQUE_TISSUE["support"].value,
    )
    spread = (
        config.cap_error_um / config.cap_um, config.lumen_error_mm / lumen, config.depth_error, config.arc_error,
        np.log(PLAQUE_TISSUE["fibrous_spread"].value), np.log(PLAQUE_TISSUE["lipid_spread"].value),
        config.cuff_error_mmhg / config.systolic_mmhg,
    )  # fmt: skip
    tissues = PlaqueTissues(*(jnp.asarray(part, float) for part in moduli))
    pressure = jnp.asarray(config.systolic_mmhg * KPA_PER_MMHG)
    return PlaqueBelief(shape, tissues, pressure, jnp.asarray(spread), SectionCounts().refined(config.refinement))


def _labelled(config: Config, path: Path, belief: PlaqueBelief) -> SectionStress:
    """Stresses of the user's own section under the systolic pressure."""
    labels = read_section(path)
    tissues = PlaqueTissues(belief.tissues.fibrous, jnp.asarray(config.lipid_kpa), belief.tissues.bulk, belief.tissues.support)
    try:
        section = labelled_section(labels, config.pixel_mm, tissues, jnp.asarray(config.calcium_kpa))
    except ValueError as error:
        raise refused(error, remedy="(--labels)") from error
    found = jax.jit(section_stress)(section, belief.pressure, jnp.asarray(cap_of(section, tissues.shear(tissues.pool))))
    raise_for_status(found.status)
    return found


def _flow_case(config: Config) -> tuple[vessel_flow.Config, vessel_flow.Case]:
    """The flow that is to be solved, refused where voxels are too large for it."""
    still = config.pulse == 0
    settle = min(2.0, 0.75 * (config.diameter_mm / 2) ** 2 * 1e-6 * 1060 / config.viscosity)
    options = vessel_flow.Config(
        diameter_mm=config.diameter_mm, length_mm=config.lesion_length_mm + 3.3 * config.diameter_mm, stenosis=config.stenosis,
        voxels_per_diameter=config.voxels_per_diameter, stenosis_length_mm=config.lesion_length_mm, eccentricity=1.0,
        mean_flow_ml_per_min=config.mean_flow_ml_per_min, pulse=config.pulse, viscosity=config.viscosity, mach=0.25, magic=0.05,
        beats=1 if still else 2, frames=4 if still else 20, period_s=settle if still else 0.8,
    )  # fmt: skip
    check_options(options, vessel_flow.RANGES)
    case = vessel_flow.vessel_case(options)
    grid = 0.25 / 3**0.5 / float(case.flow.collision.viscosity.at(jnp.zeros(())))
    if grid > 28:
        raise InputError(
            f"a peak speed times voxel over viscosity of {grid:.0f}", "at most 28", "raise --voxels-per-diameter in proportion"
        )
    return options, case


def _shear(
    config: Config, options: vessel_flow.Config, case: vessel_flow.Case, workspace: Workspace
) -> tuple[LesionWall, np.ndarray, np.ndarray, np.ndarray, np.ndarray | None, float]:
    """Wall points with their shear (Pa), oscillatory index, and the largest change over the last quarter of the run."""
    found = workspace.stage("flow", lambda: vessel_flow.last_beats(options, case))
    shear = found["shear"] * float(case.units.pressure)
    mm = config.diameter_mm / config.voxels_per_diameter
    offset = np.asarray(case.probe.point) - case.shape.centre
    along = offset @ case.shape.axis * mm
    angle = np.arctan2(offset[:, 2], offset[:, 1])
    wall = lesion_wall(along, angle, config.lesion_length_mm, config.diameter_mm / 2, config.stenosis)
    if config.pulse == 0:
        size = np.linalg.norm(shear, axis=-1)
        return wall, along, angle, size[-1], None, float(np.abs(size[-1] - size[-2]).max() / size[-1].max())
    last, before = (shear_indices(jnp.asarray(part)) for part in (shear[-20:], shear[-40:-20]))
    average = np.asarray(last.time_averaged)
    change = np.abs(average - np.asarray(before.time_averaged)).max() / average.max()
    return wall, along, angle, average, np.asarray(last.oscillatory), float(change)


def _stress_summary(config: Config, found: PeakSlopes, drawn: PeakDraws, own: SectionStress | None) -> dict[str, Any]:
    limit = PLAQUE_THRESHOLDS["cap_stress"].value
    good = np.asarray(drawn.status) == Status.SUCCESS
    peaks = np.asarray(drawn.peak)[good]
    low, high = interval(jnp.asarray(peaks))
    peak, deviation = float(found.stress.peak_cap), float(found.deviation)
    summary: dict[str, Any] = {
        "peak_cap_stress_kpa": peak,
        "peak_cap_stress_low_kpa": low,
        "peak_cap_stress_high_kpa": high,
        "peak_cap_stress_median_kpa": float(np.median(peaks)),
        "peak_cap_stress_first_order_low_kpa": peak * float(np.exp(-1.96 * deviation)),
        "peak_cap_stress_first_order_high_kpa": peak * float(np.exp(1.96 * deviation)),
        "peak_cap_stress_above_threshold_probability": float((peaks > limit).mean()),
        "peak_cap_stress_above_threshold_first_order_probability": float(found.probability_above(jnp.asarray(limit))),
        "peak_cap_stress_diastolic_kpa": peak * config.diastolic_mmhg / config.systolic_mmhg,
        "peak_cap_stress_angle_degrees": float(np.degrees(np.arctan2(*np.asarray(found.stress.peak_place)[::-1]))),
        "peak_lumen_stress_kpa": float(jnp.max(found.stress.lumen_hoop)),
        "threshold_cap_stress_kpa": limit,
        "cap_below_65_um_probability": float(
            (config.cap_um * np.exp(np.asarray(drawn.deviations)[:, 0] * config.cap_error_um / config.cap_um) < 65).mean()
        ),
        "draws_without_a_section_fraction": float(1 - good.mean()),
        "peak_cap_stress_of_labels_kpa": None if own is None else float(own.peak_cap),
        "peak_lumen_stress_of_labels_kpa": None if own is None else float(jnp.max(own.lumen_hoop)),
    }
    return summary | {f"elasticity_{name}_1": float(one) for name, one in zip(UNKNOWNS, found.elasticity)}


def _shear_summary(
    config: Config, wall: LesionWall, shear: np.ndarray, oscillatory: np.ndarray | None, change: float, drawn: PeakDraws
) -> dict[str, Any]:
    low, high = PLAQUE_THRESHOLDS["low_shear"].value, PLAQUE_THRESHOLDS["high_shear"].value
    count = 10 * config.draws
    z = np.random.default_rng(config.seed).normal(size=(count, 4))
    factors = [np.exp(error * z[:, i]) for i, error in enumerate((config.flow_error, config.viscosity_error, config.shear_error))]
    draws = scaled_shear(
        *(jnp.asarray(part) for part in (shear, wall.radius, factors[0], factors[1], config.lumen_error_mm * z[:, 3], factors[2]))
    )
    means, lowest, inside = wall.mean_by_part(draws), wall.lowest_sector(draws), wall.sector >= 0
    here, part = jnp.asarray(shear), low_part(draws, inside, low)
    summary: dict[str, Any] = {}
    for i, name in enumerate(PARTS):
        ends = interval(means[:, i])
        summary[f"wall_shear_{name}_mean_pa"] = float(wall.mean_by_part(here)[i])
        summary |= {f"wall_shear_{name}_mean_low_pa": ends[0], f"wall_shear_{name}_mean_high_pa": ends[1]}
    summary |= {
        "low_shear_lowest_sector_pa": float(wall.lowest_sector(here)),
        "low_shear_lowest_sector_low_pa": interval(lowest)[0],
        "low_shear_lowest_sector_high_pa": interval(lowest)[1],
        "low_shear_probability": float(jnp.mean(lowest < low)),
        "low_shear_wall_fraction": float(low_part(here, inside, low)),
        "low_shear_wall_fraction_low": interval(part)[0],
        "low_shear_wall_fraction_high": interval(part)[1],
        "high_shear_probability": float(jnp.mean(means[:, 0] > high)),
        "high_shear_peak_pa": float(shear[wall.part >= 0].max()),
        "oscillatory_index_max": None if oscillatory is None else float(oscillatory[inside].max()),
        "oscillatory_wall_fraction": None
        if oscillatory is None
        else float((oscillatory[inside] > PLAQUE_THRESHOLDS["oscillatory"].value).mean()),
        "threshold_low_shear_pa": low,
        "threshold_high_shear_pa": high,
        "wall_shear_change_at_end_relative": change,
    }
    return summary


def _notes(config: Config, summary: dict[str, Any]) -> list[str]:
    notes = [
        "Three mechanisms side by side, each with its own interval and probability; they are not added up, since no data say how. The "
        "probabilities are of being beyond a published threshold under the errors given, not of an event. Not for care.",
        "Small strains, no residual stress, isotropic tissue, a plane section: see docs/limits.md."
        + (" Wall shear is that of the mean flow; for oscillation give --pulse and smaller voxels." if config.pulse == 0 else ""),
    ]
    if summary["wall_shear_change_at_end_relative"] > 0.02:
        notes.append(
            f"The flow still changes by {100 * summary['wall_shear_change_at_end_relative']:.0f} % of the largest shear at the end."
        )
    if summary["draws_without_a_section_fraction"] > 0:
        notes.append(
            f"{100 * summary['draws_without_a_section_fraction']:.1f} % of the draws had no room for their pool and were left out."
        )
    if config.labels is not None:
        notes.append("Stresses of labels have no interval for their geometry; at four pixels per cap they are off by up to 16 %.")
    return notes


def _report(
    config: Config, belief: PlaqueBelief, found: PeakSlopes, own: SectionStress | None, summary: dict[str, Any], notes: list[str],
    sweep: tuple[np.ndarray, np.ndarray], flow: tuple[LesionWall, np.ndarray, np.ndarray, np.ndarray],
) -> Report:  # fmt: skip
    report = Report("Plaque", f"{100 * config.stenosis:.0f} % stenosis, cap {config.cap_um:g} µm, {config.draws} draws")
    for note in notes:
        report.warn(note)
    _wall, along, angle, shear = flow
    low, high = PLAQUE_THRESHOLDS["low_shear"].value, PLAQUE_THRESHOLDS["high_shear"].value
    names = "peak_cap_stress", "low_shear_lowest_sector", "wall_shear_proximal_mean"
    ends = [
        f"{summary[f'{name}_low_{unit}']:.3g} to {summary[f'{name}_high_{unit}']:.3g}" for name, unit in zip(names, ("kpa", "pa", "pa"))
    ]
    values = [summary[key] for key in ("peak_cap_stress_kpa", "low_shear_lowest_sector_pa", "wall_shear_proximal_mean_pa")]
    chances = ("peak_cap_stress_above_threshold_probability", "low_shear_probability", "high_shear_probability")
    said = [
        ("Cap: rupture under pressure", "peak stress (kPa)", f"above {summary['threshold_cap_stress_kpa']:g}"),
        ("Low shear: the plaque grows", "lowest sector (Pa)", f"below {low:g}"),
        ("High shear: the plaque becomes unstable", "proximal third (Pa)", f"above {high:g}"),
    ]
    rows = [[what, of, one, end, limit, summary[chance]] for (what, of, limit), one, end, chance in zip(said, values, ends, chances)]
    report.table(
        ["Mechanism", "Number", "Value", "95 %", "Threshold", "Probability"], rows, "The hypotheses side by side; none is a score."
    )
    seen = found.stress if own is None else own
    borders = outlines(belief.shape, belief.counts) if own is None else []
    limit = summary["threshold_cap_stress_kpa"]
    report.figure(
        section_map(np.asarray(seen.place), np.asarray(seen.principal), borders, np.asarray(seen.peak_place), limit),
        "Largest principal stress under systolic pressure; the circle is the peak of the cap, enlarged on the right.", "section",
        alt="Stress in the section",
    )  # fmt: skip
    report.figure(
        shear_along(along, shear, np.cos(angle) > 0, config.lesion_length_mm, low, high, angle),
        "Wall shear along the narrowing; shaded: its length. Zero degrees is the middle of the plaque.",
        "shear",
        alt="Wall shear",
    )
    here = (config.cap_um, summary["peak_cap_stress_kpa"], summary["peak_cap_stress_low_kpa"], summary["peak_cap_stress_high_kpa"])
    report.figure(
        what_moves_it(*sweep, here, limit, list(UNKNOWNS), np.asarray(found.elasticity)),
        "Peak stress by the cap's thickness (all else held), with this plaque's 95 % interval; exact slopes.",
        "slopes",
        alt="Slopes",
    )
    report.table(["Number", "Value"], [[key, "none" if value is None else f"{value:.4g}"] for key, value in summary.items()])
    for kind in (PLAQUE_THRESHOLDS, PLAQUE_TISSUE):
        report.table(["Parameter", "Value", "Unit", "Source"], [[name, one.value, one.unit, one.source] for name, one in kind.items()])
    return report


def _dataset(
    belief: PlaqueBelief, found: PeakSlopes, own: SectionStress | None, drawn: PeakDraws, caps: np.ndarray, peaks: np.ndarray,
    along: np.ndarray, angle: np.ndarray, shear: np.ndarray, oscillatory: np.ndarray | None,
) -> xr.Dataset:  # fmt: skip
    parts: dict[str, Any] = {
        "wall_shear": ("wall_point", shear, {"units": "Pa"}),
        "wall_along": ("wall_point", along, {"units": "mm"}),
        "wall_angle": ("wall_point", angle, {"units": "rad"}),
        "peak_drawn": ("draw", np.asarray(drawn.peak), {"units": "kPa"}),
        "draw_status": ("draw", np.asarray(drawn.status), {"units": "1"}),
        "deviation": (("draw", "unknown"), np.asarray(drawn.deviations), {"units": "1"}),
        "elasticity": ("unknown", np.asarray(found.elasticity), {"units": "1"}),
        "spread": ("unknown", np.asarray(belief.spread), {"units": "1", "long_name": "standard deviation of the logarithm"}),
        "peak_by_cap": ("cap", peaks, {"units": "kPa"}),
    }
    for name, one in (("section", found.stress), ("labels", own)):
        if one is not None:
            where = tuple(f"{name}_{axis}" for axis in ("column", "row", "point"))
            parts[f"{name}_stress"] = (where, np.asarray(one.principal), {"units": "kPa"})
            parts[f"{name}_place"] = ((*where, "axis"), np.asarray(one.place), {"units": "mm"})
            parts[f"{name}_lumen_hoop"] = (f"{name}_lumen_point", np.asarray(one.lumen_hoop), {"units": "kPa"})
    if oscillatory is not None:
        parts["oscillatory_shear_index"] = ("wall_point", oscillatory, {"units": "1"})
    return xr.Dataset(parts, coords={"unknown": list(UNKNOWNS), "cap": ("cap", caps, {"units": "um"}), "axis": ["x", "y"]})


if __name__ == "__main__":
    run_script(__spec__)
