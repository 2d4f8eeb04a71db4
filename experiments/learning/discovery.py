"""Laws found again from noisy, irregular courses: sparse terms, and universal equations, judged by where they were not seen."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np
import xarray as xr

from experiments.learning import _discovery_figures as figures
from experiments.learning._hidden_systems import SYSTEMS, HiddenSystem
from physics import AnalyticClosure, Variable
from twinsim.cli import run_script
from twinsim.closures import PerceptronClosure
from twinsim.discovery import (
    Course,
    SparseRegression,
    TermLibrary,
    UniversalLaw,
    choose_threshold,
    difference_rows,
    fit_universal,
    identify,
    identify_with_saturation,
    predicted,
    refine,
)
from twinsim.experiment import Result, finite_or_none
from twinsim.option_checks import check_options
from twinsim.report import Report
from twinsim.workspace import Workspace

METHODS = {
    "differences": "differences of data",
    "weak": "weak form",
    "solver": "refined in the solver",
    "universal": "known and network",
    "universal_terms": "terms of that network",
    "network": "network alone",
}
BY_TERMS = ("differences", "weak", "solver", "universal_terms")
RANGES = {"samples": (12, 10_000), "noise": (1e-6, 1.0), "steps": (10, 1_000_000), "seeds": (1, 100), "ahead": (0.1, 10.0)}


@dataclass(frozen=True)
class Config:
    """Options; all laws are known here and hidden from what looks for them."""

    system: Literal["all", "lotka_volterra", "van_der_pol", "tumour_immune"] = "all"
    """Which law; all three otherwise."""
    samples: int = 60
    """Per course, at irregular times; a system has three to six courses."""
    noise: float = 0.05
    """Standard deviation of noise, as part of each variable's own."""
    ahead: float = 1.5
    """How long courses are that are extrapolated to, as a multiple of the observed ones, from starts outside of what was seen."""
    steps: int = 400
    """Of training networks in the solver."""
    seeds: int = 1
    """Draws of times, noise and networks, each with all fits."""
    seed: int = 0
    """Of the first draw."""
    precision: Literal["float32", "float64"] = "float64"
    """Floating-point precision."""


@dataclass(frozen=True)
class Found:
    """What one method found from one draw.

    Attributes:
        courses: From the starts beyond what was seen, ``[starts, times, variables]``; NaN where the law ran away.
        equations: In words, where there are any.
        missed: Terms of the law that it lacks; None for networks.
        false: Terms that are not in the law.
        error: Largest relative error of the coefficients of the right terms.
    """

    courses: np.ndarray
    equations: tuple[str, ...] = ()
    missed: int | None = None
    false: int | None = None
    error: float | None = None


def run(config: Config, workspace: Workspace) -> Result:
    """Finds each law in six ways and extrapolates with all of them."""
    check_options(config, RANGES)
    systems = list(SYSTEMS.values()) if config.system == "all" else [SYSTEMS[config.system]]
    summary: dict[str, Any] = {"systems": len(systems), "seeds": config.seeds, "noise_percent": 100 * config.noise}
    everything: dict[str, list[dict[str, Found]]] = {}
    for system in systems:
        draws = []
        for seed in range(config.seed, config.seed + config.seeds):
            workspace.message(f"{system.name}, seed {seed}")
            draws.append(workspace.stage(f"{system.name}_{seed}", lambda system=system, seed=seed: _one_draw(config, system, seed)))
        everything[system.name] = draws
        summary |= _summary(config, system, draws)
    summary["laws_recovered_by_solver"] = sum(
        one["solver"].missed == 0 == one["solver"].false for draws in everything.values() for one in draws
    )
    summary["laws_recovered_by_differences"] = sum(
        one["differences"].missed == 0 == one["differences"].false for draws in everything.values() for one in draws
    )
    summary["laws"] = len(systems) * config.seeds
    return Result(summary, _report(config, systems, everything, summary), _dataset(config, systems[0], everything[systems[0].name][0]))


def _one_draw(config: Config, system: HiddenSystem, seed: int) -> dict[str, Found]:
    courses = system.observed(config.samples, config.noise, seed)
    states = tuple(Variable(name, unit) for name, unit in zip(system.variables, system.units, strict=True))
    rates = tuple(Variable(f"d{name}/dt", unit) for name, unit in zip(system.variables, system.units, strict=True))
    library = TermLibrary.polynomial(system.variables, system.degree, system.pairs, system.halves[0] if system.halves else 1.0)
    found: dict[str, Found] = {}
    plain = min(
        (identify(difference_rows(courses, one), one, states, rates) for one in _libraries(system, library)), key=lambda one: one.criterion
    ).closure
    weak = identify_with_saturation(courses, library, np.array(system.halves), system.width, states, rates).closure
    for name, law in (("differences", plain), ("weak", weak), ("solver", refine(weak, courses).closure)):
        found[name] = _judged(config, system, law, law, system.terms)
    found |= _universal(config, system, courses, library, states, seed)
    return {name: found[name] for name in METHODS}


