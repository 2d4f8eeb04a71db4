"""Other people's programs, run beside ours: each in an environment and a process of its own."""

import json
import math
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = Path(__file__).resolve().parent / "peers"

_said: set[str] = set()


def peer_numbers(name: str, options: Mapping[str, Any], timeout_seconds: float = 900.0) -> dict[str, Any] | None:
    """What ``benchmarks/peers/<name>.py`` prints as JSON on its last line of standard output; None where it cannot run.

    The script gets the options as one JSON text in ``argv[1]``. It inherits the cores that this process is pinned to, and its
    XLA flags. Whatever goes wrong with a peer is said in one line on standard error and never ends a benchmark of ours.

    Args:
        name: The script, e.g. ``diffrax_robertson``.
        options: Size, tolerances, repeats: whatever the script reads, as plain values.
        timeout_seconds: The peer is ended after this time.
    """
    python, script = peer_python(), SCRIPTS / f"{name}.py"
    if python is None:
        return _say("not run: no environment .venv-peers; make it with: make bench-peers")
    if not script.is_file():
        return _say(f"{name} not run: there is no benchmarks/peers/{name}.py")
    inherited = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME", "JAX_COMPILATION_CACHE_DIR")}
    command = [str(python), str(script), json.dumps(dict(options))]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_seconds, env=inherited, check=False)
    except subprocess.TimeoutExpired:
        return _say(f"{name} ended after {timeout_seconds:g} s without an answer")
    except OSError as error:
        return _say(f"{name} not run: {error}")
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"code {done.returncode}, no message"])[-1]
        if "ModuleNotFoundError" in last:
            return _say(f"{name} not run: {last.partition(': ')[2]} in .venv-peers; renew it with: make bench-peers")
        return _say(f"{name} failed: {last}")
    try:
        numbers = json.loads(done.stdout.strip().splitlines()[-1])
    except (IndexError, json.JSONDecodeError):
        numbers = None
    if not isinstance(numbers, dict):
        return _say(f"{name} failed: its last line is not a JSON object")
    lost = [key for key, value in numbers.items() if isinstance(value, float) and not math.isfinite(value)]
    if lost:
        _say(f"{name}: no finite {', '.join(lost)}")
    return {key: value for key, value in numbers.items() if key not in lost}


def beside(numbers: Mapping[str, Any], peer: str, theirs: Mapping[str, Any] | None) -> dict[str, Any]:
    """Our numbers, the peer's with its name in front, and how many times faster ours are.

    For every key that both have and that ends in ``_seconds`` there is a row ``<key without _seconds>_speed_ratio_to_<peer>``:
    the peer's seconds over ours, above one where we are faster. Without the peer (None) our numbers come back alone.
    """
    if theirs is None:
        return dict(numbers)
    ratios = {
        f"{key.removesuffix('_seconds')}_speed_ratio_to_{peer}": theirs[key] / ours
        for key, ours in numbers.items()
        if key.endswith("_seconds") and theirs.get(key) is not None and ours
    }
    return {**numbers, **{f"{peer}_{key}": value for key, value in theirs.items()}, **ratios}


def peer_python() -> Path | None:
    """The interpreter of the peers' environment; None where it has not been made. ``TWINSIM_PEERS`` names another folder."""
    python = Path(os.environ.get("TWINSIM_PEERS") or ROOT / ".venv-peers").expanduser() / "bin" / "python"
    return python if os.access(python, os.X_OK) else None


def _say(message: str) -> None:
    if message not in _said:
        _said.add(message)
        print(f"peer: {message}", file=sys.stderr)
