"""Who acts on whom among 128 types of cells, from counts over time, and what becomes of mixtures not seen before."""

from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from experiments.oncology import _cell_figures as figures
from experiments.oncology._hidden_tissue import BLOOD, CLASSES, IMMIGRATION, HiddenTissue, cultures, hidden_tissue
from physics import CellPopulations
from twinsim.cell_composition import read_composition
from twinsim.cli import run_script
from twinsim.data import found, known
from twinsim.errors import InputError
from twinsim.experiment import Result, finite_or_none
from twinsim.option_checks import check_options
from twinsim.populations.composition_series import CompositionSeries
from twinsim.populations.gradient_matching import Effects, InteractionFit, match_gradients
from twinsim.populations.trajectory_fit import CAP, FreePopulations, PopulationModel, fit_trajectories, forecast
from twinsim.populations.type_network import fit_network_to_gains, with_new_types
from twinsim.ranking import average_precision
from twinsim.report import Report
from twinsim.workspace import Workspace

METHODS = {
    "lv_dense": "Lotka-Volterra, dense ridge",
    "lv_sparse": "Lotka-Volterra, sparse",
    "lv_solver": "Lotka-Volterra, in the solver",
    "saturating_sparse": "saturating, sparse",
    "saturating_solver": "saturating, in the solver",
    "network": "network of type features",
}
UNSEEN = {"network": "network of type features", "nearest": "effects of the nearest known type", "none": "no effects of new types"}
RANGES = {
    "types": (8, 512),
    "cultures": (4, 10_000),
    "held_out": (2, 1000),
    "samples": (4, 100),
    "spread": (0.01, 3.0),
    "depth": (100, 1e9),
    "total_error": (1e-4, 1.0),
    "left_out": (1, 64),
    "steps": (10, 100_000),
    "network_steps": (10, 100_000),
    "seeds": (1, 100),
}


@dataclass(frozen=True)
class Config:
    """Options; tissues are made up, with blood cells in the shares of a real sample where it is at hand."""

    types: int = 128
    """Types of cells in the tissue: tumour clones, stroma, immune cells."""
    cultures: int = 48
    """Cultures to learn from."""
    held_out: int = 12
    """Cultures to forecast."""
    samples: int = 13
    """Per culture, over about 7 days, the first at the start."""
    spread: float = 1.0
    """Standard deviation of the logarithm of each type's density at the start, about the tissue's rest."""
    depth: int = 100_000
    """Cells counted in a sample."""
    total_error: float = 0.03
    """Standard deviation of the logarithm of the count of all cells."""
    left_out: int = 12
    """Types that the network never sees, and is then asked about."""
    steps: int = 60
    """Of training inside the solver with short courses; whole courses take twice as many."""
    network_steps: int = 1500
    """Of training the network on gains between samples."""
    blood: Literal["found", "synthetic"] = "found"
    """Shares of immune cells: of the data set pbmc68k_reduced where it is found, or made up."""
    seeds: int = 1
    """Tissues, each with all fits."""
    seed: int = 0
    """Of the first tissue."""
    precision: Literal["float32", "float64"] = "float64"
    """Of truth and regressions; training inside the solver is in float32."""


@dataclass(frozen=True)
class Fitted:
    """What one method says of one tissue.

    Attributes:
        score: How sure it is of each interaction.
        strength: Effects at reference densities, 1/day.
        forecasts: Logarithms of densities of the held-out cultures.
        exploded: How many of them were held at the cap.
    """

    score: np.ndarray
    strength: np.ndarray
    forecasts: np.ndarray
    exploded: int


