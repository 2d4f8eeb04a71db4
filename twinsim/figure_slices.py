"""Three orthogonal slices through a volume, with overlays."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from twinsim.errors import InputError, near_misses
from twinsim.figure_style import (
    BLUE,
    DASHES,
    GREEN,
    INK,
    LINE,
    SKY,
    SOFT,
    heading,
    legend,
    new_figure,
    with_unit,
)
from twinsim.orientation import Turn, canonical

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_KINDS = ("heat", "contour", "mask")
# Name, horizontal axis, vertical axis, axis that the plane cuts.
_PLANES = (("axial", 0, 1, 2), ("coronal", 0, 2, 1), ("sagittal", 1, 2, 0))
_LETTERS = (("L", "R"), ("P", "A"), ("I", "S"))
_LINES = (SKY, "#FFFFFF", GREEN, "#F0E442", BLUE)  # told apart from grey and from magma


@dataclass(frozen=True)
class Overlay:
    """A volume drawn over the background.

    Args:
        array: [x, y, z] on the voxels of the background.
        label: What it is, for the colour bar or the legend.
        unit: Its unit, ``"1"`` for a plain number.
        kind: ``"heat"``: colours with a colour bar, nothing below ``floor``; ``"contour"``: lines at
            ``levels``; ``"mask"``: the outline of a region (array > 0.5).
        levels: Values of the contour lines, in ``unit``.
        colour: Matplotlib colour of the lines, or name of the colour map of a heat overlay.
        floor: Values below it are not coloured; 2 % of the largest value when None.
        limits: Range of the colour bar; from ``floor`` to the largest value when None.
        alpha: Opacity of the heat colours, 0 to 1.
    """

    array: Any
    label: str
    unit: str = "1"
    kind: str = "heat"
    levels: Sequence[float] = ()
    colour: str | None = None
    floor: float | None = None
    limits: tuple[float, float] | None = None
    alpha: float = 0.8


def orthogonal_slices(
    background: Any,
    spacing_mm: Sequence[float] | np.ndarray,
    overlays: Sequence[Overlay] = (),
    *,
    index: Sequence[int] | np.ndarray | None = None,
    title: str = "",
    affine: Any = None,
    crosshair: bool = False,
) -> "Figure":
    """Axial, coronal and sagittal slice side by side, at one scale, with axes in mm.

    The viewer looks as in a neurological display: the patient's left is on the left.

    Args:
        background: [x, y, z], shown in grey between its 1st and 99.5th percentile.
        spacing_mm: Voxel size along the three array axes.
        overlays: Drawn in this order; at most one is ``"heat"``.
        index: Voxel (i, j, k) that the slices go through; by default the maximum of the first heat overlay,
            else of the first overlay (centre of a mask), else the centre.
        title: Heading of the figure.
        affine: Voxel index to world mm (RAS). When given, arrays are turned so that axes run right,
            anterior and superior, the edges are marked R/L, A/P, S/I, and mm are world coordinates (an
            oblique grid counts mm from its first voxel).
        crosshair: Mark where the other two planes cut.

    Raises:
        InputError: Shapes differ, an index is outside, spacing contradicts affine, or two heat overlays.
    """
    image = np.asarray(background, dtype=np.float32)
    overlays = [replace(overlay, array=np.asarray(overlay.array, dtype=np.float32)) for overlay in overlays]
    spacing = np.asarray(spacing_mm, dtype=float) * np.ones(3)
    _check(image, spacing, overlays, affine)
    at = np.asarray(index if index is not None else _through(image, overlays), dtype=int)
    if at.shape != (3,) or (at < 0).any() or (at >= image.shape).any():
        raise InputError(
            got=f"the slice index {tuple(at.tolist())}",
            expected=f"three numbers inside {image.shape}",
            do="correct it",
        )
    origin = np.zeros(3)
    if affine is not None:
        order, flip, origin = canonical(np.asarray(affine, dtype=float), image.shape)
        turn = Turn(order, flip)
        image, spacing, at = turn.volume(image), spacing[order], turn.index(at, image.shape)
        overlays = [replace(overlay, array=turn.volume(overlay.array)) for overlay in overlays]
    start, stop = _shown(image, overlays)
    place = _Place(spacing, origin, at, start, stop)
    extent = (stop - start) * spacing

    widths = [extent[horizontal] for _, horizontal, _, _ in _PLANES]
    tallest = max(extent[vertical] for _, _, vertical, _ in _PLANES)
    heat = next((overlay for overlay in overlays if overlay.kind == "heat"), None)
    lines = any(overlay.kind != "heat" for overlay in overlays)
    per_mm = (7.0 if heat is not None else 7.8) / (sum(widths) * 1.08)
    height = min(6.5, tallest * per_mm + 0.75 + 0.3 * bool(title) + 0.35 * lines)
    figure = new_figure(height)
    heading(figure, title)
    panels = figure.subplots(1, 3, width_ratios=widths)
    grey = _grey_limits(image)
    colours = None
    for axes, plane in zip(panels, _PLANES, strict=True):
        colours = _panel(axes, plane, image, grey, place, overlays, crosshair) or colours
        if affine is not None:
            _mark_sides(axes, _LETTERS[plane[1]], _LETTERS[plane[2]])
    if heat is not None and colours is not None:
        bar = figure.colorbar(colours, ax=list(panels), fraction=0.035, pad=0.015, aspect=22, shrink=0.85)
        bar.set_label(with_unit(heat.label, heat.unit), color=INK, size=9)
        bar.ax.tick_params(colors=SOFT, labelsize=9, width=0.8, length=3)
        bar.outline.set_visible(False)
    legend(figure, *_entries(overlays))
    return figure


def _panel(
    axes: "Axes",
    plane: tuple[str, int, int, int],
    image: np.ndarray,
    grey: tuple[float, float],
    place: "_Place",
    overlays: Sequence[Overlay],
    crosshair: bool,
) -> Any:
    """Draw one slice; returns what the colour bar belongs to."""
    name, horizontal, vertical, through = plane

    def cut(volume: np.ndarray) -> np.ndarray:
        return np.take(volume, place.at[through], axis=through).T  # rows are the vertical axis

    centres = [place.centres(axis, image.shape[axis]) for axis in range(3)]
    edges = [place.edges(axis, (0, image.shape[axis])) for axis in (horizontal, vertical)]
    where = {"extent": (*edges[0], *edges[1]), "origin": "lower", "aspect": "equal"}
    axes.imshow(cut(image), cmap="gray", vmin=grey[0], vmax=grey[1], interpolation="bilinear", **where)
    colours, line = None, 0
    for overlay in overlays:
        values = np.nan_to_num(cut(overlay.array), nan=-np.inf if overlay.kind == "heat" else 0.0)
        if overlay.kind == "heat":
            low, high, floor = _heat_limits(overlay)
            colours = axes.imshow(
                np.ma.masked_less(values, floor), cmap=_colour_map(overlay.colour), vmin=low, vmax=high,
                alpha=overlay.alpha, interpolation="nearest", **where,
            )  # fmt: skip
            continue
        colour = overlay.colour or _LINES[line % len(_LINES)]
        line += 1
        levels = (0.5,) if overlay.kind == "mask" else tuple(sorted(overlay.levels))
        for number, level in enumerate(levels):
            # A line needs two by two voxels and values on both sides; Matplotlib warns where there is none.
            if min(values.shape) > 1 and values.min() < level < values.max():
                axes.contour(
                    centres[horizontal], centres[vertical], values, levels=[level], colors=[colour],
                    linewidths=1.3, linestyles=[DASHES[number % len(DASHES)]],
                )  # fmt: skip
    if crosshair:
        style = {"color": "white", "linewidth": 0.6, "alpha": 0.55}
        axes.axvline(float(centres[horizontal][place.at[horizontal]]), **style)
        axes.axhline(float(centres[vertical][place.at[vertical]]), **style)
    depth = centres[through][place.at[through]]
    names = ("x", "y", "z")
    axes.set_title(
        f"{name}, {names[through]} = {depth:.0f} mm".replace("-", "−"),
        fontsize=9.5,
        color=INK,
        loc="left",
        pad=5,
    )
    axes.set_xlabel(f"{names[horizontal]} (mm)", fontsize=9, color=SOFT, labelpad=2)
    axes.set_ylabel(f"{names[vertical]} (mm)", fontsize=9, color=SOFT, labelpad=1)
    axes.tick_params(colors=SOFT, labelsize=8, width=0.8, length=3)
    axes.spines[:].set_color(LINE)
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    shown = [place.edges(axis, np.array([place.start[axis], place.stop[axis]])) for axis in (horizontal, vertical)]
    axes.set(xlim=shown[0], ylim=shown[1])
    return colours


def _mark_sides(axes: "Axes", across: tuple[str, str], up: tuple[str, str]) -> None:
    spots = ((0.025, 0.5, across[0]), (0.975, 0.5, across[1]), (0.5, 0.025, up[0]), (0.5, 0.975, up[1]))
    for x, y, letter in spots:
        axes.text(
            x, y, letter, transform=axes.transAxes, color="white", fontsize=9, fontweight="bold",
            ha="left" if x < 0.1 else "right" if x > 0.9 else "center",
            va="bottom" if y < 0.1 else "top" if y > 0.9 else "center",
            bbox={"boxstyle": "round,pad=0.12", "facecolor": "black", "edgecolor": "none", "alpha": 0.45},
        )  # fmt: skip


def _entries(overlays: Sequence[Overlay]) -> tuple[list, list[str]]:
    """Legend of the lines."""
    handles, labels, line = [], [], 0
    for overlay in overlays:
        if overlay.kind == "heat":
            continue
        colour = overlay.colour or _LINES[line % len(_LINES)]
        line += 1
        levels = ("",) if overlay.kind == "mask" else tuple(f"{level:g}" for level in sorted(overlay.levels))
        for number, level in enumerate(levels):
            # The colours are made for a dark picture; a dark rim keeps the light ones visible on white.
            handles.append(_rimmed(colour, DASHES[number % len(DASHES)]))
            unit = "" if overlay.unit in ("", "1") or not level else f" {overlay.unit}"
            labels.append(f"{overlay.label} {level}{unit}".rstrip())
    return handles, labels


def _rimmed(colour: str, dashes: Any) -> Line2D:
    from matplotlib.patheffects import Normal, Stroke

    line = Line2D([], [], color=colour, linestyle=dashes, linewidth=2)
    line.set_path_effects([Stroke(linewidth=3.4, foreground=INK), Normal()])
    return line


@dataclass(frozen=True)
class _Place:
    """Where voxels lie, which one the planes go through, and the box of voxels that is shown."""

    spacing: np.ndarray
    origin: np.ndarray
    at: np.ndarray
    start: np.ndarray
    stop: np.ndarray

    def centres(self, axis: int, size: int) -> np.ndarray:
        return self.origin[axis] + self.spacing[axis] * np.arange(size)

    def edges(self, axis: int, span: Sequence[int] | np.ndarray) -> tuple[float, float]:
        low, high = self.origin[axis] + self.spacing[axis] * (np.asarray(span) - 0.5)
        return float(low), float(high)


def _through(image: np.ndarray, overlays: Sequence[Overlay]) -> np.ndarray:
    """The voxel to cut at: among the voxels that share the largest value, the one nearest to their centre."""
    leading = sorted(overlays, key=lambda overlay: overlay.kind != "heat")
    values = np.nan_to_num(leading[0].array, nan=-np.inf) if leading else np.zeros(image.shape)
    highest = np.argwhere(values == values.max())
    return highest[np.argmin(((highest - highest.mean(axis=0)) ** 2).sum(axis=1))]


def _shown(image: np.ndarray, overlays: Sequence[Overlay]) -> tuple[np.ndarray, np.ndarray]:
    """Voxel box around everything that is not empty, with a margin of 4 % of the longest side."""
    low, high = _grey_limits(image)
    content = image > low + 0.04 * (high - low)  # NaN compares as false
    for overlay in overlays:
        values = np.nan_to_num(overlay.array)
        content = content | (values > max(0.02 * float(values.max()), 1e-12))
    found = np.argwhere(content)
    if not len(found):
        return np.zeros(3, dtype=int), np.array(image.shape)
    margin = -(-max(image.shape) // 25)
    return np.maximum(found.min(axis=0) - margin, 0), np.minimum(found.max(axis=0) + 1 + margin, image.shape)


def _heat_limits(overlay: Overlay) -> tuple[float, float, float]:
    finite = overlay.array[np.isfinite(overlay.array)]
    top = float(finite.max()) if finite.size else 1.0
    floor = overlay.floor if overlay.floor is not None else max(0.02 * top, float(np.finfo(np.float32).tiny))
    low, high = overlay.limits or (floor, top)
    return low, high if high > low else low + max(abs(low), 1.0), floor


def _colour_map(name: str | None) -> Any:
    """Magma without its near-black end, which would be lost on a dark picture; or the map asked for."""
    if name is not None:
        return name
    from matplotlib import colormaps

    colours = colormaps["magma"](np.linspace(0.28, 1.0, 256))
    return LinearSegmentedColormap.from_list("bright_magma", colours)


def _grey_limits(image: np.ndarray) -> tuple[float, float]:
    finite = image[np.isfinite(image)]
    if not finite.size:
        return 0.0, 1.0
    low, high = np.percentile(finite, [1, 99.5])
    return float(low), float(high if high > low else low + 1)


def _check(image: np.ndarray, spacing: np.ndarray, overlays: Sequence[Overlay], affine: Any) -> None:
    if image.ndim != 3 or image.size == 0:
        raise InputError(got=f"a background of shape {image.shape}", expected="[x, y, z]", do="give one volume")
    if not (spacing > 0).all() or not np.isfinite(spacing).all():
        raise InputError(
            got=f"voxel size {spacing.tolist()} mm",
            expected="three positive lengths",
            do="give the voxel size in mm",
        )
    if affine is not None:
        columns = np.linalg.norm(np.asarray(affine, dtype=float)[:3, :3], axis=0)
        if not np.allclose(columns, spacing, rtol=1e-3):
            raise InputError(
                got=f"voxel size {spacing.tolist()} mm with an affine of {columns.round(4).tolist()} mm",
                expected="the column norms of the affine",
                do="give the affine of this grid",
            )
    for overlay in overlays:
        if overlay.kind not in _KINDS:
            raise InputError(
                got=f"the overlay kind {overlay.kind!r}", expected="heat, contour or mask",
                do=near_misses(overlay.kind, _KINDS),
            )  # fmt: skip
        if overlay.array.shape != image.shape:
            raise InputError(
                got=f"overlay {overlay.label!r} with shape {overlay.array.shape}",
                expected=f"the background's shape {image.shape}",
                do="resample it to the background",
            )
    if sum(overlay.kind == "heat" for overlay in overlays) > 1:
        raise InputError(
            got="two heat overlays",
            expected="at most one, because there is one colour bar",
            do="draw one as contours",
        )
