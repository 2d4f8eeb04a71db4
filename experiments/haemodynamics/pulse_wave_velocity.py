"""Pulse transit time and pulse wave velocity between two places of an artery, wall stiffness from it, and how far each method is off."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from physics.wave_speed import distensibility_of_speed, modulus_of_speed
from twinsim.cli import run_script
from twinsim.data import locate
from twinsim.errors import InputError
from twinsim.experiment import Result, finite_or_none
from twinsim.figure_style import BLUE, CYCLE, INK, SOFT, VERMILION, new_figure, quiet
from twinsim.option_checks import check_options
from twinsim.report import Report
from twinsim.transit_bias import TubeWaves, method_bias, noise_of, tube_waves
from twinsim.transit_time import METHODS, Beat, Site, bootstrap_means, foot, transit_times
from twinsim.two_site_record import TwoSiteRecord, read_two_sites
from twinsim.workspace import Workspace

RANGES = {
    "path_mm": (20.0, 2000.0),
    "path_error_mm": (0.0, 500.0),
    "longest_ms": (20.0, 500.0),
    "radius_mm": (0.5, 25.0),
    "radius_error_mm": (0.0, 10.0),
    "thickness_mm": (0.05, 5.0),
    "thickness_error_mm": (0.0, 2.0),
    "density": (900.0, 1200.0),
    "draws": (100, 1_000_000),
    "reflection": (0.0, 0.9),
    "tube_cells": (50, 5000),
    "repeats": (1, 1000),
}
ASSUMED_PATH_M = 0.45
"""Of the simulated artery where no path is given; only the shapes of waves depend on it."""
TITLES = {
    "foot_to_foot": "Foot to foot (intersecting tangents)",
    "least_squares": "Rise by least squares",
    "cross_correlation": "Whole beat by correlation",
    "phase_slope": "Slope of phase, 2 to 10 Hz",
}


@dataclass(frozen=True)
class Config:
    """Options of the pulse wave velocity."""

    record: Path | None = None
    """A MATLAB file with `signal` (two columns, the proximal one first) and `f` (samples per second); default is both Doppler records of
    Gaddum 2013, which twinsim knows as `pwdb`."""
    path_mm: float | None = None
    """Length of the artery between the two places, in mm; without it there are transit times and no velocities. The Doppler records come
    without theirs."""
    path_error_mm: float = 10.0
    """Standard deviation of that length, in mm."""
    longest_ms: float = 300.0
    """Longest transit time looked for, in ms."""
    radius_mm: float = 9.0
    """Radius of the lumen, in mm, for Young's modulus; the default is that of an abdominal aorta."""
    radius_error_mm: float = 1.0
    """Standard deviation of the radius, in mm."""
    thickness_mm: float = 1.3
    """Thickness of the wall, in mm."""
    thickness_error_mm: float = 0.2
    """Standard deviation of the thickness, in mm."""
    density: float = 1060.0
    """Of blood, in kg/m^3."""
    draws: int = 4000
    """Resamples of the beats, and draws of what is uncertain."""
    reflection: float = 0.5
    """Reflection coefficient at the end of the second simulated artery; the first one reflects nothing."""
    tube_cells: int = 300
    """Cells of the simulated arteries."""
    repeats: int = 20
    """Records made of each simulated artery, with the noise of the measured one."""
    seed: int = 0
    """Of resamples, draws and noise."""
    precision: Literal["float64"] = "float64"
    """Floating-point precision."""


