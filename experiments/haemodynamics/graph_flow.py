"""Pulse waves in trees of arteries of unseen shape by a graph network inside of the linear solution, beside the 1-D solver."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from experiments.haemodynamics._graph_flow import (
    HARMONICS,
    NAMES,
    SAMPLES,
    Truth,
    error_figure,
    errors,
    joined,
    loss,
    loss_figure,
    methods,
    run_and_time,
    solver_times,
    training_data,
    truth,
    wave_figure,
)
from solvers import Status
from twinsim.cli import run_script
from twinsim.closures import train
from twinsim.closures.graph_flow import GraphFlow, junction_imbalance
from twinsim.errors import InputError
from twinsim.experiment import Result
from twinsim.option_checks import check_options
from twinsim.random_arteries import topology
from twinsim.report import Report
from twinsim.workspace import Workspace

RANGES = {
    "train_trees": (4, 2000), "test_trees": (2, 500), "train_periods": (0.4, 1.5), "test_period": (0.4, 1.5), "steps": (1, 100_000),
    "batch": (1, 256), "learning_rate": (1e-6, 0.1), "width": (4, 256), "rounds": (1, 8), "seeds": (1, 10), "beats": (2, 50),
}  # fmt: skip
GOALS = {"pressure": 2.0, "flow": 3.0}
"""Percent: what a graph network for patients' arteries reached (Pegolotti 2024)."""


@dataclass(frozen=True)
class Config:
    """Options of the graph network and of what it is trained and tested on."""

    walls: Literal["viscous", "elastic"] = "viscous"
    """Walls of the 1-D solver. The linear waves, the 0-D model and the rounds of sources always have elastic ones: with viscous walls they
    lack physics that the network has to find in the data; with elastic walls they lack nothing but rounds."""
    train_trees: int = 192
    """Random trees of 3 to 15 vessels to train on, shared out among the periods."""
    test_trees: int = 48
    """Trees to test on, none of a shape that is trained on."""
    train_periods: tuple[float, ...] = (0.75, 0.95)
    """Heart periods trained on, s."""
    test_period: float = 0.85
    """That of the test, s."""
    beats: int = 15
    """Most beats of the 1-D solver; it ends when every tree repeats to 0.02 % of its pressure."""
    width: int = 32
    """Of the graph network."""
    rounds: int = 3
    """Of its messages."""
    steps: int = 600
    """Of the optimiser, per seed."""
    batch: int = 8
    """Trees per step."""
    learning_rate: float = 4e-3
    """Of Adam at the start; it falls to a hundredth by a cosine."""
    seeds: int = 3
    """Networks, trained each from its own weights and batches."""
    seed: int = 0
    """Of the trees and of the first network."""
    precision: Literal["float64"] = "float64"
    """Floating-point precision; mass balance is shown to rounding."""


def run(config: Config, workspace: Workspace) -> Result:
    """Solves random trees by the 1-D solver, trains, and tests on trees of other shapes."""
    check_options(config, RANGES)
    each = config.train_trees // max(1, len(config.train_periods))
    if not config.train_periods or each < 1 or config.batch > each * len(config.train_periods):
        got = f"{config.train_trees} trees in batches of {config.batch} for {len(config.train_periods)} periods"
        raise InputError(got, "a tree or more for every period, and a batch or more in all", "raise --train-trees")
    viscous = config.walls == "viscous"
    wanted = [(number + 1, each, period, False) for number, period in enumerate(config.train_periods)]
    wanted.append((len(wanted) + 1, config.test_trees, config.test_period, True))
    found: list[Truth] = []
    with workspace.progress(len(wanted), "1-D solver", "forests") as bar:
        for place, (number, count, period, test) in enumerate(wanted):
            seed = 1000 * config.seed + number
            found.append(workspace.stage(f"truth-{place}", partial(truth, seed, count, period, test, viscous, config.beats)))
            bar.advance(1)
    learned, test = joined(found[:-1]), found[-1]
    shapes, shared = _shapes(learned, test)
    data = training_data(learned)
    models, losses, notes = [], [], _notes(config, found)
    with workspace.progress(config.seeds * config.steps, "training", "steps") as bar:
        for number in range(config.seeds):
            start = GraphFlow.create(config.seed + number, config.width, config.rounds, harmonics=HARMONICS, power=1 if viscous else 2)
            chunk = min(50, config.steps)
            trained = train(
                start, loss, data, steps=config.steps, seed=config.seed + number, learning_rate=config.learning_rate, batch=config.batch,
                chunk=chunk, progress=lambda *_, chunk=chunk: bar.advance(chunk),
            )  # fmt: skip
            if trained.status is not Status.SUCCESS:
                notes.append(f"Seed {number}: {trained.message}")
            models.append(trained.model)
            losses.append(trained.losses)
    summary: dict[str, Any] = {
        "train_trees": len(learned.flow),
        "test_trees": len(test.flow),
        "test_shapes": shapes,
        "test_shapes_trained_on": shared,
        "solver_change_percent": 100 * max(learned.change, test.change),
    }
    waves, scores, seeds = _test(models, test, summary)
    summary |= solver_times(test, viscous)
    for name in ("from_rest", "from_one_round"):
        spent = summary[f"solver_{name}_core_ms_per_tree"]
        summary[f"graph_network_times_faster_{name}"] = spent / summary["graph_network_core_ms_per_tree"]
        summary[f"two_rounds_times_faster_{name}"] = spent / summary["two_rounds_core_ms_per_tree"]
    report = _report(config, test, summary, waves, scores, losses, notes)
    return Result(summary, report, _dataset(test, waves, scores, seeds), notes=notes)


