"""Figures of learning/discovery."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from experiments.learning._hidden_systems import HiddenSystem
from twinsim.figure_style import CYCLE, DASHES, INK, legend, new_figure, quiet

SHOWN = ("weak", "solver", "universal", "network")


def extrapolations(
    systems: list[HiddenSystem], everything: dict[str, Any], truths: dict[str, np.ndarray], times: dict[str, np.ndarray],
    methods: dict[str, str],
) -> Figure:  # fmt: skip
    """The first variable from the first start beyond what was seen, and the second variable from the second."""
    figure = new_figure(2.3 * len(systems) + 0.6)
    handles = []
    for row, system in zip(figure.subplots(len(systems), 2, squeeze=False), systems, strict=True):
        for k, axes in enumerate(row):
            truth = truths[system.name][k, :, k]
            (line,) = axes.plot(times[system.name], truth, color=INK, linewidth=2.6, alpha=0.35)
            lines = [
                axes.plot(
                    times[system.name], everything[system.name][0][name].courses[k, :, k], color=CYCLE[number], linestyle=DASHES[number],
                    linewidth=1.4,
                )[0]
                for number, name in enumerate(SHOWN)
            ]  # fmt: skip
            middle, half = 0.5 * (truth.max() + truth.min()), max(0.8 * np.ptp(truth), 0.9 * np.abs(truth).max())
            axes.set_ylim(middle - half, middle + half)
            axes.axvline(system.duration, color="#9aa5af", linewidth=1, linestyle=":")
            axes.set_ylabel(f"{system.name.replace('_', ' ')}:\n{system.variables[k]}", fontsize=9)
            quiet(axes)
            handles = [line, *lines]
        row[0].set_xlabel("time (beyond the dotted line longer than any course seen)")
    legend(figure, handles, ["truth", *(methods[name] for name in SHOWN)])
    return figure


def bars(errors: dict[str, dict[str, list[float]]], methods: dict[str, str]) -> Figure:
    """Error of extrapolation by method: a dot per seed, a bar for their mean."""
    figure = new_figure(3.2)
    axes = figure.subplots()
    handles = []
    for number, name in enumerate(methods):
        places = np.arange(len(errors)) + (number - 2.5) * 0.13
        means = [np.mean(one[name]) for one in errors.values()]
        handles.append(axes.bar(places, means, 0.11, color=CYCLE[number], alpha=0.75))
        for place, one in zip(places, errors.values(), strict=True):
            axes.plot([place] * len(one[name]), one[name], ".", color=INK, markersize=4)
    axes.set_xticks(np.arange(len(errors)), [name.replace("_", " ") for name in errors])
    axes.set_ylabel("error of extrapolation")
    axes.set_ylim(0, 1.02)
    quiet(axes)
    legend(figure, handles, list(methods.values()))
    return figure