def run(config: Config, workspace: Workspace) -> Result:
    """Each record: transit times of every beat by four methods, means with intervals, velocities and stiffness, and the methods' bias."""
    check_options(config, RANGES)
    if config.path_mm is not None and config.path_error_mm > 0.5 * config.path_mm:
        raise InputError(f"--path-error-mm {config.path_error_mm:g}", f"at most half of --path-mm {config.path_mm:g}", "measure it better")
    paths = [config.record] if config.record else sorted(locate("pwdb").glob("TestData*_Doppler.mat"))
    records = [read_two_sites(path) for path in paths]
    summary: dict[str, Any] = {}
    datasets: list[xr.Dataset] = []
    notes = _notes(config)
    subtitle = f"{', '.join(record.name for record in records)}; foot to foot, rise, whole beat, phase"
    report = Report("Pulse wave velocity", subtitle)
    for note in notes:
        report.warn(note)
    for record in records:
        beats, times = transit_times(record, config.longest_ms / 1000)
        workspace.message(f"{record.name}: {len(beats)} beats")
        found_feet = int(np.isfinite(times["foot_to_foot"]).sum())
        if 3 * found_feet < len(beats):
            raise InputError(
                f"{record.name}: a foot at the distal place after the proximal one in {found_feet} of {len(beats)} beats",
                "upright waves, the place nearer to the heart in the first column",
                "exchange the columns, or turn the signals over",
            )
        means = {name: bootstrap_means(values, config.draws, config.seed) for name, values in times.items()}
        bias = workspace.stage(f"tube_{record.name}", lambda r=record, b=beats, t=times: _bias(config, r, b, t))
        key = record.name.lower()
        found = {name: _method(config, name, times[name], means[name]) for name in METHODS}
        summary |= {f"{key}_beats": len(beats), f"{key}_rate_hz": record.rate_hz}
        for name, values in found.items():
            summary |= {f"{key}_{name}_{what}": value for what, value in values.items()}
            for case, errors in bias["errors"].items():
                summary[f"{key}_{name}_{case}_bias_percent"] = finite_or_none(100 * errors[name][0])
        _show(report, config, record, beats, times, found, bias)
        datasets.append(_dataset(record, beats, times, means))
    return Result(summary, report, xr.merge(datasets, compat="no_conflicts"), notes=notes)


def _method(config: Config, name: str, times: np.ndarray, means: np.ndarray) -> dict[str, float | int | None]:
    """One method's headline numbers: transit time and, with a path, velocity, distensibility and Young's modulus, 95 % intervals."""
    kept = times[np.isfinite(times)]
    transit = float(kept.mean()) if kept.size >= 3 else np.nan
    numbers: dict[str, float | int | None] = {"beats_found": int(kept.size), "transit_ms": finite_or_none(1000 * transit)}
    numbers["beat_spread_ms"] = finite_or_none(1000 * float(kept.std(ddof=1))) if kept.size >= 3 else None
    numbers |= _interval("transit", "ms", 1000 * means)
    if config.path_mm is None:
        return numbers
    seed = np.random.default_rng([config.seed, list(METHODS).index(name)])
    path, radius, thickness = (
        value * np.exp(error / value * seed.standard_normal(config.draws))
        for value, error in (
            (config.path_mm / 1000, config.path_error_mm / 1000),
            (config.radius_mm / 1000, config.radius_error_mm / 1000),
            (config.thickness_mm / 1000, config.thickness_error_mm / 1000),
        )
    )
    measured = config.path_mm / 1000 / transit
    at = (config.radius_mm / 1000, config.thickness_mm / 1000)
    speed = path / means
    for key, unit, value, drawn in (
        ("velocity", "m_per_s", measured, speed),
        (
            "distensibility",
            "per_mpa",
            1e6 * float(distensibility_of_speed(measured, config.density)),
            1e6 * np.asarray(distensibility_of_speed(speed, config.density)),
        ),
        (
            "youngs_modulus",
            "kpa",
            1e-3 * float(modulus_of_speed(measured, config.density, *at)),
            1e-3 * np.asarray(modulus_of_speed(speed, config.density, radius, thickness)),
        ),
    ):
        numbers[f"{key}_{unit}"] = finite_or_none(value)
        numbers |= _interval(key, unit, drawn)
    if name != "foot_to_foot":
        return numbers
    # log E = const - 2 log T + 2 log L + log R - log h: shares of its variance, to first order.
    parts = {
        "beats": 2 * float(np.std(means)) / transit,
        "path": 2 * config.path_error_mm / config.path_mm,
        "radius": config.radius_error_mm / config.radius_mm,
        "thickness": config.thickness_error_mm / config.thickness_mm,
    }
    whole = sum(part**2 for part in parts.values())
    return numbers | {
        f"modulus_variance_share_{key}": finite_or_none(part**2 / whole) if whole > 0 else None for key, part in parts.items()
    }


