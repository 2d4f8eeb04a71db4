"""What is read off pulse waves of one beat: feet, peaks, notches, with derivatives."""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

Wave = Float[Array, " times"]
Number = Float[Array, ""]

DIASTOLE_FROM, DIASTOLE_UNTIL = 0.08, 0.45
"""Part of the beat after the systolic peak in which the diastolic one is looked for."""


def extremum(times: Wave, values: Wave, place: Array) -> tuple[Number, Number]:
    """Time and value at the vertex of the parabola through a sample and its neighbours, equally spaced in time.

    ``place`` is held: the derivative is that of the vertex, exact while the sample stays the largest. The ends of the wave have no vertex
    and are taken as they are; so are three samples on a line.
    """
    inner = jnp.clip(place, 1, values.size - 2)
    before, here, after = values[inner - 1], values[inner], values[inner + 1]
    bend = before - 2 * here + after
    flat = (bend == 0) | (place != inner)
    shift = jnp.where(flat, 0.0, 0.5 * (before - after) / jnp.where(bend == 0, 1, bend))
    step = times[1] - times[0]
    time = jnp.where(flat, times[place], times[inner] + shift * step)
    return time, jnp.where(flat, values[place], here - 0.25 * (before - after) * shift)


def peak(times: Wave, values: Wave) -> tuple[Number, Number]:
    """Time and value of the highest point."""
    return extremum(times, values, jnp.argmax(lax.stop_gradient(values)))


def foot(times: Wave, values: Wave) -> tuple[Number, Number]:
    """Time and value where the tangent of the steepest rise meets the level of the lowest point before it.

    Source: Chiu, Arand, Shroff, Feldman, Carroll (1991), Am. Heart J. 121, 1460 (intersecting tangents). It fails where the wave begins in
    its rise: start the beat at the R wave.
    """
    step = times[1] - times[0]
    rate = jnp.asarray(jnp.gradient(values)) / step
    held = lax.stop_gradient(values)
    steepest = jnp.argmax(lax.stop_gradient(rate))
    time, slope = extremum(times, rate, steepest)
    lowest = jnp.argmin(jnp.where(jnp.arange(values.size) <= steepest, held, jnp.inf))
    _, level = extremum(times, values, lowest)
    # The wave's value at the vertex of its slope: the slope's parabola integrated from the sample.
    offset = time - times[steepest]
    height = values[steepest] + offset * (rate[steepest] + 2 * slope) / 3
    return time - (height - level) / slope, level


def crossing(times: Wave, values: Wave, part: float) -> Number:
    """When the wave first rises through this part of its highest point; linear between samples."""
    level = part * jnp.max(values)
    above = jnp.argmax(lax.stop_gradient(values) > lax.stop_gradient(level))
    after = jnp.maximum(above, 1)
    low, high = values[after - 1], values[after]
    gap = jnp.where(high == low, 1, high - low)
    return times[after - 1] + (level - low) / gap * (times[after] - times[after - 1])


def diastolic_wave(times: Wave, values: Wave) -> tuple[Number, Number]:
    """Time and value of the diastolic wave: where the fall after the systolic peak is slowest, a notch or an inflection before it or not.

    Source: Millasseau, Kelly, Ritter, Chowienczyk (2002), Clin. Sci. 103, 371.
    """
    period = times[-1] - times[0]
    rate = jnp.asarray(jnp.gradient(values)) / (times[1] - times[0])
    top = times[jnp.argmax(lax.stop_gradient(values))]
    here = (times > top + DIASTOLE_FROM * period) & (times < top + DIASTOLE_UNTIL * period)
    slowest = jnp.argmax(jnp.where(here, lax.stop_gradient(rate), -jnp.inf))
    time, slope = extremum(times, rate, slowest)
    offset = time - times[slowest]
    return time, values[slowest] + offset * (rate[slowest] + 2 * slope) / 3


def mean(values: Wave) -> Number:
    """Over the beat, trapezoidal."""
    return (jnp.sum(values) - 0.5 * (values[0] + values[-1])) / (values.size - 1)
