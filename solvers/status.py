"""Failures of a computation as data: a code per ensemble member whose message says cause and remedy."""

from enum import IntEnum

import numpy as np
from jax.typing import ArrayLike


class Status(IntEnum):
    """How a simulation ended; the larger code wins when several hold."""

    SUCCESS = 0
    UNSTABLE_STEP = 1
    NOT_FINITE = 2
    STEP_LIMIT = 3
    STEP_TOO_SMALL = 4
    NOT_CONVERGED = 5

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
}


class SimulationError(ArithmeticError):
    """Raised once, on the host, for a result whose status is not SUCCESS."""


def raise_for_status(status: ArrayLike) -> None:
    """Raises :class:`SimulationError` if any member failed, naming how many, which first, why, and what to do."""
    codes = np.atleast_1d(np.asarray(status))
    failed = np.flatnonzero(codes)
    if failed.size:
        first = Status(int(codes.flat[failed[0]]))
        raise SimulationError(f"{failed.size} of {codes.size} members failed, the first is {failed[0]}: {first.message}")
