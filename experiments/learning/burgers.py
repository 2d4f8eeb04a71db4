"""Burgers' equation by a physics-informed network, forward and for the viscosity from sparse values, beside a classical solver."""

import time
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from twinsim.cli import run_script
from twinsim.errors import InputError
from twinsim.experiment import Result, finite_or_none
from twinsim.figure_style import CYCLE, INK, SOFT, VERMILION, new_figure, quiet
from twinsim.option_checks import check_options
from twinsim.report import Report
from twinsim.workspace import Workspace

VISCOSITY = 0.01 / np.pi
TIMES = (0.25, 0.5, 0.75, 1.0)
RANGES = {
    "seeds": (1, 100),
    "width": (2, 60),
    "layers": (1, 6),
    "first_points": (10, 100_000),
    "first_iterations": (5, 100_000),
    "points": (10, 100_000),
    "iterations": (0, 100_000),
    "seconds": (0.0, 86_400.0),
    "samples": (0, 100_000),
    "noise": (0.0, 1.0),
    "first_viscosity_ratio": (0.1, 10.0),
    "classical_cells": (16, 8192),
}


@dataclass(frozen=True)
class Config:
    """Options; the problem is the usual one, viscosity 0.01/pi on [-1, 1] x [0, 1] from -sin(pi x)."""

    seeds: int = 3
    """Networks, each drawn and fitted with a seed of its own."""
    seed: int = 0
    """Of the first one; the others follow."""
    width: int = 20
    """Units of a hidden layer."""
    layers: int = 3
    """Hidden layers."""
    first_points: int = 600
    """Collocation points while the solution takes shape."""
    first_iterations: int = 100
    """Iterations with them, in rounds of 5 between which points are renewed."""
    points: int = 3000
    """Collocation points afterwards."""
    iterations: int = 200
    """Iterations with them, in rounds of 10."""
    seconds: float = 25.0
    """No round of a fit begins after so many seconds; compiling is not counted. 0 is no limit."""
    samples: int = 200
    """Values of the solution from which the viscosity is found, every second within a tenth of the front; 0 leaves that out."""
    noise: float = 0.0
    """Standard deviation of the errors of these values."""
    first_viscosity_ratio: float = 3.0
    """First guess of the viscosity, over the true one."""
    classical_cells: int = 1024
    """Cells of the classical solver, with twice as many steps; the solver of half as many is shown too."""
    precision: str = "float64"
    """Floating-point precision: float64."""


class One(NamedTuple):
    """What one seed gave; ``rounds`` are iterations, wall seconds, processor seconds and error."""

    values: np.ndarray
    error: float
    rounds: np.ndarray
    compile_seconds: float
    inference_seconds: float
    viscosity: float
    viscosity_rounds: np.ndarray
    messages: tuple[str, ...]


