"""Figures of the flow in a voxel vessel."""

import numpy as np
from matplotlib.figure import Figure

from twinsim.figure_style import BLUE, INK, VERMILION, new_figure, quiet


def middle_plane(velocity: np.ndarray, curl: np.ndarray, inside: np.ndarray, voxel_mm: float) -> Figure:
    """Speed (m/s) and the vorticity across (1/s) in the plane in the middle of z; arrays ``(3, x, y, z)`` and ``(x, y, z)``."""
    figure = new_figure(4.2)
    middle = curl.shape[2] // 2
    shown = np.sqrt((velocity[..., middle] ** 2).sum(axis=0)), curl[..., middle]
    extent = (0, curl.shape[0] * voxel_mm, 0, curl.shape[1] * voxel_mm)
    for axes, field, label in zip(figure.subplots(2, 1), shown, ("speed (m/s)", "vorticity (1/s)"), strict=True):
        signed = label.startswith("vorticity")
        bound = max(float(np.abs(field).max()), 1e-12)
        image = axes.imshow(
            np.where(inside[..., middle], field, np.nan).T,
            origin="lower",
            extent=extent,
            cmap="RdBu_r" if signed else "viridis",
            vmin=-bound if signed else 0,
            vmax=bound,
        )
        figure.colorbar(image, ax=axes, label=label)
        axes.set_xlabel("x (mm)")
        axes.set_ylabel("y (mm)")
    return figure


def wall_shear(place_mm: np.ndarray, average: np.ndarray, times: np.ndarray, shear: np.ndarray) -> Figure:
    """Time-averaged wall shear stress (Pa) along the axis, and the stress ``(time, point, 3)`` over a beat."""
    figure = new_figure(3.6)
    left, right = figure.subplots(1, 2)
    left.plot(place_mm, average, ".", color=BLUE, markersize=2, label="time average")
    left.set_xlabel("along the axis (mm)")
    left.set_ylabel("wall shear stress (Pa)")
    size = np.linalg.norm(shear, axis=-1)
    right.plot(times, size.mean(axis=1), color=INK, label="mean of the wall")
    right.plot(times, size.max(axis=1), color=VERMILION, label="largest")
    right.set_xlabel("time in the last beat (s)")
    right.set_ylabel("wall shear stress (Pa)")
    for axes in (left, right):
        axes.legend(frameon=False, fontsize=8)
        quiet(axes)
    return figure


def pressure_drop(courses: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]) -> Figure:
    """The drop of pressure and both pressures over a beat, by two methods: times (s), pressure before and behind (mmHg) of each."""
    figure = new_figure(3.6)
    left, right = figure.subplots(1, 2)
    for colour, (label, (times, before, behind)) in zip((BLUE, VERMILION), courses.items(), strict=True):
        left.plot(times, before - behind, color=colour, label=label)
        right.plot(times, before, color=colour, label=f"before, {label}")
        right.plot(times, behind, "--", color=colour, label=f"behind, {label}")
    left.set_ylabel("pressure drop (mmHg)")
    right.set_ylabel("pressure (mmHg)")
    for axes in (left, right):
        axes.set_xlabel("time in the last beat (s)")
        axes.legend(frameon=False, fontsize=7)
        quiet(axes)
    left.axhline(0, color=INK, linewidth=0.5)
    return figure


def bolus_curves(times: np.ndarray, courses: dict[str, np.ndarray]) -> Figure:
    """Concentrations, as parts of the highest that is injected, over time (s)."""
    figure = new_figure(3.2)
    axes = figure.subplots()
    last = max(int(np.flatnonzero(course > 1e-3 * course.max())[-1]) for course in courses.values() if course.max() > 0)
    shown = slice(0, min(len(times), last + 3))
    for colour, style, (label, course) in zip((INK, BLUE, VERMILION), ("-", "-", "--"), courses.items(), strict=True):
        axes.plot(times[shown], course[shown], style, color=colour, label=label)
    axes.set_xlabel("time since the injection began (s)")
    axes.set_ylabel("concentration over highest injected")
    axes.legend(frameon=False, fontsize=8)
    quiet(axes)
    return figure
