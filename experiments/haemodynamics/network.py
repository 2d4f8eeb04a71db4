"""Pressure and flow waves in a network of arteries from an openBF file, beat after beat until they repeat."""

import math
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import jax
import numpy as np
import xarray as xr

from physics import Beat, Periodic, beat, beat_mesh, run_to_period
from solvers import SimulationError
from twinsim.cli import run_script
from twinsim.errors import InputError
from twinsim.experiment import Result
from twinsim.figure_style import CYCLE, new_figure, quiet
from twinsim.openbf_file import OpenBFFile, read_openbf
from twinsim.option_checks import check_options
from twinsim.report import Report
from twinsim.workspace import Workspace

if TYPE_CHECKING:
    from physics import ArteryNetwork, ArteryState

MIDDLE = 2
SHOWN = 6
STATIONS = ("start", "quarter", "middle", "three_quarters", "end")


@dataclass(frozen=True)
class Config:
    """Options; what is not here is in the file."""

    network: str = ""
    """The openBF v2 file (YAML) with its inlet's table beside it."""
    conventions: Literal["openbf", "textbook"] = "openbf"
    """openbf: as openBF v2 computes it (see docs/theory/arterial_networks.md); textbook: vessels tapered as the file says, total pressure
    at every junction, Coriolis coefficient of the velocity profile."""
    scheme: Literal["second_order", "openbf"] = "second_order"
    """second_order: of order two also at the ends of vessels; openbf: openBF v2's own steps, to repeat its waveforms."""
    walls: Literal["file", "elastic", "viscoelastic"] = "file"
    """file: viscous where a vessel says visco-elastic: true; or all elastic, or all viscoelastic (Kelvin-Voigt, viscosity by radius)."""
    cell_mm: float = 0.0
    """Longest cell, in mm; 0 takes the file's cells, at most 1 mm."""
    cycles: int = 0
    """Most beats; 0 takes the file's."""
    tolerance_mmhg: float = 0.0
    """Root mean square difference of mid-vessel pressure between two beats at which it stops, in mmHg; 0 takes the file's."""
    settle: Literal["plain", "anderson"] = "plain"
    """How beats follow one another until they repeat: each from the end of the last, as openBF has it, or accelerated (Anderson), which
    pays for tolerances below about 0.1 mmHg."""
    precision: Literal["float32", "float64"] = "float64"
    """Floating-point precision."""


def run(config: Config, workspace: Workspace) -> Result:
    """Beats until the pressures repeat; numbers are those of the last beat."""
    file = _read(config)
    network, mesh = file.network, beat_mesh(float(file.network.period), file.samples)
    began = time.perf_counter()
    compiled = jax.jit(lambda network, state: beat(network, state, mesh)).lower(network, network.initial_state()).compile()
    compile_seconds = time.perf_counter() - began

    def program(network: "ArteryNetwork", state: "ArteryState") -> Beat:
        return compiled(network, state)

    began = time.perf_counter()
    with workspace.progress(file.cycles, "heart beats", "beats") as bar:
        periodic = run_to_period(
            network,
            file.cycles,
            file.tolerance_pa,
            file.samples,
            seen=lambda _cycle, _difference: bar.advance(1),
            program=program,
            settle=config.settle,
        )
    run_seconds = time.perf_counter() - began
    try:
        periodic.raise_for_status()
    except SimulationError as error:
        raise InputError(f"{config.network}: {error}", "a network whose vessels stay open", "change the file") from None
    notes = list(file.notes)
    if not periodic.converged:
        found = f"{periodic.difference / 133.322:.3g} mmHg" if math.isfinite(periodic.difference) else "not known after one beat"
        notes.append(f"The pressures did not repeat within {file.cycles} beats: the difference to the beat before is {found}.")
    summary: dict[str, Any] = {
        "vessels": len(network.labels),
        "cells": sum(network.cells),
        "period_seconds": float(network.period),
        "cycles_to_convergence": periodic.cycles if periodic.converged else None,
        "cycles": periodic.cycles,
        "difference_mmhg": periodic.difference / 133.322 if math.isfinite(periodic.difference) else None,
        "run_seconds": run_seconds,
        "compile_seconds": compile_seconds,
    }
    summary |= _per_vessel(network.labels, periodic)
    return Result(summary, _report(file, periodic, summary, notes), _dataset(network.labels, periodic), notes=notes)


