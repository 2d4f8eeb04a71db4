"""Pictures of the drug experiment."""

from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.oncology._tumour_scales import scales
from twinsim.figure_style import BLUE, SOFT, VERMILION, new_figure, quiet
from twinsim.report import Report

if TYPE_CHECKING:
    from experiments.oncology.drug_exchange import Config

LAWS = {
    "network": "network",
    "krogh_per_capillary": "Krogh cylinder per capillary",
    "krogh_mean_spacing": "Krogh cylinder, mean spacing",
    "series_resistance": "well mixed, tissue in series",
    "well_mixed": "well mixed",
}
MEASURES = ("free", "taken_up", "free_exposure", "taken_up_exposure")
COLUMNS = ["Law", "free", "taken up", "exposure, free", "exposure, taken up"]


def report_of(
    config: "Config", summary: dict[str, Any], shown: dict[str, Any], judged: dict[str, Any], tumours: dict[str, Any], notes: list[str]
) -> Report:
    """All of it."""
    report = Report("A drug from capillaries to voxels", f"{config.windows} windows learned from, {config.seeds} networks")
    for note in notes:
        report.warn(note)
    for drug, tumour in tumours.items():
        _maps(report, config, drug, tumour)
    _courses(report, shown, judged)
    places = [f"{schedule}_{drug}" for schedule in shown for drug in tumours] + [f"tumour_{drug}" for drug in tumours]
    for place in places:
        keys = {law: [f"{place}_{law}_{measure}_error_percent" for measure in MEASURES] for law in LAWS}
        rows = [[label, *(_words(summary[key]) for key in keys[law])] for law, label in LAWS.items()]
        report.table(COLUMNS, rows, f"Mean error in percent of the truth's mean over time: {place.replace('_', ', ')}")
    report.table(["Quantity", "Value"], [[name, _words(value)] for name, value in summary.items()])
    return report


def _maps(report: Report, config: "Config", drug: str, tumour: dict[str, Any]) -> None:
    mean, said = (values[:, -1, 1] for values in (tumour["truth"], tumour["by"]["network_0"]))
    figure = scales(tumour["field"][1], mean, said, config.tumour_mm, config.voxel_mm, "umol/L")
    report.figure(
        figure,
        f"{drug.capitalize()} taken up at the end of the horizon in a tumour with {tumour['capillaries']} capillaries across the section.",
        f"tumour_{drug}",
        alt=f"{drug} in a tumour at two scales",
    )


def _courses(report: Report, shown: dict[str, Any], judged: dict[str, Any]) -> None:
    """The window with the fewest capillaries of each drug, in each schedule: where laws differ."""
    figure = new_figure(5.0)
    panels = figure.subplots(2, len(shown), squeeze=False)
    for column, (name, (times, truth, found)) in enumerate(shown.items()):
        density = np.asarray(judged[name].known.density)
        for row in range(2):
            ours = np.flatnonzero(judged[name].drug == row)
            one = ours[np.argmin(density[ours])]
            axes = panels[row, column]
            axes.plot(times, truth[one, :, 1], color="black", linewidth=1.4, label="resolved")
            axes.plot(times, found["network_0"][one, :, 1], "--", color=VERMILION, linewidth=1.4, label="network")
            axes.plot(times, found["krogh_per_capillary"][one, :, 1], color=BLUE, linewidth=1.0, label="cylinder per capillary")
            axes.plot(times, found["well_mixed"][one, :, 1], color=SOFT, linewidth=1.0, label="well mixed")
            axes.set_title(f"{name}, {density[one]:.0f}/mm$^2$", fontsize=8)
            quiet(axes)
            if row == 1:
                axes.set_xlabel("time / horizon")
    panels[0, 0].set_ylabel("doxorubicin, umol/L")
    panels[1, 0].set_ylabel("antibody, umol/L")
    panels[0, 0].legend(frameon=False, fontsize=6)
    report.figure(figure, "Taken up in the unseen window with the fewest capillaries.", "courses", alt="Courses by laws and resolved")


def _words(value: Any) -> str:
    return "none" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
