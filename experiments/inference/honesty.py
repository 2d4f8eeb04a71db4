"""Checks of every estimator: simulation-based calibration, coverage, predictive check and conformal correction, each pass or fail."""

from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from solvers import Diffusion, VoxelGrid
from twinsim.cli import run_script
from twinsim.errors import InputError, near_misses
from twinsim.experiment import Result
from twinsim.figure_style import BLUE, SOFT, VERMILION, new_figure, quiet
from twinsim.inference import (
    SAMPLERS,
    Coverage,
    LogNormal,
    Normal,
    Problem,
    RankTest,
    conformal_widening,
    coverage,
    laplace_posterior,
    predictive_check,
    problems,
    series,
    simulation_based_calibration,
)
from twinsim.inference.population_sampling import JointDensity, joint_density
from twinsim.inference.samplers import population_sampler
from twinsim.option_checks import check_options
from twinsim.prior import Prior, Values
from twinsim.report import Report
from twinsim.workspace import Workspace

POPULATION = "population"
CASES = 400


@dataclass(frozen=True)
class Config:
    """Options of the checks."""

    replicates: int = 200
    """Simulated patients per estimator and problem."""
    estimators: tuple[Literal["laplace", "nuts", "tempered", "ensemble", "population"], ...] = ()
    """Which estimators, all where none is named: those of `twinsim.inference.NAME_posterior`, and population, the joint sampler
    (`sample_population`) of several patients."""
    problems: tuple[Literal["growth", "invasion"], ...] = ("growth", "invasion")
    """Logistic growth (an ordinary differential equation) and invasion of tissue (a partial one)."""
    seed: int = 0
    """Of everything random."""
    precision: Literal["float32", "float64"] = "float64"
    """Floating-point precision."""


def growth() -> Problem:
    """Logistic growth from a known start, $N = K/(1+(K-1)e^{-rt})$, read six times with 10 % error."""
    priors = (Prior("rate", "1/day", 0.5, 0.25, "log", "made up"), Prior("capacity", "1", 20.0, 0.25, "log", "made up"))

    def predict(values: Values, times: tuple[jax.Array, ...], record: None) -> tuple[jax.Array, ...]:
        del record
        return (values["capacity"] / (1 + (values["capacity"] - 1) * jnp.exp(-values["rate"] * times[0])),)

    times = np.array([1.0, 3.0, 5.0, 7.0, 10.0, 14.0])
    return Problem(priors, predict, (series(times, np.ones(6), LogNormal(0.1), "size"),))


def invasion() -> Problem:
    """Proliferation and invasion along a strip of tissue, $u_t = (Du_x)_x + \\rho u(1-u)$, mapped twice with normal error."""
    priors = (
        Prior("diffusivity", "mm2/day", 0.3, 0.3, "log", "made up"),
        Prior("proliferation", "1/day", 0.1, 0.25, "log", "made up"),
    )
    grid = VoxelGrid(np.ones((16, 1, 1), dtype=bool), (1.5, 1.5, 1.5))
    spread = Diffusion(grid, jnp.ones(grid.shape))
    start = jnp.exp(-0.5 * (1.5 * jnp.arange(16.0) / 2.0) ** 2)

    def predict(values: Values, times: tuple[jax.Array, ...], record: None) -> tuple[jax.Array, ...]:
        del times, record

        def advance(u: jax.Array, _: None) -> tuple[jax.Array, jax.Array]:
            u = u + values["diffusivity"] * spread.apply(u) + values["proliferation"] * u * (1 - u)  # one day
            return u, u

        _, states = jax.lax.scan(advance, start, None, length=20)
        return states[9, ::2], states[19, ::2]

    day = [series(np.full(8, t), np.zeros(8), Normal(0.05), f"map on day {t:.0f}") for t in (10.0, 20.0)]
    return Problem(priors, predict, tuple(day))


def population(of: Problem, patients: int = 3) -> JointDensity:
    """Several patients of one kind, with a spread among them."""
    return joint_density(problems([of] * patients))


def run(config: Config, workspace: Workspace) -> Result:
    """Runs every check and says of each whether it passed."""
    check_options(config, {"replicates": (20, 100_000)})  # fewer see nothing
    known = (*SAMPLERS, POPULATION)
    estimators = config.estimators or known
    if not config.problems:
        raise InputError("--problems without a name", "growth, invasion or both", "name at least one, or leave --problems out")
    for name in estimators:
        if name not in known:
            raise InputError(got=f"estimator {name!r}", expected=f"one of {', '.join(known)}", do=near_misses(name, known))
    of = {"growth": growth(), "invasion": invasion()}
    tests: dict[tuple[str, str], RankTest] = {}
    with workspace.progress(len(estimators) * len(config.problems), "ranking truths among draws", "checks") as bar:
        for which in config.problems:
            for estimator in estimators:
                subject = population(of[which]) if estimator == POPULATION else of[which]
                sampler = population_sampler if estimator == POPULATION else SAMPLERS[estimator]
                tests[estimator, which] = simulation_based_calibration(subject, sampler, config.replicates, config.seed)
                workspace.message(f"{estimator}, {which}: {tests[estimator, which].words}")
                bar.advance(1)
    summary: dict[str, float | int | str | None] = {"replicates": config.replicates}
    for (estimator, which), test in tests.items():
        summary[f"sbc_p_value_{estimator.replace(' ', '_')}_{which}"] = test.p_value
    curve, before, after, predictive = _forecasts(config.seed)
    passed = {f"calibration of {e}, {w}": test.passed for (e, w), test in tests.items()}
    passed |= {
        "coverage of forecasts": curve.passed,
        "conformal correction": abs(after - 0.9) < 0.05,
        "predictive check": 0.05 < predictive < 0.95,
    }
    summary |= {
        "coverage_worst_standard_errors": curve.worst,
        "coverage90_of_intervals_half_as_wide": before,
        "coverage90_after_conformal_correction": after,
        "predictive_p_value": predictive,
        "checks": len(passed),
        "checks_failed": sum(not ok for ok in passed.values()),
    }
    report = Report("Honesty of the estimators", f"{config.replicates} simulated patients per estimator and problem")
    report.figure(_ranks(tests, of), "Ranks of the truth among 99 draws, with the band that 99 % of right estimators stay in.", "ranks")
    report.figure(_coverage(curve), "Share of new readings inside forecast intervals; on the line the intervals are honest.", "coverage")
    words = {f"calibration of {e}, {w}": test.words for (e, w), test in tests.items()}
    rows = [[name, "passed" if ok else "FAILED", words.get(name, "")] for name, ok in passed.items()]
    report.table(["Check", "Verdict", "In words"], rows, "Calibration: uniform at the 1 % level over all parameters.")
    named = {f"{e.replace(' ', '_')}_{w}": test for (e, w), test in tests.items()}
    arrays = {f"ranks_{name}": (("replicate", f"parameter_{name}"), test.ranks, {"units": "1"}) for name, test in named.items()}
    return Result(summary, report, xr.Dataset(arrays))


