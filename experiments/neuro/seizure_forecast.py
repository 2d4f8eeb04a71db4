"""When the next seizure comes: a twin's forecasts on held-out seizures of virtual people, beside chance, cycles and an oracle."""

import time
from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from experiments.neuro import _seizure_figures
from experiments.neuro._seizure_baselines import cycles_survival, fitted_cycles, multidien_period, poisson_survival
from experiments.neuro._seizure_patients import People, oracle_survival, virtual_people
from twinsim.assimilation import Ensemble
from twinsim.cli import run_script
from twinsim.errors import InputError
from twinsim.event_forecast import (
    brier,
    crps_of_onset,
    log_score,
    probability_within,
    reliability,
    sensitivity_curve,
    skill,
    surrogate_p_value,
    warnings_of,
)
from twinsim.experiment import Result, finite_or_none
from twinsim.option_checks import check_options
from twinsim.report import Report
from twinsim.seizure_twin import NAMES, filtered, fit_twins, forecast_survival, twin_of
from twinsim.workspace import Workspace

FORECASTERS = ("poisson", "cycles", "twin", "oracle")
INTERVAL_H = 2.0
SHARES = np.array([0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9])
RESAMPLES = 4000
DAY_H = 24.0


@dataclass(frozen=True)
class Config:
    """Options of the forecast."""

    people: int = 8
    """Virtual people, each with rates, cycles and noise of their own."""
    train_days: int = 90
    """From which everything is learned that is learned."""
    test_days: int = 120
    """Held out: forecasts use what was recorded up to their moment only, and nothing is fitted again."""
    horizon_days: int = 10
    """Up to which times to onset are forecast and scored."""
    issue_h: float = 6.0
    """A forecast every so many hours, which is also how long a warning stays on."""
    time_in_warning: float = 0.25
    """Share of the training time at whose risk a warning begins."""
    lead_h: float = 0.0
    """Hours that a warning must have been on before a seizure for it to count."""
    fit_steps: int = 150
    """Steps of the search for a person's parameters."""
    particles: int = 500
    """Of the filter."""
    forecast_particles: int = 100
    """Of a forecast."""
    seed: int = 0
    """Of the people and of all noise."""
    precision: Literal["float64"] = "float64"
    """Floating-point precision."""


def run(config: Config, workspace: Workspace) -> Result:
    """Scores of four forecasters on the seizures of the held-out days, with intervals over people."""
    check_options(
        config,
        {
            "people": (2, 200), "train_days": (20, 1000), "test_days": (20, 1000), "horizon_days": (2, 60), "issue_h": (INTERVAL_H, 24.0),
            "time_in_warning": (0.01, 0.9), "lead_h": (0.0, 24.0), "fit_steps": (1, 5000), "particles": (10, 100_000),
            "forecast_particles": (10, 10_000),
        },
    )  # fmt: skip
    if abs(config.issue_h / INTERVAL_H - round(config.issue_h / INTERVAL_H)) > 1e-9 or config.lead_h > config.issue_h:
        raise InputError(
            f"--issue-h {config.issue_h:g}, --lead-h {config.lead_h:g}", "a multiple of 2 h, and a lead no longer than that", "use 6 and 0"
        )
    if config.horizon_days * 2 > config.test_days:
        raise InputError(f"--horizon-days {config.horizon_days}", f"at most half of {config.test_days} test days", "shorten the horizon")
    began = time.perf_counter()
    people = workspace.stage("people", lambda: virtual_people(config.people, config.train_days + config.test_days, INTERVAL_H, config.seed))
    train_h = DAY_H * config.train_days
    training = [record.until(train_h) for record in people.records]
    periods = np.array([multidien_period(record) for record in training])
    white, losses = workspace.stage("fit", lambda: fit_twins(training, periods, config.fit_steps))
    workspace.message(f"{config.people} people fitted, {sum(len(one) for one in people.onsets)} seizures in all")
    found = workspace.stage(
        "forecasts", lambda: [_forecasts(config, people, one, white[one], periods[one]) for one in range(config.people)]
    )
    scores = [_scored(config, people, one, found[one]) for one in range(config.people)]
    seconds = time.perf_counter() - began
    summary = _summary(config, people, scores, seconds)
    report = Report(
        "Forecasts of seizures",
        f"{config.people} virtual people, {config.train_days} days to learn, {summary['held_out_seizures']} seizures held out",
    )
    pooled = {name: np.concatenate([found[one]["day_risk"][name] for one in range(config.people)]) for name in FORECASTERS}
    came = np.concatenate([scores[one]["came"] for one in range(config.people)])
    curves = {name: reliability(pooled[name], came) for name in FORECASTERS}
    _seizure_figures.show(report, scores, found, people, curves, SHARES, train_h)
    notes = ["The people are virtual: the numbers say what is possible where seizures come as in the model, not what a patient may expect."]
    notes += [f"Person {one} had {int(scores[one]['events'])} held-out seizures: too few to judge." for one in range(config.people)
              if scores[one]["events"] < 10]  # fmt: skip
    if not np.isfinite(losses[-1]).all():
        notes.append("A search for parameters ended where the evidence is not finite; its best step was kept.")
    return Result(summary, report, _dataset(config, scores, white, periods, people), notes=notes)


