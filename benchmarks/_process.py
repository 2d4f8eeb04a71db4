"""Runs a measurement in a fresh process, pinned to cores before JAX starts."""

import dataclasses
import importlib
import json
import os
import subprocess
import sys
from typing import Any

from twinsim.errors import InputError

SINGLE_THREAD = "--xla_cpu_multi_thread_eigen=false"
HOST_DEVICES = "--xla_force_host_platform_device_count"


def measure_in_fresh_process(module: str, config: Any) -> dict[str, Any]:
    """What ``measure(config)`` of a benchmark returns, from a process that has done nothing else.

    Peak memory, compile times and XLA's thread pool belong to a whole process, so they are those of the benchmark alone
    only in a process of its own. No compiled program is taken from a cache.

    Args:
        module: The benchmark, e.g. ``benchmarks.tumour_growth``.
        config: Its Config. ``config.cores`` pins the process to that many cores, 0 to all that this process may use;
            ``config.precision`` is ``float32`` or ``float64``; ``config.host_devices``, where there is one, makes so many XLA
            devices of the cores, 0 leaves the environment's number.

    Raises:
        InputError: More cores than there are, or the operating system cannot pin a process.
        RuntimeError: The process failed; its own message is on standard error.
    """
    cores = _cores(config.cores)
    environment = {name: value for name, value in os.environ.items() if name != "JAX_COMPILATION_CACHE_DIR"}
    flags = [environment.get("XLA_FLAGS", "")]
    if len(cores) == 1:
        flags.append(SINGLE_THREAD)
        environment.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")
    devices = getattr(config, "host_devices", 0)
    if not 0 <= devices <= 64:
        raise InputError(got=f"host-devices {devices}", expected="0 to 64", do="choose about as many as there are cores")
    if devices:
        flags.append(f"{HOST_DEVICES}={devices}")
    environment["XLA_FLAGS"] = " ".join(flags).strip()
    request = {"module": module, "config": dataclasses.asdict(config), "cores": cores if config.cores else None}
    # -P: a folder of the same name in the working folder must not shadow the benchmarks.
    command = [sys.executable, "-P", "-m", "benchmarks._process"]
    done = subprocess.run(command, input=json.dumps(request), stdout=subprocess.PIPE, text=True, env=environment, check=False)
    if done.returncode:
        raise RuntimeError(f"the measuring process ended with code {done.returncode}: {' '.join(command)}")
    pinned = f"pinned to core {', '.join(map(str, cores))}" if config.cores else f"not pinned, {len(cores)} cores"
    return {"process": f"{pinned}; XLA_FLAGS={environment['XLA_FLAGS'] or '(none)'}", **json.loads(done.stdout.splitlines()[-1])}


def _cores(count: int) -> list[int]:
    """The last ``count`` cores that this process may use; all of them for 0."""
    available = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))
    if count and not hasattr(os, "sched_setaffinity"):
        raise InputError(got=f"cores {count}", expected="0 on this operating system, which cannot pin a process", do="drop --cores")
    if not 0 <= count <= len(available):
        raise InputError(got=f"cores {count}", expected=f"0 to {len(available)}", do="choose what the machine has")
    return available[-count:] if count else available


def _main() -> None:
    request = json.load(sys.stdin)
    if request["cores"] is not None:
        os.sched_setaffinity(0, request["cores"])
    import jax  # only now: XLA sizes its thread pool by the cores that it may use when it starts

    jax.config.update("jax_enable_x64", request["config"]["precision"] == "float64")
    module = importlib.import_module(request["module"])
    options = {name: tuple(value) if isinstance(value, list) else value for name, value in request["config"].items()}
    print(json.dumps(module.measure(module.Config(**options))))


if __name__ == "__main__":
    _main()
