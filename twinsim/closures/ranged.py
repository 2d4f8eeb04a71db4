"""A law of any kind that knows where it was found."""

import equinox as eqx
from jaxtyping import Array, Float, Int

from physics import Closure, Variable
from twinsim.closures.scaling import TrainingRange


class RangedClosure(Closure):
    """A closure that has no range of its own, with one: a formula fitted to data, or a law of ``twinsim.discovery``.

    Attributes:
        closure: What it computes.
        found_on: The inputs of the data, ``TrainingRange.of(inputs)``.
        inputs: As the closure's.
        outputs: As the closure's.
    """

    closure: Closure
    found_on: TrainingRange
    inputs: tuple[Variable, ...] = eqx.field(static=True)
    outputs: tuple[Variable, ...] = eqx.field(static=True)

    def __init__(self, closure: Closure, found_on: TrainingRange) -> None:
        self.closure, self.found_on = closure, found_on
        self.inputs, self.outputs = closure.inputs, closure.outputs

    def __call__(self, values: Float[Array, "inputs *places"]) -> Float[Array, "outputs *places"]:
        return self.closure(values)

    def examine(self, values: Float[Array, "inputs *places"], margin: float = 1.1) -> Int[Array, "*places"]:
        """See :class:`physics.Closure`."""
        return self.found_on.examine(values, margin)
