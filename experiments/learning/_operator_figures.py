"""Pictures of neural operators."""

import numpy as np
from matplotlib.figure import Figure

from experiments.learning._operator_data import OperatorProblem, Pairs
from twinsim.figure_style import BLUE, INK, SOFT, VERMILION, new_figure, quiet


def fields(problem: OperatorProblem, tests: Pairs, shown: dict[str, np.ndarray]) -> Figure:
    """The first unseen sample: an input, the truth and the answers, with the same colours."""
    truth = tests.after[0, -1]
    panels = [(str(problem.inputs[-1 if problem.rolls else 0]), tests.before[0, -1 if problem.rolls else 0], {})]
    scale = {"vmin": truth.min(), "vmax": truth.max()}
    panels += [("truth", truth, scale), *[(name, answer[-1], scale) for name, answer in shown.items()]]
    panels += [(f"{name} minus truth", answer[-1] - truth, None) for name, answer in shown.items()]
    largest = max(float(np.abs(answer[-1] - truth).max()) for answer in shown.values())
    figure = new_figure(2.1, 2.0 * len(panels))
    for axes, (title, values, style) in zip(np.atleast_1d(figure.subplots(1, len(panels))), panels, strict=True):
        style = {"cmap": "RdBu_r", "vmin": -largest, "vmax": largest} if style is None else {"cmap": "viridis", **style}
        image = axes.imshow(values.T, origin="lower", **style)
        figure.colorbar(image, ax=axes, shrink=0.7)
        axes.set_title(title, fontsize=8, color=INK)
        axes.set(xticks=[], yticks=[])
    return figure


def cost(schemes: list[tuple[str, float, float]], learned: list[tuple[str, float, float]]) -> Figure:
    """Error over time."""
    figure = new_figure(3.4, 6.4)
    axes = figure.subplots()
    for rows, colour, marker in ((schemes, BLUE, "o"), (learned, VERMILION, "*")):
        axes.plot([1e3 * seconds for _, _, seconds in rows], [error for _, error, _ in rows], marker, color=colour, markersize=8)
        for number, (name, error, seconds) in enumerate(rows):
            offset = (6, 4 if number % 2 else -9)  # neighbours differ in steps only and lie side by side
            axes.annotate(name, (1e3 * seconds, error), textcoords="offset points", xytext=offset, fontsize=7, color=SOFT)
    axes.set(xscale="log", yscale="log", xlabel="time of one field (ms)", ylabel="relative error")
    axes.margins(x=0.25, y=0.15)
    quiet(axes)
    return figure


def rollouts(curves: dict[str, np.ndarray]) -> Figure:
    """Error after each interval."""
    figure = new_figure(3.0, 6.4)
    axes = figure.subplots()
    for (name, curve), colour in zip(curves.items(), (VERMILION, BLUE), strict=False):
        axes.plot(np.arange(1, len(curve) + 1), curve, "o-", color=colour, label=name)
    axes.axhline(1.0, color=SOFT, linestyle=":", linewidth=1)
    axes.set(yscale="log", xlabel="interval", ylabel="relative error")
    axes.legend(fontsize=8, frameon=False)
    quiet(axes)
    return figure
