"""A heart cell of four variables with a learned slow current in place of nineteen: restitution, velocity, cost, and re-entry."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import xarray as xr

from twinsim.cli import run_script
from twinsim.errors import InputError
from twinsim.experiment import Result, finite_or_none
from twinsim.figure_style import BLUE, GREEN, SOFT, VERMILION, new_figure, quiet
from twinsim.option_checks import check_options
from twinsim.report import Report
from twinsim.workspace import Workspace

UNSEEN_CYCLES = (380.0, 480.0, 640.0, 880.0)  # ms; training has 350, 420, 530, 720 and 1000
UNSEEN_SHARES = ((1.0, 1.0), (0.8, 0.9), (0.5, 0.7), (0.75, 0.65), (0.45, 0.95))
"""Shares of rapid potassium and calcium channels left open; training has 1, 0.63, 0.4 and 1, 0.77, 0.6. The first is no drug."""
PREMATURE_MS = 80.0  # the rest nearest to this is also the one before waves on cables
RANGES = {
    "seeds": (1, 20),
    "training_cells": (5, 45),
    "hidden_units": (1, 32),
    "regression_steps": (1, 100_000),
    "solver_iterations": (0, 200),
    "rounds": (1, 10),
    "test_beats": (2, 1000),
    "test_cycles": (1, 4),
    "rests_ms": (5.0, 1000.0),
    "cell_dt_ms": (0.01, 0.1),
    "dx_mm": (0.05, 0.5),
    "dt_ms": (0.005, 0.05),
    "diffusivity_mm2_per_ms": (0.01, 1.0),
    "speed_side_voxels": (8, 2000),
    "speed_steps": (1, 10_000),
    "reentry_ms": (0.0, 1e5),
    "reentry_side_mm": (5.0, 400.0),
    "reentry_dx_mm": (0.1, 1.0),
}


@dataclass(frozen=True)
class Config:
    """Options; the full cell is ten Tusscher and Panfilov's of 2006, epicardial."""

    source: Literal["train", "shipped"] = "shipped"
    """Measure the closure that is shipped, or train from beats that are made here (minutes a seed)."""
    seed: int = 0
    """First seed: of the weights, the rests before premature training beats, and the samples."""
    seeds: int = 1
    """How many trainings, from this seed on; the figures are of the first."""
    training_cells: int = 45
    """Rates times blocks that are recorded, of 45."""
    hidden_units: int = 10
    """Of the one hidden layer."""
    regression_steps: int = 800
    """Optimiser steps on currents, before the solver."""
    solver_iterations: int = 14
    """Levenberg-Marquardt trials through all beats in the first round; later rounds have half as many."""
    rounds: int = 3
    """Of slow parts in the solver and then velocities on cables."""
    test_beats: int = 10
    """Regular beats before a premature one at unseen rates."""
    test_cycles: int = 4
    """How many of the unseen cycle lengths (880, 640, 480, 380 ms) are tested."""
    rests_ms: tuple[float, ...] = (40.0, 60.0, 80.0, 120.0, 170.0, 250.0, 400.0)
    """From 90 % repolarisation to the premature stimulus, in ms."""
    cell_dt_ms: float = 0.05
    """Step of cells by themselves, in ms."""
    dx_mm: float = 0.2
    """Between the cells of cables, in mm."""
    dt_ms: float = 0.02
    """Step on cables, in ms."""
    diffusivity_mm2_per_ms: float = 0.154
    """Of cables and sheets, in mm²/ms."""
    speed_side_voxels: int = 128
    """Side of the sheet on which tissue is timed, both cells at the same voxels and steps."""
    speed_steps: int = 50
    """Steps that are timed."""
    reentry_ms: float = 0.0
    """How long re-entry is followed; 0 leaves it out, 20000 takes minutes. In ms."""
    reentry_side_mm: float = 128.0
    """Side of that sheet, in mm; a spiral of this cell needs more than 100."""
    reentry_dx_mm: float = 0.5
    """Its voxels, in mm."""
    save_closure: str = ""
    """Folder to write the first closure to; empty for none."""
    precision: Literal["float64"] = "float64"
    """Of training and restitution; tissue is in float32."""


