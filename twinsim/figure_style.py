"""One look for all figures: colours for colour-blind readers too, quiet axes, no global state."""

import math
from typing import TYPE_CHECKING, Literal

from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

INK, SOFT, LINE = "#1d2733", "#55616e", "#c9d0d7"

# Okabe and Ito, Color Universal Design (2008); black serves as ink, yellow vanishes on white.
BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"
CYCLE = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY)
DASHES = ("-", (0, (6, 2)), (0, (2, 1.5)), (0, (6, 2, 1.5, 2)), (0, (10, 3)), (0, (1, 1)))

DOTS_PER_INCH = 150
WIDTH = 8.6  # inches, the width of the report's column


def new_figure(height: float, width: float = WIDTH) -> Figure:
    """An empty figure, size in inches, with constrained layout and white background."""
    layout = ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.06, wspace=0.03, hspace=0.03)
    return Figure(figsize=(width, height), dpi=DOTS_PER_INCH, layout=layout, facecolor="white")


def quiet(axes: "Axes", *, grid: Literal["x", "y"] | None = "y") -> None:
    """Thin axes without box, small labels, a light grid along one axis."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(LINE)
    axes.tick_params(colors=SOFT, labelsize=9, width=0.8, length=3)
    axes.xaxis.label.set(color=INK, size=10)
    axes.yaxis.label.set(color=INK, size=10)
    axes.set_axisbelow(True)
    if grid:
        axes.grid(axis=grid, color="#e9ecef", linewidth=0.8)


def heading(figure: Figure, title: str) -> None:
    """A left-aligned title, where one is given."""
    if title:
        figure.suptitle(title, x=0.008, ha="left", fontsize=11.5, fontweight="bold", color=INK)


def pretty(unit: str) -> str:
    """A unit as people write it: mm² for ``mm^2``."""
    return unit.replace("^2", "²").replace("^3", "³")


def with_unit(text: str, unit: str) -> str:
    """``text`` and its unit for an axis or a colour bar; a plain number (``"1"`` or nothing) shows none."""
    return text if unit in ("", "1") else f"{text} ({unit})"


def legend(figure: Figure, handles: list, labels: list[str]) -> None:
    """A legend without frame below the axes, read row by row, at most four entries in a row."""
    if not handles:
        return
    columns = min(4, len(labels))
    # Matplotlib fills columns first; this order makes the rows come out in the order given.
    order = [index for column in range(columns) for index in range(column, len(labels), columns)]
    figure.legend(
        [handles[index] for index in order], [labels[index] for index in order], loc="outside lower left",
        ncols=columns, frameon=False, fontsize=9, labelcolor=INK, handlelength=2.2, columnspacing=1.6,
    )  # fmt: skip


def plain_number(value: float, _position: int = 0) -> str:
    """Tick label: thin spaces between thousands, a true minus."""
    text = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:g}"
    return text.replace(",", "\u2009").replace("-", "−")


def logarithmic_ticks(axis: "Axis", low: float, high: float) -> None:
    """Plain labels on a logarithmic axis, as dense as the range from ``low`` to ``high`` needs."""
    decades = math.log10(high / low) if 0 < low < high else 1.0
    steps = (1,) if decades > 2.5 else (1, 3) if decades > 1.2 else (1, 2, 5) if decades > 0.6 else (1, 1.5, 2, 3, 4, 5, 7)
    axis.set_major_locator(LogLocator(subs=steps, numticks=20))
    axis.set_major_formatter(FuncFormatter(plain_number))
    axis.set_minor_formatter(NullFormatter())
