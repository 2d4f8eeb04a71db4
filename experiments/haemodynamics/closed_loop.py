"""Closed loop: heart, systemic and pulmonary vessels, fitted to two pressures of a patient and forecasting beats it has not seen."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from physics.closed_loop import REGAZZONI_2022, LoopRun, closed_loop, filled, periodic_beat, regazzoni_values
from physics.loop_coronaries import SIDES, CoronaryBeat, coronary_beat, coronary_values, loop_with_coronaries
from twinsim.cli import run_script
from twinsim.closed_loop_twin import FITTED, PRIORS, loop_values, pressure_problem
from twinsim.data import locate
from twinsim.errors import InputError
from twinsim.experiment import Result
from twinsim.figure_style import BLUE, INK, SOFT, VERMILION, new_figure, quiet
from twinsim.inference import Draws, Problem, laplace, maximise, normal_draws
from twinsim.option_checks import check_options
from twinsim.pressure_record import PressureRecord, read_pressures
from twinsim.report import Report
from twinsim.workspace import Workspace

EDGE = 0.02
"""A fitted value within this part of its bounds is said to stand at one."""
WALL_MMHG, WAVE_MMHG = 5.0, 8.0
HIGH_PULMONARY_MMHG = 25.0
SYSTOLIC = 0.25
"""Part of its peak above which the left ventricle's pressure makes a systole."""
RANGES = {"learn": (0.1, 0.9), "steps": (50, 100_000), "iterations": (1, 10_000), "draws": (20, 100_000)}


@dataclass(frozen=True)
class Config:
    """Options of the closed loop."""

    subject: Literal["patient", "healthy"] = "patient"
    """`patient` fits a record; `healthy` runs the published values and needs no data."""
    record: Path | None = None
    """A WFDB record with an electrocardiogram and two pressures; default is MIMIC 041, which twinsim knows as `wfdb`."""
    lead: str = "III"
    """Channel whose R waves time the beats."""
    systemic: str = "ABP"
    """Channel of the arterial pressure, in mmHg."""
    pulmonary: str = "PAP"
    """Channel of the pulmonary arterial pressure, in mmHg."""
    learn: float = 0.5
    """First part of the record, which is fitted; the rest is forecast from the times of its R waves alone."""
    steps: int = 200
    """Steps per beat of what is reported (the fit takes 100)."""
    iterations: int = 80
    """Most steps of the fit."""
    coronaries: bool = False
    """Also run the beat with coronary beds that the loop's own ventricles squeeze, as a circuit; beds of a healthy adult at rest."""
    draws: int = 400
    """Draws of the posterior for the forecast."""
    seed: int = 0
    """Of the draws."""
    precision: Literal["float64"] = "float64"
    """Floating-point precision; Newton's method on the beat needs the digits."""


