"""Where a beat began, from a noisy twelve-lead electrocardiogram: hidden virtual hearts, and how far the answer is off."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import xarray as xr

from experiments.cardiac._ectopic_beat import FILTER_MS, SAMPLES, TYPICAL, Beat, BeatModel, low_pass, prior_scale
from experiments.cardiac._heart import body, leads_figure
from experiments.cardiac._shared import check_two_grids
from physics import LEADS
from twinsim.cli import run_script
from twinsim.experiment import Result
from twinsim.figure_style import BLUE, SOFT
from twinsim.gauss_newton import minimise
from twinsim.option_checks import check_options
from twinsim.report import Report
from twinsim.workspace import Workspace

NORMAL_90 = 1.6449
APART_MM = 12.0
FINALISTS = 3


@dataclass(frozen=True)
class Config:
    """Options of the inverse problem."""

    heart: Path | None = None
    """Folder with a heart.yaml (docs/heart_folder.md) whose beats are hidden and found; without it the analytic heart."""
    torso: bool = False
    """Lead fields in an analytic torso with lungs and blood instead of an infinite conductor."""
    torso_spacing_mm: float = 5.0
    """Edge of the torso's voxels, in mm."""
    hearts: int = 1
    """How many hidden hearts."""
    seed: int = 0
    """Of the first one; the others follow."""
    noise_mv: float = 0.02
    """Standard deviation of the white noise in every sample and lead, before the low pass; the fit is told it. In mV."""
    truth_spacing_mm: float = 1.0
    """Voxels of the heart that makes the data, in mm."""
    spacing_mm: float = 1.25
    """Voxels of the heart that is fitted, in mm."""
    search_spacing_mm: float = 2.0
    """Voxels of the search that comes before, in mm."""
    precision: Literal["float32", "float64"] = "float64"
    """Floating-point precision."""


@dataclass(frozen=True)
class Fit:
    """What was found for one heart.

    Attributes:
        truth: The hidden beat.
        found: The fitted one.
        deviation: Standard deviation per parameter.
        data: Filtered noisy leads.
        fitted: Leads of the fit.
    """

    truth: Beat
    found: Beat
    deviation: np.ndarray
    data: np.ndarray
    fitted: np.ndarray

    @property
    def error_mm(self) -> float:
        """Distance of the place found from the true one."""
        return float(np.linalg.norm(self.found.place - self.truth.place))

    @property
    def covered(self) -> np.ndarray:
        """Per parameter, whether the 90 % interval holds the truth."""
        return np.abs(np.asarray(self.found.parameters) - np.asarray(self.truth.parameters)) <= NORMAL_90 * self.deviation


def run(config: Config, workspace: Workspace) -> Result:
    """Hides beats in fine hearts, and finds each from its leads on coarser ones: a search over places, then Gauss-Newton."""
    _check(config)
    workspace.message("hearts on three grids and their lead fields")
    hidden, coarse, fine = (
        BeatModel(body(h, config.heart)) for h in (config.truth_spacing_mm, config.search_spacing_mm, config.spacing_mm)
    )
    places = coarse.spread_places(APART_MM)
    library = [coarse.at(Beat(place, *TYPICAL, 0.0)) for place in workspace.progress(places, "beats from everywhere", "places")]
    fits = []
    for number in range(config.hearts):
        fit = workspace.stage(f"heart-{number}", lambda n=number: _one(config, n, (hidden, coarse, fine), places, library))
        workspace.message(f"heart {config.seed + number}: earliest place {fit.error_mm:.2f} mm off")
        fits.append(fit)
    errors = np.array([fit.error_mm for fit in fits])
    covered = np.array([fit.covered for fit in fits])
    summary: dict[str, Any] = {
        "hearts": config.hearts,
        "site_error_mm_median": float(np.median(errors)),
        "site_error_mm_worst": float(errors.max()),
        "sites_within_2_mm": int((errors <= 2).sum()),
        "site_coordinates_covered_by_ci90": int(covered[:, :3].sum()),
        "site_coordinates": int(covered[:, :3].size),
        "site_ci90_half_width_mm_median": float(np.median([NORMAL_90 * fit.deviation[:3] for fit in fits])),
    }
    for name, index in (("velocity_along", 3), ("velocity_across", 4)):
        relative = np.array([np.exp(float(fit.found.parameters[index] - fit.truth.parameters[index])) - 1 for fit in fits])
        summary |= {
            f"{name}_relative_error_median": float(np.median(np.abs(relative))),
            f"{name}_relative_error_worst": float(np.abs(relative).max()),
            f"{name}_covered_by_ci90": int(covered[:, index].sum()),
        }
    return Result(summary, _report(config, summary, fits), _dataset(fits))


