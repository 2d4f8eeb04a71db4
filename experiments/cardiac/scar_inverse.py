"""The outline of a scar from unipolar electrograms at catheter positions, by gradients through the tissue: hidden virtual scars."""

import time
from dataclasses import dataclass
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np
import xarray as xr
from jax import vmap
from scipy.interpolate import griddata

from experiments.cardiac._mapped_sheet import site_lattice
from experiments.cardiac._scarred_sheet import ENDS_MS, HEIGHT_MM, PRIORS, SHARP_MM, SIZE_MM, ScarredSheet, inside
from experiments.cardiac._shared import check_two_grids
from twinsim.cli import run_script
from twinsim.errors import InputError
from twinsim.experiment import Result
from twinsim.figure_style import BLUE, SOFT, new_figure
from twinsim.gauss_newton import Evaluate, minimise, of_residuals
from twinsim.option_checks import check_options
from twinsim.posterior import Posterior
from twinsim.prior import values_of
from twinsim.report import Report
from twinsim.workspace import Workspace

HIDDEN_MODES = (2, 3, 4, 5)
MAP_MM = 0.2  # of the maps on which scars are compared
DRAWS = 200
NAMES = tuple(prior.name for prior in PRIORS)


@dataclass(frozen=True)
class Config:
    """Options of the inverse problem."""

    tissues: int = 1
    """How many hidden tissues."""
    seed: int = 0
    """Of the first one; the others follow."""
    sites_apart_mm: float = 3.0
    """Distance of the electrodes on their square lattice, in mm."""
    noise_mv: float = 0.05
    """Standard deviation of the noise of every sample of every electrogram; the fit is told it. In mV."""
    fibre_angle_deg: float = 30.0
    """Angle of the fibres, which are known, to the direction in which the wave is started; in degrees."""
    truth_spacing_mm: float = 0.3
    """Voxels of the tissue that makes the data, in mm."""
    truth_step_ms: float = 0.025
    """Its steps, in ms."""
    spacing_mm: float = 0.5
    """Voxels of the tissue that is fitted, in mm."""
    search_spacing_mm: float = 0.8
    """Voxels of the fit that comes before, in mm."""
    step_ms: float = 0.05
    """Steps of both, in ms."""
    precision: Literal["float32", "float64"] = "float64"
    """Floating-point precision."""


@dataclass(frozen=True)
class Fit:
    """What was found for one tissue.

    Attributes:
        truth: The hidden values by name, of what the fit has a name for.
        posterior: Of the fitted ones.
        hidden: The scar on the map's points, ``(x, y)`` booleans.
        found: The fitted one.
        probability: Share of the posterior's scars at each point.
        dice: Overlap with the hidden scar, by method.
        data: Noisy electrograms ``(sites, ms)``.
        fitted: Those of the fit.
        misfit: Root mean square of the residual over the noise.
        seconds: For the fit, data not included.
    """

    truth: dict[str, float]
    posterior: Posterior
    hidden: np.ndarray
    found: np.ndarray
    probability: np.ndarray
    dice: dict[str, float]
    data: np.ndarray
    fitted: np.ndarray
    misfit: float
    seconds: float


def run(config: Config, workspace: Workspace) -> Result:
    """Hides scars in fine tissues, and finds each from its electrograms on coarser voxels by Gauss-Newton through the simulation."""
    _check(config)
    sites = site_lattice(SIZE_MM, config.sites_apart_mm)
    hidden = ScarredSheet(config.truth_spacing_mm, config.truth_step_ms, sites, config.fibre_angle_deg, SHARP_MM, HIDDEN_MODES)
    coarse, fine = (
        ScarredSheet(spacing, config.step_ms, sites, config.fibre_angle_deg, 0.5 * spacing)
        for spacing in (config.search_spacing_mm, config.spacing_mm)
    )
    fits = []
    for number in range(config.tissues):
        fit = workspace.stage(f"tissue-{number}", lambda n=number: _one(config, n, sites, (hidden, coarse, fine)))
        others = ", ".join(f"{name} {value:.2f}" for name, value in fit.dice.items() if name != "electrograms")
        workspace.message(f"tissue {config.seed + number}: Dice {fit.dice['electrograms']:.2f} ({others}), {fit.seconds:.0f} s")
        fits.append(fit)
    summary: dict[str, Any] = {"tissues": config.tissues, "sites": len(sites)}
    for name in fits[0].dice:
        values = [fit.dice[name] for fit in fits]
        key = "dice" if name == "electrograms" else f"dice_{name.replace(' ', '_')}"
        summary |= {f"{key}_median": float(np.median(values)), f"{key}_worst": float(min(values))}
    areas = [fit.found.sum() / fit.hidden.sum() for fit in fits]
    summary |= {
        "better_than_every_threshold": sum(max(fit.dice, key=lambda name: fit.dice[name]) == "electrograms" for fit in fits),
        "area_relative_error_median": float(np.median(np.abs(np.array(areas) - 1))),
        "centre_error_mm_median": float(np.median([_centre_error(fit) for fit in fits])),
        "misfit_over_noise_median": float(np.median([fit.misfit for fit in fits])),
        "seconds_per_tissue_median": float(np.median([fit.seconds for fit in fits])),
    }
    for name in ("conductivity_in_scar", "velocity_along", "velocity_across"):
        errors = np.abs([fit.posterior.value(name) / fit.truth[name] - 1 for fit in fits])
        intervals = [fit.posterior.interval(name, 0.9) for fit in fits]
        covered = sum(low <= fit.truth[name] <= high for fit, (low, high) in zip(fits, intervals, strict=True))
        summary |= {f"{name}_relative_error_median": float(np.median(errors)), f"{name}_covered_by_ci90": covered}
    return Result(summary, _report(config, summary, fits, sites), _dataset(fits, sites))


