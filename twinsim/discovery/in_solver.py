"""Courses of an equation whose right-hand side is a closure, on the times of noisy data."""

from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from twinsim.closures.courses import Law, rollout
from twinsim.discovery.weak_form import Course, noise_level, smoothed

BEYOND = 1e4
"""How many times the largest value seen a course may reach; it is held there."""


class Windows(NamedTuple):
    """Courses cut into windows, padded to one length; places are windows.

    Attributes:
        spans: Time between samples, ``[intervals, windows]``; zero where padded.
        values: ``[samples, variables, windows]``.
        weights: One over the noise of a value; zero where padded.
        limit: Of the size of each variable.
    """

    spans: Float[Array, "intervals windows"]
    values: Float[Array, "samples variables windows"]
    weights: Float[Array, "samples variables windows"]
    limit: Float[Array, " variables"]


def cut(courses: list[Course], horizon: int) -> tuple[Windows, np.ndarray]:
    """Windows of ``horizon`` intervals, each beginning where the last one ends, and smoothed values at their starts.

    A sample at which one window ends and the next begins counts for both.
    """
    noise = noise_level(courses)
    parts, starts = [], []
    for course in courses:
        smooth = smoothed(course, course.times)
        for begin in range(0, len(course.times) - 1, horizon):
            piece = slice(begin, begin + horizon + 1)
            parts.append((course.times[piece], course.values[piece]))
            starts.append(smooth[begin])
    longest = max(len(times) for times, _ in parts)
    spans, values = np.zeros((longest - 1, len(parts))), np.zeros((longest, len(noise), len(parts)))
    weights = np.zeros_like(values)
    for k, (times, seen) in enumerate(parts):
        spans[: len(times) - 1, k] = np.diff(times)
        values[: len(times), :, k] = seen
        weights[: len(times), :, k] = 1 / noise
    limit = BEYOND * np.abs(np.concatenate([course.values for course in courses])).max(axis=0)
    return Windows(*(jnp.asarray(part) for part in (spans, values, weights, limit))), np.array(starts).T


def predicted(law: Law, start: Float[np.ndarray, " variables"], times: Float[np.ndarray, " samples"], limit: float = 1e6) -> np.ndarray:
    """One course from a known start, ``[samples, variables]``, in steps that are short enough for smooth laws."""
    bound = jnp.full(len(start), limit)
    return np.asarray(_rollout(law, jnp.asarray(start)[:, None], jnp.asarray(np.diff(times))[:, None], bound, 8))[:, :, 0]


_rollout = eqx.filter_jit(rollout)
