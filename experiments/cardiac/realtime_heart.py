"""One beat of both ventricles and its twelve-lead electrocardiogram, by reaction-eikonal, and how much faster than real time."""

import resource
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np
import xarray as xr
from jax import Array

from experiments.cardiac._heart import Body, action_potentials, body, kinds_of, leads_figure
from experiments.cardiac._shared import check_cell_and_step
from physics import LEADS, electrocardiogram_of_activation, squared_velocity, twelve_leads
from solvers import eikonal
from twinsim.cli import run_script
from twinsim.errors import InputError
from twinsim.experiment import Result
from twinsim.figure_style import BLUE
from twinsim.figures import Overlay, orthogonal_slices
from twinsim.option_checks import check_options
from twinsim.report import Report
from twinsim.workspace import Workspace

QRS_LEVEL = 0.05  # of the largest potential: where the QRS complex begins and ends


@dataclass(frozen=True)
class Config:
    """Options of a beat of two ventricles, analytic or of a folder."""

    heart: Path | None = None
    """Folder with a heart.yaml (docs/heart_folder.md); without it the analytic heart."""
    torso: bool = False
    """Lead fields in an analytic torso with lungs and blood instead of an infinite conductor: amplitudes can then be read."""
    torso_spacing_mm: float = 5.0
    """Edge of the torso's voxels, in mm."""
    spacing_mm: float = 1.0
    """Edge of a voxel, at most half of the right wall's 4 mm. In mm."""
    beat_ms: float = 800.0
    """Length of the beat, which the time to compute it is compared with; 800 is 75 beats per minute. In ms."""
    velocity_along_m_per_s: float = 0.6
    """Conduction velocity along the fibres, in m/s."""
    velocity_across_m_per_s: float = 0.3
    """Across them, in m/s."""
    endocardium_times_faster: float = 3.0
    """How many times as fast the endocardial layer conducts, with its Purkinje fibres."""
    apd_shorter_per_ms: float = 1.3
    """By how many ms action potentials are shorter per ms of later activation; above 1 the T wave is upright."""
    cell_model: str = "ten_tusscher_2006_epi"
    """Whose action potential the cells repeat; any of `twinsim run cardiac/restitution --help`."""
    beats: int = 5
    """Beats that the cell is paced for before."""
    dt_ms: float = 0.02
    """Time step of that, in ms."""
    repeats: int = 5
    """How often the beat is computed; the median is reported."""
    precision: Literal["float32", "float64"] = "float32"
    """Floating-point precision."""


def run(config: Config, workspace: Workspace) -> Result:
    """Sets the heart up once, then times the beat: activation, and twelve leads from it."""
    _check(config)
    began = time.perf_counter()
    workspace.message(f"the heart on {config.spacing_mm:g} mm voxels and its lead fields")
    made = body(config.spacing_mm, config.heart, config.torso_spacing_mm if config.torso else None)
    shapes = action_potentials(config.cell_model, config.beat_ms, config.beats, config.dt_ms, config.apd_shorter_per_ms)
    grid = made.heart.grid
    start = made.first_places()
    velocity = squared_velocity(
        grid,
        config.velocity_along_m_per_s,
        config.velocity_across_m_per_s,
        made.heart.fibres,
        made.endocardium(),
        config.endocardium_times_faster,
    )
    samples = int(config.beat_ms)
    activate = jax.jit(lambda velocity, start: eikonal(grid, start, squared_speed=velocity))
    see = jax.jit(lambda times: twelve_leads(electrocardiogram_of_activation(made.fields, times, kinds_of(times), shapes, 1.0, samples)))
    setup = time.perf_counter() - began

    def beat() -> tuple[Any, Array, float, float]:
        first = time.perf_counter()
        arrival = jax.block_until_ready(activate(velocity, start))
        second = time.perf_counter()
        leads = jax.block_until_ready(see(arrival.times[made.active]))
        return arrival, leads, second - first, time.perf_counter() - second

    *_, first_activation, first_leads = beat()
    runs = [beat() for _ in workspace.progress(range(config.repeats), "beats", "beats")]
    arrival, leads = runs[-1][:2]
    arrival.raise_for_status()
    activation, seeing = (float(np.median(seconds)) for seconds in list(zip(*runs, strict=True))[2:])
    times = np.asarray(grid.volume(arrival.times), float)
    values = np.asarray(leads, float)
    summary: dict[str, Any] = {
        "active_voxels": int(np.asarray(grid.mask).sum()),
        "muscle_ml": float(np.asarray(grid.mask).sum() * grid.voxel_volume / 1000),
        "last_activation_ms": float(times[np.isfinite(times)].max()),
        **_waves(values),
        **({} if made.inside is None else made.inside.summary()),
        "activation_seconds": activation,
        "electrocardiogram_seconds": seeing,
        "real_time_factor": config.beat_ms / 1000 / (activation + seeing),
        "setup_seconds": setup,
        "compile_seconds": max(0.0, first_activation + first_leads - activation - seeing),
        "peak_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 1024),
    }
    affine = made.record.affine
    shown = np.where(np.isfinite(times), times, -1.0).astype(np.float32)
    volumes = {"activation_ms": (shown, affine), "transmural": (np.asarray(made.heart.transmural, np.float32), affine)}
    return Result(summary, _report(config, summary, made, times, values), _dataset(made, times, values), volumes, made.record.notes or None)


