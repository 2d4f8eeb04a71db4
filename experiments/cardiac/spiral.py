"""A spiral wave on a sheet: started by crossed fields, its tip, period and break-up, and the shock of least energy that ends it."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import xarray as xr

from experiments.cardiac._defibrillation import Defibrillation, Threshold
from experiments.cardiac._spiral_sheet import CENTRES, QUIET_MV, Following, SpiralSheet, dominant_frequency, rotation_period
from twinsim.cli import run_script
from twinsim.errors import InputError, near_misses
from twinsim.experiment import Result
from twinsim.figure_style import BLUE, GREEN, SOFT, VERMILION, new_figure, quiet
from twinsim.option_checks import check_number, check_options
from twinsim.report import Report
from twinsim.workspace import Workspace

LOWEST, HIGHEST = 0.05, 20.0  # A/F, between which thresholds are sought
RANGES = {
    "side_mm": (5.0, 400.0),
    "dx_mm": (0.1, 3.0),
    "dt_ms": (0.005, 0.2),
    "diffusivity_mm2_per_ms": (0.001, 1.0),
    "fibrosis_fraction": (0.0, 0.6),
    "fibrosis_correlation_mm": (0.0, 50.0),
    "rotate_ms": (50.0, 20000.0),
    "shock_interval_ms": (0.5, 50.0),
    "watch_ms": (50.0, 5000.0),
    "shock_intervals": (1, 1000),
    "patches": (1, 16),
    "optimise_steps": (1, 1000),
}


@dataclass(frozen=True)
class Config:
    """Options; shocks are currents into the cells, see docs/theory/reentry.md for what that leaves out."""

    cell_model: str = "aliev_panfilov"
    """aliev_panfilov, or mitchell_schaeffer, whose waves are longer and need a side of some 100 mm."""
    side_mm: float = 60.0
    """Side of the square sheet, in mm; a spiral needs more than some half of its wavelength."""
    dx_mm: float = 1.2
    """Edge of a voxel, in mm; up to 0.6 times the square root of diffusivity and the front's time (1.2 mm for aliev_panfilov)."""
    dt_ms: float = 0.2
    """Longest time step, in ms."""
    diffusivity_mm2_per_ms: float = 0.0953
    """Of the isotropic sheet; 0.0953 along the fibre in Niederer 2011. In mm²/ms."""
    fibrosis_fraction: float = 0.0
    """Fraction of voxels that are scar, scattered."""
    fibrosis_correlation_mm: float = 2.0
    """Size of its spots, in mm; 0 for independent voxels."""
    seed: int = 0
    """Of the fibrosis."""
    rotate_ms: float = 1600.0
    """Time after S2 during which the spiral is followed; then come the shocks. In ms."""
    shock: Literal["none", "threshold", "optimise"] = "optimise"
    """none; threshold: weakest rectangular shocks; optimise: also the course and pattern of least energy, by gradient."""
    shock_intervals: int = 20
    """Intervals of the shock, in each of which it is constant."""
    shock_interval_ms: float = 5.0
    """Their length, in ms; a rectangular shock lasts 2, 4, 10 and all of 20."""
    patches: int = 4
    """Patches along a side with currents of their own in the optimised pattern; 1 leaves it out."""
    optimise_steps: int = 8
    """Steps of gradient for the course, and again for the pattern."""
    watch_ms: float = 600.0
    """After the start of a shock until every cell has to be quiet, in ms."""
    precision: Literal["float32", "float64"] = "float32"
    """Floating-point precision."""


def run(config: Config, workspace: Workspace) -> Result:
    """Starts a spiral, follows it, and looks for the weakest shocks that end it."""
    _check(config)
    fibrosis = (config.fibrosis_fraction, config.fibrosis_correlation_mm, config.seed)
    sheet = SpiralSheet(config.cell_model, config.side_mm, config.dx_mm, config.dt_ms, config.diffusivity_mm2_per_ms, fibrosis)
    state, s2_ms = workspace.stage("s1", sheet.started)
    followed = workspace.stage("s2", lambda: sheet.crossed(state, config.rotate_ms))
    summary: dict[str, Any] = {"cell_model": config.cell_model, "voxels": sheet.grid.size, "s2_ms": s2_ms}
    summary |= _measures(followed, sheet, config)
    found: dict[str, Threshold] = {}
    notes: list[str] = []
    if config.shock != "none":
        if summary["excited_fraction_at_end"] > 0:
            found, failed = workspace.stage("shocks", lambda: _shocks(config, workspace, sheet, followed.state))
            summary |= _energies(config, found) | {"shocks_tried": failed}
            if not found:
                notes.append(f"No rectangular shock up to {HIGHEST:g} A/F ends the re-entry, or it ends by itself within watch-ms.")
        else:
            notes.append(
                "No re-entry is left after rotate_ms: no shock was looked for. A larger sheet, or less diffusivity, would hold it."
            )
    for note in notes:
        workspace.message(f"note: {note}")
    return Result(summary, _report(config, summary, followed, sheet, found, notes), _dataset(config, followed, sheet, found), notes=notes)


