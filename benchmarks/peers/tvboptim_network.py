"""A delayed network of Montbrio, Pazo and Roxin's masses in tvboptim, with each of its sparse buffers; the fastest is what counts."""

from typing import Any

from _peer import answer, warm


def run(given: dict[str, Any]) -> dict[str, Any]:
    """Simulated ms per second of each buffer strategy, and of the best."""
    import jax

    jax.config.update("jax_enable_x64", given["precision"] == "float64")

    import jax.numpy as jnp
    import numpy as np
    from tvboptim.experimental.network_dynamics import Network, prepare
    from tvboptim.experimental.network_dynamics.coupling import DelayedLinearCoupling
    from tvboptim.experimental.network_dynamics.dynamics.tvb import MontbrioPazoRoxin
    from tvboptim.experimental.network_dynamics.graph import SparseDelayGraph
    from tvboptim.experimental.network_dynamics.solvers import Heun

    with np.load(given["connectome"]) as held:
        weights, lengths = jnp.asarray(held["weights"]), jnp.asarray(held["tract_lengths"])

    def milliseconds_per_second(strategy: str) -> float:
        coupling = DelayedLinearCoupling(incoming_states="r", G=0.01, buffer_strategy=strategy)
        graph = SparseDelayGraph(weights, lengths / given["speed"])
        network = Network(dynamics=MontbrioPazoRoxin(eta=-4.6), coupling={"delayed": coupling}, graph=graph)
        simulate, parameters = prepare(network, Heun(), t0=0.0, t1=given["duration_ms"], dt=given["dt_ms"])
        program = jax.jit(lambda parameters: [one for one in jax.tree.leaves(simulate(parameters)) if getattr(one, "ndim", 0) >= 2][-1])
        best, _ = warm(lambda: program(parameters), given["repeats"])
        return given["duration_ms"] / best

    numbers = {f"{strategy}_ms_per_second": milliseconds_per_second(strategy) for strategy in ("roll", "circular", "preallocated")}
    return numbers | {"best_ms_per_second": max(numbers.values())}


if __name__ == "__main__":
    answer(run)
