"""A brain of 76 regions with delays: simulated time per second, gradient, batch; tvboptim on the same network in the same run."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from benchmarks._process import measure_in_fresh_process
from twinsim.errors import InputError


@dataclass(frozen=True)
class Config:
    """Montbrio, Pazo and Roxin's masses in Heun's method with the coupling held over a step."""

    connectome: str = "synthetic"
    """synthetic, or a file as of neuro/whole_brain."""

    cores: int = 1
    """Pin the measuring process to so many cores; 0 uses all that there are."""

    precision: Literal["float32", "float64"] = "float32"
    """Floating-point precision."""

    duration_ms: float = 200.0
    """Simulated time, in ms."""

    dt_ms: float = 0.05
    """Step, in ms."""

    conduction_speed_mm_per_ms: float = 4.0
    """Along tracts, in mm/ms."""

    members: int = 16
    """Parameter sets of the batch."""

    repeats: int = 5
    """Timed runs of each program, after one that does not count."""

    peers: bool = True
    """Run tvboptim, where it is installed."""


def run(config: Config) -> dict[str, Any]:
    """The numbers by name, with the unit in each name; measured in a fresh process."""
    if config.repeats < 1 or config.members < 2 or not config.duration_ms >= 100 * config.dt_ms > 0:
        raise InputError(
            got=f"repeats {config.repeats}, members {config.members}, duration-ms {config.duration_ms:g}, dt-ms {config.dt_ms:g}",
            expected="at least 1, 2 and a hundred steps",
            do="raise them",
        )
    return measure_in_fresh_process("benchmarks.brain_network", config)


def measure(config: Config) -> dict[str, Any]:
    """What :func:`run` returns, measured in this process."""
    import equinox as eqx
    import jax
    import jax.numpy as jnp
    import numpy as np

    from benchmarks._measure import compiled, warm
    from benchmarks._peers import peer_numbers
    from physics import BrainNetwork, LinearCoupling, MontbrioPazoRoxin
    from twinsim.connectome_file import read_connectome

    connectome = read_connectome(config.connectome)
    steps = round(config.duration_ms / config.dt_ms)
    mass = eqx.tree_at(lambda one: one.mean_excitability, MontbrioPazoRoxin.published(), jnp.asarray(-4.6))

    def network(speed: float, strength: Any) -> BrainNetwork:
        return BrainNetwork(mass, LinearCoupling(jnp.asarray(strength)), connectome.edges(speed, config.dt_ms), config.dt_ms)

    def final(network: BrainNetwork, state: Any) -> Any:
        return network.march(state, steps, every=steps).final

    def trajectory(network: BrainNetwork, state: Any) -> Any:
        return network.march(state, steps).states

    late, prompt = network(config.conduction_speed_mm_per_ms, 0.01), network(float("inf"), 0.01)
    state = late.initial_state()
    forward, compile_seconds = compiled(final, late, state)
    every_step, _ = compiled(trajectory, late, state)
    without, _ = compiled(final, prompt, state)
    strengths = jnp.linspace(0.005, 0.015, config.members)
    many = network(config.conduction_speed_mm_per_ms, np.asarray(strengths)[None, None])
    batch, _ = compiled(final, many, late.initial_state(config.members))

    def loss(mass: Any, weights: Any) -> Any:
        changed = eqx.tree_at(lambda one: (one.mass, one.edges.weights), late, (mass, weights))
        return jnp.mean(changed.march(state, steps).states[:, 0] ** 2)

    gradient, gradient_compile = compiled(jax.value_and_grad(loss, argnums=(0, 1)), late.mass, late.edges.weights)
    times = {
        "delayed": warm(forward, late, state, repeats=config.repeats).minimum,
        "delayed_trajectory": warm(every_step, late, state, repeats=config.repeats).minimum,
        "without_delays": warm(without, prompt, state, repeats=config.repeats).minimum,
        "batch": warm(batch, many, late.initial_state(config.members), repeats=config.repeats).minimum,
        "gradient": warm(gradient, late.mass, late.edges.weights, repeats=config.repeats).minimum,
    }
    numbers: dict[str, Any] = {
        "regions": connectome.regions,
        "tracts": int(late.edges.weights.size),
        "longest_delay_steps": late.edges.reach,
        "block_steps": late.edges.block,
        "delayed_ms_per_second": config.duration_ms / times["delayed"],
        "delayed_trajectory_ms_per_second": config.duration_ms / times["delayed_trajectory"],
        "without_delays_ms_per_second": config.duration_ms / times["without_delays"],
        "delayed_step_us": 1e6 * times["delayed"] / steps,
        "batch_speedup_over_serial_runs": config.members * times["delayed"] / times["batch"],
        "value_and_gradient_forward_passes": times["gradient"] / times["delayed"],
        "compile_seconds": compile_seconds,
        "gradient_compile_seconds": gradient_compile,
        "final_firing_rate_mean": float(jnp.mean(forward(late, state)[0])),
    }
    if not config.peers:
        return numbers
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "connectome.npz"
        np.savez(path, weights=connectome.weights, tract_lengths=connectome.tract_lengths)
        options = {
            "connectome": str(path),
            "duration_ms": config.duration_ms,
            "dt_ms": config.dt_ms,
            "speed": config.conduction_speed_mm_per_ms,
            "repeats": config.repeats,
            "precision": config.precision,
        }
        theirs = peer_numbers("tvboptim_network", options)
    if theirs is None:
        return numbers
    numbers |= {f"tvboptim_{key}": value for key, value in theirs.items()}
    return numbers | {"speed_ratio_to_tvboptim": numbers["delayed_trajectory_ms_per_second"] / theirs["best_ms_per_second"]}
