"""Rows of a regression for an unknown law without derivatives of data: the law times a bump, integrated by parts."""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from scipy.interpolate import BSpline, make_smoothing_spline

from twinsim.discovery.term_library import TermLibrary
from twinsim.errors import InputError

NODES = 600
"""Of the quadrature over a course."""


@dataclass(frozen=True)
class Course:
    """One observed course of all variables.

    Attributes:
        times: Increasing, at least 8, at any distances.
        values: ``[samples, variables]``, with noise.

    Raises:
        InputError: Times that do not increase, too few, or values that do not match or are not finite.
    """

    times: Float[np.ndarray, " samples"]
    values: Float[np.ndarray, "samples variables"]

    def __post_init__(self) -> None:
        """Refuses what is no course."""
        if len(self.times) != len(self.values) or len(self.times) < 8 or not (np.diff(self.times) > 0).all():
            got = f"{len(self.times)} times for {len(self.values)} rows of values"
            raise InputError(got, "8 or more increasing times, a row each", "sort the samples and merge those of one time")
        if not (np.isfinite(self.times).all() and np.isfinite(self.values).all()):
            raise InputError("a course with numbers that are not finite", "finite numbers", "leave out samples that are not known")

    @cached_property
    def splines(self) -> list[BSpline]:
        """A smoothing spline of every variable, as smooth as generalised cross-validation says."""
        return [make_smoothing_spline(self.times, one) for one in self.values.T]


class WeakRows(NamedTuple):
    """The regression of every variable on the terms.

    Attributes:
        columns: $\\int\\phi\\,\\theta(x)\\,dt$, ``[rows, terms]``.
        targets: $-\\int\\phi'x\\,dt$, ``[rows, variables]``.
        weights: One over the variance of a target up to a factor, by the noise of its variable, ``[rows, variables]``.
    """

    columns: Float[np.ndarray, "rows terms"]
    targets: Float[np.ndarray, "rows variables"]
    weights: Float[np.ndarray, "rows variables"]


def smoothed(course: Course, at: Float[np.ndarray, " nodes"]) -> Float[np.ndarray, "nodes variables"]:
    """The course's splines at some times."""
    return np.stack([spline(at) for spline in course.splines], axis=1)


def weak_rows(courses: list[Course], library: TermLibrary, width: float, overlap: int = 4) -> WeakRows:
    r"""Multiplies $\dot x=\theta(x)\xi$ by bumps $\phi$ that vanish at both ends, and integrates by parts.

    $$-\int\phi'x\,dt=\int\phi\,\theta(x)\,dt\;\xi,\qquad\phi=(1-u^2)^4\text{ on }|u|<1$$

    Noise is integrated on both sides and differentiated on none; the derivative falls on $\phi$, which is known. Between samples
    (irregular, noisy) $x$ is a smoothing spline, because the terms are not linear and noise in them would bias $\xi$
    ($\langle x^2\rangle$ is not $\langle x\rangle^2$), and because a sum over few irregular samples is a bad quadrature.

    Args:
        courses: Observed.
        library: Terms.
        width: Of a bump, in time.
        overlap: Bumps begin every ``width / overlap``.

    Good values: bumps of a quarter to a half of a period, five samples or more in each. Fails where a bump is longer than what it must
    resolve (sharp turns of a relaxation oscillator), or so short that the spline's own errors are all that is left.

    Raises:
        InputError: No course, or none as long as a bump.

    Source: Messenger and Bortz (2021), *Multiscale Model Simul* 19, 1474 (weak form); Schaeffer and McCalla (2017), *Phys Rev E* 96,
    023302 (integral form).
    """
    if not courses or not width > 0 or overlap < 1 or all(course.times[-1] - course.times[0] < width for course in courses):
        raise InputError(f"{len(courses)} courses, bumps of {width:g}", "a course at least as long as a bump", "shorten the bumps")
    columns, targets = [], []
    for course in courses:
        first, last = course.times[0], course.times[-1]
        nodes, step = np.linspace(first, last, NODES, retstep=True)
        values = smoothed(course, nodes)
        terms = np.asarray(library(jnp.asarray(values.T))).T
        quadrature = np.full(NODES, step)
        quadrature[[0, -1]] = 0.5 * step
        for middle in np.arange(first + 0.5 * width, last - 0.5 * width + 1e-9, width / overlap):
            u = np.clip((nodes - middle) / (0.5 * width), -1, 1)
            bump, slope = (1 - u**2) ** 4, -8 * u * (1 - u**2) ** 3 / (0.5 * width)
            columns.append((quadrature * bump) @ terms)
            targets.append(-(quadrature * slope) @ values)
    noise = np.maximum(noise_level(courses), np.finfo(float).tiny)
    rows = np.array(targets)
    return WeakRows(np.array(columns), rows, np.broadcast_to(1 / noise**2, rows.shape).copy())


def noise_level(courses: list[Course]) -> Float[np.ndarray, " variables"]:
    """Standard deviation of what the smoothing splines leave of each variable."""
    left = np.concatenate([course.values - smoothed(course, course.times) for course in courses])
    return np.sqrt((left**2).mean(axis=0))


def difference_rows(courses: list[Course], library: TermLibrary) -> WeakRows:
    """The plain way, to compare with: differences of neighbouring samples over their distance, terms at the means of both."""
    columns, targets = [], []
    for course in courses:
        gap = np.diff(course.times)[:, None]
        targets.append(np.diff(course.values, axis=0) / gap)
        columns.append(np.asarray(library(jnp.asarray(0.5 * (course.values[1:] + course.values[:-1]).T))).T)
    rows = np.concatenate(targets)
    return WeakRows(np.concatenate(columns), rows, np.ones_like(rows))
