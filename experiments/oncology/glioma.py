"""A glioma twin on real brain anatomy: calibrated to scans by gradients, with its uncertainty, a forecast, and treatments compared."""

import resource
import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import xarray as xr

from twinsim.cli import run_script
from twinsim.coarsening import coarsened
from twinsim.errors import InputError
from twinsim.experiment import Result
from twinsim.forecast import Ensemble, Forecast, course_mesh, ensemble, forecast, ranked
from twinsim.glioma import DESCRIBED, GliomaTwin, glioma_twin
from twinsim.glioma_measure import measure
from twinsim.glioma_priors import GLIOMA_PRIORS
from twinsim.glioma_region import lesion_of
from twinsim.glioma_report import Findings, glioma_report
from twinsim.observation import OUTLINE_SD_MM
from twinsim.option_checks import check_options
from twinsim.patient import PatientRecord, load_patient, save_patient
from twinsim.treatment import OPTIMISED, REFERENCE, Course, courses, optimised, treatment_days
from twinsim.virtual_patient import Truth, virtual_patient
from twinsim.workspace import Workspace

KEY_PARAMETERS = {
    "diffusivity_white": "diffusivity_white_mm2_per_day",
    "proliferation": "proliferation_per_day",
    "radiosensitivity": "radiosensitivity_per_gy",
}
STARTS = ((0.0, 0.0), (1.0, -1.0), (-1.0, 1.0), (0.5, 0.5))


RANGES = {"spacing_mm": (0.5, 6.0), "horizon_days": (1.0, 1000.0), "samples": (8, 4096), "margin_mm": (5.0, 200.0)}


@dataclass(frozen=True)
class Config:
    """Options of the glioma twin."""

    spacing_mm: float = 2.0
    """Voxel edge to compute on, in mm; 1.5 to 4 are sensible."""
    seed: int = 0
    """Which virtual patient, and which posterior samples."""
    patient: Path | None = None
    """Folder with a patient.yaml; without it a virtual patient is made, whose truth is known."""
    horizon_days: float = 90.0
    """How far past the last scan to forecast, in days."""
    samples: int = 64
    """Posterior samples pushed forward."""
    margin_mm: float = 24.0
    """How far past the seen lesion the simulated region reaches, in mm."""
    treatments: bool = True
    """Whether treatments are compared and a schedule is optimised (a third of the time)."""
    timings: bool = True
    """Whether forward and gradient are timed at the end (two more programs to compile)."""
    precision: Literal["float32", "float64"] = "float32"
    """Floating-point precision."""


