"""Networks of arteries: seconds per heart beat of an openBF network by both schemes, jaxFlowSim on the same cells in the same run."""

import os
from dataclasses import asdict, dataclass
from typing import Any, Literal

from benchmarks._peers import beside, peer_numbers
from benchmarks._process import measure_in_fresh_process
from twinsim.errors import InputError

SCHEMES = ("second_order", "openbf")


@dataclass(frozen=True)
class Config:
    """A network from openBF's files, from rest, as openBF understands them (cylinders of the proximal radius, elastic walls)."""

    cores: int = 0
    """Pin the measuring process to so many cores; 0 uses all that there are."""

    precision: Literal["float32", "float64"] = "float64"
    """Floating-point precision."""

    network: Literal["adan56", "cca", "ibif", "uta"] = "adan56"
    """Which of the data set `openbf`."""

    cell_mm: float = 0.0
    """Longest cell, in mm; 0 takes the file's, as jaxFlowSim does."""

    cycles: int = 2
    """Beats of each run."""

    repeats: int = 3
    """Timed runs of each scheme, after one that does not count."""

    peers: bool = True
    """Run jaxFlowSim, where the environment variable `TWINSIM_JAXFLOWSIM` names a folder with its sources."""


def run(config: Config) -> dict[str, Any]:
    """The numbers by name, with the unit in each name; ours measured in a fresh process.

    jaxFlowSim runs in the peers' environment (``TWINSIM_PEERS``), which needs its dependencies: numpyro, typeguard 2.13, jaxtyping, PyYAML.
    """
    if min(config.repeats, config.cycles) < 1 or config.cell_mm < 0:
        raise InputError(str(asdict(config)), "repeats and cycles of at least 1, cells of 0 or more mm", "raise them")
    numbers = measure_in_fresh_process("benchmarks.arterial_network", config)
    pressure, steps = numbers.pop("middle_pressure_pa"), numbers["steps"]
    source = os.environ.get("TWINSIM_JAXFLOWSIM")
    if not (config.peers and source and config.cell_mm == 0):
        return numbers
    options = asdict(config) | _for_jaxflowsim(config) | {"source": source, "guess_steps": round(1.1 * steps)}
    theirs = peer_numbers("jaxflowsim_network", options, timeout_seconds=3600.0)
    if theirs is None:
        return numbers
    error = _difference(theirs.pop("middle_pressure_pa"), [vessel[1:-1] for vessel in pressure])
    cycle = theirs.pop("network_seconds") / config.cycles
    theirs |= {f"{scheme}_cycle_seconds": cycle for scheme in SCHEMES}
    theirs["network_seconds_median"] = theirs["network_seconds_median"] / config.cycles
    found = beside(numbers, "jaxflowsim", theirs | {"pressure_error_relative": error})
    found.pop("jaxflowsim_openbf_cycle_seconds")
    found["jaxflowsim_cycle_seconds"] = found.pop("jaxflowsim_second_order_cycle_seconds")
    return found


def measure(config: Config) -> dict[str, Any]:
    """What :func:`run` returns, measured in this process."""
    import time
    from dataclasses import replace
    from statistics import median

    import jax
    import jax.numpy as jnp
    import numpy as np

    from benchmarks._measure import compiled
    from physics import beat, beat_mesh
    from physics.artery_cycles import MIDDLE

    file = _file(config)
    dtype = jnp.dtype(config.precision)
    network = jax.tree.map(lambda x: x.astype(dtype) if hasattr(x, "dtype") and x.dtype.kind == "f" else x, file.network)
    mesh = beat_mesh(float(file.network.period), file.samples)
    between = float(file.network.period) / (file.samples - 1)
    numbers: dict[str, Any] = {"vessels": len(network.labels), "cells": sum(network.cells)}
    count = _steps(network, mesh, between, config.cycles)
    numbers["steps"] = round(count)
    pressures = {}
    for scheme in SCHEMES:
        one = replace(network, scheme=scheme)
        program, seconds = compiled(lambda network, state: beat(network, state, mesh), one, one.initial_state())

        def beats(one: Any = one, program: Any = program) -> Any:
            last = program(one, one.initial_state())
            for _ in range(config.cycles - 1):
                last = program(one, last.final)
            return jax.block_until_ready(last)

        last = beats()
        taken = []
        for _ in range(config.repeats):
            start = time.perf_counter()
            beats()
            taken.append(time.perf_counter() - start)

        pressures[scheme] = np.asarray(last.pressure[:, MIDDLE], float)
        numbers |= {
            f"{scheme}_cycle_seconds": min(taken) / config.cycles,
            f"{scheme}_cycle_seconds_median": median(taken) / config.cycles,
            f"{scheme}_compile_seconds": seconds,
            f"{scheme}_step_us": 1e6 * min(taken) / count,
            f"{scheme}_cell_steps_per_microsecond": 1e-6 * count * sum(network.cells) / min(taken),
        }
    numbers["openbf_scheme_error_relative"] = _difference(pressures["openbf"], pressures["second_order"])
    return numbers | {"middle_pressure_pa": pressures["openbf"].tolist()}


