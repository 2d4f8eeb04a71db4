"""Fractional flow reserve of a coronary tree with stenoses, its uncertainty from errors of the lumen, and its slope to every diameter."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from physics import periodic_run, waveform
from physics.closed_loop import closed_loop, filled, periodic_beat, regazzoni_values
from physics.coronary_circuit import coronary_circuit, end_of_segment
from physics.coronary_flow import TreeFlow, reserve_slopes, steady_tree_flow
from physics.coronary_tree import CORONARY_HYPERAEMIA, DISTAL, NARROWEST, PROXIMAL, CoronaryTree
from solvers.status import raise_for_status
from twinsim.cli import run_script
from twinsim.coronary_file import RIGHT, healthy_tree, read_coronary
from twinsim.coronary_reserve import HyperaemicBeds, ReserveDraws, reserve_draws
from twinsim.errors import InputError
from twinsim.experiment import Result
from twinsim.figure_style import BLUE, INK, VERMILION, new_figure, quiet
from twinsim.option_checks import check_options
from twinsim.report import Report
from twinsim.workspace import Workspace

RANGES = {
    "lesion_diameter_mm": (0.3, 10.0),
    "lesion_length_mm": (0.5, 200.0),
    "mass_g": (20.0, 1000.0),
    "rest_flow_ml_per_min": (5.0, 2000.0),
    "resistance_ratio": (0.1, 1.0),
    "aortic_mmhg": (30.0, 250.0),
    "venous_mmhg": (0.0, 25.0),
    "density": (900.0, 1200.0),
    "viscosity": (1e-3, 0.02),
    "lumen_error_mm": (0.0, 1.0),
    "lumen_correlation": (0.0, 1.0),
    "threshold": (0.3, 1.0),
    "bed_compliance_ml_per_mmhg": (1e-4, 1.0),
    "steps": (50, 5000),
    "draws": (20, 1_000_000),
}
EXPONENTS = {"huo_kassab": "huo_kassab_exponent", "murray": "murray_exponent"}


@dataclass(frozen=True)
class Config:
    """Options of fractional flow reserve."""

    tree: Path | None = None
    """A CSV or YAML of segments (name, parent, length_mm, proximal_diameter_mm, distal_diameter_mm, stenosis_diameter_mm,
    stenosis_length_mm); default is a built-in healthy tree with one lesion."""
    lesion: str = "lad_proximal"
    """Segment of the built-in tree with the lesion; none for a healthy one."""
    lesion_diameter_mm: float = 1.6
    """Narrowest diameter of that lesion, in mm."""
    lesion_length_mm: float = 12.0
    """Length of that lesion, in mm."""
    law: Literal["huo_kassab", "murray"] = "huo_kassab"
    """How the flow is divided: by the power 7/3 or 3 of the diameters at the ends."""
    mass_g: float = 160.0
    """Myocardium that the tree feeds, in g; with the published perfusion at rest gives the flow at rest."""
    rest_flow_ml_per_min: float | None = None
    """Flow at rest of the whole tree, in mL/min, instead of by mass."""
    resistance_ratio: float = 0.24
    """Resistance of the beds under hyperaemia over that at rest (Wilson 1990: 0.24)."""
    aortic_mmhg: float = 93.0
    """Mean pressure of the aorta under hyperaemia, in mmHg."""
    venous_mmhg: float = 5.0
    """Pressure behind the beds, in mmHg."""
    density: float = 1060.0
    """Of blood, in kg/m^3."""
    viscosity: float = 0.004
    """Of blood, in Pa s."""
    lumen_error_mm: float = 0.2
    """Standard deviation of measured diameters, in mm; an assumption to be replaced by that of the scanner and reader."""
    lumen_correlation: float = 0.3
    """Correlation of the errors of two segments, 0 to 1."""
    beds: Literal["measured", "drawn"] = "measured"
    """Whether beds follow the diameters measured, or those drawn as true."""
    threshold: float = 0.80
    """Reserve at or below which a probability is given."""
    pulsatile: bool = False
    """Also run a beat with aortic and muscle pressure from the closed loop."""
    bed_compliance_ml_per_mmhg: float = 0.08
    """Compliance of all beds together in that beat, in mL/mmHg."""
    steps: int = 400
    """Steps of that beat."""
    draws: int = 4000
    """Draws of the lumen's errors."""
    seed: int = 0
    """Of the draws."""
    precision: Literal["float64"] = "float64"
    """Floating-point precision; slopes are checked to digits that float32 has not."""


