"""As many short steps as the state asks for, in one."""

from abc import abstractmethod

import jax.numpy as jnp
from jax import lax

from solvers.shapes import Index, Scalar, State
from solvers.stepper import Stepper

MOST = 1_000_000
"""Short steps in one; a state that asks for more is no state."""


class StateLimited(Stepper):
    """A stepper whose longest stable step depends on the state: waves whose speed changes."""

    @abstractmethod
    def longest_step(self, state: State) -> Scalar:
        """The longest step to take from this state."""


class AdaptiveSubsteps(Stepper):
    """Equal steps of a stepper in one compiled loop, as few as :meth:`StateLimited.longest_step` allows at the start of the whole step.

    JAX has no reverse mode for a loop of unknown length, and says so; forward mode works. :class:`solvers.steppers.splitting.Substeps`
    takes a given number. It fails where the limit shrinks by more than its margin within one whole step.

    Args:
        stepper: What is repeated.
    """

    stepper: StateLimited

    @property
    def order(self) -> int:
        """The stepper's."""
        return self.stepper.order

    def advance(self, state: State, time: Scalar, length: Scalar) -> State:
        """See :class:`solvers.stepper.Stepper`."""
        wanted = jnp.ceil(lax.stop_gradient(length / self.stepper.longest_step(state)))
        count = jnp.clip(jnp.nan_to_num(wanted, nan=1.0), 1, MOST).astype(int)
        short = length / count

        def one(number: Index, state: State) -> State:
            return self.stepper.advance(state, time + number * short, short)

        return lax.fori_loop(0, count, one, state)
