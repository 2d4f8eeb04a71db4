"""A network inside of the fluxes of a coarse grid, trained through the solver to give what a four times finer grid gives."""

from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from experiments.learning._coarse_figures import cost, curves, images
from experiments.learning._coarse_problem import FINE, CoarseProblem, Remedy, block_means
from experiments.learning._coarse_tissue import CoarseTissue
from experiments.learning._coarse_tumour import CoarseTumour
from experiments.learning._coarse_ventricle import CoarseVentricle
from physics import MitchellSchaeffer, TenTusscher2006
from twinsim.cli import run_script
from twinsim.closures import Horizon, train_unrolled
from twinsim.errors import InputError
from twinsim.experiment import Result, finite_or_none
from twinsim.machine import best
from twinsim.option_checks import check_options
from twinsim.report import Report
from twinsim.workspace import Workspace

RANGES = {
    "seeds": (1, 20),
    "dimension": (2, 3),
    "members": (2, 1000),
    "tests": (2, 1000),
    "voxels": (8, 128),
    "test_voxels": (8, 128),
    "volume_voxels": (0, 64),
    "timing_voxels": (8, 256),
    "horizons": (1, 1000),
    "iterations": (1, 100_000),
    "learning_rates": (1e-6, 1.0),
    "hidden": (1, 128),
    "repeats": (1, 100),
}
REMEDIES: tuple[Literal["order four", "fitted"], ...] = ("order four", "fitted")
WORDS = {"order four": "order four", "fitted": "fitted fourth differences"}


@dataclass(frozen=True)
class Config:
    """Options of the correction."""

    problem: Literal["tumour", "tissue"] = "tissue"
    """Growth and invasion of a tumour, or a wave of excitation."""
    seeds: int = 3
    """Trainings from different weights and windows."""
    cell: Literal["mitchell_schaeffer", "ten_tusscher_2006"] = "mitchell_schaeffer"
    """Of the tissue: two variables, or nineteen of the human ventricle."""
    dimension: Literal[2, 3] = 2
    """Planes or volumes."""
    members: int = 0
    """Images to learn from, each with its own tissue, outline and parameters; the problem's own number where 0, as in the next four."""
    tests: int = 0
    """Images to be judged on."""
    voxels: int = 0
    """Edge of an image to learn from."""
    test_voxels: int = 0
    """Edge of an image to be judged on."""
    volume_voxels: int = 0
    """Edge of a three-dimensional image that networks trained on planes are tried on; 0 for none."""
    timing_voxels: int = 0
    """Edge of the image that programs are timed on."""
    horizons: tuple[int, ...] = ()
    """Steps of the solver in a window of the training, growing; the problem's own where none is named, as in the next three."""
    iterations: tuple[int, ...] = ()
    """Of the optimiser, for each horizon."""
    learning_rates: tuple[float, ...] = ()
    """For each horizon."""
    hidden: tuple[int, ...] = ()
    """Units of each hidden layer."""
    repeats: int = 5
    """Timed runs of each program, of which the fastest counts."""
    seed: int = 0
    """Of images, weights and windows."""
    precision: Literal["float32"] = "float32"
    """Floating-point precision."""


