"""Glucose twin of one person: follows a continuous monitor reading by reading and forecasts 30 and 60 minutes ahead."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from twinsim.assimilation.glucose_follow import RUN_IN, STEP, Calibration, calibrated, follow, targets_of
from twinsim.assimilation.glucose_twin import GLUCOSE_PRIORS
from twinsim.autoregression import Autoregression
from twinsim.cli import run_script
from twinsim.data import locate
from twinsim.errors import InputError
from twinsim.experiment import Result
from twinsim.figure_style import BLUE, GREEN, INK, SOFT, VERMILION, legend, new_figure, quiet
from twinsim.glucose_record import GlucoseRecord, glucose_unit_factor, read_glucose
from twinsim.inference import conformal_widening
from twinsim.option_checks import check_number, check_options
from twinsim.report import Report
from twinsim.workspace import Workspace

HORIZONS = {"30min": 6, "60min": 12}
RANGES = {
    "learn_hours": (0.1, 1e5),
    "recalibrate_hours": (0.0, 1e5),
    "members": (10, 100_000),
    "lag": (1, 1000),
    "order": (1, 1000),
    "iterations": (1, 1000),
    "readings": (0, 10_000_000),
}


@dataclass(frozen=True)
class Config:
    """Options of the stream."""

    file: Path | None = None
    """A monitor's export (Dexcom Clarity layout); default is the public record that twinsim knows as `cgm`."""
    method: Literal["extended", "ensemble", "smoother", "particle", "fixed_lag"] = "fixed_lag"
    """How readings are assimilated."""
    learn_hours: float = 48.0
    """First part of the record, on which parameters are calibrated and no forecast is judged, in hours."""
    recalibrate_hours: float = 24.0
    """Calibrate again on all readings so far after so many hours; 0 never does."""
    members: int = 200
    """Members of an ensemble, and draws for a forecast."""
    lag: int = 6
    """Readings in the window of a smoother, and how many places late a reading may come."""
    order: int = 6
    """Values that the autoregressive baseline uses."""
    iterations: int = 25
    """Most steps of a calibration."""
    readings: int = 0
    """Use only so many readings from the start; 0 uses all."""
    seed: int = 0
    """Of the draws."""
    precision: Literal["float32", "float64"] = "float64"
    """Floating-point precision."""


def run(config: Config, workspace: Workspace) -> Result:
    """Calibrates on the past, follows the record, and compares with persistence and autoregression on the same readings."""
    check_options(config, RANGES)
    check_number("--learn-hours", config.learn_hours, 4 * config.order * STEP / 60)  # for the regression's order
    record = _record(config)
    learn = round(config.learn_hours * 60 / STEP)
    if len(record.minutes) < learn + 2 * max(HORIZONS.values()):
        raise InputError(
            got=f"{len(record.minutes)} readings",
            expected=f"more than {learn + 2 * max(HORIZONS.values())}, two hours beyond --learn-hours {config.learn_hours:g}",
            do="give a longer record or learn for less long",
        )
    followed = _followed(config, record, learn, workspace)
    judged = _judged(config, record, learn, followed)
    summary = _summary(followed, judged)
    return Result(summary, _report(config, record, followed, judged, summary), _dataset(record, followed))


def _record(config: Config) -> GlucoseRecord:
    path = config.file or next(iter(sorted(locate("cgm").glob("*.csv"))))
    record = read_glucose(path)
    kept = slice(config.readings or None)
    values = record.values[kept] * glucose_unit_factor(record.unit, str(path))
    return GlucoseRecord(record.minutes[kept], values, "mg/dL", record.first)


def _followed(config: Config, record: GlucoseRecord, learn: int, workspace: Workspace) -> dict[str, Any]:
    """Segment by segment: calibrate on the past, then assimilate; a finished segment survives an interruption."""
    every = round(config.recalibrate_hours * 60 / STEP) or len(record.minutes)
    starts = [0, *range(learn, len(record.minutes), every)]
    parts: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as scratch, workspace.progress(len(starts), "following the record", "segments") as bar:
        for number, first in enumerate(starts):
            last = starts[number + 1] if number + 1 < len(starts) else len(record.minutes)

            def segment(first: int = first, last: int = last, number: int = number) -> dict[str, Any]:
                before: dict[str, Any] = parts[-1] if parts else {"z": None, "belief": None}
                # The first segment is fitted, not judged; the second begins where its calibration ended.
                z = before["z"]
                if number == 1:
                    found = Calibration(z, 0.0, 0, "the same past")
                else:
                    past = slice(0, first or learn)
                    found = calibrated(record.minutes[past], record.values[past], len(record.minutes), z, config.iterations)
                folder = Path(scratch) / f"twin-{number}"
                part = slice(first, last)
                return follow(
                    found, folder, record.minutes[part], record.values[part], before["belief"], config.method, config.members,
                    config.lag, config.seed,
                )  # fmt: skip

            parts.append(workspace.stage(f"segment-{number}", segment))
            bar.advance(1)
    names = ("mean", "deviation", "low", "high", "predicted", "outlier", "seconds")
    outcomes: dict[str, int] = {}
    for part in parts:
        for name, count in part["outcomes"].items():
            outcomes[name] = outcomes.get(name, 0) + count
    joined = {name: np.concatenate([part[name] for part in parts]) for name in names}
    return joined | {"outcomes": outcomes, "z": [part["z"] for part in parts], "starts": starts}


