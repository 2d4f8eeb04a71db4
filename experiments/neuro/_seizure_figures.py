"""Pictures and tables of forecasts of seizures."""

from typing import Any

import numpy as np

from experiments.neuro._seizure_patients import People
from twinsim.figure_style import BLUE, GREEN, INK, ORANGE, SOFT, VERMILION, new_figure, quiet
from twinsim.report import Report

COLOURS = {"poisson": SOFT, "cycles": ORANGE, "twin": BLUE, "oracle": GREEN}


def show(
    report: Report, scores: list[dict[str, Any]], found: list[dict[str, Any]], people: People, curves: dict[str, Any],
    shares: np.ndarray, train_h: float,
) -> None:  # fmt: skip
    """A person's weeks, reliability, sensitivity by time in warning, and scores of all people."""
    one = int(np.argmin([abs(score["events"] - np.median([s["events"] for s in scores])) for score in scores]))
    times = people.records[one].times
    shown = (times > train_h) & (times <= train_h + 24 * 40)
    figure = new_figure(4.6)
    first, second = figure.subplots(2, 1, sharex=True)
    first.plot(times[shown] / 24, people.distance[shown, one], color=INK, linewidth=0.8, label="hidden")
    first.plot(times[shown] / 24, found[one]["distance"][shown], color=BLUE, linewidth=1.0, label="twin")
    first.set_ylim(0.04, 0.12)
    first.set_ylabel("distance from the fold")
    first.legend(frameon=False, fontsize=8, ncols=2, loc="lower right", bbox_to_anchor=(1, 1))
    at = found[one]["at_h"] / 24
    window = at <= (train_h + 24 * 40) / 24
    for name in COLOURS:
        second.step(at[window], found[one]["day_risk"][name][window], color=COLOURS[name], linewidth=1.0, where="post", label=name)
    second.set_ylabel("risk within 24 h")
    second.set_xlabel("day")
    second.legend(frameon=False, fontsize=8, ncols=4, loc="lower right", bbox_to_anchor=(1, 1))
    for axes in (first, second):
        for onset in people.onsets[one] / 24:
            if train_h / 24 < onset < train_h / 24 + 40:
                axes.axvline(onset, color=VERMILION, linewidth=0.7, alpha=0.6, zorder=0)
        quiet(axes)
    report.figure(figure, f"Forty held-out days of person {one}; red: seizures.", "days", alt="Hidden distance, its estimate, and risks")
    figure = new_figure(3.4)
    first, second = figure.subplots(1, 2)
    most = max(float(max(curve[0].max(), curve[1].max())) for curve in curves.values())
    first.plot([0, most], [0, most], color=SOFT, linewidth=0.8, linestyle="--")
    for name, (said, came, _) in curves.items():
        first.plot(said, came, "o-", color=COLOURS[name], markersize=3, linewidth=1.0, label=name)
    first.set_xlabel("forecast of a seizure within 24 h")
    first.set_ylabel("share that came")
    first.legend(frameon=False, fontsize=8)
    second.plot([0, 1], [0, 1], color=SOFT, linewidth=0.8, linestyle="--")
    for name in COLOURS:
        if name != "poisson":
            mean = np.nanmean([score[name]["curve"] for score in scores], axis=0)
            second.plot(np.r_[0, shares, 1], np.r_[0, mean, 1], "o-", color=COLOURS[name], markersize=3, linewidth=1.0)
    second.set_xlabel("time in warning")
    second.set_ylabel("seizures warned of")
    quiet(first)
    quiet(second)
    report.figure(figure, "Reliability, and sensitivity by time in warning; dashed: perfect, and chance.", "reliability",
                  alt="Reliability curves and sensitivity curves")  # fmt: skip
    rows = []
    for person, score in enumerate(scores):
        for name in COLOURS:
            own, warned = score[name], score[name]["warnings"]
            rows.append([
                f"{person}", name, f"{score['events']}", f"{own['brier']:.3f}", f"{own['crps']:.1f}", f"{own['log_score']:.2f}",
                f"{warned.sensitivity:.2f}", f"{warned.time_in_warning:.2f}", f"{warned.false_per_hour:.3f}", f"{warned.p_value:.2g}",
                f"{own['surrogate']:.2g}", f"{own['same_hour']:.2g}",
            ])  # fmt: skip
    report.table(
        ["Person", "Forecast", "Seizures", "Brier 24 h", "CRPS (h)", "Log score", "Sensitivity", "In warning", "False per h", "p chance",
         "p shifted", "p shifted by days"],
        rows,
    )  # fmt: skip
