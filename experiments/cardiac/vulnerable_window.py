"""The vulnerable window: from when to when a premature beat goes one way only, what moves its edges, and how uncertain they are."""

import math
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import xarray as xr

from experiments.cardiac._premature_strip import CHANNELS, Course, PrematureStrip, Tissue
from experiments.cardiac._shared import finite
from physics import niederer_diffusivities
from twinsim.cli import run_script
from twinsim.errors import InputError, near_misses
from twinsim.experiment import Result
from twinsim.figure_style import BLUE, SOFT, VERMILION, new_figure, quiet
from twinsim.option_checks import check_options
from twinsim.report import Report
from twinsim.workspace import Workspace

CHANGE = 0.1  # of the logarithm of a parameter, both ways, for sensitivities
MORE_FIBROSIS = 0.1
FACTORS = ("i_na", "i_kr", "conductivity")
FEWEST_SAMPLES = 10  # below which 5 and 95 % are extrapolated from single tissues
RANGES = {
    "length_mm": (8.0, 200.0),
    "width_mm": (0.0, 50.0),
    "dx_mm": (0.02, 1.0),
    "dt_ms": (0.0025, 0.1),
    "cycle_length_ms": (200.0, 5000.0),
    "s2_length_mm": (0.2, 20.0),
    "probe_mm": (1.0, 50.0),
    "i_na": (0.1, 5.0),
    "i_kr": (0.1, 5.0),
    "conductivity": (0.05, 10.0),
    "fibrosis_fraction": (0.0, 0.8),
    "fibrosis_left": (0.0, 1.0),
    "spread_i_na": (0.0, 1.0),
    "spread_i_kr": (0.0, 1.0),
    "spread_conductivity": (0.0, 1.0),
    "search_ms": (5.0, 500.0),
    "watch_ms": (10.0, 500.0),
    "tolerance_ms": (0.001, 5.0),
    "beats": (0, 10000),
    "samples": (0, 10000),
}


@dataclass(frozen=True)
class Config:
    """Options; S1 enters at one end, S2 in the middle, times count from the start of S1."""

    cell_model: Literal["ten_tusscher_2006_epi", "ten_tusscher_2006_mid", "ten_tusscher_2006_endo", "mitchell_schaeffer"] = (
        "ten_tusscher_2006_epi"
    )
    """Cell; of mitchell_schaeffer, i_na and i_kr are its inward and outward current."""
    length_mm: float = 20.0
    """Length, along the fibre, in mm."""
    width_mm: float = 0.0
    """Width of a strip, in mm; 0 is a cable."""
    dx_mm: float = 0.2
    """Edge of a voxel, in mm; fourth order in space."""
    dt_ms: float = 0.02
    """Longest time step, in ms."""
    beats: int = 3
    """Beats of the single cells before S1."""
    cycle_length_ms: float = 1000.0
    """Between these beats, in ms."""
    s2_length_mm: float = 2.0
    """Length of the region of S2, in mm."""
    probe_mm: float = 5.0
    """From the edges of that region to where a wave counts as having arrived, in mm."""
    i_na: float = 1.0
    """Factor of the sodium current."""
    i_kr: float = 1.0
    """Factor of the rapid potassium current."""
    conductivity: float = 1.0
    """Factor of the conductivity of Niederer 2011."""
    fibrosis_fraction: float = 0.0
    """Fraction of faces between voxels with fibrosis."""
    fibrosis_left: float = 0.3
    """Share of conductance that is left in them; 0 cuts a cable."""
    spread_i_na: float = 0.1
    """Standard deviation of the logarithm of the sodium current's factor."""
    spread_i_kr: float = 0.1
    """The same of the rapid potassium current."""
    spread_conductivity: float = 0.1
    """The same of the conductivity."""
    samples: int = 16
    """Tissues drawn with these spreads; 0 leaves the uncertainty out."""
    sensitivity: bool = True
    """Also the change of the edges per 10 % of each factor, and per 0.1 of fibrosis."""
    seed: int = 0
    """Of the samples and of the fibrosis."""
    search_ms: float = 40.0
    """Before and after local repolarisation (-65 mV) that edges are looked for, in ms."""
    watch_ms: float = 60.0
    """After S2 for a wave to arrive, in ms."""
    tolerance_ms: float = 0.05
    """To which edges are bisected, in ms."""
    precision: Literal["float32", "float64"] = "float32"
    """Floating-point precision."""


