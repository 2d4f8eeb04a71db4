"""Arteries that stiffen with age: systolic, diastolic and pulse pressure of a closed loop, people drawn, beside published pressures."""

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from physics.arterial_ageing import PUBLISHED_AGE
from twinsim.ageing_loop import (
    LEVERS,
    PRESSURES,
    PULSE,
    Subject,
    beat_of,
    compliance_at,
    drawn,
    elasticities,
    stiffened,
    youngest,
)
from twinsim.cli import run_script
from twinsim.errors import InputError
from twinsim.experiment import Result
from twinsim.figure_style import BLUE, CYCLE, INK, SOFT, VERMILION, new_figure, quiet
from twinsim.option_checks import check_options
from twinsim.report import Report
from twinsim.workspace import Workspace

RANGES = {"ages": (20.0, 80.0), "aortic_share": (0.0, 1.0), "contractility_spread": (0.0, 0.5), "draws": (20, 100_000)}
SLOPES = 48
"""People over whom slopes are averaged: a valve opens between two samples, so that the lowest sample of one beat moves with contractility
and heart rate in small teeth, whose slopes scatter round the slope of the whole."""
SOLVED = 1e-6
"""Part by which mean pressure and output may be off before a man counts as not found."""
TABLES = ("systolic_pressure", "diastolic_pressure", "pulse_pressure", "mean_pressure")


@dataclass(frozen=True)
class Config:
    """Options of ageing arteries."""

    ages: tuple[float, ...] = (25.0, 35.0, 45.0, 55.0, 65.0, 75.0)
    """Years; the first is where compliance, resistance and blood volume are fitted to published pressures and output."""
    aortic_share: float = 0.6
    """Part of the arteries' compliance that lies in the aorta and stiffens with it (Westerhof 2009: 0.6); 1 for all of it."""
    aorta: Literal["widens", "keeps"] = "widens"
    """Whether the aorta widens with age as published (Hickson 2010), which gives compliance back."""
    contractility_spread: float = 0.2
    """Standard deviation of the logarithm of the left ventricle's elastance between people; an assumption."""
    draws: int = 200
    """People drawn at each age."""
    seed: int = 0
    """Of the people."""
    precision: Literal["float64"] = "float64"
    """Floating-point precision; Newton's method on the beat needs the digits."""


class Age(NamedTuple):
    """What is computed at one age: arteries alone, everything that is published, mean slopes, people, and their pulse wave velocities."""

    alone: Subject
    whole: Subject
    slopes: Any
    people: Subject
    velocity: Any
    wave: Any


def run(config: Config, workspace: Workspace) -> Result:
    """Fits the youngest, ages the arteries alone and then the rest, draws people, and puts published pressures beside them."""
    check_options(config, RANGES)
    if len(config.ages) < 2 or any(b - a < 1 for a, b in zip(config.ages[:-1], config.ages[1:])):
        raise InputError(f"--ages {config.ages}", "at least two, rising by a year or more", "give them in order")
    first = jnp.asarray(config.ages[0])
    young = eqx.filter_jit(youngest)(first)
    _check(young, config.ages[0])
    compute = eqx.filter_jit(_age)
    found = []
    with workspace.progress(len(config.ages), "ages", "ages") as bar:
        for number, age in enumerate(config.ages):
            key = jax.random.fold_in(jax.random.key(config.seed), number)
            found.append(compute(young, first, jnp.asarray(age), config.aortic_share, float(config.aorta == "widens"),
                                 config.contractility_spread, key, config.draws))  # fmt: skip
            _check(found[-1].whole, age)
            bar.advance(1)
    people = [_kept(one.people) for one in found]
    lost = 1 - np.array([len(part) for part in people]) / config.draws
    summary = _summary(config, found, people, lost)
    notes = _notes(config, lost)
    title = f"{len(config.ages)} ages, {config.draws} people each; the aorta holds {100 * config.aortic_share:.0f} % of the compliance"
    report = Report("Ageing arteries", title)
    for note in notes:
        report.warn(note)
    _show(report, config, found, people, summary)
    return Result(summary, report, _dataset(config, found), notes=notes)


def _age(young: Subject, first: jax.Array, age: jax.Array, share: float, widens: float, spread: float, key: jax.Array, draws: int) -> Age:
    tables = PUBLISHED_AGE
    velocity, diameter = tables["pulse_wave_velocity"].at(age), tables["aortic_diameter"].at(age)
    compliance = compliance_at(young, first, velocity, diameter, jnp.asarray(share), jnp.asarray(widens))
    everyone, velocities = drawn(young, first, age, jnp.asarray(share), jnp.asarray(widens), jnp.asarray(spread), key, draws)
    whole, people = (jax.tree.map(lambda part, at=at: part[at], everyone) for at in (0, slice(1, None)))
    _, _, run = beat_of(whole.levers)
    wave = jnp.stack([run.times, run.pressures[:, run_index()]])
    slopes = jax.vmap(elasticities)(everyone.levers[:SLOPES]).mean(axis=0)
    return Age(stiffened(young, compliance), whole, slopes, people, velocities[1:], wave)


