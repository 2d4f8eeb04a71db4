"""A law of growth that nobody wrote down, learned inside of the solver from noisy images of tumours, and tried on others for longer."""

from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array

from experiments.learning import _hidden_growth as problem
from experiments.learning._hidden_growth_figures import errors_in_time, laws
from physics import Closure
from solvers import Status
from twinsim.cli import run_script
from twinsim.closures import EnsembleClosure, Horizon, PerceptronClosure, TrainingRange, train_unrolled
from twinsim.closures.learned import network_parameters
from twinsim.errors import InputError
from twinsim.experiment import Result, finite_or_none
from twinsim.option_checks import check_options
from twinsim.report import Report
from twinsim.workspace import Workspace

RANGES = {
    "seeds": (2, 20),
    "members": (2, 1000),
    "tests": (1, 1000),
    "voxels": (8, 128),
    "snapshots": (2, 1000),
    "ahead": (1.0, 10.0),
    "noise": (0.0, 0.5),
    "hidden": (1, 128),
    "iterations": (2, 100_000),
    "learning_rate": (1e-6, 1.0),
}


@dataclass(frozen=True)
class Config:
    """Options; the diffusion, the outline, the oxygen and the start are known, the growth is not."""

    law: Literal["hypoxia", "allee", "gompertz"] = "hypoxia"
    """What is hidden: death without oxygen, death of sparse cells, or Gompertz."""
    seeds: int = 3
    """Trainings with noise and weights of their own."""
    members: int = 12
    """Images to learn from."""
    tests: int = 12
    """Images to be judged on: other outlines, tissue, oxygen and starts."""
    voxels: int = 20
    """Edge of an image, 2 mm each."""
    snapshots: int = 20
    """Images of each tumour after its start, 4 days from one to the next."""
    ahead: float = 2.0
    """How long the tumours to be judged on grow, as a multiple of what was seen."""
    noise: float = 0.02
    """Standard deviation of the noise in every voxel of the mask, as part of the carrying capacity."""
    hidden: tuple[int, ...] = (12, 12)
    """Units of each hidden layer."""
    iterations: int = 600
    """Of the optimiser, two thirds of them on the first half of the snapshots."""
    learning_rate: float = 1e-2
    """At the beginning."""
    seed: int = 0
    """Of images, noise and weights."""
    precision: Literal["float32", "float64"] = "float32"
    """Floating-point precision."""


