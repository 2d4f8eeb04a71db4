"""The alpha rhythm of Jansen and Rit's column: where it begins and ends, what its frequency depends on, and what a network makes of it."""

import time
from dataclasses import dataclass
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from experiments.neuro import _alpha_column, _alpha_figures
from physics import (
    BrainNetwork,
    Connectome,
    JansenRit,
    LinearCoupling,
    WhiteNoise,
    functional_connectivity,
    spectral_peak,
    synthetic_connectome,
    upper_triangle,
    welch_spectrum,
)
from solvers import OrbitBranch
from twinsim.cli import run_script
from twinsim.connectome_file import read_connectome
from twinsim.errors import InputError
from twinsim.experiment import Result
from twinsim.option_checks import check_options
from twinsim.report import Report
from twinsim.workspace import Workspace

SAVE_MS = 4.0
SETTLING_MS = 2000.0
WINDOW_S = 4.0  # of the spectrum
BAND_HZ = (2.0, 40.0)
SPREAD = 0.1  # of the first potentials of regions, in mV, so that they are not all alike
KICKED = 4  # the variable that the input drives: the rate of the potential by excitatory cells


@dataclass(frozen=True)
class Config:
    """Options; the column's are those of Jansen and Rit (1995) unless they are set."""

    input_per_s: float = 220.0
    """Mean input of the column and of every region, in 1/s: the middle of the paper's 120 to 320."""
    excitatory_gain_mv: float = 3.25
    """A, in mV."""
    inhibitory_gain_mv: float = 22.0
    """B, in mV."""
    excitatory_rate_per_s: float = 100.0
    """a, in 1/s."""
    inhibitory_rate_per_s: float = 50.0
    """b, in 1/s."""
    synapses: float = 135.0
    """C, of which the four connections are 1, 0.8, 0.25 and 0.25."""
    lowest_input_per_s: float = -60.0
    """Where the diagram begins, in 1/s."""
    highest_input_per_s: float = 400.0
    """Where it ends, in 1/s."""
    longest_period_ms: float = 800.0
    """Period at which a family of rhythms ends, in ms: those that come to a saddle grow slower without bound."""
    steps: int = 1000
    """Of a period, of order four."""
    connectome: str = "synthetic"
    """synthetic, or a ZIP, NPZ, CSV or folder; see docs/theory/brain_networks.md. Weights are scaled so that the region with the most
    hears 1 in all."""
    regions: int = 76
    """Of the synthetic connectome."""
    couplings: tuple[float, ...] = (0.0, 5.0, 10.0, 20.0, 40.0)
    """Global strengths: inputs that a column gets per firing that it hears."""
    speeds_mm_per_ms: tuple[float, ...] = (2.0, 5.0, 0.0)
    """Conduction speeds, in mm/ms; 0 stands for no delays."""
    noise_per_s: float = 20.0
    """Standard deviation of a region's white input averaged over 10 ms, in 1/s."""
    duration_ms: float = 14_000.0
    """Simulated time of the network, in ms; the first 2000 ms are left out."""
    dt_ms: float = 0.5
    """Time step of the network, in ms; divides 4 ms."""
    seed: int = 0
    """Of the synthetic connectome, first states and noise."""
    precision: Literal["float64"] = "float64"
    """Floating-point precision."""


