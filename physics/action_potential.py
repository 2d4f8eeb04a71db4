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
    samples or slopes, so that every biomarker is of second order in the sampling interval, and differentiable; where a slope is largest
    just as the stimulus ends and then jumps, it is that of the interval before, and of first order. $V_{rest}$ is the first sample: of a
    premature beat, the potential from which it rose.

    Args:
        times: ms, increasing, not necessarily even.
        voltage: mV; at least six samples.
        fraction: The part $p$ of the amplitude that has to be gone.

    Fails (as numbers, not as an exception) where the peak is at an end of the trace, where the stimulus artefact is the peak, and
    where a beat does not take: compare ``peak`` with ``resting``.
    """
    last = times.shape[0] - 1
    top = jnp.clip(jnp.argmax(voltage), 2, last - 2)
    _, peak = _vertex(times, voltage, top)
    middles, slopes = (times[1:] + times[:-1]) / 2, jnp.diff(voltage) / jnp.diff(times)
    steepest = jnp.clip(jnp.argmax(slopes), 2, last - 3)
    upstroke_time, max_upstroke = _vertex(middles, slopes, steepest)
    resting = voltage[0]
    level = peak - fraction * (peak - resting)
    index = jnp.arange(last)
    crossing = (index >= top) & (voltage[:-1] > level) & (voltage[1:] <= level)
    repolarised = crossing.any()
    first = jnp.clip(jnp.argmax(crossing), 1, last - 1)
    crossed = crossing_time(times, voltage, first, level)
    repolarisation_time = jnp.where(repolarised, crossed, jnp.inf)
    duration = jnp.where(repolarised, crossed - upstroke_time, jnp.inf)
    return ActionPotential(resting, peak, max_upstroke, upstroke_time, repolarisation_time, duration, repolarised)


def _vertex(times: Trace, values: Trace, middle: Array) -> tuple[Scalar, Scalar]:
    """Time and value of the extremum of the parabola through three samples; the middle sample where values jump."""
    bends = [_bend(times, values, middle + shift)[2] for shift in (-1, 0, 1)]
    # Where a stimulus ends, the slope jumps: the parabola across would overshoot. It bends far more than the ones beside it.
    smooth = jnp.abs(bends[1]) <= 3 * jnp.minimum(jnp.abs(bends[0]), jnp.abs(bends[2]))
    left, slope, curvature, right = _bend(times, values, middle)
    usable = smooth & (curvature < 0)
    offset = jnp.where(usable, -slope / (2 * jnp.where(usable, curvature, 1.0)), 0.0)
    offset = jnp.clip(offset, left, right)
    return times[middle] + offset, values[middle] + offset * (slope + curvature * offset)


def _bend(times: Trace, values: Trace, middle: Array) -> tuple[Scalar, Scalar, Scalar, Scalar]:
    """Offset to the sample before, slope and half the second derivative of the parabola at a sample, offset to the one after."""
    before, here, after = (values[middle + shift] for shift in (-1, 0, 1))
    left, right = times[middle - 1] - times[middle], times[middle + 1] - times[middle]
    down, up = (before - here) / left, (after - here) / right
    curvature = (up - down) / (right - left)
    return left, up - curvature * right, curvature, right


def crossing_time(times: Trace, values: Trace, first: Array, level: Scalar, corrections: int = 1) -> Scalar:
    """Where the parabola through samples first-1 to first+1 takes a value between the last two of them, by Newton's method.

    The chord's root is of second order already; one correction from there is of fourth, and a second one makes the derivative that of the
    root itself where values jump between samples.
    """
    _, slope, curvature, right = _bend(times, values, first)
    here, after = values[first], values[first + 1]
    flat = after == here
    guess = jnp.where(flat, 0.0, (level - here) * right / jnp.where(flat, 1.0, after - here))
    for _ in range(corrections):
        value, gradient = here + guess * (slope + curvature * guess) - level, slope + 2 * curvature * guess
        guess = guess - jnp.where(gradient == 0, 0.0, value / jnp.where(gradient == 0, 1.0, gradient))
    return times[first] + jnp.clip(guess, 0.0, right)
