"""A map of diffusivities from sparse noisy samples: a Gaussian process trained through the solver, Tikhonov, an informed network."""

import time
from collections.abc import Callable
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
    "networks": (0, 100),
    "refinement": (1, 5),
    "truth_refinement": (1, 9),
    "sites": (5, 300),
    "noise": (1e-4, 0.5),
    "width": (2, 40),
    "points": (10, 100_000),
    "iterations": (10, 10_000),
    "equation_weight": (1e-2, 1e6),
    "wall_weight": (1e-2, 1e6),
}
METHODS = {"process": "Gaussian process through the solver", "tikhonov": "Tikhonov through the solver", "informed": "informed network"}
RULES = {"discrepancy": "discrepancy", "validation": "cross-validation", "oracle": "the truth"}
NORMAL_90 = 1.6449


@dataclass(frozen=True)
class Config:
    """Options; maps are drawn from a Gaussian process, whose length and spread only the informed network is told."""

    maps: int = 20
    """Hidden maps, each with data of its own."""
    networks: int = 3
    """For so many of them an informed network is trained as well."""
    seed: int = 200
    """Of the first one; the others follow. Of those below 120 some were looked at while the methods were made."""
    sites: int = 60
    """Voxels in which samples are taken, at eight times."""
    noise: float = 0.02
    """Errors of the samples over their root mean square."""
    refinement: int = 3
    """Of the 0.4 mm voxels, for the solver that samples are compared with; odd. With 1 outlines make errors of half of the noise."""
    truth_refinement: int = 5
    """Of the 0.4 mm voxels that the data come from; odd, and not that of the inversion."""
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
    """What was found for one hidden map: diffusivities of active voxels by method, deviations of their logarithms, errors, seconds.

    ``errors`` has ``prior`` (its middle) and, for each rule by which Tikhonov's strength may be chosen, that rule as well.
    """

    truth: np.ndarray
    sites: np.ndarray
    maps: dict[str, np.ndarray]
    deviations: dict[str, np.ndarray]
    errors: dict[str, float]
    coverages: dict[str, float]
    seconds: dict[str, float]
    known: tuple[float, ...]
    rounds: np.ndarray
    messages: tuple[str, ...]


def run(config: Config, workspace: Workspace) -> Result:
    """Hides maps, samples the tracer, and looks for each by all methods."""
    _check(config)
    found = []
    for number, seed in enumerate(range(config.seed, config.seed + config.maps)):
        one = workspace.stage(f"map-{seed}", lambda s=seed, n=number: _one(config, s, n < config.networks, workspace))
        workspace.message(f"map {seed}: relative error " + ", ".join(f"{METHODS[name]} {one.errors[name]:.3f}" for name in one.maps))
        found.append(one)
    summary: dict[str, Any] = {"maps": config.maps, "samples": 8 * config.sites}
    for name in METHODS:
        those = [one for one in found if name in one.maps]
        if those:
            summary |= _numbers(name, those)
    for rule in RULES:
        summary[f"tikhonov_by_{rule}_error_relative_median"] = finite_or_none(np.median([one.errors[rule] for one in found]))
        gains = [100 * (1 - one.errors["process"] / one.errors[rule]) for one in found]
        summary[f"process_gain_over_tikhonov_by_{rule}_percent_median"] = finite_or_none(np.median(gains))
    summary["process_length_mm_median"], summary["process_spread_median"] = (
        finite_or_none(value) for value in np.median([one.known for one in found], axis=0)
    )
    summary["prior_error_relative_median"] = finite_or_none(np.median([one.errors["prior"] for one in found]))
    notes = [f"map {config.seed + k}: {text}" for k, one in enumerate(found) for text in one.messages]
    return Result(summary, _report(config, summary, found), _dataset(config, found), notes=notes or None)


