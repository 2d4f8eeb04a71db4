"""Pictures of the microstructure experiment."""

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.colors import ListedColormap

from experiments.cardiac import _microstructures as structures
from experiments.cardiac import _resolved_slab as slab
from twinsim.figure_style import BLUE, CYCLE, INK, SOFT, VERMILION, new_figure, quiet
from twinsim.report import Report

if TYPE_CHECKING:
    from experiments.cardiac.microstructure import Config

MUSCLE = ListedColormap(["#c9d0d7", "#f3d9cf"])
LAWS = ("dilute", "maxwell", "bruggeman", "percolation")


def report_of(
    config: "Config",
    summary: dict[str, Any],
    unseen: structures.Windows,
    found: dict[str, np.ndarray],
    scores: dict[str, dict[str, np.ndarray]],
    sheet: slab.Sheet,
    courses: dict[str, slab.Course],
    notes: list[str],
) -> Report:
    """All of it."""
    report = Report("From cells to tissue", f"{summary['windows_learned']} windows learned from, {config.seeds} networks")
    for note in notes:
        report.warn(note)
    _patterns(report, unseen, found)
    _laws(report, config, unseen, found, scores)
    _activation(report, config, sheet, courses)
    report.table(["Quantity", "Value"], [[name, _words(value)] for name, value in summary.items()])
    return report


def _patterns(report: Report, unseen: structures.Windows, found: dict[str, np.ndarray]) -> None:
    """Six windows with the ellipses of truth and network."""
    able = np.flatnonzero(np.trace(unseen.winding, axis1=1, axis2=2) > 1.5)
    if not able.size:
        return
    chosen = able[np.argsort(unseen.fibrosis[able])][np.linspace(0, able.size - 1, min(6, able.size)).astype(int)]
    figure = new_figure(1.9)
    for axes, number in zip(np.atleast_1d(figure.subplots(1, len(chosen))), chosen, strict=True):
        axes.imshow(unseen.muscle[number].T, origin="lower", cmap=MUSCLE, vmin=0, vmax=1, extent=(0, 0.8, 0, 0.8))
        closed = unseen.conductivities[number][1] == 0
        along, across = np.nonzero(closed & unseen.muscle[number] & np.roll(unseen.muscle[number], -1, 1))
        axes.hlines((across + 1) * 0.025, along * 0.025, (along + 1) * 0.025, color=SOFT, linewidth=0.8)
        size = 0.36 / np.sqrt(np.linalg.eigvalsh(unseen.healthy[number]).max())
        for tensor, colour, style in ((unseen.tensors[number], INK, "-"), (found["network_0"][number], VERMILION, (0, (3, 2)))):
            x, y = _ellipse(tensor) * size + 0.4
            axes.plot(x, y, color=colour, linestyle=style, linewidth=1.4)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_title(f"{100 * unseen.fibrosis[number]:.0f} % fibrosis", fontsize=8)
    report.figure(
        figure,
        "Unseen windows of 0.8 mm: muscle and fibrosis (grey), septa as lines. Ellipses: the root of the effective tensor, how far "
        "a wave goes in each direction, by cell problems (solid) and by the network (dashed).",
        "patterns",
        alt="Windows of tissue with ellipses of their conductivity",
    )