def _one(config: Config, number: int, sites: np.ndarray, sheets: tuple[ScarredSheet, ScarredSheet, ScarredSheet]) -> Fit:
    hidden, coarse, fine = sheets
    random = np.random.default_rng(config.seed + number)
    truth = _draw(random)
    known = {name: jnp.asarray(value, float) for name, value in truth.items()}
    clean = np.asarray(hidden.electrograms(known))
    data = clean + config.noise_mv * random.normal(size=clean.shape)
    places = _map_points()
    points = jnp.asarray(places)
    scar = np.asarray(inside(points, known, SHARP_MM, HIDDEN_MODES)) > 0.5

    began = time.perf_counter()
    swing = data.max(axis=1) - data.min(axis=1)
    rough = min(
        (minimise(_evaluator(coarse, data, config.noise_mv), start, iterations=25, tolerance=0.2) for start in _starts(swing, sites)),
        key=lambda optimum: optimum.value,
    )
    best = minimise(_evaluator(fine, data, config.noise_mv), rough.z, iterations=15, tolerance=0.2)
    fitted = fine.linearised(best.z).values
    misfit = float(np.sqrt(np.mean((fitted - data) ** 2))) / config.noise_mv
    # Misfit beyond the noise (an outline of more modes, sharper edges) counts as noise.
    curvature = (best.curvature - np.eye(len(PRIORS))) / max(1.0, misfit**2) + np.eye(len(PRIORS))
    posterior = Posterior(PRIORS, best.z, np.linalg.inv(curvature)).widened(rough.z - best.z)
    seconds = time.perf_counter() - began

    drawn = jnp.asarray(posterior.moved(posterior.sample(DRAWS, config.seed), config.seed))
    probability = np.asarray(vmap(lambda z: inside(points, values_of(PRIORS, z), SHARP_MM) > 0.5)(drawn).mean(axis=0))
    found = np.asarray(inside(points, values_of(PRIORS, jnp.asarray(best.z)), SHARP_MM)) > 0.5
    dice = {"electrograms": _dice(found, scar)} | _thresholds(data, swing, sites, places, scar)
    named = {name: truth[name] for name in NAMES}
    return Fit(named, posterior, scar, found, probability, dice, data, fitted, misfit, seconds)


def _draw(random: np.random.Generator) -> dict[str, float]:
    """A hidden scar: more modes than are fitted, a sharp edge."""
    truth = {
        "centre_x": float(random.uniform(8, 17)),
        "centre_y": float(random.uniform(8, 16)),
        "radius": float(random.uniform(2.5, 4.5)),
        "conductivity_in_scar": float(np.exp(random.uniform(np.log(0.05), np.log(0.3)))),
        "velocity_along": 0.6 * float(np.exp(random.uniform(-0.15, 0.15))),
        "velocity_across": 0.3 * float(np.exp(random.uniform(-0.15, 0.15))),
    }
    return truth | {f"{wave}_{k}": float(random.normal() * 0.3 / k) for k in HIDDEN_MODES for wave in ("cos", "sin")}


def _starts(swing: np.ndarray, sites: np.ndarray) -> list[np.ndarray]:
    """Circles to start from: round the middle of where electrograms are small, of two sizes."""
    weak = np.clip(1 - swing / np.median(swing), 0, None)
    middle = (weak[:, None] * sites).sum(axis=0) / weak.sum() if weak.sum() > 0 else np.array(SIZE_MM) / 2
    starts = []
    for radius in (2.5, 4.5):
        z = np.zeros(len(PRIORS))
        for i, (name, value) in enumerate(zip(NAMES[:3], (*middle, radius), strict=True)):
            z[i] = next(p for p in PRIORS if p.name == name).coordinate(float(value))
        starts.append(z)
    return starts