def _numbers(name: str, those: list[One]) -> dict[str, Any]:
    """Headline numbers of one method over the maps that it was tried on."""
    errors = [one.errors[name] for one in those]
    numbers = {
        f"{name}_maps": len(those),
        f"{name}_error_relative_median": finite_or_none(np.median(errors)),
        f"{name}_error_relative_best": finite_or_none(min(errors)),
        f"{name}_error_relative_worst": finite_or_none(max(errors)),
        f"{name}_processor_seconds_median": finite_or_none(np.median([one.seconds[name] for one in those])),
    }
    if name == "tikhonov":
        return numbers
    covered = [one.coverages[name] for one in those]
    gains = [100 * (1 - one.errors[name] / one.errors["tikhonov"]) for one in those]
    return numbers | {
        f"{name}_coverage90": finite_or_none(np.mean(covered)),
        f"{name}_coverage90_least": finite_or_none(min(covered)),
        f"{name}_coverage90_most": finite_or_none(max(covered)),
        f"{name}_gain_over_tikhonov_percent_median": finite_or_none(np.median(gains)),
        f"{name}_gain_over_tikhonov_percent_least": finite_or_none(min(gains)),
    }


def _one(config: Config, seed: int, network: bool, workspace: Workspace) -> One:
    from experiments.learning import _tracer, _tracer_inversion

    data = _tracer.make_data(seed, config.sites, config.noise, config.truth_refinement)
    truth = data.diffusivity

    def error(found: np.ndarray) -> float:
        return float(np.linalg.norm(found - truth) / np.linalg.norm(truth))

    began = time.process_time()
    process = _tracer_inversion.gaussian_process(data, refined=config.refinement)
    seconds = {"process": time.process_time() - began}
    began = time.process_time()
    rough = _tracer_inversion.tikhonov(data, refined=config.refinement)
    seconds["tikhonov"] = time.process_time() - began
    by_rule = {rule: rough[rule].diffusivity for rule in ("discrepancy", "validation")}
    by_rule["oracle"] = min((one.diffusivity for one in rough.values()), key=error)
    # Tikhonov gets the better of both rules on every map, which nobody could choose without the truth: it is not to be beaten by its rule.
    maps = {"process": process.diffusivity, "tikhonov": min(by_rule["discrepancy"], by_rule["validation"], key=error)}
    deviations = {"process": np.asarray(process.deviation)}
    messages = []
    if not process.moved < 0.05:
        messages.append(f"got a process that still moved by {process.moved:.2g}; expected below 0.05; do: take more sites or less noise")
    rounds = np.zeros((0, 4))
    if network:
        maps["informed"], deviations["informed"], seconds["informed"], rounds, failed = _network(config, seed, data, error, workspace)
        messages += failed
    coverages = {
        name: float(np.mean(np.abs(np.log(truth / maps[name])) <= NORMAL_90 * deviation)) for name, deviation in deviations.items()
    }
    found = {**maps, **by_rule, "prior": np.full_like(truth, _tracer.DIFFUSIVITY)}
    errors = {name: error(values) for name, values in found.items()}
    return One(truth, data.sites, maps, deviations, errors, coverages, seconds, process.known, rounds, tuple(messages))


def _network(
    config: Config, seed: int, data: Any, error: Callable[[np.ndarray], float], workspace: Workspace
) -> tuple[np.ndarray, np.ndarray, float, np.ndarray, list[str]]:
    """Map, deviation of its logarithm, processor seconds, rounds and messages of the informed network."""
    import equinox as eqx
    import jax
    import jax.numpy as jnp

    from experiments.learning import _tracer
    from twinsim.informed import Sampling, Stage, fit, normal_equations, split

    active = _tracer.basis()[np.asarray(_tracer.grid().mask).ravel()]
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
    chosen = np.flatnonzero(np.asarray(split(marked)[0]))
    covariance = np.linalg.inv(np.asarray(curvature))[np.ix_(chosen, chosen)]
    deviation = np.sqrt(np.einsum("ij,jk,ik->i", active, covariance, active))
    found = _tracer.DIFFUSIVITY * np.exp(active @ np.asarray(fitted.model.z))
    return found, deviation, time.process_time() - began, fitted.rounds, [fitted.message] if fitted.status else []


