"""Informed networks beside classical solvers of equal error, DeepXDE and jinns: Burgers, Allen-Cahn, heat, Poisson, a stiff drug."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from benchmarks._informed_peers import PEERS, informed_beside, peer_rows, spread
from benchmarks._process import measure_in_fresh_process
from twinsim.option_checks import check_options


@dataclass(frozen=True)
class Config:
    """Viscosity 0.01/pi on [-1, 1] x [0, 1] from -sin(pi x); every program trains for as many seconds, compiling not counted."""

    cores: int = 0
    """Pin the measuring process to so many cores; 0 uses all that there are."""

    precision: Literal["float64"] = "float64"
    """Of the network; the peers keep their own, which is single."""

    seconds: float = 25.0
    """Of training, for each seed and program."""

    seeds: int = 3
    """Networks, each drawn with a seed of its own."""

    seed: int = 0
    """Of the first one."""

    width: int = 20
    """Units in each of three hidden layers; the peers have 20."""

    first_points: int = 600
    """Collocation points of the first rounds."""

    first_iterations: int = 100
    """Iterations with them."""

    points: int = 3000
    """Collocation points afterwards, until the time is over."""

    method: Literal["levenberg-marquardt", "broyden", "bfgs"] = "levenberg-marquardt"
    """Optimiser."""

    samples: int = 200
    """Values from which the viscosity is found; 0 leaves that out."""

    problems: tuple[Literal["allen_cahn", "inverse_heat", "masked_poisson", "drug_target"], ...] = (
        "allen_cahn",
        "inverse_heat",
        "masked_poisson",
        "drug_target",
    )
    """Of `learning/informed_problems`, by Levenberg-Marquardt for as many iterations as that has; none leaves them out."""

    effort: float = 1.0
    """Multiplies the iterations of these problems."""

    peers: bool = True
    """Run DeepXDE and jinns too, where their environment is."""

    peer_problems: tuple[Literal["burgers", "allen_cahn", "inverse_heat", "drug_target"], ...] = (
        "burgers",
        "allen_cahn",
        "inverse_heat",
        "drug_target",
    )
    """With which problems; each network of theirs trains for the median seconds of ours. They know no voxel masks."""

    peer_least_seconds: float = 0.0
    """Of training the peers on the three others than Burgers: more than 0 gives them more time than ours took where that is short."""


RANGES = {
    "seconds": (0.1, 3600.0),
    "seeds": (1, 100),
    "width": (2, 60),
    "first_points": (10, 100_000),
    "first_iterations": (5, 100_000),
    "points": (10, 100_000),
    "samples": (0, 100_000),
    "effort": (0.01, 100.0),
    "peer_least_seconds": (0.0, 3600.0),
}
MANY = 10_000  # rounds: time ends them


def run(config: Config) -> dict[str, Any]:
    """The numbers by name, with the unit in each name; medians over the seeds with least and largest beside them."""
    check_options(config, RANGES)
    numbers = measure_in_fresh_process("benchmarks.learning", config)
    if not config.peers:
        return numbers
    seeds = tuple(range(config.seed, config.seed + config.seeds))
    if "burgers" in config.peer_problems:
        numbers |= _burgers_peers(config, seeds, numbers["error_relative"])
    problems = tuple(name for name in config.problems if name in config.peer_problems)
    return numbers | informed_beside(problems, seeds, numbers, config.peer_least_seconds)


def _burgers_peers(config: Config, seeds: tuple[int, ...], ours: float) -> dict[str, Any]:
    """Rows of both peers on Burgers' equation."""
    import numpy as np

    from experiments.learning._burgers import VISCOSITY, lattice

    points, truth = lattice()
    rows: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "lattice.npy"
        np.save(path, np.column_stack([points, truth]))
        options = {"lattice": str(path), "seconds": config.seconds, "viscosity": float(VISCOSITY)}
        for peer in PEERS:
            rows |= peer_rows("", peer, f"{peer}_burgers", [options | {"seed": seed} for seed in seeds], ours)
    return rows