def run(config: Config, workspace: Workspace) -> Result:
    """Steady hyperaemic flow, its slopes, its draws, and on request a beat."""
    check_options(config, RANGES)
    if config.aortic_mmhg <= config.venous_mmhg + 5:
        raise InputError(f"--aortic-mmhg {config.aortic_mmhg:g}", f"above --venous-mmhg {config.venous_mmhg:g} by 5", "raise it")
    tree = _tree(config)
    flow = config.rest_flow_ml_per_min
    rest = (CORONARY_HYPERAEMIA["rest_perfusion"].value * config.mass_g if flow is None else flow) / 60
    exponent = CORONARY_HYPERAEMIA[EXPONENTS[config.law]].value
    parts = (rest, config.aortic_mmhg, config.venous_mmhg, config.resistance_ratio, exponent)
    beds = HyperaemicBeds(*(jnp.asarray(part, float) for part in parts))
    found, slopes, drawn = _computed(config, tree, beds)
    raise_for_status(found.status)
    raise_for_status(drawn.status)
    beat = workspace.stage("beat", lambda: _beat(config, tree, beds)) if config.pulsatile else None
    summary = _summary(config, tree, found, slopes, drawn, beat)
    notes = _notes(config, tree, drawn)
    report = _report(config, tree, summary, drawn, beds, found, notes)
    return Result(summary, report, _dataset(tree, found, slopes, drawn, beat), notes=notes)


def _tree(config: Config) -> CoronaryTree:
    blood = {"density": config.density, "viscosity": config.viscosity}
    if config.tree is not None:
        return read_coronary(config.tree, **blood)
    lesions = {} if config.lesion == "none" else {config.lesion: (config.lesion_diameter_mm, config.lesion_length_mm)}
    return healthy_tree(lesions, **blood)


def _computed(config: Config, tree: CoronaryTree, beds: HyperaemicBeds) -> tuple[TreeFlow, np.ndarray, ReserveDraws]:
    errors = (jnp.asarray(config.lumen_error_mm, float), jnp.asarray(config.lumen_correlation, float))
    found, slopes, drawn = _all_of(tree, beds, jax.random.key(config.seed), config.draws, *errors, config.beds == "drawn")
    return found, np.asarray(slopes), drawn


@eqx.filter_jit
def _all_of(
    tree: CoronaryTree, beds: HyperaemicBeds, key: jax.Array, draws: int, deviation: jax.Array, correlation: jax.Array, follow: bool
) -> tuple[TreeFlow, jax.Array, ReserveDraws]:
    behind = beds.resistances(tree)
    given = (beds.aortic, beds.venous)
    drawn = reserve_draws(tree, beds, key, draws, deviation, correlation, follow)
    return steady_tree_flow(tree, behind, *given), reserve_slopes(tree, behind, *given), drawn


def own_slope(tree: CoronaryTree, slopes: np.ndarray, segment: int) -> float:
    """1/mm: to the narrowest diameter of a stenosed segment; else to both of its ends together."""
    if tree.stenosed[segment]:
        return float(slopes[segment, NARROWEST, segment])
    return float(slopes[segment, PROXIMAL, segment] + slopes[segment, DISTAL, segment])


