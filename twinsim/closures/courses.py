"""Courses of an equation whose right-hand side is a law, many windows at once, through all the samples of each."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from solvers import ExplicitRungeKutta, Rate
from solvers.shapes import Scalar

Law = Callable[[Float[Array, "variables *places"]], Float[Array, "variables *places"]]


class HeldRate(Rate):
    """$f(u)$ by a law, in spans of time of each window.

    Attributes:
        law: From the state to its rate, variables along the first axis.
        spans: Of each window.
        limit: Where the state is held when the law is asked.
    """

    law: Law
    spans: Float[Array, " windows"]
    limit: Float[Array, " variables"]

    def evaluate(self, state: Float[Array, "variables windows"], time: Scalar) -> Float[Array, "variables windows"]:
        """See :class:`solvers.Rate`."""
        del time
        held = jnp.broadcast_to(self.limit[:, None], state.shape)
        return self.law(jnp.clip(state, -held, held)) * jnp.broadcast_to(self.spans[None], state.shape)


def rollout(
    law: Law, start: Float[Array, "variables windows"], spans: Float[Array, "intervals windows"], limit: Float[Array, " variables"],
    substeps: int = 4,
) -> Float[Array, "samples variables windows"]:  # fmt: skip
    """States at all samples, the first included, by Runge and Kutta's method of order four; the gradient keeps a state per interval."""
    held = jnp.broadcast_to(limit[:, None], start.shape)

    @partial(jax.checkpoint, prevent_cse=False)
    def interval(state: Array, span: Array) -> tuple[Array, Array]:
        stepper = ExplicitRungeKutta(HeldRate(law, span, limit))
        length = jnp.asarray(1.0 / substeps, state.dtype)

        def step(state: Array, _: None) -> tuple[Array, None]:
            return jnp.clip(stepper.advance(state, jnp.zeros_like(length), length), -held, held), None

        state, _ = jax.lax.scan(step, state, None, length=substeps)
        return state, state

    return jnp.concatenate([start[None], jax.lax.scan(interval, start, spans)[1]])