def run(config: Config, workspace: Workspace) -> Result:
    """Fits, forecasts and judges; then runs the beat that repeats itself and reads off it what a clinician would."""
    check_options(config, RANGES)
    if config.subject == "healthy":
        beat = _beat(regazzoni_values(), config.steps)
        beat.raise_for_status()
        report, summary = Report("Closed loop", "A healthy adult: the published values of Regazzoni 2022"), _read_off(beat)
        notes = _beat_notes(summary, published=True)
        _show_beat(report, beat)
        if config.coronaries:
            summary |= _coronaries(regazzoni_values(), config.steps, report, notes)
        for note in notes:
            report.warn(note)
        return Result(summary, report, _dataset(beat, None, None), notes=notes)
    if config.systemic == config.pulmonary:
        raise InputError(f"{config.systemic} as --systemic and as --pulmonary", "two pressures", "name the other channel")
    record = read_pressures(config.record or locate("wfdb") / "041s" / "041s01", config.lead, config.systemic, config.pulmonary)
    until = float(record.times[0] + config.learn * (record.times[-1] - record.times[0]))
    problem = pressure_problem(record, until)
    if not all(bool(one.mask.any()) for one in problem.series):
        raise InputError(f"a pressure all masked before {until:.2f} s", "samples to fit in both", "raise --learn or choose another stretch")
    workspace.message(f"{len(record.beats)} beats; fitting {len(PRIORS)} unknowns to the first {until:.2f} s")
    fit = workspace.stage("fit", lambda: _fit(problem, config))
    draws = normal_draws(
        problem, jnp.asarray(fit["mean"]), jnp.asarray(fit["covariance"]), config.draws, config.seed, "laplace", fit["converged"]
    )
    every = tuple(jnp.asarray(record.times) for _ in problem.series)
    drawn = draws.predict(problem, every, config.draws, config.seed)
    central = eqx.filter_jit(lambda p, z: p.predictions(z, every))(problem, jnp.asarray(fit["mean"]))
    values = {name: float(value) for name, value in problem.values(jnp.asarray(fit["mean"])).items()}
    beat = _beat(loop_values({k: jnp.asarray(v) for k, v in values.items()}, float(problem.record["period"])), config.steps)
    beat.raise_for_status()
    judged = _judged(record, until, central, drawn)
    read = _read_off(beat)
    notes = _notes(draws, fit, record, values) + _beat_notes(read, published=False)
    summary = _summary(judged, record, fit, values) | read
    report = Report(
        "Closed loop", f"Record {record.name}: fitted to {until:.1f} s, forecasting {record.times[-1] - until:.1f} s from R waves alone"
    )
    for note in notes:
        report.warn(note)
    report.figure(
        _waves(record, until, central, judged), "Measured and modelled pressures; 90 % bands.", "waves", alt="Two pressures over time"
    )
    _show_beat(report, beat)
    report.table(
        ["Parameter", "Unit", "Fitted", "90 %", "Bounds", "Spread over prior's"],
        [
            [p.name, p.unit, f"{values[p.name]:.4g}", "{:.4g} to {:.4g}".format(*draws.interval(p.name, 0.9)), _bounds(p.name), width]
            for p in PRIORS
            for width in [f"{draws.spread(p.name):.2f}"]
        ],
        "A spread near 1 says that the two pressures tell nothing of a parameter. Chamber volumes rest on the values that are not fitted.",
    )  # fmt: skip
    if config.coronaries:
        fitted = loop_values({k: jnp.asarray(v) for k, v in values.items()}, float(problem.record["period"]))
        summary |= _coronaries({name: float(value) for name, value in fitted.items()}, config.steps, report, notes)
    return Result(summary, report, _dataset(beat, record, judged), notes=notes)


def _fit(problem: Problem, config: Config) -> dict[str, Any]:
    @eqx.filter_jit
    def fitted(problem: Problem) -> tuple[Any, Any]:
        found = maximise(problem, steps=config.iterations, tolerance=1e-3)
        return found, laplace(problem, found.z, "gauss_newton")

    found, normal = fitted(problem)
    return {
        "mean": np.asarray(normal.mean),
        "covariance": np.asarray(normal.covariance),
        "converged": bool(found.converged & normal.proper),
        "steps": int(found.steps),
    }


def _beat(values: dict[str, Any], steps: int) -> LoopRun:
    @eqx.filter_jit
    def found(values: dict[str, Any]) -> LoopRun:
        loop = closed_loop(values)
        return periodic_beat(loop, filled(loop, values["blood_volume"]), values["period"], steps)

    return found({name: jnp.asarray(value, float) for name, value in values.items()})


def _read_off(beat: LoopRun) -> dict[str, Any]:
    """What is read off a beat; pressures in mmHg, averaged over time."""
    loop = closed_loop(regazzoni_values())
    found: dict[str, Any] = {}
    volumes, pressures = np.asarray(beat.volumes), np.asarray(beat.pressures)
    period = float(beat.times[-1] - beat.times[0])
    for side, name in (("left", "left_ventricle"), ("right", "right_ventricle")):
        column = volumes[:, loop.index(name)]
        found[f"{side}_ventricle_end_diastolic_volume_ml"] = column.max()
        found[f"{side}_ventricle_stroke_volume_ml"] = np.ptp(column)
        found[f"{side}_ventricle_ejection_fraction"] = np.ptp(column) / column.max()
    found["cardiac_output_l_per_min"] = found["left_ventricle_stroke_volume_ml"] * 60 / period / 1000
    for name in ("systemic_arteries", "pulmonary_arteries", "left_atrium", "right_atrium"):
        column = pressures[:, loop.index(name)]
        found[f"{name}_mean_mmhg"] = column[1:].mean()
        found |= {f"{name}_max_mmhg": column.max(), f"{name}_min_mmhg": column.min()} if "arteries" in name else {}
    opened = np.asarray(beat.flows)[:, loop.flows.index("aortic")] > 0
    found["aortic_valve_openings_per_beat_n"] = int((opened[1:] & ~opened[:-1]).sum())
    total = volumes.sum(1)
    found["heart_rate_per_min"] = 60 / period
    found["total_volume_drift_relative"] = float(np.ptp(total) / total[0])
    return {key: value if isinstance(value, int) else float(value) for key, value in found.items()}


