"""How well the glioma twin does on many virtual patients: errors of parameters and forecast, and coverage of its intervals."""

import os
import threading
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context, parent_process
from typing import Literal

import numpy as np
from matplotlib.figure import Figure

from experiments.oncology import glioma
from twinsim.cli import run_script
from twinsim.environment import Precision, set_up_jax
from twinsim.experiment import Result
from twinsim.option_checks import check_options
from twinsim.report import Report
from twinsim.workspace import Workspace

QUANTITIES = {
    "diffusivity_white_mm2_per_day": "_map",
    "proliferation_per_day": "_map",
    "radiosensitivity_per_gy": "_map",
    "forecast_volume_mm3": "_median",
}


@dataclass(frozen=True)
class Config:
    """Options of the cohort."""

    patients: int = 20
    """How many virtual patients, with seeds from 0."""
    spacing_mm: float = 2.0
    """Voxel edge to compute on, in mm."""
    horizon_days: float = 90.0
    """How far past the last scan to forecast, in days."""
    samples: int = 64
    """Posterior samples pushed forward per patient."""
    workers: int = 2
    """Patients calibrated side by side, each in a process of its own."""
    precision: Literal["float32", "float64"] = "float32"
    """Floating-point precision."""


def run(config: Config, workspace: Workspace) -> Result:
    """Calibrates every patient, then compares with the truths that the calibrations never saw."""
    check_options(config, {"patients": (1, 10_000), "workers": (1, 1000)})
    glioma.check(_options(config, 0))
    found = _all_patients(config, workspace)
    summary: dict[str, float | int] = {"patients": len(found)}
    report = Report("Glioma cohort", f"{len(found)} virtual patients, {config.spacing_mm:g} mm voxels, three scans each")
    report.figure(
        _scatter(found),
        "Estimate with its 90 % interval against the truth, one mark per patient; on the line both agree.",
        "estimates",
        alt="Four panels: diffusivity, proliferation, radiosensitivity and forecast volume against the truth",
    )
    rows = []
    for name, suffix in QUANTITIES.items():
        truth, estimate, low, high = (np.array([one[name + s] for one in found]) for s in ("_truth", suffix, "_ci90_low", "_ci90_high"))
        error = np.abs(estimate / truth - 1)
        covered = int(np.count_nonzero((low <= truth) & (truth <= high)))
        width = float(np.median((high - low) / estimate))
        summary |= {
            f"{name}_median_relative_error": float(np.median(error)),
            f"{name}_worst_relative_error": float(error.max()),
            f"{name}_covered_by_ci90": covered,
            f"{name}_median_relative_width_ci90": width,
        }
        rows.append([name.replace("_", " "), f"{np.median(error):.1%}", f"{error.max():.1%}", f"{covered} of {len(found)}", f"{width:.0%}"])
    columns = ["Quantity", "Median error", "Worst error", "90 % interval holds the truth", "Median width of the interval"]
    report.table(columns, rows, "Errors relative to the truth. The width is relative to the estimate.")
    return Result(summary, report)


def _all_patients(config: Config, workspace: Workspace) -> list[dict[str, float]]:
    """Summaries in the order of the seeds; a finished patient survives an interruption."""
    pool = ProcessPoolExecutor(config.workers, get_context("spawn"), initializer=_start_worker, initargs=(config.precision,))
    with pool, workspace.progress(config.patients, "calibrating patients", "patients") as bar:
        open_seeds = [seed for seed in range(config.patients) if not workspace.has(f"patient-{seed}")]
        running = {seed: pool.submit(_one_patient, config, seed) for seed in open_seeds}
        found = []
        for seed in range(config.patients):
            result = running[seed].result if seed in running else partial(_one_patient, config, seed)
            found.append(workspace.stage(f"patient-{seed}", result))
            workspace.message(f"patient {seed}: {_line(found[-1])}")
            bar.advance(1)
    return found


def _start_worker(precision: Precision) -> None:
    set_up_jax(precision, None, 1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A worker whose parent was killed would go on for minutes."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _one_patient(config: Config, seed: int) -> dict[str, float]:
    return glioma.run(_options(config, seed), Workspace(progress=False)).summary


def _options(config: Config, seed: int) -> glioma.Config:
    return glioma.Config(
        spacing_mm=config.spacing_mm, seed=seed, horizon_days=config.horizon_days, samples=config.samples, treatments=False, timings=False
    )


def _line(summary: dict[str, float]) -> str:
    parts = [f"{name.split('_')[0]} {summary[name + s] / summary[name + '_truth'] - 1:+.1%}" for name, s in QUANTITIES.items()]
    return ", ".join(parts)


def _scatter(found: list[dict[str, float]]) -> Figure:
    figure = Figure(figsize=(9.0, 8.0), layout="constrained", dpi=150)
    for axes, (name, suffix) in zip(figure.subplots(2, 2).flat, QUANTITIES.items(), strict=True):
        truth, estimate, low, high = (np.array([one[name + s] for one in found]) for s in ("_truth", suffix, "_ci90_low", "_ci90_high"))
        ends = [min(truth.min(), low.min()) * 0.9, max(truth.max(), high.max()) * 1.1]
        axes.plot(ends, ends, color="0.6", linewidth=1)
        error = np.abs(np.stack([estimate - low, high - estimate]))
        axes.errorbar(truth, estimate, error, fmt="o", color="#0072B2", markersize=4, linewidth=1)
        axes.set(xscale="log", yscale="log", xlabel="truth", ylabel="estimate", title=name.replace("_", " "), xlim=ends, ylim=ends)
    return figure


if __name__ == "__main__":
    run_script(__spec__)
