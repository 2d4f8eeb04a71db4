"""Waves of activity over a sheet of cortex: how fast fronts and pulses run, beside the closed form, and what their speed depends on."""

import time
from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from physics import ExponentialKernel, NeuralField, front_speed
from twinsim.cli import run_script
from twinsim.errors import InputError
from twinsim.experiment import Result, finite_or_none
from twinsim.figure_style import BLUE, INK, SOFT, VERMILION, new_figure, quiet
from twinsim.option_checks import check_options
from twinsim.report import Report
from twinsim.workspace import Workspace

LINE, SEED = 80.0, 6.0  # in reaches: length of the line, half the width of what is active at first
SAVES = 40


@dataclass(frozen=True)
class Config:
    """Options of the waves."""

    thresholds: tuple[float, ...] = (0.15, 0.2, 0.25, 0.3, 0.35, 0.4)
    """At which cells fire, in units of what they get when all around fire; fronts advance below 1/2."""
    width: float = 0.005
    """Over which the firing rate rises about the threshold; the closed form is of a step."""
    reach_mm: float = 1.0
    """Of connections: they fall by e over it."""
    time_ms: float = 10.0
    """Of a cell's membrane and synapses."""
    recovery: float = 5.0
    """Strength of what brings the sheet back behind a pulse."""
    recovery_rate: float = 0.05
    """Of it, beside that of activity."""
    pulse_threshold: float = 0.2
    """Threshold of the sheet on which a pulse runs."""
    voxels_per_reach: int = 25
    """Of the line; the sheet has a fifth of it."""
    sheet_mm: float = 40.0
    """Edge of the sheet."""
    steps_per_time: int = 50
    """Time steps per time constant on the line; the sheet has a fifth of it."""
    precision: Literal["float64"] = "float64"
    """Floating-point precision."""


def run(config: Config, workspace: Workspace) -> Result:
    """Speeds of fronts by threshold with their exact slope, and a ring that runs over a sheet."""
    check_options(
        config,
        {
            "thresholds": (0.01, 0.49), "width": (1e-4, 0.1), "reach_mm": (1e-3, 100.0), "time_ms": (0.1, 1000.0), "recovery": (0.0, 10.0),
            "recovery_rate": (0.0, 1.0), "pulse_threshold": (0.01, 0.49), "voxels_per_reach": (5, 200), "sheet_mm": (1e-2, 1e4),
            "steps_per_time": (10, 1000),
        },
    )  # fmt: skip
    if not config.thresholds:
        raise InputError("--thresholds without a number", "one at least", "give 0.25")
    if not 10 * config.reach_mm <= config.sheet_mm <= 200 * config.reach_mm:
        raise InputError(f"--sheet-mm {config.sheet_mm:g}", f"10 to 200 reaches of {config.reach_mm:g} mm", "change one of the two")
    began = time.perf_counter()
    speeds, slopes = workspace.stage("fronts", lambda: _fronts(config))
    exact = np.array([front_speed(one, config.reach_mm, config.time_ms) for one in config.thresholds])
    exact_slopes = -config.reach_mm / config.time_ms / (2 * np.asarray(config.thresholds) ** 2)
    workspace.message("fronts done")
    times, sheet = workspace.stage("sheet", lambda: _sheet(config))
    radius = _radius(config, sheet)
    ring_speed = _ring_speed(times, radius, config)
    centre = sheet.shape[-1] // 2
    summary: dict[str, Any] = {
        **{f"front_speed_at_{one:g}_mm_per_ms": float(speed) for one, speed in zip(config.thresholds, speeds, strict=True)},
        "largest_error_of_front_speed": float(np.abs(speeds / exact - 1).max()),
        "largest_error_of_its_slope": float(np.abs(slopes / exact_slopes - 1).max()),
        "ring_speed_mm_per_ms": ring_speed,
        "flat_front_speed_mm_per_ms": front_speed(config.pulse_threshold, config.reach_mm, config.time_ms),
        "centre_recovered": bool(sheet[-1, centre, centre] < config.pulse_threshold),
        "run_seconds": time.perf_counter() - began,
    }
    dataset = xr.Dataset(
        {
            "front_speed": ("threshold", speeds, {"units": "mm/ms"}),
            "front_speed_exact": ("threshold", exact, {"units": "mm/ms"}),
            "front_speed_slope": ("threshold", slopes, {"units": "mm/ms"}),
            "activity": (("time", "row", "column"), sheet, {"units": "1"}),
            "ring_radius": ("time", radius, {"units": "mm"}),
        },
        coords={
            "threshold": ("threshold", np.asarray(config.thresholds), {"units": "1"}),
            "time": ("time", times, {"units": "ms"}),
        },
    )
    report = Report("Waves over a sheet of cortex", f"{len(speeds)} fronts on a line, a ring on {config.sheet_mm:g} mm")
    _show(report, config, speeds, exact, times, sheet, radius)
    notes = [] if ring_speed is not None else ["No ring ran over the sheet: the pulse died, or filled it before it could be timed."]
    return Result(summary, report, dataset, notes=notes)


def _field(config: Config, threshold: jax.Array, recovery: float, spacing: float) -> NeuralField:
    given = (config.width, config.time_ms, recovery, config.recovery_rate)
    kernel = ExponentialKernel(jnp.asarray(1.0), jnp.asarray(config.reach_mm))
    return NeuralField(kernel, threshold, *(jnp.asarray(one) for one in given), spacing_mm=spacing)


