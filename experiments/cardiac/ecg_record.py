"""A parametric heart fitted to a real twelve-lead electrocardiogram, and what it predicts of leads and waves that it was not fitted to."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np
import xarray as xr

from experiments.cardiac._ectopic_beat import low_pass
from experiments.cardiac._heart import body, leads_figure, paced_beat
from experiments.cardiac._recorded_beat import BEFORE_MS, FRANK_LEADS, SAMPLES, Posed, RecordedBeatModel, prior_scale
from experiments.cardiac._shared import check_cell_and_step
from physics import LEADS
from twinsim.averaged_beat import EDGE, AveragedBeat, averaged_beat, slopes
from twinsim.cli import run_script
from twinsim.errors import InputError
from twinsim.experiment import Result
from twinsim.figure_style import BLUE, SOFT, VERMILION
from twinsim.gauss_newton import minimise
from twinsim.option_checks import check_options
from twinsim.report import Report
from twinsim.wfdb_record import read_wfdb, record_path
from twinsim.workspace import Workspace

CORRELATED_MS = 10.0  # over which the model's errors are alike: so many samples count as one
STARTS = ((0.0, 0.0), (40.0, 0.0), (0.0, 40.0))  # ms later of the right place, of the left ones
DIPOLES = 3
STRETCHES = (0.8, 0.9, 1.0, 1.1, 1.2)
SHORTER = (-1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5)
WHOLE = 500  # samples of the beat with its T wave


@dataclass(frozen=True)
class Config:
    """Options of the fit."""

    record: str = "ptb_s0010"
    """ptb_s0010, or another record of the data set wfdb that has the twelve leads."""
    heart: Path | None = None
    """Folder with a heart.yaml (docs/heart_folder.md); without it the analytic heart."""
    spacing_mm: float = 2.0
    """Voxels of the heart, in mm."""
    torso_spacing_mm: float = 6.0
    """Voxels of the torso, in mm."""
    error_mv: float = 0.1
    """Standard deviation of what the model cannot describe, in mV; the recording's own noise is far below."""
    starts: int = 2
    """How many of three starts are fitted (all together, right or left ventricle late), the nearest to the data first."""
    evaluations: int = 15
    """Most linearisations per start."""
    cell_model: str = "ten_tusscher_2006_epi"
    """Whose action potential the cells repeat in the T wave."""
    beats: int = 5
    """Beats that the cell is paced for before."""
    dt_ms: float = 0.02
    """Time step of that, in ms."""
    precision: Literal["float32", "float64"] = "float64"
    """Floating-point precision."""


