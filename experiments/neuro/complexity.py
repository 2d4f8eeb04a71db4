"""How complex a brain's answer to a pulse is, awake and under a drug that makes its cells tire: the perturbational complexity index."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from experiments.neuro import _complexity_figures
from physics import (
    AdaptingWilsonCowan,
    BrainNetwork,
    Connectome,
    LinearCoupling,
    WhiteNoise,
    perturbational_complexity,
    synthetic_connectome,
)
from twinsim.cli import run_script
from twinsim.connectome_file import read_connectome
from twinsim.errors import InputError
from twinsim.experiment import Result, finite_or_none
from twinsim.option_checks import check_options
from twinsim.report import Report
from twinsim.workspace import Workspace

SAVE_MS, SETTLING_MS, BASELINE_MS = 4.0, 1600.0, 600.0
CUTOFF = 0.31  # of the index: separated consciousness from its absence in 150 people, Casarotto et al. 2016, Ann Neurol 80, 718
LEAST_ENTROPY = 0.08  # below which the index means little, Casali et al. 2013
SPREAD = 2.0  # of the first adaptation over trials, so that slow rhythms begin anywhere


@dataclass(frozen=True)
class Config:
    """Options of the pulse, of the network and of the drug."""

    adaptation: tuple[float, ...] = (0.0, 2.0, 4.0, 6.0, 8.0, 12.0)
    """The drug: strengths of spike-frequency adaptation, from awake to deep."""
    seeds: int = 5
    """Brains: synthetic connectomes and noises. A connectome from a file gets as many noises."""
    connectome: str = "synthetic"
    """synthetic, or a ZIP, NPZ, CSV or folder; see docs/theory/brain_networks.md. Weights are scaled so that the region with the most
    hears 1 in all."""
    regions: int = 76
    """Of a synthetic connectome."""
    trials: int = 24
    """Pulses."""
    pulse: float = 0.3
    """Share of excitatory cells that the pulse makes fire."""
    pulsed_regions: int = 6
    """The region whose tracts carry most and its strongest targets."""
    excitatory_input: float = 1.5
    """P of Wilson and Cowan."""
    coupling: float = 10.0
    """Global strength."""
    inhibitory_time_ms: float = 4.0
    """Time constant of inhibition, in ms; slower inhibition makes every region a rhythm of its own, which hides answers."""
    adaptation_time_ms: float = 500.0
    """Time constant of adaptation, in ms."""
    noise_per_ms: float = 1e-7
    """Intensity of white noise on the excitatory share, per ms."""
    speed_mm_per_ms: float = 5.0
    """Of conduction, in mm/ms."""
    window_ms: float = 300.0
    """After the pulse."""
    dt_ms: float = 0.5
    """Time step; divides 4 ms."""
    resamples: int = 300
    """Of the baseline, for the threshold."""
    seed: int = 0
    """Of the first brain."""
    precision: Literal["float64"] = "float64"
    """Floating-point precision."""


def run(config: Config, workspace: Workspace) -> Result:
    """The index of every brain at every strength, and with no pulse at all."""
    check_options(
        config,
        {
            "adaptation": (0.0, 100.0), "seeds": (1, 100), "regions": (2, 1000), "trials": (2, 1000), "pulse": (0.0, 1.0),
            "pulsed_regions": (1, 1000), "excitatory_input": (-20.0, 20.0), "coupling": (0.0, 1000.0), "inhibitory_time_ms": (0.5, 150.0),
            "adaptation_time_ms": (10.0, 5000.0), "noise_per_ms": (1e-14, 1e-2), "speed_mm_per_ms": (0.1, 100.0),
            "window_ms": (8.0, 5000.0), "dt_ms": (0.01, 2.0), "resamples": (20, 10_000),
        },
    )  # fmt: skip
    for name, length in (("dt-ms", SAVE_MS / config.dt_ms), ("window-ms", config.window_ms / SAVE_MS)):
        if abs(length - round(length)) > 1e-9:
            raise InputError(
                f"--{name} {getattr(config, name.replace('-', '_')):g}", "steps that divide 4 ms, a window of whole 4 ms", "use 0.5 and 300"
            )
    if not config.adaptation:
        raise InputError("--adaptation without a strength", "one at least", "give 0 for awake")
    began = time.perf_counter()
    given = None if config.connectome == "synthetic" else read_connectome(config.connectome).scaled()
    regions = given.regions if given is not None else config.regions
    if config.pulsed_regions >= regions:
        got = f"pulsed-regions {config.pulsed_regions} in a connectome of {regions}"
        raise InputError(got, "fewer than all: the index is of how an answer spreads", "pulse fewer, or give more regions")
    connectomes = [given or synthetic_connectome(config.regions, config.seed + brain).scaled() for brain in range(config.seeds)]
    shape = (config.seeds, len(config.adaptation))
    index, entropy, sources, echo, off, rate = (np.zeros(shape) for _ in range(6))
    sham = np.zeros(config.seeds)
    shown: dict[int, Any] = {}
    for brain, connectome in enumerate(connectomes):
        pulsed = _pulsed(config, connectome)
        for dose, strength in enumerate(config.adaptation):
            before, after = _trials(config, connectome, pulsed, strength, config.pulse, brain)
            found = perturbational_complexity(before, after, resamples=config.resamples, seed=config.seed + brain)
            any_source = found.significant.any(axis=0)
            entropy[brain, dose] = found.entropy
            index[brain, dose] = found.index if found.entropy >= LEAST_ENTROPY else np.nan
            sources[brain, dose] = found.significant.any(axis=1).sum()
            echo[brain, dose] = SAVE_MS * (np.flatnonzero(any_source).max() + 1) if any_source.any() else 0.0
            low = found.response[pulsed].mean(axis=0) < -found.threshold
            off[brain, dose], rate[brain, dose] = SAVE_MS * low.sum(), before.mean()
            if brain == 0:
                shown[dose] = found
        sham[brain] = perturbational_complexity(
            *_trials(config, connectome, pulsed, config.adaptation[0], 0.0, brain), resamples=config.resamples, seed=config.seed + brain
        ).entropy
        workspace.message(f"brain {brain}: index {', '.join(f'{one:.2f}' for one in index[brain])}")
    seconds = time.perf_counter() - began
    doses = np.asarray(config.adaptation)
    counted = np.where(np.isfinite(index).any(axis=0), index, 0.0)  # where no brain has an index the median is not known
    middle = np.where(np.isfinite(index).any(axis=0), np.nanmedian(counted, axis=0), np.nan)
    order = np.argsort(doses, kind="stable")
    awake, deep = index[:, order[0]], index[:, order[-1]]
    both = np.isfinite(awake) & np.isfinite(deep)
    below = [float(doses[k]) for k in order if middle[k] < CUTOFF]
    summary: dict[str, Any] = {
        "brains": config.seeds,
        "regions": connectomes[0].regions,
        "index_awake": finite_or_none(float(middle[order[0]])),
        "index_awake_lowest": _end(awake, np.min),
        "index_awake_highest": _end(awake, np.max),
        "index_deep": finite_or_none(float(middle[order[-1]])),
        "index_deep_lowest": _end(deep, np.min),
        "index_deep_highest": _end(deep, np.max),
        "index_by_strength": " ".join(f"{doses[k]:g}:{middle[k]:.3f}" for k in order),
        "brains_compared": int(both.sum()),
        "brains_lower_when_deep": int((deep[both] < awake[both]).sum()),
        "first_strength_below_0_31": below[0] if below else None,
        "rank_correlation_with_strength": _rank_correlation(np.tile(doses, config.seeds), index.ravel()),
        "runs_without_index": int((entropy < LEAST_ENTROPY).sum()),
        "entropy_without_pulse_highest_bits": float(sham.max()),
        "echo_awake_ms": float(np.median(echo[:, order[0]])),
        "echo_deep_ms": float(np.median(echo[:, order[-1]])),
        "off_period_awake_ms": float(np.median(off[:, order[0]])),
        "off_period_deep_ms": float(np.median(off[:, order[-1]])),
        "run_seconds": seconds,
    }
    dims = ("brain", "adaptation")
    dataset = xr.Dataset(
        {
            "index": (dims, index, {"units": "1"}), "entropy": (dims, entropy, {"units": "1"}), "sources": (dims, sources, {"units": "1"}),
            "echo": (dims, echo, {"units": "ms"}), "off_period": (dims, off, {"units": "ms"}), "rate": (dims, rate, {"units": "1"}),
            "entropy_without_pulse": ("brain", sham, {"units": "1"}),
        },
        coords={"adaptation": ("adaptation", doses, {"units": "1"})},
    )  # fmt: skip
    report = Report(
        "Complexity of answers to a pulse", f"{config.seeds} brains of {connectomes[0].regions} regions, {config.trials} pulses"
    )
    _complexity_figures.show(report, dataset, shown, doses, _pulsed(config, connectomes[0]), SAVE_MS, CUTOFF)
    notes = ["The connectomes are synthetic: of nobody."] if given is None else []
    poor = int((entropy < LEAST_ENTROPY).sum())
    if poor:
        notes.append(f"In {poor} of {entropy.size} runs too little is significant for the index (entropy below {LEAST_ENTROPY:g} bits).")
    return Result(summary, report, dataset, notes=notes)


def _pulsed(config: Config, connectome: Connectome) -> np.ndarray:
    source = int(np.argmax(connectome.weights.sum(axis=0)))
    others = [one for one in np.argsort(-connectome.weights[:, source], kind="stable") if one != source]
    return np.array([source, *others[: config.pulsed_regions - 1]])


def _trials(
    config: Config, connectome: Connectome, pulsed: np.ndarray, strength: float, pulse: float, brain: int
) -> tuple[np.ndarray, np.ndarray]:
    """Excitatory shares before and after the pulse, ``(trials, regions, times)``."""
    published = AdaptingWilsonCowan.published()
    values = (config.excitatory_input, config.inhibitory_time_ms, strength, config.adaptation_time_ms)
    mass = eqx.tree_at(
        lambda one: (one.populations.excitatory_input, one.populations.inhibitory_time, one.adaptation, one.adaptation_time),
        published,
        tuple(jnp.asarray(value) for value in values),
    )
    edges = connectome.edges(config.speed_mm_per_ms, config.dt_ms)
    network = BrainNetwork(mass, LinearCoupling(jnp.asarray(config.coupling)), edges, config.dt_ms)
    kick = jnp.zeros((connectome.regions, 1)).at[jnp.asarray(pulsed)].set(pulse)
    key = jax.random.fold_in(jax.random.key(config.seed), brain)
    settling, baseline, window = (round(length / config.dt_ms) for length in (SETTLING_MS, BASELINE_MS, config.window_ms))
    steps = (settling, baseline, window)
    before, after = _march(network, kick, jnp.asarray(config.noise_per_ms), key, steps, config.trials)
    return np.asarray(before).transpose(2, 1, 0), np.asarray(after).transpose(2, 1, 0)


@eqx.filter_jit
def _march(
    network: BrainNetwork, kick: jax.Array, noise: jax.Array, key: jax.Array, steps: tuple[int, int, int], trials: int
) -> tuple[jax.Array, jax.Array]:
    start = network.initial_state(trials)
    first, second, early, late = jax.random.split(key, 4)
    start = start * jax.random.uniform(first, start.shape, minval=0.0, maxval=4.0)
    start = start.at[2].add(SPREAD * jax.random.uniform(second, (1, trials)))
    intensity = jnp.zeros(3).at[0].set(noise)

    def of(one: jax.Array) -> WhiteNoise:
        return WhiteNoise(one, intensity, start.shape, network.dt_ms)

    settling, baseline, window = steps
    every = round(SAVE_MS / network.dt_ms)
    before = network.march(start, settling + baseline, noise=of(early), every=every, derivatives="forward")
    after = network.march(before.final.at[0].add(kick), window, noise=of(late), history=before.history, every=every, derivatives="forward")
    return before.states[settling // every :, 0], after.states[:, 0]


def _end(values: np.ndarray, which: Callable[[np.ndarray], float]) -> float | None:
    known = values[np.isfinite(values)]
    return float(which(known)) if known.size else None


def _rank_correlation(x: np.ndarray, y: np.ndarray) -> float | None:
    from scipy import stats

    x, y = x[np.isfinite(y)], y[np.isfinite(y)]
    return float(stats.spearmanr(x, y).statistic) if y.size > 1 and np.ptp(x) > 0 and np.ptp(y) > 0 else None


if __name__ == "__main__":
    run_script(__spec__)