def run(config: Config, workspace: Workspace) -> Result:
    """Makes hidden tissues, fits each in six ways, ranks interactions and forecasts mixtures that were not seen."""
    check_options(config, RANGES)
    if config.left_out >= config.types // 2:
        raise InputError(f"left-out {config.left_out} of {config.types} types", "fewer than half", "leave out fewer types")
    blood, whose = _blood(config)
    tissues = []
    for seed in range(config.seed, config.seed + config.seeds):
        workspace.message(f"tissue {seed}")
        tissues.append(workspace.stage(f"tissue_{seed}", lambda seed=seed: _one_tissue(config, blood, seed)))
    summary: dict[str, Any] = {"types": config.types, "tissues": config.seeds, "blood_shares": whose}
    for key in tissues[0]["numbers"]:
        values = np.array([one["numbers"][key] for one in tissues], dtype=float)
        summary[key] = finite_or_none(values.mean())
        if config.seeds > 1:
            summary[f"{key}_sd"] = finite_or_none(values.std(ddof=1))
    exploded = {name: sum(one["fits"][name].exploded for one in tissues) for name in METHODS}
    notes = [
        f"{METHODS[name]}: {count} of {config.seeds * config.held_out} forecasts exploded and were held at e^{CAP:g} of the reference"
        for name, count in exploded.items()
        if count
    ]
    return Result(summary, _report(config, summary, tissues[0], notes, whose), _dataset(tissues[0]), notes=notes)


def _blood(config: Config) -> tuple[dict[str, float], str]:
    folder = found(known("pbmc68k_reduced")) if config.blood == "found" else None
    if folder is None:
        return BLOOD, "synthetic"
    return read_composition(folder / "10x_pbmc68k_reduced.h5ad"), "pbmc68k_reduced"


def _one_tissue(config: Config, blood: dict[str, float], seed: int) -> dict[str, Any]:
    """Truth, fits and numbers of one seed."""
    tissue = hidden_tissue(config.types, blood, seed)
    made = (config.samples, config.spread, config.depth, config.total_error)
    series, _ = cultures(tissue, config.cultures, *made, 10 * seed + 1)
    test, clean = cultures(tissue, config.held_out, *made, 10 * seed + 2)
    fits: dict[str, Fitted] = {}
    rivals: tuple[tuple[Effects, str], ...] = (("lotka_volterra", "lv"), ("saturating", "saturating"))
    for effects, short in rivals:
        sparse = match_gradients(series, effects, sparse=True)
        if short == "lv":
            fits["lv_dense"] = _of_regression(match_gradients(series, effects), test)
        fits[f"{short}_sparse"] = _of_regression(sparse, test)
        trained = fit_trajectories(series, FreePopulations.from_fit(sparse), config.steps).courses.model
        fits[f"{short}_solver"] = _of_model(trained, test)
        if short == "saturating":
            net = fit_network_to_gains(series, sparse, tissue.features, steps=config.network_steps, seed=seed)
            fits["network"] = _of_model(fit_trajectories(series, net, config.steps).courses.model, test)
    numbers = {}
    off = ~np.eye(config.types, dtype=bool)
    numbers["pr_auc_chance"] = float(tissue.linked[off].mean())
    for name, fit in fits.items():
        numbers[f"pr_auc_{name}"] = average_precision(fit.score[off], tissue.linked[off])
    first = np.log(test.densities()[:, :1])
    numbers["forecast_log_rmse_no_change"] = _rmse(np.broadcast_to(first, clean.shape), clean)
    own, _ = forecast(tissue.populations, first[:, 0], test.days)
    numbers["forecast_log_rmse_truth_from_counted_start"] = _rmse(own, clean)
    for name, fit in fits.items():
        numbers[f"forecast_log_rmse_{name}"] = _rmse(fit.forecasts, clean)
    for name, fit in fits.items():
        numbers[f"forecast_median_abs_log_{name}"] = float(np.median(np.abs(fit.forecasts - np.log(clean))[:, 1:]))
    unseen, new = _unseen(config, tissue, seed, test, clean)
    return {"numbers": numbers | new, "fits": fits, "tissue": tissue, "test": test, "clean": clean, "unseen": unseen}


