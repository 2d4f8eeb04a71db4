"""SUNDIALS' CVODE (BDF) from Python on Robertson's problem and on a chain of excitable cells; runs in .venv-peers."""

from typing import Any

from _peer import answer, warm


def run(options: dict[str, Any]) -> dict[str, Any]:
    """Seconds of the end state; right-hand sides in NumPy, the chain with its banded Jacobian by differences."""
    import numpy as np
    import sksundae
    from sksundae.cvode import CVODE

    cells = options["cells"]

    def robertson(time: float, y: Any, slope: Any) -> None:
        exchange = -0.04 * y[0] + 1e4 * y[1] * y[2]
        burn = 3e7 * y[1] * y[1]
        slope[0], slope[1], slope[2] = exchange, -exchange - burn, burn

    place = (np.arange(cells) + 0.5) / cells
    start = np.empty(2 * cells)
    start[::2], start[1::2] = -1.2 + 2.5 * np.exp(-(((place - 0.2) / 0.1) ** 2)), -0.6

    def chain(time: float, y: Any, slope: Any) -> None:
        v, w = y[::2], y[1::2]
        spread = np.zeros(cells)
        steps = np.diff(v)
        spread[:-1] += steps
        spread[1:] -= steps
        slope[::2] = v - v**3 / 3 - w + 0.5 + 50.0 * spread
        slope[1::2] = 0.08 * (v + 0.7 - 0.8 * w)

    def solve(field: Any, state: Any, stop: float, relative: float, absolute: float, **more: Any) -> Any:
        solver = CVODE(field, rtol=relative, atol=absolute, max_num_steps=1_000_000, **more)
        return solver.solve(np.array([0.0, stop]), state).y[-1]

    band = {"linsolver": "band", "lband": 2, "uband": 2}
    exact = np.array([3.89833770e-02, 1.62176831e-07, 9.61016461e-01])
    relative = options["chain_tolerance"] / 10  # at the same tolerance its error is larger than ours
    reference = solve(chain, start, 20.0, 1e-12, 1e-14, **band)
    first = np.array([1.0, 0.0, 0.0])
    ended = solve(chain, start, 20.0, relative, relative * 1e-3, **band)
    dense = solve(chain, start, 20.0, relative, relative * 1e-3)
    return {
        "robertson_seconds": warm(lambda: solve(robertson, first, 4e4, 1e-7, 1e-11), options["repeats"])[0],
        "robertson_error_relative": float(np.abs(solve(robertson, first, 4e4, 1e-7, 1e-11) / exact - 1).max()),
        "chain_seconds": warm(lambda: solve(chain, start, 20.0, relative, relative * 1e-3, **band), options["repeats"])[0],
        "chain_dense_jacobian_seconds": warm(lambda: solve(chain, start, 20.0, relative, relative * 1e-3), options["repeats"])[0],
        "chain_error_relative": float(np.abs(ended - reference).max() / np.abs(reference).max()),
        "chain_dense_jacobian_error_relative": float(np.abs(dense - reference).max() / np.abs(reference).max()),
        "version": sksundae.__version__,
    }


if __name__ == "__main__":
    answer(run)
