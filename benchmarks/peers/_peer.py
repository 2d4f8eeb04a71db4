"""What the peers' scripts share. They run in .venv-peers, where there is no twinsim: standard library only."""

import json
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Any


def answer(run: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Call ``run`` with the options of ``argv[1]`` and print what it returns as JSON, on the last line.

    ``run`` imports the peer itself, so that a missing package is reported by name.
    """
    options = json.loads(sys.argv[1]) if len(sys.argv) > 1 else {}
    numbers = run(options)
    sys.stdout.flush()
    print("\n" + json.dumps({key: value.item() if hasattr(value, "item") else value for key, value in numbers.items()}))


def warm(work: Callable[[], Any], repeats: int) -> tuple[float, float]:
    """Minimum and median seconds of ``repeats`` calls after one that does not count.

    Results of JAX are waited for.
    """
    _finish(work())
    seconds = []
    for _ in range(max(1, repeats)):
        start = time.perf_counter()
        _finish(work())
        seconds.append(time.perf_counter() - start)
    return min(seconds), median(seconds)


def _finish(result: Any) -> None:
    jax = sys.modules.get("jax")
    if jax is not None:
        jax.block_until_ready(result)
