"""A map of diffusivities from sparse noisy samples of a tracer in tissue: an informed network beside two classical inversions."""

import time
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from twinsim.cli import run_script
from twinsim.errors import InputError
from twinsim.experiment import Result, finite_or_none
from twinsim.figure_style import CYCLE, new_figure, quiet
from twinsim.option_checks import check_options
from twinsim.report import Report
from twinsim.workspace import Workspace

RANGES = {
    "maps": (1, 100),
    "sites": (5, 300),
    "noise": (1e-4, 0.5),
    "width": (2, 40),
    "points": (10, 100_000),
    "iterations": (10, 10_000),
    "equation_weight": (1e-2, 1e6),
    "wall_weight": (1e-2, 1e6),
}
METHODS = {"informed": "informed network", "solver": "solver, same prior", "tikhonov": "solver, Tikhonov"}
NORMAL_90 = 1.6449


@dataclass(frozen=True)
class Config:
    """Options; maps are drawn from a Gaussian process whose length and spread all but Tikhonov know."""

    maps: int = 3
    """Hidden maps, each with data and a network of its own."""
    seed: int = 0
    """Of the first one; the others follow."""
    sites: int = 60
    """Voxels in which samples are taken, at eight times."""
    noise: float = 0.02
    """Errors of the samples over their root mean square."""
    width: int = 20
    """Units in each of the three hidden layers."""
    points: int = 1500
    """Collocation points."""
    iterations: int = 240
    """Iterations, in rounds of 10 between which a fifth of the points is renewed."""
    equation_weight: float = 600.0
    """One over the root mean square that the residual of the equation may have, in units of a first sample per duration."""
    wall_weight: float = 200.0
    """The same of the flux through walls, per mm."""
    precision: str = "float64"
    """Floating-point precision: float64."""


class One(NamedTuple):
    """What was found for one hidden map: diffusivities of active voxels by method, deviations of their logarithms, errors, seconds."""

    truth: np.ndarray
    sites: np.ndarray
    maps: dict[str, np.ndarray]
    deviations: dict[str, np.ndarray]
    errors: dict[str, float]
    coverages: dict[str, float]
    seconds: dict[str, float]
    rounds: np.ndarray
    messages: tuple[str, ...]


def run(config: Config, workspace: Workspace) -> Result:
    """Hides maps, samples the tracer, and looks for each by three methods."""
    _check(config)
    found = []
    for seed in range(config.seed, config.seed + config.maps):
        one = workspace.stage(f"map-{seed}", lambda s=seed: _one(config, s, workspace))
        workspace.message(f"map {seed}: relative error " + ", ".join(f"{METHODS[name]} {one.errors[name]:.3f}" for name in METHODS))
        found.append(one)
    summary: dict[str, Any] = {"maps": config.maps, "samples": 8 * config.sites}
    for name in METHODS:
        errors = [one.errors[name] for one in found]
        summary |= {
            f"{name}_error_relative_median": finite_or_none(np.median(errors)),
            f"{name}_error_relative_worst": finite_or_none(max(errors)),
        }
        summary[f"{name}_processor_seconds_median"] = finite_or_none(np.median([one.seconds[name] for one in found]))
        if name != "tikhonov":
            summary[f"{name}_coverage90"] = finite_or_none(np.mean([one.coverages[name] for one in found]))
            gains = [100 * (1 - one.errors[name] / one.errors["tikhonov"]) for one in found]
            summary[f"{name}_gain_over_tikhonov_percent_median"] = finite_or_none(np.median(gains))
    summary["prior_error_relative_median"] = finite_or_none(np.median([one.errors["prior"] for one in found]))
    notes = [f"map {config.seed + k}: {text}" for k, one in enumerate(found) for text in one.messages]
    return Result(summary, _report(config, summary, found), _dataset(config, found), notes=notes or None)