def run(config: Config, workspace: Workspace) -> Result:
    """Bisects both edges of the window for all tissues at once."""
    _check(config)
    tissues, labels = _tissues(config)
    along, across = niederer_diffusivities()
    strip = PrematureStrip(
        config.cell_model,
        tissues,
        (config.length_mm, config.width_mm),
        config.dx_mm,
        config.dt_ms,
        (along, across),
        config.s2_length_mm,
        config.probe_mm,
        config.fibrosis_left,
        config.seed,
    )
    course = strip.regular(strip.paced(config.beats, config.cycle_length_ms), _until(config))
    if not np.isfinite(course.repolarised[0]):
        raise InputError(
            f"no regular beat that comes and goes within {_until(config):g} ms in the middle",
            "tissue that conducts",
            "use finer voxels, more fibrosis-left or a longer cycle-length-ms",
        )
    edges, notes = workspace.stage("edges", lambda: _edges(config, workspace, strip, course))
    widths = edges[:, 1] - edges[:, 0]
    sampled = np.array([label == "sample" for label in labels])
    summary: dict[str, Any] = {"cell_model": config.cell_model, "tissues": len(tissues)}
    summary |= {
        "lower_edge_ms": finite(edges[0, 0]),
        "upper_edge_ms": finite(edges[0, 1]),
        "window_width_ms": finite(widths[0]),
        "repolarisation_ms": float(course.repolarised[0]),
    }
    summary |= _outcomes(config, strip, course, edges[0])
    for name, values in (("lower_edge", edges[:, 0]), ("upper_edge", edges[:, 1]), ("window_width", widths)):
        summary |= _sensitivities(name, values, labels)
        summary |= _interval(name, values[sampled])
    summary["samples_without_window"] = int((~np.isfinite(widths[sampled])).sum())
    if not np.isfinite(widths[0]):
        notes.append("No window: within search-ms of repolarisation the outcome does not go from none over one to both ways.")
    if 0 < config.samples < FEWEST_SAMPLES:
        notes.append(f"{config.samples} samples are too few for quantiles: their interval is hardly more than their range.")
    for note in notes:
        workspace.message(f"note: {note}")
    return Result(summary, _report(summary, edges, course, labels, notes), _dataset(edges, course, tissues, labels), notes=notes)


def _tissues(config: Config) -> tuple[list[Tissue], list[str]]:
    """The tissue asked for, each factor up and down, more fibrosis, and the draws; with labels."""
    base = Tissue(config.i_na, config.i_kr, config.conductivity, config.fibrosis_fraction)
    tissues, labels = [base], ["base"]
    if config.sensitivity:
        for name in FACTORS:
            for sign in (1, -1):
                tissues.append(replace(base, **{name: getattr(base, name) * math.exp(sign * CHANGE)}))
                labels.append(f"{name}{'+' if sign > 0 else '-'}")
        tissues.append(replace(base, fibrosis=base.fibrosis + MORE_FIBROSIS))
        labels.append("fibrosis+")
    draws = np.random.default_rng(config.seed).standard_normal((config.samples, len(FACTORS)))
    spreads = (config.spread_i_na, config.spread_i_kr, config.spread_conductivity)
    for row in draws:
        factors = {name: getattr(base, name) * math.exp(s * z) for name, s, z in zip(FACTORS, spreads, row, strict=True)}
        tissues.append(replace(base, **factors))
        labels.append("sample")
    return tissues, labels


def _until(config: Config) -> float:
    return min(config.cycle_length_ms, 600.0)


def _edges(config: Config, workspace: Workspace, strip: PrematureStrip, course: Course) -> tuple[np.ndarray, list[str]]:
    """Lower and upper edge of every tissue, ms; NaN where the search does not begin with no way and end with both."""
    count = course.repolarised.size
    middle = np.where(np.isfinite(course.repolarised), course.repolarised, course.times[-1] / 2)
    start = np.maximum(middle - config.search_ms, course.times[0])
    stop = np.minimum(middle + config.search_ms, course.times[-1])
    which = np.tile(np.arange(count), 2)
    low, high = np.tile(start, 2), np.tile(stop, 2)
    wanted = np.repeat([1, 2], count)
    rounds = math.ceil(math.log2(2 * config.search_ms / config.tolerance_ms))
    notes = []
    with workspace.progress(rounds + 1, "edges", "rounds") as bar:
        ends = strip.premature_beats(course, which, np.r_[start, stop], config.watch_ms)
        bar.advance(1)
        sound = (ends[:count] <= 0) & (ends[count:] == 2) & np.isfinite(course.repolarised)
        for _ in range(rounds):
            now = (low + high) / 2
            there = strip.premature_beats(course, which, now, config.watch_ms) >= wanted
            low, high = np.where(there, low, now), np.where(there, now, high)
            bar.advance(1)
    if not sound.all():
        notes.append(f"{int((~sound).sum())} of {count} tissues have no window within search-ms of repolarisation; they are left out.")
    edges = ((low + high) / 2).reshape(2, count).T
    return np.where(sound[:, None], edges, np.nan), notes


