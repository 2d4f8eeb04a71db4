"""Velocity errors of plane waves on voxels: fibres and waves at many angles, in sheets and in volumes, by spacing, scheme and cell."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import xarray as xr

from experiments.cardiac._plane_waves import Wave, in_sheets, in_volumes, speeds, symbols_of
from experiments.cardiac._shared import check_cell_and_step, spacing_mark
from physics import CELL_MODELS, CellModel, continuum_symbol, niederer_diffusivities, plane_wave_speeds
from twinsim.cli import run_script
from twinsim.errors import InputError
from twinsim.experiment import Result
from twinsim.figure_style import BLUE, GREEN, ORANGE, VERMILION, new_figure, quiet
from twinsim.option_checks import check_options
from twinsim.report import Report
from twinsim.workspace import Workspace

COLOURS = {"default": BLUE, "order_four": GREEN, "finite_volume": VERMILION, "finite_element": ORANGE}


@dataclass(frozen=True)
class Config:
    """Options; the diffusivities are those of Niederer 2011, the converged velocity has the same time step."""

    spacings_mm: tuple[float, ...] = (0.1, 0.2, 0.3)
    """Edges of the voxels, in mm."""
    schemes: tuple[str, ...] = ("default", "order_four", "finite_volume", "finite_element")
    """default (LatticeDiffusion with the fit for the cell), order_four (the same without a fit), finite_volume (TensorDiffusion, second
    order), finite_element (linear elements on split voxels, lumped mass)."""
    cell_models: tuple[str, ...] = ("ten_tusscher_2006_epi", "mitchell_schaeffer")
    """Cells by name; see cardiac/conduction_velocity."""
    tissue: Literal["both", "sheets", "volumes"] = "both"
    """sheets: fibres and wave in the plane of the voxels; volumes: fibres turned out of it, waves in any direction."""
    dt_ms: float = 0.02
    """Longest time step, in ms."""
    held_out: int = 0
    """0: the angles of the documentation. Above: as many orientations of the fibres drawn by chance, with this seed."""
    precision: Literal["float32", "float64"] = "float64"
    """Floating-point precision."""


def run(config: Config, workspace: Workspace) -> Result:
    """Errors in percent, one stage per cell, spacing and scheme."""
    _check(config)
    along, across = niederer_diffusivities()
    waves = [*(in_sheets(config.held_out) if config.tissue != "volumes" else ())]
    waves += [*(in_volumes(config.held_out) if config.tissue != "sheets" else ())]
    sheets = np.array([wave.in_sheet for wave in waves])
    keys = [(cell, spacing, scheme) for cell in config.cell_models for spacing in config.spacings_mm for scheme in config.schemes]
    errors: dict[tuple[str, float, str], np.ndarray] = {}
    summary: dict[str, Any] = {"waves_in_sheets": int(sheets.sum()), "waves_in_volumes": int((~sheets).sum())}
    with workspace.progress(len(keys), "velocities", "tables") as bar:
        for name, spacing, scheme in keys:
            cell, mark = CELL_MODELS[name](), spacing_mark(spacing)
            converged = float(workspace.stage(f"{name}-converged", _converged(cell, along, config.dt_ms)))
            found = workspace.stage(f"{name}-{mark}-{scheme}", _speeds(cell, scheme, spacing, waves, (along, across), config.dt_ms))
            errors[name, spacing, scheme] = 100 * (found / (converged * np.sqrt([wave.diffusivity(along, across) for wave in waves])) - 1)
            for where, chosen in (("sheets", sheets), ("volumes", ~sheets)):
                if chosen.any():
                    summary[f"largest_error_percent_{where}_dx_{mark}_{scheme}_{name}"] = _largest(errors[name, spacing, scheme][chosen])
            bar.advance(1)
    summary |= _overall(config, errors)
    for name in config.cell_models:
        converged = float(workspace.stage(f"{name}-converged", _converged(CELL_MODELS[name](), along, config.dt_ms)))
        summary |= {f"converged_along_m_per_s_{name}": converged * math.sqrt(along)}
        summary |= {f"converged_across_m_per_s_{name}": converged * math.sqrt(across)}
    table = np.stack([errors[key] for key in keys]).reshape(
        len(config.cell_models), len(config.spacings_mm), len(config.schemes), len(waves)
    )
    places = ("cell_model", "spacing", "scheme", "wave")
    dataset = xr.Dataset(
        {
            "error": (places, table, {"units": "percent", "missing": "no wave"}),
            "fibre": (("wave", "axis"), np.array([wave.fibre for wave in waves]), {"units": "1"}),
            "direction": (("wave", "axis"), np.array([wave.direction for wave in waves]), {"units": "1"}),
        },
        coords={
            "cell_model": list(config.cell_models),
            "spacing": ("spacing", list(config.spacings_mm), {"units": "mm"}),
            "scheme": list(config.schemes),
        },
    )
    return Result(summary, _report(config, summary, waves, errors), dataset)


def _converged(cell: CellModel, along: float, dt_ms: float) -> Callable[[], float]:
    """Velocity without a lattice over the square root of the diffusivity."""

    def compute() -> float:
        speeds = plane_wave_speeds(cell, [continuum_symbol(along)], [along], dt_ms, float(cell.front_time()))
        return float(speeds[0]) / math.sqrt(along)

    return compute


def _speeds(
    cell: CellModel, scheme: str, spacing: float, waves: list[Wave], diffusivities: tuple[float, float], dt_ms: float
) -> Callable[[], np.ndarray]:
    """m/s on the lattice, NaN where no wave travels."""

    def compute() -> np.ndarray:
        symbols = symbols_of(scheme, waves, spacing, cell, diffusivities)
        return speeds(cell, symbols, [wave.diffusivity(*diffusivities) for wave in waves], dt_ms)

    return compute


def _largest(errors: np.ndarray) -> float | None:
    """Of the sizes; None where a wave is blocked."""
    return float(np.abs(errors).max()) if np.isfinite(errors).all() else None


def _overall(config: Config, errors: dict[tuple[str, float, str], np.ndarray]) -> dict[str, float | None]:
    """Over all cells and waves: the largest error, and of how many waves the default errs less than half as much as a scheme."""
    found: dict[str, float | None] = {}
    for spacing in config.spacings_mm:
        mark = spacing_mark(spacing)
        by_scheme = {scheme: np.concatenate([errors[name, spacing, scheme] for name in config.cell_models]) for scheme in config.schemes}
        for scheme, values in by_scheme.items():
            found[f"largest_error_percent_dx_{mark}_{scheme}"] = _largest(values)
            if scheme != "default" and "default" in by_scheme:
                worse = ~np.isfinite(values) | (np.abs(by_scheme["default"]) < np.abs(values) / 2)
                found[f"share_where_default_errs_under_half_of_{scheme}_dx_{mark}"] = float(worse.mean())
    return found


def _check(config: Config) -> None:
    check_options(config, {"spacings_mm": (0.01, 1.0), "held_out": (0, 1000)})
    for name in config.cell_models:
        check_cell_and_step(name, config.dt_ms)
    if not (config.cell_models and config.spacings_mm and config.schemes):
        raise InputError("no cell-models, spacings-mm or schemes", "at least one of each", "leave the option out for the defaults")
    for scheme in config.schemes:
        if scheme not in COLOURS:
            raise InputError(f"schemes {scheme!r}", f"one of {', '.join(COLOURS)}", "choose from these")


def _report(config: Config, summary: dict[str, Any], waves: list[Wave], errors: dict[tuple[str, float, str], np.ndarray]) -> Report:
    report = Report("Velocity on voxels", "errors of plane waves, percent of the converged velocity of the same time step")
    if any(not np.isfinite(values).all() for values in errors.values()):
        report.warn("In some directions no wave travels on these voxels: those points are missing, and their largest error says none.")
    turned = np.array([wave.angle_deg for wave in waves])
    for name in config.cell_models:
        figure = new_figure(3.2)
        panels = figure.subplots(1, len(config.spacings_mm), squeeze=False, sharey=True)[0]
        for axes, spacing in zip(panels, config.spacings_mm, strict=True):
            for shift, scheme in enumerate(reversed(config.schemes)):
                axes.plot(turned + 1.2 * shift, errors[name, spacing, scheme], "o", color=COLOURS[scheme], markersize=2.2, label=scheme)
            axes.axhline(0, color="black", linewidth=0.6)
            axes.set_title(f"{spacing:g} mm", fontsize=10)
            axes.set_xlabel("wave to fibres (degrees)")
            quiet(axes)
        panels[0].set_ylabel("error of velocity (%)")
        panels[-1].legend(frameon=False, fontsize=8)
        report.figure(
            figure, f"{name}: every point one orientation of the fibres.", f"errors_{name}", alt="Velocity errors against the wave's angle"
        )
    report.table(["Quantity", "Value"], [[key, "none" if value is None else f"{value:.4g}"] for key, value in summary.items()])
    return report


if __name__ == "__main__":
    run_script(__spec__)