def run(config: Config, workspace: Workspace) -> Result:
    """Makes the truth on fine voxels, trains, and judges all coarse schemes on images that none has seen."""
    problem = _problem(config)
    config = _planned(config, problem)
    steps = problem.steps(config.test_voxels)
    members = _members(problem, config.seed, config.members, _shape(config, config.voxels))
    tests = _members(problem, config.seed + 1_000_000, config.tests, _shape(config, config.test_voxels))
    truth = workspace.stage("truth", lambda: np.asarray(_solved(problem, members, FINE, problem.steps(config.voxels))))
    wanted = workspace.stage("test-truth", lambda: np.asarray(_solved(problem, tests, FINE, steps)))

    errors: dict[str, np.ndarray] = {}
    for refined in (1, 2, 3):
        errors[_name(refined)] = problem.errors(np.asarray(_solved(problem, tests, refined, steps)), wanted)
    for remedy in REMEDIES:
        errors[WORDS[remedy]] = problem.errors(np.asarray(_solved(problem, tests, 1, steps, None, remedy)), wanted)
    workspace.message(f"coarse grid: {errors['coarse'].mean():.3g} {problem.error_unit}")

    models, losses, learned, training_seconds = [], [], [], []
    for number in range(config.seeds):
        untrained = problem.untrained(config.seed + number, members, truth, config.hidden)

        def one(number: int = number, untrained: Any = untrained) -> tuple[list[np.ndarray], np.ndarray, float]:
            return _trained(config, problem, untrained, members, truth, config.seed + number, workspace)

        leaves, curve, took = workspace.stage(f"training-{number}", one)
        models.append(_with_arrays(untrained, leaves))
        losses.append(curve)
        training_seconds.append(took)
        learned.append(problem.errors(np.asarray(_solved(problem, tests, 1, steps, models[-1])), wanted))
        workspace.message(f"seed {number}: {learned[-1].mean():.3g} {problem.error_unit}")
    each = np.array([one.mean() for one in learned])
    errors["learned"] = np.mean(learned, axis=0)

    bounds = _beyond(problem, tests, models, 10 * max(config.horizons))
    kept = _sum_error(problem, tests, models[0])
    seconds = _times(config, problem, models[0], _shape(config, config.timing_voxels))
    equal = _equal({name: float(values.mean()) for name, values in errors.items()})
    summary: dict[str, Any] = {
        "problem": config.problem,
        f"error_coarse_{problem.error_unit}": finite_or_none(float(errors["coarse"].mean())),
        f"error_learned_{problem.error_unit}": finite_or_none(each.mean()),
        f"error_learned_spread_{problem.error_unit}": finite_or_none(each.std(ddof=1)) if len(each) > 1 else None,
        f"error_learned_worst_image_{problem.error_unit}": finite_or_none(np.max(learned)),
        "error_learned_over_coarse": finite_or_none(each.mean() / errors["coarse"].mean()),
        "error_learned_over_coarse_worst_seed": finite_or_none(each.max() / errors["coarse"].mean()),
    }
    for name, values in errors.items():
        if name not in ("coarse", "learned"):
            summary[f"error_{name.replace(' ', '_')}_{problem.error_unit}"] = finite_or_none(values.mean())
    summary |= {f"time_{name.replace(' ', '_')}_seconds": value for name, value in seconds.items()}
    summary |= {
        "equal_error_grid": equal,
        "faster_than_equal_error_grid": seconds[equal] / seconds["learned"],
        "faster_than_fine_grid": seconds["4 times finer"] / seconds["learned"],
        "slower_than_coarse_grid": seconds["learned"] / seconds["coarse"],
        "rollout_over_training_horizon": 10,
        "rollout_smallest_value": finite_or_none(bounds[0]),
        "rollout_largest_value": finite_or_none(bounds[1]),
        "sum_lost_by_fluxes_relative": kept,
        "training_seconds_per_seed": float(np.mean(training_seconds)),
    }
    volume = _volume(config, problem, models) if config.volume_voxels else None
    if volume is not None:
        summary |= volume
    first = jax.tree.map(lambda leaf: leaf[:1], tests)
    runs = {"coarse": None, "learned": models[0]}
    states = {"fine": wanted[0], **{name: np.asarray(_solved(problem, first, 1, steps, of))[0] for name, of in runs.items()}}
    mask = np.asarray(first["mask"])[0]
    report = Report("Coarse voxels with learned fluxes", f"{config.problem}, {config.seeds} trainings, {config.tests} unseen images")
    report.figure(images(problem, mask, states, steps // 3), "An unseen image: the fine grid, and what the coarse ones miss.", "images")
    report.figure(cost(problem, errors, seconds, learned), "Error on unseen images beside the time of one run.", "cost")
    report.figure(
        curves(config.seed, list(np.cumsum(config.iterations)[:-1]), losses),
        "Training: the loss in windows of growing horizon.",
        "training",
    )
    rows = [[name, values.mean(), values.max(), seconds.get(name, float("nan"))] for name, values in errors.items()]
    report.table(["Scheme", f"Error ({problem.error_unit})", "Worst image", "Seconds"], rows, "Means over the images.")
    names = list(errors)
    dataset = xr.Dataset(
        {
            "error": (("scheme", "image"), np.array([errors[name] for name in names]), {"units": _plain(problem.error_unit)}),
            "error_by_seed": (("seed", "image"), np.array(learned), {"units": _plain(problem.error_unit)}),
        },
        coords={"scheme": names},
    )
    notes = []
    if summary["error_learned_over_coarse_worst_seed"] is None or summary["error_learned_over_coarse_worst_seed"] > 1 / 3:
        notes.append("the correction leaves more than a third of the coarse error in at least one training")
    if summary["faster_than_equal_error_grid"] < 20:
        ratio = summary["faster_than_equal_error_grid"]
        notes.append(f"against the grid of equal error ({equal}) the corrected one is {ratio:.1f} times faster, not 20")
    return Result(summary, report, dataset, notes=notes)


def _planned(config: Config, problem: CoarseProblem) -> Config:
    """The options with the problem's own plan where none is given."""
    names = ("horizons", "iterations", "learning_rates", "hidden", "members", "tests", "voxels", "test_voxels", "timing_voxels")
    config = replace(config, **{name: getattr(config, name) or getattr(problem, name) for name in names})
    check_options(config, RANGES)
    lengths = [len(config.horizons), len(config.iterations), len(config.learning_rates)]
    if len(set(lengths)) != 1:
        got = f"{lengths[0]} horizons, {lengths[1]} iterations and {lengths[2]} learning rates"
        raise InputError(got, "as many of each", "give one number per horizon")
    if max(config.horizons) >= problem.steps(config.voxels):
        got = f"a horizon of {max(config.horizons)} steps"
        raise InputError(got, f"fewer than {problem.steps(config.voxels)}", "shorten --horizons or raise --voxels")
    return config


def _problem(config: Config) -> CoarseProblem:
    if config.problem == "tumour":
        return CoarseTumour()
    human = config.cell == "ten_tusscher_2006"
    cell = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), (TenTusscher2006 if human else MitchellSchaeffer).published())
    return (CoarseVentricle if human else CoarseTissue)(cell=cell)