def _measures(followed: Following, sheet: SpiralSheet, config: Config) -> dict[str, Any]:
    """What is read off the spiral: from a quarter of the time on, when the crossed fields are forgotten."""
    late = followed.times > config.rotate_ms / 4
    times, probes, counts = followed.times[late], followed.probes[late], followed.counts[late]
    path = tip_path(followed)
    tail = path[path[:, 0] > config.rotate_ms / 4]
    potential = sheet.potential(followed.state)
    return {
        "period_ms": rotation_period(times, probes),
        "dominant_frequency_hz": dominant_frequency(times, probes),
        "singularities_mean": float(counts.mean()),
        "singularities_max": int(counts.max()),
        "singularities_at_end": int(counts[-1]),
        "broken_up_fraction": float((counts > 2).mean()),
        "tip_path_mm": float(np.hypot(*np.diff(tail[:, 1:], axis=0).T).sum()) if len(tail) > 1 else None,
        "tip_extent_mm": float(np.ptp(tail[:, 1:], axis=0).max()) if len(tail) > 1 else None,
        "excited_fraction_at_end": float((potential > QUIET_MV).sum() / np.isfinite(potential).sum()),
    }


def tip_path(followed: Following) -> np.ndarray:
    """Rows of time (ms), x and y (mm): at each step the tip nearest to the one before, from the first that there is."""
    rows: list[tuple[float, float, float]] = []
    for time, tips, charges in zip(followed.times, followed.tips, followed.charges, strict=True):
        here = tips[charges != 0]
        if len(here):
            nearest = 0 if not rows else int(np.argmin(np.hypot(*(here - rows[-1][1:]).T)))
            rows.append((float(time), float(here[nearest, 0]), float(here[nearest, 1])))
    return np.array(rows).reshape(-1, 3)


def _shocks(config: Config, workspace: Workspace, sheet: SpiralSheet, state: np.ndarray) -> tuple[dict[str, Threshold], int]:
    """Thresholds by name: rectangles of several lengths, the course, the pattern."""
    whole = Defibrillation(sheet, state, config.shock_intervals, config.shock_interval_ms, 1, config.watch_ms)
    found: dict[str, Threshold] = {}
    if not whole.activity(np.zeros((1, *whole.shape)))[1][0]:
        return found, whole.tried  # it ends by itself
    for count in _lengths(config):
        rectangle = np.zeros(whole.shape)
        rectangle[:, :count] = 1.0
        threshold = whole.threshold(rectangle, LOWEST, HIGHEST, 3)
        if threshold is not None:
            found[f"rectangle_{count * config.shock_interval_ms:g}"] = threshold
    if config.shock == "threshold" or not found:
        return found, whole.tried
    with workspace.progress(2 * config.optimise_steps, "shapes", "steps") as bar:
        best = min(found.values(), key=lambda one: one.energy)
        found["course"], _ = whole.improved(best, config.optimise_steps, lambda _: bar.advance(1))
        tried = whole.tried
        if config.patches > 1:
            local = Defibrillation(sheet, state, config.shock_intervals, config.shock_interval_ms, config.patches, config.watch_ms)
            spread = np.broadcast_to(found["course"].amplitudes, local.shape).copy()
            start = Threshold(spread, local.energy(spread), found["course"].below)
            found["pattern"], _ = local.improved(start, config.optimise_steps, lambda _: bar.advance(1))
            tried += local.tried
    return found, tried


def _lengths(config: Config) -> list[int]:
    """Intervals of the rectangular shocks: a tenth, a fifth, a half and all of the window."""
    return sorted({max(1, round(config.shock_intervals * share)) for share in (0.1, 0.2, 0.5, 1.0)})


def _energies(config: Config, found: dict[str, Threshold]) -> dict[str, Any]:
    """Energies in (A/F)^2 ms, mean over the sheet, and what they are of the shortest rectangle's."""
    summary: dict[str, Any] = {}
    rectangles = {name: one for name, one in found.items() if name.startswith("rectangle")}
    for name, one in found.items():
        key = f"{name}_ms" if name in rectangles else name
        summary[f"energy_{key}_a2_ms_per_f2"] = one.energy
        if name in rectangles:
            summary[f"amplitude_{key}_a_per_f"] = float(one.amplitudes.max())
    if rectangles:
        least = min(one.energy for one in rectangles.values())
        summary["energy_best_rectangle_a2_ms_per_f2"] = least
        summary["threshold_uncertainty_percent"] = 100 * max(1 - one.below for one in rectangles.values())
        for name in ("course", "pattern"):
            if name in found:
                summary[f"energy_{name}_of_best_rectangle_percent"] = 100 * found[name].energy / least
    return summary


