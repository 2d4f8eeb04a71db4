"""Where seizures begin: epileptogenicity of every region from electrodes, on hidden virtual patients or on a recorded seizure."""

from dataclasses import dataclass
from typing import Any, Literal

import jax
import numpy as np
import xarray as xr

from experiments.neuro._virtual_seizure import (
    FULL_EVERY_S,
    SAMPLES,
    WINDOW_S,
    VirtualPatient,
    contact_gain,
    full_patient,
    plane_patient,
)
from physics import Connectome, synthetic_connectome
from twinsim.cli import run_script
from twinsim.connectome_file import read_connectome
from twinsim.errors import InputError
from twinsim.experiment import Result, finite_or_none
from twinsim.figure_style import BLUE, INK, SOFT, VERMILION, new_figure, quiet
from twinsim.intracranial_recording import IntracranialRecording, line_length, log_envelope, published_fragility, read_recording
from twinsim.option_checks import check_options
from twinsim.prior import Prior
from twinsim.ranking import area_under_curve, bootstrap_interval, hits_among_first
from twinsim.report import Report
from twinsim.seizure_inverse import SHARED, THRESHOLD, EpileptogenicZone, SeizureModel, fit_seizure, sampled_zone
from twinsim.workspace import Workspace

POPULATION = (-2.4, 0.35)
"""Mean and spread of $x_0$ over regions: one in six seizes by itself."""
RECORDED = (
    Prior("coupling", "1", 1.0, 0.5, "log", "multiplies no weights where no tracts are known"),
    Prior("slow_time", "1", 20.0, 0.5, "log", "wider, as one unit of time is chosen: 80 ms"),
    Prior("offset", "1", 0.0, 0.5, "identity", "of the feature, which is scaled to the fast variable", convention=True),
    Prior("scale", "1", 1.0, 0.3, "log", "of the feature", convention=True),
)
EVERY_S, RECORDED_STEPS = 0.04, 5
FEWEST = 5  # channels named, and not named, for an interval of the area
INSIDE = 1.6449  # standard deviations on either side that hold 90 %


@dataclass(frozen=True)
class Config:
    """Options of the search for the epileptogenic zone."""

    recording: str = ""
    """ieeg_ictal; an EDF file; a CSV table with time_s and a column per channel; or an NPZ file with ecog (channels, samples), channels
    (names), time_s (0 at the onset), fs (Hz) and perhaps soz (one truth value per channel). Without it, virtual patients."""
    onset_s: float | None = None
    """Onset of the seizure from the start of an EDF or CSV recording, in s; else what an EDF annotates, and zero of a table's times."""
    span_s: tuple[float, float] = (-10.0, 20.0)
    """What is read round the onset of an EDF or CSV recording, in s."""
    leave_out: tuple[str, ...] = ()
    """Channels of the recording that are no intracranial ones."""
    band_hz: tuple[float, float] = (1.0, 200.0)
    """Of the recording, in Hz."""
    window_s: float = 0.25
    """Over which the power of the band is taken, in s."""
    patients: int = 8
    """Virtual patients."""
    truth: Literal["epileptor_plane", "epileptor"] = "epileptor_plane"
    """What virtual patients are made of: the fitted model, or the six-dimensional one that it stands for."""
    connectome: str = "synthetic"
    """Of virtual patients: synthetic, or a file with centres of the regions; see docs/theory/brain_networks.md."""
    regions: int = 30
    """Of the synthetic connectome."""
    contacts_per_region: int = 2
    """Contacts scattered about the centre of each region."""
    noise: float = 0.1
    """Standard deviation of the noise of virtual contacts, in units of the fast variable."""
    sampler: Literal["laplace", "nuts"] = "laplace"
    """Posterior of virtual patients: the curvature at the maximum, or draws."""
    seed: int = 0
    """Of patients, contacts, noise and resamples."""
    precision: Literal["float64"] = "float64"
    """Floating-point precision."""


def run(config: Config, workspace: Workspace) -> Result:
    """The recording where one is given, else virtual patients."""
    check_options(
        config,
        {
            "band_hz": (0.1, 1e4), "window_s": (0.01, 10.0), "patients": (1, 1000), "regions": (4, 400), "contacts_per_region": (1, 20),
            "noise": (1e-3, 10.0), "span_s": (-3600.0, 3600.0),
        },
    )  # fmt: skip
    return _recorded(config, workspace) if config.recording else _virtual(config, workspace)