def _beat(config: Config, tree: CoronaryTree, beds: HyperaemicBeds) -> dict[str, np.ndarray]:
    """The beat that repeats itself; pressures of aorta and ventricles are the healthy loop's, scaled to the aortic mean."""
    values = regazzoni_values()
    period = float(values["period"])
    loop = closed_loop(values)
    heart = periodic_beat(loop, filled(loop, values["blood_volume"]), period, config.steps)
    heart.raise_for_status()
    times = np.asarray(heart.times)
    waves = {name: np.array(heart.pressures[:, loop.index(name)]) for name in ("systemic_arteries", "left_ventricle", "right_ventricle")}
    mean = np.trapezoid(waves["systemic_arteries"], times) / period
    for wave in waves.values():
        wave *= config.aortic_mmhg / mean
        wave[-1] = wave[0]
    aorta, left, right = (waveform(times, wave, name) for name, wave in waves.items())
    outlets = [tree.names[i] for i in tree.outlets]
    muscle = {name: right if name in RIGHT and config.tree is None else left for name in outlets}
    compliances = tree.shares(beds.exponent) * config.bed_compliance_ml_per_mmhg
    circuit = coronary_circuit(tree, beds.resistances(tree), compliances, aorta, muscle, config.venous_mmhg, period)
    run = jax.jit(lambda c: periodic_run(c, c.start(pressure=config.aortic_mmhg), config.steps, period=period))(circuit)
    run.raise_for_status()
    states = np.asarray(run.states)
    pressure = np.stack([states[:, end_of_segment(circuit, name)] for name in tree.names])
    index = [next(i for i, one in enumerate(circuit.names) if one.startswith(f"flow:{name}:")) for name in tree.names]
    flow = states[:, index].T
    aortic = np.asarray(jax.vmap(aorta.at)(run.times))
    return {"times": np.asarray(run.times), "pressure": pressure, "flow": flow, "reserve": pressure[:, 1:].mean(1) / aortic[1:].mean()}


def _summary(
    config: Config, tree: CoronaryTree, found: TreeFlow, slopes: np.ndarray, drawn: ReserveDraws, beat: dict[str, np.ndarray] | None
) -> dict[str, Any]:
    draws = np.asarray(drawn.reserve)
    low, high = np.quantile(draws, [0.025, 0.975], axis=0)
    reserve = np.asarray(found.pressure) / config.aortic_mmhg
    summary: dict[str, Any] = {}
    for i, name in enumerate(tree.names):
        key = f"fractional_flow_reserve_{name}"
        summary |= {key: reserve[i], f"{key}_low": low[i], f"{key}_high": high[i], f"{key}_gradient_per_mm": own_slope(tree, slopes, i)}
        summary[f"{key}_probability_at_or_below_threshold"] = float((draws[:, i] <= config.threshold).mean())
        if beat is not None:
            summary[f"{key}_pulsatile"] = beat["reserve"][i]
    inlets = [i for i, parent in enumerate(tree.parents) if parent < 0]
    summary["hyperaemic_flow_ml_per_min"] = 60 * float(sum(found.flow[i] for i in inlets))
    summary["threshold"] = config.threshold
    summary["clipped_draws_fraction"] = float(drawn.clipped)
    return {key: float(value) for key, value in summary.items()}


def _notes(config: Config, tree: CoronaryTree, drawn: ReserveDraws) -> list[str]:
    notes = ["No accuracy against measured pressures is claimed: no public data of both lumen and pressure were at hand. Not for care."]
    if float(drawn.clipped) > 0:
        notes.append(
            f"In {100 * float(drawn.clipped):.1f} % of the draws a lumen was held at 0.3 mm: the lower ends are not to be trusted."
        )
    if config.beds == "measured":
        notes.append("The interval holds errors of the lumen only: flow at rest, hyperaemia and the law of division are taken as exact.")
    return notes


