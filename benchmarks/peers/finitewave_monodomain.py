"""finitewave on the block of benchmarks/monodomain.py: explicit Euler diffusion with fibres along x, first-order Rush-Larsen, float64."""

import os
from typing import Any

from _peer import answer

MODELS = {"ten_tusscher_2006": "TenTusscherPanfilov2006", "aliev_panfilov": "AlievPanfilov", "mitchell_schaeffer": "MitchellSchaeffer"}


def run(options: dict[str, Any]) -> dict[str, Any]:
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    os.environ["NUMBA_NUM_THREADS"] = str(threads)
    import time

    import finitewave
    import numpy as np

    shape, steps = tuple(options["grid_voxels"]), int(options["steps"])
    tissue = finitewave.CardiacTissue(shape)
    if options["fibres"]:
        fibres = np.zeros((*shape, 3))
        fibres[..., 0] = 1.0
        tissue.fibers = fibres
        tissue.D_al, tissue.D_ac = 1.0, 0.132
    model = getattr(finitewave, MODELS[options["cell_model"]])()
    model.dt, model.dr, model.cardiac_tissue, model.prog_bar = options["step_ms"], options["spacing_mm"], tissue, False
    level = 20.0 if options["cell_model"] == "ten_tusscher_2006" else 1.0
    stimuli = finitewave.StimSequence()
    stimuli.add_stim(finitewave.StimVoltageCoord(0, level, 0, 5, 0, shape[1], 0, shape[2]))
    model.stim_sequence = stimuli
    model.t_max = 3 * model.dt
    model.run(num_of_threads=threads)  # compiles
    seconds = []
    for _ in range(int(options["repeats"])):
        model.t_max = model.t + steps * model.dt
        before = model.step
        began = time.perf_counter()
        model.run(initialize=False, num_of_threads=threads)
        seconds.append((time.perf_counter() - began) / (model.step - before) * steps)
    if not np.isfinite(model.u).all():
        raise RuntimeError("its potential is not finite")
    cells = int((tissue.mesh == 1).sum())  # it keeps a layer of empty nodes around
    return {"godunov_seconds": min(seconds) / cells * np.prod(shape), "cell_steps_per_second": cells * steps / min(seconds)}


if __name__ == "__main__":
    answer(run)
