"""Diffusion in tissue that is known as a cloud of points: a graph network says what neighbours exchange, on clouds that it never saw."""

from dataclasses import dataclass
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from experiments.learning import _point_clouds as clouds
from solvers import RungeKuttaChebyshev2, Status
from twinsim.cli import run_script
from twinsim.closures import CloudConductances, Horizon, KernelConductances, train_unrolled
from twinsim.errors import InputError
from twinsim.experiment import Result, finite_or_none
from twinsim.figure_style import INK, new_figure
from twinsim.machine import best
from twinsim.option_checks import check_options
from twinsim.precision import in_precision
from twinsim.report import Report
from twinsim.workspace import Workspace

RANGES = {
    "seeds": (1, 20),
    "learned_from": (4, 10_000),
    "tests": (2, 1000),
    "iterations": (1, 100_000),
    "rate": (1e-6, 1.0),
    "width": (2, 128),
    "rounds": (1, 8),
    "least_apart_mm": (0.05, 0.8),
    "most_apart_mm": (0.05, 0.8),
}
STAGES = 16  # stable for conductances five times those that were learned
SETS = {"unseen": 1.0, "denser": 2.0}  # points per mm²


@dataclass(frozen=True)
class Config:
    """Options; points lie in lobed discs of 16 mm, every second one with a hole."""

    seeds: int = 3
    """Networks, from seed on."""
    learned_from: int = 64
    """Clouds to learn from, with one point per mm²."""
    tests: int = 12
    """Clouds to be judged on, of that density and of twice that density."""
    iterations: int = 900
    """Of training over short windows; a third as many over long ones follow."""
    rate: float = 1e-2
    """Learning rate at the beginning."""
    width: int = 16
    """Of the graph network."""
    rounds: int = 2
    """How many neighbours far a point hears."""
    least_apart_mm: float = 0.3
    """Least distance of points in the most irregular clouds, in mm."""
    most_apart_mm: float = 0.75
    """Least distance of points in the most regular clouds, in mm."""
    seed: int = 0
    """Of clouds, weights and windows."""
    precision: Literal["float32"] = "float32"
    """Floating-point precision of points and networks; the truth is float64 where JAX allows it."""