def _report(
    config: Config,
    tree: CoronaryTree,
    summary: dict[str, Any],
    drawn: ReserveDraws,
    beds: HyperaemicBeds,
    found: TreeFlow,
    notes: list[str],
) -> Report:
    report = Report("Fractional flow reserve", f"{len(tree.names)} segments, {sum(tree.stenosed)} stenosed, {config.draws} draws")
    for note in notes:
        report.warn(note)
    keys = {name: f"fractional_flow_reserve_{name}" for name in tree.names}
    worst = min(tree.names, key=lambda name: summary[keys[name]])
    report.headline(
        [
            ("Lowest reserve", summary[keys[worst]], worst.replace("_", " ")),
            ("95 % interval", f"{summary[keys[worst] + '_low']:.2f} to {summary[keys[worst] + '_high']:.2f}", ""),
            (f"Probability of at most {config.threshold:g}", summary[f"{keys[worst]}_probability_at_or_below_threshold"], ""),
            ("Hyperaemic flow", summary["hyperaemic_flow_ml_per_min"], "mL/min"),
        ]
    )
    report.figure(_bars(config, tree, summary, keys), "Reserve at the end of every segment, 95 % intervals.", "reserve", alt="Reserves")
    rows = [
        [
            name,
            f"{60 * float(found.flow[i]):.0f}",
            f"{summary[keys[name]]:.3f}",
            f"{summary[keys[name] + '_low']:.3f} to {summary[keys[name] + '_high']:.3f}",
            f"{summary[keys[name] + '_probability_at_or_below_threshold']:.2f}",
            f"{summary[keys[name] + '_gradient_per_mm']:.3f}",
        ]
        for i, name in enumerate(tree.names)
    ]
    columns = ["Segment", "Flow (mL/min)", "Reserve", "95 %", f"P(at most {config.threshold:g})", "Slope to its diameter (1/mm)"]
    report.table(columns, rows, "Slopes to the narrowest diameter of a stenosis, else to both ends of the segment together; beds held.")
    sources = [[name, f"{one.value:.3g}", one.unit, one.source] for name, one in CORONARY_HYPERAEMIA.items()]
    report.table(["Parameter", "Value", "Unit", "Source"], sources)
    return report


def _bars(config: Config, tree: CoronaryTree, summary: dict[str, Any], keys: dict[str, str]) -> Figure:
    figure = new_figure(0.32 * len(tree.names) + 1.0)
    axes = figure.subplots()
    for i, name in enumerate(reversed(tree.names)):
        low, high = summary[keys[name] + "_low"], summary[keys[name] + "_high"]
        colour = VERMILION if tree.stenosed[tree.names.index(name)] else BLUE
        axes.plot([low, high], [i, i], color=colour, linewidth=4, alpha=0.35, solid_capstyle="butt")
        axes.plot(summary[keys[name]], i, "o", color=colour, markersize=5)
    axes.axvline(config.threshold, color=INK, linewidth=1, linestyle=(0, (4, 2)))
    axes.set_yticks(range(len(tree.names)), [name.replace("_", " ") for name in reversed(tree.names)])
    axes.set_xlabel("pressure at the end of the segment over the aorta's, both averaged")
    quiet(axes, grid="x")
    return figure


def _dataset(
    tree: CoronaryTree, found: TreeFlow, slopes: np.ndarray, drawn: ReserveDraws, beat: dict[str, np.ndarray] | None
) -> xr.Dataset:
    parts: dict[str, Any] = {
        "pressure": ("segment", np.asarray(found.pressure), {"units": "mmHg"}),
        "flow": ("segment", np.asarray(found.flow), {"units": "mL/s"}),
        "slope": (("segment", "end", "of_segment"), slopes, {"units": "mm-1"}),
        "reserve_draws": (("draw", "segment"), np.asarray(drawn.reserve), {"units": "1"}),
        "diameter": (("end", "segment"), np.asarray(tree.diameters), {"units": "mm"}),
    }
    coordinates: dict[str, Any] = {
        "segment": list(tree.names), "of_segment": list(tree.names), "end": ["proximal", "distal", "narrowest"]
    }  # fmt: skip
    if beat is not None:
        coordinates["time"] = ("time", beat["times"], {"units": "s"})
        parts["pressure_wave"] = (("segment", "time"), beat["pressure"], {"units": "mmHg"})
        parts["flow_wave"] = (("segment", "time"), beat["flow"], {"units": "mL/s"})
    return xr.Dataset(parts, coords=coordinates)


if __name__ == "__main__":
    run_script(__spec__)