def run(config: Config, workspace: Workspace) -> Result:
    """The diagram of a column, its rhythm at the given input with exact slopes, and spectra of the network."""
    span = _checked(config)
    connectome = (
        synthetic_connectome(config.regions, config.seed) if config.connectome == "synthetic" else read_connectome(config.connectome)
    )
    connectome = connectome.scaled()
    mass = _mass(config)
    began = time.perf_counter()
    rests = workspace.stage("rests", lambda: _alpha_column.rests(mass, span))
    families = workspace.stage("rhythms", lambda: _alpha_column.rhythms(mass, rests, span, config.longest_period_ms, config.steps))
    workspace.message(f"{len(rests.hopf)} Hopf points, {sum(len(one.period) for one in families)} periodic orbits")
    rhythm = workspace.stage("rhythm", lambda: _alpha_column.rhythm(mass, families, config.steps))
    network = workspace.stage("network", lambda: _network(config, mass, connectome))
    alone = _alone(families, 1000 * network["drive"])
    seconds = time.perf_counter() - began
    elasticity = dict(zip(_alpha_column.PARAMETERS, rhythm.elasticity, strict=True))
    peak, connectivity = network["peak"], network["connectivity"].mean(axis=-1)
    strongest = int(np.argmax(config.couplings))
    folds = np.concatenate([family.folds for family in families]) if families else np.zeros(0)
    summary: dict[str, Any] = {
        "alpha_frequency_hz": rhythm.frequency_hz,
        "alpha_peak_to_peak_mv": float(np.ptp(_alpha_column.signal(rhythm.states))),
        "alpha_largest_multiplier": rhythm.multiplier,
        "hopf_inputs_per_s": _listed(1000 * rests.hopf[:, 0]),
        "fold_inputs_per_s": _listed(1000 * rests.folds[:, 0]),
        "fold_of_rhythms_inputs_per_s": _listed(1000 * folds[np.isfinite(folds)]),
        "families_of_rhythms": len(families),
        **{f"frequency_elasticity_to_{name}": float(value) for name, value in elasticity.items()},
        "frequency_slope_to_input_hz_s": rhythm.frequency_hz * elasticity["input"] / config.input_per_s if config.input_per_s else None,
        "largest_difference_to_central_differences": float(np.abs(rhythm.elasticity - rhythm.differences).max()),
        "network_peak_uncoupled_hz": _median(peak[:, np.asarray(config.couplings) == 0]),
        "network_strongest_coupling": float(config.couplings[strongest]),
        **{f"network_peak_{_speed(v)}_hz": _median(peak[k, strongest]) for k, v in enumerate(config.speeds_mm_per_ms)},
        "network_peak_alone_at_its_input_hz": _median(alone[0, strongest]),
        **{f"network_connectivity_{_speed(v)}": float(connectivity[k, strongest]) for k, v in enumerate(config.speeds_mm_per_ms)},
        "run_seconds": seconds,
    }
    notes = ["The connectome is synthetic: of nobody."] if config.connectome == "synthetic" else []
    notes += [
        f"A family of rhythms ended at {1000 * one.parameter[-1]:.4g} per s for want of convergence."
        for one in families
        if one.ended == "step"
    ]
    if not np.isfinite(folds).all():
        notes.append("A fold of rhythms was passed and not found.")
    report = Report("The alpha rhythm", f"Jansen and Rit's column at {config.input_per_s:g} inputs per s, and {connectome.regions} of them")
    for note in notes:
        report.warn(note)
    report.headline([
        ("alpha", rhythm.frequency_hz, "Hz"),
        ("Hopf points", summary["hopf_inputs_per_s"] or "none", "per s"),
        ("fold of rhythms", summary["fold_of_rhythms_inputs_per_s"] or "none", "per s"),
    ])  # fmt: skip
    report.figure(
        _alpha_figures.diagram(rests, families),
        "Left: rests and extremes of rhythms of a column over its input; dashed where unstable. Right: frequency of the rhythms.",
        "diagram",
        alt="Bifurcation diagram and frequency over the input",
    )
    report.figure(
        _alpha_figures.rhythm(rhythm),
        "The rhythm at the given input, and by how many percent its frequency grows where a parameter grows by one.",
        "rhythm",
        alt="One period and a bar per parameter",
    )
    report.figure(
        _alpha_figures.network(config.couplings, config.speeds_mm_per_ms, network, alone),
        "Regions with noise over coupling, by conduction speed: peak of the spectrum (median of regions; grey, a column alone at the input "
        "that regions get on average), mean correlation of regions, and spectra at the strongest coupling.",
        "network",
        alt="Peak frequency, correlation and spectra",
    )
    report.table(
        ["Quantity", "Value"],
        [[name, value if isinstance(value, str) else f"{value:.6g}"] for name, value in summary.items() if value is not None],
    )
    return Result(summary, report, _dataset(config, connectome, rests, families, rhythm, network), notes=notes)


