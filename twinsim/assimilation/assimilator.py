"""What every method of live assimilation is."""

from abc import abstractmethod
from typing import ClassVar

import equinox as eqx
from jaxtyping import Array, PyTree

from solvers.shapes import Scalar
from twinsim.assimilation.stream_model import Ensemble, Innovation, Present, StreamModel, Values

Belief = PyTree[Array]


class Assimilator(eqx.Module):
    """A method that turns a belief and one reading into the next belief; pure, jitted, of static shape.

    A belief is a pytree of arrays of the method's own kind, so that it can be saved after every update; :meth:`ensemble` is how others
    look at it.

    Attributes:
        belief_kind: Class of the beliefs that :meth:`update` takes.
    """

    belief_kind: ClassVar[type] = object

    @abstractmethod
    def update(
        self, model: StreamModel, belief: Belief, time: Scalar, values: Values, mask: Present, key: Array
    ) -> tuple[Belief, Innovation]:
        """Forecasts to ``time`` and uses the channels of the reading that are present.

        Args:
            model: The twin.
            belief: At the time of the last reading.
            time: Of this reading, not before that.
            values: Per channel; what stands where ``mask`` is false does not matter, as long as it is finite.
            mask: Channels that were read.
            key: For the disturbances.
        """

    @abstractmethod
    def ensemble(self, belief: Belief, key: Array, count: int) -> Ensemble:
        """States at the time of the last reading; methods that keep members return these, others draw ``count``."""
