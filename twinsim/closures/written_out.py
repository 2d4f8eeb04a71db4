"""A trained perceptron as a formula: for cells by the million, where products of small matrices with long ones cost more than they need."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from physics import AnalyticClosure
from twinsim.closures.perceptron import ACTIVATIONS, PerceptronClosure
from twinsim.errors import InputError


def written_out(closure: PerceptronClosure) -> AnalyticClosure:
    """The same function with its scales folded into the first and the last layer, and every unit a sum that is written out.

    A small network in a stencil or a cell is limited by memory when each layer is an array of its own; sums of products fuse into the loop
    around them. Equal to ``closure`` to round-off, differentiable in its weights. For up to some 32 units: beyond, programs grow long and
    matrices are faster. It carries no training range: ask ``closure.examine``.

    Raises:
        InputError: Outputs that must be positive, which pass through a function that is not folded here.
    """
    if any(closure.positive):
        raise InputError("a closure with positive outputs", "one whose outputs are free", "use it as it is")
    weights = [weight[...] for weight in closure.network.weights]
    biases = [bias[...] for bias in closure.network.biases]
    into, out = closure.input_scale, closure.output_scale
    biases[0] = biases[0] - weights[0] @ (into.mean / into.scale)
    weights[0] = weights[0] / into.scale[None, :]
    weights[-1], biases[-1] = weights[-1] * out.scale[:, None], biases[-1] * out.scale + out.mean
    return AnalyticClosure(
        law=LAWS[closure.network.activation], parameters=(weights, biases), inputs=closure.inputs, outputs=closure.outputs
    )


class _Law:
    """The sums of all layers with one activation."""

    def __init__(self, activation: str) -> None:
        self.activation = ACTIVATIONS[activation]

    def __call__(self, parameters: tuple[list[Array], list[Array]], values: Float[Array, "inputs *places"]) -> Array:
        weights, biases = parameters
        rows = list(values)
        for layer, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
            if layer:
                rows = [self.activation(row) for row in rows]
            weight, bias = weight.astype(values.dtype), bias.astype(values.dtype)
            # The last inputs first: where they are one number for all cells, their share is added up once.
            terms = [list(reversed([weight[unit, part] * row for part, row in enumerate(rows)])) for unit in range(weight.shape[0])]
            rows = [sum(each, bias[unit]) for unit, each in enumerate(terms)]
        return jnp.stack(rows)


LAWS = {name: _Law(name) for name in ACTIVATIONS}
"""One object each, so that programs compiled for one closure serve the next of its shape."""
