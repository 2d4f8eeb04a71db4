"""Pictures of hidden laws of growth."""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from physics import Closure
from twinsim.figure_style import BLUE, GREEN, INK, SOFT, VERMILION, new_figure, quiet

LEVELS_MMHG = (3.0, 12.0, 35.0)
NAMES = {
    "learned": "network",
    "ensemble": "mean of networks",
    "analytic": "best other formula",
    "form_known": "form known",
    "truth": "truth",
}
COLOURS = {"learned": VERMILION, "ensemble": GREEN, "analytic": BLUE, "form_known": SOFT, "truth": INK}


def laws(truth: Closure, learned: Sequence[Closure], formulas: list[dict[str, Closure]]) -> Figure:
    """Growth per cell over density at three levels of oxygen."""
    figure = new_figure(2.8)
    density = jnp.linspace(0.01, 1.0, 60)
    panels = figure.subplots(1, len(LEVELS_MMHG), sharey=True)
    for axes, level in zip(panels, LEVELS_MMHG, strict=True):
        values = jnp.stack([density, jnp.full_like(density, level)])
        for name, closures in (("learned", learned), ("analytic", [one["analytic"] for one in formulas]), ("truth", [truth])):
            for k, closure in enumerate(closures):
                label = NAMES[name] if k == 0 else None
                style = {"color": COLOURS[name], "linewidth": 2 if name == "truth" else 1, "linestyle": "--" if name == "truth" else "-"}
                axes.plot(density, np.asarray(closure(values))[0], label=label, **style)
        axes.set_title(f"oxygen {level:g} mmHg", fontsize=9, color=INK)
        axes.set_xlabel("density")
        quiet(axes)
    panels[0].set_ylabel("growth per cell (1/day)")
    panels[-1].legend(fontsize=7, frameon=False)
    return figure


def errors_in_time(curves: dict[str, np.ndarray], seen: int, days: float) -> Figure:
    """Error of every run over time."""
    figure = new_figure(3.2, 6.4)
    axes = figure.subplots()
    for name, runs in curves.items():
        for k, run in enumerate(runs):
            axes.plot(days * np.arange(1, len(run)), run[1:], color=COLOURS[name], linewidth=1, label=NAMES[name] if k == 0 else None)
    axes.axvline(days * seen, color=SOFT, linestyle=":", linewidth=1)
    axes.set(yscale="log", xlabel="time (day)", ylabel="relative error")
    axes.legend(fontsize=8, frameon=False)
    quiet(axes)
    return figure