def _beat_notes(read: dict[str, Any], published: bool) -> list[str]:
    """What a clinician would not believe of the beat; a high pulmonary pressure of a patient was measured."""
    notes = []
    if published and read["pulmonary_arteries_mean_mmhg"] > HIGH_PULMONARY_MMHG:
        notes.append(
            f"Mean pulmonary arterial pressure of {read['pulmonary_arteries_mean_mmhg']:.0f} mmHg: above {HIGH_PULMONARY_MMHG:g}, "
            "pulmonary hypertension in a person; here it is what the published values give."
        )
    if read["aortic_valve_openings_per_beat_n"] > 1:
        notes.append(
            "The aortic valve closes and opens again within a beat: inertia in the valve before arteries without impedance, not physiology."
        )
    return notes


def _coronaries(values: dict[str, Any], steps: int, report: Report, notes: list[str]) -> dict[str, float]:
    """Runs the beat with coronary beds, shows it, and reads off flow and its diastolic part."""
    circuit = loop_with_coronaries(values, coronary_values(), values["period"] / steps)
    beat = eqx.filter_jit(lambda circuit: coronary_beat(circuit, values, steps))(circuit)
    beat.raise_for_status()
    entering, ejected, pressure = np.asarray(beat.entering)[:, 1:], np.asarray(beat.ejected)[1:], np.asarray(beat.cavity)[0, 1:]
    systole = pressure > SYSTOLIC * pressure.max()
    means = entering.mean(axis=1) * 60
    found = {f"{side}_coronary_flow_ml_per_min": mean for side, mean in zip(SIDES, means)}
    ratios = [part[~systole].mean() / part[systole].mean() for part in entering]
    found |= {f"{side}_coronary_diastolic_over_systolic": ratio for side, ratio in zip(SIDES, ratios)}
    found["coronary_share_of_output"] = means.sum() / (60 * ejected.mean())
    report.figure(
        _coronary_course(beat),
        f"Flow into and out of the coronary beds over a beat: {means.sum():.0f} mL/min, "
        f"the left's {ratios[0]:.2f} times as large in diastole as in systole (left ventricle above a quarter of its peak).",
        "coronaries",
        alt="Coronary flows over a beat",
    )
    report.table(["Coronaries", "Value"], [[key, f"{value:.4g}"] for key, value in found.items()])
    notes.append("Coronary beds are those of a healthy adult at rest, without autoregulation; the circuit's valves have no inertia.")
    report.warn(notes[-1])
    return {key: float(value) for key, value in found.items()}


def _judged(record: PressureRecord, until: float, central: tuple, drawn: tuple) -> dict[str, dict[str, Any]]:
    """Errors and coverage per pressure and part, on samples that are not masked."""
    judged: dict[str, dict[str, Any]] = {}
    for name, measured, line, many in zip(("systemic", "pulmonary"), (record.systemic, record.pulmonary), central, drawn, strict=True):
        low, high = np.quantile(many, [0.05, 0.95], axis=0)
        one: dict[str, Any] = {"line": np.asarray(line), "low": low, "high": high}
        for part, chosen in (("fit", record.times < until), ("forecast", record.times >= until)):
            used = chosen & np.isfinite(measured)
            if not used.any():
                one |= {f"{part}_{key}": None for key in ("mean_error", "rms", "coverage90")}
                continue
            error = np.asarray(line)[used] - measured[used]
            inside = (low[used] <= measured[used]) & (measured[used] <= high[used])
            one |= {f"{part}_mean_error": error.mean(), f"{part}_rms": np.sqrt(np.mean(error**2)), f"{part}_coverage90": inside.mean()}
        judged[name] = one
    return judged