def _forecasts(config: Config, people: People, one: int, white: np.ndarray, period: float) -> dict[str, Any]:
    """Survival curves of all forecasters at the held-out moments, and risks of the next step over the training time."""
    record = people.records[one]
    training = record.until(DAY_H * config.train_days)
    every, horizon = round(config.issue_h / INTERVAL_H), DAY_H * config.horizon_days
    at = np.arange(training.times.size - 1, record.times.size - round(horizon / INTERVAL_H), every)
    before = np.arange(every - 1 + 12 * 10, training.times.size - every, every)  # ten days to settle
    twin = twin_of(jnp.asarray(white), INTERVAL_H, float(period))
    ensemble = filtered(twin, record, config.particles, config.seed + 1000 * one)

    def of(index: np.ndarray) -> Ensemble:
        return jax.tree.map(lambda leaf: leaf[index], ensemble)

    survival, times = forecast_survival(twin, of(at), config.seed, horizon, config.forecast_particles)
    short, _ = forecast_survival(twin, of(before), config.seed, config.issue_h, config.forecast_particles)
    weights = fitted_cycles(training, period)
    few, seed = times[: every + 1], config.seed + 1
    curves = {
        "poisson": poisson_survival(training, at.size, times),
        "cycles": cycles_survival(weights, period, record.times[at], times),
        "twin": survival,
        "oracle": oracle_survival(people, one, at, horizon, INTERVAL_H, config.forecast_particles, seed),
    }
    trained = {
        "poisson": poisson_survival(training, before.size, few),
        "cycles": cycles_survival(weights, period, record.times[before], few),
        "twin": short,
        "oracle": oracle_survival(people, one, before, config.issue_h, INTERVAL_H, config.forecast_particles, seed),
    }
    chance = jax.vmap(jax.vmap(twin.distance))(ensemble.members)
    level = np.asarray((jnp.exp(ensemble.log_weights) * chance).sum(axis=1))
    return {
        "at_h": record.times[at], "times": times, "survival": curves, "distance": level,
        "day_risk": {name: probability_within(curve, times, DAY_H) for name, curve in curves.items()},
        "risk": {name: probability_within(curve, times, config.issue_h) for name, curve in curves.items()},
        "training_risk": {name: probability_within(curve, few, config.issue_h) for name, curve in trained.items()},
    }  # fmt: skip


def _scored(config: Config, people: People, one: int, found: dict[str, Any]) -> dict[str, Any]:
    """Scores of one person by forecaster; times to onset are from each moment to the next seizure."""
    at, times, onsets = found["at_h"], found["times"], people.onsets[one]
    place = np.searchsorted(onsets, at, side="right")
    wait = np.where(place < onsets.size, np.append(onsets, np.inf)[place], np.inf) - at
    came = wait <= DAY_H
    end = at[0] + at.size * config.issue_h
    events = onsets[(onsets > at[0]) & (onsets <= end)] - at[0]
    scores: dict[str, Any] = {"came": came, "events": events.size}
    for name in FORECASTERS:
        threshold = np.quantile(found["training_risk"][name], 1 - config.time_in_warning)
        alarm = found["risk"][name] > threshold
        warned = warnings_of(alarm, events, config.issue_h, config.lead_h)
        scores[name] = {
            "brier": brier(found["day_risk"][name], came),
            "crps": float(crps_of_onset(found["survival"][name], times, wait).mean()),
            "log_score": float(log_score(found["survival"][name], times, wait).mean()),
            "warnings": warned,
            "surrogate": surrogate_p_value(alarm, events, config.issue_h, config.seed, config.lead_h),
            "same_hour": surrogate_p_value(alarm, events, config.issue_h, config.seed, config.lead_h, whole=DAY_H),
            "curve": sensitivity_curve(found["risk"][name], events, config.issue_h, SHARES, config.lead_h)
            if events.size
            else SHARES * np.nan,
            "alarm": alarm,
        }
    return scores