def _recorded(config: Config, workspace: Workspace) -> Result:
    recording = read_recording(config.recording, config.onset_s, config.span_s, config.leave_out)
    times, feature = log_envelope(recording, config.band_hz, config.window_s, EVERY_S)
    channels = len(recording.channels)
    model = SeizureModel.between(np.zeros((channels, channels)), np.eye(channels), resting=False, every=RECORDED_STEPS, ridge=0.0)
    workspace.message(f"{recording.name}: {channels} channels, {len(times)} moments")
    # Neighbouring values of the feature share their window: the noise is raised to what as many independent values would have.
    shared = max(1.0, config.window_s / EVERY_S) ** 0.5
    first = fit_seizure(model, recording.channels, feature, 0.5 * shared, POPULATION, RECORDED)
    zone = fit_seizure(model, recording.channels, feature, shared * first.residual, POPULATION, RECORDED, start=first)
    scores = {"onset_zone": zone.mean, "line_length": line_length(recording)}
    if config.recording == "ieeg_ictal" and not recording.dropped:
        scores["fragility"] = published_fragility().mean(axis=1)
    summary: dict[str, Any] = {"recording": recording.name, "channels": channels, "dropped_channels": len(recording.dropped)}
    for name in ("onset_zone", "fragility", "line_length"):
        summary |= _scored(name, scores.get(name), recording.onset_zone, config.seed)
    first_ten = np.argsort(-zone.mean)[:10]
    summary |= {
        "first_ten": " ".join(recording.channels[one] for one in first_ten),
        "residual": zone.residual,
        "slow_time_ms": zone.shared["slow_time"] * 1000 * EVERY_S / (RECORDED_STEPS * model.step),
        "search_converged": str(bool(zone.maximum.converged)).lower(),
    }
    notes = [
        "One seizure of one person: no figure here says how well other seizures would be read.",
        "The scale is the recording's own, so that its loudest channels come out high even where nobody seizes: channels are ranked, and "
        "whether there is a seizure is not judged.",
        *([] if bool(zone.maximum.converged) else ["The search ended before it met its tolerance."]),
        "Amplitudes are compared between channels. Against a stretch before the onset the named channels change less than others (they are "
        "loud before it), so that such a score ranks them last; this was seen with their names in view, and so was the band.",
        "No tracts and no places of contacts are known: channels are not coupled.",
        *(f"{name} was left out: {reason}." for name, reason in recording.dropped.items()),
    ]
    dataset = xr.Dataset(
        {
            "feature": (("time", "channel"), feature, {"units": "1"}),
            "epileptogenicity": ("channel", zone.mean, {"units": "1"}),
            "epileptogenicity_sd": ("channel", zone.sd, {"units": "1"}),
            "probability": ("channel", zone.probability, {"units": "1"}),
        },
        coords={"time": ("time", times, {"units": "s"}), "channel": list(recording.channels)},
    )
    report = Report("Epileptogenic zone", f"{recording.name}: {channels} channels, {times[0]:.2f} to {times[-1]:.2f} s round the onset")
    _show_recording(report, recording, times, feature, zone, scores)
    return Result(summary, report, dataset, notes=notes)


def _scored(name: str, score: np.ndarray | None, truth: np.ndarray | None, seed: int) -> dict[str, float | int | None]:
    """The area under the curve with its interval, and hits among the first ten."""
    hits = "top10_hits" if name == "onset_zone" else f"{name}_top10_hits"
    known = score is not None and truth is not None and 0 < truth.sum() < truth.size
    if not known or score is None or truth is None:
        return {f"{name}_auc": None, f"{name}_auc_ci90_low": None, f"{name}_auc_ci90_high": None, hits: None}
    enough = FEWEST <= truth.sum() <= truth.size - FEWEST
    low, high = bootstrap_interval(score, truth, seed) if enough else (None, None)
    return {
        f"{name}_auc": area_under_curve(score, truth), f"{name}_auc_ci90_low": low, f"{name}_auc_ci90_high": high,
        hits: hits_among_first(score, truth),
    }  # fmt: skip


