"""Neural operators on Gray-Scott patterns and activation times, beside the classical solver that makes the same error."""

from dataclasses import dataclass
from time import perf_counter
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from experiments.learning._operator_data import PROBLEMS, OperatorProblem
from experiments.learning._operator_figures import cost, fields, rollouts
from solvers import Status
from twinsim.cli import run_script
from twinsim.closures import OperatorClosure, train
from twinsim.errors import InputError
from twinsim.experiment import Result, finite_or_none
from twinsim.machine import best
from twinsim.option_checks import check_options
from twinsim.report import Report
from twinsim.workspace import Workspace

RANGES = {
    "seeds": (1, 20),
    "samples": (8, 100_000),
    "tests": (2, 10_000),
    "voxels": (8, 128),
    "iterations": (1, 1_000_000),
    "batch": (1, 1000),
    "learning_rate": (1e-6, 1.0),
    "channels": (1, 256),
    "layers": (1, 10),
    "modes": (1, 64),
    "rank": (1, 1024),
    "repeats": (1, 1000),
}


@dataclass(frozen=True)
class Config:
    """Options of the operators."""

    problems: tuple[Literal["gray_scott", "activation"], ...] = ("gray_scott", "activation")
    """What is learned: 50 units of time of the Gray-Scott equations between walls, or activation times of a sheet from its speeds."""
    networks: tuple[Literal["cosine", "deep"], ...] = ("cosine", "deep")
    """Fourier's neural operator with cosines, and DeepONet."""
    seeds: int = 3
    """Trainings from different weights and batches."""
    samples: int = 120
    """To learn from."""
    tests: int = 20
    """To be judged on; ten rollouts of Gray-Scott come on top."""
    voxels: int = 32
    """Edge of the fields; the truth is made on twice as many."""
    iterations: int = 250
    """Of the optimiser, per training."""
    batch: int = 8
    """Samples per iteration."""
    learning_rate: float = 4e-3
    """At the beginning."""
    channels: int = 12
    """Of the cosine operator; a DeepONet has ten times as many units."""
    layers: int = 3
    """Of either."""
    modes: int = 10
    """Of the cosine operator, per axis; a DeepONet has 8 sensors per axis."""
    rank: int = 48
    """Products of a DeepONet."""
    repeats: int = 20
    """Timed runs of each program, of which the fastest counts."""
    seed: int = 0
    """Of data, weights and batches."""
    precision: Literal["float32"] = "float32"
    """Floating-point precision."""


def run(config: Config, workspace: Workspace) -> Result:
    """Makes the data with the classical solver, trains, and looks for the classical solver that errs as much."""
    check_options(config, RANGES)
    if not config.problems or not config.networks or config.modes > config.voxels or config.voxels % 8:
        got = f"{len(config.problems)} problems, {len(config.networks)} networks, {config.modes} modes on {config.voxels} voxels"
        raise InputError(got, "at least one of each, voxels in eights and no more modes than voxels", "change the options")
    summary: dict[str, Any] = {"seeds": config.seeds}
    report = Report("Neural operators beside solvers", f"{config.samples} samples to learn from, {config.seeds} trainings each")
    arrays: dict[str, Any] = {}
    notes: list[str] = []
    for name in config.problems:
        _one(config, workspace, PROBLEMS[name], summary, report, arrays, notes)
    return Result(summary, report, xr.Dataset(arrays), notes=notes)


