"""Tumour volumes in five trials: the last reading forecast from the earlier ones by five growth laws, against the last value."""

from dataclasses import dataclass
from typing import Literal

import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from twinsim.cli import run_script
from twinsim.cohort import Cohort, Noise, draw_forecasts, estimate_population
from twinsim.errors import InputError
from twinsim.experiment import Result
from twinsim.option_checks import check_options
from twinsim.report import Report
from twinsim.tumour_laws import LAWS, Law, Readings
from twinsim.tumour_series import TumourSeries, nearest_whole_mm, read_tumour_series
from twinsim.workspace import Workspace

WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0)
OFFSETS = np.linspace(-0.05, 0.1, 16)
NOISE = Noise(0.15, 0.9, 300.0)
PERSISTENCE = "last value"
RANGES = {"readings": (3, 1000), "folds": (2, 1000), "others": (1e-6, 1.0), "draws": (10, 10_000), "every": (1, 10_000)}


@dataclass(frozen=True)
class Config:
    """Options of the forecast."""

    readings: int = 6
    """Fewest readings of a series that is scored; all with three or more inform the populations."""
    folds: int = 10
    """Parts of the series; what is learnt about last readings comes from the other parts."""
    others: float = 0.1
    """How much a series of another arm counts in the population of an arm."""
    draws: int = 30
    """Draws of the posterior per series."""
    every: int = 1
    """Use every so many-th series of the data set only."""
    seed: int = 0
    """Seed of the draws and of the folds."""
    precision: Literal["float32", "float64"] = "float64"
    """Floating-point precision."""


def run(config: Config, workspace: Workspace) -> Result:
    """Fits every law to the earlier readings, forecasts the last, and scores all laws on the same series."""
    check_options(config, RANGES)
    series, dropped = read_tumour_series()
    series = [one for one in series if one.days.size >= 3][:: config.every]
    scored = np.array([one.days.size >= config.readings for one in series])
    if scored.sum() < 2 * config.folds:
        raise InputError(
            got=f"{scored.sum()} series with {config.readings} readings or more",
            expected=f"at least {2 * config.folds}",
            do="lower --readings, --folds or --every",
        )
    truth, last = (np.array([one.logarithms[k] for one in series]) for k in (-1, -2))
    fold = np.random.default_rng(config.seed).integers(0, config.folds, len(series))
    raw = {}
    for name, law in LAWS.items():
        workspace.message(f"{law.name}: {len(series)} series")
        raw[name] = workspace.stage(f"law-{name}", lambda law=law: _forecasts(config, series, law))
    found = {name: _stacked(truth, last, guess, fold, scored) for name, guess in raw.items()}
    still = float(np.median(np.abs(truth - last)[scored]))
    errors = {name: np.abs(truth - one[0]) for name, one in found.items()}
    inside = {name: one[3] for name, one in found.items()}
    chosen = min(LAWS, key=lambda name: inside[name])
    covered = (found[chosen][1] <= truth) & (truth <= found[chosen][2])
    alone = {name: float(np.median(np.abs(truth - guess)[scored])) for name, guess in raw.items()}
    best_alone = min(alone, key=lambda name: alone[name])
    helps = found[chosen][4] > 0
    ours = float(np.median(errors[chosen][scored]))
    summary = {
        "law": LAWS[chosen].name if helps else "none: last value plus an offset",
        "series_n": int(scored.sum()),
        "series_dropped_n": dropped,
        "median_abs_log10_error": ours,
        "median_abs_log10_error_persistence": still,
        "improvement_percent": 100 * (1 - ours / still) if still else None,
        "best_law_alone": LAWS[best_alone].name,
        "median_abs_log10_error_best_law_alone": alone[best_alone],
        "coverage90": float(covered[scored].mean()),
        "mean_abs_log10_error": float(errors[chosen][scored].mean()),
        "mean_abs_log10_error_persistence": float(np.abs(truth - last)[scored].mean()),
    }
    for name in LAWS:
        key = name.replace("-", "_")
        summary[f"median_abs_log10_error_{key}"] = float(np.median(errors[name][scored]))
        summary[f"median_abs_log10_error_{key}_alone"] = alone[name]
        summary[f"weight_{key}"] = found[name][4]
    report = Report("Tumour volumes", f"{scored.sum()} lesions with {config.readings} readings or more; the last from the earlier ones")
    report.figure(
        _bars(summary, still), "Median absolute error of log10 volume: each law alone, and stacked with the last value.", "errors"
    )
    report.figure(_scatter(truth[scored], found[chosen][0][scored], LAWS[chosen].name), "Forecast against measured; mm^3.", "forecasts")
    report.headline(
        [
            ("Median absolute log10 error", ours, "", f"last value {still:.4f}"),
            ("Readings in the 90 % interval", 100 * summary["coverage90"], "%"),
        ]
    )
    rows = []
    arms = np.array([one.arm for one in series])
    for arm in sorted(set(arms)):
        here = scored & (arms == arm)
        if here.any():
            one, other = (float(np.median(e[here])) for e in (errors[chosen], np.abs(truth - last)))
            rows.append([arm.replace("_", " "), int(here.sum()), one, other, float(covered[here].mean())])
    report.table(["Arm", "Series", "Median error", "Median error of the last value", "Coverage"], rows, "Absolute, of log10 volume.")
    report.text(
        "A law's change from the last value is multiplied by a weight, and an offset added, both learnt on the last readings of the other "
        "parts of the series: trials stop measuring a lesion when the patient progresses, so that last readings lie higher than earlier "
        "ones foretell. A weight near zero says that the law's change foretells nothing for single lesions, which are read in whole mm."
    )
    if not helps:
        report.warn(
            f"No law foretells the change of single lesions: all weights learnt are zero; {LAWS[best_alone].name} alone, the best, "
            f"misses by {alone[best_alone]:.3f} where the last value misses by {still:.3f}. What is gained over it is the offset."
        )
    if dropped:
        report.warn(f"{dropped} series were left out: their days are out of order or repeated.")
    return Result(summary, report)