def run(config: Config, workspace: Workspace) -> Result:
    """Fits networks to the equation, and others to equation and values, and solves by finite differences."""
    _check(config)
    from experiments.learning import _burgers

    points, truth = _burgers.lattice()
    seeds = range(config.seed, config.seed + config.seeds)
    found = []
    for seed in seeds:
        one = workspace.stage(f"seed-{seed}", lambda s=seed: _one(config, s, points, truth, workspace))
        workspace.message(f"seed {seed}: relative error {one.error:.2e}" + (f", viscosity {_off(one):+.3f} %" if config.samples else ""))
        found.append(one)
    classical = {cells: _classical(cells) for cells in (config.classical_cells // 2, config.classical_cells)}
    errors = np.array([one.error for one in found])
    summary: dict[str, Any] = {
        "seeds": config.seeds,
        "error_relative_median": finite_or_none(np.median(errors)),
        "error_relative_worst": finite_or_none(errors.max()),
        "iterations_median": finite_or_none(np.median([one.rounds[-1, 0] for one in found])),
        "fit_seconds_median": finite_or_none(np.median([one.rounds[-1, 1] for one in found])),
        "fit_processor_seconds_median": finite_or_none(np.median([one.rounds[-1, 2] for one in found])),
        "compile_seconds_median": finite_or_none(np.median([one.compile_seconds for one in found])),
        "inference_seconds_per_20301_points": finite_or_none(np.median([one.inference_seconds for one in found])),
    }
    for cells, (error, seconds) in classical.items():
        summary |= {f"classical_{cells}_error_relative": error, f"classical_{cells}_seconds": seconds}
    if config.samples:
        off = np.abs([_off(one) for one in found])
        summary |= {"viscosity_error_percent_median": float(np.median(off)), "viscosity_error_percent_worst": float(off.max())}
    notes = [f"seed {seed}: {text}" for seed, one in zip(seeds, found, strict=True) for text in one.messages]
    return Result(summary, _report(config, summary, found, truth), _dataset(config, found, truth), notes=notes or None)


def _one(config: Config, seed: int, points: np.ndarray, truth: np.ndarray, workspace: Workspace) -> One:
    import jax
    import jax.numpy as jnp

    from experiments.learning import _burgers
    from twinsim.informed import Stage, fit

    stages = [Stage(config.first_points, -(-config.first_iterations // 5), 5)]
    if config.iterations:
        stages.append(Stage(config.points, -(-config.iterations // 10), 10))
    where, limit, widths = jnp.asarray(points), config.seconds or np.inf, (config.width,) * config.layers
    total = sum(stage.rounds for stage in stages)

    def fitted(name: str, problem: Any, model: Any, watch: Any) -> Any:
        with workspace.progress(total, f"{name}, seed {seed}", "rounds") as bar:
            return fit(problem, model, tuple(stages), seed=seed, seconds=limit, watch=watch, progress=lambda *_: bar.advance(1))

    forward = fitted(
        "forward",
        _burgers.forward_problem(),
        _burgers.field(seed, widths),
        lambda model: _burgers.relative_error(_burgers.values(model, where), truth),
    )
    values = np.asarray(_burgers.values(forward.model, where))
    began = time.perf_counter()
    jax.block_until_ready(_burgers.values(forward.model, where))
    inference = time.perf_counter() - began
    messages = [] if not forward.status else [forward.message]
    viscosity, course = float("nan"), np.zeros((0, 4))
    if config.samples:
        places, data = _burgers.sparse_values(seed, config.samples, config.noise)
        model = _burgers.field(seed + 1000, widths, config.first_viscosity_ratio * VISCOSITY)
        # Without noise the equation's own residual, some thousandths, stands for what the values cannot say.
        problem = _burgers.inverse_problem(places, data, max(config.noise, 1e-2))
        inverse = fitted("viscosity", problem, model, lambda model: float(np.exp(model.log_viscosity)))
        viscosity, course = float(np.exp(inverse.model.log_viscosity)), inverse.rounds
        messages += [] if not inverse.status else [inverse.message]
    error = _burgers.relative_error(values, truth)
    return One(values, error, forward.rounds, forward.compile_seconds, inference, viscosity, course, tuple(messages))


def _off(one: One) -> float:
    """Error of the viscosity in percent."""
    return 100 * (one.viscosity / VISCOSITY - 1)


def _classical(cells: int) -> tuple[float, float]:
    """Relative error at the quarters of the time, and the seconds."""
    from experiments.learning import _burgers

    began = time.perf_counter()
    x, found = _burgers.finite_differences(cells, 2 * cells, np.array(TIMES))
    seconds = time.perf_counter() - began
    truth = np.stack([_burgers.exact(x, np.full_like(x, t)) for t in TIMES])
    return _burgers.relative_error(found, truth), seconds


def _check(config: Config) -> None:
    check_options(config, RANGES)
    if config.precision != "float64":
        raise InputError(f"precision {config.precision}", "float64", "leave the option out")


def _axes(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x, t, and the values as ``(x, t)``."""
    count = round((1 + (1 + 8 * len(values)) ** 0.5) / 4)  # (2n - 1) n values
    return np.linspace(-1, 1, 2 * count - 1), np.linspace(0, 1, count), values.reshape(2 * count - 1, count)


def _dataset(config: Config, found: list[One], truth: np.ndarray) -> xr.Dataset:
    x, t, exact = _axes(truth)
    longest = max(len(one.rounds) for one in found)
    history = np.full((len(found), longest, 4), np.nan)
    for row, one in zip(history, found, strict=True):
        row[: len(one.rounds)] = one.rounds
    dataset = xr.Dataset(
        {
            "u": (("seed", "x", "t"), np.stack([_axes(one.values)[2] for one in found]), {"units": "1"}),
            "exact": (("x", "t"), exact, {"units": "1"}),
            "iterations": (("seed", "round"), history[..., 0], {"units": "1"}),
            "seconds": (("seed", "round"), history[..., 1], {"units": "s"}),
            "processor_seconds": (("seed", "round"), history[..., 2], {"units": "s"}),
            "error": (("seed", "round"), history[..., 3], {"units": "1"}),
        },
        coords={
            "seed": ("seed", config.seed + np.arange(len(found)), {"units": "1"}),
            "x": ("x", x, {"units": "1"}),
            "t": ("t", t, {"units": "1"}),
        },
    )
    if config.samples:
        dataset["viscosity"] = (("seed",), np.array([one.viscosity for one in found]), {"units": "1"})
    return dataset


def _report(config: Config, summary: dict[str, Any], found: list[One], truth: np.ndarray) -> Report:
    x, t, exact = _axes(truth)
    middle = sorted(found, key=lambda one: one.error)[len(found) // 2]
    network = _axes(middle.values)[2]
    report = Report("Burgers' equation by a network", f"{config.layers} layers of {config.width}; {config.seeds} seed(s); viscosity 0.01/π")
    report.headline(
        [
            ("Relative error, median", f"{summary['error_relative_median']:.2g}", "", f"worst {summary['error_relative_worst']:.2g}"),
            (
                f"Finite differences, {config.classical_cells} cells",
                f"{summary[f'classical_{config.classical_cells}_error_relative']:.2g}",
                "",
                f"in {summary[f'classical_{config.classical_cells}_seconds']:.2f} s",
            ),
        ]
    )
    figure = new_figure(3.4)
    left, centre, right = figure.subplots(1, 3)
    drawn = left.pcolormesh(t, x, network, cmap="RdBu_r", vmin=-1, vmax=1, shading="gouraud", rasterized=True)
    figure.colorbar(drawn, ax=left, label="u", location="top")
    off = np.log10(np.abs(network - exact) + 1e-12)
    drawn = centre.pcolormesh(t, x, off, cmap="magma", vmin=-7, vmax=-2, shading="gouraud", rasterized=True)
    figure.colorbar(drawn, ax=centre, label="log10 of the error", location="top")
    for axes in (left, centre):
        axes.set_xlabel("t")
        axes.set_ylabel("x")
    for number, time_now in enumerate(TIMES):
        column = int(np.argmin(np.abs(t - time_now)))
        right.plot(x, exact[:, column], color=SOFT, linewidth=3, alpha=0.5, label="exact" if number == 0 else None)
        right.plot(x, network[:, column], color=CYCLE[number], linewidth=1.2, label=f"t = {time_now:g}")
    right.set_xlabel("x")
    right.set_ylabel("u")
    right.legend(frameon=False, fontsize=8)
    quiet(right)
    report.figure(
        figure, "The network of the middle seed, its error, and the front as it steepens.", "field", alt="Field, error and profiles"
    )
    figure = new_figure(2.9)
    left, right = figure.subplots(1, 2)
    for number, one in enumerate(found):
        left.semilogy(
            one.rounds[:, 2], one.rounds[:, 3], color=CYCLE[number % len(CYCLE)], linewidth=1.3, label=f"seed {config.seed + number}"
        )
    for cells, marker in ((config.classical_cells // 2, "s"), (config.classical_cells, "D")):
        seconds, error = summary[f"classical_{cells}_seconds"], summary[f"classical_{cells}_error_relative"]
        left.semilogy([seconds], [error], marker, color=INK, markersize=5, label=f"finite differences, {cells} cells")
    left.set_xlabel("processor seconds")
    left.set_ylabel("relative error")
    left.legend(frameon=False, fontsize=7)
    quiet(left)
    for number, one in enumerate(found):
        if len(one.viscosity_rounds):
            ratio = np.abs(one.viscosity_rounds[:, 3] / VISCOSITY - 1)
            right.semilogy(one.viscosity_rounds[:, 0], 100 * ratio, color=CYCLE[number % len(CYCLE)], linewidth=1.3)
    right.axhline(0.1, color=VERMILION, linewidth=0.8)
    right.set_xlabel("iterations")
    right.set_ylabel("error of the viscosity (%)")
    quiet(right)
    report.figure(
        figure, "Left: error over processor time. Right: the viscosity found from values; the line is 0.1 %.", "course", alt="Errors"
    )
    report.table(["Quantity", "Value"], [[key, "none" if value is None else f"{value:.4g}"] for key, value in summary.items()])
    report.text(
        "A network is no rival of a classical solver where the equation is known: the finite differences beside it are faster at equal "
        "error. What it is good for is the second problem, where values are few and a coefficient is missing."
    )
    return report


if __name__ == "__main__":
    run_script(__spec__)
