"""The benchmark slab of Niederer 2011: when the wave from one corner reaches nine points, on voxels of any size and fibres at any angle."""

import math
import resource
import sys
import time
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import xarray as xr

from experiments.cardiac._shared import check_cell_and_step, check_scheme, conduction, finite, on_all_devices
from physics import (
    CELL_MODELS,
    NIEDERER_2011,
    Monodomain,
    RecordActivation,
    TissueStimulus,
    box_fraction,
    niederer_diffusivities,
    until_activated,
)
from solvers import SimulationError, VoxelGrid
from twinsim.cli import run_script
from twinsim.errors import InputError
from twinsim.experiment import Result
from twinsim.figure_style import new_figure
from twinsim.option_checks import check_options
from twinsim.report import Report
from twinsim.workspace import Workspace

BOX_MM = (20.0, 7.0, 3.0)
POINTS_MM = (
    *((0.0, 0.0, 0.0), (20.0, 0.0, 0.0), (0.0, 0.0, 3.0), (20.0, 0.0, 3.0)),
    *((0.0, 7.0, 0.0), (20.0, 7.0, 0.0), (0.0, 7.0, 3.0), (20.0, 7.0, 3.0), (10.0, 3.5, 1.5)),
)
STIMULATED_MM = 1.5
CHUNK_MS = 2.0  # as long as the stimulus, so that all chunks have their steps laid out alike and share one program


@dataclass(frozen=True)
class Config:
    """Options of the benchmark: a slab of 20 x 7 x 3 mm, a cube of 1.5 mm stimulated at its corner."""

    dx_mm: float = 0.2
    """Edge of a voxel; 20, 7 and 3 mm have to be multiples of it. In mm."""
    dt_ms: float = 0.01
    """Longest time step, in ms."""
    fibre_angle_deg: float = 0.0
    """Angle of the fibres to the long axis, in the plane of the two longer ones; 0 in the publication. In degrees."""
    scheme: Literal["lattice", "finite_volume", "blended_mass"] = "lattice"
    """Discretisation in space: lattice (fitted speed at every angle), finite_volume (second order), blended_mass (fibres along an axis)."""
    splitting: Literal["strang", "godunov"] = "strang"
    """Splitting of cells and diffusion: of second or of first order in time."""
    cell_model: str = "ten_tusscher_2006_epi"
    """ten_tusscher_2006_epi (the publication's), _mid or _endo, ohara_rudy_2011_epi (_mid, _endo), ohara_rudy_cipa_2017_epi (_mid,
    _endo), tor_ord_2019_epi (_mid, _endo), courtemanche_1998, bueno_orovio_2008_epi (_mid, _endo), mitchell_schaeffer, aliev_panfilov."""
    precision: Literal["float32", "float64"] = "float32"
    """Floating-point precision."""
    limit_ms: float = 300.0
    """When to give up waiting for the last voxel, in ms."""


def run(config: Config, workspace: Workspace) -> Result:
    """Runs until every voxel has been activated, and reads the nine points off."""
    check(config)
    shape = tuple(round(length / config.dx_mm) for length in BOX_MM)
    grid = VoxelGrid(np.ones(shape, bool), config.dx_mm)
    cell = CELL_MODELS[config.cell_model]()
    along, across = niederer_diffusivities()
    diffusion = conduction(config.scheme, grid, cell, along, across, config.fibre_angle_deg)
    p = {name: NIEDERER_2011[name].value for name in NIEDERER_2011}
    cube = box_fraction(grid, (0.0, 0.0, 0.0), (STIMULATED_MM,) * 3)
    equation = Monodomain(cell, diffusion, (TissueStimulus(grid, cube, p["stimulus"], p["stimulus_duration"]),)).for_step(config.dt_ms)
    equation.mesh([CHUNK_MS], config.dt_ms)  # refuses a step that is too long
    equation = on_all_devices(equation, grid)
    recorder = RecordActivation(equation.stepper() if config.splitting == "strang" else equation.godunov(), cell)
    start = recorder.start(equation.initial_state(grid))
    edges = equation.stimuli[0].edges()
    first, again = (_timed(lambda: until_activated(recorder, start, config.dt_ms, CHUNK_MS, None, edges, CHUNK_MS)) for _ in range(2))
    with workspace.progress(100, "activated", "%") as bar:
        shown = [0]

        def progress(fraction: float, _: float) -> None:
            bar.advance(int(100 * fraction) - shown[0])
            shown[0] = int(100 * fraction)

        began = time.perf_counter()
        try:
            state, reached = until_activated(recorder, start, config.dt_ms, config.limit_ms, None, edges, CHUNK_MS, progress)
        except SimulationError as error:
            raise InputError(
                f"dt-ms {config.dt_ms:g} at dx-mm {config.dx_mm:g}: {error}", "a run that ends well", "shorten dt-ms"
            ) from None
        seconds = time.perf_counter() - began
    times = np.asarray(grid.volume(state.record.activation_times()), float)
    steps = round(reached / CHUNK_MS) * math.ceil(CHUNK_MS / config.dt_ms - 1e-9)
    summary: dict[str, Any] = {"scheme": config.scheme, "cell_model": config.cell_model}
    summary |= {point_key(point): finite(at_point(times, grid.spacing, point)) for point in POINTS_MM}
    summary |= {
        "voxels": grid.size,
        "steps": steps,
        "simulated_ms": reached,
        "activated_fraction": float(np.isfinite(times).mean()),
        "devices": 1 if equation.devices is None else equation.devices.size,
        "cell_steps_per_second": grid.size * steps / seconds,
        "compile_seconds": max(first - again, 0.0),
        "run_seconds": seconds,
        "peak_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 1024),
    }
    coordinates = {name: (name, (np.arange(n) + 0.5) * config.dx_mm, {"units": "mm"}) for name, n in zip("xyz", shape, strict=True)}
    dataset = xr.Dataset({"activation": (("x", "y", "z"), times, {"units": "ms"})}, coords=coordinates)
    affine = np.diag([config.dx_mm] * 3 + [1.0])
    affine[:3, 3] = config.dx_mm / 2
    return Result(summary, _report(config, summary, times), dataset, {"activation_ms": (times.astype(np.float32), affine)})


