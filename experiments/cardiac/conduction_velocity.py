"""Conduction velocity of a plane wave on voxels against the continuum: fibres at any angle to the grid, any spacing and discretisation."""

import math
import time
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import xarray as xr

from experiments.cardiac._shared import check_cell_and_step, check_scheme, conduction, fibre
from physics import CELL_MODELS, CellModel, continuum_symbol, lattice_symbol, niederer_diffusivities, plane_wave_speed
from solvers import MassSolved, VoxelGrid
from twinsim.cli import run_script
from twinsim.experiment import Result
from twinsim.figure_style import BLUE, VERMILION, new_figure, quiet
from twinsim.option_checks import check_options
from twinsim.report import Report
from twinsim.workspace import Workspace

HALF = 8  # voxels from the middle of the box that answers for the lattice to its walls


@dataclass(frozen=True)
class Config:
    """Options; the diffusivities are those of Niederer 2011."""

    angle_deg: float = 0.0
    """Angle of the fibres to the first axis of the grid, in degrees."""
    wave_deg: float = 0.0
    """Angle of the wave's direction to the fibres, in the plane of the grid: 0 along, 90 across. In degrees."""
    dx_mm: float = 0.2
    """Edge of a voxel, in mm."""
    dt_ms: float = 0.01
    """Longest time step, in ms."""
    scheme: Literal["lattice", "finite_volume", "blended_mass"] = "lattice"
    """Discretisation in space: lattice (fitted speed at every angle), finite_volume (second order), blended_mass (fibres along an axis)."""
    cell_model: str = "ten_tusscher_2006_epi"
    """ten_tusscher_2006_epi, _mid or _endo, ohara_rudy_2011_epi (_mid, _endo), ohara_rudy_cipa_2017_epi (_mid, _endo), tor_ord_2019_epi
    (_mid, _endo), courtemanche_1998, bueno_orovio_2008_epi (_mid, _endo), mitchell_schaeffer, aliev_panfilov."""
    sweep: Literal["none", "waves"] = "none"
    """waves: also the error at every 15 degrees between wave and fibres."""
    precision: Literal["float32", "float64"] = "float64"
    """Floating-point precision."""


def run(config: Config, workspace: Workspace) -> Result:
    """Velocities on the voxels and without them, at the same time step."""
    _check(config)
    cell, (along, across) = CELL_MODELS[config.cell_model](), niederer_diffusivities()
    began = time.perf_counter()
    width, front = math.sqrt(along), float(cell.front_time())
    scaled = plane_wave_speed(cell, continuum_symbol(along), along, config.dt_ms, front) / width
    angles = sorted({0.0, 90.0, config.wave_deg, *(range(0, 180, 15) if config.sweep == "waves" else ())})
    found: dict[float, tuple[float | None, float]] = {}
    with workspace.progress(len(angles), "plane waves", "waves") as bar:
        for angle in angles:
            diffusivity = along * math.cos(math.radians(angle)) ** 2 + across * math.sin(math.radians(angle)) ** 2
            found[angle] = (_on_voxels(config, cell, along, across, angle, diffusivity, front), scaled * math.sqrt(diffusivity))
            bar.advance(1)
    summary: dict[str, Any] = {"scheme": config.scheme, "cell_model": config.cell_model}
    for name, angle in (("", config.wave_deg), ("along_", 0.0), ("across_", 90.0)):
        speed, exact = found[angle]
        summary |= {
            f"conduction_velocity_{name}m_per_s": speed,
            f"converged_{name}m_per_s": exact,
            f"error_{name}percent": _error(speed, exact),
        }
    if config.sweep == "waves":
        errors = [_error(*pair) for pair in found.values()]
        summary["largest_error_percent"] = None if None in errors else max(abs(error) for error in errors if error is not None)
        summary |= {f"error_percent_at_{angle:g}_deg": _error(*pair) for angle, pair in found.items()}
    summary["run_seconds"] = time.perf_counter() - began
    if summary["conduction_velocity_m_per_s"] is None:
        workspace.message("note: no wave travels on these voxels")
    values = {
        "velocity": [math.nan if speed is None else speed for speed, _ in found.values()],
        "converged": [exact for _, exact in found.values()],
    }
    dataset = xr.Dataset(
        {name: ("angle", row, {"units": "m/s"}) for name, row in values.items()}, coords={"angle": ("angle", angles, {"units": "degree"})}
    )
    return Result(summary, _report(config, summary, angles, values), dataset)


def _on_voxels(
    config: Config, cell: CellModel, along: float, across: float, wave_deg: float, diffusivity: float, front: float
) -> float | None:
    """Speed on the lattice, from the answer of the operator itself to one voxel; None where the wave is blocked."""
    size = 2 * HALF + 1
    grid = VoxelGrid(np.ones((size, size, 1), bool), (config.dx_mm, config.dx_mm, 1.0))
    operator, mass = conduction(config.scheme, grid, cell, along, across, config.angle_deg), None
    if isinstance(operator, MassSolved):  # the solved mass reaches everywhere: stiffness and mass answer on their own
        operator, mass = operator.stiffness, operator.mass
    direction = np.array(fibre(config.angle_deg + wave_deg))
    try:
        return plane_wave_speed(cell, lattice_symbol(operator, grid, direction, mass), diffusivity, config.dt_ms, front)
    except ArithmeticError:
        return None


def _error(speed: float | None, exact: float) -> float | None:
    return None if speed is None else 100 * (speed / exact - 1)


def _check(config: Config) -> None:
    check_options(config, {"dx_mm": (0.01, 1.0), "angle_deg": (-360.0, 360.0), "wave_deg": (-360.0, 360.0)})
    check_cell_and_step(config.cell_model, config.dt_ms)
    check_scheme(config.scheme)


def _report(config: Config, summary: dict[str, Any], angles: list[float], values: dict[str, list[float]]) -> Report:
    report = Report(
        "Conduction velocity", f"{config.cell_model}, {config.scheme}, {config.dx_mm:g} mm, fibres at {config.angle_deg:g} degrees"
    )
    if any(math.isnan(speed) for speed in values["velocity"]):
        report.warn("On these voxels no wave travels in some direction: finer voxels, or the scheme lattice, are needed.")
    figure = new_figure(3.0)
    axes = figure.subplots(1, 1)
    along, across = summary["converged_along_m_per_s"], summary["converged_across_m_per_s"]
    fine = np.linspace(min(angles), max(angles), 181)
    exact = np.hypot(along * np.cos(np.radians(fine)), across * np.sin(np.radians(fine)))
    axes.plot(fine, exact, color=BLUE, linewidth=1.4, label="converged")
    axes.plot(angles, values["velocity"], "o", color=VERMILION, markersize=4, label="on the voxels")
    axes.set_xlabel("wave to fibres (degrees)")
    axes.set_ylabel("velocity (m/s)")
    axes.legend(frameon=False)
    quiet(axes)
    report.figure(figure, "Velocity of plane waves against their angle to the fibres.", "velocity", alt="Velocity against angle")
    report.table(["Quantity", "Value"], [[name, "none" if value is None else str(value)] for name, value in summary.items()])
    return report


if __name__ == "__main__":
    run_script(__spec__)
