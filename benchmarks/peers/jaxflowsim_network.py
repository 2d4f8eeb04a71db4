"""jaxFlowSim on a network of arteries, from a folder of its sources: seconds for the same beats, and its last pressures."""

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from _peer import answer, warm


def run(options: dict[str, Any]) -> dict[str, Any]:
    """Runs its loop without checks of convergence (``simulation_loop_unsafe``, its fastest) over as many beats as ours, and some steps
    more: the number of steps is part of its program, and how many a beat takes is known afterwards. Seconds are those of a step times the
    steps of the beats.
    """
    source = Path(options["source"]).expanduser()
    if not (source / "src" / "model.py").is_file():
        raise RuntimeError(f"got the folder {source}; expected src/model.py of jaxFlowSim in it")
    sys.path.insert(0, str(source))
    import jax

    jax.config.update("jax_enable_x64", options["precision"] == "float64")
    import numpy as np
    import yaml
    from src.model import config_simulation, simulation_loop_unsafe

    with tempfile.TemporaryDirectory() as folder:
        np.savetxt(Path(folder) / "inlet.dat", np.column_stack([options["inlet_times"], options["inlet_flow"]]))
        content = dict(options["network"])
        for vessel in content["network"]:
            if "inlet" in vessel:
                vessel["inlet file"] = str(Path(folder) / "inlet.dat")
        path = Path(folder) / "network.yml"
        path.write_text(yaml.safe_dump(content), encoding="utf-8")
        os.chdir(folder)
        n, b, _, dat, aux, const, const_aux, _, _, courant, inlet, density, masks, strides, edges, _, period = config_simulation(
            str(path), False, False
        )
        cells = int((strides[:, 1] - strides[:, 0]).sum())
        loop = jax.jit(simulation_loop_unsafe, static_argnums=(0, 1, 12))

        def steps(upper: int) -> Any:
            return loop(n, b, dat, aux, const, const_aux, courant, inlet, density, masks, strides, edges, upper)

        guess = options["guess_steps"]
        while True:
            _, times, pressure = (np.asarray(part) for part in steps(guess))
            wraps = np.flatnonzero(np.diff(times) < 0)
            if len(wraps) >= options["cycles"]:
                break
            guess *= 2
        count = int(wraps[options["cycles"] - 1]) + 1
        least, middle = (seconds * count / guess for seconds in warm(lambda: steps(guess), options["repeats"]))
    begin = int(wraps[options["cycles"] - 2]) + 1 if options["cycles"] > 1 else 0
    at = np.linspace(0, float(period), options["samples"])[1:-1]
    clock = times[begin:count]
    order = np.argsort(clock)
    middle_pressure = [np.interp(at, clock[order], pressure[begin:count, 5 * v + 2][order]).tolist() for v in range(n)]
    return {
        "network_seconds": least,
        "network_seconds_median": middle,
        "steps": count,
        "step_us": 1e6 * least / count,
        "cells": cells,
        "middle_pressure_pa": middle_pressure,
    }


if __name__ == "__main__":
    answer(run)
