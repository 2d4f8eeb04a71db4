"""When regions begin to seize, with derivatives."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from physics.action_potential import crossing_time

LEVEL = -0.75
"""Of the Epileptor's fast variable: between its states at rest and in a seizure, on the steep way from one to the other."""


def onset_times(times: Float[Array, " times"], activity: Float[Array, "times *regions"], level: float = LEVEL) -> Float[Array, "*regions"]:
    r"""First time at which each region's activity rises through a level; infinite where it does not.

    The crossing between two saved values is the root of the parabola through them and the value before, by two Newton steps from the chord:
    an error of the third order in the time between values. The derivative is that of the root,
    $\partial t^* = -\partial x(t^*)/\dot x(t^*)$, the implicit one, through whatever made the activity; zero where there is no onset.

    Args:
        times: Of the values.
        activity: Saved values, at least three.
        level: To be crossed upwards.

    Fails: a region that is above the level from the start has no onset before it comes down and rises again; an onset that barely
    happens has no useful derivative.
    """
    traces = activity.reshape(len(times), -1)
    rises = (traces[1:-1] <= level) & (traces[2:] > level)
    first = jnp.argmax(rises, axis=0) + 1
    crossed = jax.vmap(lambda trace, index: crossing_time(times, trace, index, jnp.asarray(level), 2), in_axes=(1, 0))(traces, first)
    return jnp.where(jnp.any(rises, axis=0), crossed, jnp.inf).reshape(activity.shape[1:])
