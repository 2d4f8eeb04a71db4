"""A protein that spreads over a connectome, seen at few visits: rates and seeds of people by hierarchical Bayes, the next visit forecast."""

from dataclasses import dataclass
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from physics import Connectome, NetworkSpreading, synthetic_connectome
from twinsim.cli import run_script
from twinsim.connectome_file import SYNTHETIC, read_connectome
from twinsim.errors import InputError
from twinsim.experiment import Result
from twinsim.figure_style import BLUE, CYCLE, INK, LINE, ORANGE, SOFT, VERMILION, legend, new_figure, quiet
from twinsim.inference import nuts_posterior, profile
from twinsim.inference.problem import Predict, Problem
from twinsim.option_checks import check_options
from twinsim.report import Report
from twinsim.spreading_forecast import covered, forecast_draws, predicted_readings, root_mean_square, rules
from twinsim.spreading_model import MOVING, PRIORS, Scanner, SpreadingFit, fit_people, information_by_visit, person_problem, predictor
from twinsim.visit_table import PersonVisits, read_visits
from twinsim.workspace import Workspace

NAMES = tuple(prior.name for prior in PRIORS)
RANGES = {
    "regions": (4, 1000),
    "people": (2, 1000),
    "visits_each": (3, 20),
    "gap_years": (0.1, 20.0),
    "true_spread_per_year": (1e-4, 10.0),
    "true_growth_per_year": (1e-3, 10.0),
    "true_amplitude": (1e-4, 0.9),
    "between": (0.0, 2.0),
    "noise_suvr": (1e-3, 1.0),
    "missing": (0.0, 0.9),
    "healthy_suvr": (0.1, 10.0),
    "full_suvr": (0.2, 20.0),
    "lead_years": (0.5, 50.0),
    "shortlist": (1, 1000),
    "draws": (50, 100_000),
    "nuts_people": (0, 1000),
}


@dataclass(frozen=True)
class Config:
    """Options; without --visits people are made up, and everything said about them is of synthetic people."""

    visits: str = ""
    """CSV of one's own: person, time_years, and a column per region with its uptake ratio; empty makes people up."""
    connectome: str = SYNTHETIC
    """synthetic (of nobody), or a ZIP, NPZ, CSV or folder; see docs/theory/brain_networks.md."""
    regions: int = 76
    """Of the synthetic connectome."""
    normalisation: Literal["mean_strength", "random_walk", "symmetric"] = "mean_strength"
    """Laplacian that spreads in the fit; see docs/theory/network_spreading.md."""
    true_normalisation: Literal["as_fitted", "mean_strength", "random_walk", "symmetric"] = "as_fitted"
    """Laplacian that made the synthetic people; another one than in the fit shows what a wrong model does."""
    people: int = 24
    """Synthetic people."""
    visits_each: tuple[int, ...] = (3, 4, 5)
    """How many visits synthetic people have, in turn; the last is held out."""
    gap_years: float = 1.2
    """From visit to visit in synthetic people, in years; each gap differs from it by up to a quarter."""
    true_spread_per_year: float = 0.08
    """Median of rho among synthetic people, in 1/year."""
    true_growth_per_year: float = 0.3
    """Median of alpha among synthetic people, in 1/year."""
    true_amplitude: float = 0.12
    """Median load of the seed when it starts, of what a region can hold."""
    between: float = 0.3
    """Standard deviation of the logarithms of these (of the logit of the amplitude) among synthetic people."""
    noise_suvr: float = 0.06
    """Standard deviation of a synthetic reading, in SUVR."""
    missing: float = 0.05
    """Part of the synthetic readings that are missing."""
    healthy_suvr: float = 1.0
    """Reading of a region without load."""
    full_suvr: float = 2.5
    """Reading of a region that holds what it can."""
    lead_years: float = 10.0
    """From the seed to the first visit, in years: a convention, exchangeable in part with the amplitude."""
    shortlist: int = 6
    """Regions per person that the load may have started in: those that read highest."""
    draws: int = 400
    """Draws of the posterior per person."""
    nuts_people: int = 1
    """How many people are sampled by NUTS as well, to check the normal approximation."""
    seed: int = 0
    """Of synthetic people and of draws."""
    precision: Literal["float32", "float64"] = "float64"
    """Floating-point precision."""


