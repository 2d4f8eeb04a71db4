"""Truth, scores, times and figures of the graph-flow experiment."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from physics.artery_forest import Forest, forest_beats, forest_program, near_periodic, plant
from physics.artery_harmonics import linear_lines, periodic_tree, solve_lines, to_harmonics, to_times
from physics.artery_tree import ArteryTree
from solvers import Status
from twinsim.closures.graph_flow import GraphFlow, linear_state, wave_loss
from twinsim.errors import InputError
from twinsim.figure_style import BLUE, GREEN, INK, ORANGE, SOFT, VERMILION, new_figure, quiet
from twinsim.random_arteries import draw_trees

SAMPLES, SUBSTEPS, TRANSIT = 100, 16, 9e-4
HARMONICS = 20
REPEATS, MOST_FROM_REST = 5, 40
STYLE = {
    "linear": (SOFT, (0, (4, 2))),
    "lumped": (ORANGE, (0, (1, 1))),
    "one_round": (GREEN, "-"),
    "two_rounds": (BLUE, "-"),
    "graph_network": (VERMILION, "-"),
}
NAMES = {
    "linear": "linear waves",
    "lumped": "0-D (resistor, inertance, compliance per vessel)",
    "one_round": "linear waves, one round of elastic sources",
    "two_rounds": "two rounds",
    "graph_network": "linear waves, sources by the graph network",
}


class Truth(NamedTuple):
    """Trees and the last beat of the 1-D solver, ``(trees, rows, stations, times)``, in Pa and m³/s; beats and change at the end."""

    trees: ArteryTree
    pressure: np.ndarray
    flow: np.ndarray
    beats: int
    change: float


def truth(seed: int, count: int, period: float, test: bool, viscous: bool, limit: int) -> Truth:
    """Random trees and what the 1-D solver makes of them."""
    trees = draw_trees(seed, count, period, test)
    forest = plant(trees, TRANSIT, viscous)
    found = forest_beats(forest, near_periodic(forest, trees), forest_program(forest, SAMPLES, SUBSTEPS), limit)
    if found.status is not Status.SUCCESS:
        raise InputError(f"a forest on which the 1-D solver failed: {found.status.message}", "trees that it can do", "take another --seed")
    if not np.isfinite(found.pressure).all():
        raise InputError("pressures of the 1-D solver that are not finite", "numbers", "take another --seed")
    trees = jax.tree.map(np.asarray, trees)
    return Truth(trees, found.pressure, found.flow, len(found.change), float(found.change[-1].max()))


def joined(parts: list[Truth]) -> Truth:
    """One batch of several."""
    trees = jax.tree.map(lambda *arrays: np.concatenate(arrays), *(part.trees for part in parts))
    pressure, flow = (np.concatenate([getattr(part, name) for part in parts]) for name in ("pressure", "flow"))
    return Truth(trees, pressure, flow, max(part.beats for part in parts), max(part.change for part in parts))


def training_data(data: Truth) -> Any:
    """Trees, linear solutions, and harmonics of total pressure and flow, all with the trees first."""
    trees = jax.tree.map(jnp.asarray, data.trees)
    area = trees.area(jnp.asarray(data.pressure))
    total = data.pressure + 0.5 * trees.density[:, None, None, None] * (data.flow / area) ** 2
    starts = eqx.filter_jit(eqx.filter_vmap(lambda tree: linear_state(tree, HARMONICS)))(trees)
    return trees, starts, (to_harmonics(total, HARMONICS), to_harmonics(jnp.asarray(data.flow), HARMONICS))


def loss(model: GraphFlow, batch: Any) -> jax.Array:
    """Mean of :func:`twinsim.closures.graph_flow.wave_loss`."""

    def one(tree: ArteryTree, start: Any, wanted: Any) -> jax.Array:
        return wave_loss(tree, model.waves(tree, start), wanted)

    return jnp.mean(jax.vmap(one)(*batch))


def lumped_tree(tree: ArteryTree) -> tuple[jax.Array, jax.Array]:
    """The 0-D model: resistance, inertance and compliance of each vessel as one element, windkessels at the ends."""
    start = linear_state(tree, HARMONICS)
    waves = solve_lines(tree, linear_lines(tree, start.lines.mean_pressure, HARMONICS, lumped=True), start.inlet)
    place = jnp.linspace(0, 1, 5)[None, :, None]
    pressure, flow = (part[:, :1] * (1 - place) + part[:, -1:] * place for part in waves)
    return to_times(pressure, SAMPLES), to_times(flow, SAMPLES)


def methods() -> dict[str, Callable[[ArteryTree], tuple[jax.Array, jax.Array]]]:
    """Pressure and flow of one tree by what needs no training."""
    return {
        "lumped": lumped_tree,
        "linear": lambda tree: periodic_tree(tree, SAMPLES, 0, HARMONICS),
        "one_round": lambda tree: periodic_tree(tree, SAMPLES, 1, HARMONICS),
        "two_rounds": lambda tree: periodic_tree(tree, SAMPLES, 2, HARMONICS),
    }


def run_and_time(function: Callable[..., Any], *arguments: Any) -> tuple[Any, float]:
    """The result of a compiled function, and the processor time of a warm run, s: the median of some."""
    result = jax.block_until_ready(function(*arguments))
    seconds = []
    for _ in range(REPEATS):
        began = time.process_time()
        jax.block_until_ready(function(*arguments))
        seconds.append(time.process_time() - began)
    return result, float(np.median(seconds))


def errors(data: Truth, pressure: np.ndarray, flow: np.ndarray) -> dict[str, np.ndarray]:
    """Per tree, in percent, over all stations and times: root mean square error of pressure over pressure and over its pulse, of flow over
    flow.
    """
    here = np.asarray(data.trees.present)[:, :, None, None]

    def size(waves: np.ndarray) -> np.ndarray:
        return np.sqrt(np.where(here, waves**2, 0).sum(axis=(1, 2, 3)))

    wrong, pulse = size(pressure - data.pressure), data.pressure - data.pressure.mean(axis=-1, keepdims=True)
    return {
        "pressure": 100 * wrong / size(data.pressure),
        "pulse": 100 * wrong / size(pulse),
        "flow": 100 * size(flow - data.flow) / size(data.flow),
    }


def solver_times(data: Truth, viscous: bool) -> dict[str, Any]:
    """Beats that the 1-D solver takes until every tree repeats to 0.1 % of its pressure, and their processor time per tree, warm."""
    trees = jax.tree.map(jnp.asarray, data.trees)
    forest: Forest = plant(trees, TRANSIT, viscous)
    program = forest_program(forest, SAMPLES, SUBSTEPS)
    found: dict[str, Any] = {}
    for name, start in (("from_rest", forest.network.initial_state()), ("from_one_round", near_periodic(forest, trees))):
        found[f"solver_{name}_beats"] = len(forest_beats(forest, start, program, MOST_FROM_REST, 1e-3).change)
    _, seconds = run_and_time(program, forest.network, near_periodic(forest, trees))
    found["solver_core_ms_per_beat_and_tree"] = each = 1e3 * seconds / forest.shape[0]
    return found | {f"solver_{name}_core_ms_per_tree": found[f"solver_{name}_beats"] * each for name in ("from_rest", "from_one_round")}


def wave_figure(data: Truth, tree: int, found: dict[str, tuple[np.ndarray, np.ndarray]]) -> Figure:
    """Pressure and flow half way along the root, a vessel inside and an end of one tree."""
    trees = data.trees
    present, terminal = np.flatnonzero(trees.present[tree]), trees.terminal[tree]
    inside = [vessel for vessel in present[1:] if not terminal[vessel]]
    vessels = [0, *inside[len(inside) // 2 :][:1], int(present[-1])]
    titles = ["inlet vessel", *["vessel between"] * bool(inside), "terminal vessel"]
    instants = np.arange(SAMPLES) / SAMPLES * float(trees.period[tree])
    figure = new_figure(7.6)
    axes = figure.subplots(4, len(vessels), sharex=True, sharey="row", squeeze=False, height_ratios=(3, 2, 3, 2))
    for column, vessel in enumerate(vessels):
        for row, (values, factor) in enumerate(((data.pressure, 1 / 133.322), (data.flow, 1e6))):
            upper, lower, true = axes[2 * row, column], axes[2 * row + 1, column], factor * values[tree, vessel, 2]
            upper.plot(instants, true, color=INK, linewidth=2.6, alpha=0.4, label="1-D solver")
            for name, waves in found.items():
                colour, dashes = STYLE[name]
                line = {"color": colour, "linestyle": dashes, "linewidth": 1.2, "label": NAMES[name]}
                upper.plot(instants, factor * waves[row][tree, vessel, 2], **line)
                lower.plot(instants, factor * waves[row][tree, vessel, 2] - true, **line)
            quiet(upper)
            quiet(lower)
        axes[0, column].set_title(titles[column], loc="left", fontsize=10, color=INK)
        axes[-1, column].set_xlabel("time (s)")
    for row, label in enumerate(("pressure (mmHg)", "less solver", "flow (mL/s)", "less solver")):
        axes[row, 0].set_ylabel(label)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False, fontsize=8)
    return figure


def error_figure(data: Truth, scores: dict[str, dict[str, np.ndarray]]) -> Figure:
    """Errors of every tree against its number of vessels."""
    vessels = np.asarray(data.trees.present).sum(axis=1)
    figure = new_figure(3.9)
    axes = figure.subplots(1, 2, sharex=True)
    names = ("lumped", "linear", "one_round", "graph_network")
    for panel, what in zip(axes, ("pulse", "flow")):
        for place, name in enumerate(names):
            shift = 0.16 * (place - 1.5)
            panel.plot(vessels + shift, scores[name][what], "o", color=STYLE[name][0], markersize=3.6, alpha=0.8, label=NAMES[name])
        panel.set_yscale("log")
        panel.yaxis.set_major_formatter("{x:g}")
        panel.set_xlabel("vessels of the tree")
        quiet(panel)
    axes[0].set_ylabel("error of pressure (% of the pulse)")
    axes[1].set_ylabel("error of flow (%)")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False, fontsize=8)
    return figure


def loss_figure(losses: list[np.ndarray]) -> Figure:
    """Loss of each seed over the steps, mean of ten."""
    figure = new_figure(2.8)
    axes = figure.subplots()
    for number, values in enumerate(losses):
        width = min(10, len(values))
        smooth = np.convolve(values, np.full(width, 1 / width), "valid")
        axes.plot(np.arange(len(smooth)) + width, smooth, linewidth=1.3, color=(VERMILION, BLUE, GREEN)[number % 3], label=f"seed {number}")
    axes.set_yscale("log")
    axes.set_xlabel("optimiser step")
    axes.set_ylabel("training loss")
    axes.legend(frameon=False, fontsize=8)
    quiet(axes)
    return figure