def run(config: Config, workspace: Workspace) -> Result:
    """Trains networks and fits formulas on the same images, and judges all on images that none has seen."""
    check_options(config, RANGES)
    members = problem.members_of(np.random.default_rng(config.seed), config.members, config.voxels)
    tests = problem.members_of(np.random.default_rng([config.seed, 1]), config.tests, config.voxels)
    long = max(config.snapshots + 1, round(config.snapshots * config.ahead))
    truth = problem.truth_of(config.law)
    seen = np.asarray(problem.courses(truth, members, config.snapshots, problem.FINER)[0])
    wanted = np.asarray(problem.courses(truth, tests, long, problem.FINER)[0])

    learned: list[PerceptronClosure] = []
    formulas: list[dict[str, Closure]] = []
    seconds: list[float] = []
    for number in range(config.seeds):
        data = _noisy(config, seen, np.asarray(members["mask"]), number)
        untrained = _untrained(config, data, members, number)

        def one(data: np.ndarray = data, number: int = number, untrained: Closure = untrained) -> tuple[Any, ...]:
            began = perf_counter()
            network, _ = _trained(config, untrained, members, data, number)
            took, fitted = perf_counter() - began, {}
            for name in problem.LAWS:
                start = problem.Positive(name, jnp.log(jnp.asarray(problem.LAWS[name][1])))
                closure, loss = _trained(config, start, members, data, number)
                fitted[name] = (np.asarray(closure.logs), loss)
            return [np.asarray(leaf) for leaf in jax.tree.leaves(eqx.filter(network, eqx.is_array))], took, fitted

        leaves, took, fitted = workspace.stage(f"training-{number}", one)
        own, rest = eqx.partition(untrained, eqx.is_array)
        learned.append(eqx.combine(jax.tree.unflatten(jax.tree.structure(own), [jnp.asarray(leaf) for leaf in leaves]), rest))
        # The best of the formulas that are not the hidden one is chosen by its own fit, never by the tests.
        others = {name: loss for name, (_, loss) in fitted.items() if name != config.law}
        chosen = min(others, key=lambda name, others=others: others[name])
        kept = {"analytic": chosen, "form_known": config.law}
        formulas.append({key: problem.Positive(name, jnp.asarray(fitted[name][0])) for key, name in kept.items()})
        seconds.append(took)
        workspace.message(f"seed {number}: trained in {took:.0f} s, the best other formula is {chosen}")

    ranged = jnp.asarray(_inputs(seen[:, :: max(1, config.snapshots // 8)], members))
    ensemble = EnsembleClosure.of(learned, ranged)
    schemes: dict[str, Sequence[Closure]] = {
        "learned": learned,
        "ensemble": [ensemble],
        "analytic": [one["analytic"] for one in formulas],
        "form_known": [one["form_known"] for one in formulas],
        "truth": [truth],
    }
    curves: dict[str, np.ndarray] = {}
    summary: dict[str, Any] = {"law": config.law, "seeds": config.seeds, "noise_percent": 100 * config.noise}
    for name, closures in schemes.items():
        found = [problem.courses(closure, tests, long) for closure in closures]
        curves[name] = np.array([_error(np.asarray(states), wanted) for states, _ in found])  # (closures, times)
        for part, span in (("inside", slice(1, config.snapshots + 1)), ("beyond", slice(config.snapshots + 1, None))):
            each = np.sqrt((curves[name][:, span] ** 2).mean(axis=1))
            summary[f"error_{name}_{part}_relative"] = finite_or_none(each.mean())
            if len(each) > 1:
                summary[f"error_{name}_{part}_spread_relative"] = finite_or_none(each.std(ddof=1))
                summary[f"error_{name}_{part}_worst_seed_relative"] = finite_or_none(each.max())
        if name == "ensemble":
            summary["times_extrapolated_share"] = float((np.asarray(found[0][1]) == Status.EXTRAPOLATED).mean())
    for part in ("inside", "beyond"):
        ratio = summary[f"error_analytic_{part}_relative"], summary[f"error_learned_{part}_relative"]
        summary[f"analytic_over_learned_{part}"] = finite_or_none(ratio[0] / ratio[1]) if all(ratio) else None
    summary["training_seconds_per_seed"] = float(np.mean(seconds))
    notes = []
    if not summary["analytic_over_learned_beyond"] or summary["analytic_over_learned_beyond"] < 2:
        notes.append("beyond the horizon the network leaves more than half of the best formula's error")
    report = Report("A hidden law of growth", f"{config.law}, {config.seeds} trainings, {config.tests} unseen images")
    report.figure(laws(truth, learned, formulas), "Growth per cell: hidden, learned, and the best formula of another form.", "laws")
    in_time = errors_in_time(curves, config.snapshots, problem.INTERVAL_DAYS)
    report.figure(in_time, "Error on unseen images; right of the line nothing was seen.", "errors")
    rows = [[name, summary[f"error_{name}_inside_relative"], summary[f"error_{name}_beyond_relative"]] for name in schemes]
    report.table(["Growth", "Error in time seen", "Error beyond"], rows, "Means over seeds, relative to the root mean square density.")
    times = problem.INTERVAL_DAYS * np.arange(long + 1)
    variables = {
        f"error_{name}": ((f"{name}_run", "time"), values, {"units": "1"}) for name, values in curves.items()
    }  # fmt: skip
    return Result(summary, report, xr.Dataset(variables, coords={"time": ("time", times, {"units": "day"})}), notes=notes)


def _noisy(config: Config, seen: np.ndarray, mask: np.ndarray, number: int) -> np.ndarray:
    """What is measured: the known start, then images with noise inside of the mask."""
    generator = np.random.default_rng([config.seed, 2, number])
    noise = config.noise * generator.normal(size=seen[:, 1:].shape) * mask.reshape(len(mask), 1, -1)
    return np.concatenate([seen[:, :1], seen[:, 1:] + noise], axis=1).astype(seen.dtype)


def _inputs(data: np.ndarray, members: dict[str, Array]) -> np.ndarray:
    """Densities and oxygen where there is tissue, ``(2, places)``."""
    mask, oxygen = (np.asarray(members[key]).reshape(len(data), 1, -1) for key in ("mask", "oxygen"))
    inside = np.broadcast_to(mask, data.shape)
    return np.stack([np.clip(data, 0, None)[inside], np.broadcast_to(oxygen, data.shape)[inside]])


def _untrained(config: Config, data: np.ndarray, members: dict[str, Array], number: int) -> PerceptronClosure:
    """A network with scales and range from what was measured."""
    given = jnp.asarray(_inputs(data[:, :: max(1, config.snapshots // 8)], members))
    wanted = jnp.asarray(np.random.default_rng(0).uniform(-0.05, 0.05, (1, given.shape[1])), given.dtype)  # of the size of any growth
    closure = PerceptronClosure.create(
        config.seed + number, problem.READS, problem.RATE, samples=(given, wanted), hidden=config.hidden, dtype=given.dtype
    )
    return eqx.tree_at(lambda one: one.trained_on, closure, TrainingRange.of(given))


def _trained(config: Config, closure: Any, members: dict[str, Array], data: np.ndarray, number: int) -> tuple[Any, float]:
    """A network or a formula after training from the starts, first on half of the snapshots, then on all; and its last loss."""
    half = max(1, config.snapshots // 2)
    loss = np.inf
    network = isinstance(closure, PerceptronClosure)
    trainable = network_parameters if network else (lambda one: jax.tree.map(eqx.is_inexact_array, one))
    # A formula has few numbers, which may be far from where they begin: half of the iterations, three times as fast.
    total, rate = (config.iterations, config.learning_rate) if network else (config.iterations // 2, 3 * config.learning_rate)
    plan = ((half, total * 2 // 3, rate), (config.snapshots, total // 3, rate / 3))
    for steps, iterations, first_rate in plan:
        # As many states as steps and one: every window begins with the known start.
        states, horizon = jnp.asarray(data[:, : steps + 1]), [Horizon(steps, max(1, iterations), first_rate)]
        done = train_unrolled(
            closure, lambda one, member: problem.equation_of(one, member).stepper(), members, states, problem.INTERVAL_DAYS, horizon,
            windows=4 * config.members, batch=min(6, config.members), seed=config.seed + number, trainable=trainable,
        )[-1]  # fmt: skip
        if done.status is not Status.SUCCESS:
            raise InputError(f"a training that {done.message}", "a loss that stays a number", "lower --learning-rate")
        closure, loss = done.model, float(np.mean(done.losses[-max(1, iterations // 5) :]))
    return closure, loss


def _error(found: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Root mean square over images and voxels at each time, relative to that of the truth."""
    return np.sqrt(((found - wanted) ** 2).sum((0, 2)) / (wanted**2).sum((0, 2)))


if __name__ == "__main__":
    run_script(__spec__)