@dataclass(frozen=True)
class Truth:
    """What was hidden: seeds, coordinates in the priors, and the last visit without noise ``(people, regions)``."""

    seeds: np.ndarray
    z: np.ndarray
    last: np.ndarray


def run(config: Config, workspace: Workspace) -> Result:
    """Fits the population to all visits but each person's last, forecasts that one, and says what the data can tell."""
    check_options(config, RANGES)
    if config.full_suvr <= config.healthy_suvr:
        got = f"full-suvr {config.full_suvr:g} with healthy-suvr {config.healthy_suvr:g}"
        raise InputError(got, "a full region that reads more than a healthy one", "change one of them")
    if not config.visits_each:
        raise InputError("--visits-each without a number", "how many visits people have, 3 or more each", "give at least one")
    connectome = synthetic_connectome(config.regions) if config.connectome == SYNTHETIC else read_connectome(config.connectome)
    scanner = Scanner(config.healthy_suvr, config.full_suvr, config.lead_years)
    predict = predictor(_spreading(connectome, config.normalisation), scanner)
    if config.visits:
        people, truth = read_visits(config.visits, connectome.names), None
    else:
        people, truth = synthetic_people(config, connectome, scanner)
    known = [one for one in people if len(one.years) >= 3]
    if len(known) < 2:
        raise InputError(f"{len(known)} people with three visits or more", "at least two, whose last visit is held out", "add visits")
    notes = [f"{len(people) - len(known)} people with fewer than three visits were left out."] if len(known) < len(people) else []
    people = known
    given = [one.first(len(one.years) - 1) for one in people]
    fit = fit_people(given, predict, min(config.shortlist, connectome.regions))
    workspace.message(f"{len(people)} people fitted, seeds chosen {fit.rounds} times")
    ahead = np.array([one.years[-1] - one.years[0] for one in people])
    clean, noisy = forecast_draws(fit, predict, ahead, config.draws, config.seed)
    held = np.stack([one.readings[-1] for one in people])
    by_rule = rules(given, [float(one.years[-1]) for one in people])
    forecasts = {"model": np.median(clean, axis=1), **by_rule}
    errors = {name: root_mean_square(one - held) for name, one in forecasts.items()}
    inside = {percent: covered(noisy, held, percent / 100) for percent in (50, 90)}
    information = information_by_visit(fit)
    summary: dict[str, Any] = {
        "people": len(people),
        "synthetic": truth is not None,
        "regions": connectome.regions,
        "visits_given": int(sum(len(one.years) for one in given)),
        "mean_years_ahead": float(np.mean([one.years[-1] - other.years[-1] for one, other in zip(people, given, strict=True)])),
        **{f"forecast_rmse_suvr_{name}": error for name, error in errors.items()},
        "forecast_coverage_50_percent": 100 * float(np.nanmean(inside[50])),
        "forecast_coverage_90_percent": 100 * float(np.nanmean(inside[90])),
        **{f"typical_{name}{unit}": fit.population.value(name) for name, unit in (("spread", "_per_year"), ("growth", "_per_year"))},
        "typical_amplitude": fit.population.value("amplitude"),
        "scatter_suvr": fit.population.value("error"),
        "between_log_spread": fit.population.between("spread"),
        "between_log_growth": fit.population.between("growth"),
        "mean_probability_of_likeliest_seed": float(fit.weights.max(axis=1).mean()),
        "population_converged": fit.population.converged and fit.settled,
        **_told(fit, information),
        **(_recovered(fit, truth, forecasts, config) if truth is not None else {}),
    }
    chains, words = _checked_by_nuts(config, fit, summary)
    notes += words
    person = int(np.argsort(_correlations(fit))[len(people) // 2])
    bounded = [_profile_words(fit, person, name) for name in ("spread", "growth")]
    if not summary["population_converged"]:
        notes.append("The population had not settled when its steps ran out.")
    report = _report(config, connectome, summary, notes)
    report.figure(
        _trajectories(people, given, fit, predict, config), "Regions of three people over time: readings, what the model says of them "
        "before and of the visit that it had not seen (median and 90 % of readings).", "trajectories", alt="Readings and bands over years",
    )  # fmt: skip
    report.figure(
        _scatter(forecasts, held, errors, inside[90], noisy), "Left: the held-out visit against its forecast, a dot per person and region. "
        "Right: error of the model and of simple rules.", "forecast", alt="Forecast against reading; bars of errors",
    )  # fmt: skip
    report.figure(
        _ellipses(fit, information, person, truth, chains), "Growth against spread. Left: 90 % ellipses of one person after each visit "
        "under the first priors. Right: what visits tell, in nats.", "identifiability", alt="Ellipses of growth and spread; information",
    )  # fmt: skip
    report.text(f"Profile likelihoods of person {people[person].person}: {'; '.join(bounded)}.")
    return Result(summary, report, _dataset(connectome, people, held, clean, noisy, fit, information), notes=notes)


def synthetic_people(config: Config, connectome: Connectome, scanner: Scanner) -> tuple[list[PersonVisits], Truth]:
    """People drawn from a population, their readings, and what is hidden of them."""
    random = np.random.default_rng([config.seed, 7])
    wired = np.flatnonzero([name not in connectome.isolated for name in connectome.names])
    seeds = random.choice(wired, config.people)
    medians = (config.true_spread_per_year, config.true_growth_per_year, config.true_amplitude, config.noise_suvr)
    centre = np.array([prior.coordinate(value) for prior, value in zip(PRIORS, medians, strict=True)])
    spreads = np.array([config.between / prior.spread for prior in PRIORS]) * (np.arange(len(PRIORS)) < MOVING)
    z = centre + spreads * random.standard_normal((config.people, len(PRIORS)))
    counts = np.array([config.visits_each[k % len(config.visits_each)] for k in range(config.people)])
    gaps = config.gap_years * random.uniform(0.75, 1.25, (config.people, counts.max()))
    years = np.cumsum(gaps, axis=1) - gaps[:, :1]
    made_by = config.normalisation if config.true_normalisation == "as_fitted" else config.true_normalisation
    predict = predictor(_spreading(connectome, made_by), scanner)
    clean = predicted_readings(predict, years, seeds[:, None], z[:, None], connectome.regions)[:, 0]
    readings = clean + config.noise_suvr * random.standard_normal(clean.shape)
    gone = random.uniform(size=clean.shape) < config.missing
    gone &= ~gone.all(axis=2, keepdims=True)
    readings = np.where(gone, np.nan, np.maximum(readings, 1e-3))
    people = [PersonVisits(f"P{k:02d}", years[k, :n], readings[k, :n]) for k, n in enumerate(counts)]
    return people, Truth(seeds, z, clean[np.arange(config.people), counts - 1])


def _spreading(connectome: Connectome, normalisation: str) -> NetworkSpreading:
    try:
        return NetworkSpreading.of(connectome, normalisation)  # type: ignore[arg-type]
    except ValueError as error:
        raise InputError(f"the connectome: {error}", "tracts between regions", "give another connectome") from None


def _best(fit: SpreadingFit) -> tuple[np.ndarray, np.ndarray]:
    """Means and covariances with the likeliest seeds."""
    people = np.arange(len(fit.best))
    return np.asarray(fit.fits.mean)[people, fit.best], np.asarray(fit.fits.covariance)[people, fit.best]


def _correlations(fit: SpreadingFit) -> np.ndarray:
    covariance = _best(fit)[1]
    return covariance[:, 0, 1] / np.sqrt(covariance[:, 0, 0] * covariance[:, 1, 1])


def _told(fit: SpreadingFit, information: np.ndarray) -> dict[str, float | None]:
    """What the data tell: correlations, information and its eigenvalues after each visit, means over people."""
    found: dict[str, float | None] = {"posterior_correlation_log_spread_log_growth": float(_correlations(fit).mean())}
    eye = np.eye(MOVING)
    for k in range(information.shape[1]):
        after = information[:, k]
        number = k + 1
        found[f"information_nats_after_{number}_visits"] = float(0.5 * np.linalg.slogdet(after + eye)[1].mean())
        found[f"least_information_eigenvalue_after_{number}_visits"] = float(np.median(np.linalg.eigvalsh(after)[:, 0]))
        covariance = np.linalg.inv(after + eye)
        deviation = np.sqrt(np.einsum("pii->pi", covariance))
        found[f"log_spread_sd_after_{number}_visits"] = float(np.median(deviation[:, 0]) * PRIORS[0].spread)
        found[f"log_growth_sd_after_{number}_visits"] = float(np.median(deviation[:, 1]) * PRIORS[1].spread)
        found[f"correlation_after_{number}_visits"] = float(np.median(covariance[:, 0, 1] / (deviation[:, 0] * deviation[:, 1])))
    return found


def _recovered(fit: SpreadingFit, truth: Truth, forecasts: dict[str, np.ndarray], config: Config) -> dict[str, float]:
    """How near to what was hidden: rates, seeds, the next visit without noise."""
    seeds, z = fit.draws(config.draws, config.seed)
    best = fit.candidates[np.arange(len(fit.best)), fit.best]
    probability = np.where(fit.candidates == truth.seeds[:, None], fit.weights, 0.0).sum(axis=1)
    found = {
        "true_seed_is_likeliest_percent": 100 * float((best == truth.seeds).mean()),
        "mean_probability_of_true_seed": float(probability.mean()),
        **{f"forecast_rmse_of_truth_suvr_{name}": root_mean_square(one - truth.last) for name, one in forecasts.items()},
    }
    for k, name in enumerate(NAMES[:MOVING]):
        found[f"{name}_log_rmse" if k < 2 else f"{name}_logit_rmse"] = float(
            PRIORS[k].spread * root_mean_square(np.median(z[:, :, k], axis=1) - truth.z[:, k])
        )
        for percent in (50, 90):
            inside = covered(z[:, :, k : k + 1], truth.z[:, k : k + 1], percent / 100)
            found[f"{name}_coverage_{percent}_percent"] = 100 * float(inside.mean())
    return found


def _person(fit: SpreadingFit, k: int) -> Problem:
    """The problem of one person with the likeliest seed, under the population."""
    own = _unstacked(fit.batch, k)
    return fit.population.new_patient(own)


def _unstacked(batch: Problem, k: int) -> Problem:
    arrays, rest = eqx.partition(batch, eqx.is_array)
    return eqx.combine(jax.tree.map(lambda leaf: leaf[k], arrays), rest)


def _checked_by_nuts(config: Config, fit: SpreadingFit, summary: dict[str, Any]) -> tuple[dict[int, np.ndarray], list[str]]:
    """Draws by NUTS of the first people given their likeliest seeds, and how far the normal approximation is from them."""
    chains, ratios, differences = {}, [], []
    mean, covariance = _best(fit)
    for k in range(min(config.nuts_people, len(mean))):
        spread = np.sqrt(np.diag(covariance[k]))
        start = mean[k] + 0.5 * spread * np.random.default_rng([config.seed, k]).standard_normal((2, len(PRIORS)))
        draws = nuts_posterior(_person(fit, k), config.seed, 2, 200, 300, start=jnp.asarray(start))
        chains[k] = draws.flat
        ratios.append(np.max(np.abs(np.log(draws.flat.std(0)[:MOVING] / spread[:MOVING]))))
        differences.append(np.max(np.abs(draws.flat.mean(0)[:MOVING] - mean[k, :MOVING]) / spread[:MOVING]))
        if draws.diagnostics.divergences or not np.max(draws.diagnostics.r_hat) < 1.05:
            return chains, [f"NUTS did not converge for person {k}: {draws.diagnostics.words}."]
    if chains:
        summary["laplace_to_nuts_largest_log_ratio_of_sd"] = float(max(ratios))
        summary["laplace_to_nuts_largest_difference_of_means_in_sd"] = float(max(differences))
    return chains, []


def _profile_words(fit: SpreadingFit, person: int, name: str) -> str:
    return profile(_unstacked(fit.batch, person), name, jnp.asarray(_best(fit)[0][person]), points=15).words


def _dataset(
    connectome: Connectome, people: list[PersonVisits], held: np.ndarray, clean: np.ndarray, noisy: np.ndarray, fit: SpreadingFit,
    information: np.ndarray,
) -> xr.Dataset:  # fmt: skip
    mean, covariance = _best(fit)
    quantiles = np.quantile(noisy, [0.05, 0.25, 0.5, 0.75, 0.95], axis=1)
    suvr, one, years = {"units": "SUVR"}, {"units": "1"}, {"units": "year"}
    return xr.Dataset(
        {
            "held_out": (("person", "region"), held, suvr),
            "held_out_time": ("person", np.array([one.years[-1] - one.years[0] for one in people]), years),
            "forecast": (("person", "region"), np.median(clean, axis=1), suvr),
            "forecast_quantile": (("quantile", "person", "region"), quantiles, suvr),
            "mean": (("person", "parameter"), mean, one),
            "covariance": (("person", "parameter", "other"), covariance, one),
            "seed_candidate": (("person", "candidate"), fit.candidates, one),
            "seed_probability": (("person", "candidate"), fit.weights, one),
            "information": (("person", "visit", "moving", "other_moving"), information, one),
        },
        coords={
            "person": [one.person for one in people],
            "region": list(connectome.names),
            "parameter": list(NAMES),
            "other": list(NAMES),
            "quantile": ("quantile", [0.05, 0.25, 0.5, 0.75, 0.95], one),
        },
    )


def _report(config: Config, connectome: Connectome, summary: dict[str, Any], notes: list[str]) -> Report:
    whose = "synthetic people" if summary["synthetic"] else f"people of {config.visits}"
    report = Report("Spreading on a connectome", f"{summary['people']} {whose}, {connectome.regions} regions; the last visit was held out")
    for note in notes:
        report.warn(note)
    report.headline(
        [
            ("forecast error", summary["forecast_rmse_suvr_model"], "SUVR", f"no change: {summary['forecast_rmse_suvr_no_change']:.3f}"),
            ("readings inside 90 %", summary["forecast_coverage_90_percent"], "%"),
            ("growth of the typical person", summary["typical_growth_per_year"], "1/year"),
            ("spread of the typical person", summary["typical_spread_per_year"], "1/year"),
        ]
    )
    rows = [[name, value if isinstance(value, str | bool) else f"{value:.4g}"] for name, value in summary.items() if value is not None]
    report.table(["Quantity", "Value"], rows)
    if summary["synthetic"]:
        report.text("People are synthetic: drawn from the model that is fitted, so that this is the best case, and of nobody.")
    return report


def _trajectories(
    people: list[PersonVisits], given: list[PersonVisits], fit: SpreadingFit, predict: Predict, config: Config
) -> Figure:
    figure = new_figure(3.6)
    change = [np.nanmax(one.readings[-1]) - np.nanmax(one.readings[0]) for one in people]
    chosen = np.argsort(change)[[len(people) // 6, len(people) // 2, -1]]
    seeds, z = fit.draws(100, config.seed)
    random, handles = np.random.default_rng(0), []
    for axes, k in zip(figure.subplots(1, 3, sharey=True), chosen, strict=True):
        one = people[k]
        times = np.linspace(0.0, one.years[-1] - one.years[0], 25)
        curves = predicted_readings(predict, times[None], seeds[k : k + 1], z[k : k + 1], one.readings.shape[1])[0]
        noisy = curves + fit.population.value("error") * random.standard_normal(curves.shape)
        order = np.argsort(-np.where(np.isfinite(one.readings), one.readings, 0.0).sum(axis=0))
        rank = (0, 3, len(order) // 4, len(order) // 2)
        for colour, region in zip(CYCLE, order[list(rank)], strict=False):
            low, high = np.quantile(noisy[:, :, region], [0.05, 0.95], axis=0)
            axes.fill_between(times, low, high, color=colour, alpha=0.12, linewidth=0)
            (curve,) = axes.plot(times, np.median(curves[:, :, region], axis=0), color=colour, linewidth=1.4)
            (seen,) = axes.plot(given[k].years - one.years[0], given[k].readings[:, region], "o", color=colour, markersize=4)
            last = one.years[-1] - one.years[0]
            (unseen,) = axes.plot(last, one.readings[-1, region], "o", color=colour, markersize=6, markerfacecolor="white")
            handles = [curve, seen, unseen]
        axes.set_title(f"person {one.person}", fontsize=10, color=INK)
        axes.set_xlabel("since the first visit (years)")
        quiet(axes)
    figure.axes[0].set_ylabel("uptake ratio (SUVR)")
    legend(figure, handles, ["model", "readings given", "held out"])
    return figure


def _scatter(
    forecasts: dict[str, np.ndarray], held: np.ndarray, errors: dict[str, float], inside: np.ndarray, noisy: np.ndarray
) -> Figure:
    figure = new_figure(3.9)
    left, right = figure.subplots(1, 2, width_ratios=(1, 1))
    low, high = np.nanmin(held), np.nanmax(held)
    left.plot([low, high], [low, high], color=LINE, linewidth=1)
    left.plot(forecasts["no_change"].ravel(), held.ravel(), ".", color=ORANGE, markersize=2.5, label="last reading", alpha=0.6)
    left.plot(forecasts["model"].ravel(), held.ravel(), ".", color=BLUE, markersize=2.5, label="model", alpha=0.6)
    left.set_xlabel("forecast (SUVR)")
    left.set_ylabel("held-out reading (SUVR)")
    left.legend(frameon=False, fontsize=9, markerscale=3)
    names = list(errors)
    right.barh([name.replace("_", " ") for name in names][::-1], [errors[name] for name in names][::-1], color=[SOFT] * 4 + [BLUE])
    right.set_xlabel("root mean square error (SUVR)")
    right.set_title(f"{100 * np.nanmean(inside):.0f} % of readings inside 90 % intervals", fontsize=10, color=INK)
    for axes in (left, right):
        quiet(axes, grid="x")
    return figure


def _ellipses(
    fit: SpreadingFit, information: np.ndarray, person: int, truth: Truth | None, chains: dict[int, np.ndarray]
) -> Figure:
    figure = new_figure(3.9)
    left, right = figure.subplots(1, 2)
    mean = _best(fit)[0][person]
    circle = np.stack([np.cos(angle := np.linspace(0, 2 * np.pi, 200)), np.sin(angle)]) * np.sqrt(-2 * np.log(0.1))
    seen = int(np.isfinite(np.asarray(fit.batch.series[0].values)[person]).reshape(information.shape[1], -1).any(axis=1).sum())
    for k in range(seen):
        covariance = np.linalg.inv(information[person, k] + np.eye(MOVING))[:2, :2]
        x, y = mean[:2, None] + np.linalg.cholesky(covariance) @ circle
        drawn = [np.asarray(PRIORS[i].value(jnp.asarray(one))) for i, one in enumerate((x, y))]
        left.plot(*drawn, color=CYCLE[k % len(CYCLE)], linewidth=1.4, label=f"{k + 1} visit{'s' if k else ''}")
    if person in chains:
        left.plot(*[np.asarray(PRIORS[i].value(jnp.asarray(chains[person][:, i]))) for i in range(2)], ".", color=SOFT, markersize=1.5)
    if truth is not None:
        values = [float(PRIORS[i].value(jnp.asarray(truth.z[person, i]))) for i in range(2)]
        left.plot(*values, "x", color=VERMILION, markersize=8, markeredgewidth=2, label="truth")
    left.set_xscale("log")
    left.set_yscale("log")
    left.set_xlabel("spread (1/year)")
    left.set_ylabel("growth (1/year)")
    left.legend(frameon=False, fontsize=9)
    nats = 0.5 * np.linalg.slogdet(information + np.eye(MOVING))[1]
    visits = np.arange(1, nats.shape[1] + 1)
    right.plot(visits, nats.T, color=LINE, linewidth=0.8)
    right.plot(visits, nats.mean(axis=0), "o-", color=BLUE)
    right.set_xticks(visits)
    right.set_xlabel("visits given")
    right.set_ylabel("information on rates and seed (nats)")
    for axes in (left, right):
        quiet(axes)
    return figure


if __name__ == "__main__":
    run_script(__spec__)
