"""A law of any kind that knows where it was found."""

from jaxtyping import Array, Float, Int

from physics import Closure, Variable
from twinsim.closures.scaling import TrainingRange


class RangedClosure(Closure):
    """A closure that has no range of its own, with one: a formula fitted to data, or a law of ``twinsim.discovery``.

    Attributes:
        closure: What it computes.
        found_on: The inputs of the data, ``TrainingRange.of(inputs)``.
    """

    closure: Closure
    found_on: TrainingRange

    @property
    def inputs(self) -> tuple[Variable, ...]:
        """As the closure's."""
        return self.closure.inputs

    @property
    def outputs(self) -> tuple[Variable, ...]:
        """As the closure's."""
        return self.closure.outputs

    def __call__(self, values: Float[Array, "inputs *places"]) -> Float[Array, "outputs *places"]:
        return self.closure(values)

    def examine(self, values: Float[Array, "inputs *places"], margin: float = 1.1) -> Int[Array, "*places"]:
        """See :class:`physics.Closure`."""
        return self.found_on.examine(values, margin)