def _check(config: Config) -> None:
    check_options(config, RANGES)
    if config.precision != "float64":
        raise InputError(f"precision {config.precision}", "float64", "leave the option out")
    for name, value in (("refinement", config.refinement), ("truth-refinement", config.truth_refinement)):
        if value % 2 == 0:
            raise InputError(f"--{name} {value}", "an odd number, so that voxels share their middles", "add or take one")


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
    none = np.full_like(found[0].truth, np.nan)  # a network that was not asked for
    for name in found[0].maps:
        arrays[name] = (shape, np.stack([_volume(one.maps.get(name, none)) for one in found]), rate)
        if name in found[0].deviations:
            volumes = np.stack([_volume(one.deviations.get(name, none)) for one in found])
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
    one = found[0]
    report.headline(
        [
            (METHODS[name], f"{summary[f'{name}_error_relative_median']:.3f}", "", f"worst {summary[f'{name}_error_relative_worst']:.3f}")
            for name in one.maps
        ]
    )
    low, high = one.truth.min(), one.truth.max()
    figure = new_figure(4.6)
    panels = figure.subplots(2, 3)
    extent = (0.0, _tracer.SIZE_MM[0], 0.0, _tracer.SIZE_MM[1])
    where = np.asarray(_tracer.places())[one.sites]
    shown = [("hidden", one.truth), *((METHODS[name], values) for name, values in one.maps.items())]
    for axes, (title, values) in zip(panels.ravel(), shown, strict=False):
        axes.imshow(_volume(values).T, origin="lower", extent=extent, cmap="viridis", vmin=low, vmax=high)
        error = "" if title == "hidden" else f": {np.linalg.norm(values - one.truth) / np.linalg.norm(one.truth):.3f}"
        axes.set_title(f"{title}{error}", fontsize=8)
    panels[0, 0].plot(*where.T, ".", color="white", markersize=3)
    figure.colorbar(panels[0, 0].images[0], ax=panels[0], label="D (mm²/min)")
    for axes, name in zip(panels.ravel()[4:], one.deviations, strict=False):
        score = np.abs(np.log(one.truth / one.maps[name])) / one.deviations[name]
        axes.imshow(_volume(score).T, origin="lower", extent=extent, cmap="magma_r", vmin=0, vmax=3)
        axes.set_title(f"{METHODS[name]}:\nerror over deviation", fontsize=8)
    figure.colorbar(panels[1, 1].images[0], ax=panels[1], label="deviations")
    for axes in panels.ravel():
        axes.set_xticks([])
        axes.set_yticks([])
    report.figure(figure, "The first map: hidden, with the sites, and found; below right errors over their deviations.", "maps", alt="Maps")
    networks = [one for one in found if len(one.rounds)]
    if networks:
        figure = new_figure(2.6)
        axes = figure.subplots()
        for number, one in enumerate(networks):
            color = CYCLE[number % len(CYCLE)]
            axes.semilogy(one.rounds[:, 0], one.rounds[:, 3], color=color, label=f"map {config.seed + number}")
            axes.axhline(one.errors["process"], color=color, linewidth=0.8, linestyle="--")
        axes.set_xlabel("iterations")
        axes.set_ylabel("relative error of the map")
        axes.legend(frameon=False, fontsize=8)
        quiet(axes)
        caption = "The network's error over iterations; dashed: the Gaussian process through the solver."
        report.figure(figure, caption, "course", alt="Error over iterations")
    names = [*found[0].maps, *RULES, "prior"]
    titles = [*(METHODS[name] for name in found[0].maps), *(f"Tikhonov by {text}" for text in RULES.values()), "prior's middle"]
    rows = [[str(config.seed + k), *(_shown(one.errors, name) for name in names)] for k, one in enumerate(found)]
    report.table(["Map", *titles], rows, "Relative errors over all voxels of tissue; Tikhonov: the better of both rules.")
    covered = [f"{METHODS[name]}, share in 90 % interval" for name in found[0].coverages]
    rows = [
        [str(config.seed + k), *(_shown(one.coverages, name) for name in found[0].coverages), *one.known] for k, one in enumerate(found)
    ]
    report.table(["Map", *covered, "length found (mm)", "spread found"], rows)
    report.table(["Quantity", "Value"], [[key, "none" if value is None else f"{value:.4g}"] for key, value in summary.items()])
    return report


def _shown(values: dict[str, float], name: str) -> float | str:
    return values.get(name, "not run")


if __name__ == "__main__":
    run_script(__spec__)
