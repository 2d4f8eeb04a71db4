"""The report of a glioma twin: pictures first, then numbers."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from twinsim.figure_style import pretty
from twinsim.figures import Arm, Measurements, Overlay, ParameterInterval, arms_curve, forecast_curve, orthogonal_slices, parameter_forest
from twinsim.forecast import Ensemble, Forecast
from twinsim.glioma import GliomaTwin
from twinsim.glioma_region import box_of
from twinsim.posterior import Posterior
from twinsim.report import Report
from twinsim.virtual_patient import Truth

SHOWN = (
    "diffusivity_white",
    "proliferation",
    "radiosensitivity",
    "drug_sensitivity",
    "initial_burden",
    "growth_time",
    "threshold_core",
    "threshold_oedema",
)


@dataclass(frozen=True)
class Findings:
    """What an experiment found, ready to be shown.

    Attributes:
        twin: The calibrated twin.
        density: Density at the last scan at the maximum a posteriori, on the twin's region.
        members: The posterior at the last scan and how it came there.
        forecast: Under the treatment in the patient's file.
        arms: All courses compared, best first.
        warnings: Sentences.
        truth: Of a virtual patient.
    """

    twin: GliomaTwin
    density: np.ndarray
    members: Ensemble
    forecast: Forecast
    arms: Sequence[Forecast]
    warnings: Sequence[str]
    truth: Truth | None = None


def glioma_report(findings: Findings) -> Report:
    """Builds the report."""
    twin, forecast = findings.twin, findings.forecast
    posterior = twin.calibrated
    horizon = forecast.days[-1] - forecast.days[0]
    report = Report("Glioma twin", f"{twin.record.name}: {len(twin.record.scans)} scan(s), forecast {horizon:.0f} days past the last")
    report.figure(
        _slices(findings), *_slices_text(horizon, _levels(findings)), alt="Three orthogonal slices of the brain with the forecast tumour"
    )
    _headline(report, findings, posterior)
    for warning in findings.warnings:
        report.warn(warning)
    report.figure(
        _forecast_curve(findings),
        "Visible volume (density above the oedema threshold) from the first scan on, under the treatment in the patient's file. Bands hold "
        "50 and 90 % of the posterior.",
        "forecast",
    )
    if len(findings.arms) > 1:
        _treatments(report, findings)
    report.heading("Parameters")
    unused = set() if twin.record.chemotherapy.days else {"drug_sensitivity"}
    report.figure(
        parameter_forest([_interval(posterior, name, findings.truth) for name in SHOWN if name not in unused]),
        "Prior and posterior, 90 % intervals. Grey: the scans add nothing to the prior.",
        "parameters",
    )
    report.table(
        *_parameter_table(posterior, findings.truth, unused),
        "Median of the prior, maximum a posteriori, and 90 % intervals. Within the model: a value that only this model has (a round "
        "seed, a threshold of imaging), no biology. Seed positions count from the centre of the first scan's lesion.",
    )
    report.text(
        "Radiotherapy by the linear-quadratic model (tumour alpha/beta 10 Gy), drug by one-compartment kinetics with log-kill, growth by "
        "the proliferation-invasion model. Mass effect, necrosis, resistance and oedema without cells are not modelled."
    )
    return report


_ARMS_CAPTION = (
    "Smallest burden at the horizon first, median and 90 % interval. Gain: expected factor by which the course shrinks the burden against "
    "the next one in the table, with its 90 % interval over the posterior. Late effect: BED for brain tissue at alpha/beta 2 Gy of the "
    "fractions to come; where it differs, courses do not cost the same. The optimised schedule keeps the days and the late effect of 60 Gy "
    "in 30: equal fractions give the most dose for a late effect, so only regrowth between them leaves something to gain."
)


def _treatments(report: Report, findings: Findings) -> None:
    """Curves, ranking and fractions of the courses compared."""
    days = findings.forecast.days
    report.heading("Treatments compared")
    report.figure(
        arms_curve(
            days,
            {arm.course.name: Arm(np.median(arm.burden_mm3[1:], 0), {0.9: arm.interval(arm.burden_mm3, 0.9)}) for arm in findings.arms},
            forecast_from=float(days[0]),
            quantity="tumour burden",
            unit="mm³ at capacity",
            logarithmic=True,
        ),
        "All tumour cells, seen or not, as a volume at carrying capacity; median and 90 % band per course.",
        "treatments",
    )
    report.table(*_arms_table(findings.arms), caption=_ARMS_CAPTION)
    rows = [[arm.course.name, f"{sum(dose for _, dose in arm.course.fractions):.1f}", _fractions_text(arm)] for arm in findings.arms]
    report.table(["Course", "Total (Gy)", "Fractions from here on: day and dose (Gy)"], rows, "Days on the clock of the patient's file.")


def _fractions_text(arm: Forecast) -> str:
    """Fractions one after another, runs of equal doses as one."""
    runs: list[tuple[list[float], float]] = []
    for day, dose in arm.course.fractions:
        if runs and abs(runs[-1][1] - dose) < 5e-3:
            runs[-1][0].append(day)
        else:
            runs.append(([day], dose))
    texts = [
        f"{days[0]:g}: {dose:.2f}" if len(days) == 1 else f"{days[0]:g} to {days[-1]:g}: {len(days)} x {dose:.2f}" for days, dose in runs
    ]
    return "; ".join(texts) or "none"


def _levels(findings: Findings) -> tuple[float, ...]:
    """Fitted thresholds that the density of some voxel reaches."""
    posterior, top = findings.twin.calibrated, float(findings.density.max())
    return tuple(level for name in ("threshold_oedema", "threshold_core") if (level := round(posterior.value(name), 2)) < top)


def _slices_text(horizon: float, levels: Sequence[float]) -> tuple[str, str]:
    contours = f" (contours at the fitted thresholds, {' and '.join(f'{level:.0%}' for level in levels)} of capacity)" if levels else ""
    caption = (
        f"Chance that tumour is visible {horizon:.0f} days after the last scan (colour), the abnormal region that the last scan saw "
        f"(outline) and the density fitted to it{contours}."
    )
    return caption, "slices"


def _slices(findings: Findings):  # noqa: ANN202 (a matplotlib figure; importing it here would slow every start)
    twin = findings.twin
    last = twin.record.scans[-1]
    overlays = [Overlay(findings.forecast.probability, "chance of visible tumour", "1", "heat", floor=0.02, limits=(0.0, 1.0))]
    if levels := _levels(findings):
        overlays.append(Overlay(findings.density, "fitted density", "of capacity", "contour", levels=levels))
    box = box_of(twin.record.anatomy, twin.anatomy)
    seen = last.oedema if last.oedema is not None else last.enhancing_core
    if seen is not None:
        overlays.append(Overlay(seen[box].astype(np.float32), "seen at the last scan", "1", "mask"))
    density = findings.density
    index = np.unravel_index(int(np.argmax(density)), density.shape)
    background = twin.anatomy.background
    return orthogonal_slices(background, twin.anatomy.spacing_mm, overlays, index=[int(i) for i in index], affine=twin.anatomy.affine)


def _headline(report: Report, findings: Findings, posterior: Posterior) -> None:
    entries = []
    for name, title, unit in (
        ("diffusivity_white", "Diffusivity, white matter", "mm²/day"),
        ("proliferation", "Proliferation", "1/day"),
        ("radiosensitivity", "Radiosensitivity", "1/Gy"),
    ):
        low, high = posterior.interval(name, 0.9)
        note = f"90 %: {low:.3g} to {high:.3g}"
        if findings.truth is not None:
            note += f"; truth {findings.truth.values[name]:.3g}"
        entries.append((title, float(f"{posterior.value(name):.3g}"), unit, note))
    volumes = findings.forecast.volume_mm3[:, -1] / 1000
    low, high = np.quantile(volumes[1:], [0.05, 0.95])
    note = f"90 %: {low:.1f} to {high:.1f}"
    if findings.truth is not None:
        note += f"; truth {findings.truth.forecast_volume_mm3 / 1000:.1f}"
    entries.append(("Forecast volume", float(f"{np.median(volumes[1:]):.3g}"), "cm³", note))
    if len(findings.arms) > 1:
        entries.append(
            ("Smallest burden", findings.arms[0].course.name, "", f"late effect {findings.arms[0].course.late_effect_gy:.0f} Gy")
        )
    report.headline(entries)


def _forecast_curve(findings: Findings):  # noqa: ANN202 (as above)
    twin, forecast = findings.twin, findings.forecast
    voxel = twin.anatomy.voxel_volume_mm3
    seen = [(scan.day, float(scan.oedema.sum()) * voxel) for scan in twin.record.scans if scan.oedema is not None]
    treatments = {
        "radiotherapy": [fraction.day for fraction in twin.record.radiotherapy.fractions],
        "chemotherapy": list(twin.record.chemotherapy.days),
    }
    days = np.concatenate([findings.members.history_days, forecast.days[1:]])
    volume = np.concatenate([findings.members.history_mm3, forecast.volume_mm3[:, 1:]], axis=1)
    return forecast_curve(
        days,
        np.median(volume[1:], axis=0),
        {level: forecast.interval(volume, level) for level in (0.5, 0.9)},
        truth=None if findings.truth is None else np.interp(days, findings.truth.days, findings.truth.volume_mm3, left=np.nan),
        observations=Measurements([day for day, _ in seen], [volume for _, volume in seen]) if seen else None,
        treatments={name: days for name, days in treatments.items() if days} or None,
        forecast_from=float(forecast.days[0]),
        quantity="visible volume",
        unit="mm³",
    )


def _arms_table(arms: Sequence[Forecast]) -> tuple[list[str], list[list[object]]]:
    columns = ["Course", "Burden at horizon (mm³)", "90 % interval", "Gain on the next", "90 % interval", "Late effect (Gy)"]
    rows: list[list[object]] = []
    for number, arm in enumerate(arms):
        burden = arm.burden_mm3[1:, -1]
        low, high = np.quantile(burden, [0.05, 0.95])
        gain, interval = "", ""
        if number + 1 < len(arms):
            mean, lowest, highest = arm.gain_over(arms[number + 1])
            gain, interval = f"{mean:.3g} x", f"{lowest:.3g} to {highest:.3g}"
        late = f"{arm.course.late_effect_gy:.1f}"
        rows.append([arm.course.name, f"{np.median(burden):.3g}", f"{low:.3g} to {high:.3g}", gain, interval, late])
    return columns, rows


def _interval(posterior: Posterior, name: str, truth: Truth | None) -> ParameterInterval:
    prior = next(p for p in posterior.priors if p.name == name)
    prior_low, prior_high = prior.interval(0.9)
    low, high = posterior.interval(name, 0.9)
    return ParameterInterval(
        name.replace("_", " "),
        pretty(prior.unit),
        (prior_low, prior.median, prior_high),
        (low, posterior.value(name), high),
        truth=None if truth is None else float(truth.values[name]),
        logarithmic=prior.transform == "log",
        identifiable=posterior.identifiability(name) != "prior only",
    )


def _parameter_table(posterior: Posterior, truth: Truth | None, unused: set[str]) -> tuple[list[str], list[list[object]]]:
    columns = ["Parameter", "Unit", "Prior", "90 % of prior", "Posterior", "90 % of posterior", "Data say", "Source of the prior"]
    if truth is not None:
        columns.insert(6, "Truth")
    rows: list[list[object]] = []
    for prior in posterior.priors:
        if prior.name in unused:
            continue
        intervals = [prior.interval(0.9), posterior.interval(prior.name, 0.9)]
        texts = [f"{low:.3g} to {high:.3g}" for low, high in intervals]
        row: list[object] = [prior.name.replace("_", " "), pretty(prior.unit), f"{prior.median:.3g}", texts[0]]
        row += [f"{posterior.value(prior.name):.3g}", texts[1]]
        if truth is not None:
            row.append(f"{truth.values[prior.name]:.3g}" if prior.name in truth.values else "")
        said = posterior.identifiability(prior.name)
        if prior.convention and said != "prior only":
            said += ", within the model"
        rows.append([*row, said, prior.source])
    return columns, rows
