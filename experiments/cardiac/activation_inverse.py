"""Conductivities and channels of a sheet of heart tissue from noisy maps of activation and repolarisation: hidden virtual tissues."""

import time
from dataclasses import dataclass
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np
import xarray as xr

from experiments.cardiac._mapped_sheet import site_lattice
from experiments.cardiac._mapped_tissue import FITTED, LEFT_OUT, LEVELS_MV, SIZE_MM, STIMULATED_MM, MappedTissue, priors_of
from experiments.cardiac._shared import check_two_grids
from twinsim.cli import run_script
from twinsim.errors import InputError
from twinsim.experiment import Result
from twinsim.figure_style import new_figure
from twinsim.gauss_newton import Evaluate, minimise, of_residuals
from twinsim.inference import Information
from twinsim.option_checks import check_options
from twinsim.posterior import Posterior
from twinsim.prior import values_of
from twinsim.report import Report
from twinsim.workspace import Workspace

NORMAL_90 = 1.6449
RANGES = {  # truths are drawn from the prior's median times or over up to these factors
    "conductivity_along": 1.45,
    "conductivity_across": 1.45,
    "calcium_permeability": 1.2,
    "rapid_potassium_conductance": 1.5,
}
ONSET_MS = 3.0
WANTED = tuple(RANGES)
KINDS = ("activation", *(f"repolarisation to {level:g} mV" for level in LEVELS_MV))


@dataclass(frozen=True)
class Config:
    """Options of the inverse problem."""

    tissues: int = 1
    """How many hidden tissues."""
    seed: int = 0
    """Of the first one; the others follow."""
    activation_noise_ms: float = 0.5
    """Standard deviation of the noise of activation times; the fit is told it. In ms."""
    repolarisation_noise_ms: float = 2.0
    """The same of repolarisation times, in ms."""
    sites_apart_mm: float = 0.5
    """Distance of the recording sites, in mm; 0.5 is that of a coarse optical map."""
    fibre_angle_deg: float = 30.0
    """Angle of the fibres, which are known, to the long side of the sheet; in degrees."""
    layer: Literal["epi", "mid", "endo"] = "epi"
    """Of the wall: which of the cells of ten Tusscher and Panfilov (2006)."""
    truth_spacing_mm: float = 0.1
    """Voxels of the tissue that makes the data, in mm."""
    truth_step_ms: float = 0.01
    """Its steps until all is activated, in ms; five times as long after that."""
    spacing_mm: float = 0.125
    """Voxels of the tissue that is fitted until all is activated; twice as wide after that. In mm."""
    step_ms: float = 0.02
    """Its steps until all is activated; 0.1 after that. In ms."""
    search_spacing_mm: float = 0.25
    """Voxels of the fit that comes before, in mm."""
    precision: Literal["float32", "float64"] = "float64"
    """Floating-point precision."""


@dataclass(frozen=True)
class Fit:
    """What was found for one tissue.

    Attributes:
        truth: The hidden values by name.
        posterior: Of the fitted ones.
        spreads: Standard deviation of the logarithm per wanted name: all channels left out being known, and each of them unknown.
        open_directions: What the data do not tell apart when nothing is known, in words.
        data: Noisy times ``(3, sites)``.
        fitted: Those of the fit.
        seconds: For the fit, data not included.
        evaluations: Of the finer tissue.
    """

    truth: dict[str, float]
    posterior: Posterior
    spreads: dict[str, tuple[float, ...]]
    open_directions: list[str]
    data: np.ndarray
    fitted: np.ndarray
    seconds: float
    evaluations: int

    def error(self, name: str) -> float:
        """Relative error of the value found."""
        return self.posterior.value(name) / self.truth[name] - 1

    def covered(self, name: str) -> bool:
        """Whether the 90 % interval holds the truth."""
        low, high = self.posterior.interval(name, 0.9)
        return low <= self.truth[name] <= high