def _rmse(forecasts: np.ndarray, clean: np.ndarray, types: np.ndarray | slice = slice(None)) -> float:
    """Of logarithms of densities after the start, against what was there without noise."""
    return float(np.sqrt(((forecasts - np.log(clean))[:, 1:, types] ** 2).mean()))


def _of_regression(fit: InteractionFit, test: CompositionSeries) -> Fitted:
    return Fitted(fit.score, fit.strength, *_forecast(fit.populations(), test, np.ones(test.types)))


def _of_model(model: PopulationModel, test: CompositionSeries) -> Fitted:
    strength = np.array(model.effects(), dtype=float)
    np.fill_diagonal(strength, 0.0)
    double = jax.tree.map(lambda leaf: leaf.astype(float), model.populations())
    return Fitted(np.abs(strength), strength, *_forecast(double, test, np.asarray(model.reference, dtype=float)))


def _forecast(populations: CellPopulations, test: CompositionSeries, unit: np.ndarray) -> tuple[np.ndarray, int]:
    """From the first sample alone, as it was counted; all fits are given the truth's immigration, without which types vanish for good."""
    arrive = jnp.asarray(IMMIGRATION * test.reference() / unit)
    populations = CellPopulations(populations.growth, populations.crowding, populations.effect, populations.saturation, arrive)
    course, exploded = forecast(populations, np.log(test.densities()[:, 0] / unit), test.days)
    return course + np.log(unit), int(exploded.sum())


def _unseen(
    config: Config, tissue: HiddenTissue, seed: int, test: CompositionSeries, clean: np.ndarray
) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """A network trained on cultures without some types, asked about those: their interactions, and mixtures with them."""
    new = np.sort(np.random.default_rng([seed, 3]).choice(config.types, config.left_out, replace=False))
    old = np.setdiff1d(np.arange(config.types), new)
    made = (config.samples, config.spread, config.depth, config.total_error)
    series, _ = cultures(tissue, config.cultures, *made, 10 * seed + 3, absent=new)
    first = match_gradients(series, "saturating", sparse=True)
    net = fit_network_to_gains(series, first, tissue.features[old], steps=config.network_steps, seed=seed)
    # Of a new type its crowding is known, from a culture of it alone, and its density in the tissue at rest; its effects are not.
    crowding = np.asarray(tissue.populations.crowding) * tissue.rest
    full = with_new_types(net, old, tissue.features, np.zeros(config.types), crowding, tissue.rest)
    strength = np.array(full.effects(), dtype=float)
    np.fill_diagonal(strength, 0.0)
    pairs = np.zeros(strength.shape, bool)
    pairs[new] = pairs[:, new] = True
    pairs &= ~np.eye(config.types, dtype=bool)
    shown = tissue.features / (tissue.features.std(axis=0) + 1e-9)
    nearest = np.arange(config.types)
    nearest[new] = old[((shown[new][:, None] - shown[old][None]) ** 2).sum(axis=2).argmin(axis=1)]
    alike = strength[np.ix_(nearest, nearest)] * ~np.eye(config.types, dtype=bool)
    variants = {"network": strength, "nearest": alike, "none": np.where(pairs, 0.0, strength)}
    scale = np.asarray(jnp.exp(full.log_crowding), dtype=float), np.exp(np.asarray(full.log_saturation, dtype=float))
    found_courses, numbers = {}, {"unseen_types": float(config.left_out), "unseen_pr_auc_chance": float(tissue.linked[pairs].mean())}
    unit = np.asarray(full.reference, dtype=float)
    at_rest = tissue.rest / unit
    for name, one in variants.items():
        growth = np.array(full.growth, dtype=float)
        # New types grow as fast as keeps them at rest under the effects that are believed.
        growth[new] = (scale[0] * at_rest - one @ ((1 + scale[1]) * at_rest / (1 + scale[1] * at_rest)))[new]
        fit = InteractionFit(growth, scale[0], one, np.abs(one), unit, scale[1], 0)
        courses, exploded = _forecast(fit.populations(), test, np.ones(config.types))
        found_courses[name] = courses
        numbers[f"unseen_forecast_log_rmse_{name}"] = _rmse(courses, clean, new)
        numbers[f"unseen_exploded_{name}"] = float(exploded)
        if name != "none":
            numbers[f"unseen_pr_auc_{name}"] = average_precision(np.abs(one)[pairs], tissue.linked[pairs])
    first_sample = np.broadcast_to(np.log(test.densities()[:, :1]), clean.shape)
    numbers["unseen_forecast_log_rmse_no_change"] = _rmse(first_sample, clean, new)
    return {"types": new, **found_courses}, numbers