def run(config: Config, workspace: Workspace) -> Result:
    """Records the full cell, trains, and measures what was not seen."""
    _check(config)
    import jax.numpy as jnp

    from experiments.cardiac import _ionic_recording as recording
    from experiments.cardiac import _ionic_rivals as rivals
    from experiments.cardiac import _ionic_training as training
    from experiments.cardiac._ionic_reentry import Sheet, operations
    from experiments.cardiac._paced_cables import velocities
    from experiments.cardiac._paced_cells import premature_beats
    from physics import TenTusscher2006
    from twinsim.closures.ionic import ionic_closure, save_ionic_closure

    full = TenTusscher2006.published("epi")
    tissue = (config.dx_mm, config.diffusivity_mm2_per_ms, config.dt_ms)
    cycles = np.tile(UNSEEN_CYCLES[-config.test_cycles :], len(UNSEEN_SHARES))
    shares = np.repeat(np.array(UNSEEN_SHARES), config.test_cycles, axis=0)
    rests, clean = np.array(config.rests_ms), np.repeat((np.array(UNSEEN_SHARES) == 1).all(axis=1), config.test_cycles)
    many, early = np.tile(shares, (len(rests), 1)), int(np.argmin(np.abs(rests - PREMATURE_MS)))

    def measured(cell: Any, repeated: Any, on_cables: Any) -> dict[str, np.ndarray]:
        found = premature_beats(cell, repeated, cycles, rests, config.test_beats, config.cell_dt_ms)
        states = np.concatenate([found.before_paced, found.before_premature[:, early]], axis=1).astype(np.float32)
        speed = velocities(training.single(on_cables), states, *tissue).reshape(2, -1)
        return {"paced": found.paced, "premature": found.premature, "velocity": speed}

    def of_reduced(cell: Any) -> dict[str, np.ndarray]:
        cell, twice = training.fast(cell), np.tile(shares, (2, 1))
        return measured(*(cell.blocked(*jnp.asarray(part.T)) for part in (shares, many, twice)))

    truth = workspace.stage("full", lambda: measured(*(recording.dosed(full, part) for part in (shares, many, np.tile(shares, (2, 1))))))
    tests: list[dict[str, np.ndarray]] = []
    cells: list[Any] = []
    summary: dict[str, Any] = {"source": config.source, "training_cells": config.training_cells, "hidden_units": config.hidden_units}
    problem = None
    for seed in range(config.seed, config.seed + config.seeds):
        if config.source == "shipped":
            cells.append(ionic_closure())
        else:
            cell, problem, marks = _trained(config, workspace, full, seed, tissue)
            cells.append(cell)
            summary |= {f"{name}_seed_{seed}": value for name, value in marks.items()}
        tests.append(of_reduced(cells[-1]))
        if config.source == "shipped":
            break
    if config.save_closure and config.source == "train":
        save_ionic_closure(config.save_closure, cells[0], _provenance(config))
    others = {}
    if problem is not None:
        point, _ = workspace.stage("rival", lambda: rivals.fitted_two_variables(problem, 15))
        each = [rivals.two_variables(jnp.asarray(point), jnp.asarray(part)) for part in (shares, many, np.tile(shares, (2, 1)))]
        others["two_variables_fitted"] = measured(*each)
    published = rivals.published_four_variables()
    others["four_variables_published"] = measured(published, published, published)
    for name, found in {"learned": tests, **{key: [value] for key, value in others.items()}}.items():
        summary |= _scores(name, found, truth, clean)
    reduced = training.single(training.fast(cells[0]))
    summary |= _costs(config, Sheet, operations, reduced, training.single(full))
    reentry = None
    if config.reentry_ms:
        sheet = Sheet(reduced, config.reentry_side_mm, config.reentry_dx_mm, config.diffusivity_mm2_per_ms, 0.05)
        reentry = workspace.stage("reentry", lambda: sheet.reentry(config.reentry_ms))
        summary |= {
            "reentry_alive_ms": reentry.alive_ms,
            "reentry_period_ms": finite_or_none(np.float64(reentry.period_ms)),
            "reentry_states_possible": str(reentry.inside),
        }
    curves = {"full": truth, "learned": tests[0], **others}
    return Result(summary, _report(config, summary, curves, clean, reentry), _dataset(config, curves, cycles, shares))


