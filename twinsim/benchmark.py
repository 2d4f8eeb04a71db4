"""Runs one benchmark and prints its numbers."""

from typing import Any

from twinsim import catalogue
from twinsim.experiment import Value, checked_summary, print_summary


def run_benchmark(name: str, config: Any = None) -> dict[str, Value]:
    """Run `benchmarks/<name>.py` and print what it measured, on standard error.

    A benchmark has a one-line docstring, a frozen dataclass `Config`, and `run(config)` that returns the
    numbers by name, with the unit in each name.

    Raises:
        InputError: There is no such benchmark, or a number is not finite.
    """
    script = catalogue.find(name, catalogue.benchmarks(), "benchmark")
    module = catalogue.load(script)
    numbers = checked_summary(module.run(module.Config() if config is None else config))
    print_summary(f"{script.name}: {script.summary}", numbers)
    return numbers