def _evaluator(sheet: ScarredSheet, data: np.ndarray, noise_mv: float) -> Evaluate:
    """Negative log-posterior, gradient and Gauss-Newton curvature in standard-normal coordinates."""

    def evaluate(z: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        seen = sheet.linearised(z)
        residual = ((seen.values - data) / noise_mv).reshape(-1)
        jacobian = seen.slopes.reshape(len(z), -1) / noise_mv
        return of_residuals(residual, jacobian, z)

    return evaluate


def _thresholds(data: np.ndarray, swing: np.ndarray, sites: np.ndarray, points: np.ndarray, scar: np.ndarray) -> dict[str, float]:
    """Dice of what is done without a model: the swing of the electrograms, or the local velocity, below a threshold.

    Bipolar electrograms are differences of neighbours, the larger of both directions. The velocity is one over the gradient of the times of
    steepest descent, interpolated between electrodes. Each has a fixed threshold of half the median, and the threshold that is best for
    this hidden scar, which nobody has in practice.
    """
    steepest = np.argmin(np.diff(data, axis=1), axis=1) + 0.5
    slowness = np.hypot(*np.gradient(_interpolated(sites, steepest, points), MAP_MM))
    fields = {
        "unipolar voltage": _interpolated(sites, swing, points),
        "bipolar voltage": np.maximum(*(_interpolated(middles, values, points) for middles, values in _bipolar(data, sites))),
        "velocity": 1 / np.maximum(slowness, 1e-3),
    }
    found = {}
    for name, field in fields.items():
        found[f"{name} below half the median"] = _dice(field < 0.5 * np.median(field), scar)
        levels = np.quantile(field, np.linspace(0.01, 0.7, 70))
        found[f"{name} below the best threshold"] = max(_dice(field < level, scar) for level in levels)
    return found


def _bipolar(data: np.ndarray, sites: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Midpoints and swings of the differences between neighbours of the square lattice, along x and along y."""
    side = round(np.sqrt(len(sites)))
    places, grams = sites.reshape(side, side, 2), data.reshape(side, side, -1)
    found = []
    for axis in (0, 1):
        middles = (np.delete(places, 0, axis) + np.delete(places, -1, axis)) / 2
        difference = np.diff(grams, axis=axis)
        found.append((middles.reshape(-1, 2), (difference.max(axis=-1) - difference.min(axis=-1)).reshape(-1)))
    return found


def _interpolated(sites: np.ndarray, values: np.ndarray, points: np.ndarray) -> np.ndarray:
    inner = griddata(sites, values, points, method="cubic")
    return np.where(np.isfinite(inner), inner, griddata(sites, values, points, method="nearest"))


def _map_points() -> np.ndarray:
    axes = [(np.arange(round(length / MAP_MM)) + 0.5) * MAP_MM for length in SIZE_MM]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)


def _dice(one: np.ndarray, other: np.ndarray) -> float:
    return 2 * float((one & other).sum()) / max(1.0, float(one.sum() + other.sum()))


def _centre_error(fit: Fit) -> float:
    points = _map_points()
    middles = [points[scar].mean(axis=0) if scar.any() else np.full(2, np.inf) for scar in (fit.found, fit.hidden)]
    return float(min(np.linalg.norm(middles[0] - middles[1]), np.hypot(*SIZE_MM)))


def _check(config: Config) -> None:
    ranges = {
        "tissues": (1, 1000),
        "sites_apart_mm": (1.0, 8.0),
        "noise_mv": (1e-4, 10.0),
        "fibre_angle_deg": (-360.0, 360.0),
        "truth_step_ms": (0.005, 0.1),
        "step_ms": (0.005, 0.1),
    }
    check_options(config, ranges)
    for name in ("truth_step_ms", "step_ms"):
        steps = 1 / getattr(config, name)
        if abs(steps - round(steps)) > 1e-6:
            raise InputError(f"{name.replace('_', '-')} {getattr(config, name):g}", "a divisor of 1 ms", "use 0.025 or 0.05")
    for name in ("truth_spacing_mm", "spacing_mm", "search_spacing_mm"):
        spacing = getattr(config, name)
        count = SIZE_MM[0] / spacing if spacing > 0 else 0.0
        if not 0.1 <= spacing <= 1.0 or abs(count - round(count)) > 1e-6:
            raise InputError(f"{name.replace('_', '-')} {spacing:g}", "0.1 to 1 mm, a divisor of 24 mm", "use 0.3, 0.5 or 0.8")
    check_two_grids(config.spacing_mm, config.search_spacing_mm)


def _dataset(fits: list[Fit], sites: np.ndarray) -> xr.Dataset:
    mixed = {"units": "1", "comment": ", ".join(f"{p.name} in {p.unit}" for p in PRIORS)}
    axis = (np.arange(round(SIZE_MM[0] / MAP_MM)) + 0.5) * MAP_MM

    def maps(get: Any) -> tuple[tuple[str, str, str], np.ndarray, dict[str, str]]:
        return ("tissue", "x", "y"), np.stack([np.asarray(get(fit), np.float32) for fit in fits]), {"units": "1"}

    def traces(get: Any) -> tuple[tuple[str, str, str], np.ndarray, dict[str, str]]:
        return ("tissue", "site", "time"), np.stack([get(fit) for fit in fits]), {"units": "mV"}

    return xr.Dataset(
        {
            "truth": (("tissue", "parameter"), np.array([[fit.truth[name] for name in NAMES] for fit in fits]), mixed),
            "found": (("tissue", "parameter"), np.array([[fit.posterior.value(name) for name in NAMES] for fit in fits]), mixed),
            "hidden_scar": maps(lambda fit: fit.hidden),
            "found_scar": maps(lambda fit: fit.found),
            "probability": maps(lambda fit: fit.probability),
            "data": traces(lambda fit: fit.data),
            "fitted": traces(lambda fit: fit.fitted),
        },
        coords={
            "parameter": list(NAMES),
            "x": ("x", axis, {"units": "mm"}),
            "y": ("y", axis, {"units": "mm"}),
            "time": ("time", np.arange(1.0, ENDS_MS + 1), {"units": "ms"}),
            "site_x": ("site", sites[:, 0], {"units": "mm"}),
            "site_y": ("site", sites[:, 1], {"units": "mm"}),
        },
    )


def _report(config: Config, summary: dict[str, Any], fits: list[Fit], sites: np.ndarray) -> Report:
    subtitle = f"{config.tissues} hidden tissue(s), {len(sites)} electrodes {HEIGHT_MM:g} mm above, noise {config.noise_mv:g} mV"
    report = Report("A scar from electrograms", subtitle)
    shown = fits[:6]
    figure = new_figure(2.6 * -(-len(shown) // 3))
    images = []
    for number, fit in enumerate(shown):
        axes = figure.add_subplot(-(-len(shown) // 3), min(3, len(shown)), number + 1)
        extent = (0, SIZE_MM[0], 0, SIZE_MM[1])
        images.append(axes.imshow(fit.probability.T, origin="lower", extent=extent, cmap="magma_r", vmin=0, vmax=1))
        axis = (np.arange(fit.hidden.shape[0]) + 0.5) * MAP_MM
        axes.contour(axis, axis, fit.hidden.T.astype(float), levels=[0.5], colors=[BLUE], linewidths=1.5)
        axes.plot(*sites.T, ".", color=SOFT, markersize=2)
        axes.set_title(f"{config.seed + number}: Dice {fit.dice['electrograms']:.2f}", fontsize=9)
    figure.colorbar(images[-1], ax=figure.axes, label="probability of scar")
    report.figure(figure, "Probability of scar, and the hidden outlines (lines); dots are electrodes.", "scars", alt="Maps of scars")
    first = fits[0]
    worst = np.argsort(first.data.max(axis=1) - first.data.min(axis=1))
    figure = new_figure(2.6)
    panels = figure.subplots(1, 3, sharey=True)
    for axes, site in zip(panels, worst[[0, len(worst) // 2, -1]], strict=True):
        axes.plot(np.arange(1, ENDS_MS + 1), first.data[site], color=SOFT, linewidth=1, label="data")
        axes.plot(np.arange(1, ENDS_MS + 1), first.fitted[site], color=BLUE, linewidth=1.2, label="fit")
        axes.set_title(f"({sites[site][0]:.1f}, {sites[site][1]:.1f}) mm", fontsize=8)
        axes.set_xlabel("time (ms)")
    panels[0].set_ylabel("mV")
    panels[0].legend(fontsize=7)
    report.figure(figure, "The first tissue's smallest, middle and largest electrogram.", "electrograms", alt="Three electrograms")
    rows = [[str(config.seed + number), *(f"{value:.2f}" for value in fit.dice.values())] for number, fit in enumerate(fits)]
    report.table(["Tissue", *fits[0].dice], rows, "Dice with the hidden scar. The best threshold is chosen with the hidden scar in hand.")
    report.table(["Quantity", "Value"], [[name, f"{value:.4g}"] for name, value in summary.items()])
    report.text(
        "A scar here is one region, with a smooth outline, that conducts worse; the wave comes from one side, and the fibres are "
        "known. Electrograms are defined where nothing is activated, activation times are not."
    )
    return report


if __name__ == "__main__":
    run_script(__spec__)
