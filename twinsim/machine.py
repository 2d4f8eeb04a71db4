"""What this machine can do: its device, how fast it copies and how fast it multiplies and adds, measured on JAX's default device.

A benchmark is read against these rates. They are measured in a process of their own, which ends before a benchmark starts: a
process that has once touched an accelerator keeps most of its memory.
"""

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, cast

MIB = 2**20
PRECISIONS = ("float32", "float64")

# Cells, and multiply-adds in a row per cell: in the first cache, in the second, and wide enough for many cores or an accelerator.
_CHAINS = ((2**14, 16), (2**16, 16), (2**22, 64))


def machine(copy_mib: int = 0, repeats: int = 7) -> dict[str, Any]:
    """:func:`describe` and :func:`rates` from a fresh process; where that process fails, what it said instead of rates.

    Args:
        copy_mib: As in :func:`rates`.
        repeats: As in :func:`rates`.
    """
    # -P: nothing in the working folder may shadow twinsim.
    command = [sys.executable, "-P", "-m", "twinsim.machine", str(copy_mib), str(repeats)]
    # A processor split into several devices would show one part of what it can do.
    flags = [flag for flag in os.environ.get("XLA_FLAGS", "").split() if "force_host_platform_device_count" not in flag]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "XLA_FLAGS": " ".join(flags)}, check=False)
    try:
        return json.loads(done.stdout.splitlines()[-1])
    except (IndexError, json.JSONDecodeError):
        said = (done.stderr.strip().splitlines() or [f"code {done.returncode}"])[-1]
        return {"backend": "unknown", "device": "unknown", "processor": processor(), "cores": cores(), "failed": said}


def describe() -> dict[str, Any]:
    """The default device, the processor, and their memory."""
    import jax

    devices = jax.devices()
    limit = _memory_stats(devices[0]).get("bytes_limit")
    return {
        "backend": jax.default_backend(),
        "device": devices[0].device_kind,
        "devices": len(devices),
        "device_memory_mib": limit / MIB if limit else None,
        "processor": processor(),
        "cores": cores(),
        "memory_mib": _memory_mib(),
    }


def rates(copy_mib: int = 0, repeats: int = 7) -> dict[str, dict[str, float | None]]:
    """Rates of JAX's default device by precision, the best of ``repeats`` runs each; None where a precision is not available.

    ``copy_gb_per_second``: bytes read plus bytes written while one array is copied into another that is there (x + 1 into a donated
    buffer; on a CPU NumPy's copyto where that is faster). ``update_gb_per_second``: the same count for x + 1 in place, which no
    program that reads one field and writes another can reach. ``multiply_add_gflop_per_second``: two operations per element of a
    compiled chain of x a + b on data in a cache, what elementwise code can reach. ``matrix_product_gflop_per_second``: a square
    matrix product in full precision, what the hardware can. GB and gflop are 1e9.

    Args:
        copy_mib: Size of each array that is copied, MiB; far larger than any cache. 0 takes 256, and 1024 on an accelerator.
        repeats: Timed runs, after one that does not count.
    """
    import jax

    copy_mib = copy_mib or (256 if jax.default_backend() == "cpu" else 1024)
    measured: dict[str, dict[str, float | None]] = {}
    for name, measure in (
        ("copy_gb_per_second", lambda dtype: copy_rate(dtype, copy_mib, repeats)),
        ("update_gb_per_second", lambda dtype: update_rate(dtype, copy_mib, repeats)),
        ("multiply_add_gflop_per_second", lambda dtype: multiply_add_rate(dtype, repeats)),
        ("matrix_product_gflop_per_second", lambda dtype: matrix_product_rate(dtype, repeats)),
    ):
        measured[name] = {precision: _rate(measure, precision) for precision in PRECISIONS}
    return measured


def copy_rate(dtype: Any, mib: int, repeats: int) -> float:
    """GB/s, read plus written, of a copy from one array of ``mib`` MiB to another that is there."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    source, target = (jnp.ones(mib * MIB // np.dtype(dtype).itemsize, dtype) for _ in range(2))
    copy = jax.jit(add_one_into, donate_argnums=1, keep_unused=True)

    def run() -> None:
        nonlocal target
        target = jax.block_until_ready(copy(source, target))

    seconds = best(run, repeats)
    if jax.default_backend() == "cpu":
        host, other = np.asarray(source), np.ones(source.shape, dtype)
        seconds = min(seconds, best(lambda: np.copyto(other, host), repeats))
    return 2 * source.nbytes / seconds / 1e9


def update_rate(dtype: Any, mib: int, repeats: int) -> float:
    """GB/s, read plus written, of x + 1 in place on ``mib`` MiB."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    values = jnp.ones(mib * MIB // np.dtype(dtype).itemsize, dtype)
    update = jax.jit(add_one, donate_argnums=0)

    def run() -> None:
        nonlocal values
        values = jax.block_until_ready(update(values))

    return 2 * values.nbytes / best(run, repeats) / 1e9