def run_index() -> int:
    """Row of the systemic arteries among the pressures of a beat."""
    from physics.closed_loop import CHAMBERS, VESSELS

    return (*CHAMBERS, *VESSELS).index("systemic_arteries")


def _key(age: float) -> str:
    return f"age_{age:g}".replace(".", "_")


def _check(subject: Subject, age: float) -> None:
    if int(subject.status) or not float(subject.missing) < SOLVED:
        raise InputError(
            f"no beat with the published pressure and output at {age:g} years", "one that the closed loop reaches", "choose other ages"
        )


def _kept(people: Subject) -> np.ndarray:
    """What is read of those that were found."""
    return np.asarray(people.read)[(np.asarray(people.status) == 0) & (np.asarray(people.missing) < SOLVED)]


def _summary(config: Config, found: list[Age], people: list[np.ndarray], lost: np.ndarray) -> dict[str, Any]:
    summary: dict[str, Any] = {}
    for age, one, drawn_here, missing in zip(config.ages, found, people, lost):
        key = _key(age)
        summary[f"{key}_compliance_ml_per_mmhg"] = float(one.whole.levers[0])
        summary[f"{key}_people_not_found_fraction"] = float(missing)
        for row, name in enumerate(PRESSURES):
            summary[f"{key}_{name}_mmhg"] = float(one.whole.read[row])
            summary[f"{key}_{name}_stiffness_alone_mmhg"] = float(one.alone.read[row])
            summary[f"{key}_{name}_people_mean_mmhg"] = float(drawn_here[:, row].mean()) if len(drawn_here) else None
            summary[f"{key}_{name}_people_spread_mmhg"] = float(drawn_here[:, row].std()) if len(drawn_here) else None
            table = PUBLISHED_AGE[TABLES[row]]
            summary[f"{key}_{name}_published_mmhg"] = float(table.at(age))
            summary[f"{key}_{name}_published_spread_mmhg"] = float(table.deviation(age))
        for column, lever in enumerate(LEVERS):
            summary[f"{key}_pulse_per_ten_percent_{lever}_mmhg"] = 0.1 * float(one.slopes[PULSE, column])
    first, last = _key(config.ages[0]), _key(config.ages[-1])
    for how in ("", "_stiffness_alone", "_published"):
        summary[f"pulse_rise{how}_mmhg"] = summary[f"{last}_pulse{how}_mmhg"] - summary[f"{first}_pulse{how}_mmhg"]
    return summary


def _notes(config: Config, lost: np.ndarray) -> list[str]:
    notes = [
        "Mean pressure, output and heart rate are published values that the loop is made to have; pulse pressure, and with it systolic and "
        "diastolic, are what follows. Arteries are one elastic volume here: no characteristic impedance and no reflected wave.",
        "People's properties are drawn independently of each other, as those of a population are not. Not for care.",
    ]
    if lost.max() > 0:
        notes.append(f"Up to {100 * lost.max():.1f} % of the people of an age were not found: no beat has their pressure and output.")
    return notes