def _interval(key: str, unit: str, draws: np.ndarray) -> dict[str, float | None]:
    low, high = np.quantile(draws, [0.025, 0.975])
    return {f"{key}_low_{unit}": finite_or_none(low), f"{key}_high_{unit}": finite_or_none(high)}


def _bias(config: Config, record: TwoSiteRecord, beats: list[Beat], times: dict[str, np.ndarray]) -> dict[str, Any]:
    """Errors of the methods on simulated arteries with a transit time as in the record, and the noise that they were given."""
    seen = times["foot_to_foot"] if np.isfinite(times["foot_to_foot"]).any() else times["least_squares"]
    transit = float(np.nanmean(seen)) if np.isfinite(seen).any() else 0.07
    path = ASSUMED_PATH_M if config.path_mm is None else config.path_mm / 1000
    period = float(np.median([beat.length for beat in beats]))
    noise = noise_of(record, beats)
    errors: dict[str, dict[str, tuple[float, float, float]]] = {}
    for case, reflection in (("endless", 0.0), ("reflecting", config.reflection)):
        waves: TubeWaves = tube_waves(path, path / transit, period, reflection, config.tube_cells)
        longest = max(config.longest_ms / 1000, 2 * transit)
        errors[f"{case}_clean"] = method_bias(waves, 1000.0, 6, (0.0, 0.0), 1, config.seed, longest)
        errors[f"{case}_noisy"] = method_bias(waves, record.rate_hz, len(beats), noise, config.repeats, config.seed, longest)
    return {"errors": errors, "noise": noise, "path": path, "speed": path / transit}


def _notes(config: Config) -> list[str]:
    notes = []
    if config.path_mm is None:
        notes.append("No --path-mm: the records do not say how long the artery between the two places is, so no velocity is given.")
    notes.append(
        "Intervals hold what differs from beat to beat, and errors of path, radius and thickness; not the bias of a method, which the "
        "simulated arteries show and which is not subtracted. Not for care."
    )
    return notes


def _show(
    report: Report,
    config: Config,
    record: TwoSiteRecord,
    beats: list[Beat],
    times: dict[str, np.ndarray],
    found: dict[str, dict[str, float | int | None]],
    bias: dict[str, Any],
) -> None:
    first = found["foot_to_foot"]
    report.headline(
        [
            (f"{record.name}: transit, foot to foot", first["transit_ms"], "ms"),
            ("95 % of its mean", f"{_text(first['transit_low_ms'])} to {_text(first['transit_high_ms'])}", "ms"),
            ("Velocity", first.get("velocity_m_per_s"), "m/s"),
            ("Beats", len(beats), ""),
        ]
    )
    name = record.name.lower()
    report.figure(
        _waves(record, beats, config.longest_ms / 1000),
        f"{record.name}: both places, feet by intersecting tangents (dots).",
        f"waves_{name}",
        alt="Two signals with their feet",
    )
    report.figure(
        _spread(times, found), f"{record.name}: every beat, mean with 95 % interval.", f"transit_{name}", alt="Transit times by method"
    )
    with_path = config.path_mm is not None
    columns = ["Method", "Beats", "Transit (ms)", "95 %", "Beat to beat (ms)"]
    columns += ["Velocity (m/s)", "95 %", "Distensibility (1/MPa)", "Young's modulus (kPa)", "95 %"] if with_path else []
    rows = []
    for method, n in found.items():
        row: list[Any] = [TITLES[method], n["beats_found"], _text(n["transit_ms"]), _pair(n, "transit", "ms"), _text(n["beat_spread_ms"])]
        if with_path:
            row += [_text(n["velocity_m_per_s"]), _pair(n, "velocity", "m_per_s"), _text(n["distensibility_per_mpa"])]
            row += [_text(n["youngs_modulus_kpa"]), _pair(n, "youngs_modulus", "kpa")]
        rows.append(row)
    report.table(columns, rows, f"{record.name}. Distensibility by Bramwell and Hill, modulus by Moens and Korteweg with Bergel's factor.")
    cases = list(bias["errors"])
    rows = [[TITLES[m], *(f"{100 * bias['errors'][c][m][0]:+.1f} ± {100 * bias['errors'][c][m][1]:.1f}" for c in cases)] for m in METHODS]
    report.table(
        ["Error of the transit time (%)", *(case.replace("_", ", ") for case in cases)],
        rows,
        f"Simulated arteries, {bias['path'] * 1000:.0f} mm at {bias['speed']:.1f} m/s: without an end, and with one that gives back "
        f"{config.reflection:g} of the wave; clean at 1 kHz, and as {record.name} was recorded (noise "
        f"{100 * bias['noise'][0]:.1f} and {100 * bias['noise'][1]:.1f} % of the pulse). Mean ± spread of records. The truth is path "
        "over the speed of a small wave before the pulse, blood's velocity included.",
    )


