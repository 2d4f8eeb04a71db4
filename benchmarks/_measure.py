"""Compile time, warm time, copy bandwidth and memory of the process that calls."""

import os
import resource
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

MIB = 2**20


class Warm(NamedTuple):
    """Seconds of repeated runs of a compiled program."""

    minimum: float
    middle: float


def compiled(function: Callable[..., Any], *arguments: Any) -> tuple[Any, float]:
    """The compiled program for these arguments, and the seconds that tracing and compiling took."""
    start = time.perf_counter()
    program = jax.jit(function).lower(*arguments).compile()
    return program, time.perf_counter() - start


def warm(program: Callable[..., Any], *arguments: Any, repeats: int) -> Warm:
    """Times ``repeats`` runs after one that does not count."""
    jax.block_until_ready(program(*arguments))
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        jax.block_until_ready(program(*arguments))
        seconds.append(time.perf_counter() - start)
    return Warm(min(seconds), median(seconds))


def copy_bandwidth(dtype: Any, cells: int, large_mib: int, repeats: int = 7) -> dict[str, float]:
    """Copies per second, counted as bytes read plus bytes written, best of ``repeats``, in GB/s (1e9 bytes).

    ``numpy`` copies into memory that is there; ``jax`` runs a compiled x + 1 that allocates its result, as JAX programs do; both
    on an array of ``large_mib``, far larger than any cache. ``numpy_field`` copies one field of ``cells``, which a cache may hold.
    """
    rates = {}
    for name, size in (("numpy", large_mib * MIB // np.dtype(dtype).itemsize), ("numpy_field", cells)):
        source, target = np.ones(size, dtype), np.ones(size, dtype)
        times = max(1, 10**7 // size)
        best = min(_seconds(lambda s=source, t=target, n=times: [np.copyto(t, s) for _ in range(n)]) for _ in range(repeats))
        rates[name] = 2 * source.nbytes * times / best / 1e9
        if name == "numpy":
            values = jnp.asarray(source)
            program, _ = compiled(lambda x: x + 1, values)
            rates["jax"] = 2 * source.nbytes / warm(program, values, repeats=repeats).minimum / 1e9
    return rates


def peak_resident_mib() -> float:
    """Largest resident memory of this process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / MIB if sys.platform == "darwin" else peak / 1024


def resident_mib() -> float | None:
    """Resident memory of this process now; None where the operating system does not say."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / MIB
    except OSError:
        return None


def _seconds(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