def _read(config: Config) -> OpenBFFile:
    check_options(config, {"cell_mm": (0.0, 50.0), "cycles": (0, 100_000), "tolerance_mmhg": (0.0, 1000.0)})
    if not config.network:
        raise InputError("no --network", "an openBF v2 file", "give --network PATH")
    if not (config.cell_mm == 0 or 0.05 <= config.cell_mm <= 50):
        raise InputError(f"cell-mm {config.cell_mm:g}", "0.05 to 50 mm, or 0 for the file's", "use 1")
    if config.scheme == "openbf" and config.conventions == "textbook":
        raise InputError("--scheme openbf with --conventions textbook", "a scheme for that profile", "use --conventions openbf")
    file = read_openbf(config.network, config.conventions, config.cell_mm, config.walls)
    if config.scheme == "openbf" and file.network.wall_viscosity is not None:
        raise InputError(f"{config.network}: --scheme openbf with viscous walls", "elastic walls in that scheme", "add --walls elastic")
    file = replace(file, network=replace(file.network, scheme=config.scheme))
    return replace(file, cycles=config.cycles or file.cycles, tolerance_pa=133.322 * config.tolerance_mmhg or file.tolerance_pa)


def _per_vessel(labels: tuple[str, ...], periodic: Periodic) -> dict[str, float]:
    """Headline numbers half way along each vessel; means over time by the trapezoidal rule."""
    pressure, flow = (np.asarray(wave[:, MIDDLE], float) for wave in (periodic.beat.pressure, periodic.beat.flow))
    mean_pressure, mean_flow = (np.trapezoid(wave, periodic.times, axis=1) / periodic.times[-1] for wave in (pressure, flow))
    found: dict[str, float] = {}
    for row, label in enumerate(labels):
        found |= {
            f"{label}_pressure_mean_pa": mean_pressure[row],
            f"{label}_pressure_max_pa": pressure[row].max(),
            f"{label}_pressure_min_pa": pressure[row].min(),
            f"{label}_flow_mean_m3_per_s": mean_flow[row],
            f"{label}_flow_max_m3_per_s": flow[row].max(),
        }
    return found


def _dataset(labels: tuple[str, ...], periodic: Periodic) -> xr.Dataset:
    axes, last = ("vessel", "station", "time"), periodic.beat
    waves = {"pressure": (last.pressure, "Pa"), "flow": (last.flow, "m3/s"), "area": (last.area, "m2"), "velocity": (last.velocity, "m/s")}
    return xr.Dataset(
        {name: (axes, np.asarray(wave), {"units": unit}) for name, (wave, unit) in waves.items()},
        coords={"vessel": list(labels), "station": list(STATIONS), "time": ("time", periodic.times, {"units": "s"})},
    )


def _report(file: OpenBFFile, periodic: Periodic, summary: dict[str, Any], notes: list[str]) -> Report:
    labels, times = file.network.labels, periodic.times
    report = Report(f"Arterial network {file.name}", f"{len(labels)} vessels, {summary['cells']} cells, {periodic.cycles} beats")
    for note in notes:
        report.warn(note)
    pressure = np.asarray(periodic.beat.pressure[:, MIDDLE]) / 133.322
    flow = np.asarray(periodic.beat.flow[:, MIDDLE]) * 1e6
    order = np.argsort(-np.ptp(flow, axis=1))
    shown = order[np.unique(np.linspace(0, len(labels) - 1, min(SHOWN, len(labels))).round().astype(int))]
    report.headline(
        [
            ("Beats", periodic.cycles, ""),
            ("Difference to the beat before", summary["difference_mmhg"], "mmHg"),
            ("Largest pulse", float(np.ptp(pressure, axis=1).max()), "mmHg"),
            ("Run", summary["run_seconds"], "s"),
        ]
    )
    figure = new_figure(5.6)
    upper, lower = figure.subplots(2, 1, sharex=True)
    for place, (colour, vessel) in enumerate(zip(CYCLE, shown)):
        style = (0, (4, 2)) if place % 2 else "-"  # twins lie on one another
        upper.plot(times, pressure[vessel], color=colour, linewidth=1.4, linestyle=style, zorder=3 + place % 2, label=labels[vessel])
        lower.plot(times, flow[vessel], color=colour, linewidth=1.4, linestyle=style, zorder=3 + place % 2)
    upper.set_ylabel("pressure (mmHg)")
    lower.set_ylabel("flow (mL/s)")
    lower.set_xlabel("time (s)")
    upper.legend(frameon=False, fontsize=8, ncols=2)
    quiet(upper)
    quiet(lower)
    report.figure(
        figure, "Pressure and flow half way along vessels, from the most to the least pulsatile.", "waves", alt="Pressure and flow in time"
    )
    rows = [
        [labels[v], *(summary[f"{labels[v]}_pressure_{k}_pa"] / 133.322 for k in ("mean", "max", "min")),
         *(summary[f"{labels[v]}_flow_{k}_m3_per_s"] * 1e6 for k in ("mean", "max"))]
        for v in range(len(labels))
    ]  # fmt: skip
    columns = ["Vessel", "Mean pressure (mmHg)", "Highest", "Lowest", "Mean flow (mL/s)", "Highest flow"]
    report.table(columns, rows, "Half way along each vessel, last beat.")
    return report


if __name__ == "__main__":
    run_script(__spec__)