def _judged(config: Config, record: GlucoseRecord, learn: int, followed: dict[str, Any]) -> dict[str, dict[str, np.ndarray]]:
    """Per horizon, on the readings at which the twin, persistence and autoregression all have a forecast and a target came."""
    place = np.round(record.minutes / STEP).astype(int)
    even = np.full(place.max() + 1, np.nan)
    even[place] = record.values
    baseline, judged = Autoregression(config.order), {}
    for name, steps in HORIZONS.items():
        found, _ = baseline.forecasts(even, steps, int(place[learn]))
        target = targets_of(record.minutes, record.values, steps)
        twin, regression = followed["mean"][:, steps - 1], found[place]
        used = np.isfinite(target) & np.isfinite(regression) & np.isfinite(twin) & np.isfinite(record.values)
        used &= np.arange(len(target)) >= learn
        index = np.flatnonzero(used)
        low, high = followed["low"][:, steps - 1], followed["high"][:, steps - 1]
        widening = _widening(low, high, target, steps, followed["starts"])
        judged[name] = {
            "index": index,
            "target": target[index],
            "twin": twin[index],
            "low_model": low[index],
            "high_model": high[index],
            "low": (low - widening)[index],
            "high": (high + widening)[index],
            "persistence": record.values[index],
            "autoregressive": regression[index],
        }
    return judged


def _widening(low: np.ndarray, high: np.ndarray, target: np.ndarray, steps: int, starts: list[int]) -> np.ndarray:
    """Split-conformal: by how much each interval is widened, from the forecasts whose reading had come when its segment began."""
    widening = np.zeros(len(low))
    known = np.isfinite(low) & np.isfinite(high) & np.isfinite(target)
    for first, last in zip(starts[1:], [*starts[2:], len(low)], strict=True):
        past = np.flatnonzero(known[: max(first - steps, 0)])[RUN_IN:]
        if len(past) >= 20:
            widening[first:last] = conformal_widening(low[past], high[past], target[past], 0.9)
    return widening


def _summary(followed: dict[str, Any], judged: dict[str, dict[str, np.ndarray]]) -> dict[str, Any]:
    summary: dict[str, Any] = {}
    for name, one in judged.items():
        for key, column in (("", "twin"), ("_persistence", "persistence"), ("_autoregressive", "autoregressive")):
            error = one[column] - one["target"]
            summary[f"rmse_{name}{key}_mg_dl"] = float(np.sqrt(np.mean(error**2))) if len(error) else None
    for name, one in judged.items():
        inside = (one["low"] <= one["target"]) & (one["target"] <= one["high"])
        model = (one["low_model"] <= one["target"]) & (one["target"] <= one["high_model"])
        summary[f"coverage90_{name}"] = float(inside.mean()) if len(inside) else None
        summary[f"coverage90_{name}_uncorrected"] = float(model.mean()) if len(inside) else None
        summary[f"interval90_{name}_median_width_mg_dl"] = float(np.median(one["high"] - one["low"])) if len(inside) else None
        summary[f"forecasts_{name}_n"] = len(inside)
    refused = sum(count for name, count in followed["outcomes"].items() if name.startswith("refused"))
    return summary | {
        "update_seconds_p50": float(np.quantile(followed["seconds"], 0.5)),
        "update_seconds_p99": float(np.quantile(followed["seconds"], 0.99)),
        "readings_n": len(followed["seconds"]),
        "refused_n": refused,
        "outliers_n": int(np.sum(followed["outlier"])),
        "gaps_n": followed["outcomes"].get("accepted after a gap", 0),
    }


