"""How a seizure spreads over a connectome: which regions it recruits and when, what that depends on, and whose removal stops it."""

import time
from dataclasses import dataclass
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from matplotlib.colors import SymLogNorm

from physics import BrainNetwork, Connectome, DifferenceCoupling, EpileptorPlane, onset_times, synthetic_connectome
from twinsim.cli import run_script
from twinsim.connectome_file import read_connectome
from twinsim.errors import InputError, near_misses
from twinsim.experiment import Result, finite_or_none
from twinsim.figure_style import BLUE, INK, SOFT, VERMILION, new_figure, quiet
from twinsim.option_checks import check_options
from twinsim.report import Report
from twinsim.workspace import Workspace

REMOVED = -4.0  # epileptogenicity of tissue that cannot seize
HEALTHY = -2.07  # the most that tissue outside of the zone gets
SAVE_MS = 1.0


@dataclass(frozen=True)
class Config:
    """Options of the spread."""

    connectome: str = "synthetic"
    """synthetic, or a ZIP, NPZ, CSV or folder; see docs/theory/brain_networks.md. Weights are scaled so that the region with the most
    hears 1 in all."""
    regions: int = 76
    """Of the synthetic connectome."""
    zone: tuple[str, ...] = ()
    """Names of the epileptogenic regions; without any, the one whose tracts carry most and its three strongest targets."""
    zone_epileptogenicity: float = -1.8
    """Of these; above -2.062 a region seizes by itself."""
    other_epileptogenicity: float = -2.2
    """Of all other regions: excitable below -2.062, the less the lower."""
    other_spread: float = 0.1
    """Standard deviation of it over those regions, which stay below -2.07: healthy brains are not alike everywhere."""
    coupling: float = 3.0
    """Global strength of the difference coupling."""
    slow_time_ms: float = 2857.0
    """Of the permittivity, in ms."""
    duration_ms: float = 6000.0
    """Simulated time, in ms."""
    dt_ms: float = 0.25
    """Time step, in ms."""
    removals: int = 10
    """Regions that are removed one at a time: those on which recruitment depends most, by the gradient."""
    seed: int = 0
    """Of the synthetic connectome and of what regions differ by."""
    precision: Literal["float64"] = "float64"
    """Floating-point precision."""