def _show(report: Report, config: Config, found: list[Age], people: list[np.ndarray], summary: dict[str, Any]) -> None:
    ages = config.ages
    report.headline(
        [
            ("Pulse pressure, oldest", float(found[-1].whole.read[PULSE]), "mmHg"),
            ("of which published", float(PUBLISHED_AGE["pulse_pressure"].at(ages[-1])), "mmHg"),
            ("Rise by stiffness alone", summary["pulse_rise_stiffness_alone_mmhg"], "mmHg"),
            ("Rise published", summary["pulse_rise_published_mmhg"], "mmHg"),
        ]
    )
    report.figure(
        _by_age(config, found, people),
        "Bands: mean and standard deviation of people drawn; points: McEniery 2005, with theirs; dashed: arteries stiffen and nothing else "
        "changes.",
        "pressures",
        alt="Pressures by age",
    )
    report.figure(_waves(config, found), "The beat at every age.", "beats", alt="Pressure over a beat")
    rows = [
        [
            f"{age:g}",
            f"{float(one.whole.levers[0]):.2f}",
            *(f"{float(one.whole.read[row]):.0f}" for row in range(3)),
            f"{float(one.alone.read[PULSE]):.0f}",
            f"{here[:, PULSE].mean():.0f} ± {here[:, PULSE].std():.0f}" if len(here) else "none",
            f"{summary[_key(age) + '_pulse_published_mmhg']:.0f} ± {summary[_key(age) + '_pulse_published_spread_mmhg']:.0f}",
        ]
        for age, one, here in zip(ages, found, people)
    ]  # fmt: skip
    columns = ["Age", "Compliance (mL/mmHg)", "Systolic (mmHg)", "Diastolic", "Pulse", "Pulse, stiffness alone", "Pulse, people"]
    report.table([*columns, "Pulse, published"], rows, "Published: aortic, healthy men.")
    rows = [[f"{age:g}", *(f"{0.1 * float(slope):+.2f}" for slope in one.slopes[PULSE])] for age, one in zip(ages, found)]
    report.table(
        ["Age", *(lever.replace("_", " ") for lever in LEVERS)],
        rows,
        "Change of the pulse pressure (mmHg) per 10 % of each, mean of the exact slopes of people of that age.",
    )
    sources = [[name.replace("_", " "), table.unit, table.source] for name, table in PUBLISHED_AGE.items()]
    report.table(["Published", "Unit", "Source"], sources)


def _by_age(config: Config, found: list[Age], people: list[np.ndarray]) -> Figure:
    figure = new_figure(5.4)
    upper, lower = figure.subplots(2, 1, sharex=True)
    for axes, rows in ((upper, ((0, VERMILION), (1, BLUE))), (lower, ((PULSE, INK),))):
        for row, colour in rows:
            table = PUBLISHED_AGE[TABLES[row]]
            axes.plot(config.ages, [float(one.whole.read[row]) for one in found], color=colour, linewidth=1.8, label=PRESSURES[row])
            axes.plot(config.ages, [float(one.alone.read[row]) for one in found], color=colour, linewidth=1.2, linestyle=(0, (4, 2)))
            if all(len(here) for here in people):
                means, spreads = (np.array([part(here[:, row]) for here in people]) for part in (np.mean, np.std))
                axes.fill_between(config.ages, means - spreads, means + spreads, color=colour, alpha=0.15, linewidth=0)
            axes.errorbar(
                config.ages,
                [float(table.at(age)) for age in config.ages],
                [float(table.deviation(age)) for age in config.ages],
                fmt="o",
                color=colour,
                markersize=4.5,
                elinewidth=0.9,
            )
        quiet(axes)
        axes.legend(frameon=False, fontsize=8, loc="upper left")
    upper.set_ylabel("pressure (mmHg)")
    lower.set_ylabel("pulse pressure (mmHg)")
    lower.set_xlabel("age (years)")
    return figure


def _waves(config: Config, found: list[Age]) -> Figure:
    figure = new_figure(3.0)
    axes = figure.subplots()
    for colour, age, one in zip((*CYCLE, SOFT), config.ages, found):
        axes.plot(*np.asarray(one.wave), color=colour, linewidth=1.4, label=f"{age:g}")
    axes.set_xlabel("time (s)")
    axes.set_ylabel("arterial pressure (mmHg)")
    axes.legend(frameon=False, fontsize=8, title="age (years)")
    quiet(axes)
    return figure


def _dataset(config: Config, found: list[Age]) -> xr.Dataset:
    read, units = [*PRESSURES, "output"], "mmHg, output L/min"
    parts = {
        "stiffness_alone": (("age", "read"), np.stack([one.alone.read for one in found]), {"units": units}),
        "whole": (("age", "read"), np.stack([one.whole.read for one in found]), {"units": units}),
        "slope": (
            ("age", "read", "lever"),
            np.stack([one.slopes for one in found]),
            {"units": units, "long_name": "per unit of logarithm"},
        ),
        "people": (("age", "person", "read"), np.stack([one.people.read for one in found]), {"units": units}),
        "people_levers": (
            ("age", "person", "lever"),
            np.stack([one.people.levers for one in found]),
            {"units": "mL/mmHg, mmHg s/mL, mmHg/mL, mL, 1/min"},
        ),
        "people_velocity": (("age", "person"), np.stack([one.velocity for one in found]), {"units": "m/s"}),
        "wave_time": (("age", "sample"), np.stack([one.wave[0] for one in found]), {"units": "s"}),
        "wave": (("age", "sample"), np.stack([one.wave[1] for one in found]), {"units": "mmHg"}),
    }
    return xr.Dataset(parts, coords={"age": ("age", list(config.ages), {"units": "years"}), "read": read, "lever": list(LEVERS)})


if __name__ == "__main__":
    run_script(__spec__)
