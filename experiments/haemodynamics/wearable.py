"""Wearable: a heart timed by an ECG pumps through aorta and arm to the finger; arrival time, plethysmogram, cuff, and what moves them."""

from dataclasses import dataclass, replace
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np
import xarray as xr

from experiments.haemodynamics._wearable import (
    NAMES,
    as_arrays,
    beat_figure,
    check,
    intervals_of,
    one_beat,
    published,
    settle,
    signal_figure,
    slopes_of,
)
from physics.heart_and_arm import HeartAndArm
from twinsim.cli import run_script
from twinsim.experiment import Result
from twinsim.option_checks import check_options
from twinsim.report import Report
from twinsim.wearable_signals import FEATURES, PUBLISHED
from twinsim.workspace import Workspace

RANGES = {
    "heart_rate_per_min": (40.0, 140.0), "variability_ms": (0.0, 150.0), "beats": (1, 10_000), "settle": (2, 1000),
    "stiffness": (0.3, 4.0), "resistance": (0.3, 3.0), "compliance": (0.05, 5.0), "contractility": (0.3, 3.0),
    "filling_pressure": (3.0, 30.0), "delay_ms": (-80.0, 150.0), "height_m": (1.0, 2.3), "draws": (0, 10_000), "spread": (0.0, 0.3),
    "cell_mm": (2.0, 60.0), "samples": (41, 2001), "substeps": (1, 1000),
}  # fmt: skip
MOVED = ("stiffness", "period", "resistance", "contractility")
"""What the slopes are to; of the period the sign is turned, for that to heart rate."""
SUFFIX = {"s": "_s", "m/s": "_m_per_s", "mmHg": "_mmhg", "mL": "_ml", "L/min": "_l_per_min", "1": ""}
EXPLAINED = ("pulse_arrival_time", "stiffness_index", "brachial_systolic")


@dataclass(frozen=True)
class Config:
    """Options of the wearable."""

    record: str = ""
    """Record of the data set `wfdb` that times the heart, such as mit_bih_100 (annotated) or ptb_s0010; without one, a drawn rhythm."""
    heart_rate_per_min: float = 75.0
    """Heart rate of the beat that is read off, and of the drawn rhythm."""
    variability_ms: float = 40.0
    """Standard deviation of the drawn intervals, in ms: breathing and chance."""
    beats: int = 20
    """Beats of the rhythm."""
    settle: int = 12
    """Beats of one length before anything is read off."""
    stiffness: float = 1.0
    """Factor on the stiffness of all walls; 1 is a young adult."""
    resistance: float = 1.0
    """Of the whole periphery, in mmHg s/mL."""
    compliance: float = 0.6
    """Of the small vessels together, in mL/mmHg, beyond that of the arteries."""
    contractility: float = 1.0
    """Factor on the left ventricle's active elastance."""
    filling_pressure: float = 12.0
    """Pressure in the pulmonary veins, in mmHg."""
    delay_ms: float = -40.0
    """From the R wave to the start of the ventricle's activation, in ms; it rises slowly at first."""
    height_m: float = 1.75
    """Of the person, in m, for the stiffness index."""
    sensitivity: bool = True
    """Whether exact slopes are computed: about five times a beat's cost."""
    draws: int = 16
    """Persons drawn for the uncertainty; 0 for none."""
    spread: float = 0.1
    """Standard deviation of the logarithm of stiffness, resistance, compliance, contractility and filling pressure among them."""
    cell_mm: float = 10.0
    """Longest cell of the arteries, in mm."""
    samples: int = 161
    """Recorded times per beat."""
    substeps: int = 10
    """Steps between two of them."""
    seed: int = 0
    """Of the rhythm and of the persons."""
    precision: Literal["float64"] = "float64"
    """Floating-point precision; the circuit's equations are solved to 1e-7."""


