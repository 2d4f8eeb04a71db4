"""Pictures of neuro/alpha_rhythm."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from experiments.neuro import _alpha_column
from solvers import OrbitBranch
from twinsim.figure_style import BLUE, INK, SOFT, VERMILION, new_figure, quiet

SHOWN_HZ = 25.0


def diagram(rests: _alpha_column.Rests, families: list[OrbitBranch]) -> Figure:
    """Rests and extremes of rhythms over the input, and frequencies."""
    figure = new_figure(4.4)
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    drive = 1000 * rests.input
    for stable in (True, False):
        kept = (rests.unstable == 0) == stable
        style = {"linestyle": "-" if stable else "--", "linewidth": 1.8 if stable else 1.0}
        name = "stable" if stable else "unstable"
        left.plot(drive, np.where(kept, rests.potential, np.nan), color=INK, label=f"rest, {name}", **style)
        for k, family in enumerate(families):
            there = _alpha_column.stable(family) == stable
            # A piece of line belongs to the drawn kind where one of its ends does, so that no gap is left between them.
            there = there | np.append(there[1:], False) if stable else there | np.append(False, there[:-1])
            signal = _alpha_column.signal(family.states)
            color = (VERMILION, BLUE)[k % 2]
            for values in (signal.min(axis=1), signal.max(axis=1)):
                left.plot(1000 * family.parameter, np.where(there, values, np.nan), color=color, **style)
            right.plot(1000 * family.parameter, np.where(there, 1000 / family.period, np.nan), color=color, **style)
    left.plot(1000 * rests.hopf[:, 0], rests.hopf[:, 1], "o", color=INK, markersize=5, label="Hopf point")
    left.plot(1000 * rests.folds[:, 0], rests.folds[:, 1], "s", color=INK, markersize=5, fillstyle="none", label="fold of rests")
    for family in families:
        for fold in family.folds[np.isfinite(family.folds)]:
            for axes in (left, right):
                axes.axvline(1000 * fold, color=SOFT, linewidth=0.8, linestyle=":")
            right.annotate(f"fold of rhythms\n{1000 * fold:.2f}", (1000 * fold, 0.6), xytext=(6, 0), textcoords="offset points", fontsize=8)
    left.set_ylabel("$y_1-y_2$ (mV)")
    right.set_ylabel("frequency (Hz)")
    right.set_ylim(bottom=0)
    left.legend(frameon=False, fontsize=8, loc="upper left")
    for axes in (left, right):
        axes.set_xlabel("input (per s)")
        quiet(axes)
    return figure


def rhythm(found: _alpha_column.Rhythm) -> Figure:
    """One period, and elasticities of the frequency."""
    figure = new_figure(3.6)
    left, right = figure.subplots(1, 2)
    times = np.linspace(0, 1000 / found.frequency_hz, len(found.states))
    left.plot(times, _alpha_column.signal(found.states), color=BLUE)
    left.set_xlabel("time (ms)")
    left.set_ylabel("$y_1-y_2$ (mV)")
    left.set_title(f"{found.frequency_hz:.4f} Hz", fontsize=10)
    names = [name.replace("_", " ") for name in _alpha_column.PARAMETERS]
    places = np.arange(len(names))[::-1]
    right.barh(places, found.elasticity, color=[BLUE if value > 0 else VERMILION for value in found.elasticity], height=0.6)
    right.set_yticks(places, names)
    right.axvline(0, color=INK, linewidth=0.8)
    right.set_xlabel("% of frequency per % of the parameter")
    quiet(left)
    quiet(right, grid="x")
    return figure


def network(couplings: Sequence[float], speeds: Sequence[float], found: dict[str, Any], alone: np.ndarray) -> Figure:
    """Peaks, correlations and spectra."""
    figure = new_figure(3.8)
    left, middle, right = figure.subplots(1, 3)
    order = np.argsort(couplings)
    at = np.asarray(couplings)[order]
    shades = [BLUE, VERMILION, INK, SOFT]
    strongest = int(np.argmax(couplings))
    for k, speed in enumerate(speeds):
        name, color = f"{speed:g} mm/ms" if speed else "no delay", shades[k % len(shades)]
        left.plot(at, np.median(found["peak"][k], axis=1)[order], "o-", color=color, markersize=4, label=name)
        known = np.isfinite(alone[k]).any(axis=1)
        middle.plot(at, found["connectivity"][k].mean(axis=1)[order], "o-", color=color, markersize=4)
        shown = (found["frequency"] > 0.5) & (found["frequency"] <= SHOWN_HZ)
        right.semilogy(found["frequency"][shown], found["power"][k, strongest][shown], color=color, linewidth=1.2)
        if k == 0:
            median = [np.nanmedian(row) if there else np.nan for row, there in zip(alone[k], known, strict=True)]
            left.plot(at, np.asarray(median)[order], color=SOFT, linestyle=":", linewidth=2, label="a column alone")
    left.set_ylabel("peak of the spectrum (Hz)")
    middle.set_ylabel("mean correlation")
    right.set_ylabel("power (mV²/Hz)")
    right.set_xlabel("frequency (Hz)")
    right.set_title(f"coupling {max(couplings):g}", fontsize=10)
    left.legend(frameon=False, fontsize=8)
    for axes in (left, middle):
        axes.set_xlabel("coupling")
    for axes in (left, middle, right):
        quiet(axes)
    return figure
