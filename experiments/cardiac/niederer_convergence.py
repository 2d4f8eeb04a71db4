"""The benchmark slab of Niederer 2011 on finer and finer voxels: how fast each discretisation comes to its limit at the nine points."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import xarray as xr

from experiments.cardiac import niederer
from experiments.cardiac._shared import check_cell_and_step, check_scheme, finite, spacing_mark
from twinsim.cli import run_script
from twinsim.errors import InputError
from twinsim.experiment import Result
from twinsim.figure_style import BLUE, GREEN, VERMILION, new_figure, quiet
from twinsim.option_checks import check_options
from twinsim.report import Report
from twinsim.workspace import Workspace

COLOURS = {"lattice": BLUE, "finite_volume": VERMILION, "blended_mass": GREEN}
DRAWN = ((20.0, 0.0, 0.0), (0.0, 7.0, 0.0), (20.0, 7.0, 3.0))  # along the fibres, across them, the far corner (P8)


@dataclass(frozen=True)
class Config:
    """Options; everything else as in cardiac/niederer."""

    spacings_mm: tuple[float, ...] = (0.5, 0.25, 0.2, 0.125, 0.1)
    """Edges of the voxels, in mm; 20, 7 and 3 mm have to be multiples of each."""
    schemes: tuple[str, ...] = ("lattice", "finite_volume")
    """Discretisations in space; see cardiac/niederer. The limit is taken from the first on the finest voxels."""
    dt_ms: float = 0.01
    """Longest time step, in ms; the same for all, so that only the error in space is seen."""
    cell_model: str = "ten_tusscher_2006_epi"
    """See cardiac/niederer."""
    precision: Literal["float32", "float64"] = "float32"
    """Floating-point precision."""


def run(config: Config, workspace: Workspace) -> Result:
    """One slab per scheme and spacing, each a stage that a resumed run keeps."""
    _check(config)
    spacings = sorted(config.spacings_mm, reverse=True)
    keys = [niederer.point_key(point) for point in niederer.POINTS_MM]
    times = np.full((len(config.schemes), len(spacings), len(keys)), np.nan)
    for row, scheme in enumerate(config.schemes):
        for column, spacing in enumerate(spacings):
            workspace.message(f"{scheme}, voxels of {spacing:g} mm")

            def slab(scheme: str = scheme, spacing: float = spacing) -> list[float | None]:
                found = niederer.run(_slab(config, scheme, spacing), workspace).summary
                return [found[key] for key in keys]

            found = workspace.stage(f"{scheme}-{spacing_mark(spacing)}", slab)
            times[row, column] = [np.nan if value is None else value for value in found]
    limit = times[0, -1]
    away = np.abs(times - limit)
    summary: dict[str, Any] = {"cell_model": config.cell_model, "limit_from": f"{config.schemes[0]}, {spacings[-1]:g} mm"}
    corner = keys[niederer.POINTS_MM.index(DRAWN[-1])]
    for row, scheme in enumerate(config.schemes):
        for column, spacing in enumerate(spacings):
            mark = f"{scheme}_dx_{spacing_mark(spacing)}"
            summary[f"{corner}_{mark}"] = finite(times[row, column, keys.index(corner)])
            summary[f"largest_difference_ms_{mark}"] = finite(float(away[row, column].max()))
    coordinates = {"scheme": list(config.schemes), "spacing": ("spacing", spacings, {"units": "mm"}), "point": keys}
    dataset = xr.Dataset({"activation": (("scheme", "spacing", "point"), times, {"units": "ms"})}, coords=coordinates)
    return Result(summary, _report(config, spacings, keys, times), dataset)


def _slab(config: Config, scheme: str, spacing: float) -> niederer.Config:
    fine: Any = {"scheme": scheme, "precision": config.precision}
    return niederer.Config(dx_mm=spacing, dt_ms=config.dt_ms, cell_model=config.cell_model, **fine)


def _check(config: Config) -> None:
    check_options(config, {"spacings_mm": (0.05, 1.0)})
    check_cell_and_step(config.cell_model, config.dt_ms)
    if not config.spacings_mm or len(set(config.spacings_mm)) < len(config.spacings_mm):
        raise InputError(f"spacings-mm {config.spacings_mm}", "different spacings, one at least", "give each once")
    if not config.schemes or len(set(config.schemes)) < len(config.schemes):
        raise InputError(f"schemes {config.schemes}", "different schemes, one at least", "give each once")
    for scheme in config.schemes:
        check_scheme(scheme)
    for spacing in config.spacings_mm:
        niederer.check(_slab(config, config.schemes[0], spacing))


def _report(config: Config, spacings: list[float], keys: list[str], times: np.ndarray) -> Report:
    report = Report("Niederer 2011, convergence", f"{config.cell_model}, steps of {config.dt_ms:g} ms, {config.precision}")
    figure = new_figure(3.0)
    panels = figure.subplots(1, len(DRAWN))
    for axes, point in zip(panels, DRAWN, strict=True):
        index = niederer.POINTS_MM.index(point)
        for row, scheme in enumerate(config.schemes):
            axes.plot(spacings, times[row, :, index], "o-", color=COLOURS[scheme], markersize=4, linewidth=1.2, label=scheme)
        axes.set_xlim(left=0)
        axes.set_title("({:g}, {:g}, {:g}) mm".format(*point), fontsize=10)
        axes.set_xlabel("voxel edge (mm)")
        quiet(axes)
    panels[0].set_ylabel("activation (ms)")
    panels[0].legend(frameon=False, fontsize=8)
    report.figure(
        figure,
        "Activation along the fibres, across them, and at the far corner.",
        "convergence",
        alt="Activation times at three points against the voxel edge, one line per discretisation",
    )
    for row, scheme in enumerate(config.schemes):
        rows = [[key.removeprefix("activation_ms_"), *(_shown(value) for value in times[row, :, n])] for n, key in enumerate(keys)]
        report.table(["Point", *(f"{spacing:g} mm" for spacing in spacings)], rows, f"{scheme}: activation in ms.")
    return report


def _shown(value: float) -> str:
    return f"{value:.2f}" if np.isfinite(value) else "none"


if __name__ == "__main__":
    run_script(__spec__)
