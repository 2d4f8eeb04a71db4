"""A protein that spreads over a connectome, seen at few visits: rates and seeds by hierarchical Bayes, the next visit forecast."""

from dataclasses import dataclass
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from experiments.neuro import _decline_figures as figures
from experiments.neuro._decline_people import Truth, spreading_over, synthetic_people
from physics import Connectome, synthetic_connectome
from twinsim.cli import run_script
from twinsim.connectome_file import SYNTHETIC, read_connectome
from twinsim.errors import InputError
from twinsim.experiment import Result
from twinsim.inference import nuts_posterior, profile
from twinsim.inference.problem import Problem
from twinsim.option_checks import check_options
from twinsim.report import Report
from twinsim.spreading_forecast import covered, forecast_draws, root_mean_square, rules
from twinsim.spreading_model import MOVING, PRIORS, Scanner, SpreadingFit, fit_people, information_by_visit, predictor
from twinsim.visit_table import PersonVisits, read_visits
from twinsim.workspace import Workspace

ENOUGH = 30  # effective draws of a person
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
    connectome: str = "synthetic"
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
    predict = predictor(spreading_over(connectome, config.normalisation), scanner)
    if config.visits:
        people, truth = read_visits(config.visits, connectome.names), None
    else:
        made_by = config.normalisation if config.true_normalisation == "as_fitted" else config.true_normalisation
        people, truth = synthetic_people(
            connectome, predictor(spreading_over(connectome, made_by), scanner), config.people, config.visits_each, config.gap_years,
            (config.true_spread_per_year, config.true_growth_per_year, config.true_amplitude, config.noise_suvr), config.between,
            config.missing, config.seed,
        )  # fmt: skip
    known = [one for one in people if len(one.years) >= 3]
    if len(known) < 2:
        raise InputError(f"{len(known)} people with three visits or more", "at least two, whose last visit is held out", "add visits")
    notes = [f"{len(people) - len(known)} people with fewer than three visits were left out."] if len(known) < len(people) else []
    people = known
    given = [one.first(len(one.years) - 1) for one in people]
    fit = fit_people(given, predict, min(config.shortlist, connectome.regions), config.draws, config.seed)
    workspace.message(f"{len(people)} people fitted")
    ahead = np.array([one.years[-1] - one.years[0] for one in people])
    clean, noisy = forecast_draws(fit, predict, ahead, config.seed)
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
        "scatter_suvr": fit.first.value("error"),
        "between_log_spread": fit.population.value("sd_spread") * PRIORS[0].spread,
        "between_log_growth": fit.population.value("sd_growth") * PRIORS[1].spread,
        "smallest_effective_draws": float(fit.effective.min()),
        "largest_r_hat": float(fit.population.diagnostics.r_hat.max()),
        "mean_probability_of_likeliest_seed": float(fit.weights.max(axis=1).mean()),
        "first_fit_settled": fit.settled,
        **_told(fit, information),
        **(_recovered(fit, truth, forecasts) if truth is not None else {}),
    }
    chains, words = _checked_by_nuts(config, fit, summary)
    notes += words
    person = int(np.argmax([len(one.years) for one in given]))
    bounded = [_profile_words(fit, person, name) for name in ("spread", "growth")]
    if not fit.settled:
        notes.append("The first fit of the population had not settled when its steps ran out; draws are proposed from it all the same.")
    if fit.effective.min() < ENOUGH:
        few = ", ".join(one.person for one, size in zip(people, fit.effective, strict=True) if size < ENOUGH)
        notes.append(f"Fewer than {ENOUGH} draws count for {few}: intervals there are rough.")
    report = _report(config, connectome, summary, notes)
    report.figure(
        figures.trajectories(people, given, fit, predict),
        "Regions of three people over time: readings, and what the model says of them and of the visit that it had not seen (median and "
        "90 % of readings).",
        "trajectories",
        alt="Readings and bands over years",
    )
    if connectome.centres is not None:
        report.figure(
            figures.brains(connectome, people, forecasts, (config.healthy_suvr, config.full_suvr)),
            "Regions of one person from above, with the strongest tracts; small white dots have no reading.",
            "brains",
            alt="Three maps of regions coloured by uptake",
        )
    report.figure(
        figures.scatter(forecasts, held, errors, inside[90], noisy),
        "Left: the held-out visit against its forecast, a dot per person and region. Right: error of the model and of simple rules.",
        "forecast",
        alt="Forecast against reading; bars of errors",
    )
    report.figure(
        figures.ellipses(fit, information, person, None if truth is None else truth.z[person], chains),
        "Growth against spread. Left: 90 % ellipses of one person after each visit under the first priors. Right: what visits tell, in "
        "nats, a line per person.",
        "identifiability",
        alt="Ellipses of growth and spread; information by visit",
    )
    report.text(f"Profile likelihoods of person {people[person].person}: {'; '.join(bounded)}.")
    return Result(summary, report, _dataset(connectome, people, held, clean, noisy, fit, information), notes=notes)


def _correlations(fit: SpreadingFit) -> np.ndarray:
    off = fit.z - fit.z.mean(axis=1, keepdims=True)
    return (off[..., 0] * off[..., 1]).mean(axis=1) / (off[..., 0].std(axis=1) * off[..., 1].std(axis=1))


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


def _recovered(fit: SpreadingFit, truth: Truth, forecasts: dict[str, np.ndarray]) -> dict[str, float]:
    """How near to what was hidden: rates, seeds, the next visit without noise."""
    z = fit.z
    best = fit.candidates[np.arange(len(fit.best)), fit.best]
    found = {
        "true_seed_is_likeliest_percent": 100 * float((best == truth.seeds).mean()),
        "mean_probability_of_true_seed": float((fit.seeds == truth.seeds[:, None]).mean()),
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
    return fit.first.new_patient(own)


def _unstacked(batch: Problem, k: int) -> Problem:
    arrays, rest = eqx.partition(batch, eqx.is_array)
    return eqx.combine(jax.tree.map(lambda leaf: leaf[k], arrays), rest)


def _checked_by_nuts(config: Config, fit: SpreadingFit, summary: dict[str, Any]) -> tuple[dict[int, np.ndarray], list[str]]:
    """Draws by NUTS of the first people given their likeliest seeds, and how far the normal approximation is from them."""
    chains, ratios, differences = {}, [], []
    mean, covariance = fit.likeliest
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
    return profile(_unstacked(fit.batch, person), name, jnp.asarray(fit.likeliest[0][person]), points=15).words


def _dataset(
    connectome: Connectome, people: list[PersonVisits], held: np.ndarray, clean: np.ndarray, noisy: np.ndarray, fit: SpreadingFit,
    information: np.ndarray,
) -> xr.Dataset:  # fmt: skip
    mean, covariance = fit.likeliest
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


if __name__ == "__main__":
    run_script(__spec__)