def _forecasts(seed: int) -> tuple[Coverage, float, float, float]:
    """Coverage of forecasts of growth by the Laplace posterior, and conformal correction of intervals made too narrow on purpose.

    Returns:
        The coverage curve, the coverage of intervals half as wide as they should be, that after correction on other patients, and the
        predictive p-value of the largest reading of one patient.
    """
    of = growth()
    truth, draws = (np.asarray(one) for one in _one_step_ahead(jax.random.split(jax.random.key(seed + 1), CASES)))
    curve = coverage(truth, draws)
    low, high = np.quantile(draws, [0.05, 0.95], axis=1)
    quarter = (high - low) / 4
    low, high = np.log(low + quarter), np.log(high - quarter)
    half = CASES // 2
    wider = conformal_widening(low[:half], high[:half], np.log(truth[:half]), 0.9)
    inside = [float(((low[half:] - w <= np.log(truth[half:])) & (np.log(truth[half:]) <= high[half:] + w)).mean()) for w in (0.0, wider)]
    first, second = jax.random.split(jax.random.key(seed + 2))
    patient = of.simulated(first, of.prior_draws(second, 1)[0])
    predictive = predictive_check(patient, laplace_posterior(patient, seed), np.max)
    return curve, inside[0], inside[1], predictive


@jax.jit
def _one_step_ahead(keys: jax.Array) -> tuple[jax.Array, jax.Array]:
    """A reading on day 18 of every simulated patient, and predictive draws of it from the readings until day 14."""
    of, times = growth(), jnp.array([18.0])
    noise = of.series[0].likelihood

    def one(key: jax.Array) -> tuple[jax.Array, jax.Array]:
        a, b, c, d, e = jax.random.split(key, 5)
        z = of.prior_draws(a, 1)[0]
        truth = noise.sample(c, of.predictions(z, (times,))[0])[0]
        drawn = SAMPLERS["laplace"](of.simulated(b, z), d)
        keys = jax.random.split(e, len(drawn))
        return truth, jax.vmap(lambda one, k: noise.sample(k, of.predictions(one, (times,))[0])[0])(drawn, keys)

    return jax.lax.map(one, keys, batch_size=100)


def _ranks(tests: dict[tuple[str, str], RankTest], of: dict[str, Problem]) -> Figure:
    shown = list(tests.items())
    columns = min(5, len(shown))
    rows = -(-len(shown) // columns)
    figure = new_figure(0.6 + 1.9 * rows)
    panels = np.atleast_1d(figure.subplots(rows, columns, sharey=True)).ravel()
    for axes, ((estimator, which), test) in zip(panels, shown, strict=False):
        middles = (np.arange(test.bins) + 0.5) / test.bins
        names = [prior.name for prior in of[which].priors]
        for number, (count, colour) in enumerate(zip(test.counts, (BLUE, VERMILION, SOFT, "black"), strict=False)):
            name = names[number] if estimator != POPULATION else f"coordinate {number + 1}"
            axes.step(middles, count, where="mid", color=colour, linewidth=1.3, label=name)
        expected = len(test.ranks) / test.bins
        half = 2.58 * np.sqrt(expected * (1 - 1 / test.bins))
        axes.fill_between([0, 1], 2 * [max(expected - half, 0.0)], 2 * [expected + half], color="0.92", label="99 % band")
        axes.legend(fontsize=6, frameon=False)
        axes.set_title(f"{estimator}\n{which}, p = {test.p_value:.2f}", fontsize=8)
        quiet(axes)
    figure.supxlabel("rank of the truth among the draws")
    figure.supylabel("replicates")
    return figure


def _coverage(curve: Coverage) -> Figure:
    figure = new_figure(3.6, 4.2)
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color=SOFT, linewidth=1)
    error = 1.96 * np.sqrt(curve.levels * (1 - curve.levels) / curve.count)
    axes.errorbar(curve.levels, curve.found, error, fmt="o", color=BLUE, markersize=4)
    axes.set(xlabel="nominal probability", ylabel="share of truths inside")
    quiet(axes)
    return figure


if __name__ == "__main__":
    run_script(__spec__)