def _check(config: Config) -> None:
    check_cell_and_step(config.cell_model, config.dt_ms)
    ranges = {
        "spacing_mm": (0.5, 2.0),
        "torso_spacing_mm": (2.0, 12.0),
        "beat_ms": (300.0, 3000.0),
        "velocity_along_m_per_s": (0.05, 6.0),
        "velocity_across_m_per_s": (0.05, 6.0),
        "endocardium_times_faster": (1.0, 6.0),
        "apd_shorter_per_ms": (-2.0, 3.0),
        "beats": (1, 10000),
        "repeats": (1, 1000),
    }
    check_options(config, ranges)
    if config.velocity_across_m_per_s > config.velocity_along_m_per_s:
        raise InputError(
            f"velocity-across-m-per-s {config.velocity_across_m_per_s:g} above velocity-along-m-per-s {config.velocity_along_m_per_s:g}",
            "conduction at least as fast along fibres as across them",
            "swap the two",
        )


def _waves(leads: np.ndarray) -> dict[str, float]:
    """Duration of the QRS complex over all leads, and R and T in V5 (mV)."""
    size = np.abs(leads).max(axis=0)
    quiet = int(np.argmin(size[60:300])) + 60  # the ST segment
    above = np.flatnonzero(size[:quiet] > QRS_LEVEL * size[:quiet].max())
    v5 = leads[LEADS.index("V5")]
    after = v5[quiet:]
    return {
        "qrs_duration_ms": float(above[-1] - above[0]),
        "r_v5_mv": float(v5[:quiet].max()),
        "t_v5_mv": float(after[np.argmax(np.abs(after))]),
        "qrs_limb_leads_largest_peak_to_peak_mv": float(np.ptp(leads[:6, :quiet], axis=1).max()),
        "qrs_chest_leads_largest_peak_to_peak_mv": float(np.ptp(leads[6:, :quiet], axis=1).max()),
    }


def _dataset(made: Body, times: np.ndarray, leads: np.ndarray) -> xr.Dataset:
    grid, origin = made.heart.grid, made.heart.origin
    axes = {
        name: (name, first + h * np.arange(n), {"units": "mm"})
        for name, first, h, n in zip("xyz", origin, grid.spacing, grid.shape, strict=True)
    }
    return xr.Dataset(
        {
            "activation": (("x", "y", "z"), np.where(np.isfinite(times), times, np.nan), {"units": "ms"}),
            "transmural": (("x", "y", "z"), np.asarray(made.heart.transmural), {"units": "1"}),
            "fibres": (("x", "y", "z", "component"), np.asarray(made.heart.fibres), {"units": "1"}),
            "leads": (("lead", "time"), leads, {"units": "mV"}),
        },
        coords={
            **axes,
            "lead": list(LEADS),
            "component": list("xyz"),
            "time": ("time", np.arange(leads.shape[1], dtype=float), {"units": "ms"}),
        },
    )


def _report(config: Config, summary: dict[str, Any], made: Body, times: np.ndarray, leads: np.ndarray) -> Report:
    report = Report("Two ventricles in real time", f"{summary['active_voxels']:,} voxels of {config.spacing_mm:g} mm, {config.cell_model}")
    if summary["real_time_factor"] < 1:
        report.warn(
            f"Slower than real time here: a beat of {config.beat_ms:g} ms took {config.beat_ms / summary['real_time_factor']:.0f} ms."
        )
    report.figure(
        leads_figure(np.arange(leads.shape[1]), [("beat", BLUE, leads)]),
        "Twelve leads of the beat, "
        + (
            "in an analytic torso."
            if config.torso
            else "in an infinite conductor (no torso): shapes are to be read, not amplitudes; limb leads are too small."
        ),
        "electrocardiogram",
        alt="Twelve electrocardiogram leads",
    )
    grid = made.heart.grid
    mask = np.asarray(grid.mask)
    heat = Overlay(np.where(mask, times, 0.0), "activation", "ms", "heat", floor=1e-6, limits=(0.0, float(times[mask].max())))
    middle = [n // 2 for n in grid.shape]
    figure = orthogonal_slices(np.where(mask, np.asarray(made.heart.transmural), 0), grid.spacing, [heat], index=middle)
    report.figure(
        figure, "When each voxel is activated; x runs to the right ventricle, z to the base.", "activation", alt="Activation times"
    )
    report.table(["Quantity", "Value"], [[name, f"{value:.4g}"] for name, value in summary.items()])
    report.text(
        "Activation solves the eikonal equation from four places with their own times; every cell then repeats one action potential, "
        "shorter where activation is late, and lead fields add all of them up. Coupling changes no cell's shape here: see docs/limits.md."
    )
    return report


if __name__ == "__main__":
    run_script(__spec__)