def _fronts(config: Config) -> tuple[np.ndarray, np.ndarray]:
    """Speeds, mm/ms, and their derivatives to the threshold by forward mode through the whole run."""
    spacing, size = config.reach_mm / config.voxels_per_reach, round(LINE * config.voxels_per_reach)
    dt = config.time_ms / config.steps_per_time
    x = (jnp.arange(size) - size // 2) * spacing
    begun = jnp.where(jnp.abs(x) < SEED * config.reach_mm, 1.0, 0.0)

    def speed(threshold: jax.Array) -> jax.Array:
        model = _field(config, threshold, 0.0, spacing)
        steps = 3 * config.steps_per_time
        _, kept = model.march(jnp.stack([begun, jnp.zeros_like(begun)]), 2 * steps, dt, every=steps)
        right = kept[:, 0, size // 2 :]
        # the place of the front is where activity crosses the threshold; between voxels linear, so that it has a derivative
        k = jnp.argmax(right < threshold, axis=1)
        before, after = (jnp.take_along_axis(right, (k + move)[:, None], axis=1)[:, 0] for move in (-1, 0))
        place = spacing * (k - 1 + (before - threshold) / (before - after))
        return (place[1] - place[0]) / (3 * config.time_ms)

    both = jax.jit(lambda threshold: jax.jvp(speed, (threshold,), (jnp.ones_like(threshold),)))
    found = [both(jnp.asarray(one)) for one in config.thresholds]
    return np.array([float(one[0]) for one in found]), np.array([float(one[1]) for one in found])


def _sheet(config: Config) -> tuple[np.ndarray, np.ndarray]:
    """Times, ms, and activity ``(times, rows, columns)`` after the middle was made active."""
    spacing = 5 * config.reach_mm / config.voxels_per_reach
    size = round(config.sheet_mm / spacing)
    model = _field(config, jnp.asarray(config.pulse_threshold), config.recovery, spacing)
    dt, every = 5 * config.time_ms / config.steps_per_time, max(1, config.steps_per_time // 10)
    x = (jnp.arange(size) - size // 2) * spacing
    begun = jnp.where(jnp.hypot(x[:, None], x[None]) < 3 * config.reach_mm, 1.0, 0.0)
    state = jnp.stack([begun, jnp.zeros_like(begun)])
    _, kept = jax.jit(lambda state: model.march(state, SAVES * every, dt, every=every))(state)
    return dt * every * (1 + np.arange(SAVES)), np.asarray(kept[:, 0])


def _radius(config: Config, sheet: np.ndarray) -> np.ndarray:
    """Distance of the outermost crossing of the threshold from the middle along a row, mm; NaN where there is none."""
    middle, spacing = sheet.shape[-1] // 2, 5 * config.reach_mm / config.voxels_per_reach
    rows = sheet[:, middle, middle:]
    found = np.full(len(sheet), np.nan)
    for number, row in enumerate(rows):
        above = np.flatnonzero(row > config.pulse_threshold)
        if above.size and above[-1] + 1 < row.size:
            k = above[-1]
            found[number] = spacing * (k + (row[k] - config.pulse_threshold) / (row[k] - row[k + 1]))
    return found


def _ring_speed(times: np.ndarray, radius: np.ndarray, config: Config) -> float | None:
    """From a line through the radii between a fifth and two fifths of the sheet, mm/ms."""
    inside = np.isfinite(radius) & (radius > 0.2 * config.sheet_mm) & (radius < 0.4 * config.sheet_mm)
    return finite_or_none(np.polyfit(times[inside], radius[inside], 1)[0]) if inside.sum() > 2 else None


def _show(
    report: Report, config: Config, speeds: np.ndarray, exact: np.ndarray, times: np.ndarray, sheet: np.ndarray, radius: np.ndarray
) -> None:
    fine = np.linspace(min(config.thresholds), max(config.thresholds), 100)
    figure = new_figure(3.2)
    first, second = figure.subplots(1, 2)
    first.plot(fine, [front_speed(one, config.reach_mm, config.time_ms) for one in fine], color=SOFT, linewidth=1.0, label="closed form")
    first.plot(config.thresholds, speeds, "o", color=BLUE, markersize=5, label="simulated")
    first.legend(frameon=False, fontsize=8)
    first.set_xlabel("threshold")
    first.set_ylabel("speed of the front (mm/ms)")
    second.plot(times, radius, "o-", color=VERMILION, markersize=3, linewidth=0.8)
    second.set_xlabel("time (ms)")
    second.set_ylabel("radius of the ring (mm)")
    quiet(first)
    quiet(second)
    report.figure(
        figure,
        "Fronts beside the closed form, and the ring on the sheet; beyond four fifths of the half width it meets its periodic images.",
        "speeds",
        alt="Speeds and radius",
    )
    running = np.flatnonzero(np.isfinite(radius))
    chosen = np.unique(np.linspace(0, running[-1] if running.size else len(times) - 1, 4).astype(int))
    figure = new_figure(2.6)
    half = config.sheet_mm / 2
    panels = figure.subplots(1, len(chosen), squeeze=False)[0]
    for axes, number in zip(panels, chosen, strict=True):
        axes.imshow(sheet[number], cmap="magma", vmin=-0.2, vmax=1.0, extent=(-half, half, -half, half))
        axes.set_title(f"{times[number]:.0f} ms", fontsize=9, color=INK)
        axes.tick_params(labelsize=7)
        axes.set_xlabel("x (mm)", fontsize=8)
    panels[0].set_ylabel("y (mm)", fontsize=8)
    figure.colorbar(panels[0].images[0], ax=list(panels), label="activity", shrink=0.8)
    report.figure(figure, "The sheet (mm).", "sheet", alt="Activity of a sheet at four times")
    rows = [[f"{one:g}", f"{a:.4f}", f"{b:.4f}"] for one, a, b in zip(config.thresholds, speeds, exact, strict=True)]
    report.table(["Threshold", "Speed (mm/ms)", "Closed form (mm/ms)"], rows)


if __name__ == "__main__":
    run_script(__spec__)
