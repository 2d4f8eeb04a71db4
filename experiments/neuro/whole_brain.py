"""A whole brain: neural masses coupled over the tracts of a connectome, with delays and noise."""

import time
from dataclasses import dataclass
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from experiments.neuro import _observables
from physics import NEURAL_MASSES, BrainNetwork, Connectome, NeuralMass, WhiteNoise, usual_coupling
from solvers import DelayedSolution, SimulationError
from twinsim.cli import run_script
from twinsim.connectome_file import read_connectome
from twinsim.errors import InputError, near_misses
from twinsim.experiment import Result
from twinsim.figure_style import BLUE, SOFT, new_figure, quiet
from twinsim.option_checks import check_options
from twinsim.report import Report
from twinsim.workspace import Workspace

SHOWN = 12  # regions in the figure
SPREAD = 0.01  # of the first states of regions, so that they are not all alike
STILL = 1e-3  # change, over the largest value, below which a region rests
FINEST = 2**24  # numbers that result.h5 may hold


@dataclass(frozen=True)
class Config:
    """Options; parameters of the masses are those of their papers unless they are set."""

    model: str = "montbrio_pazo_roxin"
    """epileptor, epileptor_plane, generic_oscillator, hopf, jansen_rit, kuramoto, montbrio_pazo_roxin, reduced_wong_wang, wilson_cowan."""
    set: tuple[str, ...] = ()
    """Parameters of the mass in all regions, as name=value; in the units of its docstring."""
    connectome: str = "synthetic"
    """synthetic (76 regions of nobody), or a ZIP, NPZ, CSV or folder; see docs/theory/brain_networks.md."""
    duration_ms: float = 1000.0
    """Simulated time, in ms; a multiple of save_ms."""
    dt_ms: float = 0.05
    """Time step, in ms."""
    save_ms: float = 1.0
    """From one saved state to the next, in ms; a multiple of dt_ms."""
    save: Literal["last", "mean"] = "last"
    """The state at the end of each of these stretches, or the mean over it."""
    conduction_speed_mm_per_ms: float = 4.0
    """Along tracts, in mm/ms; 0 stands for no delays."""
    coupling: float = 0.01
    """Global strength of the coupling that the mass is used with."""
    noise: float = 0.0
    """Intensity D of additive white noise in every variable, per ms: increments have the variance 2 D dt."""
    observables: bool = False
    """Functional connectivity, synchrony and the spectrum of the first variable."""
    bold: bool = False
    """What functional MRI would show of the first variable, and its connectivity; with --save mean, 20 s or more."""
    seed: int = 0
    """Of the noise and of the first states."""
    precision: Literal["float32", "float64"] = "float64"
    """Floating-point precision."""