def _steps(network: Any, mesh: Any, between: float, cycles: int) -> float:
    """Of the scheme of order two; openBF's differ by one in a thousand."""
    import jax
    import jax.numpy as jnp

    from benchmarks._measure import compiled
    from solvers import simulate

    def of_beat(network: Any, state: Any) -> Any:
        stepper = network.stepper()
        solution = simulate(stepper, state, mesh)
        limits = jax.vmap(stepper.stepper.longest_step)(jax.tree.map(lambda x: x[:-1], solution.states))
        return jnp.sum(jnp.ceil(between / limits)), solution.final

    count, state = 0.0, network.initial_state()
    program, _ = compiled(of_beat, network, state)
    for _ in range(cycles):
        more, state = program(network, state)
        count += float(more)
    return count


def _file(config: Config) -> Any:
    from twinsim.data import locate
    from twinsim.openbf_file import read_openbf

    return read_openbf(locate("openbf") / f"{config.network}.yaml", "openbf", config.cell_mm, "elastic")


def _difference(one: Any, other: Any) -> float:
    """Root mean square difference of mid-vessel pressures over the pulse's height, of the vessel where it is largest."""
    import numpy as np

    first, second = np.asarray(one, float), np.asarray(other, float)
    return float((np.sqrt(np.mean((first - second) ** 2, axis=1)) / np.ptp(second, axis=1)).max())


def _for_jaxflowsim(config: Config) -> dict[str, Any]:
    """The same network in jaxFlowSim's words."""
    file = _file(config)
    net, vessels = file.network, []
    for v, label in enumerate(net.labels):
        vessel = {"label": label, "sn": net.source[v], "tn": net.target[v], "L": float(net.length[v]), "M": net.cells[v]}
        vessel |= {"E": float(net.youngs_modulus[v]), "R0": float(net.radius_start[v]), "Pext": float(net.external_pressure[v])}
        vessel |= {"gamma_profile": float(net.profile[v])}
        if net.thickness_given[v]:
            vessel["h0"] = float(net.thickness[v])
        if net.outlet[v] == "windkessel":
            vessel |= {"outlet": 3, "R1": float(net.proximal[v]), "R2": float(net.distal[v]), "Cc": float(net.compliance[v])}
        elif net.outlet[v] == "reflection":
            vessel |= {"outlet": 1, "Rt": float(net.reflection[v])}
        elif net.outlet[v]:
            raise InputError(f"{config.network} with an end {net.outlet[v]}", "windkessels or reflections", "add --no-peers")
        if net.source[v] in net.inlet_nodes:
            vessel |= {"inlet": 1, "inlet number": 0}
        vessels.append(vessel)
    solver = {"Ccfl": net.courant, "num_snapshots": file.samples, "conv_tol": 1.0}
    content = {"proj_name": config.network, "blood": {"rho": float(net.density), "mu": float(net.viscosity)}, "solver": solver}
    return {
        "network": content | {"network": vessels},
        "inlet_times": [float(t) for t in net.inlet_times],
        "inlet_flow": [float(q) for q in net.inlet_flow[0]],
        "samples": file.samples,
    }