def run(config: Config, workspace: Workspace) -> Result:
    """Onsets of all regions, their exact slopes to every region's epileptogenicity and to the coupling, and removals."""
    check_options(
        config,
        {
            "regions": (2, 1000), "zone_epileptogenicity": (-4.0, 0.0), "other_epileptogenicity": (-4.0, 0.0), "other_spread": (0.0, 1.0),
            "coupling": (0.0, 100.0), "slow_time_ms": (10.0, 1e5), "duration_ms": (10.0, 1e5), "dt_ms": (1e-3, 0.5), "removals": (0, 1000),
        },
    )  # fmt: skip
    if abs(1 / config.dt_ms - round(1 / config.dt_ms)) > 1e-9:
        raise InputError(f"--dt-ms {config.dt_ms:g}", "a whole number of steps per ms", "use 0.25")
    connectome = (
        synthetic_connectome(config.regions, config.seed) if config.connectome == "synthetic" else read_connectome(config.connectome)
    )
    connectome = connectome.scaled()
    zone = _zone(config, connectome)
    x0 = jnp.asarray(_epileptogenicity(config, connectome.regions, zone))
    began = time.perf_counter()
    times, activity = _simulated(config, connectome, x0, jnp.asarray(config.coupling))
    onset = np.asarray(onset_times(times, activity))
    workspace.message(f"{connectome.regions} regions, {np.isfinite(onset).sum()} seize")
    slopes, to_coupling = workspace.stage("slopes", lambda: _slopes(config, connectome, x0))
    recruited = np.isfinite(onset) & ~np.isin(np.arange(connectome.regions), zone)
    influence = np.where(np.isfinite(onset)[:, None], slopes, 0.0)
    order = np.argsort(influence[recruited].sum(axis=0), kind="stable")[: min(config.removals, connectome.regions)]
    order = order if np.isfinite(onset).any() else order[:0]
    seizing = workspace.stage("removals", lambda: _removals(config, connectome, x0, order))
    left = seizing.sum(axis=0)
    seconds = time.perf_counter() - began
    summary: dict[str, Any] = {
        "regions": connectome.regions,
        "zone": " ".join(connectome.names[one] for one in zone),
        "regions_seizing": int(np.isfinite(onset).sum()),
        "regions_recruited": int(recruited.sum()),
        "first_onset_ms": finite_or_none(onset.min()),
        "first_recruited_onset_ms": finite_or_none(onset[recruited].min()) if recruited.any() else None,
        "median_recruited_onset_ms": finite_or_none(np.median(onset[recruited])) if recruited.any() else None,
        "last_onset_ms": finite_or_none(onset[np.isfinite(onset)].max()) if np.isfinite(onset).any() else None,
        "median_slope_to_coupling_ms": finite_or_none(np.median(to_coupling[recruited])) if recruited.any() else None,
        "removal_leaving_fewest": connectome.names[order[int(np.argmin(left))]] if len(order) else None,
        "regions_seizing_after_it": int(left.min()) if len(order) else None,
        "of_these_in_the_zone": int(seizing[zone, np.argmin(left)].sum()) if len(order) else None,
        "run_seconds": seconds,
    }
    finite = np.where(np.isfinite(onset), onset, np.nan)
    names = list(connectome.names)
    dataset = xr.Dataset(
        {
            "activity": (("time", "region"), np.asarray(activity), {"units": "1"}),
            "onset": ("region", finite, {"units": "ms"}),
            "onset_slope": (("region", "of_region"), slopes, {"units": "ms"}),
            "onset_slope_to_coupling": ("region", to_coupling, {"units": "ms"}),
        },
        coords={"time": ("time", np.asarray(times), {"units": "ms"}), "region": names, "of_region": names},
    )
    if len(order):
        dataset["regions_seizing_without"] = ("removed", left.astype(float), {"units": "1"})
        dataset = dataset.assign_coords(removed=[names[one] for one in order])
    report = Report("Spread of a seizure", f"{connectome.regions} regions, zone {summary['zone']}, coupling {config.coupling:g}")
    _show(report, connectome, zone, np.asarray(times), np.asarray(activity), onset, influence, order, left)
    notes = ["The connectome is synthetic: of nobody."] if config.connectome == "synthetic" else []
    if connectome.isolated:
        notes.append(f"{len(connectome.isolated)} regions have no tract and hear nobody: {', '.join(connectome.isolated[:6])}.")
    if not np.isfinite(onset).any():
        notes.append(f"No region seized within {config.duration_ms:g} ms.")
    return Result(summary, report, dataset, notes=notes)


def _zone(config: Config, connectome: Connectome) -> np.ndarray:
    if not config.zone:
        source = int(np.argmax(connectome.weights.sum(axis=0)))
        targets = np.argsort(-connectome.weights[:, source], kind="stable")[:3]
        return np.concatenate([[source], targets[connectome.weights[targets, source] > 0]])
    for name in config.zone:
        if name not in connectome.names:
            raise InputError(
                f"--zone {name}", f"regions of the connectome, such as {connectome.names[0]}", near_misses(name, connectome.names)
            )
    return np.array([connectome.names.index(name) for name in dict.fromkeys(config.zone)])


def _epileptogenicity(config: Config, regions: int, zone: np.ndarray) -> np.ndarray:
    """Of all regions: those outside of the zone drawn, and held below what seizes by itself unless their mean is above."""
    differ = config.other_spread * np.random.default_rng([config.seed, 14]).normal(size=regions)
    found = np.minimum(config.other_epileptogenicity + differ, max(HEALTHY, config.other_epileptogenicity))
    found[zone] = config.zone_epileptogenicity
    return found


