"""Figures of oncology/cell_interactions."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from experiments.oncology._hidden_tissue import CLASSES
from twinsim.figure_style import CYCLE, DASHES, INK, LINE, SOFT, legend, new_figure, quiet
from twinsim.ranking import precision_recall

SHOWN = {"lv_solver": "Lotka-Volterra", "saturating_solver": "saturating", "network": "network"}


def matrices(one: dict[str, Any]) -> Figure:
    """The hidden matrix beside two inferred ones."""
    tissue, fits = one["tissue"], one["fits"]
    s = np.asarray(tissue.populations.saturation) * tissue.rest[None]
    true = np.asarray(tissue.populations.effect) * tissue.rest[None] / (1 + s)
    shown = {
        "hidden": true,
        "saturating, in the solver": fits["saturating_solver"].strength,
        "network of features": fits["network"].strength,
    }
    figure = new_figure(3.3)
    edges = np.flatnonzero(np.diff(tissue.groups)) + 0.5
    middles = [np.flatnonzero(tissue.groups == k).mean() for k in range(len(CLASSES))]
    image = None
    for axes, (title, matrix) in zip(figure.subplots(1, 3), shown.items(), strict=True):
        image = axes.imshow(matrix, cmap="RdBu_r", vmin=-0.6, vmax=0.6, interpolation="nearest")
        for edge in edges:
            axes.axhline(edge, color=LINE, linewidth=0.6)
            axes.axvline(edge, color=LINE, linewidth=0.6)
        axes.set_title(title, fontsize=10, color=INK)
        axes.set_xticks(middles, [name.split()[0] for name in CLASSES], fontsize=8, color=SOFT)
        axes.set_yticks(
            middles,
            [name.split()[0] for name in CLASSES] if title == "hidden" else [""] * 3,
            fontsize=8,
            color=SOFT,
            rotation=90,
            va="center",
        )
        axes.tick_params(length=0)
        for side in axes.spines.values():
            side.set_color(LINE)
    figure.axes[0].set_ylabel("effect on", color=INK)
    figure.axes[1].set_xlabel("effect of", color=INK)
    if image is not None:
        figure.colorbar(image, ax=figure.axes, label="effect (1/day)", shrink=0.8)
    return figure


def curves(one: dict[str, Any], methods: dict[str, str]) -> Figure:
    """Precision over recall of all methods, and errors of their forecasts over time."""
    tissue, fits = one["tissue"], one["fits"]
    off = ~np.eye(len(tissue.rest), dtype=bool)
    figure = new_figure(3.9)
    left, right = figure.subplots(1, 2)
    handles = []
    days = one["test"].days.mean(axis=0)
    for number, fit in enumerate(fits.values()):
        style = {"color": CYCLE[number], "linestyle": DASHES[number], "linewidth": 1.5}
        recall, precision = precision_recall(fit.score[off], tissue.linked[off])
        (line,) = left.plot(recall[4:], precision[4:], **style)
        right.plot(days, np.sqrt(((fit.forecasts - np.log(one["clean"])) ** 2).mean(axis=(0, 2))), **style)
        handles.append(line)
    (chance,) = left.plot([0, 1], [tissue.linked[off].mean()] * 2, color=SOFT, linewidth=1, linestyle=":")
    left.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02))
    right.set(xlabel="since the first sample (day)", ylabel="rms error of ln density", xlim=(0, None), ylim=(0, 1.6))
    for axes in (left, right):
        quiet(axes)
    legend(figure, [*handles, chance], [*(methods[name] for name in fits), "chance"])
    return figure


def courses(one: dict[str, Any]) -> Figure:
    """Six types of one held-out culture that move most."""
    clean, days, fits = one["clean"], one["test"].days, one["fits"]
    culture = 0
    moved = np.abs(np.diff(np.log(clean[culture]), axis=0)).sum(axis=0)
    chosen = np.argsort(-moved)[:: max(1, len(moved) // 12)][:6]
    figure = new_figure(4.4)
    handles = []
    for axes, k in zip(figure.subplots(2, 3, sharex=True).ravel(), chosen, strict=False):
        (truth,) = axes.plot(days[culture], clean[culture, :, k], color=INK, linewidth=2)
        (counts,) = axes.plot(days[culture], one["test"].densities()[culture, :, k], "o", color=SOFT, markersize=3)
        lines = [
            axes.plot(days[culture], np.exp(fits[name].forecasts[culture, :, k]), color=colour, linestyle=dash, linewidth=1.6)[0]
            for name, colour, dash in zip(SHOWN, (CYCLE[1], CYCLE[0], CYCLE[2]), DASHES[1:], strict=False)
        ]
        top = 1.6 * clean[culture, :, k].max()
        axes.set_ylim(0, top)
        axes.set_title(one["tissue"].names[k], fontsize=9, color=INK)
        quiet(axes)
        handles = [truth, counts, *lines]
    figure.supxlabel("days", fontsize=10, color=INK)
    figure.supylabel("million cells per mL", fontsize=10, color=INK)
    legend(figure, handles, ["hidden", "counted (only the first is given)", *SHOWN.values()])
    return figure
