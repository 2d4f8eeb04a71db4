"""DeepXDE and jinns beside informed networks: what they are handed over, and the rows that come of it."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from benchmarks._peers import peer_numbers, peer_python
from benchmarks._process import measure_in_fresh_process

PEERS = ("deepxde", "jinns")


@dataclass(frozen=True)
class Config:
    """Of the process that writes the files."""

    folder: str
    problems: tuple[str, ...]
    seeds: tuple[int, ...]
    cores: int = 0
    precision: Literal["float64"] = "float64"


def spread(name: str, values: list[float]) -> dict[str, float]:
    """Median, least and largest."""
    import numpy as np

    return {name: float(np.median(values)), f"{name}_least": float(min(values)), f"{name}_largest": float(max(values))}


def informed_beside(problems: tuple[str, ...], seeds: tuple[int, ...], numbers: dict[str, Any], least_seconds: float) -> dict[str, Any]:
    """Rows of both peers on the problems, each trained for the median seconds of ours in ``numbers``, or for ``least_seconds``."""
    rows: dict[str, Any] = {}
    if not problems:
        return rows
    if peer_python() is None:
        peer_numbers("deepxde_informed", {})  # says what is missing
        return rows
    with tempfile.TemporaryDirectory() as folder:
        options = measure_in_fresh_process("benchmarks._informed_peers", Config(folder, problems, seeds))
        for problem in problems:
            seconds = max(numbers[f"{problem}_training_seconds"], least_seconds)
            each = [{"seconds": seconds, "seed": seed, **options[f"{problem}_{seed}"]} for seed in seeds]
            for peer in PEERS:
                rows |= peer_rows(f"{problem}_", peer, f"{peer}_informed", each, numbers[f"{problem}_error_relative"])
    return rows


def peer_rows(prefix: str, peer: str, script: str, options: list[dict[str, Any]], ours: float) -> dict[str, Any]:
    """Error over the seeds, its ratio to ``ours`` and how the last network was trained; empty where the peer cannot run."""
    found = [peer_numbers(script, each) for each in options]
    good = [one for one in found if one is not None and "error_relative" in one]
    if not good:
        return {}
    rows: dict[str, Any] = spread(f"{prefix}{peer}_error_relative", [one["error_relative"] for one in good])
    rows |= {f"{prefix}{peer}_{key}": good[-1][key] for key in ("training_seconds", "iterations", "version") if key in good[-1]}
    return rows | {f"{prefix}error_ratio_to_{peer}": rows[f"{prefix}{peer}_error_relative"] / ours}


def measure(config: Config) -> dict[str, Any]:
    """Writes one file for each problem and seed, and gives the options that go with it by ``<problem>_<seed>``."""
    import numpy as np

    options = {}
    for problem in config.problems:
        for seed in config.seeds:
            arrays, numbers = HANDED[problem](seed)
            path = Path(config.folder) / f"{problem}_{seed}.npz"
            np.savez(path, **arrays)
            options[f"{problem}_{seed}"] = {"problem": problem, "file": str(path), **numbers}
    return options


def _allen_cahn(seed: int) -> tuple[dict[str, Any], dict[str, Any]]:
    from experiments.learning import _allen_cahn as problem

    del seed  # the problem has no data
    points, truth = problem.exact()
    return {"points": points, "truth": truth}, {"diffusivity": problem.DIFFUSIVITY, "growth": problem.GROWTH}


def _inverse_heat(seed: int) -> tuple[dict[str, Any], dict[str, Any]]:
    import numpy as np

    from experiments.learning import _inverse_heat as problem

    data, x = problem.make_data(seed, problem.MODES, problem.SITES, problem.NOISE), np.linspace(0, 1, 101)
    arrays = {"places": data.places, "values": data.values, "points": x, "truth": problem.diffusivity(data.theta, x)}
    return arrays, {"middle": problem.MIDDLE, "modes": len(data.theta), "waves": problem.WAVES}


def _drug_target(seed: int) -> tuple[dict[str, Any], dict[str, Any]]:
    from experiments.learning import _drug_target as problem

    del seed  # the problem has no data
    equation = problem.equation()
    rates = {name: float(getattr(equation, name)) for name in equation.__dataclass_fields__}
    return {"times": problem.times(), "truth": problem.exact()}, {
        "rates": rates,
        "dose": problem.DOSE,
        "hours": problem.HOURS,
        "fast": problem.FAST_H,
    }


HANDED = {"allen_cahn": _allen_cahn, "inverse_heat": _inverse_heat, "drug_target": _drug_target}