def _one(config: Config, seed: int, workspace: Workspace) -> One:
    import equinox as eqx
    import jax
    import jax.numpy as jnp

    from experiments.learning import _tracer
    from twinsim.informed import Sampling, Stage, fit, normal_equations, split

    data = _tracer.make_data(seed, config.sites, config.noise)
    truth = data.diffusivity
    active = _tracer.basis()[np.asarray(_tracer.grid().mask).ravel()]

    def error(found: np.ndarray) -> float:
        return float(np.linalg.norm(found - truth) / np.linalg.norm(truth))

    maps, deviations, seconds = {}, {}, {}
    for name, invert in (("tikhonov", _tracer.tikhonov), ("solver", _tracer.solver_with_prior)):
        began = time.process_time()
        inversion = invert(data)
        seconds[name], maps[name] = time.process_time() - began, inversion.diffusivity
        if inversion.deviation is not None:
            deviations[name] = inversion.deviation

    began = time.process_time()
    problem = _tracer.informed_problem(data, config.equation_weight, config.wall_weight)
    rounds = -(-config.iterations // 10)
    with workspace.progress(rounds, f"network, map {seed}", "rounds") as bar:
        fitted = fit(
            problem,
            _tracer.tracer_model(seed, config.width),
            (Stage(config.points, rounds, 10),),
            seed=seed,
            sampling=Sampling(kept=0.8, exponent=0.0),  # the map is asked for everywhere, not only where the field is hard to follow
            watch=lambda model: error(_tracer.DIFFUSIVITY * np.exp(active @ np.asarray(model.z))),
            progress=lambda *_: bar.advance(1),
        )
    vector, restore = split(fitted.model)
    # The interval: curvature of all rows, network included, so that what the network cannot settle widens the map.
    curvature = jax.jit(lambda at: normal_equations(fitted.rows, at, restore)[2])(vector)
    marked = eqx.tree_at(lambda model: model.z, jax.tree.map(jnp.zeros_like, fitted.model), jnp.ones_like(fitted.model.z))
    places = np.flatnonzero(np.asarray(split(marked)[0]))
    covariance = np.linalg.inv(np.asarray(curvature))[np.ix_(places, places)]
    maps["informed"] = _tracer.DIFFUSIVITY * np.exp(active @ np.asarray(fitted.model.z))
    deviations["informed"] = np.sqrt(np.einsum("ij,jk,ik->i", active, covariance, active))
    seconds["informed"] = time.process_time() - began

    coverages = {
        name: float(np.mean(np.abs(np.log(truth / maps[name])) <= NORMAL_90 * deviation)) for name, deviation in deviations.items()
    }
    errors = {name: error(maps[name]) for name in METHODS} | {"prior": error(np.full_like(truth, _tracer.DIFFUSIVITY))}
    messages = (fitted.message,) if fitted.status else ()
    return One(truth, data.sites, maps, deviations, errors, coverages, seconds, fitted.rounds, messages)


def _check(config: Config) -> None:
    check_options(config, RANGES)
    if config.precision != "float64":
        raise InputError(f"precision {config.precision}", "float64", "leave the option out")


def _volume(values: np.ndarray) -> np.ndarray:
    """Active voxels laid out as ``(x, y)``, NaN outside."""
    from experiments.learning import _tracer

    mask = np.asarray(_tracer.grid().mask)[..., 0]
    volume = np.full(mask.shape, np.nan)
    volume[mask] = values
    return volume


def _dataset(config: Config, found: list[One]) -> xr.Dataset:
    from experiments.learning import _tracer

    x, y = (np.unique(np.asarray(_tracer.places())[:, axis]) for axis in (0, 1))
    shape, rate = ("map", "x", "y"), {"units": "mm^2/min"}
    arrays: dict[str, Any] = {"hidden": (shape, np.stack([_volume(one.truth) for one in found]), rate)}
    for name in METHODS:
        arrays[name] = (shape, np.stack([_volume(one.maps[name]) for one in found]), rate)
        if name in found[0].deviations:
            volumes = np.stack([_volume(one.deviations[name]) for one in found])
            arrays[f"{name}_deviation_of_logarithm"] = (shape, volumes, {"units": "1"})
    coords = {
        "map": ("map", config.seed + np.arange(len(found)), {"units": "1"}),
        "x": ("x", x, {"units": "mm"}),
        "y": ("y", y, {"units": "mm"}),
    }
    return xr.Dataset(arrays, coords=coords)


def _report(config: Config, summary: dict[str, Any], found: list[One]) -> Report:
    from experiments.learning import _tracer

    subtitle = f"{config.maps} hidden map(s), {8 * config.sites} samples at {config.sites} sites, errors of {100 * config.noise:g} %"
    report = Report("Diffusivities from a tracer", subtitle)
    report.headline(
        [
            (METHODS[name], f"{summary[f'{name}_error_relative_median']:.3f}", "", f"worst {summary[f'{name}_error_relative_worst']:.3f}")
            for name in METHODS
        ]
    )
    one = found[0]
    low, high = one.truth.min(), one.truth.max()
    figure = new_figure(4.6)
    panels = figure.subplots(2, 3)
    extent = (0.0, _tracer.SIZE_MM[0], 0.0, _tracer.SIZE_MM[1])
    where = np.asarray(_tracer.places())[one.sites]
    shown = [("hidden", one.truth), *((METHODS[name], one.maps[name]) for name in METHODS)]
    for axes, (title, values) in zip(panels.ravel(), shown, strict=False):
        axes.imshow(_volume(values).T, origin="lower", extent=extent, cmap="viridis", vmin=low, vmax=high)
        error = "" if title == "hidden" else f": {np.linalg.norm(values - one.truth) / np.linalg.norm(one.truth):.3f}"
        axes.set_title(f"{title}{error}", fontsize=9)
    panels[0, 0].plot(*where.T, ".", color="white", markersize=3)
    figure.colorbar(panels[0, 0].images[0], ax=panels[0], label="D (mm²/min)")
    for axes, name in zip(panels.ravel()[4:], ("informed", "solver"), strict=True):
        score = np.abs(np.log(one.truth / one.maps[name])) / one.deviations[name]
        axes.imshow(_volume(score).T, origin="lower", extent=extent, cmap="magma_r", vmin=0, vmax=3)
        axes.set_title(f"{METHODS[name]}: error over deviation", fontsize=9)
    figure.colorbar(panels[1, 1].images[0], ax=panels[1], label="deviations")
    for axes in panels.ravel():
        axes.set_xticks([])
        axes.set_yticks([])
    report.figure(figure, "The first map: hidden, with the sites, and found; below right errors over their deviations.", "maps", alt="Maps")
    figure = new_figure(2.6)
    axes = figure.subplots()
    for number, one in enumerate(found):
        axes.semilogy(one.rounds[:, 0], one.rounds[:, 3], color=CYCLE[number % len(CYCLE)], label=f"map {config.seed + number}")
        axes.axhline(one.errors["solver"], color=CYCLE[number % len(CYCLE)], linewidth=0.8, linestyle="--")
    axes.set_xlabel("iterations")
    axes.set_ylabel("relative error of the map")
    axes.legend(frameon=False, fontsize=8)
    quiet(axes)
    report.figure(
        figure, "The network's error over iterations; dashed: the solver with the same prior.", "course", alt="Error over iterations"
    )
    rows = [
        [str(config.seed + k), *(one.errors[name] for name in METHODS), one.errors["prior"], *one.coverages.values()]
        for k, one in enumerate(found)
    ]
    covered = [f"{METHODS[name]}, share in 90 % interval" for name in found[0].coverages]
    report.table(["Map", *METHODS.values(), "prior's middle", *covered], rows, "Relative errors over all voxels of tissue.")
    report.table(["Quantity", "Value"], [[key, "none" if value is None else f"{value:.4g}"] for key, value in summary.items()])
    return report


if __name__ == "__main__":
    run_script(__spec__)