def point_key(point: tuple[float, float, float]) -> str:
    """Name of a point's activation time in the summary."""
    x, y, z = point
    return f"activation_ms_x{x:g}_y{y:g}_z{z:g}"


def at_point(times: np.ndarray, spacing: tuple[float, float, float], point: tuple[float, float, float]) -> float:
    """A field of voxel centres at a point, by the cubic through four centres per axis.

    The publication's points are nodes, and its corners lie on walls, half a voxel beyond the outermost centres. No flux means that the
    field goes on as its mirror image there, so that the cubic at a wall is a parabola with its vertex on it: of third order at least.
    """
    value = times
    for h, coordinate in zip(spacing, point, strict=True):
        n = value.shape[0]
        place = coordinate / h - 0.5
        first = math.floor(place + 1e-9) - 1
        total = np.zeros(value.shape[1:])
        for index in range(first, first + 4):
            others = [other for other in range(first, first + 4) if other != index]
            weight = math.prod((place - other) / (index - other) for other in others)
            mirrored = index % (2 * n)
            total = total + (weight * value[min(mirrored, 2 * n - 1 - mirrored)] if weight else 0.0)
        value = total
    return float(value)


def check(config: Config) -> None:
    """Refuses what the slab cannot be made of."""
    check_options(config, {"fibre_angle_deg": (-360.0, 360.0), "limit_ms": (CHUNK_MS, 1e4)})
    check_cell_and_step(config.cell_model, config.dt_ms)
    check_scheme(config.scheme)
    if not 0.05 <= config.dx_mm <= 1.0 or any(abs(length / config.dx_mm - round(length / config.dx_mm)) > 1e-6 for length in BOX_MM):
        raise InputError(f"dx-mm {config.dx_mm:g}", "0.05 to 1 mm, a divisor of 20, 7 and 3 mm", "use 0.5, 0.25, 0.2, 0.125 or 0.1")


def _timed(work: Any) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _report(config: Config, summary: dict[str, Any], times: np.ndarray) -> Report:
    title = f"{config.cell_model}, {config.scheme}, voxels of {config.dx_mm:g} mm, steps of {config.dt_ms:g} ms"
    report = Report("Niederer 2011", title)
    if summary["activated_fraction"] < 1:
        report.warn(f"Only {summary['activated_fraction']:.1%} of the slab was activated within {config.limit_ms:g} ms.")
    figure = new_figure(3.0)
    axes = figure.subplots(1, 1)
    middle = times[:, :, times.shape[2] // 2]
    image = axes.imshow(middle.T, origin="lower", extent=(0, BOX_MM[0], 0, BOX_MM[1]), cmap="viridis")
    reached = np.where(np.isfinite(middle), middle, np.nan)
    if np.isfinite(middle).sum() > 1:
        levels = np.arange(0, np.nanmax(reached), 5)
        x, y = ((np.arange(n) + 0.5) * config.dx_mm for n in middle.shape)
        axes.contour(x, y, reached.T, levels=levels, colors="white", linewidths=0.6)
    figure.colorbar(image, ax=axes, label="activation (ms)")
    axes.set_xlabel("x (mm)")
    axes.set_ylabel("y (mm)")
    report.figure(figure, "Activation in the middle plane, lines every 5 ms.", "activation", alt="Map of activation times in the slab")
    rows = [[f"({x:g}, {y:g}, {z:g})", summary[point_key((x, y, z))]] for x, y, z in POINTS_MM]
    report.table(["Point (mm)", "Activation (ms)"], [[name, "none" if value is None else f"{value:.3f}"] for name, value in rows])
    costs = ("voxels", "steps", "cell_steps_per_second", "compile_seconds", "run_seconds", "peak_memory_mib")
    report.table(["Cost", "Value"], [[name, f"{summary[name]:.6g}"] for name in costs])
    return report


if __name__ == "__main__":
    run_script(__spec__)
