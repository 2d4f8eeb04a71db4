"""Population pharmacokinetics of oral theophylline: twelve volunteers, against the published mixed-effects fit."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from physics import OneCompartment
from twinsim.cli import run_script
from twinsim.data import locate
from twinsim.errors import InputError
from twinsim.experiment import Result, finite_or_none
from twinsim.figure_style import BLUE, SOFT, VERMILION, legend, new_figure, quiet
from twinsim.inference import Normal, Population, Problem, fit_population, maximise, problems, sample_population, series
from twinsim.option_checks import check_options
from twinsim.prior import Prior, Values
from twinsim.report import Report
from twinsim.workspace import Workspace

PRIORS = (
    Prior("elimination", "1/h", 0.1, 1.0, "log", "half-life in adults about 7 h, within a factor of 7; weakly informative"),
    Prior("absorption", "1/h", 1.5, 1.0, "log", "absorbed within hours; weakly informative"),
    Prior("clearance", "L/h/kg", 0.04, 1.0, "log", "weakly informative"),
    Prior("error", "mg/L", 0.7, 1.0, "log", "weakly informative"),
)

# Fit of nlme with a full covariance of the three random effects: fixed effects and their standard errors from its regression tests
# (sigma-and-residuals, page 363 of Pinheiro and Bates 2000, with sigma 0.7), the error with sigma free. Logarithms.
PUBLISHED = {"elimination": (-2.432512, 0.0640155), "absorption": (0.450163, 0.196058), "clearance": (-3.2144713, 0.0808379)}
PUBLISHED_ERROR = 0.6818253


RANGES = {"warmup": (20, 100_000), "draws": (4, 100_000), "chains": (1, 64), "readings": (1, 10)}


@dataclass(frozen=True)
class Config:
    """Options of the fit."""

    warmup: int = 600
    """Steps of adaptation per chain of the joint sampler."""
    draws: int = 1000
    """Draws per chain."""
    chains: int = 4
    """Chains."""
    readings: tuple[int, ...] = (2, 4, 6, 8)
    """How many readings of a volunteer who was left out are given before the rest is forecast; each in turn."""
    seed: int = 0
    """Of the sampler."""
    precision: Literal["float32", "float64"] = "float64"
    """Floating-point precision."""


def predict(values: Values, times: tuple[jax.Array, ...], dose: jax.Array) -> tuple[jax.Array, ...]:
    """Concentration after one dose in mg/kg."""
    volume = values["clearance"] / values["elimination"]
    return (OneCompartment(values["absorption"], values["elimination"], volume).concentration(times[0], dose),)


def volunteers(folder: Path) -> list[Problem]:
    """One problem per volunteer, in the order of the table."""
    table = np.genfromtxt(folder / "Theoph.csv", delimiter=",", names=True)
    found = []
    for number in np.unique(table["Subject"]):
        rows = table[table["Subject"] == number]
        kind = series(rows["Time"], rows["conc"], Normal("error"), "theophylline", "mg/L")
        found.append(Problem(PRIORS, predict, (kind,), jnp.asarray(rows["Dose"][0])))
    return found


def run(config: Config, workspace: Workspace) -> Result:
    """Fits the population twice, compares with the published fit, and forecasts every volunteer from the others."""
    check_options(config, RANGES)
    if not config.readings:
        raise InputError("--readings without a number", "how many readings are given, 1 to 10 each", "give at least one")
    people = volunteers(locate("pkpd"))
    batch = problems(people)
    population = fit_population(batch, shared=("error",))
    workspace.message(f"population fitted in {len(population.log_evidence) - 1} steps")
    sampled = sample_population(batch, ("error",), config.seed, config.chains, config.warmup, config.draws, start=population)
    draws = sampled.population
    summary: dict[str, float | int | str | None] = {"volunteers": len(people)}
    rows, worst = [], {"laplace": 0.0, "nuts": 0.0}
    for name, (log_published, error) in PUBLISHED.items():
        published = float(np.exp(log_published))
        by_nuts = float(np.exp(np.log(draws.draws(name)).mean()))
        low, high = draws.interval(name, 0.9)
        for method, value in (("laplace", population.value(name)), ("nuts", by_nuts)):
            worst[method] = max(worst[method], abs(value / published - 1))
        unit = {prior.name: prior.unit for prior in PRIORS}[name].replace("/", "_per_")
        key = f"{name}_{unit}".replace("1_per", "per")
        summary |= {f"{key}_laplace": population.value(name), f"{key}_nuts": by_nuts, f"{key}_published": published}
        nuts = f"{by_nuts:.4f} ({low:.4f} to {high:.4f})"
        errors = [f"{error:.3f}", f"{population.standard_error(name):.3f}", f"{population.between(name):.2f}"]
        rows.append([name, f"{published:.4f}", f"{population.value(name):.4f}", nuts, *errors])
    forecasts = _left_out(people, config.readings)
    summary |= {
        "worst_relative_difference_laplace": worst["laplace"],
        "worst_relative_difference_nuts": worst["nuts"],
        "residual_error_mg_per_l_laplace": population.value("error"),
        "residual_error_mg_per_l_nuts": draws.value("error"),
        "residual_error_mg_per_l_published": PUBLISHED_ERROR,
        "largest_r_hat": finite_or_none(np.max(draws.diagnostics.r_hat)),
        "smallest_effective_size": float(draws.diagnostics.effective.min()),
        "divergences": draws.diagnostics.divergences,
    }
    for given, errors in forecasts.items():
        summary |= {f"forecast_rmse_mg_per_l_{name}_after_{given}": error for name, error in errors.items()}
    report = Report("Theophylline", f"{len(people)} volunteers, one oral dose; one compartment, first-order absorption")
    report.figure(
        _curves(people, population), "Readings and fitted curves.", "curves", alt="One panel per volunteer with readings and curves"
    )
    columns = ["Typical volunteer", "Published", "Laplace", "NUTS (90 %)", "Published SE of log", "SE of log", "Sd among volunteers (log)"]
    report.table(columns, rows, "Published: nlme with a full covariance of the random effects (Pinheiro and Bates 2000, page 363).")
    report.table(
        ["Readings given", "Population of the others and own readings", "Typical curve", "Own readings alone"],
        [[given, *(f"{errors[name]:.2f}" for name in ("population", "typical", "alone"))] for given, errors in forecasts.items()],
        "Root mean square error (mg/L) of all later readings, each volunteer forecast by a population that has not seen him.",
    )
    report.text(f"Sampler: {draws.diagnostics.words}.")
    return Result(summary, report, _dataset(population))


def _left_out(people: list[Problem], readings: tuple[int, ...]) -> dict[int, dict[str, float]]:
    """Root mean square errors of the readings after the first few, from three priors, per number of readings given."""
    errors = {given: {"population": [], "typical": [], "alone": []} for given in readings}
    for left, person in enumerate(people):
        others = fit_population(problems([one for i, one in enumerate(people) if i != left]), shared=("error",))
        start, kind = jnp.asarray(others.mean)[None], person.series[0]
        for given in readings:
            early = Problem(PRIORS, predict, (kind.until(kind.times[given - 1]),), person.record)
            points = {"population": _maximum(others.new_patient(early), start), "typical": start[0], "alone": _maximum(early, start)}
            for name, z in points.items():
                errors[given][name] += np.asarray(person.predictions(z)[0] - kind.values)[given:].tolist()
    return {given: {name: float(np.sqrt(np.mean(np.square(e)))) for name, e in one.items()} for given, one in errors.items()}


@eqx.filter_jit
def _maximum(problem: Problem, start: jax.Array) -> jax.Array:
    return maximise(problem, start).z


def _dataset(population: Population) -> xr.Dataset:
    names = [prior.name for prior in population.priors]
    return xr.Dataset(
        {
            "individual": (("volunteer", "parameter"), np.asarray(population.individuals.mean), {"units": "1"}),
            "mean": ("parameter", population.mean, {"units": "1"}),
            "covariance": (("parameter", "other"), population.covariance, {"units": "1"}),
        },
        coords={"parameter": names, "other": names},
    )


def _curves(people: list[Problem], population: Population) -> Figure:
    figure = new_figure(7.0)
    times, handles = jnp.linspace(0.0, 25.0, 126), []
    for axes, person, z in zip(figure.subplots(3, 4, sharex=True, sharey=True).flat, people, population.individuals.mean, strict=False):
        (typical,) = axes.plot(times, person.predictions(jnp.asarray(population.mean), (times,))[0], color=SOFT, linewidth=1)
        (own,) = axes.plot(times, person.predictions(z, (times,))[0], color=BLUE, linewidth=1.4)
        (dots,) = axes.plot(person.series[0].times, person.series[0].values, "o", color=VERMILION, markersize=3.5)
        handles = [typical, own, dots]
        quiet(axes)
    figure.supxlabel("time after the dose (h)")
    figure.supylabel("concentration (mg/L)")
    legend(figure, handles, ["typical volunteer, same dose", "this volunteer", "readings"])
    return figure


if __name__ == "__main__":
    run_script(__spec__)