def _trained(
    config: Config, workspace: Workspace, full: Any, seed: int, tissue: tuple[float, float, float]
) -> tuple[Any, Any, dict[str, float | None]]:
    """A cell, the beats that it was trained on, and how well it does on them."""
    import equinox as eqx

    from experiments.cardiac import _ionic_currents as currents_of
    from experiments.cardiac import _ionic_recording as recording
    from experiments.cardiac import _ionic_training as training
    from experiments.cardiac._paced_cables import velocities
    from physics import ReducedVentricular

    def record() -> tuple[Any, np.ndarray, np.ndarray]:
        open_shares, starts = recording.protocol(config.seed, config.training_cells)
        recorded = recording.Recorded.of(full, open_shares, starts, config.cell_dt_ms)
        lines = recording.cables(recorded)
        states = recorded.states[:, lines[:, 0], lines[:, 1]].astype(np.float32)
        wanted = velocities(training.single(recording.dosed(full, open_shares[lines[:, 0]])), states, *tissue)
        arrived = np.isfinite(wanted)
        return recorded, lines[arrived], wanted[arrived]

    recorded, lines, wanted = workspace.stage("recorded", record)
    cell = ReducedVentricular.with_law(currents_of.fast_law(config.hidden_units, seed))
    inputs, currents, feet_in, feet = currents_of.samples(cell, full, recorded, 20_000, seed)
    begun = currents_of.regressed(inputs, currents, (feet_in, feet), config.hidden_units, config.regression_steps, seed)
    if begun.status != 0:
        workspace.message(f"note: {begun.message}")
    cell = eqx.tree_at(lambda c: c.slow_current, cell, begun.model)
    problem = training.InSolver(recorded, (feet_in, feet))
    late, error = [math.nan], np.array([math.nan])
    with workspace.progress(config.rounds, f"rounds in the solver, seed {seed}", "rounds") as bar:
        for number in range(config.rounds):
            trials = config.solver_iterations if number == 0 else config.solver_iterations // 2
            cell, _, late = training.in_solver(cell, problem, trials)
            cell, error = training.with_velocities(cell, problem, lines, wanted, tissue, 5 if number == 0 else 3)
            bar.advance(1)
    marks = {
        "regression_loss": float(np.mean(begun.losses[-100:])),
        "training_apd_rms_ms": finite_or_none(np.float64(min(late))),
        "training_velocity_rms_percent": finite_or_none(np.sqrt(np.mean(error**2))),
    }
    return cell, problem, marks


def _scores(name: str, found: list[dict[str, np.ndarray]], truth: dict[str, np.ndarray], clean: np.ndarray) -> dict[str, Any]:
    """Errors against the full cell: means over trainings, and their spread where there are several."""

    def over(part: str, where: np.ndarray | slice, of: Any) -> list[float]:
        return [of(one[part][..., where] - truth[part][..., where], truth[part][..., where]) for one in found]

    def rms(error: np.ndarray, _: np.ndarray) -> float:
        return float(np.sqrt(np.nanmean(error**2)))

    def percent(error: np.ndarray, value: np.ndarray) -> float:
        return 100 * float(np.sqrt(np.nanmean((error[0] / value[0]) ** 2)))

    def largest(error: np.ndarray, value: np.ndarray) -> float:
        return 100 * float(np.nanmax(np.abs(error[0] / value[0])))

    def early(error: np.ndarray, value: np.ndarray) -> float:
        return 100 * float(np.sqrt(np.nanmean((error[1] / value[1]) ** 2)))

    every = slice(None)
    values = {
        "restitution_rms_ms": over("premature", every, rms),
        "restitution_rms_without_drug_ms": over("premature", clean, rms),
        "restitution_rms_with_drug_ms": over("premature", ~clean, rms),
        "paced_apd_rms_ms": over("paced", every, rms),
        "velocity_rms_percent": over("velocity", every, percent),
        "velocity_largest_percent": over("velocity", every, largest),
        "premature_velocity_rms_percent": over("velocity", every, early),
    }
    lost = [int(sum((np.isnan(one[part]) & np.isfinite(truth[part])).sum() for part in ("premature", "velocity"))) for one in found]
    summary: dict[str, Any] = {f"{name}_{key}": finite_or_none(np.mean(numbers)) for key, numbers in values.items()}
    summary[f"{name}_beats_and_waves_lost"] = max(lost)
    if len(found) > 1:
        summary |= {f"{name}_{key}_spread": finite_or_none(np.std(numbers, ddof=1)) for key, numbers in values.items()}
    return summary


def _costs(config: Config, sheet: Any, operations: Any, reduced: Any, full: Any) -> dict[str, Any]:
    """Operations of a cell and step, and wall time of tissue at equal voxels and steps."""
    counts = {name: operations(cell) for name, cell in (("full", full), ("learned", reduced))}
    side = config.speed_side_voxels * config.dx_mm
    seconds = {
        name: sheet(cell, side, config.dx_mm, config.diffusivity_mm2_per_ms, config.dt_ms).seconds_per_step(config.speed_steps)
        for name, cell in (("full", full), ("learned", reduced))
    }
    voxels = config.speed_side_voxels**2
    return {
        **{f"{name}_operations_per_cell_step": count for name, count in counts.items()},
        "operations_ratio": counts["full"] / counts["learned"],
        **{f"{name}_tissue_ns_per_cell_step": 1e9 * value / voxels for name, value in seconds.items()},
        "tissue_speed_ratio": seconds["full"] / seconds["learned"],
    }