def _summary(judged: dict[str, dict[str, Any]], record: PressureRecord, fit: dict[str, Any], values: dict[str, float]) -> dict[str, Any]:
    summary: dict[str, Any] = {}
    for name, one in judged.items():
        for part in ("forecast", "fit"):
            summary[f"{name}_{part}_mean_error_mmhg"] = one[f"{part}_mean_error"]
            summary[f"{name}_{part}_rms_mmhg"] = one[f"{part}_rms"]
            summary[f"{name}_{part}_coverage90"] = one[f"{part}_coverage90"]
    summary |= {f"masked_{name.lower()}_fraction": part for name, part in record.masked.items()}
    units = {"mmHg s/mL": "mmhg_s_per_ml", "mL/mmHg": "ml_per_mmhg", "mmHg/mL": "mmhg_per_ml", "mL": "ml"}
    for name in FITTED:
        unit = units.get(REGAZZONI_2022[name].unit)
        if unit and ("arteries" in name or "active" in name or name == "blood_volume"):
            summary[f"{name}_{unit}"] = values[name]
    return summary | {"beats_n": len(record.beats), "fit_steps_n": fit["steps"], "fit_converged": fit["converged"]}


def _notes(draws: Draws, fit: dict[str, Any], record: PressureRecord, values: dict[str, float]) -> list[str]:
    notes = [
        f"{100 * part:.1f} % of {name} is masked: flat, not above zero, or missing." for name, part in record.masked.items() if part > 0
    ]
    if not fit["converged"]:
        notes.append(f"The fit did not meet its tolerance in {fit['steps']} steps; raise --iterations.")
    for prior in PRIORS:
        if prior.transform == "logit" and not EDGE < (values[prior.name] - prior.low) / (prior.high - prior.low) < 1 - EDGE:
            notes.append(f"{prior.name} = {values[prior.name]:.3g} {prior.unit} stands at a bound ({prior.low:g} to {prior.high:g}).")
    loose = [prior.name for prior in PRIORS if draws.spread(prior.name) > 0.7]
    if loose:
        notes.append(f"Hardly told by these pressures, so as assumed: {', '.join(loose)}.")
    return notes


def _bounds(name: str) -> str:
    prior = next(p for p in PRIORS if p.name == name)
    return f"{prior.low:g} to {prior.high:g}" if prior.transform == "logit" else "above 0"


def _show_beat(report: Report, beat: LoopRun) -> None:
    loop = closed_loop(regazzoni_values())
    report.figure(_loops(beat, loop.names), "Pressure against volume of the ventricles over one beat.", "loops", alt="Two loops")
    report.figure(_pressures(beat, loop.names), "Pressures over one beat that repeats itself.", "pressures", alt="Pressures over a beat")
    rows = [[key, f"{value:.4g}"] for key, value in _read_off(beat).items()]
    report.table(["Read off the beat", "Value"], rows)


def _loops(beat: LoopRun, names: tuple[str, ...]) -> Figure:
    figure = new_figure(3.6)
    for axes, name, colour in zip(figure.subplots(1, 2), ("left_ventricle", "right_ventricle"), (VERMILION, BLUE), strict=True):
        i = names.index(name)
        axes.plot(np.asarray(beat.volumes)[:, i], np.asarray(beat.pressures)[:, i], color=colour, linewidth=1.8)
        axes.set_title(name.replace("_", " "))
        axes.set_xlabel("volume (mL)")
        axes.set_ylabel("pressure (mmHg)")
        quiet(axes)
    return figure