def measure(config: Config) -> dict[str, Any]:
    """What :func:`run` returns of ours, measured in this process; JAX's precision must be float64."""
    import time

    import jax
    import jax.numpy as jnp
    import numpy as np

    from experiments.learning import _burgers
    from twinsim.informed import Stage, fit

    points, truth = _burgers.lattice()
    where, widths = jnp.asarray(points), (config.width,) * 3
    each = 1 if config.method == "levenberg-marquardt" else 4  # quasi-Newton iterations are that many times cheaper, or more
    stages = (
        Stage(config.first_points, -(-config.first_iterations // 5), 5 * each),
        Stage(config.points, MANY, 10 * each),
    )
    found: dict[str, list[float]] = {}
    for seed in range(config.seed, config.seed + config.seeds):
        model = _burgers.field(seed, widths)
        fitted = fit(_burgers.forward_problem(), model, stages, seed=seed, method=config.method, seconds=config.seconds)
        values = jax.block_until_ready(_burgers.values(fitted.model, where))
        began = time.perf_counter()
        jax.block_until_ready(_burgers.values(fitted.model, where))
        row = {
            "inference_seconds": time.perf_counter() - began,
            "error_relative": _burgers.relative_error(values, truth),
            "training_seconds": fitted.rounds[-1, 1],
            "training_processor_seconds": fitted.rounds[-1, 2],
            "iterations": fitted.rounds[-1, 0],
            "compile_seconds": fitted.compile_seconds,
        }
        if config.samples:
            problem = _burgers.inverse_problem(*_burgers.sparse_values(seed, config.samples), 1e-2)
            begun = _burgers.field(seed + 1000, widths, 3 * _burgers.VISCOSITY)
            inverse = fit(problem, begun, stages, seed=seed, method=config.method, seconds=config.seconds)
            off = float(jnp.exp(inverse.model.log_viscosity)) / _burgers.VISCOSITY - 1
            row["viscosity_error_percent"] = abs(100 * off)
        for key, value in row.items():
            found.setdefault(key, []).append(float(value))
    numbers: dict[str, Any] = {}
    for key, values in found.items():
        numbers |= spread(key, values) if "error" in key else {key: float(np.median(values))}
    numbers |= _classical(numbers["error_relative"], numbers["training_seconds"])
    for problem in config.problems:
        numbers |= {f"{problem}_{key}": value for key, value in _problem(problem, config).items()}
    return numbers


def _problem(name: str, config: Config) -> dict[str, Any]:
    """One problem over the seeds: the network's rows, then those of the classical solver that reaches its error."""
    import numpy as np

    from experiments.learning._informed_case import classical_beside, named, solved

    module, found, seeds = named(name), [], range(config.seed, config.seed + config.seeds)
    for seed in seeds:
        found.append(solved(module.case(seed, scale=config.effort), seed))
    numbers: dict[str, Any] = spread("error_relative", [one.error for one in found])
    for key, values in (
        ("training_seconds", [one.rounds[-1, 1] for one in found]),
        ("training_processor_seconds", [one.rounds[-1, 2] for one in found]),
        ("iterations", [one.rounds[-1, 0] for one in found]),
        ("compile_seconds", [one.compile_seconds for one in found]),
        ("inference_seconds", [one.inference_seconds for one in found]),
        *((key, [one.more[key] for one in found]) for key in found[0].more),
    ):
        numbers[key] = float(np.median(values))
    return numbers | classical_beside(module.levels(seeds), numbers["error_relative"], numbers["training_seconds"])


def _classical(error: float, seconds: float) -> dict[str, float]:
    """Finite differences: on 1024 cells, and on as few as reach the network's error, with how much sooner they do."""
    import time

    import numpy as np

    from experiments.learning import _burgers

    times = np.array([0.25, 0.5, 0.75, 1.0])
    numbers: dict[str, float] = {}
    for cells in (128, 256, 512, 1024, 2048, 4096):
        began = time.perf_counter()
        x, found = _burgers.finite_differences(cells, 2 * cells, times)
        taken = time.perf_counter() - began
        off = _burgers.relative_error(found, np.stack([_burgers.exact(x, np.full_like(x, t)) for t in times]))
        if cells == 1024:
            numbers |= {"classical_1024_error_relative": off, "classical_1024_seconds": taken}
        if off <= error and "classical_equal_error_cells" not in numbers:
            numbers |= {
                "classical_equal_error_cells": cells,
                "classical_equal_error_seconds": taken,
                "speed_ratio_to_classical": taken / seconds,
            }
        if cells >= 1024 and "classical_equal_error_cells" in numbers:
            break
    return numbers
