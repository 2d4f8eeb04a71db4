"""From cells to tissue: what a pattern of fibrosis, septa and junctions conducts, learned from cell problems and used at coarse voxels."""

import time
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import xarray as xr

from experiments.cardiac import _microstructures as structures
from experiments.cardiac import _resolved_slab as slab
from experiments.cardiac._microstructure_figures import report_of
from twinsim.cli import run_script
from twinsim.closures import save_pattern_conductivity
from twinsim.errors import InputError
from twinsim.experiment import Result, finite_or_none
from twinsim.option_checks import check_options
from twinsim.workspace import Workspace

RANGES = {
    "patterns": (20, 20000),
    "unseen_patterns": (10, 5000),
    "iterations": (2, 12),
    "steps": (10, 100000),
    "batch": (8, 4096),
    "seeds": (1, 20),
    "sheets": (1, 20),
    "length_mm": (1.6, 40.0),
    "width_mm": (0.8, 40.0),
    "most_fibrosis": (0.0, 0.38),
    "septa": (0.0, 0.6),
    "coarse_mm": (0.05, 0.8),
    "dt_ms": (0.005, 0.1),
    "coarse_dt_ms": (0.005, 0.1),
    "until_ms": (2.0, 500.0),
}
EARLY_MS = 5.0  # before this, cells are under the stimulus or next to it


@dataclass(frozen=True)
class Config:
    """Options; patterns have voxels of 0.025 mm and windows of 0.8 mm."""

    patterns: int = 300
    """Random tissues to learn from, four windows each."""
    unseen_patterns: int = 60
    """Random tissues to judge by, four windows each."""
    iterations: int = 3
    """Of the cell problem, before the network says what is left."""
    steps: int = 600
    """Of training, per seed."""
    batch: int = 128
    """Windows per step."""
    seeds: int = 3
    """Networks, from seed on."""
    sheets: int = 3
    """Sheets of tissue, from seed on; the networks take turns at them."""
    length_mm: float = 12.8
    """Of a sheet, in mm; a multiple of 0.8."""
    width_mm: float = 6.4
    """Of a sheet, in mm; a multiple of 0.8."""
    most_fibrosis: float = 0.3
    """Fraction of fibrosis in the middle of a sheet."""
    septa: float = 0.3
    """Fraction of side faces in a sheet that collagen blocks."""
    coarse_mm: float = 0.2
    """Coarse voxels, in mm; 0.8 divided by a whole number."""
    dt_ms: float = 0.02
    """Steps of the resolved sheet, in ms."""
    coarse_dt_ms: float = 0.05
    """Steps of the coarse sheet, in ms."""
    until_ms: float = 80.0
    """End of the simulation, in ms."""
    seed: int = 0
    """Of tissues, networks and sheets."""
    save_closure: str = ""
    """Folder for the network of the first seed, which ``twinsim.closures.pattern_conductivity`` reads."""
    precision: Literal["float32", "float64"] = "float64"
    """Floating-point precision of cell problems and tissue; networks are float32."""


def run(config: Config, workspace: Workspace) -> Result:
    """Cell problems, networks on them, and sheets four ways."""
    _check(config)
    known, unseen = workspace.stage(
        "cell-problems",
        lambda: (structures.windows(config.patterns, 2 * config.seed), structures.windows(config.unseen_patterns, 2 * config.seed + 1)),
    )
    began = time.perf_counter()
    seen, judged = (structures.looked_at(part.conductivities, config.iterations + 1) for part in (known, unseen))
    summary: dict[str, Any] = {
        "windows_learned": len(known.tensors),
        "windows_unseen": len(unseen.tensors),
        "looking_seconds": time.perf_counter() - began,
    }
    began = time.perf_counter()
    runs = [
        structures.trained(known, seen, config.seed + number, config.steps, config.batch, config.iterations, workspace)
        for number in range(config.seeds)
    ]
    summary["training_seconds_per_seed"] = (time.perf_counter() - began) / config.seeds
    models = [model for training, model in runs]
    if config.save_closure:
        save_pattern_conductivity(config.save_closure, models[0], _provenance(config))
    notes = [f"seed {config.seed + number}: {training.message}" for number, (training, _) in enumerate(runs) if training.status != 0]
    found = {f"network_{number}": structures.predicted(model, judged, unseen.winding) for number, model in enumerate(models)}
    found |= structures.unfinished(judged, unseen.winding, config.iterations) | structures.by_laws(unseen)
    summary |= _cost(config, models[0], unseen)
    scores = {name: structures.errors(tensors, unseen) for name, tensors in found.items()}
    summary |= _scored(scores, unseen, config.seeds)
    sheets = [
        workspace.stage(f"sheet-{number}", lambda k=number: _sheet(config, workspace, config.seed + k, models[k % len(models)]))
        for number in range(config.sheets)
    ]
    summary |= _over_sheets([_compared(config, *one) for one in sheets])
    sheet, courses = sheets[0]
    for note in notes:
        workspace.message(f"note: {note}")
    report = report_of(config, summary, unseen, found, scores, sheet, courses, notes)
    return Result(summary, report, _dataset(config, unseen, found, sheet, courses), notes=notes)


