"""A substep that is solved in closed form."""

from abc import abstractmethod

import equinox as eqx
import jax.numpy as jnp

from solvers.shapes import Flag, Scalar, State
from solvers.stepper import Stepper


class Flow(eqx.Module):
    """The exact solution map of a differential equation without spatial coupling; physics provides these."""

    @abstractmethod
    def solve(self, state: State, time: Scalar, length: Scalar) -> State:
        """The exact solution at ``time + length`` that starts from ``state`` at ``time``."""


class ExactFlow(Stepper):
    """Takes a :class:`Flow` as a stepper; its error is round-off, so it never limits the order of a splitting."""

    flow: Flow

    @property
    def order(self) -> int:
        """Exact; reported as a large number so that a splitting's own order decides."""
        return 99

    def advance(self, state: State, time: Scalar, length: Scalar) -> State:
        """See :class:`solvers.stepper.Stepper`."""
        return self.flow.solve(state, time, length)

    def stable(self, length: Scalar) -> Flag:
        """Always."""
        return jnp.asarray(True) | (length < 0)
