"""What all learned closures have in common."""

from abc import abstractmethod
from typing import Any, ClassVar

import equinox as eqx
from flax import nnx
from jax import tree_util
from jaxtyping import Array, Float, Int, PyTree

from physics import Closure, Variable
from twinsim.closures.scaling import SeenInputs


class KeptModel(eqx.Module):
    """What :func:`twinsim.closures.save_closure` can write: a learned model that is built again from its sizes, then given its arrays.

    Attributes:
        inputs: What goes in; none where it is no local variable, e.g. a tree of arteries.
        outputs: What comes out.
        kind: The name of the class in files.
    """

    inputs: eqx.AbstractVar[tuple[Variable, ...]]
    outputs: eqx.AbstractVar[tuple[Variable, ...]]
    kind: ClassVar[str]

    @abstractmethod
    def architecture(self) -> dict[str, Any]:
        """What :meth:`skeleton` needs, as JSON holds it: sizes and choices, no arrays, no variables."""

    @classmethod
    @abstractmethod
    def skeleton(cls, architecture: dict[str, Any], inputs: tuple[Variable, ...], outputs: tuple[Variable, ...]) -> "KeptModel":
        """A model of the same structure with arrays that are to be replaced."""


class LearnedClosure(Closure, KeptModel):
    """A closure with parameters found from data: it knows where it was trained, and how it is built again from a file."""

    @abstractmethod
    def seen_inputs(self) -> SeenInputs | None:
        """What it knows of the inputs that it was made from; None until it is trained."""

    def examine(self, values: Float[Array, "inputs *places"], margin: float = 1.1) -> Int[Array, "*places"]:
        """``Status.EXTRAPOLATED`` for places outside of the inputs seen in training, by more than ``margin`` of their extent.

        Observe it on the way (``simulate(..., observe=...)``) and hand it to ``raise_for_status``, or look at it.

        Raises:
            ValueError: The closure was never told its range.
        """
        seen = self.seen_inputs()
        if seen is None:
            raise ValueError("got a closure without a training range; expected one that knows what it was trained on; do: give trained_on")
        return seen.examine(values, margin)


def network_parameters(model: PyTree) -> PyTree:
    """Which leaves training changes: True for those of Flax NNX parameters, False for scales, ranges and physics."""

    def parameter(node: object) -> bool:
        return isinstance(node, nnx.Variable)

    return tree_util.tree_map(
        lambda node: tree_util.tree_map(lambda _: isinstance(node, nnx.Param), node) if parameter(node) else False,
        model,
        is_leaf=parameter,
    )