def run(config: Config, workspace: Workspace) -> Result:
    """Makes the truth on fine voxels, fits a kernel, trains networks, and judges them beside finite volumes."""
    check_options(config, RANGES)
    if config.least_apart_mm > config.most_apart_mm:
        got = f"--least-apart-mm {config.least_apart_mm:g} above --most-apart-mm {config.most_apart_mm:g}"
        raise InputError(got, "the least not above the most", "swap them")
    known = workspace.stage("clouds", lambda: _members(config, 2 * config.seed, config.learned_from, 1.0, workspace))
    judged = {
        name: workspace.stage(name, lambda s=number, d=density: _members(config, 2 * config.seed + 1, config.tests, d, workspace, s))
        for number, (name, density) in enumerate(SETS.items())
    }
    members = jax.tree.map(lambda *leaves: jnp.stack(leaves), *[_single(one.cloud) for one in known])
    states = jnp.stack([_single(one.fields) for one in known])

    def trained(model: Any, seed: int, horizons: tuple[Horizon, ...]) -> tuple[Any, np.ndarray]:
        with workspace.progress(sum(h.iterations for h in horizons), f"training {type(model).__name__}", "iterations") as bar:
            seen = [0]

            def advance(done: int, _: int, loss: float) -> None:
                del loss
                bar.advance(done - seen[0] if done > seen[0] else done)
                seen[0] = done

            runs = train_unrolled(
                model, _stepper, members, states, clouds.INTERVAL, horizons, batch=4, seed=seed, progress=advance, **_all_of(model)
            )
        if runs[-1].status is not Status.SUCCESS:
            raise InputError(f"training from seed {seed}: {runs[-1].message}", "a loss that stays a number", "lower --rate")
        return runs[-1].model, np.concatenate([one.losses for one in runs])

    plain = _single(KernelConductances.plain())
    kernel, _ = workspace.stage("kernel", lambda: trained(plain, config.seed, (Horizon(4, min(150, config.iterations), 5e-2),)))
    courses = (Horizon(4, config.iterations, config.rate), Horizon(clouds.SNAPSHOTS, max(1, config.iterations // 3), config.rate / 4))
    models, losses = [], []
    for number in range(config.seeds):
        blank = _single(CloudConductances.create(config.seed + number, config.width, config.rounds, kernel))
        model, curve = workspace.stage(f"training-{number}", lambda b=blank, s=config.seed + number: trained(b, s, courses))
        models.append(model)
        losses.append(curve)
        workspace.message(f"seed {config.seed + number}: loss {curve[-10:].mean():.3g}")
    laws: dict[str, Any] = {"kernel": kernel, **{f"network_{k}": model for k, model in enumerate(models)}}
    scores = {name: {law: _scores(model, those) for law, model in laws.items()} for name, those in judged.items()}
    for name, those in judged.items():
        scores[name]["finite_volumes"] = _scores(None, those)
    summary = _summary(config, scores)
    one = judged["unseen"][0]
    summary |= _times(one, models[0])
    return Result(summary, _report(config, summary, scores, one, models[0], losses), _dataset(config, scores, losses))


def _members(config: Config, seed: int, count: int, density: float, workspace: Workspace, part: int = 0) -> list[clouds.Member]:
    found = []
    with workspace.progress(count, "truth on fine voxels", "clouds") as bar:
        for k in range(count):
            apart = (config.least_apart_mm, config.most_apart_mm)
            found.append(clouds.member(100_000 * seed + 50_000 * part + k, k % 2 == 1, apart, density))
            bar.advance(1)
    return found


def _single(tree: Any) -> Any:
    return in_precision(jax.tree.map(jnp.asarray, tree), "float32")


def _stepper(model: Any, member: Any) -> RungeKuttaChebyshev2:
    return RungeKuttaChebyshev2(model(member), STAGES)


def _all_of(model: Any) -> dict[str, Any]:
    """A kernel has no network: all of its numbers are trained."""
    return {"trainable": lambda m: jax.tree.map(eqx.is_inexact_array, m)} if isinstance(model, KernelConductances) else {}


def _scores(model: Any, those: list[clouds.Member]) -> np.ndarray:
    """Errors of fields and of arrival times, ``(2, clouds)``; of the cells of the points where there is no model."""
    found = []
    for one in those:
        diffusion = _single(one.voronoi) if model is None else model(_single(one.cloud))
        fields, front = clouds.followed(diffusion, _single(one.fields[0]), _single(one.front[0]), STAGES)
        found.append((clouds.field_error(np.asarray(fields), one), clouds.arrival_error(np.asarray(front), one)))
    return np.array(found).T


def _summary(config: Config, scores: dict[str, dict[str, np.ndarray]]) -> dict[str, Any]:
    summary: dict[str, Any] = {"clouds_learned_from": config.learned_from, "clouds_per_test": config.tests, "seeds": config.seeds}
    for name, each in scores.items():
        for row, what in enumerate(("field_error_relative", "arrival_error_relative")):
            seeds = np.array([each[f"network_{k}"][row].mean() for k in range(config.seeds)])
            summary[f"{name}_network_{what}"] = finite_or_none(seeds.mean())
            summary[f"{name}_network_{what}_spread"] = finite_or_none(seeds.std(ddof=1)) if len(seeds) > 1 else None
            summary[f"{name}_network_{what}_worst_cloud"] = finite_or_none(
                max(each[f"network_{k}"][row].max() for k in range(config.seeds))
            )
            for law in ("kernel", "finite_volumes"):
                summary[f"{name}_{law}_{what}"] = finite_or_none(each[law][row].mean())
    return summary


def _times(one: clouds.Member, model: CloudConductances) -> dict[str, float]:
    """Wall seconds of a compiled run of the fields and the front: on points, network included, and on fine voxels."""
    cloud, start, front = _single(one.cloud), _single(one.fields[0]), _single(one.front[0])
    ours = eqx.filter_jit(lambda m, c, u, v: clouds.followed(m(c), u, v, STAGES))
    mask = jnp.ones((clouds.EDGE, clouds.EDGE), bool)
    flat = jnp.ones(mask.shape, jnp.float32)
    fine = (mask, flat, jnp.broadcast_to(flat, (clouds.FIELDS, *flat.shape)), flat)
    return {
        "points_seconds": best(lambda: jax.block_until_ready(ours(model, cloud, start, front)), 3),
        "fine_voxels_seconds": best(lambda: jax.block_until_ready(clouds.solved(*fine)), 3),
    }


def _dataset(config: Config, scores: dict[str, dict[str, np.ndarray]], losses: list[np.ndarray]) -> xr.Dataset:
    laws = list(next(iter(scores.values())))
    arrays: dict[str, Any] = {
        f"{name}_error": (("law", "measure", "cloud"), np.stack([each[law] for law in laws]), {"units": "1"})
        for name, each in scores.items()
    }
    arrays["loss"] = (("seed", "iteration"), np.array(losses), {"units": "1"})
    return xr.Dataset(arrays, coords={"law": laws, "measure": ["field", "arrival"]})


def _report(
    config: Config,
    summary: dict[str, Any],
    scores: dict[str, dict[str, np.ndarray]],
    one: clouds.Member,
    model: CloudConductances,
    losses: list[np.ndarray],
) -> Report:
    report = Report("Tissue as a cloud of points", f"{config.learned_from} clouds learned from, {config.seeds} networks")
    words = {"network": "graph network", "kernel": "kernel, fitted", "finite_volumes": "cells and outline"}
    report.headline(
        [(text, _percent(summary[f"unseen_{law}_field_error_relative"]), "%", "field, unseen clouds") for law, text in words.items()]
    )
    figure = new_figure(3.4)
    panels = figure.subplots(1, 3)
    diffusion = model(_single(one.cloud))
    places = _places(one)
    conductances = np.asarray(diffusion.conductances)
    for i, j, g in zip(np.asarray(diffusion.first), np.asarray(diffusion.second), conductances, strict=True):
        if g > 0:
            panels[0].plot(*places[[i, j]].T, color=INK, linewidth=min(2.5, 1.5 * g), alpha=0.7)
    size = np.asarray(diffusion.volumes)[one.here]
    panels[0].scatter(*places[one.here].T, s=8 * size, color="white", edgecolor=INK, linewidth=0.5, zorder=3)
    panels[0].set_title("what neighbours exchange", fontsize=9)
    _, front = clouds.followed(diffusion, _single(one.fields[0]), _single(one.front[0]), STAGES)
    truth, found = (np.where(values[0] >= 0.5, 0.0, clouds.arrivals(values)) for values in (one.front, np.asarray(front)))
    for axes, values, title in ((panels[1], truth, "front, fine voxels"), (panels[2], found, "front, points and network")):
        shown = axes.scatter(*places[one.here].T, c=values[one.here], s=22, cmap="viridis", vmin=0, vmax=np.nanmax(truth))
        figure.colorbar(shown, ax=axes, shrink=0.7)
        axes.set_title(title, fontsize=9)
    for axes in panels:
        axes.set_aspect("equal")
        axes.set_xticks([])
        axes.set_yticks([])
    caption = "An unseen cloud: lines as thick as the conductance, discs as large as the volume; times of a growing front, 0 at the start."
    report.figure(figure, caption, "cloud", alt="Points, their conductances, and arrival times")
    rows = [
        [name, law.replace("_", " "), *(f"{100 * score.mean():.2f}" for score in each[law])]
        for name, each in scores.items()
        for law in each
    ]
    report.table(["Clouds", "Law", "Field (%)", "Arrival (%)"], rows, "Means over clouds; no network saw a front.")
    figure = new_figure(2.4)
    axes = figure.subplots()
    for curve in losses:
        axes.semilogy(curve, linewidth=0.7)
    axes.set_xlabel("iteration")
    axes.set_ylabel("loss")
    report.figure(figure, "Training: short windows, then long ones.", "loss", alt="Loss over iterations")
    return report


def _places(one: clouds.Member) -> np.ndarray:
    return np.pad(one.points, [(0, len(one.here) - len(one.points)), (0, 0)])


def _percent(value: float | None) -> str:
    return "none" if value is None else f"{100 * value:.1f}"


if __name__ == "__main__":
    run_script(__spec__)