def _provenance(config: Config) -> dict[str, Any]:
    names = ("patterns", "steps", "batch", "seed")
    options = " ".join(f"--{name} {getattr(config, name)}" for name in names)
    return {"command": f"twinsim run cardiac/microstructure {options} --iterations {config.iterations} --save-closure DIR"}


def _cost(config: Config, model: Any, unseen: structures.Windows) -> dict[str, float]:
    """Milliseconds per window, compiled, of network and iterations, of windings, and of cell problems solved to their tolerance."""
    some = unseen.of(np.arange(min(4 * structures.SOLVED_AT_ONCE, len(unseen.tensors))))
    seen = structures.looked_at(some.conductivities, config.iterations)
    acts: dict[str, Any] = {
        "network": lambda: structures.predicted(model, seen, some.winding),
        "windings": lambda: [structures.winding_directions(cell) for cell in some.conductivities],
        "cell_problems": lambda: structures.solved(some.conductivities),
    }
    for count in (config.iterations, config.iterations + 1):
        acts[f"iterations_{count}"] = lambda count=count: structures.looked_at(some.conductivities, count)
    found = {}
    for name, act in acts.items():
        act()
        began = time.perf_counter()
        act()
        found[f"{name}_ms_per_window"] = 1e3 * (time.perf_counter() - began) / len(some.tensors)
    return found


def _scored(scores: dict[str, dict[str, np.ndarray]], unseen: structures.Windows, seeds: int) -> dict[str, Any]:
    """Medians, means and 90 % quantiles per law; of networks the mean over seeds and the largest distance from it."""
    summary: dict[str, Any] = {}
    able, kinds = np.trace(unseen.winding, axis1=1, axis2=2) > 0.5, structures.classes(unseen)
    summary["windows_that_conduct_nowhere"] = int((~able).sum())
    summary["windows_that_conduct_one_way"] = int((np.abs(np.trace(unseen.winding, axis1=1, axis2=2) - 1) < 0.5).sum())
    summary |= {f"windows_{kind}": int(chosen.sum()) for kind, chosen in kinds.items()}
    rows: dict[str, dict[str, float]] = {}
    for name, score in scores.items():
        row = {
            "relative_error_median_percent": np.nanmedian(score["relative"]),
            "relative_error_mean_percent": np.nanmean(score["relative"]),
            "relative_error_90_quantile_percent": np.nanquantile(score["relative"], 0.9),
            "error_of_healthy_mean_percent": np.mean(score["of_healthy"]),
            "error_of_healthy_95_quantile_percent": np.quantile(score["of_healthy"], 0.95),
            "across_error_median_percent": np.median(score["across"]),
            "anisotropy_error_median_percent": np.median(score["anisotropy"]),
        }
        for kind, chosen in kinds.items():
            inside = score["relative"][chosen]
            row[f"relative_error_median_{kind}_percent"] = np.median(inside) if inside.size else np.nan
            row[f"relative_error_mean_{kind}_percent"] = inside.mean() if inside.size else np.nan
        rows[name] = {key: 100 * float(value) for key, value in row.items()}
    for key in next(iter(rows.values())):
        values = np.array([rows[f"network_{number}"][key] for number in range(seeds)])
        summary[f"network_{key}"] = finite_or_none(values.mean())
        summary[f"network_{key}_spread"] = finite_or_none(np.abs(values - values.mean()).max())
    for name, row in rows.items():
        if not name.startswith("network_"):
            summary |= {f"{name}_{key}": finite_or_none(value) for key, value in row.items()}
    return summary


def _sheet(config: Config, workspace: Workspace, seed: int, model: Any) -> tuple[slab.Sheet, dict[str, slab.Course]]:
    """The resolved sheet, and the coarse one with tensors of cell problems, of the network, and of a law that knows the fraction only."""
    sheet = slab.drawn_sheet((config.length_mm, config.width_mm), config.most_fibrosis, config.septa, seed)
    cells = structures.cut(sheet.faces)
    winding = np.stack([structures.winding_directions(cell) for cell in cells])
    fraction = 1 - structures.cut(sheet.muscle.astype(float)).mean(axis=(1, 2))
    ends = slab.CELL_LENGTH / (slab.CELL_LENGTH - 1 + 1 / slab.END_JUNCTIONS)
    healthy = np.diag([ends, slab.SIDE_JUNCTIONS])
    with workspace.progress(4, f"sheet {seed}", "runs") as bar:
        tensors: dict[str, np.ndarray] = {}
        tensors["cell_problems"] = structures.solved(cells)
        tensors["network"] = structures.predicted(model, structures.looked_at(cells, config.iterations), winding)
        tensors["law"] = np.asarray(structures.bruggeman(fraction, 0.0, 1.0))[:, None, None] * healthy
        courses = {"resolved": slab.resolved(sheet, config.dt_ms, config.until_ms, config.precision)}
        bar.advance(1)
        for name, values in tensors.items():
            courses[name] = slab.coarse(values, sheet, config.coarse_mm, config.coarse_dt_ms, config.until_ms, config.precision)
            bar.advance(1)
    return sheet, courses


