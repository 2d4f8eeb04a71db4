"""PSA under intermittent androgen deprivation: forecasts of 60 real patients against persistence and their own earlier cycles."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from matplotlib.figure import Figure

from twinsim.cli import run_script
from twinsim.cohort import Cohort, Draws, Noise
from twinsim.errors import InputError
from twinsim.experiment import Result
from twinsim.figure_style import legend
from twinsim.option_checks import check_number, check_options
from twinsim.psa_forecast import (
    Score,
    area_under_curve,
    bootstrap_area,
    cycle,
    forecast,
    in_window,
    leave_one_out,
    persistence,
    psa_cohort,
    rising_on_therapy,
    score,
    widening_by_others,
)
from twinsim.psa_models import MODELS, PsaModel
from twinsim.psa_record import PsaRecord, numbered, read_cohort
from twinsim.psa_schedule import Option, compare_options, told_apart
from twinsim.report import Report
from twinsim.workspace import Workspace

FIRST_NOISE = 0.4
WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0)
RANGES = {
    "patient": (1, 1_000_000),
    "train_days": (1.0, 1e6),
    "horizon_days": (1.0, 1e4),
    "lasting_share": (0.0, 1.0),
    "lasting_days": (0.1, 1e4),
    "draws": (10, 10_000),
    "relapse_origins": (1, 1000),
    "patients": (0, 1_000_000),
}


@dataclass(frozen=True)
class Config:
    """Options of the forecast."""

    patient: int = 1
    """Number of the patient in the trial; not used with --cohort."""
    cohort: bool = False
    """Forecast every patient, each with the population prior of the others."""
    train_days: float = 730.0
    """Days of the record that the calibration sees."""
    horizon_days: float = 182.0
    """How far ahead to forecast, in days."""
    model: Literal["auto", "hirata", "hirata-washout", "portz"] = "auto"
    """Model; auto takes the one that forecasts the last horizon inside the training window best (with --cohort), else hirata-washout."""
    lasting_share: float = 0.7
    """Part of the noise's variance that lasts from reading to reading."""
    lasting_days: float = 90.0
    """For how long it lasts, in days."""
    draws: int = 40
    """Draws of the posterior per patient."""
    relapse_origins: int = 6
    """Origins, one horizon apart, whose forecasts of rising PSA are pooled (with --cohort)."""
    patients: int = 0
    """Use the first so many patients of the data set only; 0 uses all."""
    seed: int = 0
    """Seed of the draws."""
    precision: Literal["float32", "float64"] = "float64"
    """Floating-point precision."""


def run(config: Config, workspace: Workspace) -> Result:
    """Calibrates with a population prior, forecasts, and compares with what simple rules say."""
    check_options(config, RANGES)
    if config.patients == 1:
        raise InputError("--patients 1", "0 for all, or at least 2: the prior of a patient comes from the others", "choose at least 2")
    if config.cohort and config.horizon_days >= config.train_days:
        raise InputError(
            f"--horizon-days {config.horizon_days:g} with --train-days {config.train_days:g}",
            "a horizon shorter than the training window, in whose last horizon the model is chosen",
            "lower --horizon-days or raise --train-days",
        )
    records = read_cohort()
    check_number("--patients", config.patients, 0, len(records))
    if config.patients:
        records = records[: config.patients]
    if config.cohort:
        _check_windows(config, records)
        return _cohort(config, workspace, records)
    index = numbered(records, config.patient)
    last = float(records[index].days[np.isfinite(records[index].psa)][-1])
    if config.train_days >= last:
        raise InputError(
            got=f"--train-days {config.train_days:g} for patient {config.patient}",
            expected=f"less than {last:g}, the day of the last PSA of this record",
            do="lower --train-days",
        )
    return _patient(config, workspace, records, index)


def _check_windows(config: Config, records: list[PsaRecord]) -> None:
    """Refuses windows in which nothing was measured, before anything is calibrated."""
    for start in (config.train_days - config.horizon_days, config.train_days):
        end = start + config.horizon_days
        if not any((np.isfinite(one.psa) & (one.days > start) & (one.days <= end)).any() for one in records):
            raise InputError(
                f"no PSA from day {start:g} to {end:g} in {len(records)} records",
                "readings in the last horizon of the training window and in the one after it",
                "change --train-days, --horizon-days or --patients",
            )


def _noise(config: Config) -> Noise:
    return Noise(FIRST_NOISE, config.lasting_share, config.lasting_days)