def run(config: Config, workspace: Workspace) -> Result:
    """The settled beat and what is read off it, the rhythm beat by beat, slopes, and persons drawn round this one."""
    check_options(config, RANGES)
    intervals = intervals_of(config.record, config.beats, config.heart_rate_per_min, config.variability_ms, config.seed)
    model = HeartAndArm(config.cell_mm / 1000, config.samples, config.substeps)
    person = _person(config)
    workspace.message(f"settling {config.settle} beats of {person['period']:.2f} s")
    state, signals, settled_values, change = settle(model, person, config.settle, config.height_m)
    values = dict(zip(NAMES, (float(value) for value in settled_values), strict=True))
    rhythm = []
    with workspace.progress(config.beats, "heart beats", "beats") as bar:
        for interval in intervals:
            given = as_arrays(person | {"period": float(interval)})
            state, _, status, found = one_beat(model, given, state, jnp.asarray(config.height_m))
            check(status)
            rhythm.append(np.asarray(found))
            bar.advance(1)
    followed = np.array(rhythm)
    slopes = None
    if config.sensitivity:
        workspace.message(f"slopes through {config.settle} beats")
        slopes = slopes_of(model, person, MOVED, config.settle, config.height_m)[1] * np.array([1.0, -1.0, 1.0, 1.0])[:, None]
    drawn = workspace.stage("draws", lambda: _drawn(model, config)) if config.draws else None
    summary = _summary(values, change, intervals, followed, slopes, drawn)
    return Result(
        summary, _report(config, signals, values, intervals, followed, slopes, drawn, change), _dataset(signals, intervals, followed)
    )


def _person(config: Config) -> dict[str, float]:
    return {
        "period": 60 / config.heart_rate_per_min, "stiffness": config.stiffness, "resistance": config.resistance,
        "compliance": config.compliance, "contractility": config.contractility, "filling_pressure": config.filling_pressure,
        "delay": config.delay_ms / 1000,
    }  # fmt: skip


def _drawn(model: HeartAndArm, config: Config) -> np.ndarray:
    """Features of persons drawn round the one given, ``(draws, features)``."""
    random, found = np.random.default_rng(config.seed + 1), []
    for _ in range(config.draws):
        factors = np.exp(config.spread * random.normal(size=5))
        keys = ("stiffness", "resistance", "compliance", "contractility", "filling_pressure")
        changed = {key: getattr(config, key) * float(factor) for key, factor in zip(keys, factors, strict=True)}
        found.append(settle(model, _person(replace(config, **changed)), config.settle, config.height_m)[2])
    return np.array(found)


def _key(name: str) -> str:
    return name + SUFFIX[FEATURES[name]]


def _summary(
    values: dict[str, float],
    change: float | None,
    intervals: np.ndarray,
    followed: np.ndarray,
    slopes: np.ndarray | None,
    drawn: np.ndarray | None,
) -> dict[str, Any]:
    summary: dict[str, Any] = {_key(name): value for name, value in values.items()}
    for name, inside in published(values).items():
        summary[f"{name}_in_published_range"] = inside
    arrival, systolic = (followed[:, NAMES.index(name)] for name in ("pulse_arrival_time", "brachial_systolic"))
    summary |= {
        "settled_change_relative": change, "beats_n": len(intervals), "interval_mean_s": float(intervals.mean()),
        "interval_sd_ms": float(1000 * intervals.std()), "rhythm_arrival_mean_ms": float(1000 * arrival.mean()),
        "rhythm_arrival_sd_ms": float(1000 * arrival.std()), "rhythm_systolic_sd_mmhg": float(systolic.std()),
        "arrival_systolic_correlation": _correlation(arrival, systolic),
        "arrival_former_interval_correlation": _correlation(arrival[1:], intervals[:-1]),
    }  # fmt: skip
    for name in EXPLAINED:
        for row, key in enumerate(("stiffness", "heart_rate", "resistance", "contractility")):
            slope = None if slopes is None else float(0.1 * slopes[row, NAMES.index(name)])
            summary[f"{_key(name)}_slope_per_10_percent_{key}"] = slope
        for part, label in ((0.05, "low"), (0.95, "high")):
            summary[f"{_key(name)}_draws_{label}"] = None if drawn is None else float(np.quantile(drawn[:, NAMES.index(name)], part))
    return summary