def _virtual(config: Config, workspace: Workspace) -> Result:
    connectome = (
        synthetic_connectome(config.regions, config.seed) if config.connectome == "synthetic" else read_connectome(config.connectome)
    )
    if connectome.centres is None:
        raise InputError(f"connectome {config.connectome} without centres", "places of the regions", "give a ZIP with centres.txt")
    gain = contact_gain(connectome, config.contacts_per_region, config.seed)
    plane = config.truth == "epileptor_plane"
    # An envelope is no sum of sources: of the full model it is taken as their mean, weighted by the gain.
    seen = gain if plane else gain / gain.sum(axis=1, keepdims=True)
    model = SeizureModel.between(connectome.scaled().weights, seen, resting=plane)
    shared = SHARED if plane else RECORDED
    patients, zones = [], []
    for number in workspace.progress(range(config.patients), "patients", "patients"):
        patient, zone = workspace.stage(f"patient_{number}", lambda n=number: _one(config, connectome, model, gain, shared, n))
        patients.append(patient)
        zones.append(zone)
    truth = np.array([one.epileptogenicity for one in patients])
    mean, sd = np.array([one.mean for one in zones]), np.array([one.sd for one in zones])
    areas = np.array([area_under_curve(m, t > THRESHOLD) for m, t in zip(mean, truth, strict=True)])
    known = areas[np.isfinite(areas)]
    error, prior_error = mean - truth, POPULATION[0] - truth
    summary: dict[str, Any] = {
        "truth": config.truth,
        "patients": config.patients,
        "patients_with_a_zone": int(known.size),
        "auc_median": float(np.median(known)) if known.size else None,
        "auc_worst": float(known.min()) if known.size else None,
        "auc_all_regions": finite_or_none(area_under_curve(mean.ravel(), truth.ravel() > THRESHOLD)),
        "epileptogenicity_rmse": float(np.sqrt(np.mean(error**2))),
        "epileptogenicity_rmse_of_prior": float(np.sqrt(np.mean(prior_error**2))),
        "epileptogenicity_sd_median": float(np.median(sd)),
        "coverage_of_ci90": float(np.mean(np.abs(error) < INSIDE * sd)),
        "searches_converged": int(sum(bool(one.maximum.converged) for one in zones)),
    }
    dataset = xr.Dataset(
        {
            "truth": (("patient", "region"), truth, {"units": "1"}),
            "epileptogenicity": (("patient", "region"), mean, {"units": "1"}),
            "epileptogenicity_sd": (("patient", "region"), sd, {"units": "1"}),
        },
        coords={"patient": ("patient", np.arange(config.patients), {"units": "1"}), "region": list(connectome.names)},
    )
    kind = "the fitted model" if plane else "six-dimensional Epileptors, fitted by the plane"
    report = Report("Epileptogenic zone", f"{config.patients} virtual patients of {kind}, {len(gain)} contacts")
    _show_patients(report, patients[0], zones[0], truth, mean, sd, summary)
    notes = ["Virtual patients: seizures of nobody, on a synthetic connectome unless one was given."]
    return Result(summary, report, dataset, notes=notes)


def _one(
    config: Config, connectome: Connectome, model: SeizureModel, gain: np.ndarray, shared: tuple[Prior, ...], number: int
) -> tuple[VirtualPatient, EpileptogenicZone]:
    key = jax.random.fold_in(jax.random.key(config.seed), number)
    if config.truth == "epileptor_plane":
        patient = plane_patient(model, POPULATION, shared, config.noise, key)
        zone = fit_seizure(model, connectome.names, patient.feature, config.noise, POPULATION, shared)
    else:
        patient = full_patient(connectome, gain, POPULATION, SHARED, config.noise, key)
        rough = fit_seizure(model, connectome.names, patient.feature, 1.0, POPULATION, shared)
        noise = rough.residual * (WINDOW_S / FULL_EVERY_S) ** 0.5
        zone = fit_seizure(model, connectome.names, patient.feature, noise, POPULATION, shared, start=rough)
    if config.sampler == "nuts":
        zone = sampled_zone(zone, config.seed + number)
    return patient, zone


