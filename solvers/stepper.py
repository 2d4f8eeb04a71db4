"""What every time-stepping method is."""

from abc import abstractmethod

import equinox as eqx
import jax.numpy as jnp

from solvers.shapes import Flag, Scalar, State


class Stepper(eqx.Module):
    """Advances a state over one step; steppers compose, and a gradient reaches every leaf inside.

    A step of length zero must return the state unchanged: :func:`solvers.simulate.simulate` pads with such steps.
    """

    @property
    @abstractmethod
    def order(self) -> int:
        """Order of convergence in the step length."""

    @abstractmethod
    def advance(self, state: State, time: Scalar, length: Scalar) -> State:
        """The state at ``time + length`` from the state at ``time``."""

    def stable(self, length: Scalar) -> Flag:
        """True where a step of this length is inside the method's stability limit; methods without a limit keep this."""
        del length
        return jnp.asarray(True)


class Increments(Stepper):
    """A stepper that knows its change: ``advance`` is ``state + increment``."""

    @abstractmethod
    def increment(self, state: State, time: Scalar, length: Scalar) -> State:
        """The change over the step, not rounded to the size of the state."""