def _checked(config: Config) -> tuple[float, float]:
    check_options(
        config,
        {
            "input_per_s": (0.0, 2000.0), "excitatory_gain_mv": (0.1, 50.0), "inhibitory_gain_mv": (0.1, 500.0),
            "excitatory_rate_per_s": (10.0, 1000.0), "inhibitory_rate_per_s": (5.0, 1000.0), "synapses": (1.0, 2000.0),
            "lowest_input_per_s": (-2000.0, 2000.0), "highest_input_per_s": (-2000.0, 2000.0), "longest_period_ms": (50.0, 5000.0),
            "steps": (100, 20_000), "regions": (2, 1000), "couplings": (0.0, 1e4), "speeds_mm_per_ms": (0.0, 1e3),
            "noise_per_s": (0.0, 1e3), "duration_ms": (SETTLING_MS + 1000 * WINDOW_S, 1e6), "dt_ms": (0.01, 1.0),
        },
    )  # fmt: skip
    if not config.lowest_input_per_s < config.highest_input_per_s:
        raise InputError(f"--highest-input-per-s {config.highest_input_per_s:g}", "more than the lowest", "exchange them")
    if not (config.couplings and config.speeds_mm_per_ms):
        raise InputError("no coupling or no speed", "one of each or more", "give --couplings 10 --speeds-mm-per-ms 5")
    if abs(SAVE_MS / config.dt_ms - round(SAVE_MS / config.dt_ms)) > 1e-9:
        raise InputError(f"--dt-ms {config.dt_ms:g}", f"a step that divides {SAVE_MS:g} ms", "use 0.5")
    if any(0 < speed < 0.1 for speed in config.speeds_mm_per_ms):
        raise InputError(f"--speeds-mm-per-ms {min(config.speeds_mm_per_ms):g}", "0.1 to 1000, or 0", "use m/s, which it is")
    return config.lowest_input_per_s / 1000, config.highest_input_per_s / 1000


def _mass(config: Config) -> JansenRit:
    return eqx.tree_at(
        lambda one: (one.input, one.excitatory_gain, one.inhibitory_gain, one.excitatory_rate, one.inhibitory_rate, one.synapses),
        JansenRit.published(),
        tuple(
            jnp.asarray(value)
            for value in (
                config.input_per_s / 1000, config.excitatory_gain_mv, config.inhibitory_gain_mv, config.excitatory_rate_per_s / 1000,
                config.inhibitory_rate_per_s / 1000, config.synapses,
            )
        ),
    )  # fmt: skip