def _forecasts(config: Config, series: list[TumourSeries], law: Law) -> np.ndarray:
    """log10 of the last volume by a law whose population is that of the arm, others counting little; it sees no last reading."""
    cohort, arms = tumour_cohort(series, law), np.array([one.arm for one in series])
    rows, target = np.arange(len(series)), np.array([one.days.size - 1 for one in series])
    train = cohort.until(cohort.times[rows, target - 1])
    wide = train.wide(NOISE)
    first = train.fit([wide] * train.size, np.zeros((train.size, len(law.priors))), 15)
    usable = np.asarray(first.finite, dtype=float)
    of_arm = {
        arm: estimate_population(train, wide, first, usable * np.where(arms == arm, 1.0, config.others), rounds=3)
        for arm in sorted(set(arms))
    }
    draws = draw_forecasts(train, [of_arm[arm] for arm in arms], config.draws, config.seed, 15)
    return np.median(draws.curves[:, rows, target], axis=0)


def tumour_cohort(series: list[TumourSeries], law: Law) -> Cohort:
    """Series as one batch of log10 volumes."""
    length = max(one.days.size for one in series)

    def padded(row: np.ndarray, value: float) -> np.ndarray:
        return np.concatenate([row, np.full(length - row.size, value)])

    times = np.stack([padded(one.days - one.days[0], one.days[-1] - one.days[0]) for one in series])
    values = np.stack([padded(one.logarithms, np.nan) for one in series])
    return Cohort(law.priors, law.predict, Readings(jnp.asarray(times), jnp.asarray(10 ** values[:, 0])), times, values)


def _stacked(
    truth: np.ndarray, last: np.ndarray, guess: np.ndarray, fold: np.ndarray, scored: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, float, float]:
    """Forecast, its 90 % interval, the error inside the parts that were learnt from, and the mean weight of the law."""
    forecast, low, high = (np.empty_like(truth) for _ in range(3))
    inside, weights = [], []
    for part in range(fold.max() + 1):
        known, new = scored & (fold != part), fold == part
        options = {(weight, offset): last + weight * (guess - last) + offset for weight in WEIGHTS for offset in OFFSETS}
        best = min(options, key=lambda option: float(np.median(np.abs(truth - options[option])[known])))
        residual = (truth - options[best])[known]
        forecast[new] = options[best][new]
        low[new], high[new] = (options[best][new] + np.quantile(residual, q) for q in (0.05, 0.95))
        inside.append(float(np.median(np.abs(residual))))
        weights.append(best[0])
    # A reading is a whole number of mm: the ends of an interval are the nearest of those.
    return forecast, nearest_whole_mm(low), nearest_whole_mm(high), float(np.mean(inside)), float(np.mean(weights))


def _bars(summary: dict, still: float) -> Figure:
    figure = Figure(figsize=(8.0, 4.0), layout="constrained", dpi=150)
    axes = figure.subplots()
    names = [name.replace("-", "_") for name in LAWS]
    place = np.arange(len(names))
    for shift, suffix, label in ((-0.2, "_alone", "law alone"), (0.2, "", "stacked with the last value")):
        axes.bar(place + shift, [summary[f"median_abs_log10_error_{name}{suffix}"] for name in names], 0.4, label=label)
    axes.axhline(still, color="black", linestyle="--", label=PERSISTENCE)
    axes.set_xticks(place, [law.name for law in LAWS.values()])
    axes.set_ylabel("median absolute error of log10 volume")
    axes.legend()
    return figure


def _scatter(truth: np.ndarray, guess: np.ndarray, name: str) -> Figure:
    figure = Figure(figsize=(5.5, 5.0), layout="constrained", dpi=150)
    axes = figure.subplots()
    axes.loglog(10**truth, 10**guess, "o", markersize=3, alpha=0.4)
    ends = [50, float(10 ** truth.max())]
    axes.plot(ends, ends, color="0.6")
    axes.set(xlabel="measured volume, mm^3", ylabel="forecast volume, mm^3", title=name)
    return figure


if __name__ == "__main__":
    run_script(__spec__)