def _shape(config: Config, edge: int) -> tuple[int, int, int]:
    return (edge, edge, edge if config.dimension == 3 else 1)


def _members(problem: CoarseProblem, seed: int, count: int, shape: tuple[int, int, int]) -> dict[str, jax.Array]:
    generator = np.random.default_rng(seed)
    samples = [problem.sample(generator, shape) for _ in range(count)]
    return {key: jnp.asarray(np.stack([sample[key] for sample in samples])) for key in samples[0]}


@eqx.filter_jit
def _solved(problem: CoarseProblem, members: Any, refined: int, steps: int, model: Any = None, remedy: Remedy = "none") -> jax.Array:
    """Trajectories of all members on the image's voxels, by steps that are as much shorter as the voxels are finer."""

    def member(member: Any) -> jax.Array:
        shape = member["mask"].shape
        restrict = (lambda state: block_means(state, shape, refined)) if refined > 1 else None
        stepper = problem.stepper(member, refined, model, remedy)
        return problem.rollout(stepper, problem.start(member, refined), steps, problem.substeps(refined), restrict)

    return jax.lax.map(member, members)


def _trained(
    config: Config, problem: CoarseProblem, model: Any, members: Any, truth: np.ndarray, seed: int, workspace: Workspace
) -> tuple[list[np.ndarray], np.ndarray, float]:
    """The arrays of the trained closures, the losses, and how many seconds it took."""
    began = perf_counter()
    plan = [Horizon(*numbers) for numbers in zip(config.horizons, config.iterations, config.learning_rates, strict=True)]
    stepper = lambda model, member: problem.stepper(member, 1, model)  # noqa: E731
    with workspace.progress(sum(config.iterations), f"training from seed {seed}", "steps") as bar:
        seen = [0]

        def progress(done: int, of: int, loss: float) -> None:
            del loss
            bar.advance(done - seen[0])
            seen[0] = done if done < of else 0  # the next horizon counts from the beginning

        trainings = train_unrolled(
            model, stepper, members, jnp.asarray(truth), problem.interval, plan, compare=problem.compare, seed=seed, progress=progress
        )
    if len(trainings) < len(plan) or trainings[-1].status:
        raise InputError(
            f"a training from seed {seed} that {trainings[-1].message}", "a loss that stays a number", "lower --learning-rates"
        )
    arrays = [np.asarray(leaf) for leaf in jax.tree.leaves(eqx.filter(trainings[-1].model, eqx.is_array))]
    return arrays, np.concatenate([one.losses for one in trainings]), perf_counter() - began


def _with_arrays(model: Any, arrays: list[np.ndarray]) -> Any:
    """Closures of the same structure with these arrays."""
    own, rest = eqx.partition(model, eqx.is_array)
    return eqx.combine(jax.tree.unflatten(jax.tree.structure(own), [jnp.asarray(array) for array in arrays]), rest)


def _beyond(problem: CoarseProblem, tests: Any, models: list[Any], steps: int) -> tuple[float, float]:
    """The smallest and the largest value of the first component over a rollout, all networks and images."""
    lows, highs = [], []
    for model in models:
        values = np.asarray(jax.vmap(jax.vmap(problem.field))(_solved(problem, tests, 1, steps, model)))
        lows.append(values.min())
        highs.append(values.max())
    return float(np.min(lows)), float(np.max(highs))