def _over_sheets(each: list[dict[str, Any]]) -> dict[str, Any]:
    """Means over the sheets, of errors the largest and of gains the least as well; sums of voxels that were not activated."""
    summary: dict[str, Any] = {"sheets": len(each)}
    for key in each[0]:
        values = [one[key] for one in each]
        if key.endswith("_voxels"):
            summary[key] = sum(values) if "not_activated" in key else values[0]
            continue
        known = [value for value in values if value is not None]  # a sheet that is not activated at all has no error
        summary[key] = finite_or_none(np.mean(known) if len(known) == len(each) else np.nan)
        if "_error_" in key:
            summary[f"{key}_largest"] = finite_or_none(max(known) if len(known) == len(each) else np.nan)
        elif key.endswith("_times_less_time"):
            summary[f"{key}_least"] = min(values)
    return summary


def _compared(config: Config, sheet: slab.Sheet, courses: dict[str, slab.Course]) -> dict[str, Any]:
    """Errors of coarse activation times against means over the resolved muscle, and the time the runs took."""
    truth = slab.averaged(courses["resolved"].activated, sheet.joined, round(config.coarse_mm / slab.FINE_MM))
    late = truth > EARLY_MS
    summary: dict[str, Any] = {
        "resolved_seconds": courses["resolved"].seconds,
        "resolved_voxels": int(sheet.muscle.size),
        "coarse_voxels": int(truth.size),
        "resolved_last_activation_ms": finite_or_none(np.nanmax(truth) if np.isfinite(truth).any() else np.nan),
    }
    for name, course in courses.items():
        if name == "resolved":
            continue
        wrong = np.abs(course.activated - truth)[late & np.isfinite(course.activated)]
        share = wrong / truth[late & np.isfinite(course.activated)]
        summary |= {
            f"{name}_activation_error_median_percent": finite_or_none(100 * np.median(share) if share.size else np.nan),
            f"{name}_activation_error_mean_percent": finite_or_none(100 * np.mean(share) if share.size else np.nan),
            f"{name}_activation_error_95_quantile_percent": finite_or_none(100 * np.quantile(share, 0.95) if share.size else np.nan),
            f"{name}_activation_error_mean_ms": finite_or_none(np.mean(wrong) if wrong.size else np.nan),
            f"{name}_not_activated_voxels": int((late & ~np.isfinite(course.activated)).sum()),
            f"{name}_seconds": course.seconds,
            f"{name}_times_less_time": courses["resolved"].seconds / course.seconds,
        }
    return summary


def _dataset(
    config: Config, unseen: structures.Windows, found: dict[str, np.ndarray], sheet: slab.Sheet, courses: dict[str, slab.Course]
) -> xr.Dataset:
    one = {"units": "1"}
    variables: dict[str, Any] = {
        "tensor": (("window", "row", "column"), unseen.tensors, one),
        "fibrosis": ("window", unseen.fibrosis, one),
        "muscle": (("fine_x", "fine_y"), sheet.muscle.astype(np.int8), one),
        "resolved_activation": (("fine_x", "fine_y"), courses["resolved"].activated, {"units": "ms"}),
    }
    for name, tensors in found.items():
        variables[f"tensor_{name}"] = (("window", "row", "column"), tensors, one)
    for name, course in courses.items():
        if name != "resolved":
            variables[f"{name}_activation"] = (("coarse_x", "coarse_y"), course.activated, {"units": "ms"})
    coords: dict[str, Any] = {
        name: (name, np.arange(size), one) for name, size in (("window", len(unseen.tensors)), ("row", 2), ("column", 2))
    }
    shapes = (("fine", sheet.muscle.shape, slab.FINE_MM), ("coarse", courses["network"].activated.shape, config.coarse_mm))
    for name, shape, h in shapes:
        coords |= {
            f"{name}_{axis}": (f"{name}_{axis}", (np.arange(n) + 0.5) * h, {"units": "mm"}) for axis, n in zip("xy", shape, strict=True)
        }
    return xr.Dataset(variables, coords=coords)


def _check(config: Config) -> None:
    check_options(config, RANGES)
    window = structures.WINDOW * slab.FINE_MM
    for name in ("length_mm", "width_mm"):
        length = getattr(config, name)
        if abs(length / window - round(length / window)) > 1e-6:
            raise InputError(f"--{name.replace('_', '-')} {length:g}", f"a multiple of {window:g} mm", "choose whole windows")
    parts, fine = window / config.coarse_mm, config.coarse_mm / slab.FINE_MM
    if abs(parts - round(parts)) > 1e-6 or abs(fine - round(fine)) > 1e-6:
        raise InputError(f"--coarse-mm {config.coarse_mm:g}", "a divisor of 0.8 mm and a multiple of 0.025 mm", "choose 0.2 or 0.1")


if __name__ == "__main__":
    run_script(__spec__)