def _dataset(one: dict[str, Any]) -> xr.Dataset:
    tissue, fits = one["tissue"], one["fits"]
    rate, number, day = {"units": "1/day"}, {"units": "1"}, {"units": "day"}
    names = list(METHODS)
    true = np.asarray(tissue.populations.effect) * tissue.rest[None] / (1 + np.asarray(tissue.populations.saturation) * tissue.rest[None])
    log = {"units": "1", "long_name": "natural logarithm of the density in million cells per mL"}
    return xr.Dataset(
        {
            "true_effect": (("on", "of"), true, rate),
            "inferred_effect": (("method", "on", "of"), np.stack([fits[name].strength for name in names]), rate),
            "score": (("method", "on", "of"), np.stack([fits[name].score for name in names]), number),
            "feature": (("on", "feature_number"), tissue.features, number),
            "group": ("on", tissue.groups, {"units": "1", "long_name": ", ".join(CLASSES)}),
            "day": (("culture", "sample"), one["test"].days, day),
            "log_density": (("culture", "sample", "on"), np.log(one["clean"]), log),
            "log_forecast": (("method", "culture", "sample", "on"), np.stack([fits[name].forecasts for name in names]), log),
        },
        coords={"method": names, "on": list(tissue.names), "of": list(tissue.names)},
    )


def _report(config: Config, summary: dict[str, Any], one: dict[str, Any], notes: list[str], whose: str) -> Report:
    report = Report(
        "Interactions of cells",
        f"{config.types} types, {config.cultures} cultures of {config.samples} samples, {config.seeds} hidden tissue(s)",
    )
    for note in notes:
        report.warn(note)
    report.headline(
        [
            (
                "forecast error",
                summary["forecast_log_rmse_saturating_solver"],
                "log",
                f"Lotka-Volterra {summary['forecast_log_rmse_lv_solver']:.3g}",
            ),
            ("area under precision-recall", summary["pr_auc_network"], "", f"chance {summary['pr_auc_chance']:.3g}"),
            ("the same, types never seen", summary["unseen_pr_auc_network"], "", f"chance {summary['unseen_pr_auc_chance']:.3g}"),
        ]
    )
    report.figure(
        figures.matrices(one),
        "Effects on rows of columns at densities at rest: hidden, and as inferred; types sorted by class.",
        "matrices",
        alt="Three matrices of interactions",
    )  # fmt: skip
    report.figure(
        figures.curves(one, METHODS),
        "Left: precision over recall of interactions. Right: error of forecasts of held-out mixtures.",
        "recovery",
        alt="Precision over recall; errors by day",
    )  # fmt: skip
    report.figure(
        figures.courses(one), "Held-out mixtures from their first sample alone: truth, saturating model, Lotka-Volterra.", "forecasts",
        alt="Densities of types over days",
    )  # fmt: skip
    rows = [[name, value if isinstance(value, str) else f"{value:.4g}"] for name, value in summary.items() if value is not None]
    report.table(["Quantity", "Value"], rows)
    report.text(
        f"Tissues are made up (immune types in shares of {whose}); equations of the saturating fits are of the kind that made them, with "
        "half-saturations of sources only where the truth has one per pair. Lotka-Volterra is of another kind: that is the comparison."
    )
    return report


if __name__ == "__main__":
    run_script(__spec__)
