"""torchcor on a block like that of benchmarks/monodomain.py: linear tetrahedra, theta 0.5 by conjugate gradients, Rush-Larsen."""

import os
import tempfile
from typing import Any

from _peer import answer

MODELS = {"ten_tusscher_2006": "TenTusscherPanfilov", "aliev_panfilov": "AlievPanfilov", "mitchell_schaeffer": "MitchellSchaeffer"}
TETRAHEDRA = ((0, 1, 2, 6), (0, 2, 3, 6), (0, 3, 7, 6), (0, 7, 4, 6), (0, 4, 5, 6), (0, 5, 1, 6))
CORNERS = ((0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0), (0, 0, 1), (1, 0, 1), (1, 1, 1), (0, 1, 1))


def run(options: dict[str, Any]) -> dict[str, Any]:
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(threads)
    import time

    import numpy as np
    import torch
    import torchcor.ionic
    from torchcor.simulator import Monodomain

    torch.set_num_threads(threads)
    shape, steps, step = tuple(options["torchcor_voxels"]), int(options["steps"]), float(options["step_ms"])
    dtype, cpu = getattr(torch, options["precision"]), torch.device("cpu")
    nodes = np.arange(np.prod(shape)).reshape(shape)
    corner = [nodes[x : shape[0] - 1 + x, y : shape[1] - 1 + y, z : shape[2] - 1 + z].ravel() for x, y, z in CORNERS]
    elements = np.concatenate([np.stack([corner[i] for i in each], axis=1) for each in TETRAHEDRA])
    points = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"), axis=-1).reshape(-1, 3) * options["spacing_mm"] * 1e3
    with tempfile.TemporaryDirectory() as folder:
        with open(f"{folder}/m.pts", "w") as file:
            file.write(f"{len(points)}\n")
            np.savetxt(file, points, fmt="%.3f")
        with open(f"{folder}/m.elem", "w") as file:
            file.write(f"{len(elements)}\n" + "\n".join(f"Tt {a} {b} {c} {d} 0" for a, b, c, d in elements) + "\n")
        with open(f"{folder}/m.lon", "w") as file:
            file.write("1\n" + "1 0 0\n" * len(elements))
        first = nodes[:5].ravel()
        with open(f"{folder}/s.vtx", "w") as file:
            file.write(f"{len(first)}\nextra\n")
            np.savetxt(file, first, fmt="%d")
        kind = getattr(torchcor.ionic, MODELS[options["cell_model"]])
        named = {"cell_type": "EPI"} if options["cell_model"] == "ten_tusscher_2006" else {}
        cell = kind(dt=step, device=cpu, dtype=dtype, **named)
        tissue = Monodomain(ionic_models=[cell], T=1e3, dt=step, device=cpu, dtype=dtype)
        tissue.load_mesh(path=folder)
        tissue.add_conductivity([0], il=0.17, it=0.019, el=0.62, et=0.24)
        tissue.add_stimulus(f"{folder}/s.vtx", start=0.0, duration=2.0, intensity=50)
        tissue.assemble()
    potential = cell.initialize(cell.node_indices.shape[0]).clone()
    tissue.cg.initialize(x=potential, linear_guess=True)
    now, seconds, iterations = 0.0, [], 0.0
    for _ in range(int(options["repeats"]) + 1):
        began = time.perf_counter()
        for _ in range(steps):
            now += step
            potential, count, *_ = tissue.step(potential, now, 1e-5, 1e-5, 100, False)
            iterations += float(count)
        seconds.append(time.perf_counter() - began)
    if not bool(torch.isfinite(potential).all()):
        raise RuntimeError("its potential is not finite")
    best = min(seconds[1:])
    return {
        "strang_axis_seconds": best / nodes.size * float(np.prod(options["grid_voxels"])),
        "cell_steps_per_second": nodes.size * steps / best,
        "iterations_per_step": iterations / (steps * len(seconds)),
    }


if __name__ == "__main__":
    answer(run)
