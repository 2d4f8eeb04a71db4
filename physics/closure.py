"""What an equation leaves open: a function of the local state, given by a law, a network, an operator or a fit."""

import math
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int


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
    sees_images: ClassVar[bool] = False
    """Whether places have to be the axes of an image: a list of cells means something else."""

    @abstractmethod
    def __call__(self, values: Float[Array, "inputs *places"]) -> Float[Array, "outputs *places"]:
        """What the equation asks for."""

    def examine(self, values: Float[Array, "inputs *places"], margin: float = 1.1) -> Int[Array, "*places"]:
        """``Status.EXTRAPOLATED`` where the closure is asked outside of what it was made from; a formula without a range never is.

        Args:
            values: As handed over.
            margin: How far beyond, in extents of what was seen.
        """
        del margin
        return jnp.zeros(values.shape[1:], int)


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


class BoundedClosure(Closure):
    r"""A closure kept between bounds, whatever it has learned: $a + (b-a)\,\sigma\bigl(4(y-m)/(b-a)\bigr)$, $m=(a+b)/2$.

    It is $y$ with slope one in the middle; $a=0$ makes a rate that only adds, $b=0$ one that only takes away.

    Args:
        closure: $y$, of any kind.
        low: $a$ of each output, in its unit.
        high: $b$ of each output.

    Raises:
        ValueError: Not one finite pair per output, or a low bound that is not below the high one.
    """

    closure: Closure
    low: tuple[float, ...] = eqx.field(static=True)
    high: tuple[float, ...] = eqx.field(static=True)
    inputs: tuple[Variable, ...] = eqx.field(static=True)
    outputs: tuple[Variable, ...] = eqx.field(static=True)

    def __init__(self, closure: Closure, low: tuple[float, ...], high: tuple[float, ...]) -> None:
        self.closure, self.low, self.high = closure, low, high
        self.inputs, self.outputs = closure.inputs, closure.outputs

    def __check_init__(self) -> None:
        count, pairs = len(self.closure.outputs), list(zip(self.low, self.high, strict=False))
        if not len(self.low) == len(self.high) == count or not all(-math.inf < low < high < math.inf for low, high in pairs):
            got = f"bounds from {self.low} to {self.high}"
            raise ValueError(f"got {got}; expected {count} finite pairs, low < high; do: give a number per output on either side")

    def __call__(self, values: Float[Array, "inputs *places"]) -> Float[Array, "outputs *places"]:
        free = self.closure(values)
        low, high = (jnp.asarray(bound, free.dtype).reshape(-1, *[1] * (free.ndim - 1)) for bound in (self.low, self.high))
        return low + (high - low) * jax.nn.sigmoid(4 * (free - (low + high) / 2) / (high - low))

    def examine(self, values: Float[Array, "inputs *places"], margin: float = 1.1) -> Int[Array, "*places"]:
        """As the closure's."""
        return self.closure.examine(values, margin)


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
        if not isinstance(given, tuple) or not all(isinstance(one, Variable) for one in given):
            raise ValueError(f"got a closure that {what} {given!r}; expected a tuple of Variable; do: give (Variable(name, unit),)")
        if given != wanted:
            raise ValueError(
                f"got a closure that {what} {_names(given)}; expected one that {what} {_names(wanted)}; "
                "do: order and convert its variables as the equation has them, or train it for this equation"
            )


def _names(variables: tuple[Variable, ...]) -> str:
    return ", ".join(map(str, variables)) or "nothing"
