"""Curves over time with intervals: one forecast, or several treatments compared."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator

from twinsim.errors import InputError
from twinsim.figure_style import (
    BLUE,
    CYCLE,
    DASHES,
    GREEN,
    INK,
    ORANGE,
    PURPLE,
    SOFT,
    VERMILION,
    heading,
    legend,
    logarithmic_ticks,
    new_figure,
    plain_number,
    quiet,
    with_unit,
)  # fmt: skip

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Bands = Mapping[float, tuple[Any, Any]]


@dataclass(frozen=True)
class Measurements:
    """Measured values to draw as markers.

    Args:
        days: [n], day.
        values: [n], in the unit of the curve.
        errors: [n] half-widths, or [2, n] distances below and above; None draws none.
        label: For the legend.
    """

    days: Any
    values: Any
    errors: Any = None
    label: str = "scans"


@dataclass(frozen=True)
class Arm:
    """One treatment arm: median [n] and bands, coverage (0 to 1) to (low, high), each [n]."""

    median: Any
    bands: Bands = field(default_factory=dict)
    colour: str | None = None


def forecast_curve(
    days: Any,
    median: Any,
    bands: Bands | None = None,
    *,
    truth: Any = None,
    observations: Measurements | None = None,
    treatments: Mapping[str, Any] | None = None,
    forecast_from: float | None = None,
    quantity: str = "tumour volume",
    unit: str = "mm³",
    title: str = "",
    logarithmic: bool = False,
) -> "Figure":
    """A median with its intervals over time, what was measured, and when treatment was given.

    Args:
        days: [n], day.
        median: [n], in ``unit``.
        bands: Coverage to (low, high), for example ``{0.5: (low, high), 0.9: (low, high)}``, each [n].
        truth: [n], the curve of a virtual patient, dashed.
        observations: Drawn as markers with error bars.
        treatments: Name to the days on which it was given; those days are shaded.
        forecast_from: Day of the last scan used; a line there tells the forecast from the fit.
        quantity: Name of the value, for the axis.
        unit: Its unit.
        title: Heading of the figure.
        logarithmic: Logarithmic value axis.

    Raises:
        InputError: Lengths differ, or a coverage is not between 0 and 1.
    """
    days = np.asarray(days, dtype=float)
    figure, axes = _frame(title, quantity, unit, logarithmic)
    handles, labels = _shade(axes, treatments or {})
    bands_handles, bands_labels = _draw_bands(axes, days, bands or {}, BLUE)
    (line,) = axes.plot(days, _curve(median, days, "median"), color=BLUE, linewidth=2, solid_capstyle="round", zorder=4)
    handles, labels = [line, *bands_handles, *handles], ["median", *bands_labels, *labels]
    if truth is not None:
        (line,) = axes.plot(days, _curve(truth, days, "truth"), color=INK, linewidth=1.5, linestyle=(0, (4, 2.5)), zorder=5)
        handles.insert(1, line)
        labels.insert(1, "truth")
    if observations is not None:
        when = np.asarray(observations.days, dtype=float)
        markers = axes.errorbar(
            when, _curve(observations.values, when, observations.label), yerr=observations.errors, fmt="o",
            color=VERMILION, markersize=6.5, markeredgecolor="white", markeredgewidth=1, elinewidth=1.4,
            capsize=3, capthick=1.4, zorder=6,
        )  # fmt: skip
        handles.insert(1, markers)
        labels.insert(1, observations.label)
    if forecast_from is not None:
        axes.axvline(forecast_from, color=SOFT, linewidth=1, linestyle=(0, (1, 2)))
        axes.annotate(
            "forecast →", (forecast_from, 1), xycoords=("data", "axes fraction"), xytext=(4, -3),
            textcoords="offset points", va="top", fontsize=9, color=SOFT,
        )  # fmt: skip
    _finish(figure, axes, days, observations, logarithmic, handles, labels)
    return figure


def arms_curve(
    days: Any,
    arms: Mapping[str, Arm],
    *,
    forecast_from: float | None = None,
    quantity: str = "tumour volume",
    unit: str = "mm³",
    title: str = "",
    logarithmic: bool = False,
) -> "Figure":
    """Several treatment arms on the same axes, each with its median and its widest band.

    Args:
        days: [n], day.
        arms: Name to ``Arm``; at most six, which stay distinguishable.
        forecast_from: Day on which the arms part.
        quantity: Name of the value, for the axis.
        unit: Its unit.
        title: Heading of the figure.
        logarithmic: Logarithmic value axis.
    """
    if not 1 <= len(arms) <= len(CYCLE):
        raise InputError(got=f"{len(arms)} arms", expected=f"1 to {len(CYCLE)}", do="compare fewer arms in one figure")
    days = np.asarray(days, dtype=float)
    figure, axes = _frame(title, quantity, unit, logarithmic)
    handles, labels, shown = [], [], set()
    for number, (name, arm) in enumerate(arms.items()):
        colour = arm.colour or CYCLE[number]
        if arm.bands:
            coverage = max(arm.bands)
            _draw_bands(axes, days, {coverage: arm.bands[coverage]}, colour, opacity=0.13)
            shown.add(coverage)
        (line,) = axes.plot(
            days,
            _curve(arm.median, days, name),
            color=colour,
            linewidth=2,
            linestyle=DASHES[number],
            zorder=4,
        )
        handles.append(line)
        labels.append(name)
    if shown:
        handles.append(Patch(facecolor=SOFT, alpha=0.22))
        labels.append(" and ".join(f"{100 * coverage:g} %" for coverage in sorted(shown)) + " interval")
    if forecast_from is not None:
        axes.axvline(forecast_from, color=SOFT, linewidth=1, linestyle=(0, (1, 2)))
    _finish(figure, axes, days, None, logarithmic, handles, labels)
    return figure


def _frame(title: str, quantity: str, unit: str, logarithmic: bool) -> "tuple[Figure, Axes]":
    figure = new_figure(4.3)
    heading(figure, title)
    axes = figure.subplots()
    quiet(axes)
    axes.set_xlabel("time (day)")
    axes.set_ylabel(with_unit(quantity, unit))
    if logarithmic:
        axes.set_yscale("log")
    else:
        axes.yaxis.set_major_formatter(FuncFormatter(plain_number))
    return figure, axes


def _finish(
    figure: "Figure",
    axes: "Axes",
    days: np.ndarray,
    observations: Measurements | None,
    logarithmic: bool,
    handles: list,
    labels: list[str],
) -> None:
    when = np.asarray(observations.days, dtype=float) if observations is not None else days
    first, last = min(days.min(), when.min()), max(days.max(), when.max())
    margin = 0.012 * (last - first) or 0.5
    axes.set_xlim(first - margin, last + margin)
    axes.xaxis.set_major_locator(MaxNLocator(8, steps=[1, 2, 3, 5, 6, 10]))
    if logarithmic:
        logarithmic_ticks(axes.yaxis, *axes.get_ylim())
    elif axes.dataLim.y0 >= 0:
        axes.set_ylim(bottom=0)
    legend(figure, handles, labels)


def _draw_bands(axes: "Axes", days: np.ndarray, bands: Bands, colour: str, opacity: float = 0.2) -> tuple[list, list[str]]:
    """Widest first, so that narrower bands come out darker."""
    handles, labels = [], []
    for coverage in sorted(bands, reverse=True):
        if not 0 < coverage < 1:
            raise InputError(
                got=f"a band of coverage {coverage}",
                expected="a number between 0 and 1",
                do="write 90 % as 0.9",
            )
        low, high = (_curve(edge, days, f"{100 * coverage:g} % band") for edge in bands[coverage])
        axes.fill_between(days, low, high, color=colour, alpha=opacity, linewidth=0, zorder=2)
        depth = 1 - (1 - opacity) ** (len(handles) + 1)
        handles.append(Patch(facecolor=colour, alpha=depth))
        labels.append(f"{100 * coverage:g} % interval")
    return handles[::-1], labels[::-1]


def _shade(axes: "Axes", treatments: Mapping[str, Any]) -> tuple[list, list[str]]:
    """Shade the days of each treatment, consecutive days as one, with a strip of full colour at the foot."""
    handles, labels = [], []
    for number, (name, days) in enumerate(treatments.items()):
        colour = (ORANGE, PURPLE, GREEN, SOFT)[number % 4]
        for start, end in _runs(days):
            axes.axvspan(start, end, color=colour, alpha=0.13, linewidth=0, zorder=0)
            foot = 0.022 * number
            axes.axvspan(start, end, ymin=foot, ymax=foot + 0.018, color=colour, linewidth=0, zorder=1)
        handles.append(Patch(facecolor=colour))
        labels.append(name)
    return handles, labels


def _runs(days: Iterable[float]) -> list[tuple[float, float]]:
    """Intervals [first, last + 1] of days that follow each other within 1.01 days."""
    runs: list[tuple[float, float]] = []
    for day in sorted(float(day) for day in days):
        if runs and day - runs[-1][1] <= 0.01:
            runs[-1] = (runs[-1][0], day + 1)
        else:
            runs.append((day, day + 1))
    return runs


def _curve(values: Any, days: np.ndarray, name: str) -> np.ndarray:
    curve = np.asarray(values, dtype=float)
    if curve.shape != days.shape or days.ndim != 1 or not days.size:
        raise InputError(
            got=f"{name} with shape {curve.shape} for {days.shape} days",
            expected="one value for each day",
            do="give arrays of the same length",
        )
    return curve