def _waves(record: TwoSiteRecord, beats: list[Beat], longest: float) -> Figure:
    figure = new_figure(4.2)
    axes = figure.subplots()
    for values, colour, label in ((record.proximal, BLUE, "proximal"), (record.distal, VERMILION, "distal")):
        axes.plot(record.times, values, color=colour, linewidth=1.1, label=label)
    sites = Site(record.proximal, record.rate_hz), Site(record.distal, record.rate_hz)
    for beat in beats:
        near = foot(sites[0], beat.upstroke - 0.05, beat.upstroke + 0.05), foot(sites[1], beat.upstroke, beat.upstroke + longest)
        for found in near:
            if np.isfinite(found.time):
                axes.plot([found.time, found.steepest], [found.level, found.value], color=SOFT, linewidth=1.0)
                axes.plot(found.time, found.level, "o", color=INK, markersize=3.5)
    axes.set_xlim(0, min(float(record.times[-1]), beats[0].upstroke + 3.2 * float(np.median([beat.length for beat in beats]))))
    axes.set_xlabel("time (s)")
    axes.set_ylabel("velocity (as recorded)")
    axes.legend(frameon=False, fontsize=8)
    quiet(axes)
    return figure


def _spread(times: dict[str, np.ndarray], found: dict[str, dict[str, float | int | None]]) -> Figure:
    figure = new_figure(2.8)
    axes = figure.subplots()
    for place, name in enumerate(reversed(list(METHODS))):
        values, numbers = times[name] * 1000, found[name]
        axes.plot(values, place + 0.16 * np.linspace(-1, 1, len(values)), "o", color=SOFT, markersize=4)
        if numbers["transit_ms"] is not None:
            ends = np.array([numbers["transit_low_ms"], numbers["transit_high_ms"]], float)
            axes.plot(ends, [place, place], color=CYCLE[0], linewidth=3)
            axes.plot(numbers["transit_ms"], place, "o", color=CYCLE[0], markersize=7)
    axes.set_yticks(range(len(METHODS)), [TITLES[name] for name in reversed(list(METHODS))])
    axes.set_xlabel("transit time (ms)")
    quiet(axes, grid="x")
    return figure


def _dataset(record: TwoSiteRecord, beats: list[Beat], times: dict[str, np.ndarray], means: dict[str, np.ndarray]) -> xr.Dataset:
    key = record.name.lower()
    return xr.Dataset(
        {
            f"{key}_signal": (
                ("site", f"{key}_time"),
                np.stack([record.proximal, record.distal]),
                {"units": "1", "long_name": "velocity in the recorder's unit"},
            ),
            f"{key}_transit": (("method", f"{key}_beat"), np.stack([times[name] for name in METHODS]), {"units": "s"}),
            f"{key}_mean_transit": (("method", "draw"), np.stack([means[name] for name in METHODS]), {"units": "s"}),
        },
        coords={
            "site": ["proximal", "distal"],
            "method": list(METHODS),
            f"{key}_time": (f"{key}_time", record.times, {"units": "s"}),
            f"{key}_beat": (f"{key}_beat", [beat.upstroke for beat in beats], {"units": "s"}),
        },
    )


def _text(value: float | int | None) -> str:
    return "not known" if value is None else f"{value:.4g}"


def _pair(numbers: dict[str, float | int | None], key: str, unit: str) -> str:
    return f"{_text(numbers[f'{key}_low_{unit}'])} to {_text(numbers[f'{key}_high_{unit}'])}"


if __name__ == "__main__":
    run_script(__spec__)
