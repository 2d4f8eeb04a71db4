"""A neuron in compartments with the squid's channels: steps per second and cost of the gradient; jaxley on the same in the same run."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from benchmarks._process import measure_in_fresh_process
from twinsim.errors import InputError

LENGTH_UM, RADIUS_UM, OHM_CM = 10.0, 1.0, 500.0  # of a compartment
START_MS, PULSE_MS, NANOAMPERE = 1.0, 1.0, 0.5


@dataclass(frozen=True)
class Config:
    """Compartments of 10 um, 2 um thick, 500 ohm cm; 0.5 nA for 1 ms into the first."""

    shape: Literal["cable", "tree"] = "cable"
    """cable (unbranched), or tree (binary, 63 branches)."""

    compartments: int = 128
    """Of the cable; the tree has 252 and three for each branching."""

    cores: int = 1
    """Pin the measuring process to so many cores; 0 uses all that there are."""

    precision: Literal["float32", "float64"] = "float64"
    """Floating-point precision."""

    duration_ms: float = 20.0
    """Simulated time, in ms."""

    dt_ms: float = 0.025
    """Step, in ms."""

    repeats: int = 40
    """Timed runs of each program, after one that does not count."""

    peers: bool = True
    """Run jaxley, where it is installed."""


def run(config: Config) -> dict[str, Any]:
    """The numbers by name, with the unit in each name; measured in a fresh process."""
    if config.repeats < 1 or config.compartments < 2 or not config.duration_ms >= 3.0 >= 100 * config.dt_ms > 0:
        raise InputError(
            got=f"repeats {config.repeats}, compartments {config.compartments}, duration-ms {config.duration_ms:g}, dt-ms {config.dt_ms:g}",
            expected="at least 1, 2 and 3, steps of at most 0.03",
            do="change them",
        )
    return measure_in_fresh_process("benchmarks.cable", config)


def measure(config: Config) -> dict[str, Any]:
    """What :func:`run` returns, measured in this process."""
    import equinox as eqx
    import jax
    import jax.numpy as jnp
    import numpy as np

    from benchmarks._measure import compiled, warm
    from benchmarks._peers import beside, peer_numbers
    from physics import CurrentClamp, HodgkinHuxley1952, Neuron, Pulses, Section, cable_shape, neuron_shape
    from solvers import simulate

    parents = [-1] if config.shape == "cable" else [-1, *((i - 1) // 2 for i in range(1, 63))]
    per_branch = config.compartments if config.shape == "cable" else 4
    length = per_branch * LENGTH_UM
    if config.shape == "cable":
        shape = cable_shape(length, 2 * RADIUS_UM, per_branch)
    else:
        line = np.array([[0.0, 0, 0], [length, 0, 0]])  # where branches lie in space does not matter here
        shape = neuron_shape([Section(line, np.full(2, RADIUS_UM), parent) for parent in parents], LENGTH_UM + 1e-6)
    last = max(i for i, section in enumerate(shape.section) if section == len(parents) - 1)
    membrane = eqx.tree_at(lambda one: one.leak_potential, HodgkinHuxley1952.published(), jnp.asarray(-54.3))
    clamp = CurrentClamp(0, Pulses(NANOAMPERE, START_MS, PULSE_MS))
    neuron = Neuron(shape, membrane, jnp.asarray(OHM_CM), (clamp,))
    steps = round(config.duration_ms / config.dt_ms)
    mesh = neuron.mesh([steps * config.dt_ms], config.dt_ms)
    observe = neuron.recorder([last])

    def trace(neuron: Neuron, method: str) -> Any:
        state = neuron.initial_state()
        state = neuron.staggered(state, config.dt_ms) if method == "staggered" else state
        return simulate(neuron.stepper(method), state, mesh, observe=observe).observations[:, 0]  # pyright: ignore[reportArgumentType]

    numbers: dict[str, Any] = {"compartments": shape.compartments, "steps": mesh.steps}
    traces = {}
    for method in ("staggered", "symmetric", "euler"):
        forward, compile_seconds = compiled(lambda neuron, method=method: trace(neuron, method), neuron)
        traces[method] = np.asarray(forward(neuron))
        best = warm(forward, neuron, repeats=config.repeats)
        prefix = "" if method == "staggered" else f"{method}_"
        numbers |= {f"{prefix}forward_seconds": best.minimum, f"{prefix}forward_seconds_median": best.middle}
        if method != "staggered":
            continue
        gradient, gradient_compile = compiled(jax.value_and_grad(lambda neuron: jnp.mean((trace(neuron, "staggered") / 50) ** 2)), neuron)
        there_and_back = warm(gradient, neuron, repeats=config.repeats).minimum
        numbers |= {
            "gradient_seconds": there_and_back,
            "gradient_to_forward": there_and_back / best.minimum,
            "compartment_steps_per_second": shape.compartments * mesh.steps / best.minimum,
            "compile_seconds": compile_seconds,
            "gradient_compile_seconds": gradient_compile,
        }
    numbers["peak_mv"] = float(traces["staggered"].max())
    if not config.peers:
        return numbers
    with tempfile.TemporaryDirectory() as folder:
        options = {
            "parents": parents, "per_branch": per_branch, "length_um": LENGTH_UM, "radius_um": RADIUS_UM, "ohm_cm": OHM_CM,
            "start_ms": START_MS, "pulse_ms": PULSE_MS, "nanoampere": NANOAMPERE, "dt_ms": config.dt_ms,
            "duration_ms": config.duration_ms, "precision": config.precision, "repeats": config.repeats,
            "trace": str(Path(folder) / "trace.npy"),
        }  # fmt: skip
        theirs = peer_numbers("jaxley_cable", options)
        if theirs is not None:
            theirs = {**theirs, "gradient_to_forward": theirs["gradient_seconds"] / theirs["forward_seconds"]}
            other = np.load(options["trace"])[1 : mesh.steps + 1]
            numbers["euler_largest_deviation_from_jaxley_mv"] = float(np.abs(other - traces["euler"][: len(other)]).max())
    return beside(numbers, "jaxley", theirs)