def run(config: Config, workspace: Workspace) -> Result:
    """Calibrates, forecasts, compares treatments, and reports."""
    check(config)
    record, coarse, truth = _patient(config, workspace)
    workspace.depend_on(record)
    twin = _calibrated(config, workspace, record, coarse)

    after = treatment_days(twin.last_day, 30)
    planned = [(f.day, f.dose_gy) for f in record.radiotherapy.fractions if f.day >= twin.last_day]
    days = np.unique(np.concatenate([after, [day for day, _ in planned]]))
    compared, notes = courses(days, twin.given_doses.tolist(), planned)
    as_filed = compared[-1] if planned else compared[0]
    mesh = course_mesh(twin, days, config.horizon_days)

    workspace.message("growing the posterior samples to the last scan")
    members = workspace.stage("ensemble", lambda: ensemble(twin, config.samples, config.seed))
    best_guess = forecast(twin, members, mesh, as_filed)
    arms = [best_guess]
    if config.treatments:
        compared = _with_optimised(config, workspace, coarse, twin, compared, days)
        others = [course for course in compared if course is not as_filed]
        for course in workspace.progress(others, "comparing treatments", "courses"):
            arms.append(forecast(twin, members, mesh, course))
        arms = ranked(arms)

    if members.power < 0.5:
        notes.append("The posterior is far from normal here: forecast bands are those of its normal approximation, and rough.")
    density = np.asarray(twin.model.grid.volume(members.states[0]), dtype=np.float32)
    agreement = twin.agreement(density, twin.calibrated.mean)
    if agreement is not None and agreement < DESCRIBED:
        notes.append(
            f"The model does not describe the last scan: what it calls visible and what was seen overlap by {agreement:.2f} (Dice). "
            "Neither parameters nor forecast mean much; look at the slices."
        )
    if twin.outline_sd_mm is not None and twin.outline_sd_mm > OUTLINE_SD_MM:
        notes.append(
            f"The model follows the outlines only to within {twin.outline_sd_mm:.1f} mm, not to the {OUTLINE_SD_MM:g} mm of a rater: the "
            "difference is taken as noise, and intervals know only its size."
        )
    warnings = [*record.notes, *twin.messages, *notes, *_region_warnings(arms), *_horizon_warning(config, days, twin)]
    for warning in warnings:
        workspace.message(f"note: {warning}")
    report = glioma_report(Findings(twin, density, members, best_guess, arms, warnings, truth))
    summary = _summary(config, twin, best_guess, arms, truth) | (measure(twin, mesh) if config.timings else {})
    summary["last_scan_dice"] = agreement
    summary["outline_uncertainty_mm"] = twin.outline_sd_mm
    summary["peak_memory_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    affine = twin.anatomy.affine
    volumes = {
        "density_last_scan": (density, affine),
        "probability_visible_at_horizon": (best_guess.probability.astype(np.float32), affine),
        "tissue_white": (np.asarray(twin.anatomy.white, dtype=np.float32), affine),
    }
    return Result(summary, report, _dataset(twin, members, best_guess, arms, density), volumes, warnings)


def check(config: Config) -> None:
    """Refuses options that nothing can be computed with."""
    check_options(config, RANGES)


def _patient(config: Config, workspace: Workspace) -> tuple[PatientRecord, PatientRecord, Truth | None]:
    """The record on the voxels to compute on and, where the lesion survives it, on twice as coarse ones.

    A virtual patient goes through files like any other.
    """
    truth = None
    with tempfile.TemporaryDirectory() as scratch:
        folder = config.patient
        if folder is None:
            workspace.message(f"making virtual patient {config.seed} on {config.spacing_mm / 2:g} mm voxels")
            made, truth = workspace.stage("virtual-patient", lambda: virtual_patient(config.seed, config.spacing_mm, config.horizon_days))
            home = Path(scratch) if workspace.folder is None else workspace.folder
            shutil.rmtree(home / "patient", ignore_errors=True)  # of a former run in this folder
            folder = save_patient(made, home / "patient", overwrite=True)
        record = load_patient(folder, config.spacing_mm)
    coarse = coarsened(record, 2 * config.spacing_mm)
    try:
        lesion_of(coarse.scans[:1])
    except InputError:
        note = (
            f"The lesion is lost on {2 * config.spacing_mm:g} mm voxels: intervals leave out what {config.spacing_mm:g} mm can't resolve."
        )
        return replace(record, notes=(*record.notes, note)), record, truth
    return record, coarse, truth


def _calibrated(config: Config, workspace: Workspace, record: PatientRecord, coarse: PatientRecord) -> GliomaTwin:
    """Searches from several starts on coarse voxels, then calibrates on fine ones."""
    twin = glioma_twin(record, config.margin_mm)
    region = twin.model.grid
    active = int(np.asarray(region.mask).sum())
    workspace.message(f"calibrating {len(GLIOMA_PRIORS)} parameters on {' x '.join(map(str, region.shape))} voxels ({active:,} in tissue)")

    def search() -> GliomaTwin:
        starts = [np.array([d, r, *[0.0] * (len(GLIOMA_PRIORS) - 2)]) for d, r in STARTS]
        rough = glioma_twin(coarse, config.margin_mm)
        return GliomaTwin.calibrate(*rough.loosened(rough.searched(starts, workspace.message), starts, workspace.message))

    rough = workspace.stage("coarse-calibration", search)
    twin = twin.outlined(rough.outline_sd_mm)
    start = twin.translated(rough.calibrated.mean, rough)

    def calibrate() -> GliomaTwin:
        # Loosened here too: on coarse voxels a round tumour may follow an outline that it misses on these.
        ready, point = twin.loosened(start, [start], workspace.message)
        return ready.calibrate(point, workspace.message).widened_by(rough)

    return workspace.stage("calibration", calibrate)


def _with_optimised(
    config: Config, workspace: Workspace, coarse: PatientRecord, twin: GliomaTwin, compared: list[Course], days: np.ndarray
) -> list[Course]:
    """Adds the schedule optimised at the late effect of the first standard course, found on coarse voxels with a few samples."""
    standard = next((course for course in compared if course.name == REFERENCE), None)
    if standard is None:
        return compared
    workspace.message("optimising the dose of every fraction")

    def search() -> Course:
        rough = glioma_twin(coarse, config.margin_mm)
        posterior = twin.calibrated
        rough = replace(rough, posterior=replace(posterior, mean=rough.translated(posterior.mean, twin)))
        few = ensemble(rough, 4, config.seed)
        mesh = course_mesh(rough, days, config.horizon_days)
        return optimised(rough.going_on(np.asarray(few.z)), mesh, few.z, few.states, standard)

    return [*compared, workspace.stage("optimised-schedule", search)]


def _region_warnings(arms: list[Forecast]) -> list[str]:
    found = []
    for arm in arms:
        course = f"The forecast ({arm.course.name})"
        if arm.held_back_by == "border":
            found.append(
                f"{course} reaches a density of {arm.edge_density:.2f} at the border of the simulated region, which holds it back: "
                "volumes and upper bounds are too small; use a larger --margin-mm."
            )
        elif arm.held_back_by == "tissue":
            found.append(f"{course} fills {arm.filled:.0%} of the tissue: its upper bound is that of the tissue, not of growth.")
    return found


def _horizon_warning(config: Config, days: np.ndarray, twin: GliomaTwin) -> list[str]:
    if days[-1] <= twin.last_day + config.horizon_days:
        return []
    return [f"The horizon of {config.horizon_days:g} days ends before a full course does: fractions after it count for nothing."]


def _summary(
    config: Config, twin: GliomaTwin, found: Forecast, arms: list[Forecast], truth: Truth | None
) -> dict[str, float | int | str | None]:
    posterior = twin.calibrated
    summary: dict[str, float | int | str | None] = {"patient": twin.record.name, "scans": len(twin.record.scans), "seed": config.seed}
    for name, key in KEY_PARAMETERS.items():
        if truth is not None:
            summary[f"{key}_truth"] = truth.values[name]
        low, high = posterior.interval(name, 0.9)
        summary |= {f"{key}_map": posterior.value(name), f"{key}_ci90_low": low, f"{key}_ci90_high": high}
        summary[f"{key}_identifiability"] = posterior.identifiability(name)
    volume = found.volume_mm3[:, -1]
    low, high = np.quantile(volume[1:], [0.05, 0.95])
    if truth is not None:
        summary["forecast_volume_mm3_truth"] = truth.forecast_volume_mm3
    summary |= {
        "forecast_volume_mm3_map": float(volume[0]),
        "forecast_volume_mm3_median": float(np.median(volume[1:])),
        "forecast_volume_mm3_ci90_low": float(low),
        "forecast_volume_mm3_ci90_high": float(high),
        "forecast_capped_by_region": found.capped,
        "forecast_edge_density": found.edge_density,
        "forecast_largest_filled_fraction": found.filled,
        "best_treatment": arms[0].course.name if config.treatments else "not compared",
        "active_voxels": int(np.asarray(twin.model.grid.mask).sum()),
        "calibration_distance_to_optimum_sd": twin.optimum.gradient_norm if twin.optimum else None,
    }
    for arm in arms:
        key = arm.course.name.replace(" ", "_").lower()
        summary[f"burden_mm3_median_{key}"] = float(np.median(arm.burden_mm3[1:, -1]))
        summary[f"late_effect_gy_{key}"] = arm.course.late_effect_gy
    return summary | _gain(arms)


def _gain(arms: list[Forecast]) -> dict[str, float | int | str | None]:
    """By what factor the optimised schedule leaves less than the course whose late effect and days it shares."""
    named = {arm.course.name: arm for arm in arms}
    if OPTIMISED not in named:
        return {}
    gain, low, high = named[OPTIMISED].gain_over(named[REFERENCE])
    return {"optimised_gain": gain, "optimised_gain_ci90_low": low, "optimised_gain_ci90_high": high}


def _dataset(twin: GliomaTwin, members: Ensemble, found: Forecast, arms: list[Forecast], density: np.ndarray) -> xr.Dataset:
    axes = {
        name: (name, np.arange(n) * h, {"units": "mm", "long_name": f"{name} from the centre of the first voxel"})
        for name, n, h in zip("xyz", twin.anatomy.shape, twin.anatomy.spacing_mm, strict=True)
    }
    return xr.Dataset(
        {
            "density": (("x", "y", "z"), density, {"units": "1", "long_name": "cell density at the last scan, fraction of capacity"}),
            "probability": (
                ("x", "y", "z"),
                found.probability.astype(np.float32),
                {"units": "1", "long_name": "chance that tumour is visible at the horizon"},
            ),
            "tissue": (("x", "y", "z"), twin.anatomy.mask, {"long_name": "voxels that can carry tumour"}),
            "affine": (
                ("row", "column"),
                np.asarray(twin.anatomy.affine, dtype=float),
                {"units": "mm", "long_name": "voxel index to world coordinates (right, anterior, superior)"},
            ),
            "visible_volume": (("sample", "day"), found.volume_mm3, {"units": "mm3", "long_name": "visible volume, sample 0 is the MAP"}),
            "history": (
                ("sample", "scan_time"),
                members.history_mm3,
                {"units": "mm3", "long_name": "visible volume from the first scan to the last"},
            ),
            "dose": (
                ("course", "fraction_day"),
                np.stack([arm.course.doses_gy for arm in arms]),
                {"units": "Gy", "long_name": "dose of each fraction after the last scan"},
            ),
            "burden": (
                ("course", "sample", "day"),
                np.stack([arm.burden_mm3 for arm in arms]),
                {"units": "mm3", "long_name": "tumour cells as a volume at carrying capacity"},
            ),
        },
        coords={
            **axes,
            "day": ("day", found.days, {"units": "day", "long_name": "day of the patient's record"}),
            "scan_time": ("scan_time", members.history_days, {"units": "day", "long_name": "day of the patient's record"}),
            "fraction_day": ("fraction_day", found.course.days, {"units": "day", "long_name": "day of the patient's record"}),
            "course": ("course", [arm.course.name for arm in arms]),
        },
    )


if __name__ == "__main__":
    run_script(__spec__)