def _simulated(config: Config, connectome: Connectome, x0: jax.Array, coupling: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Times and the fast variable ``(times, regions, *members)``."""
    steps, every = round(config.duration_ms / config.dt_ms), round(SAVE_MS / config.dt_ms)
    given = eqx.tree_at(
        lambda mass: (mass.epileptogenicity, mass.slow_time), EpileptorPlane.published(), (x0, jnp.asarray(config.slow_time_ms))
    )
    network = BrainNetwork(given, DifferenceCoupling(coupling), connectome.edges(np.inf, config.dt_ms), config.dt_ms)
    start = network.initial_state(None if x0.ndim == 1 else x0.shape[1])
    solution = _march(network, start, steps // every * every, every)
    return SAVE_MS * (1.0 + jnp.arange(steps // every)), solution


@eqx.filter_jit
def _march(network: BrainNetwork, start: jax.Array, steps: int, every: int) -> jax.Array:
    return network.march(start, steps, every=every, derivatives="forward").states[:, 0]


def _slopes(config: Config, connectome: Connectome, x0: jax.Array) -> tuple[np.ndarray, np.ndarray]:
    """Of every onset to every region's epileptogenicity ``(onsets, regions)``, and to the coupling, ms; zero where there is no onset."""

    def onsets(given: jax.Array) -> jax.Array:
        return onset_times(*_simulated(config, connectome, given[:-1], given[-1]))

    found = np.asarray(jax.jacfwd(onsets)(jnp.concatenate([x0, jnp.asarray([config.coupling])])))
    found = np.where(np.isfinite(found), found, 0.0)
    return found[:, :-1], found[:, -1]


def _removals(config: Config, connectome: Connectome, x0: jax.Array, order: np.ndarray) -> np.ndarray:
    """Which regions seize when one of these cannot, ``(regions, removed)``, all in one batch."""
    if not len(order):
        return np.zeros((len(x0), 0), bool)
    members = jnp.broadcast_to(x0[:, None], (len(x0), len(order))).at[order, jnp.arange(len(order))].set(REMOVED)
    onset = onset_times(*_simulated(config, connectome, members, jnp.asarray(config.coupling)))
    return np.asarray(jnp.isfinite(onset))


def _show(
    report: Report,
    connectome: Connectome,
    zone: np.ndarray,
    times: np.ndarray,
    activity: np.ndarray,
    onset: np.ndarray,
    influence: np.ndarray,
    order: np.ndarray,
    left: np.ndarray,
) -> None:
    rank = np.argsort(onset, kind="stable")
    begun = rank[np.isfinite(onset[rank])]
    labels = [connectome.names[one] for one in begun] if len(begun) <= 40 else []
    figure = new_figure(4.6)
    first, second = figure.subplots(1, 2)
    image = first.imshow(
        activity[:, rank].T, aspect="auto", cmap="magma", extent=(0, times[-1], len(rank) - 0.5, -0.5), interpolation="nearest"
    )
    figure.colorbar(image, ax=first, label="fast variable", shrink=0.8)
    first.set_xlabel("time (ms)")
    first.set_ylabel("region, by its onset; others below")
    shown = influence[np.ix_(begun, begun)]
    most = max(float(np.abs(shown).max()), 1e-12) if shown.size else 1.0
    if shown.size:
        image = second.imshow(shown, cmap="RdBu", norm=SymLogNorm(1.0, vmin=-most, vmax=most))
        figure.colorbar(image, ax=second, label="slope of onset (ms per unit)", shrink=0.8)
    for axis in (first.yaxis, second.yaxis):
        if labels:
            axis.set_ticks(range(len(labels)), labels, fontsize=5)
    second.set_xlabel("of the epileptogenicity of region, in the same order")
    second.set_ylabel("onset of region")
    report.figure(figure, "Activity in the order of onsets; what each onset depends on.", "spread", alt="Activity and matrix of slopes")
    if len(order):
        figure = new_figure(3.2)
        axes = figure.subplots()
        axes.bar(range(len(order)), left, color=[VERMILION if one in zone else BLUE for one in order])
        axes.axhline(np.isfinite(onset).sum(), color=INK, linewidth=0.8, linestyle="--")
        axes.set_xticks(range(len(order)), [connectome.names[one] for one in order], rotation=60, fontsize=7)
        axes.set_xlabel("region that is made unable to seize")
        axes.set_ylabel("regions that seize")
        axes.tick_params(axis="x", color=SOFT)
        quiet(axes)
        report.figure(
            figure,
            "Regions that seize when one cannot; red bars: that one is of the zone; dashed: all are there.",
            "removals",
            alt="Bars of recruited regions",
        )
    rows = [[connectome.names[one], f"{onset[one]:.1f}", "yes" if one in zone else ""] for one in rank if np.isfinite(onset[one])]
    report.table(["Region", "Onset (ms)", "Of the zone"], rows[:20])


if __name__ == "__main__":
    run_script(__spec__)