def run(config: Config, workspace: Workspace) -> Result:
    """Compiles the march, runs it, and shows what the regions do."""
    mass = _mass(config)
    steps, every = _steps(config)
    if config.bold:
        _observables.check_bold(config.save, config.save_ms, config.duration_ms)
    connectome = read_connectome(config.connectome)
    numbers = steps // every * connectome.regions * len(mass.names)
    if numbers > FINEST:
        raise InputError(f"{numbers} numbers to save", f"at most {FINEST}", "use a larger save-ms or a shorter duration-ms")
    speed = config.conduction_speed_mm_per_ms or np.inf
    network = BrainNetwork(mass, usual_coupling(config.model, config.coupling), connectome.edges(speed, config.dt_ms), config.dt_ms)
    state = network.initial_state()
    state = state + SPREAD * jax.random.normal(jax.random.key(config.seed), state.shape, state.dtype)
    noise = None
    if config.noise > 0:
        intensity = jnp.full(len(mass.names), config.noise, state.dtype)
        noise = WhiteNoise(jax.random.fold_in(jax.random.key(config.seed), 1), intensity, state.shape, config.dt_ms)
    began = time.perf_counter()
    compiled = eqx.filter_jit(_march).lower(network, state, noise, steps, every, config.save == "mean").compile()  # pyright: ignore[reportFunctionMemberAccess]
    compile_seconds = time.perf_counter() - began
    workspace.message(f"{connectome.regions} regions, {network.edges.weights.size} tracts, {steps} steps")
    began = time.perf_counter()
    solution = jax.block_until_ready(compiled(network, state, noise, steps, every, config.save == "mean"))
    seconds = time.perf_counter() - began
    try:
        solution.raise_for_status()
    except SimulationError as error:
        weights = f"weights of up to {connectome.weights.max():.3g}"
        got = f"{config.model} with coupling {config.coupling:g}, {weights} and steps of {config.dt_ms:g} ms"
        raise InputError(got, "activity that stays finite", "lower --coupling, scale the weights or shorten --dt-ms") from error
    states, final = np.asarray(solution.states), np.asarray(solution.final)
    notes = _notes(config, connectome)
    late = states[len(states) // 2 :, 0]
    if len(late) > 2 and np.ptp(late, axis=0).max() < STILL * max(np.abs(late).max(), 1e-12):
        notes.append("Every region rests in the second half of the run: give --noise, another --set of parameters or more --coupling.")
    summary: dict[str, Any] = {
        "model": config.model,
        "regions": connectome.regions,
        "tracts": int(network.edges.weights.size),
        "isolated_regions": len(connectome.isolated),
        "longest_delay_ms": network.edges.reach * config.dt_ms,
        "steps": steps,
        **_final(mass, final),
        "simulated_ms_per_second": config.duration_ms / seconds,
        "compile_seconds": compile_seconds,
        "run_seconds": seconds,
    }
    times = (np.arange(len(states)) + (0.5 if config.save == "mean" else 1.0)) * every * config.dt_ms
    dataset = xr.Dataset(
        {"state": (("time", "region", "variable"), states.transpose(0, 2, 1), {"units": "those of the coordinate unit"})},
        coords={
            "time": ("time", times, {"units": "ms"}),
            "region": list(connectome.names),
            "variable": list(mass.names),
            "unit": ("variable", list(mass.units)),
        },
    )
    if not (config.observables or config.bold):
        return Result(summary, _report(config, mass, connectome, summary, times, states, notes), dataset, notes=notes)
    interval_s, first = config.save_ms / 1000, states[:, 0]
    signal = np.sin(first) if mass.units[0] == "rad" else first
    if config.noise == 0:
        notes.append("Without noise correlations and synchrony are of the way from the first states to a rhythm in common: give --noise.")
    bold = _observables.bold_of(signal, interval_s) if config.bold else None
    found, connectivity = _observables.observed(first, interval_s, mass.units[0] == "rad", bold)
    summary |= found
    dataset["functional_connectivity"] = (("region", "other_region"), connectivity, {"units": "1"})
    if bold is not None:
        dataset["bold"] = (("second", "region"), bold, {"units": "percent"})
    report = _report(config, mass, connectome, summary, times, states, notes)
    report.figure(
        _observables.picture(connectivity, signal, interval_s, bold, "" if mass.units[0] == "rad" else mass.units[0]),
        "Correlations of regions" + (", and what functional MRI would show." if config.bold else ", and the spectrum of their activity."),
        "observables",
        alt="Matrix of correlations; BOLD or spectrum",
    )
    return Result(summary, report, dataset, notes=notes)


def _final(mass: NeuralMass, final: np.ndarray) -> dict[str, float]:
    """Mean and standard deviation over regions of every variable at the end; of phases, those on the circle (Mardia and Jupp 2000)."""
    means, deviations = {}, {}
    for name, unit, row in zip(mass.names, mass.units, final, strict=True):
        mean, deviation = row.mean(), row.std()
        if unit == "rad":
            resultant = np.exp(1j * row).mean()
            mean, deviation = np.angle(resultant), np.sqrt(-2 * np.log(np.clip(np.abs(resultant), 1e-12, 1.0)))
        means[f"final_{name}_mean"], deviations[f"final_{name}_sd"] = float(mean), float(deviation)
    return means | deviations


def _march(network: BrainNetwork, state: jax.Array, noise: WhiteNoise | None, steps: int, every: int, mean: bool) -> DelayedSolution:
    return network.march(state, steps, noise=noise, every=every, mean=mean)


def _mass(config: Config) -> NeuralMass:
    """The mass with its options; refuses what no run can be made of."""
    check_options(
        config,
        {
            "duration_ms": (1e-3, 1e7),
            "dt_ms": (1e-4, 10.0),
            "save_ms": (1e-4, 1e6),
            "conduction_speed_mm_per_ms": (0.0, 1e3),
            "coupling": (-1e6, 1e6),
            "noise": (0.0, 1e3),
        },
    )
    if config.model not in NEURAL_MASSES:
        raise InputError(f"model {config.model!r}", "a neural mass", near_misses(config.model, NEURAL_MASSES))
    if 0 < config.conduction_speed_mm_per_ms < 0.1:
        raise InputError(f"conduction-speed-mm-per-ms {config.conduction_speed_mm_per_ms:g}", "0.1 to 1000, or 0", "use m/s, which it is")
    mass = NEURAL_MASSES[config.model]()
    for one in config.set:
        name, mark, text = one.partition("=")
        if not hasattr(mass, name) or not eqx.is_inexact_array(getattr(mass, name)):
            raise InputError(f"set {one!r}", f"a parameter of {config.model}", near_misses(name, vars(mass)))
        try:
            value = float(text)
        except ValueError:
            value = np.nan
        if not mark or not np.isfinite(value):
            raise InputError(f"set {one!r}", "name=number", f"write {name}={float(getattr(mass, name)):g}")
        mass = eqx.tree_at(lambda mass, name=name: getattr(mass, name), mass, jnp.asarray(value, dtype=float))
    return mass


def _steps(config: Config) -> tuple[int, int]:
    every, saves = config.save_ms / config.dt_ms, config.duration_ms / config.save_ms
    if every < 0.5 or abs(every - round(every)) > 1e-6 * every:
        raise InputError(f"save-ms {config.save_ms:g} with dt-ms {config.dt_ms:g}", "a multiple of the step", "change one of them")
    if saves < 0.5 or abs(saves - round(saves)) > 1e-6 * saves:
        raise InputError(f"duration-ms {config.duration_ms:g} with save-ms {config.save_ms:g}", "a multiple of it", "change one of them")
    return round(every) * round(saves), round(every)


def _notes(config: Config, connectome: Connectome) -> list[str]:
    notes = []
    if connectome.isolated:
        notes.append(f"{len(connectome.isolated)} regions have no tract and hear nobody: {', '.join(connectome.isolated[:6])}.")
    if own := int((np.diag(connectome.weights) > 0).sum()):
        notes.append(f"{own} regions send to themselves (weights on the diagonal), which is kept.")
    longest = float(connectome.tract_lengths[connectome.weights > 0].max(initial=0.0))
    if config.conduction_speed_mm_per_ms > 0 and longest / config.conduction_speed_mm_per_ms > config.duration_ms:
        notes.append(f"Tracts are up to {longest:.3g} mm long: their delays outlast the run. Are lengths in mm?")
    if config.conduction_speed_mm_per_ms > 0 and (count := connectome.without_delay(config.conduction_speed_mm_per_ms, config.dt_ms)):
        notes.append(f"{count} tracts are shorter than half a step, or have no length (which is in mm), and act without delay.")
    return notes


def _text(value: float | str | None) -> str:
    return "none" if value is None else value if isinstance(value, str) else f"{value:.6g}"


def _report(
    config: Config,
    mass: NeuralMass,
    connectome: Connectome,
    summary: dict[str, Any],
    times: np.ndarray,
    states: np.ndarray,
    notes: list[str],
) -> Report:
    report = Report("Whole brain", f"{config.model}, {connectome.regions} regions, coupling {config.coupling:g}, {config.duration_ms:g} ms")
    for note in notes:
        report.warn(note)
    figure = new_figure(4.2)
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    chosen = np.linspace(0, connectome.regions - 1, min(SHOWN, connectome.regions)).round().astype(int)
    traces = states[:, 0, chosen]
    apart = 1.1 * max(float(np.ptp(traces)), 1e-12)
    for row, trace in enumerate(traces.T):
        left.plot(times, trace + apart * row, color=BLUE if row % 2 == 0 else SOFT, linewidth=0.7)
    left.set_yticks(apart * np.arange(len(chosen)) + traces.mean(axis=0), [connectome.names[one] for one in chosen], fontsize=7)
    left.set_xlabel("time (ms)")
    left.set_title(f"{mass.names[0].replace('_', ' ')} ({mass.units[0]})", fontsize=10)
    quiet(left)
    drawn = np.where(connectome.weights > 0, np.log10(np.maximum(connectome.weights, 1e-300)), np.nan)
    image = right.imshow(drawn, cmap="viridis")
    figure.colorbar(image, ax=right, label="log10 of the weight", shrink=0.7)
    right.set_xlabel("from region")
    right.set_ylabel("to region")
    report.figure(
        figure, "Regions over time, each on a line of its own; the connectome.", "activity", alt="Traces and the matrix of weights"
    )
    report.table(["Quantity", "Value"], [[name, _text(value)] for name, value in summary.items()])
    if config.connectome == "synthetic":
        report.text("The connectome is synthetic: of nobody, for trying things out.")
    return report


if __name__ == "__main__":
    run_script(__spec__)
