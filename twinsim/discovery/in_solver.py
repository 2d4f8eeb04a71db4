"""Courses of an equation whose right-hand side is a closure, on the times of noisy data."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from solvers import ExplicitRungeKutta, Rate
from solvers.shapes import Scalar
from twinsim.discovery.weak_form import Course, noise_level, smoothed

Law = Callable[[Float[Array, "variables *places"]], Float[Array, "variables *places"]]

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


class ClosureRate(Rate):
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


def rollout(
    law: Law, start: Float[Array, "variables windows"], spans: Float[Array, "intervals windows"], limit: Float[Array, " variables"],
    substeps: int = 4,
) -> Float[Array, "samples variables windows"]:  # fmt: skip
    """States at all samples, the first included, by Runge and Kutta's method of order four; the gradient keeps a state per interval."""
    held = jnp.broadcast_to(limit[:, None], start.shape)

    @partial(jax.checkpoint, prevent_cse=False)
    def interval(state: Array, span: Array) -> tuple[Array, Array]:
        stepper = ExplicitRungeKutta(ClosureRate(law, span, limit))
        length = jnp.asarray(1.0 / substeps, state.dtype)

        def step(state: Array, _: None) -> tuple[Array, None]:
            return jnp.clip(stepper.advance(state, jnp.zeros_like(length), length), -held, held), None

        state, _ = jax.lax.scan(step, state, None, length=substeps)
        return state, state

    return jnp.concatenate([start[None], jax.lax.scan(interval, start, spans)[1]])


def predicted(law: Law, start: Float[np.ndarray, " variables"], times: Float[np.ndarray, " samples"], limit: float = 1e6) -> np.ndarray:
    """One course from a known start, ``[samples, variables]``, in steps that are short enough for smooth laws."""
    bound = jnp.full(len(start), limit)
    return np.asarray(_rollout(law, jnp.asarray(start)[:, None], jnp.asarray(np.diff(times))[:, None], bound, 8))[:, :, 0]


_rollout = eqx.filter_jit(rollout)