def _outcomes(config: Config, strip: PrematureStrip, course: Course, edges: np.ndarray) -> dict[str, Any]:
    """How many ways the premature beat goes at several times round the window of the tissue asked for: what the edges mean."""
    if not np.isfinite(edges).all():
        return {}
    margin = max(4 * config.tolerance_ms, 0.1 * float(edges[1] - edges[0]))
    places = np.array([edges[0] - margin, edges.mean(), edges[1] + margin])
    ways = strip.premature_beats(course, np.zeros(3, int), places, config.watch_ms)
    return {f"ways_{name}": int(way) for name, way in zip(("below", "within", "above"), ways, strict=True)}


def _sensitivities(name: str, values: np.ndarray, labels: list[str]) -> dict[str, Any]:
    """ms per 10 % of each factor (central, of its logarithm), and per 0.1 of fibrosis (one-sided)."""
    found: dict[str, Any] = {}
    at = {label: values[number] for number, label in enumerate(labels) if label != "sample"}
    for factor in FACTORS if "fibrosis+" in at else ():
        found[f"{name}_per_10_percent_{factor}_ms"] = finite((at[f"{factor}+"] - at[f"{factor}-"]) / (2 * CHANGE) * 0.1)
    if "fibrosis+" in at:
        found[f"{name}_per_0.1_fibrosis_ms"] = finite((at["fibrosis+"] - at["base"]) * 0.1 / MORE_FIBROSIS)
    return found


def _interval(name: str, values: np.ndarray) -> dict[str, Any]:
    """Mean and the 5 and 95 % quantiles of the samples that have a window."""
    known = values[np.isfinite(values)]
    if known.size < 2:
        return {}
    low, high = np.quantile(known, [0.05, 0.95])
    return {f"{name}_mean_ms": float(known.mean()), f"{name}_5_percent_ms": float(low), f"{name}_95_percent_ms": float(high)}


def _check(config: Config) -> None:
    if config.cell_model not in CHANNELS:
        raise InputError(f"cell-model {config.cell_model!r}", "one of the cells", near_misses(config.cell_model, CHANNELS))
    check_options(config, RANGES)
    if config.s2_length_mm / 2 + config.probe_mm + config.dx_mm > config.length_mm / 2:
        raise InputError(
            f"length-mm {config.length_mm:g} with s2-length-mm {config.s2_length_mm:g} and probe-mm {config.probe_mm:g}",
            "room for the probes on both sides",
            "use a longer cable",
        )
    if config.length_mm / config.dx_mm * max(1.0, config.width_mm / config.dx_mm) > 1e5:
        raise InputError("more than 100000 voxels", "fewer", "use coarser voxels or a narrower strip")


def _report(summary: dict[str, Any], edges: np.ndarray, course: Course, labels: list[str], notes: list[str]) -> Report:
    report = Report("Vulnerable window", f"{summary['cell_model']}, {len(labels)} tissues")
    for note in notes:
        report.warn(note)
    figure = new_figure(3.2)
    left, right = figure.subplots(1, 2)
    shown = [number for number, label in enumerate(labels) if label != "sample"]
    for row, number in enumerate(shown):
        left.plot(edges[number], [row, row], color=VERMILION if not number else BLUE, linewidth=3)
        left.plot(course.repolarised[number], row, "|", color=SOFT, markersize=9)
    left.set_yticks(range(len(shown)), [labels[number] for number in shown])
    left.set_xlabel("time of S2 after S1 (ms)")
    quiet(left)
    drawn = np.array([label == "sample" for label in labels])
    if drawn.any():
        right.plot(edges[drawn, 0], edges[drawn, 1] - edges[drawn, 0], "o", color=BLUE, markersize=4)
    right.plot(edges[0, 0], edges[0, 1] - edges[0, 0], "s", color=VERMILION, markersize=5)
    right.set_xlabel("lower edge (ms)")
    right.set_ylabel("width (ms)")
    quiet(right)
    report.figure(
        figure,
        "Left: the window of the tissue and of its changes by 10 %, local repolarisation as a tick. Right: tissues drawn at random.",
        "window",
        alt="Vulnerable windows of all tissues",
    )
    report.table(["Quantity", "Value"], [[name, _words(value)] for name, value in summary.items()])
    return report


def _words(value: Any) -> str:
    return "none" if value is None else f"{value:.5g}" if isinstance(value, float) else str(value)


def _dataset(edges: np.ndarray, course: Course, tissues: list[Tissue], labels: list[str]) -> xr.Dataset:
    variables: dict[str, Any] = {
        "lower_edge": ("tissue", edges[:, 0], {"units": "ms"}),
        "upper_edge": ("tissue", edges[:, 1], {"units": "ms"}),
        "repolarisation": ("tissue", course.repolarised, {"units": "ms"}),
    }
    for name in (*FACTORS, "fibrosis"):
        variables[name] = ("tissue", [getattr(tissue, name) for tissue in tissues], {"units": "1"})
    return xr.Dataset(variables, coords={"tissue": ("tissue", np.arange(len(labels)), {"units": "1"})})


if __name__ == "__main__":
    run_script(__spec__)