def _show_recording(
    report: Report,
    recording: IntracranialRecording,
    times: np.ndarray,
    feature: np.ndarray,
    zone: EpileptogenicZone,
    scores: dict[str, np.ndarray],
) -> None:
    order = np.argsort(-zone.mean)
    named = np.zeros(len(order), bool) if recording.onset_zone is None else recording.onset_zone
    figure = new_figure(6.0)
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    image = left.imshow(feature[:, order].T, aspect="auto", cmap="magma", extent=(times[0], times[-1], len(order) - 0.5, -0.5))
    figure.colorbar(image, ax=left, label="log envelope, scaled to -2 to 1", shrink=0.7)
    left.axvline(0, color="white", linewidth=0.8)
    left.set_yticks(range(len(order)), [recording.channels[one] for one in order], fontsize=4)
    for label, one in zip(left.get_yticklabels(), order, strict=True):
        label.set_color(VERMILION if named[one] else INK)
    left.set_xlabel("time from the marked onset (s)")
    left.set_title("Channels by their rank", fontsize=10)
    rows = np.arange(len(order))
    colours = np.where(named[order], VERMILION, BLUE)
    right.errorbar(zone.mean[order], rows, xerr=INSIDE * zone.sd[order], fmt="none", ecolor=SOFT, linewidth=0.8)
    right.scatter(zone.mean[order], rows, c=colours, s=8, zorder=3)
    right.axvline(THRESHOLD, color=INK, linewidth=0.8, linestyle="--")
    right.set_ylim(len(order) - 0.5, -0.5)
    right.set_yticks([])
    right.set_xlabel("epileptogenicity (90 %)")
    quiet(right)
    report.figure(
        figure,
        "Red: named by clinicians; right of the dashed line a channel would seize by itself.",
        "channels",
        alt="Envelopes of channels in the order of their epileptogenicity",
    )
    rows_of = []
    for rank, one in enumerate(order[:15], start=1):
        rows_of.append([str(rank), recording.channels[one], f"{zone.mean[one]:.2f} ± {zone.sd[one]:.2f}", "yes" if named[one] else ""])
    report.table(["Rank", "Channel", "Epileptogenicity", "Named"], rows_of)
    if recording.onset_zone is not None and named.any():
        found = [
            [name.replace("_", " "), f"{area_under_curve(s, named):.3f}", str(hits_among_first(s, named))] for name, s in scores.items()
        ]
        report.table(["Score", "Area under the curve", "Named among the first ten"], found)


def _show_patients(
    report: Report,
    patient: VirtualPatient,
    zone: EpileptogenicZone,
    truth: np.ndarray,
    mean: np.ndarray,
    sd: np.ndarray,
    summary: dict[str, Any],
) -> None:
    figure = new_figure(4.2)
    left, right = figure.subplots(1, 2)
    seizes = patient.epileptogenicity > THRESHOLD
    moments = np.arange(len(patient.sources)) / len(patient.sources) * SAMPLES
    for trace, own in zip(patient.sources.T, seizes, strict=True):
        left.plot(moments, trace, color=VERMILION if own else SOFT, linewidth=1.0 if own else 0.6, zorder=3 if own else 2)
    left.set_xlabel("sample")
    left.set_ylabel("fast variable")
    left.set_title("First patient; red: seizes by itself", fontsize=10)
    quiet(left)
    right.errorbar(truth.ravel(), mean.ravel(), yerr=INSIDE * sd.ravel(), fmt="o", color=BLUE, ecolor=SOFT, markersize=2.5, linewidth=0.6)
    ends = [truth.min(), truth.max()]
    right.plot(ends, ends, color=INK, linewidth=0.8)
    for draw in (right.axvline, right.axhline):
        draw(THRESHOLD, color=VERMILION, linewidth=0.7, linestyle="--")
    right.set_xlabel("hidden epileptogenicity")
    right.set_ylabel("found, 90 % intervals")
    quiet(right)
    report.figure(figure, "Activity of one patient; what was found against the truth.", "zone", alt="Traces and a scatter plot")
    report.table(
        ["Quantity", "Value"],
        [[name, value if isinstance(value, str) else f"{value:.4g}"] for name, value in summary.items() if value is not None],
    )


if __name__ == "__main__":
    run_script(__spec__)