def _one(config: Config, number: int, models: tuple[BeatModel, BeatModel, BeatModel], places: np.ndarray, library: list[np.ndarray]) -> Fit:
    hidden, coarse, fine = models
    random = np.random.default_rng(config.seed + number)
    along = float(random.uniform(0.5, 0.7))
    inside = hidden.muscle[random.integers(len(hidden.muscle))] + random.uniform(-0.5, 0.5, 3) * hidden.spacing
    truth = Beat(inside, along, along * float(random.uniform(0.4, 0.6)), float(random.uniform(-3, 3)))
    clean = hidden.at(truth)
    white = random.normal(size=clean.shape) * config.noise_mv
    data = clean + np.apply_along_axis(lambda lead: np.convolve(lead, low_pass(), mode="same"), 1, white)

    starts = sorted(
        (float(np.sum((np.roll(leads, shift, axis=1) - data) ** 2)), shift, index)
        for index, leads in enumerate(library)
        for shift in range(-6, 7, 2)
    )
    tried: dict[int, Beat] = {}
    for _, shift, index in starts:
        if index not in tried and len(tried) < FINALISTS:
            tried[index] = Beat(places[index], *TYPICAL, float(shift))
    scale = prior_scale()
    rough = []
    for start in tried.values():
        best = minimise(coarse.evaluator(data, config.noise_mv, start), np.zeros(6), iterations=25, tolerance=0.2)
        rough.append((best.value, np.asarray(start.parameters) + scale * best.z))
    _, point = min(rough, key=lambda entry: entry[0])
    start = Beat.of(point)
    best = minimise(fine.evaluator(data, config.noise_mv, start), np.zeros(6), iterations=25, tolerance=0.2)
    final = np.asarray(start.parameters) + scale * best.z
    found = Beat.of(np.r_[fine.inside(final[:3]), final[3:]])
    fitted = fine.at(found)
    # Misfit beyond the noise counts as noise; what the voxels can't resolve is judged by how far the answer moved from coarse ones.
    filtered = config.noise_mv**2 * float(np.sum(low_pass() ** 2))
    over = max(1.0, float(np.mean((fitted - data) ** 2)) / filtered)
    covariance = np.linalg.inv((best.curvature - np.eye(6)) / over + np.eye(6)) * np.outer(scale, scale)
    moved = np.asarray(found.parameters) - np.r_[coarse.inside(point[:3]), point[3:]]
    return Fit(truth, found, np.sqrt(np.diag(covariance) + moved**2), data, fitted)


def _check(config: Config) -> None:
    voxel = (0.5, 2.0)
    ranges = {
        "torso_spacing_mm": (2.0, 12.0),
        "hearts": (1, 1000),
        "noise_mv": (1e-4, 1.0),
        "truth_spacing_mm": voxel,
        "spacing_mm": voxel,
        "search_spacing_mm": voxel,
    }
    check_options(config, ranges)
    check_two_grids(config.spacing_mm, config.search_spacing_mm)


def _dataset(fits: list[Fit]) -> xr.Dataset:
    names = ["x", "y", "z", "log_along", "log_across", "onset"]

    mixed = {"units": "1", "comment": "mm, log(m/s), ms"}

    def stacked(values: list[Any]) -> np.ndarray:
        return np.stack([np.asarray(value) for value in values])

    return xr.Dataset(
        {
            "truth": (
                ("heart", "parameter"),
                stacked([fit.truth.parameters for fit in fits]),
                {"units": "1", "comment": "mm, log(m/s), ms"},
            ),
            "found": (
                ("heart", "parameter"),
                stacked([fit.found.parameters for fit in fits]),
                {"units": "1", "comment": "mm, log(m/s), ms"},
            ),
            "deviation": (("heart", "parameter"), stacked([fit.deviation for fit in fits]), mixed),
            "data": (("heart", "lead", "time"), stacked([fit.data for fit in fits]), {"units": "mV"}),
            "fitted": (("heart", "lead", "time"), stacked([fit.fitted for fit in fits]), {"units": "mV"}),
        },
        coords={"parameter": names, "lead": list(LEADS), "time": ("time", np.arange(SAMPLES, dtype=float), {"units": "ms"})},
    )


def _report(config: Config, summary: dict[str, Any], fits: list[Fit]) -> Report:
    report = Report("Where a beat began", f"{config.hearts} hidden heart(s), noise {config.noise_mv:g} mV, twelve leads")
    first = fits[0]
    report.figure(
        leads_figure(np.arange(SAMPLES), [("data", SOFT, first.data), ("fit", BLUE, first.fitted)]),
        f"The first heart's leads, low-passed ({FILTER_MS:g} ms), and the fit's.",
        "leads",
        alt="Twelve leads of the data and of the fit",
    )
    rows = []
    for number, fit in enumerate(fits):
        found, half = np.asarray(fit.found.parameters), NORMAL_90 * fit.deviation
        place = ", ".join(f"{x:.1f} ± {w:.1f}" for x, w in zip(found[:3], half[:3], strict=True))
        speeds = [f"{speed:.3f} ({true:.3f})" for speed, true in ((fit.found.along, fit.truth.along), (fit.found.across, fit.truth.across))]
        rows.append([str(config.seed + number), f"{fit.error_mm:.2f}", place, *speeds])
    columns = ["Heart", "Error (mm)", "Place and 90 % (mm)", "Along (true) m/s", "Across (true) m/s"]
    report.table(columns, rows, "Intervals hold noise, misfit, and how far the answer moved from the grid of the search.")
    report.table(["Quantity", "Value"], [[name, f"{value:.4g}"] for name, value in summary.items()])
    report.text(
        "The hidden hearts have the same shape, fibres and electrodes as the ones that are fitted, on other voxels. A patient's are not "
        "known so well, and errors of shape and position move the answer by about as much as themselves."
    )
    return report


if __name__ == "__main__":
    run_script(__spec__)
