"""What an equation leaves open: a function of the local state, given by a law, a network, an operator or a fit."""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import equinox as eqx
from jaxtyping import Array, Float


@dataclass(frozen=True)
class Variable:
    """A quantity that goes into a closure or comes out of it.

    Args:
        name: In full, as in the equation: ``"membrane_potential"``.
        unit: As pint reads it: ``"mV"``; ``"1"`` for a pure number.
    """

    name: str
    unit: str

    def __str__(self) -> str:
        return f"{self.name} [{self.unit}]"


class Closure(eqx.Module):
    """A function of local state that an equation leaves open: y = f(x), at every place on its own.

    The components of ``x`` and ``y`` are along the first axis, in the order of ``inputs`` and ``outputs``; all further axes are places,
    members of an ensemble or samples, whatever the equation has. A closure that looks at neighbours (an operator, a graph network) takes
    its places along these axes too. Leaves are parameters: the gradient with respect to them is what training follows.
    """

    inputs: eqx.AbstractVar[tuple[Variable, ...]]
    outputs: eqx.AbstractVar[tuple[Variable, ...]]

    @abstractmethod
    def __call__(self, values: Float[Array, "inputs *places"]) -> Float[Array, "outputs *places"]:
        """What the equation asks for."""


class AnalyticClosure(Closure):
    """A closure that is a formula.

    Args:
        law: ``law(parameters, values)``, from the inputs along the first axis to the outputs along the first axis.
        parameters: Any pytree; differentiable.
        inputs: What goes in.
        outputs: What comes out.
    """

    law: Callable[..., Float[Array, "outputs *places"]] = eqx.field(static=True)
    parameters: object
    inputs: tuple[Variable, ...] = eqx.field(static=True)
    outputs: tuple[Variable, ...] = eqx.field(static=True)

    def __call__(self, values: Float[Array, "inputs *places"]) -> Float[Array, "outputs *places"]:
        return self.law(self.parameters, values)


def check_closure(closure: Closure, inputs: tuple[Variable, ...], outputs: tuple[Variable, ...]) -> None:
    """Refuses a closure that does not fit the slot of an equation; call it where the equation takes one.

    Args:
        closure: What the user gave.
        inputs: What the equation hands over, in this order and these units.
        outputs: What it wants back.

    Raises:
        ValueError: A name, its place or its unit differs.
    """
    for what, given, wanted in (("takes", closure.inputs, inputs), ("gives", closure.outputs, outputs)):
        if given != wanted:
            raise ValueError(
                f"got a closure that {what} {_names(given)}; expected one that {what} {_names(wanted)}; "
                "do: order and convert its variables as the equation has them, or train it for this equation"
            )


def _names(variables: tuple[Variable, ...]) -> str:
    return ", ".join(map(str, variables)) or "nothing"