def _shapes(learned: Truth, test: Truth) -> tuple[int, int]:
    """Different topologies of the test, and how many of them were trained on: zero."""

    def of(data: Truth) -> set[str]:
        counts = np.asarray(data.trees.present).sum(axis=1)
        return {topology(list(map(int, parent[:count]))) for parent, count in zip(data.trees.parent, counts)}

    return len(of(test)), len(of(test) & of(learned))


def _test(
    models: Sequence[GraphFlow], test: Truth, summary: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any], dict[str, np.ndarray]]:
    """Waves and errors per tree of every method (the first network's waves, the mean error of all), and errors by network."""
    trees = jax.tree.map(jnp.asarray, test.trees)
    count = len(test.flow)
    waves: dict[str, Any] = {}
    scores: dict[str, Any] = {}
    for name, function in methods().items():
        program = eqx.filter_jit(eqx.filter_vmap(function))
        (pressure, flow), seconds = run_and_time(program, trees)
        waves[name] = (np.asarray(pressure), np.asarray(flow))
        scores[name] = errors(test, *waves[name])
        summary[f"{name}_core_ms_per_tree"] = 1e3 * seconds / count
    program = eqx.filter_jit(lambda model, trees: jax.vmap(lambda tree: model(tree, SAMPLES))(trees))
    every, seconds, imbalance = [], [], 0.0
    for model in models:
        (pressure, flow), spent = run_and_time(program, model, trees)
        seconds.append(spent)
        waves.setdefault("graph_network", (np.asarray(pressure), np.asarray(flow)))
        every.append(errors(test, np.asarray(pressure), np.asarray(flow)))
        imbalance = max(imbalance, float(jax.vmap(junction_imbalance)(trees, flow).max()))
    seeds = {what: np.stack([one[what] for one in every]) for what in every[0]}
    scores["graph_network"] = {what: values.mean(axis=0) for what, values in seeds.items()}
    summary["graph_network_core_ms_per_tree"] = 1e3 * float(np.median(seconds)) / count
    summary["graph_network_junction_imbalance_fraction"] = imbalance
    for name, score in scores.items():
        for what, values in score.items():
            summary[f"{name}_{what}_error_percent"] = float(values.mean())
            summary[f"{name}_{what}_error_worst_percent"] = float(values.max())
    for what, values in seeds.items():
        means = values.mean(axis=1)
        summary[f"graph_network_{what}_error_lowest_seed_percent"] = float(means.min())
        summary[f"graph_network_{what}_error_highest_seed_percent"] = float(means.max())
        summary[f"graph_network_{what}_error_worst_percent"] = float(values.max())
    return waves, scores, seeds


def _notes(config: Config, found: list[Truth]) -> list[str]:
    notes = [
        "Errors are root mean squares over all stations and times of a tree, over those of the quantity: of pressure with its mean, and, "
        "which is harder, over its pulse. Trees are drawn at random, none is a person's.",
    ]
    if config.walls == "elastic":
        notes.append(
            "With elastic walls nothing is unknown: two rounds of the known sources need no training and are closer than any network."
        )
    else:
        notes.append("Who knows that walls are viscous can write it into the linear waves as well; here they are not told.")
    if any(part.change > 2e-4 for part in found):
        notes.append(f"Some trees of the 1-D solver did not repeat to 0.02 % within {config.beats} beats.")
    return notes


