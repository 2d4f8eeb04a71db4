"""Rectangular pulses of one duration at one or several starts: what stimuli inside and outside of cells share."""

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Bool, Float

from physics.cell_model import Scalar

Starts = Float[Array, " starts"]


def check_pulses(duration: Scalar, starts: Starts) -> None:
    """Refuses what is no train of pulses; values that are traced can't be looked at and pass.

    Raises:
        ValueError: A duration that is not positive, starts that are not finite, or closer than the duration.
    """
    if isinstance(duration, Tracer) or isinstance(starts, Tracer):
        return
    if not (np.isfinite(duration) and duration > 0):
        raise ValueError(f"got a duration of {float(duration):g} ms; expected it positive; do: give it in ms")
    times = np.asarray(starts)
    if not np.isfinite(times).all() or (np.diff(times) < float(duration)).any():
        raise ValueError(
            f"got starts {times.tolist()} ms of pulses of {float(duration):g} ms; expected finite ones, not overlapping; "
            "do: use a second stimulus for pulses on top of each other"
        )


def pulse_is_on(time: Scalar, duration: Scalar, starts: Starts) -> Bool[Array, ""]:
    """Whether a pulse is on, in the precision of the time, to which the breakpoints of a mesh were rounded: edges are met exactly."""
    begin, end = starts.astype(time.dtype), (starts + duration).astype(time.dtype)
    return jnp.any((time >= begin) & (time < end))


def pulse_edges(duration: Scalar, starts: Starts) -> list[float]:
    """Where the current jumps, ms; on the host."""
    length = float(duration)
    return [float(edge) for start in np.asarray(starts) for edge in (start, start + length)]