def run(config: Config, workspace: Workspace) -> Result:
    """Hides tissues on fine voxels, and finds each from its maps on coarser ones by Gauss-Newton through the simulation."""
    _check(config)
    sites = site_lattice(SIZE_MM, config.sites_apart_mm, 2 * STIMULATED_MM)
    settings = (sites, config.fibre_angle_deg, config.layer)
    hidden = MappedTissue(config.truth_spacing_mm, config.truth_step_ms, *settings, coarsen=False, plateau_step_ms=5 * config.truth_step_ms)
    coarse, fine = (MappedTissue(spacing, config.step_ms, *settings) for spacing in (config.search_spacing_mm, config.spacing_mm))
    fits = []
    for number in range(config.tissues):
        fit = workspace.stage(f"tissue-{number}", lambda n=number: _one(config, n, hidden, coarse, fine))
        worst = max(WANTED, key=lambda name: abs(fit.error(name)))
        workspace.message(f"tissue {config.seed + number}: worst is {worst}, {100 * fit.error(worst):+.1f} %, {fit.seconds:.0f} s")
        fits.append(fit)
    summary: dict[str, Any] = {"tissues": config.tissues, "sites": len(sites)}
    for name in WANTED:
        errors = np.abs([fit.error(name) for fit in fits])
        summary |= {
            f"{name}_relative_error_median": float(np.median(errors)),
            f"{name}_relative_error_worst": float(errors.max()),
            f"{name}_covered_by_ci90": sum(fit.covered(name) for fit in fits),
        }
        for index, case in enumerate(("", "_sodium_unknown", "_slow_potassium_unknown")):
            summary[f"{name}_relative_sd{case}"] = float(np.median([fit.spreads[name][index] for fit in fits]))
    inside = [max(abs(fit.error(name)) for name in WANTED) <= 0.05 for fit in fits]
    summary |= {
        "tissues_within_5_percent": sum(inside),
        "values": len(fits) * len(WANTED),
        "values_covered_by_ci90": sum(fit.covered(name) for fit in fits for name in WANTED),
        "seconds_per_tissue_median": float(np.median([fit.seconds for fit in fits])),
        "not_told_apart": "; ".join(fits[0].open_directions) or "nothing",
    }
    return Result(summary, _report(config, summary, fits, sites), _dataset(fits, sites))


def _one(config: Config, number: int, hidden: MappedTissue, coarse: MappedTissue, fine: MappedTissue) -> Fit:
    random = np.random.default_rng(config.seed + number)
    priors = priors_of(FITTED, config.layer)
    truth = {p.name: p.median * float(RANGES[p.name] ** random.uniform(-1, 1)) for p in priors if p.name in RANGES}
    truth["onset"] = float(random.uniform(-ONSET_MS, ONSET_MS))
    clean = hidden.at(truth)
    noise = np.array([config.activation_noise_ms, *[config.repolarisation_noise_ms] * len(LEVELS_MV)])[:, None]
    data = clean + noise * random.normal(size=clean.shape)
    if not np.isfinite(clean).all() or np.abs(clean).max() > 1e4:
        raise InputError(f"seed {config.seed + number}", "a tissue that is activated and repolarises in time", "choose another --seed")

    began = time.perf_counter()
    rough = minimise(_evaluator(coarse, priors, data, noise), np.zeros(len(priors)), iterations=25, tolerance=0.1)
    best = minimise(_evaluator(fine, priors, data, noise), rough.z, iterations=10, tolerance=0.1)
    posterior = Posterior(priors, best.z, np.linalg.inv(best.curvature)).widened(rough.z - best.z)
    seconds = time.perf_counter() - began

    # What the channels that were taken as known would add, if they were not: from the coarse tissue, at the same place.
    everything = priors_of((*FITTED, *LEFT_OUT), config.layer)
    slopes = coarse.linearised(everything, np.r_[rough.z, np.zeros(len(LEFT_OUT))])[1] / noise[None]
    information = np.einsum("ikl,jkl->ij", slopes, slopes)
    n = len(FITTED)
    spreads = {}
    for i, prior in enumerate(priors):
        cases = [[*range(n), *more] for more in ((), (n,), (n + 1,))]
        spreads[prior.name] = tuple(
            prior.spread * float(np.sqrt(np.linalg.inv(information[np.ix_(c, c)] + np.eye(len(c)))[i, i])) for c in cases
        )
    words = Information(everything, information).open_directions
    return Fit(truth, posterior, spreads, words, data, fine.at(values_of(priors, jnp.asarray(best.z))), seconds, best.iterations)


