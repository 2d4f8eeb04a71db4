"""Failures of a computation as data: a code per ensemble member whose message says cause and remedy."""

from collections.abc import Callable
from enum import IntEnum

import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike


class Status(IntEnum):
    """How a simulation ended; the larger code wins when several hold."""

    SUCCESS = 0
    UNSTABLE_STEP = 1
    NOT_FINITE = 2
    STEP_LIMIT = 3
    STEP_TOO_SMALL = 4
    NOT_CONVERGED = 5
    INCOMPATIBLE = 6
    OUT_OF_RANGE = 7
    EVENT_NOT_FINITE = 8
    UNPHYSIOLOGICAL = 9
    EXTRAPOLATED = 10

    @property
    def message(self) -> str:
        """Cause and remedy in one line."""
        return _MESSAGES[self]


_MESSAGES = {
    Status.SUCCESS: "the simulation ended well",
    Status.UNSTABLE_STEP: "a step is longer than the stepper's stability limit; do: shorten the step or give it more stages",
    Status.NOT_FINITE: "the state has a NaN or an infinity; do: check parameters and initial state, then shorten the step; "
    "where steps are implicit, allow their linear solves more iterations",
    Status.STEP_LIMIT: "the step limit was reached before the end; do: allow more steps, loosen the tolerance, or use an implicit method",
    Status.STEP_TOO_SMALL: "the error control asks for steps below round-off; do: loosen the tolerance, or mark the jump as an event",
    Status.NOT_CONVERGED: "a linear or nonlinear solve did not reach its tolerance, the best iterate is kept; "
    "do: allow more iterations, loosen the tolerance, or shorten the step",
    Status.INCOMPATIBLE: "a component without losses is solvable, up to a constant, only for a source that sums to zero over it; "
    "do: give it a Dirichlet value or a loss, or subtract the mean of the source there",
    Status.OUT_OF_RANGE: "an argument that is known only when the program runs is out of its range; do: give a finite stop not before "
    "start, positive tolerances and first step, and times to save at in between",
    Status.EVENT_NOT_FINITE: "the event's function became NaN before it changed its sign; do: keep it finite over the whole span, "
    "e.g. clip the argument of a root or a logarithm",
    Status.UNPHYSIOLOGICAL: "a component of the state is outside of the range that the model holds for; do: check the initial state "
    "and its units, then shorten the step",
    Status.EXTRAPOLATED: "a fitted function was asked outside of the range that it was fitted on; do: fit it over a wider range, or use "
    "the law that it stands for",
}


class SimulationError(ArithmeticError):
    """Raised once, on the host, for a result whose status is not SUCCESS."""


def raise_for_status(status: ArrayLike, words: Callable[[Status, int], str | None] | None = None) -> None:
    """Raises :class:`SimulationError` if any member failed, naming how many, which first, why, and what to do.

    Args:
        status: Codes of any shape.
        words: ``words(status, member)`` says it better for the first member that failed, or gives None for ``Status.message``.

    Raises:
        SimulationError: A code is not SUCCESS.
        ValueError: The codes are traced.
    """
    refuse_traced(status, "raise_for_status")
    codes = np.atleast_1d(np.asarray(status))
    failed = np.flatnonzero(codes)
    if failed.size:
        member = int(failed[0])
        first = Status(int(codes.flat[member]))
        message = (None if words is None else words(first, member)) or first.message
        raise SimulationError(f"{failed.size} of {codes.size} members failed, the first is {member}: {message}")


def refuse_traced(value: object, name: str) -> None:
    """Refuses, in one line, a value that is not known yet where the host must look at it."""
    if isinstance(value, Tracer):
        raise ValueError(f"got traced values in {name}; expected known ones, on the host; do: call it outside of jit, grad and vmap")