def _one(
    config: Config,
    workspace: Workspace,
    problem: OperatorProblem,
    summary: dict[str, Any],
    report: Report,
    arrays: dict[str, Any],
    notes: list[str],
) -> None:
    """One problem: everything that is said of it."""
    name = problem.name
    data = workspace.stage(f"data-{name}", lambda: problem.data(config.seed, config.samples, config.voxels))
    tests = workspace.stage(f"tests-{name}", lambda: problem.data(config.seed + 1_000_000, config.tests, config.voxels))
    classical = problem.classical(config.seed + 1_000_000, config.tests, config.voxels)
    schemes: list[tuple[str, float, float]] = []
    for scheme in classical:
        seconds = _fastest(scheme.program, scheme.example, config.repeats)
        schemes.append((scheme.name, problem.error(scheme.found, tests.after), seconds))
        summary[f"{name}_error_{scheme.name.replace(' ', '_')}_relative"] = finite_or_none(schemes[-1][1])
        summary[f"{name}_time_{scheme.name.replace(' ', '_')}_seconds"] = seconds
    still = problem.error(np.broadcast_to(problem.guess(data), tests.after.shape), tests.after)
    summary[f"{name}_error_of_the_best_constant_relative"] = finite_or_none(still)

    learned: list[tuple[str, float, float]] = []
    shown: dict[str, np.ndarray] = {}
    models: dict[str, OperatorClosure] = {}
    for network in config.networks:
        errors, took = [], []
        for number in range(config.seeds):
            blank = _untrained(config, problem, network, config.seed + number, data)

            def one(blank: OperatorClosure = blank, number: int = number) -> tuple[list[np.ndarray], float]:
                return _trained(config, blank, data, config.seed + number)

            leaves, seconds = workspace.stage(f"{name}-{network}-{number}", one)
            own, rest = eqx.partition(blank, eqx.is_array)
            model = eqx.combine(jax.tree.unflatten(jax.tree.structure(own), [jnp.asarray(leaf) for leaf in leaves]), rest)
            found = np.asarray(_applied(model, jnp.asarray(tests.before)))
            errors.append(problem.error(found, tests.after))
            took.append(seconds)
            if number == 0:
                shown[network], models[network] = found[0], model
            workspace.message(f"{name}, {network}, seed {number}: error {errors[-1]:.3g}, trained in {seconds:.0f} s")
        seconds = _fastest(_applied, (models[network], jnp.asarray(tests.before[:1])), config.repeats)
        error = float(np.mean(errors))
        learned.append((network, error, seconds))
        key = f"{name}_{network}"
        summary |= {
            f"{key}_error_relative": finite_or_none(error),
            f"{key}_error_spread_relative": finite_or_none(np.std(errors, ddof=1)) if len(errors) > 1 else None,
            f"{key}_training_seconds": float(np.mean(took)),
            f"{key}_time_seconds": seconds,
        }
        as_good = [scheme for scheme in schemes if scheme[1] <= error]
        equal = min(as_good, key=lambda scheme: scheme[2]) if as_good else None
        summary[f"{key}_solver_of_equal_error"] = equal[0] if equal else None
        summary[f"{key}_faster_than_solver_of_equal_error"] = equal[2] / seconds if equal else None
        if equal:
            solver, network_words = f"{equal[0]} errs by {equal[1]:.2g}", f"{network} by {error:.2g}"
            notes.append(f"{name}: {solver} in {1e3 * equal[2]:.2g} ms, {network_words} in {1e3 * seconds:.2g} ms")
        arrays[f"{key}_error"] = (("seed",), np.array(errors), {"units": "1"})
        if network == "cosine":
            double = problem.data(config.seed + 1_000_000, min(config.tests, 8), 2 * config.voxels)
            finer = np.asarray(_applied(models[network], jnp.asarray(double.before)))
            summary[f"{key}_error_on_twice_the_voxels_relative"] = finite_or_none(problem.error(finer, double.after))
        workspace.message(f"{key}: error {error:.3g}")
    rows = [[*row, ""] for row in schemes] + [[n, e, s, summary[f"{name}_{n}_training_seconds"]] for n, e, s in learned]
    report.heading(problem.title)
    report.table(["Method", "Relative error", "Seconds", "Training (s)"], rows, "One field; errors are means over unseen fields.")
    report.figure(fields(problem, tests, shown), "An unseen field, its truth, and what the networks make of it.", f"{name}-fields")
    report.figure(cost(schemes, learned), "Error and time of one field.", f"{name}-cost")
    if problem.rolls:
        truth = problem.rollout(config.seed + 2_000_000, 10, config.voxels)
        curves = {network: _rolled(problem, model, truth) for network, model in models.items()}
        for network, curve in curves.items():
            summary[f"{name}_{network}_error_after_{len(curve)}_intervals_relative"] = finite_or_none(curve[-1])
        report.figure(rollouts(curves), "Applied to its own answers: error after each interval.", f"{name}-rollout")


def _untrained(config: Config, problem: OperatorProblem, network: Any, seed: int, data: Any) -> OperatorClosure:
    samples = (jnp.asarray(data.before), jnp.asarray(data.after))
    wide = network == "deep"
    return OperatorClosure.create(
        seed, problem.inputs, problem.outputs, network=network, samples=samples, channels=config.channels * (10 if wide else 1),
        layers=config.layers, modes=8 if wide else config.modes, rank=config.rank, residual=problem.rolls, dtype=jnp.float32,
    )  # fmt: skip


def _trained(config: Config, blank: OperatorClosure, data: Any, seed: int) -> tuple[list[np.ndarray], float]:
    """The arrays of the trained operator, and how many seconds it took, compilation included."""
    began = perf_counter()
    pairs = (jnp.asarray(data.before), jnp.asarray(data.after))
    training = train(
        blank, _squares, pairs, steps=config.iterations, batch=min(config.batch, len(data.before)), learning_rate=config.learning_rate,
        seed=seed,
    )  # fmt: skip
    if training.status is not Status.SUCCESS:
        raise InputError(f"training from seed {seed}: {training.message}", "a loss that stays a number", "lower --learning-rate")
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(eqx.filter(training.model, eqx.is_array))]
    return leaves, perf_counter() - began


def _squares(model: OperatorClosure, pair: tuple[jax.Array, jax.Array]) -> jax.Array:
    """Mean square in the scale of the outputs."""
    before, after = pair
    gap = jnp.moveaxis(model(jnp.moveaxis(before, 1, 0)), 0, 1) - after
    return jnp.mean((gap / model.output_scale.scale[None, :, None, None]) ** 2)


@eqx.filter_jit
def _applied(model: OperatorClosure, before: jax.Array) -> jax.Array:
    """Answers for samples along the first axis."""
    return jnp.moveaxis(model(jnp.moveaxis(before, 1, 0)), 0, 1)


def _rolled(problem: OperatorProblem, model: OperatorClosure, truth: np.ndarray) -> np.ndarray:
    """Errors after each interval of the operator applied to its own answers."""
    state, found = jnp.asarray(truth[:, 0]), []
    for after in truth.swapaxes(0, 1)[1:]:
        state = _applied(model, state)
        found.append(problem.error(np.asarray(state), after))
    return np.array(found)


def _fastest(program: Any, arguments: tuple[Any, ...], repeats: int) -> float:
    """Seconds of the fastest of several calls of a compiled program."""
    return best(lambda: jax.block_until_ready(program(*arguments)), repeats)


if __name__ == "__main__":
    run_script(__spec__)
