"""Figures of a plaque: its section with stresses, shear along its lumen, and what its peak stress depends on."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.tri import Triangulation

from twinsim.figure_style import BLUE, INK, SKY, SOFT, VERMILION, new_figure, quiet


def section_map(place: np.ndarray, stress: np.ndarray, borders: list[np.ndarray], peak: np.ndarray, limit: float) -> Figure:
    """Largest principal stress (kPa) over the section, and enlarged round the peak.

    Args:
        place: mm, ``(columns, rows, points, 2)`` with 3 points along times 5 across.
        stress: kPa at them.
        borders: Closed lines of lumen, pool and outer wall, mm.
        peak: Where the largest stress of the cap is, mm.
        limit: Threshold, kPa: a contour where it is reached.
    """
    columns, rows = stress.shape[:2]
    grid = place.reshape(columns, rows, 3, 5, 2).transpose(0, 2, 1, 3, 4).reshape(3 * columns, 5 * rows, 2)
    field = stress.reshape(columns, rows, 3, 5).transpose(0, 2, 1, 3).reshape(3 * columns, 5 * rows)
    lines, across = field.shape
    corner = np.arange(lines)[:, None] * across + np.arange(across - 1)
    after = (np.arange(lines)[:, None] + 1) % lines * across + np.arange(across - 1)
    faces = np.concatenate(
        [np.stack(part, axis=-1).reshape(-1, 3) for part in ((corner, after, corner + 1), (after, after + 1, corner + 1))]
    )
    mesh = Triangulation(grid[..., 0].ravel(), grid[..., 1].ravel(), faces)
    figure = new_figure(4.3)
    left, right = figure.subplots(1, 2)
    top = max(1.0, float(np.ceil(np.quantile(field, 0.999) / 10) * 10))
    for axes in (left, right):
        image = axes.tripcolor(mesh, np.clip(field.ravel(), 0, top), shading="gouraud", cmap="magma", vmin=0, vmax=top)
        if field.max() > limit:
            axes.tricontour(mesh, field.ravel(), levels=[limit], colors=[SKY], linewidths=0.8)
        for border in borders:
            axes.plot(*np.concatenate([border, border[:1]]).T, color="white", linewidth=0.7)
        axes.plot(*peak, marker="o", markersize=6, markerfacecolor="none", markeredgecolor=SKY)
        axes.set_aspect("equal")
        axes.set_xlabel("x (mm)")
        quiet(axes, grid=None)
    left.set_ylabel("y (mm)")
    reach = 0.45
    right.set_xlim(peak[0] - reach, peak[0] + reach)
    right.set_ylim(peak[1] - reach, peak[1] + reach)
    figure.colorbar(image, ax=[left, right], label="largest principal stress (kPa)", shrink=0.85)
    return figure


def shear_along(
    along: np.ndarray, shear: np.ndarray, plaque_side: np.ndarray, span: float, low: float, high: float, angle: np.ndarray
) -> Figure:
    """Time-averaged wall shear (Pa) along the narrowing with both thresholds, and as a map of the unrolled wall."""
    figure = new_figure(4.6)
    upper, lower = figure.subplots(2, 1, sharex=True)
    upper.axvspan(-span / 2, span / 2, color="#f3f4f6", zorder=0)
    for inside, colour, label in ((plaque_side, VERMILION, "side of the plaque"), (~plaque_side, BLUE, "opposite")):
        upper.plot(along[inside], shear[inside], ".", markersize=2.5, color=colour, label=label)
    for level, label in ((low, "low"), (high, "high")):
        upper.axhline(level, color=INK, linewidth=0.9, linestyle=(0, (4, 2)))
        upper.annotate(f"{label}: {level:g} Pa", (0.995, level), xycoords=("axes fraction", "data"), fontsize=8, color=SOFT,
                       ha="right", va="bottom")  # fmt: skip
    upper.set_yscale("log")
    upper.set_ylabel("wall shear stress (Pa)")
    upper.legend(frameon=False, fontsize=8, markerscale=4)
    image = lower.scatter(along, np.degrees(angle), c=np.log10(np.maximum(shear, 1e-2)), s=5, cmap="RdBu_r", vmin=-1, vmax=1, marker="s")
    bar = figure.colorbar(image, ax=lower, label="Pa", ticks=[-1, 0, 1])
    bar.ax.set_yticklabels(["0.1", "1", "10"])
    lower.set_ylabel("round the wall (degrees)")
    lower.set_xlabel("along the flow from the narrowest section (mm); flow from left to right")
    for axes in (upper, lower):
        quiet(axes, grid=None)
    return figure


def what_moves_it(
    caps: np.ndarray, peaks: np.ndarray, here: tuple[float, float, float, float], limit: float, names: list[str], bars: np.ndarray
) -> Figure:
    """Peak stress (kPa) by the thickness of the cap (µm), with the interval at this plaque, and elasticities of the unknowns."""
    figure = new_figure(3.4)
    left, right = figure.subplots(1, 2)
    left.plot(caps, peaks, color=INK, linewidth=1.6)
    cap, peak, low, high = here
    left.errorbar([cap], [peak], [[max(peak - low, 0)], [max(high - peak, 0)]], fmt="o", color=VERMILION, markersize=5, capsize=3)
    left.axhline(limit, color=SOFT, linewidth=1, linestyle=(0, (4, 2)))
    left.axvline(65, color=SOFT, linewidth=1, linestyle=(0, (1, 2)))
    left.set_ylim(0, 1.15 * max(high, limit, float(np.nanmax(peaks))))
    left.set_xlabel("thickness of the cap (µm)")
    left.set_ylabel("peak stress of the cap (kPa)")
    order = np.argsort(np.abs(bars))
    right.barh(np.arange(len(bars)), bars[order], color=np.where(bars[order] > 0, VERMILION, BLUE), height=0.6)
    right.set_yticks(np.arange(len(bars)), [names[i].replace("_", " ") for i in order])
    right.axvline(0, color=INK, linewidth=0.8)
    right.set_xlabel("% of peak stress per % of it")
    quiet(left)
    quiet(right, grid="x")
    return figure
