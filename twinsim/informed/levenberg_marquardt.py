"""Levenberg-Marquardt for some hundred to two thousand parameters, with the whole loop in one program."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PyTree

from twinsim.informed.rows import Parameters, RowBlock, normal_equations, sum_of_squares

LEAST, MOST = 1e-14, 1e10


class Descent(NamedTuple):
    """Where an optimiser ended.

    Attributes:
        vector: The best parameters; the start, where the value there is not finite.
        value: Half the sum of squares there.
        values: The value after every iteration.
        memory: What the method goes on with: damping, or the inverse curvature.
        accepted: Iterations that lowered the value.
        finite: Whether the start could be evaluated.
    """

    vector: Parameters
    value: Float[Array, ""]
    values: Float[Array, " iterations"]
    memory: PyTree[Array]
    accepted: Int[Array, ""]
    finite: Bool[Array, ""]


def levenberg_marquardt(
    rows: tuple[RowBlock, ...],
    start: Parameters,
    restore: Callable[[Parameters], PyTree],
    iterations: int,
    damping: Float[Array, ""],
) -> Descent:
    r"""Minimise $\tfrac12|r(\theta)|^2$ by $(J^TJ+\mu I)\,p=-J^Tr$, with Nielsen's rule for $\mu$.

    After a step whose gain is $\varrho$ times the predicted one, $\mu$ is multiplied by $\max(\tfrac13, 1-(2\varrho-1)^3)$; after a
    failure by 2, then 4, then 8. A trial that is not finite is a failure like any other: it costs an iteration and nothing else.

    Args:
        rows: The residuals.
        start: First parameters.
        restore: The model of a vector of parameters; see :func:`twinsim.informed.rows.split`.
        iterations: How many, trials that fail included.
        damping: First $\mu$; 0.1 for a network as drawn, and ``Descent.memory`` to go on.

    Good: networks of up to a thousand parameters on two to five thousand rows, where an iteration costs $n p^2/2 + p^3/6$
    multiplications. Memory: $np + 2p^2$ numbers. Fails: more parameters than about 3000, losses that are no sum of squares.
    Source: Madsen, Nielsen and Tingleff (2004), *Methods for Non-Linear Least Squares Problems*, algorithm 3.16.
    """
    identity = jnp.eye(start.size, dtype=start.dtype)

    def iterate(carry: tuple[Array, ...], _: None) -> tuple[tuple[Array, ...], Array]:
        theta, value, gradient, curvature, mu, grows, accepted, moved = carry
        # Only a step that was taken pays for a new Jacobian; one program for the first and all others compiles in half the time.
        gradient, curvature = jax.lax.cond(
            moved, lambda at: normal_equations(rows, at, restore)[1:], lambda _: (gradient, curvature), theta
        )
        factor = jax.scipy.linalg.cho_factor(curvature + mu * identity, lower=True)
        step = -jax.scipy.linalg.cho_solve(factor, gradient)
        trial = sum_of_squares(rows, restore(theta + step))
        gain = (value - trial) / jnp.maximum(-step @ (gradient + 0.5 * curvature @ step), jnp.finfo(theta.dtype).tiny)
        better = jnp.isfinite(trial) & (trial < value)
        theta, value = jnp.where(better, theta + step, theta), jnp.where(better, trial, value)
        mu = jnp.clip(mu * jnp.where(better, jnp.clip(1 - (2 * gain - 1) ** 3, 1 / 3, 2.0), grows), LEAST, MOST)
        grows = jnp.where(better, 2.0, jnp.minimum(2 * grows, 64.0)).astype(theta.dtype)
        return (theta, value, gradient, curvature, mu, grows, accepted + better, better), value

    value = sum_of_squares(rows, restore(start))
    unknown = jnp.zeros_like(start), jnp.zeros_like(identity)
    begin = (start, value, *unknown, damping.astype(start.dtype), jnp.asarray(2.0, start.dtype), jnp.asarray(0), jnp.asarray(True))
    (theta, last, _, _, mu, _, accepted, _), values = jax.lax.scan(iterate, begin, None, iterations)
    return Descent(theta, last, values, mu, accepted, jnp.isfinite(value))