def _pressures(beat: LoopRun, names: tuple[str, ...]) -> Figure:
    figure = new_figure(3.8)
    sides = (("left_ventricle", "systemic_arteries", "left_atrium"), ("right_ventricle", "pulmonary_arteries", "right_atrium"))
    for axes, side in zip(figure.subplots(1, 2), sides, strict=True):
        for name, colour in zip(side, (VERMILION, INK, BLUE), strict=True):
            axes.plot(
                np.asarray(beat.times),
                np.asarray(beat.pressures)[:, names.index(name)],
                color=colour,
                linewidth=1.5,
                label=name.replace("_", " "),
            )
        axes.set_xlabel("time from the R wave (s)")
        axes.set_ylabel("pressure (mmHg)")
        axes.legend(frameon=False, fontsize=8)
        quiet(axes)
    return figure


def _waves(record: PressureRecord, until: float, central: tuple, judged: dict[str, dict[str, Any]]) -> Figure:
    figure = new_figure(5.6)
    rows = figure.subplots(2, 1, sharex=True)
    for axes, name, measured in zip(rows, judged, (record.systemic, record.pulmonary), strict=True):
        one = judged[name]
        axes.fill_between(record.times, one["low"], one["high"], color=BLUE, alpha=0.18, linewidth=0, label="90 % band")
        axes.plot(record.times, measured, color=INK, linewidth=1.0, label="measured")
        axes.plot(record.times, one["line"], color=BLUE, linewidth=1.4, label="model")
        axes.axvline(until, color=SOFT, linewidth=1, linestyle=(0, (1, 2)))
        axes.plot(record.beats, np.full(len(record.beats), np.nanmin(measured) - 2), "|", color=VERMILION, label="R wave")
        axes.set_ylabel(f"{name} (mmHg)")
        quiet(axes)
        axes.legend(frameon=False, fontsize=8, ncol=4, loc="upper right")
    rows[-1].set_xlabel("time (s); what is right of the dotted line was not fitted")
    return figure


def _coronary_course(beat: CoronaryBeat) -> Figure:
    figure = new_figure(4.6)
    upper, lower = figure.subplots(2, 1, sharex=True)
    times = np.asarray(beat.times)
    for row, (side, colour) in enumerate(zip(SIDES, (VERMILION, BLUE), strict=True)):
        upper.plot(times, np.asarray(beat.entering)[row], color=colour, linewidth=1.6, label=f"into the {side}")
        upper.plot(times, np.asarray(beat.draining)[row], color=colour, linewidth=1.2, linestyle=(0, (4, 2)), label=f"out of the {side}")
        lower.plot(times, np.asarray(beat.cavity)[row], color=colour, linewidth=1.4, label=f"{side} ventricle")
    lower.plot(times, np.asarray(beat.aortic), color=INK, linewidth=1.4, label="root of the aorta")
    upper.set_ylabel("coronary flow (mL/s)")
    lower.set_ylabel("pressure (mmHg)")
    lower.set_xlabel("time from the R wave (s)")
    for axes in (upper, lower):
        axes.legend(frameon=False, fontsize=8, ncols=2)
        quiet(axes)
    return figure


def _dataset(beat: LoopRun, record: PressureRecord | None, judged: dict[str, dict[str, Any]] | None) -> xr.Dataset:
    loop = closed_loop(regazzoni_values())
    found: dict[str, Any] = {
        "volume": (("time", "compartment"), np.asarray(beat.volumes), {"units": "mL"}),
        "pressure": (("time", "compartment"), np.asarray(beat.pressures), {"units": "mmHg"}),
        "flow": (("time", "branch"), np.asarray(beat.flows), {"units": "mL/s"}),
    }
    coordinates: dict[str, Any] = {
        "time": ("time", np.asarray(beat.times), {"units": "s"}),
        "compartment": list(loop.names),
        "branch": list(loop.flows),
    }
    if record is not None and judged is not None:
        coordinates["sample"] = ("sample", record.times, {"units": "s"})
        for name, measured in (("systemic", record.systemic), ("pulmonary", record.pulmonary)):
            found[f"{name}_measured"] = ("sample", measured, {"units": "mmHg"})
            for key in ("line", "low", "high"):
                found[f"{name}_{key}"] = ("sample", judged[name][key], {"units": "mmHg"})
    return xr.Dataset(found, coords=coordinates)


if __name__ == "__main__":
    run_script(__spec__)
