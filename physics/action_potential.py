"""What is read off an action potential: duration, rest, peak and upstroke, between the samples."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

Scalar = Float[Array, ""]
Trace = Float[Array, " samples"]


class ActionPotential(eqx.Module):
    """Biomarkers of one beat.

    Attributes:
        resting: Potential just before the stimulus, mV.
        peak: Largest potential, mV.
        max_upstroke: Largest slope, mV/ms, which is V/s.
        upstroke_time: When the slope is largest, in the time of the trace, ms.
        repolarisation_time: When the potential first comes back down to the level after the peak, ms; infinite where it does not.
        duration: From the upstroke to repolarisation, ms; infinite where there is none.
        repolarised: Whether the trace reaches the level.
    """

    resting: Scalar
    peak: Scalar
    max_upstroke: Scalar
    upstroke_time: Scalar
    repolarisation_time: Scalar
    duration: Scalar
    repolarised: Bool[Array, ""]


def action_potential(times: Trace, voltage: Trace, fraction: float = 0.9) -> ActionPotential:
    r"""Biomarkers of the one beat in a trace whose first sample is just before the stimulus.

    Repolarised is the first time after the peak at which $V = V_{peak} - p\,(V_{peak} - V_{rest})$, found by the parabola through the
    three samples around it; the duration counts from the largest slope. Peak and largest slope are vertices of parabolas through three
    samples or slopes, so that every biomarker is smooth in the trace, of second order or better in the sampling interval, and
    differentiable. $V_{rest}$ is the first sample: of a premature beat, the potential from which it rose.

    Args:
        times: ms, increasing, not necessarily even.
        voltage: mV.
        fraction: The part $p$ of the amplitude that has to be gone.

    Fails (as numbers, not as an exception) where the peak is at an end of the trace, where the stimulus artefact is the peak, and
    where a beat does not take: compare ``peak`` with ``resting``.
    """
    last = times.shape[0] - 1
    top = jnp.clip(jnp.argmax(voltage), 1, last - 1)
    _, peak = _vertex(times, voltage, top)
    middles, slopes = (times[1:] + times[:-1]) / 2, jnp.diff(voltage) / jnp.diff(times)
    steepest = jnp.clip(jnp.argmax(slopes), 1, last - 2)
    upstroke_time, max_upstroke = _vertex(middles, slopes, steepest)
    resting = voltage[0]
    level = peak - fraction * (peak - resting)
    index = jnp.arange(last)
    crossing = (index >= top) & (voltage[:-1] > level) & (voltage[1:] <= level)
    repolarised = crossing.any()
    first = jnp.clip(jnp.argmax(crossing), 1, last - 1)
    crossed = _crossing(times, voltage, first, level)
    repolarisation_time = jnp.where(repolarised, crossed, jnp.inf)
    duration = jnp.where(repolarised, crossed - upstroke_time, jnp.inf)
    return ActionPotential(resting, peak, max_upstroke, upstroke_time, repolarisation_time, duration, repolarised)


def _vertex(times: Trace, values: Trace, middle: Array) -> tuple[Scalar, Scalar]:
    """Time and value of the extremum of the parabola through three samples, kept between the outer two."""
    before, here, after = (values[middle + shift] for shift in (-1, 0, 1))
    left, right = times[middle - 1] - times[middle], times[middle + 1] - times[middle]
    down, up = (before - here) / left, (after - here) / right
    curvature = (up - down) / (right - left)
    slope = up - curvature * right
    flat = jnp.abs(curvature) < jnp.finfo(values.dtype).tiny
    offset = jnp.where(flat, 0.0, -slope / (2 * jnp.where(flat, 1.0, curvature)))
    offset = jnp.clip(offset, left, right)
    return times[middle] + offset, here + offset * (slope + curvature * offset)


def _crossing(times: Trace, values: Trace, first: Array, level: Scalar) -> Scalar:
    """Where the parabola through samples first-1 to first+1 takes a value between the last two of them, by one Newton step."""
    before, here, after = (values[first + shift] for shift in (-1, 0, 1))
    left, right = times[first - 1] - times[first], times[first + 1] - times[first]
    down, up = (before - here) / left, (after - here) / right
    curvature = (up - down) / (right - left)
    # The chord's root is of second order already; one step of Newton's method from there is of fourth.
    safe = jnp.where(up == 0, 1.0, up)
    guess = jnp.where(up == 0, 0.0, (level - here) / safe)
    slope = up - curvature * right
    value, gradient = here + guess * (slope + curvature * guess) - level, slope + 2 * curvature * guess
    step = jnp.where(gradient == 0, 0.0, value / jnp.where(gradient == 0, 1.0, gradient))
    return times[first] + jnp.clip(guess - step, 0.0, right)
