"""Diffrax's Kvaerno methods on Robertson's problem and on a chain of excitable cells; runs in .venv-peers."""

from typing import Any

from _peer import answer, warm


def run(options: dict[str, Any]) -> dict[str, Any]:
    """Seconds of value and gradient, end state only: Kvaerno3 for Robertson (1e-6), Kvaerno5 for the chain."""
    import diffrax
    import jax
    import jax.numpy as jnp
    import numpy as np

    jax.config.update("jax_enable_x64", True)
    repeats, cells = options["repeats"], options["cells"]

    def robertson(time: Any, y: Any, k: Any) -> Any:
        exchange = -k[0] * y[0] + k[2] * y[1] * y[2]
        burn = k[1] * y[1] ** 2
        return jnp.stack([exchange, -exchange - burn, burn])

    def solve(field: Any, solver: Any, start: Any, stop: float, args: Any, relative: float, absolute: float, first: Any) -> Any:
        return diffrax.diffeqsolve(
            diffrax.ODETerm(field),
            solver,
            0.0,
            stop,
            first,
            start,
            args,
            stepsize_controller=diffrax.PIDController(rtol=relative, atol=absolute),
            max_steps=16384,
        ).ys[-1]

    start, rates = jnp.array([1.0, 0.0, 0.0]), jnp.array([0.04, 3e7, 1e4])

    def end(rates: Any) -> Any:
        return solve(robertson, diffrax.Kvaerno3(), start, 4e4, rates, 1e-6, 1e-10, 1e-6)

    exact = np.array([3.89833770e-02, 1.62176831e-07, 9.61016461e-01])
    spread = rates[None] * (1 + 0.1 * jnp.asarray(np.random.default_rng(0).uniform(-1, 1, (options["batch"], 3))))

    place = (jnp.arange(cells) + 0.5) / cells
    chain_start = jnp.concatenate([-1.2 + 2.5 * jnp.exp(-(((place - 0.2) / 0.1) ** 2)), jnp.full(cells, -0.6)])
    parameters = {"diffusion": jnp.asarray(50.0), "drive": jnp.asarray(0.5), "threshold": jnp.full(cells, 0.7)}

    def chain(time: Any, y: Any, p: Any) -> Any:
        v, w = y[:cells], y[cells:]
        padded = jnp.pad(v, 1, mode="edge")
        spread = p["diffusion"] * (padded[2:] - 2 * v + padded[:-2])
        return jnp.concatenate([v - v**3 / 3 - w + p["drive"] + spread, 0.08 * (v + p["threshold"] - 0.8 * w)])

    def chain_end(p: Any, relative: float = options["chain_tolerance"]) -> Any:
        return solve(chain, diffrax.Kvaerno5(), chain_start, 20.0, p, relative, relative * 1e-3, 1e-4)

    forward = jax.jit(end)
    gradient = jax.jit(jax.value_and_grad(lambda k: end(k)[2]))
    batch = jax.jit(jax.vmap(end))
    chain_forward = jax.jit(chain_end)
    chain_gradient = jax.jit(jax.value_and_grad(lambda p: jnp.sum(chain_end(p)[:cells])))
    reference = jax.jit(lambda p: chain_end(p, 1e-10))(parameters)
    ended = chain_forward(parameters)
    few = min(repeats, 3)
    return {
        "robertson_seconds": warm(lambda: forward(rates), repeats)[0],
        "robertson_gradient_seconds": warm(lambda: gradient(rates), repeats)[0],
        "robertson_batch_per_member_seconds": warm(lambda: batch(spread), few)[0] / options["batch"],
        "robertson_error_relative": float(np.abs(np.asarray(forward(rates)) / exact - 1).max()),
        "chain_seconds": warm(lambda: chain_forward(parameters), few)[0],
        "chain_gradient_seconds": warm(lambda: chain_gradient(parameters), few)[0],
        "chain_error_relative": float(jnp.max(jnp.abs(ended - reference)) / jnp.max(jnp.abs(reference))),
        "version": diffrax.__version__,
    }


if __name__ == "__main__":
    answer(run)
