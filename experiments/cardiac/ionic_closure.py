"""A heart cell of four variables with a learned slow current in place of nineteen: restitution, velocity, cost, and re-entry."""

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
RING_FULL_MS, RING_DT_MS = 3000.0, 0.05
REENTRY_DT_MS = 0.05
RANGES = {
    "seeds": (1, 20),
    "training_cells": (5, 45),
    "hidden_units": (1, 32),
    "regression_steps": (1, 100_000),
    "first_iterations": (0, 200),
    "solver_iterations": (0, 200),
    "rounds": (1, 10),
    "test_beats": (2, 1000),
    "test_cycles": (1, 4),
    "rests_ms": (5.0, 1000.0),
    "cell_dt_ms": (0.01, 0.1),
    "spacings_mm": (0.05, 0.5),
    "dx_mm": (0.05, 0.5),
    "dt_ms": (0.005, 0.05),
    "diffusivity_mm2_per_ms": (0.01, 1.0),
    "speed_side_voxels": (8, 2000),
    "speed_steps": (1, 10_000),
    "ring_ms": (0.0, 1e5),
    "ring_mm": (20.0, 2000.0),
    "ring_dx_mm": (0.1, 0.5),
    "reentry_ms": (0.0, 1e5),
    "reentry_full_ms": (0.0, 1e5),
    "reentry_side_mm": (5.0, 400.0),
    "reentry_dx_mm": (0.1, 1.0),
}


@dataclass(frozen=True)
class Config:
    """Options; the full cell is ten Tusscher and Panfilov's of 2006, epicardial."""

    source: Literal["train", "shipped"] = "shipped"
    """Measure the closure that is shipped, or train from beats that are made here (minutes a seed)."""
    seed: int = 0
    """First seed: of the rests before premature training beats; each training draws its weights and samples by its own."""
    seeds: int = 1
    """How many trainings, from this seed on; figures, costs and what is saved are of the best under the validation's conditions."""
    training_cells: int = 45
    """Rates times blocks that are recorded, of 45."""
    hidden_units: int = 9
    """Of the one hidden layer."""
    regression_steps: int = 800
    """Optimiser steps on currents, before the solver."""
    first_iterations: int = 40
    """Levenberg-Marquardt trials through all beats, upstroke held."""
    solver_iterations: int = 8
    """Trials of each round through all beats, and waves at two spacings."""
    rounds: int = 3
    """After each, the state is judged under conditions of its own; the best is kept."""
    test_beats: int = 10
    """Regular beats before a premature one at unseen rates."""
    test_cycles: int = 4
    """How many of the unseen cycle lengths (880, 640, 480, 380 ms) are tested."""
    rests_ms: tuple[float, ...] = (40.0, 60.0, 80.0, 120.0, 170.0, 250.0, 400.0)
    """From 90 % repolarisation to the premature stimulus, in ms."""
    cell_dt_ms: float = 0.05
    """Step of cells by themselves, in ms."""
    spacings_mm: tuple[float, ...] = (0.1, 0.15, 0.2, 0.25, 0.3)
    """Of cables with waves after regular beats; training has 0.1 and 0.25. In mm."""
    dx_mm: float = 0.2
    """Of cables with premature waves, and of the sheet that is timed, in mm."""
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
    reentry_full_ms: float = 0.0
    """How long that of the full cell is followed beside it; 0 leaves it out. In ms."""
    reentry_side_mm: float = 128.0
    """Side of that sheet, in mm."""
    reentry_dx_mm: float = 0.5
    """Its voxels, in mm."""
    ring_ms: float = 0.0
    """How long a wave is followed round a ring; 0 leaves it out. In ms. The full cell's beside it for 3000 ms at most."""
    ring_mm: float = 250.0
    """Length of the ring, in mm."""
    ring_dx_mm: float = 0.25
    """Between its cells, in mm."""
    save_closure: str = ""
    """Folder to write the chosen closure to; empty for none."""
    precision: Literal["float64"] = "float64"
    """Of training and restitution; tissue is in float32."""