def _libraries(system: HiddenSystem, library: TermLibrary) -> list[TermLibrary]:
    if not system.pairs:
        return [library]
    return [TermLibrary.polynomial(system.variables, system.degree, system.pairs, half) for half in system.halves]


def _universal(
    config: Config, system: HiddenSystem, courses: list[Course], library: TermLibrary, states: tuple[Variable, ...], seed: int
) -> dict[str, Found]:
    """The known part with a network, the terms read off that network, and a network alone."""
    seen = np.concatenate([course.values for course in courses]).T
    slopes = np.concatenate([np.diff(course.values, axis=0) / np.diff(course.times)[:, None] for course in courses]).T
    size = np.quantile(np.abs(slopes), 0.75, axis=1)
    signs = np.where(np.arange(seen.shape[1]) % 2 == 0, 1.0, -1.0)  # unknown terms are of the size of rates, of either sign
    into = np.array(system.into)
    known_matrix = _matrix(library, system.known)

    def known_law(matrix: Any, values: Any) -> Any:
        return jnp.tensordot(matrix, library(values), axes=1)

    rates = tuple(Variable(f"d{one.name}/dt", one.unit) for one in states)
    known = AnalyticClosure(law=known_law, parameters=jnp.asarray(known_matrix), inputs=states, outputs=rates)
    found = {}
    for name, part, where in (("universal", known, into), ("network", None, np.eye(len(states)))):
        terms = tuple(Variable(f"term_{k}", "1") for k in range(where.shape[1]))
        spread = np.abs(where.T) @ size
        closure = PerceptronClosure.create(
            seed, states, terms, samples=(jnp.asarray(seen), jnp.asarray(spread[:, None] * signs[None])), hidden=(16, 16)
        )
        fit = fit_universal(UniversalLaw(part, closure, jnp.asarray(where)), courses, config.steps)
        found[name] = Found(_beyond(config, system, fit.law))
        if part is not None:
            unknown = tuple(
                {key: value for key, value in terms.items() if key not in given}
                for terms, given in zip(system.terms, system.known, strict=True)
            )
            law = _read_off(system, fit.law, courses, library)
            whole = UniversalLaw(known, law, jnp.asarray(where))
            rows = tuple(unknown[int(np.flatnonzero(column)[0])] for column in where.T)
            found["universal_terms"] = _judged(config, system, whole, law, rows)
    return found


def _read_off(system: HiddenSystem, law: UniversalLaw, courses: list[Course], library: TermLibrary) -> SparseRegression:
    """Sparse terms of the trained network at the states that were seen, smoothed."""
    from twinsim.discovery.weak_form import smoothed

    nodes = [np.linspace(course.times[0], course.times[-1], 80) for course in courses]
    states = np.concatenate([smoothed(course, one) for course, one in zip(courses, nodes, strict=True)]).T
    says = np.asarray(law.unknown(jnp.asarray(states)))
    best, lowest = None, np.inf
    for one in _libraries(system, library):
        columns = np.asarray(one(jnp.asarray(states))).T
        # Errors of a network are smooth and alike at neighbouring states: thresholds as if one in twenty states were independent.
        fits = [choose_threshold(columns, output, (10.0, 20.0, 40.0), 1e-6, share=0.0) for output in says]
        criterion = sum(fit.criterion for fit in fits)
        if criterion < lowest:
            lowest = criterion
            best = SparseRegression(
                coefficients=jnp.asarray(np.array([fit.coefficients for fit in fits])),
                library=one,
                inputs=law.unknown.inputs,
                outputs=law.unknown.outputs,
                active=tuple(tuple(bool(inside) for inside in fit.kept) for fit in fits),
            )
    if best is None:
        raise ArithmeticError("got no finite criterion; expected one from a trained network; do: raise steps")
    return best


def _matrix(library: TermLibrary, terms: tuple[dict[str, float], ...]) -> np.ndarray:
    """Coefficients by the names of terms."""
    matrix = np.zeros((len(terms), len(library)))
    for row, named in enumerate(terms):
        for name, value in named.items():
            matrix[row, len(library.exponents) if name == "saturating" else library.column(name)] = value
    return matrix


