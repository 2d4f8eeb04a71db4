"""Parameters before and after calibration: intervals in normalised units, or marginal densities."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from twinsim.errors import InputError
from twinsim.figure_style import (
    BLUE,
    INK,
    LINE,
    SOFT,
    VERMILION,
    heading,
    legend,
    logarithmic_ticks,
    new_figure,
    quiet,
    with_unit,
)  # fmt: skip
from twinsim.report import format_number

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Interval = tuple[float, float, float]


@dataclass(frozen=True)
class ParameterInterval:
    """One parameter of a forest plot.

    Args:
        name: In words.
        unit: Of all its values.
        prior: (low, median, high), for example the 90 % interval.
        posterior: The same after calibration.
        truth: Of a virtual patient.
        logarithmic: Compare on a logarithmic scale, for parameters that are positive.
        identifiable: False greys the posterior out and says that the data do not determine it.
    """

    name: str
    unit: str
    prior: Interval
    posterior: Interval
    truth: float | None = None
    logarithmic: bool = False
    identifiable: bool = True


def parameter_forest(parameters: Sequence[ParameterInterval], *, coverage: float = 0.9, title: str = "") -> "Figure":
    """Prior and posterior intervals on one scale: 0 is the prior median, 1 the half-width of the prior.

    A posterior as wide as its prior says that the data taught nothing.

    Args:
        parameters: One row each, first on top.
        coverage: Of the intervals, for the legend.
        title: Heading of the figure.
    """
    if not parameters:
        raise InputError(got="no parameter", expected="at least one", do="give the parameters that were calibrated")
    figure = new_figure(1.25 + 0.52 * len(parameters) + 0.3 * bool(title))
    heading(figure, title)
    axes = figure.subplots()
    quiet(axes, grid="x")
    axes.axvline(0, color=LINE, linewidth=1, zorder=1)
    for row, parameter in enumerate(parameters):
        colour = BLUE if parameter.identifiable else SOFT
        low, middle, high = _normalise(parameter, parameter.prior)
        axes.plot([low, high], [row + 0.0] * 2, color="#dfe4e9", linewidth=13, solid_capstyle="butt", zorder=2)
        axes.plot([middle] * 2, [row - 0.2, row + 0.2], color="#aab4be", linewidth=1.5, zorder=2)
        low, middle, high = _normalise(parameter, parameter.posterior)
        axes.plot([low, high], [row] * 2, color=colour, linewidth=3.2, solid_capstyle="round", zorder=3)
        axes.plot(
            middle,
            row,
            "o",
            color=colour,
            markersize=8,
            markeredgecolor="white",
            markeredgewidth=1.3,
            zorder=4,
        )
        if parameter.truth is not None:
            (true,) = _normalise(parameter, (parameter.truth,))
            axes.plot([true] * 2, [row - 0.3, row + 0.3], color=VERMILION, linewidth=2.2, zorder=3.5)
        axes.annotate(
            _in_words(parameter), (1, row), xycoords=("axes fraction", "data"), xytext=(10, 0),
            textcoords="offset points", va="center", fontsize=9,
            color=INK if parameter.identifiable else SOFT,
        )  # fmt: skip
    axes.set_yticks(range(len(parameters)), [parameter.name for parameter in parameters])
    axes.tick_params(axis="y", labelsize=10, labelcolor=INK, length=0)
    axes.set_ylim(len(parameters) - 0.45, -0.55)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel("distance from the prior median, in prior half-widths")
    handles = [
        Patch(facecolor="#dfe4e9"),
        Line2D([], [], color=BLUE, marker="o", markersize=8, markeredgecolor="white", linewidth=3.2),
    ]
    labels = [f"prior, {100 * coverage:g} %", f"posterior, {100 * coverage:g} %"]
    if any(parameter.truth is not None for parameter in parameters):
        handles.append(Line2D([], [], color=VERMILION, marker="|", markersize=12, markeredgewidth=2.2, linewidth=0))
        labels.append("truth")
    if not all(parameter.identifiable for parameter in parameters):
        handles.append(Line2D([], [], color=SOFT, marker="o", markersize=8, markeredgecolor="white", linewidth=3.2))
        labels.append("not identifiable from these data")
    legend(figure, handles, labels)
    return figure


def marginal_densities(
    prior: Mapping[str, Any],
    posterior: Mapping[str, Any],
    *,
    units: Mapping[str, str] | None = None,
    truth: Mapping[str, float] | None = None,
    logarithmic: Sequence[str] = (),
    title: str = "",
) -> "Figure":
    """Density of every parameter before and after calibration, from samples, one small panel each.

    Densities are Gaussian kernel estimates with Silverman's bandwidth (Silverman 1986, eq. 3.31), scaled
    to the height of the posterior's peak because only the shape matters.

    Args:
        prior: Name to samples [n].
        posterior: Name to samples [m]; decides what is drawn.
        units: Name to unit.
        truth: Name to the true value of a virtual patient.
        logarithmic: Names shown on a logarithmic axis.
        title: Heading of the figure.
    """
    if not posterior:
        raise InputError(got="no parameter", expected="at least one", do="give samples of the posterior")
    columns = 2 if len(posterior) in (2, 4) else min(3, len(posterior))
    rows = -(-len(posterior) // columns)
    figure = new_figure(0.55 + 1.9 * rows + 0.3 * bool(title))
    heading(figure, title)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, name in zip(panels, posterior, strict=False):
        log = name in logarithmic
        axes.set_xscale("log" if log else "linear")
        quiet(axes, grid=None)
        axes.spines["left"].set_visible(False)
        axes.set_yticks([])
        after, before = (_samples(group, name, log) for group in (posterior, prior))
        shown = np.percentile(np.concatenate([after, *([before] if name in prior else [])]), [0.5, 99.5])
        margin = 0.08 * max(float(np.ptp(shown)), 1e-9)
        places = np.linspace(shown[0] - margin, shown[1] + margin, 256)
        ticks = np.exp(places) if log else places
        if name in prior:
            axes.fill_between(ticks, _density(before, places), color="#c3cbd3", linewidth=0)
        axes.fill_between(ticks, _density(after, places), color=BLUE, alpha=0.3, linewidth=0)
        axes.plot(ticks, _density(after, places), color=BLUE, linewidth=1.6)
        if truth and name in truth:
            axes.axvline(truth[name], color=VERMILION, linewidth=1.6, linestyle=(0, (4, 2)))
        axes.set_xlabel(with_unit(name, (units or {}).get(name, "")), size=9)
        axes.set(ylim=(0, 1.08), xlim=(ticks[0], ticks[-1]))
        if log:
            logarithmic_ticks(axes.xaxis, ticks[0], ticks[-1])
    for axes in panels[len(posterior) :]:
        axes.set_axis_off()
    handles: list[Any] = [Patch(facecolor="#c3cbd3"), Patch(facecolor=BLUE, alpha=0.5)]
    labels = ["prior", "posterior"]
    if truth:
        handles.append(Line2D([], [], color=VERMILION, linewidth=1.6, linestyle=(0, (4, 2))))
        labels.append("truth")
    legend(figure, handles, labels)
    return figure


def _normalise(parameter: ParameterInterval, values: Sequence[float]) -> list[float]:
    low, middle, high = parameter.prior
    ordered = low < high and low <= middle <= high
    if not ordered or (parameter.logarithmic and min(*parameter.prior, *values) <= 0):
        raise InputError(
            got=f"{parameter.name!r} with prior {parameter.prior} and values {tuple(values)}",
            expected="low < high around the median, and all positive on a logarithmic scale",
            do="correct the interval",
        )
    scale = np.log if parameter.logarithmic else np.asarray
    half = (scale(high) - scale(low)) / 2
    return [float((scale(value) - scale(middle)) / half) for value in values]


def _in_words(parameter: ParameterInterval) -> str:
    low, middle, high = (_three_digits(value) for value in parameter.posterior)
    return f"{middle} [{low}, {high}] {parameter.unit if parameter.unit != '1' else ''}".rstrip()


def _three_digits(value: float) -> str:
    return format_number(float(f"{value:.3g}"))


def _samples(group: Mapping[str, Any], name: str, logarithmic: bool) -> np.ndarray:
    values = np.asarray(group.get(name, [0.0, 1.0]), dtype=float).ravel()
    if values.size < 2 or not np.isfinite(values).all() or (logarithmic and name in group and values.min() <= 0):
        raise InputError(
            got=f"samples of {name!r} that are too few, not finite or not positive",
            expected="two or more finite numbers, positive on a logarithmic axis",
            do="draw more samples or choose a linear axis",
        )
    return np.log(np.maximum(values, np.finfo(float).tiny)) if logarithmic else values


def _density(samples: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Kernel density at ``places``, its largest value 1."""
    quartiles = np.percentile(samples, [25, 75])
    spread = min(samples.std(ddof=1), np.ptp(quartiles) / 1.34) or samples.std(ddof=1)
    bandwidth = max(0.9 * spread * samples.size**-0.2, 0.5 * (places[1] - places[0]))
    density = np.exp(-0.5 * ((places[:, None] - samples[None, :]) / bandwidth) ** 2).sum(axis=1)
    return density / density.max()