def _at(cohort: Cohort, draws: Draws, origin: float, horizon: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    inside = in_window(cohort, origin, horizon)
    return cohort.values[inside], draws.curves[:, inside], draws.readings[:, inside]


def _cycles(records: list[PsaRecord], cohort: Cohort, origin: float, horizon: float) -> np.ndarray:
    """The cycle rule for all readings of the window."""
    inside = in_window(cohort, origin, horizon)
    return np.concatenate([cycle(record, origin, cohort.times[p, inside[p]]) for p, record in enumerate(records)])


def _stacked(
    forecasts: tuple[np.ndarray, np.ndarray, np.ndarray], rules: np.ndarray, weight: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draws moved so that their median is the weighted mean of the model's and of the cycle rule."""
    truth, curves, readings = forecasts
    move = (1 - weight) * (rules - np.median(curves, axis=0))
    return truth, curves + move, readings + move


def _baselines(records: list[PsaRecord], origin: float, horizon: float) -> tuple[float, float]:
    """Root mean squared errors of persistence and of the cycle rule."""
    errors: list[list[np.ndarray]] = [[], []]
    for record in records:
        inside = np.isfinite(record.psa) & (record.days > origin) & (record.days <= origin + horizon)
        for k, rule in enumerate((persistence, cycle)):
            errors[k].append(np.log(record.psa[inside]) - rule(record, origin, record.days[inside]))
    first, second = (float(np.sqrt(np.mean(np.concatenate(one) ** 2))) for one in errors)
    return first, second


def _cohort(config: Config, workspace: Workspace, records: list[PsaRecord]) -> Result:
    origin, horizon, inner = config.train_days, config.horizon_days, config.train_days - config.horizon_days
    names = list(MODELS) if config.model == "auto" else [config.model]
    found = {}
    for name in names:
        workspace.message(f"leave-one-out priors of {len(records)} patients: {MODELS[name].name}")
        found[name] = workspace.stage(f"model-{name}", lambda name=name: _one_model(config, records, name))
    chosen = min(names, key=lambda name: found[name]["inner"].rmse)
    best = found[chosen]
    scores: Score = best["outer"]
    still, cycles = _baselines(records, origin, horizon)
    who, happened, likely = best["relapse"]
    area = area_under_curve(happened, likely) if happened.size else None
    interval = bootstrap_area(who, happened, likely, config.seed) if area is not None else None
    summary = {
        "model": MODELS[chosen].name,
        "patients": len(records),
        "forecasts_n": scores.count,
        "rmse_log_psa": scores.rmse,
        "rmse_log_psa_persistence": still,
        "rmse_log_psa_cycle": cycles,
        "improvement_over_persistence_percent": 100 * (1 - scores.rmse / still),
        "rmse_log_psa_model_alone": best["alone"].rmse,
        "coverage90_model_alone": best["alone"].coverage90,
        "model_weight": best["weight"],
        "coverage90": scores.coverage90,
        "coverage90_unwidened": best["unwidened"].coverage90,
        "crps": scores.crps,
        "relapse_auc": area,
        "relapse_auc_ci90_low": None if interval is None else interval[0],
        "relapse_auc_ci90_high": None if interval is None else interval[1],
        "relapse_forecasts_n": int(happened.size),
        "relapse_events_n": int(happened.sum()),
        "interval_widening": best["widening"],
        "resistant_fraction_median": float(np.median(best["resistant"])),
        "train_days": origin,
        "horizon_days": horizon,
    }
    report = Report("PSA forecasts", f"{len(records)} patients, trained on {origin:g} days, {horizon:g} days ahead, leave one patient out")
    report.figure(_scatter(best["points"]), "Forecast against what was measured; on the line both agree.", "forecasts")
    report.figure(_gallery(records, best["gallery"], origin, horizon), "Six patients: 90 % band of readings, therapy shaded.", "patients")
    report.headline(
        [
            ("RMS error of log PSA", scores.rmse, "", f"persistence {still:.3f}, earlier cycles {cycles:.3f}"),
            ("Readings in the 90 % interval", 100 * scores.coverage90, "%"),
            ("Area for rising PSA on therapy", area, "", "" if interval is None else f"{interval[0]:.2f} to {interval[1]:.2f}"),
        ]
    )
    rows = [
        [
            MODELS[n].name,
            found[n]["inner"].rmse,
            found[n]["weight"],
            found[n]["alone"].rmse,
            found[n]["outer"].rmse,
            found[n]["outer"].coverage90,
            found[n]["outer"].crps,
        ]
        for n in names
    ]
    report.table(
        ["Model", "RMS error inside training", "Weight", "RMS error alone", "RMS error", "Coverage", "CRPS"],
        rows,
        f"Model and its weight beside the cycle rule are chosen on days {inner:g} to {origin:g}, in the training window. Intervals are "
        "widened for each patient by what the other patients' readings of the forecast window ask for.",
    )
    report.text(
        "A scenario forecast: the days on and off therapy of the window are given, to models and cycle rule alike. Doctors chose "
        "them after seeing PSA, so knowing them says something about it."
    )
    if area is None:
        report.warn("No area: all or none of the forecasts on therapy were of rising PSA.")
    return Result(summary, report)


def _one_model(config: Config, records: list[PsaRecord], name: str) -> dict:
    model, horizon, origin = MODELS[name], config.horizon_days, config.train_days
    cohort = psa_cohort(records, model)
    priors = leave_one_out(cohort, _noise(config), range(cohort.size))
    inner_origin = origin - horizon
    inside = _at(cohort, forecast(cohort, priors, inner_origin, config.draws, config.seed), inner_origin, horizon)
    rules = _cycles(records, cohort, inner_origin, horizon)
    weight = min(WEIGHTS, key=lambda w: score(*_stacked(inside, rules, w)).rmse)
    draws = forecast(cohort, priors, origin, config.draws, config.seed)
    outside = _at(cohort, draws, origin, horizon)
    stacked = _stacked(outside, _cycles(records, cohort, origin, horizon), weight)
    patient = np.nonzero(in_window(cohort, origin, horizon))[0]
    stretch = widening_by_others(patient, *stacked)
    events = []
    for k in range(config.relapse_origins):
        later = origin + k * horizon
        if not in_window(cohort, later, horizon).any():
            break
        pushed = draws if k == 0 else forecast(cohort, priors, later, max(config.draws // 2, 10), config.seed)
        events.append(rising_on_therapy(cohort, pushed.curves, later, horizon))
    at_origin = np.array([int(np.searchsorted(row, origin, side="right")) - 1 for row in cohort.times])
    resistant = _resistant(model, cohort, draws.points)[:, np.arange(cohort.size), at_origin]
    middle = np.median(draws.readings, axis=0)
    own = np.full((cohort.size, 1), np.median(stretch))
    own[patient, 0] = stretch  # the same for all readings of a patient
    band = middle + own * (np.quantile(draws.readings, [0.05, 0.95], axis=0) - middle)
    shown = range(0, cohort.size, max(1, cohort.size // 6))
    return {
        "inner": score(*_stacked(inside, rules, weight)),
        "alone": score(*outside, widening_by_others(patient, *outside)),
        "unwidened": score(*stacked),
        "outer": score(*stacked, stretch),
        "weight": weight,
        "widening": float(np.median(stretch)),
        "relapse": tuple(np.concatenate([one[k] for one in events]) for k in range(3)),
        "resistant": np.median(resistant, axis=0),
        "points": (stacked[0], np.median(stacked[1], axis=0)),
        "gallery": [(p, cohort.times[p], np.median(draws.curves, axis=0)[p], band[0, p], band[1, p]) for p in list(shown)[:6]],
    }


def _resistant(model: PsaModel, cohort: Cohort, points: np.ndarray) -> np.ndarray:
    other = Cohort(model.priors, model.resistant_fraction, cohort.records, cohort.times, cohort.values)
    return np.stack([other.predictions(one) for one in points])


def _patient(config: Config, workspace: Workspace, records: list[PsaRecord], index: int) -> Result:
    name = "hirata-washout" if config.model == "auto" else config.model
    model, record, origin, horizon = MODELS[name], records[index], config.train_days, config.horizon_days
    everybody = psa_cohort(records, model)
    prior = workspace.stage("prior", lambda: leave_one_out(everybody, _noise(config), [index])[0])
    cohort = psa_cohort([record], model)
    draws = forecast(cohort, [prior], origin, config.draws, config.seed)
    truth, curves, readings = _at(cohort, draws, origin, horizon)
    resistant = _resistant(model, cohort, draws.points)[:, 0, int(np.searchsorted(cohort.times[0], origin, side="right")) - 1]
    low, middle, high = (float(q) for q in np.quantile(resistant, [0.05, 0.5, 0.95]))
    options = compare_options(model, record, draws.points[:, 0], origin)
    summary = {
        "patient": config.patient,
        "model": model.name,
        "forecasts_n": int(truth.size),
        "resistant_fraction": middle,
        "resistant_fraction_ci90_low": low,
        "resistant_fraction_ci90_high": high,
        **_scenarios(options),
        "noise_log_psa": prior.noise.scale,
    }
    if truth.size:
        one = score(truth, curves, readings)
        still, cycles = _baselines([record], origin, horizon)
        summary |= {
            "rmse_log_psa": one.rmse,
            "rmse_log_psa_persistence": still,
            "rmse_log_psa_cycle": cycles,
            "coverage90": one.coverage90,
            "crps": one.crps,
        }
    band = np.quantile(draws.readings[:, 0], [0.05, 0.95], axis=0)
    latest = told_apart(options)
    said = "0 is continuous therapy" if latest else "not told apart by so many draws"
    report = Report(f"PSA of patient {config.patient}", f"{model.name}, trained on {origin:g} days, {horizon:g} days ahead")
    gallery = [(index, cohort.times[0], np.median(draws.curves, axis=0)[0], band[0], band[1])]
    report.figure(_gallery(records, gallery, origin, horizon), "90 % band of readings, therapy shaded.", "forecast")
    report.headline(
        [
            ("Resistant fraction", middle, "", f"{low:.2g} to {high:.2g}"),
            ("Pause with the latest progression in the model", latest.pause_days if latest else None, "days", said),
        ]
    )
    notes = ["Days to progression are scenarios of a model, without survival or side effects: no advice."]
    if latest is None:
        notes.append(f"No pause can be told from all others by {config.draws} draws: the order of their means is noise.")
    if not truth.size:
        notes.append("No PSA in the forecast window: nothing to compare with.")
    for note in notes:
        report.warn(note)
    rows = [[o.pause_days, o.mean_days, "{:.0f} ± {:.0f}".format(*o.later_than(options[0])), 100 * o.fraction_on] for o in options]
    report.table(
        ["Pause, days", "Mean days to progression", "Later than the first row, days (± standard error)", "Time on therapy, %"],
        rows,
        "Courses of 252 days; progression is PSA above 4 ng/mL after 84 days of a course; counted at 1092 days at the latest. No advice.",
    )
    return Result(summary, report, notes=notes)


def _scenarios(options: list[Option]) -> dict[str, float | None]:
    """Mean days to progression by pause, the standard error of the difference from continuous therapy, and a latest one if there is one."""
    latest, continuous = told_apart(options), next(option for option in options if option.pause_days == 0)
    found: dict[str, float | None] = {}
    for option in sorted(options, key=lambda one: one.pause_days):
        key = f"mean_days_to_progression_pause_{option.pause_days:g}_days"
        found[key] = option.mean_days
        if option is not continuous:
            found[f"{key}_later_than_continuous_standard_error"] = option.later_than(continuous)[1]
    return found | {"pause_days_with_latest_progression": latest.pause_days if latest else None}


def _scatter(points: tuple[np.ndarray, np.ndarray]) -> Figure:
    truth, guess = points
    figure = Figure(figsize=(6.0, 5.5), layout="constrained", dpi=150)
    axes = figure.subplots()
    axes.loglog(np.exp(truth), np.exp(guess), "o", color="#0072B2", markersize=3, alpha=0.6)
    ends = [0.01, float(np.exp(truth.max())) * 2]
    axes.plot(ends, ends, color="0.6", linewidth=1, label="forecast = measured")
    axes.legend(frameon=False)
    axes.set(xlabel="measured PSA, ng/mL", ylabel="forecast PSA, ng/mL")
    return figure


def _gallery(records: list[PsaRecord], gallery: list, origin: float, horizon: float) -> Figure:
    columns = min(3, len(gallery))
    rows = -(-len(gallery) // columns)
    figure = Figure(figsize=(4.0 * columns + (3 if columns == 1 else 0), 3.2 * rows), layout="constrained", dpi=120)
    handles: dict[str, Any] = {}
    for axes, (p, times, middle, low, high) in zip(np.atleast_1d(figure.subplots(rows, columns)).flat, gallery, strict=False):
        record = records[p]
        end = origin + horizon
        for k in np.flatnonzero(record.on[:-1] & (record.days[:-1] < end)):
            therapy = axes.axvspan(record.days[k], min(record.days[k + 1], end), color="#E69F00", alpha=0.12, linewidth=0)
            handles["therapy"] = therapy
        inside = times <= end
        handles["90 % band"] = axes.fill_between(
            times[inside], np.exp(low[inside]), np.exp(high[inside]), color="#0072B2", alpha=0.2, linewidth=0
        )
        (handles["median"],) = axes.plot(times[inside], np.exp(middle[inside]), color="#0072B2", linewidth=1)
        shown = record.days <= end
        (handles["reading"],) = axes.plot(record.days[shown], record.psa[shown], "k.", markersize=4)
        handles["end of training"] = axes.axvline(origin, color="0.4", linestyle=":")
        axes.set(yscale="log", title=f"patient {record.patient}", xlabel="day", ylabel="PSA, ng/mL")
    legend(figure, list(handles.values()), list(handles))
    return figure


if __name__ == "__main__":
    run_script(__spec__)
