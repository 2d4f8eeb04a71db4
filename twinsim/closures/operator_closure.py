"""Neural operators in the slot of a closure: from whole fields to whole fields."""

from typing import Any, ClassVar, Literal, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from physics import Variable
from twinsim.closures.cosine_operator import CosineOperator
from twinsim.closures.deep_operator import DeepOperator
from twinsim.closures.learned import LearnedClosure
from twinsim.closures.scaling import Standardisation, TrainingRange, scales
from twinsim.errors import InputError, near_misses

Network = Literal["cosine", "deep"]


class OperatorClosure(LearnedClosure):
    """A closure whose places see each other: y = s_y N((x - m_x) / s_x) + m_y (+ the first components of x, if ``residual``).

    Places are the voxels of a rectangle, ``(inputs, x, y)``, with any further members between: ``(inputs, *members, x, y)``.

    Good values: ``cosine`` with 12 to 32 channels, 8 to 16 modes and 2 to 4 layers; ``residual`` for a map that advances a state.
    Fails: a neural operator conserves nothing and knows no bounds, and outside of what it was trained on it says anything at all; its
    range (:meth:`examine`) looks at values voxel by voxel, not at patterns. Where a classical solver is at hand, time both.

    Attributes:
        network: :class:`CosineOperator` or :class:`DeepOperator`.
        input_scale: m_x and s_x; fixed in training.
        output_scale: m_y and s_y; fixed in training.
        trained_on: The inputs seen in training, voxel by voxel.
        inputs: What goes in.
        outputs: What comes out.
        residual: Whether the first inputs are added to the outputs.
        sizes: How the network was made.
    """

    network: CosineOperator | DeepOperator
    input_scale: Standardisation
    output_scale: Standardisation
    trained_on: TrainingRange | None
    inputs: tuple[Variable, ...] = eqx.field(static=True)
    outputs: tuple[Variable, ...] = eqx.field(static=True)
    residual: bool = eqx.field(static=True)
    sizes: tuple[tuple[str, int], ...] = eqx.field(static=True)
    kind: ClassVar[str] = "operator"
    sees_images: ClassVar[bool] = True

    @classmethod
    def create(
        cls,
        seed: int,
        inputs: tuple[Variable, ...],
        outputs: tuple[Variable, ...],
        *,
        network: Network = "cosine",
        samples: tuple[Float[Array, "samples inputs x y"], Float[Array, "samples outputs x y"]] | None = None,
        channels: int = 16,
        layers: int = 3,
        modes: int = 12,
        rank: int = 32,
        residual: bool = False,
        dtype: Any = None,
    ) -> "OperatorClosure":
        """An untrained closure.

        Args:
            seed: Of the weights.
            inputs: What goes in.
            outputs: What comes out.
            network: ``cosine`` for Fourier's neural operator with cosines, ``deep`` for a DeepONet.
            samples: Typical inputs and outputs, for scales and range.
            channels: Of the cosine operator; units of the hidden layers of a DeepONet.
            layers: Of either.
            modes: Of the cosine operator, per axis; sensors of a DeepONet, per axis.
            rank: Products of a DeepONet.
            residual: Whether the first inputs are added to the outputs, which then must be of the same variables.
            dtype: Of the weights; JAX's default where left out.

        Raises:
            InputError: An unknown network, a size below one, or a residual of other variables.
        """
        if network not in get_args(Network):
            raise InputError(f"network {network!r}", "one that is known", near_misses(network, get_args(Network)))
        if min(channels, layers, modes, rank, len(inputs), len(outputs)) < 1:
            got = f"channels {channels}, layers {layers}, modes {modes}, rank {rank}, {len(inputs)} inputs, {len(outputs)} outputs"
            raise InputError(got, "at least one of each", "give positive numbers")
        if residual and inputs[: len(outputs)] != outputs:
            got = f"a residual from {', '.join(map(str, inputs))} to {', '.join(map(str, outputs))}"
            raise InputError(got, "outputs that are the first inputs", "order the variables so, or leave residual out")
        dtype = jnp.zeros(()).dtype if dtype is None else jnp.dtype(dtype)
        shape, rngs = (len(inputs), channels, len(outputs)), nnx.Rngs(seed)
        made = (
            CosineOperator(shape, layers, modes, dtype, rngs=rngs)
            if network == "cosine"
            else DeepOperator(shape, layers, modes, rank, dtype, rngs=rngs)
        )
        columns = None
        if samples is not None:
            given, wanted = samples
            wanted = wanted - given[:, : len(outputs)] if residual else wanted
            first, second = (jnp.moveaxis(fields, 1, 0).reshape(fields.shape[1], -1) for fields in (given, wanted))
            columns = first, second
        input_scale, output_scale, trained_on = scales(len(inputs), len(outputs), columns)
        return cls(
            network=made,
            input_scale=input_scale,
            output_scale=output_scale,
            trained_on=trained_on,
            inputs=inputs,
            outputs=outputs,
            residual=residual,
            sizes=(("channels", channels), ("layers", layers), ("modes", modes), ("rank", rank)),
        )

    def __call__(self, values: Float[Array, "inputs *places"]) -> Float[Array, "outputs *places"]:
        """See :class:`physics.Closure`; the last two axes are the rectangle."""
        members = jnp.moveaxis(self.input_scale.apply(values).reshape(values.shape[0], -1, *values.shape[-2:]), 1, 0)
        raw = jnp.moveaxis(jax.vmap(self.network)(members), 0, 1).reshape(len(self.outputs), *values.shape[1:])
        answer = self.output_scale.undo(raw)
        return answer + values[: len(self.outputs)] if self.residual else answer

    def seen_inputs(self) -> TrainingRange | None:
        """See :class:`LearnedClosure`."""
        return self.trained_on

    def architecture(self) -> dict[str, Any]:
        """See :class:`LearnedClosure`."""
        return {
            **dict(self.sizes),
            "network": "cosine" if isinstance(self.network, CosineOperator) else "deep",
            "residual": self.residual,
            "ranged": self.trained_on is not None,
            "dtype": str(jax.tree.leaves(eqx.filter(self.network, eqx.is_array))[0].dtype),
        }

    @classmethod
    def skeleton(cls, architecture: dict[str, Any], inputs: tuple[Variable, ...], outputs: tuple[Variable, ...]) -> "OperatorClosure":
        """A closure of the same structure with arrays that are to be replaced."""
        given = dict(architecture)
        samples: tuple[Array, Array] | None = None
        if given.pop("ranged"):
            samples = (jnp.zeros((1, len(inputs), 1, 2), given["dtype"]), jnp.zeros((1, len(outputs), 1, 2), given["dtype"]))
        return cls.create(0, inputs, outputs, samples=samples, **given)