def _report(
    config: Config, test: Truth, summary: dict[str, Any], waves: dict[str, Any], scores: dict[str, Any], losses: list[np.ndarray],
    notes: list[str],
) -> Report:  # fmt: skip
    title = f"{summary['train_trees']} random trees with {config.walls} walls, tested on {summary['test_trees']} of other shapes"
    report = Report("Pulse waves by a graph network", title)
    for note in notes:
        report.warn(note)
    report.headline(
        [
            ("Pressure", summary["graph_network_pressure_error_percent"], "%", f"goal {GOALS['pressure']:g}"),
            ("Pressure, of the pulse", summary["graph_network_pulse_error_percent"], "%"),
            ("Flow", summary["graph_network_flow_error_percent"], "%", f"goal {GOALS['flow']:g}"),
            ("Faster than the 1-D solver from rest", summary["graph_network_times_faster_from_rest"], "times"),
        ]
    )
    middle = int(np.argsort(scores["graph_network"]["pulse"])[len(test.flow) // 2])
    shown = {name: waves[name] for name in ("linear", "one_round", "graph_network")}
    vessels = int(np.asarray(test.trees.present[middle]).sum())
    report.figure(
        wave_figure(test, middle, shown),
        f"Half way along three vessels of the test tree of middling error ({vessels} vessels).",
        "waves",
        alt="Pressure and flow in time",
    )
    report.figure(error_figure(test, scores), "Every test tree; mean of the networks.", "errors", alt="Errors against number of vessels")
    report.figure(loss_figure(losses), "Squared error of pressure over its pulse and of flow over flow.", "losses", alt="Loss in training")
    rows = [
        [
            NAMES[name],
            *(f"{summary[f'{name}_{what}_error_percent']:.3f}" for what in ("pressure", "pulse", "flow")),
            f"{summary[f'{name}_pulse_error_worst_percent']:.2f}",
            f"{summary[f'{name}_core_ms_per_tree']:.3f}",
        ]
        for name in scores
    ]
    columns = ["Method", "Pressure (%)", "of the pulse (%)", "Flow (%)", "Worst tree, of the pulse (%)", "Core time (ms per tree)"]
    report.table(columns, rows, f"Mean of the test trees; the graph network: mean of {config.seeds} seeds, worst of all.")
    rows = [
        [name.replace("_", " "), summary[f"solver_{name}_beats"], f"{summary[f'solver_{name}_core_ms_per_tree']:.1f}",
         f"{summary[f'graph_network_times_faster_{name}']:.0f}", f"{summary[f'two_rounds_times_faster_{name}']:.0f}"]
        for name in ("from_rest", "from_one_round")
    ]  # fmt: skip
    columns = ["1-D solver, all trees in one network", "Beats", "Core time (ms per tree)", "Graph network faster (times)"]
    report.table([*columns, "Two rounds faster (times)"], rows, "Until every tree repeats to 0.1 %; warm, coarse cells (0.9 ms each).")
    return report


def _dataset(test: Truth, waves: dict[str, Any], scores: dict[str, Any], seeds: dict[str, np.ndarray]) -> xr.Dataset:
    axes = ("tree", "vessel", "station", "time")
    parts: dict[str, Any] = {
        "pressure_solver": (axes, test.pressure, {"units": "Pa"}),
        "flow_solver": (axes, test.flow, {"units": "m3/s"}),
        "pressure_graph_network": (axes, waves["graph_network"][0], {"units": "Pa"}),
        "flow_graph_network": (axes, waves["graph_network"][1], {"units": "m3/s"}),
        "pressure_linear": (axes, waves["linear"][0], {"units": "Pa"}),
        "flow_linear": (axes, waves["linear"][1], {"units": "m3/s"}),
        "parent": (("tree", "vessel"), np.asarray(test.trees.parent), {"units": "1", "long_name": "row of the vessel before, -1 none"}),
        "present": (("tree", "vessel"), np.asarray(test.trees.present).astype(np.int8), {"units": "1"}),
    }
    for what in ("pressure", "pulse", "flow"):
        stacked = np.stack([score[what] for score in scores.values()])
        parts[f"{what}_error"] = (("method", "tree"), stacked, {"units": "percent"})
        parts[f"{what}_error_by_seed"] = (("network", "tree"), seeds[what], {"units": "percent"})
    times = np.arange(SAMPLES) / SAMPLES * float(np.asarray(test.trees.period)[0])
    return xr.Dataset(parts, coords={"method": list(scores), "time": ("time", times, {"units": "s"})})


if __name__ == "__main__":
    run_script(__spec__)
