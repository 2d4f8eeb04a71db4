"""Poisson's equation on a mask by pyamg: smoothed aggregation as preconditioner of conjugate gradients, float64.

The options name an ``npz`` file with ``mask``, ``conductivity`` and ``source`` (volumes), and give the tolerance and the repeats.
"""

import time
from typing import Any

from _peer import answer, warm


def run(options: dict[str, Any]) -> dict[str, Any]:
    import numpy as np
    import pyamg
    import scipy.sparse

    data = np.load(options["file"])
    mask, conductivity, source = data["mask"], data["conductivity"], data["source"][data["mask"]]
    number = np.full(mask.shape, -1)
    number[mask] = np.arange(mask.sum())
    rows, columns, values = [], [], []
    for axis in range(3):
        here, there = (np.moveaxis(part, axis, 0) for part in (number, conductivity))
        below, above, low, high = here[:-1], here[1:], there[:-1], there[1:]
        both = (below >= 0) & (above >= 0)
        face = (2 * low * high / (low + high))[both]
        rows += [below[both], above[both]]
        columns += [above[both], below[both]]
        values += [-face, -face]
    rows, columns, values = (np.concatenate(part) for part in (rows, columns, values))
    size = int(mask.sum())
    matrix = scipy.sparse.coo_matrix((values, (rows, columns)), shape=(size, size)).tocsr()
    matrix = (matrix - scipy.sparse.diags(np.asarray(matrix.sum(axis=1)).ravel())).tocsr()
    source = source - source.mean()
    start = time.perf_counter()
    hierarchy = pyamg.smoothed_aggregation_solver(matrix, symmetry="symmetric")
    setup = time.perf_counter() - start
    residuals: list[float] = []

    def solve() -> Any:
        residuals.clear()
        return hierarchy.solve(source, tol=options["tolerance"], accel="cg", maxiter=200, residuals=residuals)

    seconds, _ = warm(solve, options["repeats"])
    left = np.linalg.norm(source - matrix @ solve()) / np.linalg.norm(source)
    return {
        "version": pyamg.__version__,
        "hierarchy_seconds": setup,
        "solve_seconds": seconds,
        "iterations": len(residuals) - 1,
        "residual_relative": float(left),
    }


if __name__ == "__main__":
    answer(run)