def _sum_error(problem: CoarseProblem, tests: Any, model: Any) -> float:
    """What one step of the corrected diffusion alone adds to the sum of the first image, relative."""
    member = jax.tree.map(lambda leaf: leaf[0], tests)
    state = problem.field(problem.start(member, 1))
    stepper = problem.stepper(member, 1, model)
    diffusion = problem.corrected(stepper)
    length = jnp.asarray(problem.interval, state.dtype)
    after = np.asarray(diffusion.advance(state, jnp.zeros((), state.dtype), length), float)
    return float(abs(after.sum() - np.asarray(state, float).sum()) / np.asarray(state, float).sum())


def _times(config: Config, problem: CoarseProblem, model: Any, shape: tuple[int, int, int]) -> dict[str, float]:
    """Seconds of one run of 20 steps of the coarse grid, compiled, the fastest of several."""
    member = jax.tree.map(lambda leaf: leaf[0], _members(problem, config.seed + 2_000_000, 1, shape))
    found = {}
    jobs: list[tuple[str, int, Any, Remedy]] = [("learned", 1, model, "none")]
    for refined in (1, 2, 3, FINE):
        jobs.append((_name(refined), refined, None, "none"))
    for remedy in REMEDIES:
        jobs.append((WORDS[remedy], 1, None, remedy))
    for name, refined, of, remedy in jobs:
        # The solver is made outside of what is timed: some remedies take longer to set up than to run.
        arrays, rest = eqx.partition(eqx.filter_jit(_made)(problem, member, refined, of, remedy), eqx.is_array)

        def program(arrays: Any, rest: Any = rest, refined: int = refined) -> jax.Array:
            stepper, state = eqx.combine(arrays, rest)
            return _advanced(stepper, state, problem.interval / problem.substeps(refined), 20 * problem.substeps(refined))

        compiled = jax.jit(program).lower(arrays).compile()
        found[name] = best(lambda compiled=compiled, arrays=arrays: jax.block_until_ready(compiled(arrays)), config.repeats)
    return found


def _made(problem: CoarseProblem, member: Any, refined: int, model: Any, remedy: Remedy) -> tuple[Any, jax.Array]:
    """A solver and its first state."""
    return problem.stepper(member, refined, model, remedy), problem.start(member, refined)


def _advanced(stepper: Any, state: jax.Array, length: float, steps: int) -> jax.Array:
    """So many steps later."""
    time, step = jnp.zeros((), state.dtype), jnp.asarray(length, state.dtype)
    return jax.lax.fori_loop(0, steps, lambda _, now: stepper.advance(now, time, step), state)


def _volume(config: Config, problem: CoarseProblem, models: list[Any]) -> dict[str, Any]:
    """The networks of planes in three dimensions: errors of one image, and times."""
    shape = (config.volume_voxels, config.volume_voxels, config.volume_voxels)
    members = _members(problem, config.seed + 3_000_000, 1, shape)
    steps = problem.steps(config.volume_voxels)
    wanted = np.asarray(_solved(problem, members, FINE, steps))
    errors = {_name(r): float(problem.errors(np.asarray(_solved(problem, members, r, steps)), wanted).mean()) for r in (1, 2, 3)}
    learned = [problem.errors(np.asarray(_solved(problem, members, 1, steps, model)), wanted).mean() for model in models]
    errors["learned"] = float(np.mean(learned))
    seconds = _times(config, problem, models[0], shape)
    equal = _equal(errors)
    found: dict[str, Any] = {f"volume_error_{n.replace(' ', '_')}_{problem.error_unit}": finite_or_none(e) for n, e in errors.items()}
    found |= {f"volume_time_{name.replace(' ', '_')}_seconds": value for name, value in seconds.items()}
    return found | {
        f"volume_error_learned_worst_seed_{problem.error_unit}": finite_or_none(np.max(learned)),
        "volume_equal_error_grid": equal,
        "volume_faster_than_equal_error_grid": seconds[equal] / seconds["learned"],
        "volume_faster_than_fine_grid": seconds["4 times finer"] / seconds["learned"],
    }


def _equal(errors: dict[str, float]) -> str:
    """The coarsest grid that errs as much as the learned one, to a tenth, or less; the finest is the truth."""
    grids = ("coarse", "2 times finer", "3 times finer")
    return next((name for name in grids if errors[name] <= 1.1 * errors["learned"]), "4 times finer")


def _name(refined: int) -> str:
    return "coarse" if refined == 1 else f"{refined} times finer"


def _plain(unit: str) -> str:
    return "1" if unit == "relative" else unit


if __name__ == "__main__":
    run_script(__spec__)