def _provenance(config: Config) -> dict[str, Any]:
    return {
        "command": f"twinsim run cardiac/ionic_closure --source train --seed {config.seed} --save-closure DIR",
        "data": "ten Tusscher and Panfilov 2006, epicardial, paced by this program",
        "seed": config.seed,
        "hidden_units": config.hidden_units,
    }


def _check(config: Config) -> None:
    check_options(config, RANGES)
    if config.save_closure and Path(config.save_closure).is_file():
        raise InputError(f"save-closure {config.save_closure}, which is a file", "a folder", "give the name of a new folder")
    if not config.rests_ms:
        raise InputError("no rests-ms", "at least one", "give them in ms")
    if config.reentry_ms and config.reentry_side_mm / config.reentry_dx_mm < 8:
        raise InputError(
            f"reentry-dx-mm {config.reentry_dx_mm:g} on {config.reentry_side_mm:g} mm", "at least eight voxels", "make the side longer"
        )


def _dataset(config: Config, curves: dict[str, dict[str, np.ndarray]], cycles: np.ndarray, shares: np.ndarray) -> xr.Dataset:
    names = list(curves)

    def stacked(part: str) -> np.ndarray:
        return np.stack([curves[name][part] for name in names])

    return xr.Dataset(
        {
            "premature_duration": (("model", "rest", "condition"), stacked("premature"), {"units": "ms"}),
            "paced_duration": (("model", "condition"), stacked("paced"), {"units": "ms"}),
            "velocity": (("model", "beat", "condition"), stacked("velocity"), {"units": "m/s"}),
            "cycle_length": ("condition", cycles, {"units": "ms"}),
            "open_rapid_potassium": ("condition", shares[:, 0], {"units": "1"}),
            "open_calcium": ("condition", shares[:, 1], {"units": "1"}),
        },
        coords={"model": names, "rest": ("rest", np.array(config.rests_ms), {"units": "ms"}), "beat": ["paced", "premature"]},
    )


def _report(config: Config, summary: dict[str, Any], curves: dict[str, dict[str, np.ndarray]], clean: np.ndarray, reentry: Any) -> Report:
    report = Report("A learned slow current", "Four variables in place of nineteen, at rates and drug blocks that training has not seen")
    figure = new_figure(3.4)
    left, right = figure.subplots(1, 2)
    colours = {"full": SOFT, "learned": VERMILION, "two_variables_fitted": BLUE, "four_variables_published": GREEN}
    per = config.test_cycles
    for block, style in ((0, "-"), (2, "--"), (4, ":")):
        where = slice(block * per, (block + 1) * per)
        for name, found in curves.items():
            if name == "four_variables_published" and block:
                continue
            label = name.replace("_", " ") if not block else None
            width = 4.0 if name == "full" else 1.2
            left.plot(
                config.rests_ms, np.nanmean(found["premature"][:, where], axis=1), style, color=colours[name], linewidth=width, label=label
            )
    left.set_xlabel("rest before the premature beat (ms)")
    left.set_ylabel("duration (ms)")
    left.legend(frameon=False, fontsize=8)
    for name, found in curves.items():
        if name != "full":
            right.plot(curves["full"]["velocity"].ravel(), found["velocity"].ravel(), "o", markersize=3, color=colours[name])
    span = [float(np.nanmin(curves["full"]["velocity"])), float(np.nanmax(curves["full"]["velocity"]))]
    right.plot(span, span, color=SOFT)
    right.set_xlabel("velocity, full (m/s)")
    right.set_ylabel("velocity, reduced (m/s)")
    for axes in (left, right):
        quiet(axes)
    report.figure(
        figure,
        "Left: durations of premature beats, mean over unseen rates: no drug (lines), 50 % of hERG and 70 % of calcium open (dashes), "
        "45 and 95 % (dots). Right: velocities of paced and premature waves.",
        "restitution",
        alt="Restitution curves and velocities of the full and the reduced cells",
    )
    if reentry is not None:
        figure = new_figure(3.0)
        left, right = figure.subplots(1, 2)
        left.imshow(reentry.picture.T, origin="lower", vmin=-90, vmax=40, cmap="magma", extent=(0, config.reentry_side_mm) * 2)
        left.set_xlabel("x (mm)")
        left.set_ylabel("y (mm)")
        late = reentry.times > reentry.times[-1] - 2000
        right.plot(reentry.times[late] / 1000, reentry.probes[late, 0], color=BLUE, linewidth=0.8)
        right.set_xlabel("time (s)")
        right.set_ylabel("potential (mV)")
        quiet(right)
        report.figure(figure, "Re-entry of the learned cell: at the end, and at one place.", "reentry", alt="A sheet with re-entry")
    report.table(["Quantity", "Value"], [[name, "none" if value is None else str(value)] for name, value in summary.items()])
    return report


if __name__ == "__main__":
    run_script(__spec__)