def _ellipse(tensor: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(tensor)
    turn = np.linspace(0, 2 * np.pi, 73)
    return (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T @ np.stack([np.cos(turn), np.sin(turn)])


def _laws(
    report: Report, config: "Config", unseen: structures.Windows, found: dict[str, np.ndarray], scores: dict[str, dict[str, np.ndarray]]
) -> None:
    figure = new_figure(3.0)
    left, right = figure.subplots(1, 2)
    for entry, colour, label in ((0, BLUE, "along"), (1, VERMILION, "across")):
        left.plot(unseen.tensors[:, entry, entry], found["network_0"][:, entry, entry], "o", color=colour, markersize=2.5, label=label)
    left.plot([1e-3, 1], [1e-3, 1], color=SOFT, linewidth=0.8)
    left.set_xscale("log")
    left.set_yscale("log")
    left.set_xlim(1e-3, 1.2)
    left.set_ylim(1e-3, 1.2)
    left.set_xlabel("by cell problems (of the inside of a cell)")
    left.set_ylabel("by the network")
    left.legend(frameon=False)
    quiet(left)
    edges = np.linspace(0, 0.45, 7)
    middles = (edges[1:] + edges[:-1]) / 2
    for name, colour in zip(("network_0", f"iterations_{config.iterations}", *LAWS), (INK, *CYCLE), strict=False):
        error = scores[name]["relative"]
        inside = [error[(unseen.fibrosis >= low) & (unseen.fibrosis < high) & np.isfinite(error)] for low, high in pairwise(edges)]
        means = [100 * np.median(part) if part.size else np.nan for part in inside]
        right.plot(
            middles,
            means,
            "o-",
            color=colour,
            markersize=3,
            linewidth=1.8 if name == "network_0" else 1.0,
            label=name.replace("_0", "").replace("_", " "),
        )
    right.axhline(5, color=SOFT, linewidth=0.8, linestyle=":")
    right.set_yscale("log")
    right.set_xlabel("fibrosis (fraction of voxels)")
    right.set_ylabel("median error of the tensor (%)")
    right.legend(frameon=False, fontsize=7)
    quiet(right)
    report.figure(
        figure,
        "Left: diagonal entries of unseen windows. Right: error over the tensor's own size, of windows that conduct; dotted 5 %.",
        "laws",
        alt="Network against cell problems, and errors of laws against fibrosis",
    )


def _activation(report: Report, config: "Config", sheet: slab.Sheet, courses: dict[str, slab.Course]) -> None:
    factor = round(config.coarse_mm / slab.FINE_MM)
    truth = slab.averaged(courses["resolved"].activated, sheet.joined, factor)
    network = np.where(np.isfinite(courses["network"].activated), courses["network"].activated, np.nan)
    extent = (0, config.length_mm, 0, config.width_mm)
    figure = new_figure(8.6 * config.width_mm / config.length_mm + 0.6)
    upper, lower = figure.subplots(2, 2, sharex=True, sharey=True)
    upper[0].imshow(sheet.muscle.T, origin="lower", cmap=MUSCLE, vmin=0, vmax=1, extent=extent, interpolation="nearest")
    upper[0].set_title("pattern at 25 um", fontsize=9)
    fine = np.where(np.isfinite(courses["resolved"].activated) & sheet.joined, courses["resolved"].activated, np.nan)
    top = float(np.nanmax(fine)) if np.isfinite(fine).any() else 1.0
    for axes, field, title in ((upper[1], fine, "activation, resolved (ms)"), (lower[0], network, "activation, coarse, network (ms)")):
        shown = axes.imshow(field.T, origin="lower", cmap="viridis", vmin=0, vmax=top, extent=extent, interpolation="nearest")
        figure.colorbar(shown, ax=axes, shrink=0.8)
        axes.set_title(title, fontsize=9)
    wrong = network - truth
    most = max(float(np.nanquantile(np.abs(wrong), 0.99)) if np.isfinite(wrong).any() else 1.0, 1e-3)
    shown = lower[1].imshow(wrong.T, origin="lower", cmap="RdBu_r", vmin=-most, vmax=most, extent=extent, interpolation="nearest")
    figure.colorbar(shown, ax=lower[1], shrink=0.8)
    lower[1].set_title("coarse minus resolved (ms)", fontsize=9)
    for axes in (lower[0], lower[1]):
        axes.set_xlabel("mm")
    report.figure(
        figure,
        f"The first sheet: a wave from its lower left corner through {sheet.muscle.size} voxels, and {truth.size} with effective tensors.",
        "activation",
        alt="Pattern, activation resolved and coarse, and their difference",
    )


def _words(value: Any) -> str:
    return "none" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