def run(config: Config, workspace: Workspace) -> Result:
    """Averages a beat, fits the QRS complex by Gauss-Newton, then the T wave by search, and judges both."""
    _check(config)
    beat, frank, comments = _recorded(config.record)
    data = _window(beat, beat.values[:12], SAMPLES)
    workspace.message(f"{beat.beats} of {beat.found} beats averaged, QRS {beat.qrs_ms:g} ms; the heart and its torso")
    model = RecordedBeatModel(body(config.spacing_mm, config.heart), config.torso_spacing_mm)
    starts = [model.usual(late, early) for late, early in STARTS]
    ranked = sorted((_misfit(model, start, data), number) for number, start in enumerate(starts))
    error = config.error_mv * np.sqrt(CORRELATED_MS)
    scale = prior_scale(model.sites)
    best, found = np.inf, starts[ranked[0][1]]
    for _, number in ranked[: config.starts]:

        def fit(number: int = number) -> tuple[float, np.ndarray, int]:
            start = starts[number]
            end = minimise(model.evaluator(data, error, start), np.zeros(len(scale)), iterations=config.evaluations, tolerance=0.2)
            return end.value, start.vector + scale * end.z, end.iterations

        value, vector, steps = workspace.stage(f"fit-{number}", fit)
        workspace.message(f"start {number}: {value:.1f} after {steps} steps")
        if value < best:
            best, found = value, Posed.of(vector, model.sites)
    fitted = np.asarray(model.leads(jnp.asarray(found.vector)), float)
    naive = _naive(np.asarray(model.leads(jnp.asarray(starts[0].vector)), float), data)
    summary: dict[str, Any] = {
        "record": config.record,
        "beats_averaged": beat.beats,
        "qrs_ms_data": beat.qrs_ms,
        "qrs_ms_fit": _duration(fitted),
        "qrs_ms_naive": _duration(naive),
        "relative_residual_fit": _relative(fitted, data),
        "relative_residual_naive": _relative(naive, data),
        "relative_residual_best_three_dipoles": _relative(_low_rank(data), data),
        "correlation_fit": _correlation(fitted, data),
        "correlation_naive": _correlation(naive, data),
        **{f"correlation_{lead}": _correlation(one, other) for lead, one, other in zip(LEADS, fitted, data, strict=True)},
        "velocity_along_m_per_s": float(np.exp(found.log_velocities[0])),
        "velocity_across_m_per_s": float(np.exp(found.log_velocities[1])),
        "endocardium_times_faster": float(np.exp(found.log_velocities[2])),
        **{f"place_{number}_time_ms": float(time) for number, time in enumerate(found.times)},
        "heart_turned_deg": float(np.rad2deg(np.linalg.norm(found.turn))),
        "heart_shifted_mm": float(np.linalg.norm(found.shift)),
        "gain": float(np.exp(found.log_gain)),
        "torso_iterations": model.iterations,
    }
    whole, late = _t_wave(config, workspace, model, found, beat)
    summary |= late
    everything = _window(beat, np.concatenate([beat.values[:12], frank]), WHOLE)
    if len(frank):
        held, truth = whole[12:, :SAMPLES], everything[12:, :SAMPLES]
        summary |= {
            f"correlation_{name}_not_fitted": _correlation(one, other) for name, one, other in zip(FRANK_LEADS, held, truth, strict=True)
        }
        summary["relative_residual_frank_not_fitted"] = _relative(held, truth)
    report = _report(config, summary, beat, comments, data, fitted, naive, whole, everything)
    times = ("time", np.arange(SAMPLES) - BEFORE_MS, {"units": "ms"})
    dataset = xr.Dataset(
        {name: (("lead", "time"), value, {"units": "mV"}) for name, value in (("data", data), ("fit", fitted), ("naive", naive))},
        coords={"lead": list(LEADS), "time": times},
    )
    return Result(summary, report, dataset)


def _check(config: Config) -> None:
    check_cell_and_step(config.cell_model, config.dt_ms)
    ranges = {"spacing_mm": (0.8, 2.0), "torso_spacing_mm": (3.0, 12.0), "error_mv": (0.001, 10.0), "starts": (1, 3), "beats": (1, 1000)}
    check_options(config, ranges | {"evaluations": (1, 1000)})


def _recorded(name: str) -> tuple[AveragedBeat, np.ndarray, tuple[str, ...]]:
    """The averaged beat of twelve leads and of Frank's where there are any, mV."""
    record = read_wfdb(record_path(name))
    wanted = tuple(lead.lower() for lead in LEADS)
    present = {one.name.lower(): one for one in record.signals}
    if missing := [lead for lead in wanted if lead not in present]:
        raise InputError(f"record {name} without {', '.join(missing[:4])}", "the twelve leads", "use ptb_s0010")
    held = FRANK_LEADS if set(FRANK_LEADS) <= set(present) else ()
    beat = averaged_beat(np.stack([present[lead].values for lead in wanted + held], axis=1), present["i"].rate)
    return beat, beat.values[12:], record.comments


def _window(beat: AveragedBeat, values: np.ndarray, samples: int) -> np.ndarray:
    """From shortly before the QRS complex on, low-passed as the model is."""
    smooth = np.apply_along_axis(lambda lead: np.convolve(lead, low_pass(), mode="same"), 1, values)
    first = beat.onset - int(BEFORE_MS)
    cut = smooth[:, first : first + samples]
    return np.pad(cut, ((0, 0), (0, samples - cut.shape[1])), mode="edge")


def _naive(leads: np.ndarray, data: np.ndarray) -> np.ndarray:
    """The usual heart, only moved in time and scaled to fit best: what a fit has to beat."""
    shifts = [np.roll(leads, shift, axis=1) for shift in range(-10, 61, 2)]
    scaled = [one * max(0.0, float(np.vdot(one, data) / np.vdot(one, one))) for one in shifts]
    return min(scaled, key=lambda one: float(np.sum((one - data) ** 2)))


def _misfit(model: RecordedBeatModel, start: Posed, data: np.ndarray) -> float:
    leads = np.asarray(model.leads(jnp.asarray(start.vector)), float)
    return _relative(_naive(leads, data), data)