def _summary(config: Config, people: People, scores: list[dict[str, Any]], seconds: float) -> dict[str, Any]:
    """Means over people, and 90 % intervals by drawing people again; skills are against the constant rate."""
    generator = np.random.default_rng([config.seed, 90])
    draws = generator.integers(0, len(scores), (RESAMPLES, len(scores)))
    summary: dict[str, Any] = {
        "people": len(scores),
        "held_out_seizures": int(sum(one["events"] for one in scores)),
        "fewest_held_out_seizures": int(min(one["events"] for one in scores)),
        "forecasts": int(sum(one["came"].size for one in scores)),
        "base_rate_24h": float(np.concatenate([one["came"] for one in scores]).mean()),
    }
    skills: dict[str, dict[str, np.ndarray]] = {}
    for name in FORECASTERS:
        own = {key: np.array([one[name][key] for one in scores]) for key in ("brier", "crps", "log_score")}
        reference = {key: np.array([one["poisson"][key] for one in scores]) for key in own}
        summary[f"{name}_brier_24h"], summary[f"{name}_crps_h"] = float(own["brier"].mean()), float(own["crps"].mean())
        summary[f"{name}_log_score_nats"] = float(own["log_score"].mean())
        if name != "poisson":
            skills[name] = {
                "brier": np.array([skill(a, b) for a, b in zip(own["brier"], reference["brier"], strict=True)]),
                "crps": np.array([skill(a, b) for a, b in zip(own["crps"], reference["crps"], strict=True)]),
            }
            gained = reference["log_score"] - own["log_score"]
            for key, values in (("brier_skill", skills[name]["brier"]), ("crps_skill", skills[name]["crps"]), ("nats_gained", gained)):
                low, high = np.nanquantile(np.nanmean(values[draws], axis=1), [0.05, 0.95])
                summary[f"{name}_{key}"] = finite_or_none(np.nanmean(values))
                summary[f"{name}_{key}_low"], summary[f"{name}_{key}_high"] = finite_or_none(low), finite_or_none(high)
            warned = [one[name]["warnings"] for one in scores]
            better = np.array([one.improvement for one in warned])
            low, high = np.nanquantile(np.nanmean(better[draws], axis=1), [0.05, 0.95])
            summary[f"{name}_sensitivity"] = finite_or_none(np.nanmean([one.sensitivity for one in warned]))
            summary[f"{name}_time_in_warning"] = float(np.mean([one.time_in_warning for one in warned]))
            summary[f"{name}_false_warnings_per_h"] = float(np.mean([one.false_per_hour for one in warned]))
            summary[f"{name}_improvement_over_chance"] = finite_or_none(np.nanmean(better))
            summary[f"{name}_improvement_low"], summary[f"{name}_improvement_high"] = finite_or_none(low), finite_or_none(high)
            summary[f"{name}_people_better_than_chance"] = int(sum(one.p_value < 0.05 for one in warned))
            summary[f"{name}_people_better_than_shifted_seizures"] = int(sum(one[name]["surrogate"] < 0.05 for one in scores))
            summary[f"{name}_people_better_than_shifted_by_days"] = int(sum(one[name]["same_hour"] < 0.05 for one in scores))
    ahead = np.array([one["cycles"]["crps"] - one["twin"]["crps"] for one in scores])
    low, high = np.quantile(ahead[draws].mean(axis=1), [0.05, 0.95])
    summary |= {
        "twin_ahead_of_cycles_crps_h": float(ahead.mean()), "twin_ahead_of_cycles_crps_h_low": float(low),
        "twin_ahead_of_cycles_crps_h_high": float(high), "people_where_twin_beats_cycles": int((ahead > 0).sum()),
        "run_seconds": seconds,
    }  # fmt: skip
    return summary


def _dataset(config: Config, scores: list[dict[str, Any]], white: np.ndarray, periods: np.ndarray, people: People) -> xr.Dataset:
    pairs = ("person", "forecaster")

    def table(get: Any) -> np.ndarray:
        return np.array([[get(one[name]) for name in FORECASTERS] for one in scores], float)

    return xr.Dataset(
        {
            "brier": (pairs, table(lambda one: one["brier"]), {"units": "1"}),
            "crps": (pairs, table(lambda one: one["crps"]), {"units": "h"}),
            "log_score": (pairs, table(lambda one: one["log_score"]), {"units": "1"}),
            "sensitivity": (pairs, table(lambda one: one["warnings"].sensitivity), {"units": "1"}),
            "time_in_warning": (pairs, table(lambda one: one["warnings"].time_in_warning), {"units": "1"}),
            "false_warnings": (pairs, table(lambda one: one["warnings"].false_per_hour), {"units": "1/h"}),
            "chance_sensitivity": (pairs, table(lambda one: one["warnings"].chance), {"units": "1"}),
            "p_chance": (pairs, table(lambda one: one["warnings"].p_value), {"units": "1"}),
            "p_shifted": (pairs, table(lambda one: one["surrogate"]), {"units": "1"}),
            "p_shifted_by_days": (pairs, table(lambda one: one["same_hour"]), {"units": "1"}),
            "sensitivity_curve": ((*pairs, "share"), np.array([[one[n]["curve"] for n in FORECASTERS] for one in scores]), {"units": "1"}),
            "held_out_seizures": ("person", np.array([float(one["events"]) for one in scores]), {"units": "1"}),
            "white_parameters": (("person", "parameter"), white, {"units": "1"}),
            "period_start": ("person", periods, {"units": "h"}),
            "true_period": ("person", people.parameters["period"], {"units": "h"}),
        },
        coords={"forecaster": list(FORECASTERS), "share": ("share", SHARES, {"units": "1"}), "parameter": list(NAMES)},
    )


if __name__ == "__main__":
    run_script(__spec__)
