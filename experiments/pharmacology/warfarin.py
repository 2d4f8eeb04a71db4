"""Population pharmacokinetics of warfarin and its effect on clotting: two kinds of data in one likelihood."""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from physics import IndirectResponse, TransitCompartment
from twinsim.cli import run_script
from twinsim.data import locate
from twinsim.experiment import Result
from twinsim.figure_style import BLUE, SOFT, VERMILION, legend, new_figure, quiet
from twinsim.inference import (
    Normal,
    Population,
    PopulationDraws,
    Problem,
    ProportionalAdditive,
    fit_population,
    problems,
    sample_population,
    series,
)
from twinsim.option_checks import check_options
from twinsim.prior import Prior, Values
from twinsim.report import Report
from twinsim.workspace import Workspace

WEAK = "weakly informative"
PRIORS = (
    Prior("transit", "1/h", 1.0, 0.7, "log", WEAK),
    Prior("absorption", "1/h", 1.0, 0.7, "log", WEAK),
    Prior("clearance", "L/h", 0.1, 0.7, "log", WEAK),
    Prior("volume", "L", 10.0, 0.7, "log", WEAK),
    Prior("largest_inhibition", "1", 0.9, 1.0, "logit", WEAK),
    Prior("half_concentration", "mg/L", 1.0, 0.7, "log", WEAK),
    Prior("turnover", "1/h", 0.05, 0.7, "log", WEAK),
    Prior("baseline", "%", 100.0, 0.3, "log", "clotting activity of healthy volunteers, by definition about 100 %"),
    Prior("proportional_error", "1", 0.1, 0.7, "log", WEAK),
    Prior("additive_error", "mg/L", 0.3, 0.7, "log", WEAK),
    Prior("response_error", "%", 5.0, 0.7, "log", WEAK),
)
ERRORS = ("proportional_error", "additive_error", "response_error")

# The fit of nlmixr to all 32 subjects with the same two models (multiple-endpoints vignette after Funaki, Holford and Fujita 2018), as the
# tests of the R package posologyr keep it: logarithms, and a logit for the largest inhibition.
PUBLISHED = {
    "transit": float(np.exp(0.106)),
    "absorption": float(np.exp(-0.087)),
    "clearance": float(np.exp(-2.03)),
    "volume": float(np.exp(2.07)),
    "largest_inhibition": float(1 / (1 + np.exp(-3.4))),
    "half_concentration": float(np.exp(0.00724)),
    "turnover": float(np.exp(-2.9)),
    "baseline": float(np.exp(4.57)),
}


@dataclass(frozen=True)
class Config:
    """Options of the fit."""

    sample: bool = False
    """Whether the joint posterior of some 200 coordinates is sampled too; takes long."""
    warmup: int = 400
    """Steps of adaptation per chain of the joint sampler."""
    draws: int = 400
    """Draws per chain."""
    chains: int = 4
    """Chains."""
    seed: int = 0
    """Of the sampler."""
    precision: Literal["float32", "float64"] = "float64"
    """Floating-point precision."""


def predict(values: Values, times: tuple[jax.Array, ...], dose: jax.Array) -> tuple[jax.Array, ...]:
    """Concentration (mg/L) and prothrombin complex activity (%) after one dose in mg."""
    elimination = values["clearance"] / values["volume"]
    drug = TransitCompartment(values["transit"], values["absorption"], elimination, values["volume"])
    effect = IndirectResponse(values["baseline"], values["turnover"], values["largest_inhibition"], values["half_concentration"])
    return drug.concentration(times[0], dose), effect.response(times[1], lambda t: drug.concentration(t, dose))


