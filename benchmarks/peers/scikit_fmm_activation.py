"""scikit-fmm's fast marching, first order, on the ball of benchmarks/activation_times.py: isotropic only."""

from typing import Any

from _peer import answer, warm


def run(options: dict[str, Any]) -> dict[str, Any]:
    import numpy as np
    import skfmm

    n = int(options["edge_voxels"])
    index = np.stack(np.meshgrid(*[np.arange(n)] * 3, indexing="ij"), axis=-1)
    mask = np.sum((index - (n - 1) / 2) ** 2, axis=-1) < (0.523 * n) ** 2
    source = (n // 2,) * 3
    level = np.ones((n,) * 3)
    level[source] = -1.0
    level = np.ma.MaskedArray(level, ~mask)
    speed = np.ones((n,) * 3)
    seconds, _ = warm(lambda: skfmm.travel_time(level, speed, dx=1.0 / n, order=1), int(options["repeats"]))
    # Its front lies between voxels: half a voxel around the source.
    times = np.ma.filled(skfmm.travel_time(level, speed, dx=1.0 / n, order=1), np.nan)
    exact = np.linalg.norm((index - np.array(source)) / n, axis=-1)
    error = np.abs(times + 0.5 / n - exact)[mask]
    return {"isotropic_seconds": seconds, "isotropic_error_mean_relative": float(np.nanmean(error) / exact[mask].max())}


if __name__ == "__main__":
    answer(run)