def run(config: Config, workspace: Workspace) -> Result:
    """Records the full cell, trains, and measures what was not seen."""
    _check(config)
    import jax.numpy as jnp

    from experiments.cardiac import _ionic_rivals as rivals
    from experiments.cardiac._ionic_comparison import Conditions, scores
    from experiments.cardiac._ionic_course import Course, Lesson, trained
    from experiments.cardiac._ionic_reentry import Sheet, operations
    from experiments.cardiac._ionic_training import InSolver, fast, single
    from physics import TenTusscher2006
    from twinsim.closures.ionic import ionic_closure, save_ionic_closure

    full = TenTusscher2006.published("epi")
    cycles = np.tile(UNSEEN_CYCLES[-config.test_cycles :], len(UNSEEN_SHARES))
    shares = np.repeat(np.array(UNSEEN_SHARES), config.test_cycles, axis=0)
    clean, spacings = (shares == 1).all(axis=1), config.spacings_mm
    along = (config.diffusivity_mm2_per_ms, config.dt_ms)
    unseen = Conditions(cycles, shares, np.array(config.rests_ms), config.test_beats, config.cell_dt_ms, spacings, config.dx_mm, *along)
    truth = workspace.stage("full", lambda: unseen.of_full(full))
    cells: list[Any] = []
    summary: dict[str, Any] = {"source": config.source, "training_cells": config.training_cells, "hidden_units": config.hidden_units}
    others, chosen = {}, 0
    if config.source == "shipped":
        cells.append(ionic_closure())
    else:
        lesson = workspace.stage("lesson", lambda: Lesson.of(full, config.seed, config.training_cells, config.cell_dt_ms, *along))
        course = Course(config.hidden_units, config.regression_steps, config.first_iterations, config.solver_iterations, config.rounds)
        judged = []
        for seed in range(config.seed, config.seed + config.seeds):
            cell, marks = workspace.stage(f"trained-{seed}", lambda seed=seed: trained(course, lesson, full, seed, workspace))
            cells.append(cell)
            judged.append(marks["validation_score"])
            summary |= {f"{name}_seed_{seed}": value for name, value in marks.items()}
        chosen = int(np.argmin(judged))
        summary["chosen_seed"] = config.seed + chosen
        if config.save_closure:
            save_ionic_closure(config.save_closure, cells[chosen], _provenance(config, config.seed + chosen))
        problem = InSolver(lesson.recorded, (np.zeros((5, 1)), np.zeros((1, 1))))
        point, _ = workspace.stage("rival", lambda: rivals.fitted_two_variables(problem, 15))
        others["two_variables_fitted"] = unseen.of(lambda part: rivals.two_variables(jnp.asarray(point), jnp.asarray(part)))
    tests = [unseen.of_reduced(cell) for cell in cells]
    published = rivals.published_four_variables()
    others["four_variables_published"] = unseen.of(lambda _: published)
    for name, found in {"learned": tests, "chosen": [tests[chosen]], **{key: [value] for key, value in others.items()}}.items():
        if name != "chosen" or len(tests) > 1:
            summary |= scores(name, found, truth, clean, spacings)
    reduced = single(fast(cells[chosen]))
    summary |= _costs(config, Sheet, operations, reduced, single(full))
    reentry = None
    if config.reentry_ms:
        place = (config.reentry_side_mm, config.reentry_dx_mm, config.diffusivity_mm2_per_ms, REENTRY_DT_MS)
        reentry = workspace.stage("reentry", lambda: Sheet(reduced, *place).reentry(config.reentry_ms))
        summary |= _reentry("learned", reentry)
        if config.reentry_full_ms:
            beside = workspace.stage("reentry_full", lambda: Sheet(single(full), *place).reentry(config.reentry_full_ms))
            summary |= _reentry("full", beside)
    if config.ring_ms:
        summary |= _rings(config, reduced, single(full), workspace)
    curves = {"full": truth, "learned": tests[chosen], **others}
    return Result(summary, _report(config, summary, curves, reentry), _dataset(config, curves, cycles, shares))


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


