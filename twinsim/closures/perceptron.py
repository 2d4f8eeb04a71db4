"""A multilayer perceptron in the units of an equation."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from physics import Variable
from solvers.elementary import rational_tanh
from twinsim.closures.learned import LearnedClosure
from twinsim.closures.scaling import Standardisation, TrainingRange, scales
from twinsim.errors import InputError, near_misses

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "tanh": jnp.tanh,
    "rational_tanh": rational_tanh,
    "gelu": jax.nn.gelu,
    "silu": jax.nn.silu,
    "softplus": jax.nn.softplus,
}


class Perceptron(nnx.Module):
    """Dense layers with one activation between them, on components along the first axis.

    h_0 = x, h_k = a(W_k h_{k-1} + b_k), y = W_n h_{n-1} + b_n. Places stay where they are in memory: on a voxel grid a layer is a small
    matrix times a long one, which every backend does well, and nothing is transposed.

    Args:
        sizes: Components in, hidden units per layer, components out.
        activation: ``tanh``, ``rational_tanh`` (no exponential, half the time on a CPU), ``gelu``, ``silu`` or ``softplus``.
        dtype: Of the weights.
        rngs: Where the weights come from: normal, variance 1 / inputs; the last layer is a tenth of that, so that an untrained closure
            says nearly nothing.
    """

    def __init__(self, sizes: tuple[int, ...], activation: str, dtype: Any, *, rngs: nnx.Rngs) -> None:
        self.activation = activation
        last = len(sizes) - 2
        self.weights = nnx.List(
            nnx.Param(jax.random.normal(rngs.params(), (out, into), dtype) * (into**-0.5 * (0.1 if layer == last else 1.0)))
            for layer, (into, out) in enumerate(pairwise(sizes))
        )
        self.biases = nnx.List(nnx.Param(jnp.zeros(out, dtype)) for out in sizes[1:])

    def __call__(self, values: Float[Array, "inputs *places"]) -> Float[Array, "outputs *places"]:
        places = values.shape[1:]
        hidden = values.reshape((values.shape[0], -1))
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            if layer:
                hidden = ACTIVATIONS[self.activation](hidden)
            hidden = weight[...].astype(values.dtype) @ hidden + bias[...].astype(values.dtype)[:, None]
        return hidden.reshape((hidden.shape[0], *places))


class PerceptronClosure(LearnedClosure):
    """A closure y = s_y N((x - m_x) / s_x) + m_y with a :class:`Perceptron` N; y = s_y softplus(N) where it must be positive.

    Good values: one or two hidden layers of 8 to 32 units for a local law of a few variables. Outside of the training range a perceptron
    says anything at all: ask :meth:`examine`.

    Attributes:
        network: The perceptron.
        input_scale: m_x and s_x; fixed in training.
        output_scale: m_y and s_y; fixed in training.
        trained_on: The inputs seen in training.
        inputs: What goes in.
        outputs: What comes out.
        positive: Per output, whether it must be positive.
    """

    network: Perceptron
    input_scale: Standardisation
    output_scale: Standardisation
    trained_on: TrainingRange | None
    inputs: tuple[Variable, ...] = eqx.field(static=True)
    outputs: tuple[Variable, ...] = eqx.field(static=True)
    positive: tuple[bool, ...] = eqx.field(static=True)
    hidden: tuple[int, ...] = eqx.field(static=True)
    kind: ClassVar[str] = "perceptron"

    @classmethod
    def create(
        cls,
        seed: int,
        inputs: tuple[Variable, ...],
        outputs: tuple[Variable, ...],
        *,
        samples: tuple[Float[Array, "inputs samples"], Float[Array, "outputs samples"]] | None = None,
        hidden: tuple[int, ...] = (16, 16),
        activation: str = "tanh",
        positive: tuple[bool, ...] | None = None,
        dtype: Any = None,
    ) -> "PerceptronClosure":
        """An untrained closure.

        Args:
            seed: Of the weights.
            inputs: What goes in.
            outputs: What comes out.
            samples: Typical inputs and outputs, from which scales and training range are taken; without them values are used as they are
                and the range is unknown.
            hidden: Units of each hidden layer.
            activation: Between layers.
            positive: Per output; none where left out.
            dtype: Of the weights; JAX's default where left out.

        Raises:
            InputError: An activation is unknown, there is no input or output, or ``positive`` has another length than ``outputs``.
        """
        positive = (False,) * len(outputs) if positive is None else positive
        if activation not in ACTIVATIONS:
            raise InputError(f"activation {activation!r}", "one that is known", near_misses(activation, ACTIVATIONS))
        if not inputs or not outputs or len(positive) != len(outputs):
            got = f"{len(inputs)} inputs, {len(outputs)} outputs, {len(positive)} signs"
            raise InputError(got, "at least one input and output, and a sign per output", "name every variable of the closure")
        dtype = jnp.zeros(()).dtype if dtype is None else dtype
        network = Perceptron((len(inputs), *hidden, len(outputs)), activation, dtype, rngs=nnx.Rngs(seed))
        input_scale, output_scale, trained_on = scales(len(inputs), len(outputs), samples)
        return cls(
            network=network,
            input_scale=input_scale,
            output_scale=output_scale,
            trained_on=trained_on,
            inputs=inputs,
            outputs=outputs,
            positive=positive,
            hidden=hidden,
        )

    def __call__(self, values: Float[Array, "inputs *places"]) -> Float[Array, "outputs *places"]:
        raw = self.network(self.input_scale.apply(values))
        free = self.output_scale.undo(raw)
        if not any(self.positive):
            return free
        scale = self.output_scale.scale.astype(raw.dtype).reshape((-1,) + (1,) * (raw.ndim - 1))
        must = jnp.asarray(self.positive).reshape((-1,) + (1,) * (raw.ndim - 1))
        return jnp.where(must, scale * jax.nn.softplus(raw), free)

    def seen_inputs(self) -> TrainingRange | None:
        """See :class:`LearnedClosure`."""
        return self.trained_on

    def architecture(self) -> dict[str, Any]:
        return {
            "hidden": list(self.hidden),
            "activation": self.network.activation,
            "positive": list(self.positive),
            "ranged": self.trained_on is not None,
            "dtype": str(self.network.weights[0][...].dtype),
        }

    @classmethod
    def skeleton(cls, architecture: dict[str, Any], inputs: tuple[Variable, ...], outputs: tuple[Variable, ...]) -> "PerceptronClosure":
        """A closure of the same structure with arrays that are to be replaced."""
        dtype = jax.dtypes.canonicalize_dtype(architecture["dtype"])  # float32 where the program has no float64
        samples = (jnp.zeros((len(inputs), 2), dtype), jnp.zeros((len(outputs), 2), dtype)) if architecture["ranged"] else None
        return cls.create(
            0,
            inputs,
            outputs,
            samples=samples,
            hidden=tuple(architecture["hidden"]),
            activation=architecture["activation"],
            positive=tuple(architecture["positive"]),
            dtype=dtype,
        )
