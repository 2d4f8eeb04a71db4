"""Runs a benchmark: its numbers, their spread over repetitions, and what they were measured with."""

import dataclasses
import os
import platform
import shlex
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout, suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, distributions, version
from pathlib import Path
from typing import Any

from twinsim import catalogue
from twinsim.benchmark_history import Entry
from twinsim.benchmark_keys import is_number, spreads_within
from twinsim.experiment import Value, checked_summary, print_summary
from twinsim.machine import load
from twinsim.provenance import git_revision, plain

FORMAT = 1
"""Version of an entry of the history."""

_PACKAGES = (
    "twinsim", "jax", "jaxlib", "jax-cuda12-plugin", "jax-cuda13-plugin", "libtpu",
    "equinox", "lineax", "optimistix", "diffrax", "numpy", "scipy",
)  # fmt: skip


def run_benchmark(name: str, config: Any = None) -> dict[str, Value]:
    """Run `benchmarks/<name>.py` and print what it measured, on standard error.

    A benchmark has a one-line docstring, a frozen dataclass `Config`, and `run(config)` that returns the
    numbers by name, with the unit in each name.

    Raises:
        InputError: There is no such benchmark, or a number is not finite.
    """
    script = catalogue.find(name, catalogue.benchmarks(), "benchmark")
    module = catalogue.load(script)
    with redirect_stdout(sys.stderr):  # standard output belongs to --json
        numbers = checked_summary(module.run(module.Config() if config is None else config))
    print_summary(f"{script.name}: {script.summary}", numbers)
    return numbers


def measure(name: str, config: Any, repeat: int = 1) -> Entry:
    """The entry of the history for one benchmark, without the machine: numbers, spread, configuration, versions.

    Args:
        name: The benchmark.
        config: Its Config.
        repeat: How often the whole benchmark is run.

    Returns:
        ``numbers`` are medians over the repetitions, ``spread`` the relative standard deviation of every number that varied, and
        ``samples`` its values; the rest says what was run, when, and on what.
    """
    before, start = load(), time.perf_counter()
    samples = [run_benchmark(name, config) for _ in range(max(1, repeat))]
    numbers, spread, values = summarised(samples)
    if repeat > 1:
        print_summary(f"{name}: median of {repeat} runs", numbers)
    return {
        "format": FORMAT,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "benchmark": name,
        "config": _options(config),
        "repeat": max(1, repeat),
        "numbers": numbers,
        "spread": spread,
        "samples": values,
        "seconds": time.perf_counter() - start,
        "load_before": before,
        "peers": peer_versions(),
        "versions": _versions(),
        "git_revision": git_revision(),
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "python": platform.python_version(),
        "platform": platform.platform(terse=True),
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
    }


def summarised(samples: Sequence[Mapping[str, Value]]) -> tuple[dict[str, Value], dict[str, float], dict[str, list[float]]]:
    """Medians, relative spreads and the values that varied, of several runs of one benchmark.

    The spread of a number is its standard deviation over the runs, relative to the mean; or, where that is larger, the distance
    of the median from the minimum that the benchmark found within a run.
    """
    numbers: dict[str, Value] = {}
    spread = {key: value for key, value in _largest(spreads_within(sample) for sample in samples).items() if value > 0}
    varied: dict[str, list[float]] = {}
    for key, first in samples[0].items():
        values = [float(value) for sample in samples if isinstance(value := sample.get(key), int | float) and is_number(value)]
        if len(set(values)) < 2 or len(values) < len(samples):  # a text, a constant, or a single run
            numbers[key] = first
        else:
            numbers[key] = statistics.median(values)
            varied[key] = values
            spread[key] = max(relative_deviation(varied[key]), spread.get(key, 0.0))
    return numbers, spread, varied


def relative_deviation(values: Sequence[float]) -> float:
    """Standard deviation over mean; 0 for one value."""
    mean = statistics.fmean(values)
    return statistics.stdev(values) / abs(mean) if len(values) > 1 and mean else 0.0


def peer_versions() -> dict[str, str]:
    """Versions of what the peers' environment was asked to hold, with what they bring along for the arithmetic; empty without it.

    It is read from the folder alone: `.venv-peers` beside the benchmarks, or `TWINSIM_PEERS`.
    """
    root = Path(__file__).resolve().parents[1]
    folder = Path(os.environ.get("TWINSIM_PEERS") or root / ".venv-peers").expanduser()
    paths = [str(path) for path in folder.glob("lib/python*/site-packages")]
    found = {item.name.lower(): item.version for item in distributions(path=paths)} if paths else {}
    lists = [path.read_text(encoding="utf-8") for path in (root / "benchmarks" / "peers").glob("requirements*.in")]
    asked = {line.split("=")[0].strip().lower() for text in lists for line in text.splitlines()} or set(found)
    return {name: found[name] for name in sorted(found) if name in asked | {"jaxlib", "equinox"}}


def _versions() -> dict[str, str]:
    """Installed versions, asked without starting JAX: its devices belong to the benchmark's own process."""
    found = {}
    for name in _PACKAGES:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def _options(config: Any) -> dict[str, Any]:
    return plain(config) if dataclasses.is_dataclass(config) else {}


def _largest(spreads: Any) -> dict[str, float]:
    largest: dict[str, float] = {}
    for spread in spreads:
        for key, value in spread.items():
            largest[key] = max(value, largest.get(key, 0.0))
    return largest