def _low_rank(data: np.ndarray) -> np.ndarray:
    """The best sum of three sources fixed in space: no single dipole can do better."""
    u, s, v = np.linalg.svd(data, full_matrices=False)
    return (u[:, :DIPOLES] * s[:DIPOLES]) @ v[:DIPOLES]


def _relative(found: np.ndarray, data: np.ndarray) -> float:
    return float(np.linalg.norm(found - data) / np.linalg.norm(data))


def _correlation(found: np.ndarray, data: np.ndarray) -> float:
    return float(np.corrcoef(found.ravel(), data.ravel())[0, 1]) if np.ptp(found) > 0 else 0.0


def _duration(leads: np.ndarray) -> float:
    """QRS duration by the rule that the data's edges are found with."""
    steep = slopes(leads)
    above = np.flatnonzero(steep > EDGE * steep.max())
    return float(above[-1] - above[0]) if above.size else 0.0


def _t_wave(
    config: Config, workspace: Workspace, model: RecordedBeatModel, found: Posed, beat: AveragedBeat
) -> tuple[np.ndarray, dict[str, float]]:
    """All leads of the whole beat with the durations that fit the T wave of the twelve leads best, and what they are."""
    cell = workspace.stage("cell", lambda: paced_beat(config.cell_model, beat.interval_ms, config.beats, config.dt_ms))
    data = _window(beat, beat.values[:12], WHOLE)
    after = slice(int(BEFORE_MS + beat.qrs_ms) + 20, WHOLE)
    vector = jnp.asarray(found.vector)
    best, kept, chosen = np.inf, np.zeros((15, WHOLE)), (1.0, 0.0)
    for factor in STRETCHES:
        for shorter in SHORTER:
            leads, _ = model.whole(vector, cell.stretched(WHOLE, shorter, factor))
            misfit = _relative(np.asarray(leads, float)[:12, after], data[:, after])
            if misfit < best:
                best, kept, chosen = misfit, np.asarray(leads, float), (factor, shorter)
    flat = _relative(np.zeros_like(data[:, after]), data[:, after])
    return kept, {
        "apd90_ms": cell.duration * chosen[0],
        "apd_shorter_per_ms": chosen[1],
        "t_wave_relative_residual": best,
        "t_wave_relative_residual_flat": flat,
        "t_wave_correlation": _correlation(kept[:12, after], data[:, after]),
    }


def _report(
    config: Config,
    summary: dict[str, Any],
    beat: AveragedBeat,
    comments: tuple[str, ...],
    data: np.ndarray,
    fitted: np.ndarray,
    naive: np.ndarray,
    whole: np.ndarray,
    everything: np.ndarray,
) -> Report:
    report = Report("A real electrocardiogram", f"{config.record}: {beat.beats} beats averaged, {beat.interval_ms:g} ms apart")
    traces = [("data", SOFT, data), ("usual heart, scaled", VERMILION, naive), ("fit", BLUE, fitted)]
    report.figure(
        leads_figure(np.arange(SAMPLES) - BEFORE_MS, traces),
        "The QRS complex: data, the heart as it is with the best gain and onset, and the fit.",
        "qrs",
        alt="Twelve leads of the data, of the unfitted heart and of the fit",
    )
    report.figure(
        leads_figure(np.arange(WHOLE) - BEFORE_MS, [("data", SOFT, everything[:12]), ("fit", BLUE, whole[:12])]),
        "The whole beat: the QRS complex was fitted, of the T wave only the duration of action potentials and its change with activation.",
        "beat",
        alt="Twelve leads of the whole beat",
    )
    rows = [
        [lead, f"{summary[f'correlation_{lead}']:.3f}", f"{_relative(fitted[n], data[n]):.2f}", f"{_correlation(naive[n], data[n]):.3f}"]
        for n, lead in enumerate(LEADS)
    ]
    report.table(["Lead", "Correlation", "Relative residual", "Correlation, usual heart"], rows, "Over the window of the QRS complex.")
    rows = [[name, value if isinstance(value, str) else f"{value:.4g}"] for name, value in summary.items()]
    report.table(["Quantity", "Value"], rows)
    report.text("About the patient: " + "; ".join(comments[:8]) + ".")
    report.text(
        "Parameters are those of a heart and a torso of other shapes than the patient's, and many of them give nearly the same leads: they "
        "say how this model makes these leads, not how this patient's heart is activated."
    )
    return report


if __name__ == "__main__":
    run_script(__spec__)
