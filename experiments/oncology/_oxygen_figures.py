"""Pictures of the oxygen experiment."""

from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.oncology._tumour_scales import scales
from twinsim.figure_style import BLUE, SOFT, VERMILION, new_figure, quiet
from twinsim.report import Report

if TYPE_CHECKING:
    from experiments.oncology.oxygen_exchange import Config

LAWS = {
    "network": "network",
    "krogh_per_capillary": "Krogh cylinder per capillary",
    "krogh_mean_spacing": "Krogh cylinder, mean spacing",
    "fitted_transfer": "one fitted transfer",
    "well_mixed": "well mixed",
}
MEASURES = {"share": ("percent", 100.0), "pressure": ("mmHg", 1.0), "enhancement": ("1", 1.0), "hypoxia": ("percent", 100.0)}
"""Unit and factor of each."""
LABELS = ("share of demand (%)", "mean PO$_2$ (mmHg)", "mean enhancement ratio", "below 10 mmHg (%)")


def report_of(
    config: "Config",
    summary: dict[str, Any],
    truth: np.ndarray,
    found: dict[str, np.ndarray],
    tumour: dict[str, Any],
    coarse: dict[str, np.ndarray],
    notes: list[str],
) -> Report:
    """All of it."""
    report = Report("Oxygen from capillaries to voxels", f"{config.windows} windows learned from, {config.seeds} networks")
    for note in notes:
        report.warn(note)
    _maps(report, config, tumour, coarse)
    _scatter(report, truth, found)
    columns = ["Law", "share (%)", "mean PO2 (mmHg)", "mean enhancement ratio", "below 10 mmHg (%)"]
    for where, words in (("unseen", "Mean absolute error on unseen windows"), ("tumour", "Mean absolute error over voxels of the tumour")):
        rows = [
            [label, *(_words(summary[f"{where}_{name}_{m}_error_{u}"]) for m, (u, _) in MEASURES.items())] for name, label in LAWS.items()
        ]
        report.table(columns, rows, words)
    report.table(["Quantity", "Value"], [[name, _words(value)] for name, value in summary.items()])
    return report


def _maps(report: Report, config: "Config", tumour: dict[str, Any], coarse: dict[str, np.ndarray]) -> None:
    figure = scales(tumour["field"], tumour["truth"][1], coarse["network_0"][1], config.tumour_mm, config.voxel_mm, "PO$_2$ (mmHg)")
    report.figure(
        figure,
        f"A tumour with {tumour['capillaries']} capillaries across the section, fewer and poorer towards the middle.",
        "tumour",
        alt="Oxygen in a tumour at two scales",
    )


def _scatter(report: Report, truth: np.ndarray, found: dict[str, np.ndarray]) -> None:
    figure = new_figure(5.4)
    for k, (axes, label, (_, factor)) in enumerate(zip(figure.subplots(2, 2).flat, LABELS, MEASURES.values(), strict=True)):
        for name, colour, words in (("krogh_mean_spacing", BLUE, LAWS["krogh_mean_spacing"]), ("network_0", VERMILION, "network")):
            axes.plot(factor * truth[k], factor * found[name][k], "o", color=colour, markersize=2.5, label=words)
        ends = np.array([factor * truth[k].min(), factor * truth[k].max()])
        axes.plot(ends, ends, color=SOFT, linewidth=0.8)
        axes.set_xlabel(f"resolved: {label}")
        axes.set_ylabel("by the law")
        quiet(axes)
        if k == 0:
            axes.legend(frameon=False, fontsize=7)
    report.figure(figure, "Unseen windows: what laws say of averages against voxels of 10 um.", "laws", alt="Laws against resolved windows")


def _words(value: Any) -> str:
    return "none" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
