"""When regions begin to seize, with derivatives."""

import jax.numpy as jnp
from jaxtyping import Array, Float

LEVEL = -0.75
"""Of the Epileptor's fast variable: between its states at rest and in a seizure, on the steep way from one to the other."""


def onset_times(times: Float[Array, " times"], activity: Float[Array, "times *regions"], level: float = LEVEL) -> Float[Array, "*regions"]:
    r"""First time at which each region's activity rises through a level; infinite where it does not.

    The crossing between two saved values is the root of the parabola through them and the value before, by one Newton step from the chord:
    an error of the third order in the time between values. The derivative is that of the root,
    $\partial t^* = -\partial x(t^*)/\dot x(t^*)$, the implicit one, through whatever made the activity; zero where there is no onset.

    Args:
        times: Of the values, evenly spaced.
        activity: Saved values, at least three.
        level: To be crossed upwards.

    Fails: a region that is above the level from the start has no onset before it comes down and rises again; an onset that barely
    happens has no useful derivative.
    """
    low, high = activity[1:-1], activity[2:]
    rises = (low <= level) & (high > level)
    first = jnp.argmax(rises, axis=0)
    found = jnp.any(rises, axis=0)
    before, here, after = (jnp.take_along_axis(activity, (first + shift)[None], axis=0)[0] for shift in range(3))
    step = jnp.where(found, after - here, 1.0)
    chord = jnp.where(found, (level - here) / step, 0.0)
    bend = jnp.where(found, 0.5 * (after - 2 * here + before), 0.0)
    slope = 0.5 * (jnp.where(found, after - before, 2.0))
    missed = here + chord * (slope + chord * bend) - level
    # Newton on x(s) = here + s slope + s² bend, from the chord; a second step makes the root exact to round-off for its derivative.
    root = chord - missed / (slope + 2 * chord * bend)
    missed = here + root * (slope + root * bend) - level
    root = root - missed / (slope + 2 * root * bend)
    gap = times[1] - times[0]
    return jnp.where(found, times[1:-1][first] + gap * jnp.where(found, root, 0.0), jnp.inf)