def _report(config: Config, record: GlucoseRecord, followed: dict[str, Any], judged: dict[str, Any], summary: dict[str, Any]) -> Report:
    days = record.minutes[-1] / 1440
    report = Report("Glucose stream", f"{len(record.minutes)} readings over {days:.1f} days, followed one by one ({config.method})")
    report.figure(
        _curves(record, judged),
        "What the monitor read, and what the twin had forecast for that time 30 and 60 minutes before, with its 90 % interval; last day.",
        "forecasts",
        alt="Two curves of glucose over a day with forecasts and intervals",
    )
    names = {"twin": ("", "twin"), "persistence": ("_persistence", "persistence"), "autoregressive": ("_autoregressive", "autoregression")}
    for horizon in HORIZONS:
        errors = {label: summary[f"rmse_{horizon}{key}_mg_dl"] for key, label in names.values()}
        best = min((error, label) for label, error in errors.items() if error is not None)
        report.headline([(f"error {horizon[:2]} min ahead", errors["twin"], "mg/dL", f"best: {best[1]}, {best[0]:.1f}")])
        if best[1] != "twin":
            report.warn(f"{horizon[:2]} minutes ahead the {best[1]} baseline is better than the twin: it reads the same values and has no "
                        "physiology to be wrong about. The twin knows no meal before the monitor shows it.")  # fmt: skip
    report.headline([("slowest update of 100", 1000 * summary["update_seconds_p99"], "ms"), ("outliers", summary["outliers_n"], "")])
    rows = [
        [f"{horizon[:2]} min", *(summary[f"rmse_{horizon}{key}_mg_dl"] for key, _ in names.values()), summary[f"coverage90_{horizon}"],
         summary[f"forecasts_{horizon}_n"]]
        for horizon in HORIZONS
    ]  # fmt: skip
    columns = ["Ahead", "Twin (mg/dL)", "Persistence (mg/dL)", "Autoregression (mg/dL)", "90 % interval holds the reading", "Forecasts"]
    report.table(
        columns,
        rows,
        "Root mean square errors, on the same readings for all three; each was fitted on what was past. "
        "Intervals are widened each day by split-conformal correction on what was past.",
    )
    report.figure(_errors(judged), "Distribution of the errors of the three.", "errors", alt="Histograms of forecast errors")
    report.table(["Outcome", "Readings"], sorted(followed["outcomes"].items()), "What became of the readings, from the journal.")
    values = [
        [f"{float(prior.value(jnp.asarray(z[i]))):.4g}" for z in (followed["z"][0], followed["z"][-1])]
        for i, prior in enumerate(GLUCOSE_PRIORS)
    ]
    table = [[prior.name.replace("_", " "), prior.unit, *value] for prior, value in zip(GLUCOSE_PRIORS, values, strict=True)]
    report.table(["Parameter", "Unit", "First calibration", "Last"], table, "Calibrated on the past by gradient.")
    return report


def _curves(record: GlucoseRecord, judged: dict[str, Any]) -> Figure:
    figure = new_figure(5.6)
    handles = labels = None
    for axes, (name, steps) in zip(figure.subplots(2, 1, sharex=True), HORIZONS.items(), strict=True):
        one = judged[name]
        when = record.minutes[one["index"]] + steps * STEP
        shown = when > record.minutes[-1] - 1440
        hours = when[shown] / 60
        band = axes.fill_between(hours, one["low"][shown], one["high"][shown], color=BLUE, alpha=0.2, linewidth=0)
        (line,) = axes.plot(hours, one["twin"][shown], color=BLUE, linewidth=1.6)
        (dots,) = axes.plot(hours, one["target"][shown], ".", color=VERMILION, markersize=3.5)
        (other,) = axes.plot(hours, one["autoregressive"][shown], color=SOFT, linewidth=1, linestyle=(0, (4, 2)))
        quiet(axes)
        axes.set_ylabel("glucose (mg/dL)")
        axes.set_title(f"{name[:2]} minutes ahead", loc="left", fontsize=10, color=INK)
        handles, labels = [dots, line, band, other], ["monitor", "twin", "90 % interval", "autoregression"]
    figure.axes[-1].set_xlabel("time since the first reading (h)")
    legend(figure, handles or [], labels or [])
    return figure


def _errors(judged: dict[str, Any]) -> Figure:
    figure = new_figure(3.2)
    handles = []
    for axes, (name, one) in zip(figure.subplots(1, 2), judged.items(), strict=True):
        handles = []
        for column, colour in (("twin", BLUE), ("autoregressive", SOFT), ("persistence", GREEN)):
            bins = np.linspace(-80, 80, 41)
            handles.append(axes.hist(one[column] - one["target"], bins, histtype="step", color=colour, linewidth=1.4)[2][0])
        quiet(axes)
        axes.set_xlabel(f"error {name[:2]} min ahead (mg/dL)")
    legend(figure, handles, ["twin", "autoregression", "persistence"])
    return figure


def _dataset(record: GlucoseRecord, followed: dict[str, Any]) -> xr.Dataset:
    unit = {"units": "mg/dL"}
    dataset = xr.Dataset(
        {
            "glucose": ("time", record.values, unit),
            "forecast_mean": (("time", "ahead"), followed["mean"], unit),
            "forecast_low": (("time", "ahead"), followed["low"], unit),
            "forecast_high": (("time", "ahead"), followed["high"], unit),
            "outlier": ("time", followed["outlier"].astype(np.int8), {"units": "1"}),
            "update_seconds": ("time", followed["seconds"], {"units": "s"}),
        }
    )
    ahead = STEP * np.arange(1, followed["mean"].shape[1] + 1)
    return dataset.assign_coords(time=("time", record.minutes, {"units": "min"}), ahead=("ahead", ahead, {"units": "min"}))


if __name__ == "__main__":
    run_script(__spec__)