def _check(config: Config) -> None:
    if config.cell_model not in CENTRES:
        raise InputError(f"cell-model {config.cell_model!r}", "a cheap cell model", near_misses(config.cell_model, CENTRES))
    check_options(config, RANGES)
    voxels = round(config.side_mm / config.dx_mm)
    if not 8 <= voxels <= 1000:
        raise InputError(f"{voxels} voxels along a side", "8 to 1000", "change side-mm or dx-mm")
    if config.shock_intervals * config.shock_interval_ms >= config.watch_ms:
        raise InputError(
            f"{config.shock_intervals} intervals of {config.shock_interval_ms:g} ms", "a shock that ends before watch-ms", "use fewer"
        )
    check_number("--patches", config.patches, 1, voxels)


def _report(
    config: Config, summary: dict[str, Any], followed: Following, sheet: SpiralSheet, found: dict[str, Threshold], notes: list[str]
) -> Report:
    report = Report("Spiral wave", f"{config.cell_model}, {config.side_mm:g} mm, voxels of {config.dx_mm:g} mm")
    for note in notes:
        report.warn(note)
    figure = new_figure(3.4)
    left, middle, right = figure.subplots(1, 3)
    field = sheet.potential(followed.state)
    extent = (0, config.side_mm, 0, config.side_mm)
    image = left.imshow(field.T, origin="lower", extent=extent, cmap="viridis")
    figure.colorbar(image, ax=left, label="mV", shrink=0.7)
    path = tip_path(followed)
    left.plot(path[:, 1], path[:, 2], color="white", linewidth=0.8)
    left.set_xlabel("x (mm)")
    left.set_ylabel("y (mm)")
    middle.plot(followed.times, followed.probes[:, 0], color=BLUE, linewidth=1.0)
    middle.set_xlabel("time after S2 (ms)")
    middle.set_ylabel("potential (mV)")
    quiet(middle)
    edges = np.arange(config.shock_intervals + 1) * config.shock_interval_ms
    for name, colour in (("course", VERMILION), ("pattern", GREEN)):
        for row in found[name].amplitudes if name in found else ():
            right.stairs(row, edges, color=colour, linewidth=1.0, alpha=1.0 if name == "course" else 0.5)
    rectangles = [one for name, one in found.items() if name.startswith("rectangle")]
    if rectangles:
        right.stairs(min(rectangles, key=lambda one: one.energy).amplitudes[0], edges, color=SOFT, linewidth=1.0)
    right.set_xlabel("time of the shock (ms)")
    right.set_ylabel("current (A/F)")
    quiet(right)
    if not found:
        right.remove()  # no shock was looked for
    caption = (
        "Left: potential before the shock, and the way of the tip. Middle: one probe. Right: rectangular shock of least energy (grey), "
    )
    report.figure(figure, caption + "optimised course (red), currents of the patches (green).", "spiral", alt="Spiral wave and shocks")
    report.table(["Quantity", "Value"], [[name, "none" if value is None else str(value)] for name, value in summary.items()])
    return report


def _dataset(config: Config, followed: Following, sheet: SpiralSheet, found: dict[str, Threshold]) -> xr.Dataset:
    potential = sheet.potential(followed.state)
    path = tip_path(followed)
    edges = np.arange(config.shock_intervals) * config.shock_interval_ms
    variables: dict[str, Any] = {
        "potential": (("x", "y"), potential, {"units": "mV"}),
        "probe_potential": (("time", "probe"), np.asarray(followed.probes, float), {"units": "mV"}),
        "singularities": ("time", followed.counts, {"units": "1"}),
        "tip": (("tip_time", "axis"), path[:, 1:], {"units": "mm"}),
    }
    for name, one in found.items():
        variables[f"current_{name}".replace(".", "_")] = ((f"patch_{len(one.amplitudes)}", "interval"), one.amplitudes, {"units": "A/F"})
    coordinates = {name: (name, sheet.x, {"units": "mm"}) for name in ("x", "y")}
    coordinates |= {
        "time": ("time", np.asarray(followed.times, float), {"units": "ms"}),
        "tip_time": ("tip_time", path[:, 0], {"units": "ms"}),
        "interval": ("interval", edges, {"units": "ms", "long_name": "start of the interval"}),
    }
    return xr.Dataset(variables, coords=coordinates)


if __name__ == "__main__":
    run_script(__spec__)