def _judged(config: Config, system: HiddenSystem, whole: Any, law: SparseRegression, terms: tuple[dict[str, float], ...]) -> Found:
    true, found = _matrix(law.library, terms), np.asarray(law.coefficients)
    active = np.array(law.active)
    right = (true != 0) & active
    error = np.abs(found[right] / true[right] - 1).max(initial=0.0)
    if system.half is not None and right[:, len(law.library.exponents) :].any():
        error = max(error, abs(float(law.library.half[0]) / system.half - 1))
    missed, false = int(((true != 0) & ~active).sum()), int(((true == 0) & active).sum())
    return Found(_beyond(config, system, whole), law.equations, missed, false, float(error) if right.any() else None)


def _beyond(config: Config, system: HiddenSystem, law: Any) -> np.ndarray:
    times = _times(config, system)
    found = np.stack([predicted(law, np.array(start), times) for start in system.beyond])
    return np.where(np.isfinite(found) & (np.abs(found) < 1e5), found, np.nan)


def _times(config: Config, system: HiddenSystem) -> np.ndarray:
    return np.linspace(0.0, config.ahead * system.duration, 181)


def _truth(config: Config, system: HiddenSystem) -> np.ndarray:
    return np.stack([system.course(start, _times(config, system)) for start in system.beyond])


def _error(found: np.ndarray, truth: np.ndarray) -> float:
    """Root mean square error over the truth's standard deviation, at most one per point: worse is as bad as knowing nothing."""
    off = (found - truth) / truth.std(axis=(0, 1))
    return float(np.sqrt(np.minimum(np.where(np.isfinite(off), off**2, 1.0), 1.0).mean()))


def _mean(values: Iterable[float | None]) -> float:
    """Of those that are known; NaN where none is."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else math.nan


def _summary(config: Config, system: HiddenSystem, draws: list[dict[str, Found]]) -> dict[str, Any]:
    truth, numbers = _truth(config, system), {}
    for name in METHODS:
        errors = np.array([_error(one[name].courses, truth) for one in draws])
        numbers[f"{system.name}_extrapolation_error_{name}"] = float(errors.mean())
        if len(draws) > 1:
            numbers[f"{system.name}_extrapolation_error_{name}_sd"] = float(errors.std(ddof=1))
        if name in BY_TERMS:
            numbers[f"{system.name}_terms_missed_{name}"] = _mean(one[name].missed for one in draws)
            numbers[f"{system.name}_terms_false_{name}"] = _mean(one[name].false for one in draws)
            numbers[f"{system.name}_coefficient_error_percent_{name}"] = finite_or_none(100 * _mean(one[name].error for one in draws))
    return numbers


def _report(
    config: Config, systems: list[HiddenSystem], everything: dict[str, list[dict[str, Found]]], summary: dict[str, Any]
) -> Report:  # fmt: skip
    report = Report("Laws from data", f"{len(systems)} hidden laws, {config.samples} samples a course, {100 * config.noise:g} % noise")
    report.headline(
        [
            ("laws recovered term by term", f"{summary['laws_recovered_by_solver']} of {summary['laws']}", "", "refined in the solver"),
            ("the same by differences of data", f"{summary['laws_recovered_by_differences']} of {summary['laws']}", ""),
        ]
    )
    truths = {system.name: _truth(config, system) for system in systems}
    times = {system.name: _times(config, system) for system in systems}
    report.figure(
        figures.extrapolations(systems, everything, truths, times, METHODS),
        "Courses from starts outside of what was seen, with the true start given.", "extrapolation", alt="Courses over time",
    )  # fmt: skip
    errors = {system.name: {name: [_error(one[name].courses, truths[system.name]) for one in everything[system.name]] for name in METHODS}
              for system in systems}  # fmt: skip
    report.figure(figures.bars(errors, METHODS), "Error of extrapolation; 1 is no better than nothing.", "errors", alt="Errors by method")
    for system in systems:
        first = everything[system.name][0]
        rows = [[METHODS[name], line] for name in BY_TERMS for line in first[name].equations]
        report.table([f"{system.name}, seed {config.seed}", "found"], rows)
    rows = [[name, value if isinstance(value, str) else f"{value:.4g}"] for name, value in summary.items() if value is not None]
    report.table(["Quantity", "Value"], rows)
    return report


def _dataset(config: Config, system: HiddenSystem, draw: dict[str, Found]) -> xr.Dataset:
    one = {"units": "1"}
    return xr.Dataset(
        {
            "truth": (("start", "time", "variable"), _truth(config, system), one),
            "found": (("method", "start", "time", "variable"), np.stack([draw[name].courses for name in METHODS]), one),
        },
        coords={"time": ("time", _times(config, system), one), "variable": list(system.variables), "method": list(METHODS)},
        attrs={"system": system.name},
    )


if __name__ == "__main__":
    run_script(__spec__)