def multiply_add_rate(dtype: Any, repeats: int, operations: int = 2**28) -> float:
    """1e9 operations per second of chains x a + b, two operations per element and link, the best of a few sizes."""
    import jax
    import jax.numpy as jnp

    found = 0.0
    for cells, links in _CHAINS:
        rounds = max(1, operations // (cells * links))
        program = jax.jit(partial(multiply_add_chain, links=links, rounds=rounds))
        x, half = jnp.ones(cells, dtype), jnp.asarray(0.5, dtype)
        seconds = best(lambda program=program, x=x, half=half: jax.block_until_ready(program(x, half, half)), repeats)
        found = max(found, 2 * cells * links * rounds / seconds / 1e9)
    return found


def matrix_product_rate(dtype: Any, repeats: int) -> float:
    """1e9 operations per second of a product of square matrices in full precision."""
    import jax
    import jax.numpy as jnp

    edge = 1536 if jax.default_backend() == "cpu" else 8192
    matrix = jnp.full((edge, edge), 1 / edge, dtype)
    product = jax.jit(square)
    return 2 * edge**3 / best(lambda: jax.block_until_ready(product(matrix)), repeats) / 1e9


def add_one_into(source: Any, target: Any) -> Any:
    """``source + 1``, written where ``target`` is when that is donated."""
    del target
    return source + 1


def add_one(values: Any) -> Any:
    """``values + 1``."""
    return values + 1


def multiply_add_chain(x: Any, factor: Any, term: Any, links: int, rounds: int) -> Any:
    """``links * rounds`` times ``x = x * factor + term``, ``links`` of them in one pass over ``x``."""
    from jax import lax

    def one_round(_: Any, x: Any) -> Any:
        for _link in range(links):
            x = x * factor + term
        return x

    return lax.fori_loop(0, rounds, one_round, x)


def square(matrix: Any) -> Any:
    """The matrix times itself, without the reduced precision that accelerators may take."""
    import jax
    import jax.numpy as jnp

    return jnp.dot(matrix, matrix, precision=jax.lax.Precision.HIGHEST)


def best(work: Callable[[], Any], repeats: int) -> float:
    """Least seconds of ``repeats`` calls, after one that does not count."""
    work()
    seconds = []
    for _ in range(max(1, repeats)):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def device_peak_mib() -> float | None:
    """Most memory of the default device that this process has held at once, MiB; None where the device does not count (a CPU)."""
    import jax

    peak = _memory_stats(jax.devices()[0]).get("peak_bytes_in_use")
    return None if peak is None else peak / MIB


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def processor() -> str:
    """The model of the processor as the operating system names it, else its architecture."""
    if sys.platform == "darwin":
        done = subprocess.run(["sysctl", "-n", "machdep.cpu.brand_string"], capture_output=True, text=True, check=False)
        return done.stdout.strip() or platform.machine()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            lines = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    except OSError:
        lines = []
    return lines[0] if lines else platform.machine()


def load() -> float | None:
    """Mean number of programs that wanted a core during the last minute; None where the system does not say."""
    try:
        return os.getloadavg()[0]
    except (AttributeError, OSError):
        return None


def _rate(measure: Callable[[Any], float], precision: str) -> float | None:
    try:
        return measure(precision)
    except Exception as error:  # out of memory, or a precision that the device lacks: the other rates still count
        print(f"machine: no rate in {precision}: {error}", file=sys.stderr)
        return None


def _memory_stats(device: Any) -> dict[str, int]:
    try:
        return device.memory_stats() or {}
    except Exception:  # not every backend counts
        return {}


def _memory_mib() -> float | None:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / MIB
    except (ValueError, OSError):
        return None


def _main(arguments: Sequence[str]) -> None:
    import jax

    jax.config.update("jax_enable_x64", True)
    found: dict[str, Any] = describe() | cast("dict[str, Any]", rates(*(int(text) for text in arguments)))
    print(json.dumps(found))


if __name__ == "__main__":
    _main(sys.argv[1:])