def _reentry(name: str, seen: Any) -> dict[str, Any]:
    """Whether waves still had tips, how many, and how often a place is excited."""
    return {
        f"{name}_reentry_excited_until_ms": seen.excited_until_ms,
        f"{name}_reentry_rotating_until_ms": seen.rotating_ms,
        f"{name}_reentry_tips_late": seen.tips_late,
        f"{name}_reentry_period_ms": finite_or_none(seen.period_ms),
        f"{name}_reentry_states_possible": str(seen.inside),
    }


def _rings(config: Config, reduced: Any, full: Any, workspace: Workspace) -> dict[str, Any]:
    """Waves round a ring: how long they lived, and how long a round takes."""
    from experiments.cardiac._ionic_reentry import circling

    summary: dict[str, Any] = {}
    for name, cell, duration in (("learned", reduced, config.ring_ms), ("full", full, min(config.ring_ms, RING_FULL_MS))):
        place = (config.ring_mm, config.ring_dx_mm, config.diffusivity_mm2_per_ms, RING_DT_MS)
        found = workspace.stage(f"ring_{name}", lambda cell=cell, place=place, duration=duration: circling(cell, *place, duration))
        rounds = found.rounds()
        early, late = rounds[: int(RING_FULL_MS // max(float(np.median(rounds)), 1.0))] if rounds.size else rounds, rounds[-5:]
        summary |= {
            f"{name}_ring_alive_ms": found.alive_ms,
            f"{name}_ring_round_ms": finite_or_none(np.mean(early[1:]) if early.size > 1 else np.nan),
            f"{name}_ring_last_rounds_ms": finite_or_none(np.mean(late) if late.size else np.nan),
            f"{name}_ring_duration_ms": finite_or_none(np.median(found.durations()[-5:]) if found.durations().size else np.nan),
            f"{name}_ring_states_possible": str(found.inside),
        }
    return summary


def _provenance(config: Config, seed: int) -> dict[str, Any]:
    default = type(config)()
    changed = {name: value for name, value in vars(config).items() if value != getattr(default, name) and name != "save_closure"}
    options = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in changed.items())
    return {
        "command": f"twinsim run cardiac/ionic_closure {options} --save-closure DIR",
        "data": "ten Tusscher and Panfilov 2006, epicardial, paced by this program",
        "seed": seed,
        "hidden_units": config.hidden_units,
    }


def _check(config: Config) -> None:
    check_options(config, RANGES)
    if config.save_closure and Path(config.save_closure).is_file():
        raise InputError(f"save-closure {config.save_closure}, which is a file", "a folder", "give the name of a new folder")
    if not config.rests_ms:
        raise InputError("no rests-ms", "at least one", "give them in ms")
    if not config.spacings_mm:
        raise InputError("no spacings-mm", "at least one", "give them in mm")
    if config.reentry_full_ms and not config.reentry_ms:
        raise InputError(
            f"reentry-full-ms {config.reentry_full_ms:g} without the learned cell's", "it with reentry-ms", "give reentry-ms as well"
        )
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
            "velocity": (("model", "spacing", "condition"), stacked("velocity"), {"units": "m/s"}),
            "premature_velocity": (("model", "condition"), stacked("premature_velocity"), {"units": "m/s"}),
            "cycle_length": ("condition", cycles, {"units": "ms"}),
            "open_rapid_potassium": ("condition", shares[:, 0], {"units": "1"}),
            "open_calcium": ("condition", shares[:, 1], {"units": "1"}),
        },
        coords={
            "model": names,
            "rest": ("rest", np.array(config.rests_ms), {"units": "ms"}),
            "spacing": ("spacing", np.array(config.spacings_mm), {"units": "mm"}),
        },
    )


def _report(config: Config, summary: dict[str, Any], curves: dict[str, dict[str, np.ndarray]], reentry: Any) -> Report:
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
        size = 7 if name == "full" else 3
        right.plot(config.spacings_mm, found["velocity"], "o", markersize=size, color=colours[name])
    right.set_xlabel("spacing (mm)")
    right.set_ylabel("velocity (m/s)")
    for axes in (left, right):
        quiet(axes)
    report.figure(
        figure,
        "Left: durations of premature beats, mean over unseen rates: no drug (lines), 50 % of hERG and 70 % of calcium open (dashes), "
        "45 and 95 % (dots). Right: velocities of waves after regular beats, by the spacing of cells.",
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