def _evaluator(tissue: MappedTissue, priors: tuple[Any, ...], data: np.ndarray, noise: np.ndarray) -> Evaluate:
    """Negative log-posterior, gradient and Gauss-Newton curvature in standard-normal coordinates."""

    def evaluate(z: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        times, slopes = tissue.linearised(priors, z)
        residual = ((times - data) / noise).reshape(-1)
        jacobian = (slopes / noise[None]).reshape(len(z), -1)
        return of_residuals(residual, jacobian, z)

    return evaluate


def _check(config: Config) -> None:
    ranges = {
        "tissues": (1, 1000),
        "activation_noise_ms": (1e-3, 10.0),
        "repolarisation_noise_ms": (1e-3, 50.0),
        "sites_apart_mm": (0.1, 2.0),
        "fibre_angle_deg": (-360.0, 360.0),
        "truth_step_ms": (0.001, 0.02),
        "step_ms": (0.001, 0.05),
    }
    check_options(config, ranges)
    for name, factor in (("truth_spacing_mm", 1), ("spacing_mm", 2), ("search_spacing_mm", 2)):
        spacing = getattr(config, name)
        counts = [length / (factor * spacing) for length in SIZE_MM] if spacing > 0 else [0.0]
        if not 0.02 <= spacing <= 0.5 or any(abs(count - round(count)) > 1e-6 for count in counts):
            flag = name.replace("_", "-")
            do = "use 0.1, 0.125, 0.2 or 0.25"
            raise InputError(f"{flag} {spacing:g}", f"0.02 to 0.5 mm, {factor} times it a divisor of 10 and 6 mm", do)
    check_two_grids(config.spacing_mm, config.search_spacing_mm)


def _dataset(fits: list[Fit], sites: np.ndarray) -> xr.Dataset:
    names = [prior.name for prior in fits[0].posterior.priors]
    mixed = {"units": "1", "comment": ", ".join(f"{p.name} in {p.unit}" for p in fits[0].posterior.priors)}

    def of(get: Any) -> tuple[tuple[str, str], np.ndarray, dict[str, str]]:
        return ("tissue", "parameter"), np.array([[get(fit, name) for name in names] for fit in fits]), mixed

    return xr.Dataset(
        {
            "truth": of(lambda fit, name: fit.truth[name]),
            "found": of(lambda fit, name: fit.posterior.value(name)),
            "low_90": of(lambda fit, name: fit.posterior.interval(name, 0.9)[0]),
            "high_90": of(lambda fit, name: fit.posterior.interval(name, 0.9)[1]),
            "data": (("tissue", "kind", "site"), np.stack([fit.data for fit in fits]), {"units": "ms"}),
            "fitted": (("tissue", "kind", "site"), np.stack([fit.fitted for fit in fits]), {"units": "ms"}),
        },
        coords={
            "parameter": names,
            "kind": list(KINDS),
            "x": ("site", sites[:, 0], {"units": "mm"}),
            "y": ("site", sites[:, 1], {"units": "mm"}),
        },
    )


def _report(config: Config, summary: dict[str, Any], fits: list[Fit], sites: np.ndarray) -> Report:
    subtitle = f"{config.tissues} hidden tissue(s), noise {config.activation_noise_ms:g} and {config.repolarisation_noise_ms:g} ms"
    report = Report("Conductivities and channels from maps", subtitle)
    first = fits[0]
    figure = new_figure(3.4)
    panels = figure.subplots(2, len(KINDS), sharex=True, sharey=True)
    for column, kind in enumerate(KINDS):
        for row, values in enumerate((first.data[column], first.data[column] - first.fitted[column])):
            axes = panels[row, column]
            dots = axes.scatter(*sites.T, c=values, s=5, cmap="viridis" if row == 0 else "RdBu_r", linewidths=0)
            axes.set_aspect("equal")
            figure.colorbar(dots, ax=axes, label="ms")
        panels[0, column].set_title(kind, fontsize=8)
        panels[1, column].set_xlabel("x (mm)")
    panels[0, 0].set_ylabel("data, y (mm)")
    panels[1, 0].set_ylabel("data minus fit, y (mm)")
    report.figure(figure, "The first tissue's maps, and what the fit leaves.", "maps", alt="Maps of three times, and residuals")
    rows = []
    for number, fit in enumerate(fits):
        for prior in fit.posterior.priors:
            low, high = fit.posterior.interval(prior.name, 0.9)
            found = f"{fit.posterior.value(prior.name):.4g} ({low:.4g} to {high:.4g})"
            inside = "yes" if fit.covered(prior.name) else "no"
            rows.append([str(config.seed + number), f"{prior.name} ({prior.unit})", f"{fit.truth[prior.name]:.4g}", found, inside])
    caption = "Intervals hold the noise, and how far the answer moved from voxels twice as wide."
    report.table(["Tissue", "Parameter", "Truth", "Found and 90 %", "Inside"], rows, caption)
    report.table(["Quantity", "Value"], [[name, value if isinstance(value, str) else f"{value:.4g}"] for name, value in summary.items()])
    report.text(
        "A front's velocity is one number along and one across the fibres, and the sodium channel moves both: from activation times the "
        "conductivities and the sodium conductance are known only in combination, and conductivities here are those that belong to the "
        "sodium conductance of the paper. Repolarisation times tell of the other channels."
    )
    return report


if __name__ == "__main__":
    run_script(__spec__)
