"""Stiff kinetics: Robertson's problem, a batch of it, and a chain of excitable cells; value and gradient, error beside time."""

from dataclasses import dataclass
from typing import Any, Literal

from benchmarks._peers import beside, peer_numbers
from benchmarks._process import measure_in_fresh_process
from twinsim.errors import InputError


@dataclass(frozen=True)
class Config:
    """The tolerances are ours; each peer has its own, at which its error is of the size of ours or larger."""

    cores: int = 1
    """Pin the measuring process to so many cores; 0 uses all that there are."""

    precision: Literal["float64"] = "float64"
    """The references are of double precision."""

    robertson_tolerance: float = 1e-5
    """Relative tolerance for Robertson's problem to t = 4e4; the absolute one is 1e-4 of it."""

    chain_tolerance: float = 1e-6
    """Relative tolerance for the chain to t = 20; the absolute one is 1e-3 of it."""

    cells: int = 50
    """Cells of the chain, two unknowns each."""

    batch: int = 1000
    """Members of the batch of Robertson's problem, rates spread by ten percent."""

    repeats: int = 7
    """Timed runs of each program, after one that does not count."""

    peers: bool = True
    """Run Diffrax and CVODE on the same problems, where they are installed."""


ROBERTSON_END = (3.89833770e-02, 1.62176831e-07, 9.61016461e-01)


def run(config: Config) -> dict[str, Any]:
    """The numbers by name, with the unit in each name; measured in a fresh process, peers after it."""
    if min(config.repeats, config.batch) < 1 or config.cells < 3 or min(config.robertson_tolerance, config.chain_tolerance) <= 0:
        raise InputError(
            got=f"repeats {config.repeats}, batch {config.batch}, cells {config.cells}",
            expected="at least 1, 1 and 3, and tolerances above zero",
            do="raise them",
        )
    numbers = measure_in_fresh_process("benchmarks.stiff_kinetics", config)
    if not config.peers:
        return numbers
    options = {"cells": config.cells, "batch": config.batch, "repeats": config.repeats, "chain_tolerance": config.chain_tolerance}
    numbers = beside(numbers, "diffrax", peer_numbers("diffrax_stiff", options))
    return beside(numbers, "cvode", peer_numbers("cvode_stiff", options))


def measure(config: Config) -> dict[str, Any]:
    """What :func:`run` returns of ours, measured in this process."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    from benchmarks._measure import compiled, warm
    from solvers.stiff.linear_structure_block import Tridiagonal
    from solvers.stiff.rosenbrock import RODAS4, RODAS5P
    from solvers.stiff.rosenbrock_integrate import integrate_stiff

    start, rates = jnp.array([1.0, 0.0, 0.0]), jnp.array([0.04, 3e7, 1e4])
    kinetics: dict[str, Any] = {"relative_tolerance": config.robertson_tolerance, "absolute_tolerance": config.robertson_tolerance * 1e-4}

    def robertson(rates: Any) -> Any:
        return integrate_stiff(_robertson, start, 0.0, 4e4, rates, method=RODAS4, max_steps=512, **kinetics)

    def burnt(rates: Any) -> Any:
        return robertson(rates).final[2]

    spread = rates[None] * (1 + 0.1 * jnp.asarray(np.random.default_rng(0).uniform(-1, 1, (config.batch, 3))))
    chain_start, parameters = chain_problem(config.cells)

    def chain(parameters: Any, tolerance: float, method: Any = RODAS4, max_steps: int = 2048) -> Any:
        options = {"relative_tolerance": tolerance, "absolute_tolerance": tolerance * 1e-3, "max_steps": max_steps}
        return integrate_stiff(_chain, chain_start, 0.0, 20.0, parameters, method=method, structure=Tridiagonal(1), **options)

    def chain_loss(parameters: Any) -> Any:
        return jnp.sum(chain(parameters, config.chain_tolerance).final[0])

    reference = jax.jit(lambda p: chain(p, 1e-11, RODAS5P, 20_000))(parameters)
    programs = {
        "robertson": (lambda r: robertson(r).final, rates),
        "robertson_gradient": (jax.value_and_grad(burnt), rates),
        "robertson_batch": (jax.vmap(lambda r: robertson(r).final), spread),
        "robertson_batch_gradient": (jax.vmap(jax.value_and_grad(burnt)), spread),
        "chain": (lambda p: chain(p, config.chain_tolerance).final, parameters),
        "chain_gradient": (jax.value_and_grad(chain_loss), parameters),
    }
    numbers: dict[str, Any] = {}
    results = {}
    for name, (function, argument) in programs.items():
        program, compile_seconds = compiled(function, argument)
        timed = warm(program, argument, repeats=config.repeats)
        members = config.batch if "batch" in name else 1
        key = f"{name}_per_member" if "batch" in name else name
        numbers[f"{key}_seconds"] = timed.minimum / members
        numbers[f"{key}_seconds_median"] = timed.middle / members
        numbers[f"{name}_compile_seconds"] = compile_seconds
        results[name] = program(argument)
    ended, chained = robertson(rates), chain(parameters, config.chain_tolerance)
    scale = float(jnp.max(jnp.abs(reference.final)))
    return numbers | {
        "robertson_error_relative": float(np.abs(np.asarray(results["robertson"]) / np.asarray(ROBERTSON_END) - 1).max()),
        "robertson_steps": int(ended.accepted),
        "robertson_gradient_to_forward": numbers["robertson_gradient_seconds"] / numbers["robertson_seconds"],
        "chain_error_relative": float(jnp.max(jnp.abs(results["chain"] - reference.final))) / scale,
        "chain_steps": int(chained.accepted),
        "chain_gradient_to_forward": numbers["chain_gradient_seconds"] / numbers["chain_seconds"],
        "chain_reference_status": int(reference.status),
    }


def chain_problem(cells: int) -> tuple[Any, dict[str, Any]]:
    """FitzHugh-Nagumo cells with strong diffusion: start and parameters."""
    import jax.numpy as jnp

    place = (jnp.arange(cells) + 0.5) / cells
    start = jnp.stack([-1.2 + 2.5 * jnp.exp(-(((place - 0.2) / 0.1) ** 2)), jnp.full(cells, -0.6)])
    return start, {"diffusion": jnp.asarray(50.0), "drive": jnp.asarray(0.5), "threshold": jnp.full(cells, 0.7)}


def _robertson(time: Any, state: Any, rates: Any) -> Any:
    import jax.numpy as jnp

    del time
    first, second, third = state
    exchange = -rates[0] * first + rates[2] * second * third
    burn = rates[1] * second**2
    return jnp.stack([exchange, -exchange - burn, burn])


def _chain(time: Any, state: Any, p: Any) -> Any:
    import jax.numpy as jnp

    del time
    voltage, recovery = state
    padded = jnp.pad(voltage, 1, mode="edge")
    spread = p["diffusion"] * (padded[2:] - 2 * voltage + padded[:-2])
    return jnp.stack([voltage - voltage**3 / 3 - recovery + p["drive"] + spread, 0.08 * (voltage + p["threshold"] - 0.8 * recovery)])