def _correlation(one: np.ndarray, other: np.ndarray) -> float | None:
    return float(np.corrcoef(one, other)[0, 1]) if len(one) > 2 and np.ptp(one) > 0 and np.ptp(other) > 0 else None


def _report(
    config: Config, signals: Any, values: dict[str, float], intervals: np.ndarray, followed: np.ndarray, slopes: np.ndarray | None,
    drawn: np.ndarray | None, change: float | None,
) -> Report:  # fmt: skip
    report = Report("Wearable", f"Heart, aorta and arm in one model; {len(intervals)} beats of {config.record or 'a drawn rhythm'}")
    report.warn(
        "The plethysmogram is blood stored behind a digital artery: no skin, no light, no contact pressure. No person was measured."
    )
    if change is not None and change > 0.01:
        report.warn(f"The last beat differs from the one before by {100 * change:.1f} % of the pulse; raise --settle.")
    report.headline(
        [
            ("Arrival after the R wave", 1000 * values["pulse_arrival_time"], "ms"),
            ("of it before ejection", 1000 * values["pre_ejection_period"], "ms"),
            ("Cuff, systolic", values["brachial_systolic"], "mmHg"),
            ("Cuff, diastolic", values["brachial_diastolic"], "mmHg"),
        ]
    )
    report.figure(signal_figure(signals, values), "The settled beat.", "signals", alt="Pressures and plethysmogram over a beat")
    arrival, systolic = (followed[:, NAMES.index(name)] for name in ("pulse_arrival_time", "brachial_systolic"))
    report.figure(beat_figure(intervals, arrival, systolic), "The rhythm beat by beat.", "rhythm", alt="Arrival time and pressure by beat")
    rows = [
        [name.replace("_", " "), unit, f"{values[name]:.4g}", *_range(name, values), *_spread(name, drawn)]
        for name, unit in FEATURES.items()
    ]
    report.table(
        ["Feature", "Unit", "Value", "Published", "Within", "Draws, 90 %"], rows, "Ranges: see the documentation for their sources."
    )
    if slopes is not None:
        rows = [
            [name.replace("_", " "), unit, *(f"{0.1 * slopes[row, NAMES.index(name)]:.3g}" for row in range(len(MOVED)))]
            for name, unit in FEATURES.items()
        ]
        report.table(
            ["Feature", "Unit", "Stiffness", "Heart rate", "Resistance", "Contractility"],
            rows,
            "Change per 10 %: exact slopes, all beats included.",
        )
    return report


def _range(name: str, values: dict[str, float]) -> list[str]:
    if name not in PUBLISHED:
        return ["", ""]
    low, high, _ = PUBLISHED[name]
    return [f"{low:g} to {high:g}", "yes" if low <= values[name] <= high else "no"]


def _spread(name: str, drawn: np.ndarray | None) -> list[str]:
    if drawn is None:
        return [""]
    low, high = np.quantile(drawn[:, NAMES.index(name)], [0.05, 0.95])
    return [f"{low:.4g} to {high:.4g}"]


def _dataset(signals: Any, intervals: np.ndarray, followed: np.ndarray) -> xr.Dataset:
    units = {"ejection": "mL/s", "plethysmogram": "mL", "volume": "mL"}
    found: dict[str, Any] = {
        name: ("time", np.asarray(wave), {"units": units.get(name, "mmHg")}) for name, wave in signals._asdict().items() if name != "times"
    }
    found["interval"] = ("beat", intervals, {"units": "s"})
    for column, (name, unit) in enumerate(FEATURES.items()):
        found[f"rhythm_{name}"] = ("beat", followed[:, column], {"units": unit})
    return xr.Dataset(
        found,
        coords={"time": ("time", np.asarray(signals.times), {"units": "s"}), "beat": ("beat", np.arange(len(intervals)), {"units": "1"})},
    )


if __name__ == "__main__":
    run_script(__spec__)