def subjects(folder: Path) -> list[Problem]:
    """One problem per subject with both kinds of readings."""
    with (folder / "warfarin.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    found = []
    for number in dict.fromkeys(row["id"] for row in rows):
        own = [row for row in rows if row["id"] == number]
        dose = sum(float(row["amt"]) for row in own)
        kinds = []
        for kind, likelihood, unit in (
            ("cp", ProportionalAdditive("additive_error", "proportional_error"), "mg/L"),
            ("pca", Normal("response_error"), "%"),
        ):
            readings = [(float(row["time"]), float(row["dv"])) for row in own if row["dvid"] == kind and row["evid"] == "0"]
            times, values = zip(*readings, strict=True) if readings else ((0.0,), (np.nan,))
            kinds.append(series(times, values, likelihood, kind, unit))
        found.append(Problem(PRIORS, predict, tuple(kinds), jnp.asarray(dose)))
    return found


def run(config: Config, workspace: Workspace) -> Result:
    """Fits concentration and effect of all subjects together, and compares with the published fit."""
    check_options(config, {"warmup": (20, 100_000), "draws": (4, 100_000), "chains": (1, 64)})
    people = subjects(locate("pkpd"))
    batch = problems(people)
    population = fit_population(batch, shared=ERRORS)
    workspace.message(f"population fitted in {len(population.log_evidence) - 1} steps")
    sampled = None
    if config.sample:
        sampled = sample_population(batch, ERRORS, config.seed, config.chains, config.warmup, config.draws, start=population)
    summary: dict[str, float | int | str | None] = {"subjects": len(people), "steps_converged": int(population.converged)}
    rows = []
    for prior in PRIORS[: len(PUBLISHED)]:
        name, published, found = prior.name, PUBLISHED[prior.name], population.value(prior.name)
        key = f"{name}_{prior.unit.replace('1/', 'per_').replace('/', '_per_').replace('%', 'percent')}".removesuffix("_1")
        summary |= {f"{key}_laplace": found, f"{key}_published": published, f"{name}_relative_difference_laplace": found / published - 1}
        row = [
            f"{name} ({prior.unit})",
            f"{published:.4g}",
            f"{found:.4g}",
            f"{found / published - 1:+.1%}",
            f"{population.standard_error(name):.3f}",
        ]
        if sampled is not None:
            draws = sampled.population
            low, high = draws.interval(name, 0.9)
            summary |= {f"{key}_nuts": draws.value(name)}
            row += [f"{draws.value(name):.4g} ({low:.4g} to {high:.4g})"]
        rows.append(row)
    for name in ERRORS:
        summary[f"{name}_laplace"] = population.value(name)
    if sampled is not None:
        shown = sampled.population.diagnostics
        summary |= {
            "largest_r_hat": float(np.max(shown.r_hat)) if np.isfinite(shown.r_hat).all() else None,
            "smallest_effective_size": float(shown.effective.min()),
            "divergences": shown.divergences,
        }
    report = Report(
        "Warfarin", f"{len(people)} subjects, one dose; two absorption steps, one compartment, inhibited production of clotting factors"
    )
    report.figure(
        _curves(people, population),
        "Concentration (above) and prothrombin complex activity (below) of six subjects; blue: fitted, grey: typical subject, same dose.",
        "curves",
        alt="Two rows of six panels with readings and curves",
    )
    columns = ["Typical subject", "Published", "Laplace", "Difference", "SE (transformed)"] + (["NUTS (90 %)"] if sampled else [])
    report.table(
        columns, rows, f"Published: nlmixr's fit to 32 subjects (Funaki, Holford and Fujita 2018); {len(people)} of them are in this table."
    )
    if sampled is not None:
        report.text(f"Sampler: {sampled.population.diagnostics.words}.")
    return Result(summary, report, _dataset(population, sampled))


def _dataset(population: Population, sampled: PopulationDraws | None) -> xr.Dataset:
    names = [prior.name for prior in population.priors]
    arrays = {
        "individual": (("subject", "parameter"), np.asarray(population.individuals.mean), {"units": "1"}),
        "mean": ("parameter", population.mean, {"units": "1"}),
        "covariance": (("parameter", "other"), population.covariance, {"units": "1"}),
    }
    if sampled is not None:
        arrays["mean_draws"] = (("draw", "parameter"), sampled.population.flat[:, : len(names)], {"units": "1"})
    return xr.Dataset(arrays, coords={"parameter": names, "other": names})


def _curves(people: list[Problem], population: Population) -> Figure:
    figure = new_figure(5.0)
    panels = figure.subplots(2, 6, sharex=True, sharey="row")
    times, handles = jnp.linspace(0.0, 144.0, 145), []
    for column, person in enumerate(people[:6]):
        curves = {
            SOFT: person.predictions(jnp.asarray(population.mean), (times, times)),
            BLUE: person.predictions(population.individuals.mean[column], (times, times)),
        }
        for row in range(2):
            axes = panels[row, column]
            handles = [axes.plot(times, pair[row], color=colour, linewidth=1.2)[0] for colour, pair in curves.items()]
            handles += axes.plot(person.series[row].times, person.series[row].values, "o", color=VERMILION, markersize=3)
            quiet(axes)
    panels[0, 0].set_ylabel("concentration (mg/L)")
    panels[1, 0].set_ylabel("activity (%)")
    figure.supxlabel("time after the dose (h)")
    legend(figure, handles, ["typical subject, same dose", "this subject", "readings"])
    return figure


if __name__ == "__main__":
    run_script(__spec__)