def _network(config: Config, mass: JansenRit, connectome: Connectome) -> dict[str, np.ndarray]:
    """Spectra ``(speeds, couplings, frequencies)``, peaks and mean inputs ``(speeds, couplings, regions)``, correlations of pairs."""
    every, steps = round(SAVE_MS / config.dt_ms), round(config.duration_ms / config.dt_ms)
    strength = jnp.asarray(config.couplings).reshape(1, 1, -1)
    key = jax.random.key(config.seed)
    averaged = 10.0  # ms: the mean of white noise over this time has the variance 2 D over it
    kick = float(mass.excitatory_gain * mass.excitatory_rate) * config.noise_per_s / 1000
    intensity = jnp.zeros(6).at[KICKED].set(0.5 * averaged * kick**2)
    found: dict[str, list[np.ndarray]] = {name: [] for name in ("power", "peak", "drive", "connectivity")}
    frequencies = np.zeros(0)
    for speed in config.speeds_mm_per_ms:
        network = BrainNetwork(mass, LinearCoupling(strength), connectome.edges(speed or np.inf, config.dt_ms), config.dt_ms)
        start = network.initial_state(len(config.couplings))
        start = start.at[:3].add(SPREAD * jax.random.normal(key, start[:3].shape[:2])[..., None])
        noise = WhiteNoise(jax.random.fold_in(key, 1), intensity, start.shape, config.dt_ms) if config.noise_per_s > 0 else None
        states = _march(network, start, noise, steps // every * every, every)[round(SETTLING_MS / SAVE_MS) :]
        potential = states[:, 1] - states[:, 2]  # times, regions, couplings
        drive = mass.input + strength[0] * (connectome.weights @ jnp.mean(mass.firing(potential), axis=0))
        powers, peaks, pairs = [], [], []
        for k in range(len(config.couplings)):
            frequencies, power = welch_spectrum(potential[..., k], SAVE_MS / 1000, round(1000 * WINDOW_S / SAVE_MS))
            powers.append(np.asarray(power.mean(axis=1)))
            peaks.append(np.asarray(spectral_peak(frequencies, power, BAND_HZ)))
            pairs.append(np.asarray(upper_triangle(functional_connectivity(potential[..., k]))))
        for name, value in (("power", powers), ("peak", peaks), ("drive", np.asarray(drive).T), ("connectivity", pairs)):
            found[name].append(np.asarray(value))
    return {"frequency": np.asarray(frequencies), **{name: np.stack(value) for name, value in found.items()}}


@eqx.filter_jit
def _march(network: BrainNetwork, start: jax.Array, noise: WhiteNoise | None, steps: int, every: int) -> jax.Array:
    return network.march(start, steps, noise=noise, every=every).states


def _alone(families: list[OrbitBranch], drive: np.ndarray) -> np.ndarray:
    """Frequency (Hz) of a column alone at inputs (1/s), on the stable rhythms faster than 8 Hz; NaN where there is none."""
    found = np.full(drive.shape, np.nan)
    for family in families:
        kept = _alpha_column.stable(family) & (family.period < 125.0)
        if kept.sum() > 2:
            order = np.argsort(family.parameter[kept])
            inputs, rates = 1000 * family.parameter[kept][order], 1000 / family.period[kept][order]
            here = np.interp(drive, inputs, rates, left=np.nan, right=np.nan)
            found = np.where(np.isnan(found), here, found)
    return found


def _dataset(
    config: Config, connectome: Connectome, rests: Any, families: list[OrbitBranch], rhythm: Any, network: dict[str, np.ndarray]
) -> xr.Dataset:
    signals = [_alpha_column.signal(family.states) for family in families]
    joined = [np.concatenate(parts) if parts else np.zeros(0) for parts in (
        [1000 * one.parameter for one in families],
        [1000 / one.period for one in families],
        [one.min(axis=1) for one in signals],
        [one.max(axis=1) for one in signals],
        [_alpha_column.stable(one).astype(float) for one in families],
        [np.full(len(one.period), float(k)) for k, one in enumerate(families)],
    )]  # fmt: skip
    names = ("input", "frequency", "lowest", "highest", "stable", "family")
    return xr.Dataset(
        {
            "rest_input": ("rest", 1000 * rests.input, {"units": "1/s"}),
            "rest_potential": ("rest", rests.potential, {"units": "mV"}),
            "rest_unstable_directions": ("rest", rests.unstable.astype(float), {"units": "1"}),
            "hopf_input": ("hopf", 1000 * rests.hopf[:, 0], {"units": "1/s"}),
            "fold_input": ("fold", 1000 * rests.folds[:, 0], {"units": "1/s"}),
            **{
                f"rhythm_{name}": ("orbit", values, {"units": unit})
                for name, values, unit in zip(names, joined, ("1/s", "Hz", "mV", "mV", "1", "1"), strict=True)
            },
            "alpha": ("phase", _alpha_column.signal(rhythm.states), {"units": "mV"}),
            "elasticity": ("parameter", rhythm.elasticity, {"units": "1"}),
            "power": (("speed", "coupling", "frequency"), network["power"], {"units": "mV^2/Hz"}),
            "peak": (("speed", "coupling", "region"), network["peak"], {"units": "Hz"}),
            "mean_input": (("speed", "coupling", "region"), 1000 * network["drive"], {"units": "1/s"}),
            "connectivity": (("speed", "coupling", "pair"), network["connectivity"], {"units": "1"}),
        },
        coords={
            "speed": ("speed", np.asarray(config.speeds_mm_per_ms), {"units": "mm/ms"}),
            "coupling": ("coupling", np.asarray(config.couplings), {"units": "1"}),
            "frequency": ("frequency", network["frequency"], {"units": "Hz"}),
            "region": list(connectome.names),
            "parameter": list(_alpha_column.PARAMETERS),
        },
    )


def _listed(values: np.ndarray) -> str:
    return " ".join(f"{value:.6f}" for value in values)


def _median(values: np.ndarray) -> float | None:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if known.size else None


def _speed(speed: float) -> str:
    return f"at_{speed:g}_mm_per_ms".replace(".", "_") if speed else "without_delay"


if __name__ == "__main__":
    run_script(__spec__)
