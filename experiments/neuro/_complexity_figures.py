"""Pictures of answers to a pulse and of how complex they are."""

from typing import Any

import numpy as np
import xarray as xr

from twinsim.figure_style import BLUE, INK, SOFT, VERMILION, new_figure, quiet
from twinsim.report import Report


def show(
    report: Report, dataset: xr.Dataset, shown: dict[int, Any], doses: np.ndarray, pulsed: np.ndarray, save_ms: float, cutoff: float
) -> None:
    """What is significant at some strengths of the first brain, and index, echo and off-period by strength."""
    order = np.argsort(doses, kind="stable")
    known = np.isfinite(dataset["index"].values).any(axis=0)
    middle = np.where(known, np.nanmedian(np.where(known, dataset["index"].values, 0.0), axis=0), np.nan)
    chosen = [int(order[k]) for k in np.unique(np.linspace(0, len(order) - 1, 4).astype(int))]
    figure = new_figure(4.8)
    axes = figure.subplots(2, len(chosen), squeeze=False)
    for column, dose in enumerate(chosen):
        found = shown[dose]
        times = save_ms * (1 + np.arange(found.response.shape[1]))
        axes[0, column].plot(times, found.response.T, color=SOFT, linewidth=0.4)
        axes[0, column].plot(times, found.response[pulsed].T, color=VERMILION, linewidth=0.6)
        axes[0, column].set_yscale("symlog", linthresh=10)
        axes[0, column].set_title(f"adaptation {doses[dose]:g}, index {found.index:.2f}", fontsize=9, color=INK)
        axes[1, column].imshow(
            found.significant, aspect="auto", cmap="Greys", extent=(0, times[-1], 0, len(found.significant)), origin="lower",
            interpolation="nearest",
        )  # fmt: skip
        axes[1, column].set_xlabel("after the pulse (ms)")
        quiet(axes[0, column])
    axes[0, 0].set_ylabel("answer (baseline SD)")
    axes[1, 0].set_ylabel("sources, sorted")
    report.figure(
        figure, "Mean answers of all regions (red: pulsed), and what of them is significant.", "answers", alt="Answers to a pulse"
    )
    figure = new_figure(3.2)
    first, second = figure.subplots(1, 2)
    for brain in range(dataset.sizes["brain"]):
        first.plot(doses[order], dataset["index"].values[brain, order], color=SOFT, linewidth=0.7)
    first.plot(doses[order], middle[order], "o-", color=BLUE, markersize=4)
    first.axhline(cutoff, color=VERMILION, linewidth=0.8, linestyle="--")
    first.set_xlabel("adaptation")
    first.set_ylabel("perturbational complexity index")
    first.set_ylim(bottom=0)
    for name, colour, label in (("echo", BLUE, "last significant"), ("off_period", VERMILION, "pulsed regions silenced")):
        second.plot(doses[order], np.median(dataset[name], axis=0)[order], "o-", color=colour, markersize=4, label=label)
    second.set_xlabel("adaptation")
    second.set_ylabel("time (ms)")
    second.legend(frameon=False, fontsize=8)
    quiet(first)
    quiet(second)
    report.figure(figure, "Index by strength (grey: each brain; dashed: 0.31), and how long answers last.", "doses", alt="Dose curves")
    rows = []
    for k in order:
        values = dataset["index"].values[:, k]
        values = values[np.isfinite(values)]
        told = [f"{f(values):.3f}" if values.size else "" for f in (np.median, np.min, np.max)]
        rows.append([f"{doses[k]:g}", *told, f"{values.size}",
                     f"{np.median(dataset['entropy'].values[:, k]):.2f}", f"{np.median(dataset['sources'].values[:, k]):.0f}",
                     f"{np.median(dataset['echo'].values[:, k]):.0f}", f"{np.median(dataset['off_period'].values[:, k]):.0f}"])  # fmt: skip
    report.table(["Adaptation", "Index", "Lowest", "Highest", "Brains", "Entropy (bits)", "Sources", "Echo (ms)", "Silenced (ms)"], rows)
