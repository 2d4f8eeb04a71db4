"""A graph network in the slot of a closure: a law of every region that hears its neighbours on a connectome."""

from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int

from physics import Variable
from twinsim.closures.graph_network import Graph, GraphNetwork
from twinsim.closures.learned import LearnedClosure
from twinsim.closures.scaling import Standardisation, TrainingRange, scales
from twinsim.errors import InputError


class GraphClosure(LearnedClosure):
    r"""$y=s_yN((x-m_x)/s_x; w)+m_y$ with a :class:`GraphNetwork` $N$ over the edges of a connectome, whose weights are edge features.

    Places are the regions, with any further members behind: ``(inputs, regions, *members)``.

    Good values: width 8 to 32, two rounds. Fails: its range (:meth:`examine`) looks at regions one by one, not at patterns; on another
    connectome it is asked outside of what it knows, though the weights of the network fit any. Source: see :class:`GraphNetwork`.

    Attributes:
        network: The network.
        weights: Of the edges over their mean.
        senders: Where each edge starts.
        receivers: Where it ends, in rising order.
        input_scale: m_x and s_x; fixed in training.
        output_scale: m_y and s_y; fixed in training.
        trained_on: The inputs seen in training, region by region.
        inputs: What goes in.
        outputs: What comes out.
        regions: How many.
        sizes: How the network was made.
    """

    network: GraphNetwork
    weights: Float[Array, "edges 1"]
    senders: Int[Array, " edges"]
    receivers: Int[Array, " edges"]
    input_scale: Standardisation
    output_scale: Standardisation
    trained_on: TrainingRange | None
    inputs: tuple[Variable, ...] = eqx.field(static=True)
    outputs: tuple[Variable, ...] = eqx.field(static=True)
    regions: int = eqx.field(static=True)
    sizes: tuple[int, int] = eqx.field(static=True)
    kind: ClassVar[str] = "graph"

    @classmethod
    def create(
        cls,
        seed: int,
        inputs: tuple[Variable, ...],
        outputs: tuple[Variable, ...],
        weights: Float[np.ndarray, "regions regions"],
        *,
        samples: tuple[Float[Array, "inputs samples"], Float[Array, "outputs samples"]] | None = None,
        width: int = 16,
        rounds: int = 2,
        dtype: Any = None,
    ) -> "GraphClosure":
        """An untrained closure.

        Args:
            seed: Of the network's weights.
            inputs: What goes in.
            outputs: What comes out.
            weights: Of the connectome, ``[to, from]``, zero for no edge.
            samples: Typical inputs and outputs of single regions, for scales and range.
            width: Of the network.
            rounds: How far a region hears.
            dtype: Of the network's weights; JAX's default where left out.

        Raises:
            InputError: Weights that are not square, not finite, negative or all zero; no input or output; a size below one.
        """
        given = np.asarray(weights, float)
        if given.ndim != 2 or given.shape[0] != given.shape[1] or not np.isfinite(given).all() or (given < 0).any() or not given.any():
            got = f"weights of shape {given.shape}, smallest {given.min(initial=np.inf):g}, largest {given.max(initial=-np.inf):g}"
            raise InputError(got, "a square matrix of numbers from 0 with an edge at least", "give connectome.weights")
        receivers, senders = np.nonzero(given)
        edges = given[receivers, senders]
        return cls._made(seed, inputs, outputs, edges / edges.mean(), senders, receivers, len(given), samples, width, rounds, dtype)

    @classmethod
    def _made(
        cls, seed: int, inputs: tuple[Variable, ...], outputs: tuple[Variable, ...], edges: np.ndarray, senders: np.ndarray,
        receivers: np.ndarray, regions: int, samples: Any, width: int, rounds: int, dtype: Any,
    ) -> "GraphClosure":  # fmt: skip
        dtype = jnp.zeros(()).dtype if dtype is None else jnp.dtype(dtype)
        input_scale, output_scale, trained_on = scales(len(inputs), len(outputs), samples)
        return cls(
            network=GraphNetwork(len(inputs), 1, len(outputs), width, rounds, dtype, rngs=nnx.Rngs(seed)),
            weights=jnp.asarray(edges, dtype)[:, None],
            senders=jnp.asarray(senders),
            receivers=jnp.asarray(receivers),
            input_scale=input_scale,
            output_scale=output_scale,
            trained_on=trained_on,
            inputs=inputs,
            outputs=outputs,
            regions=regions,
            sizes=(width, rounds),
        )

    def __call__(self, values: Float[Array, "inputs *places"]) -> Float[Array, "outputs *places"]:
        """See :class:`physics.Closure`; the first axis of places is the regions."""
        if values.shape[1] != self.regions:
            raise ValueError(
                f"got {values.shape[1]} places for a graph of {self.regions} regions; expected as many; do: build it on this connectome"
            )
        members = jnp.moveaxis(self.input_scale.apply(values).reshape(*values.shape[:2], -1), 2, 0)
        here, there = jnp.ones(self.regions, bool), jnp.ones(self.senders.shape[0], bool)

        def one(member: Float[Array, "inputs regions"]) -> Float[Array, "outputs regions"]:
            return self.network(Graph(member.T, self.weights.astype(member.dtype), self.senders, self.receivers, here, there)).T

        raw = jnp.moveaxis(jax.vmap(one)(members), 0, 2).reshape(len(self.outputs), *values.shape[1:])
        return self.output_scale.undo(raw)

    def seen_inputs(self) -> TrainingRange | None:
        """See :class:`LearnedClosure`."""
        return self.trained_on

    def architecture(self) -> dict[str, Any]:
        """See :class:`LearnedClosure`."""
        return {
            "width": self.sizes[0],
            "rounds": self.sizes[1],
            "regions": self.regions,
            "edges": len(self.senders),
            "ranged": self.trained_on is not None,
            "dtype": str(self.weights.dtype),
        }

    @classmethod
    def skeleton(cls, architecture: dict[str, Any], inputs: tuple[Variable, ...], outputs: tuple[Variable, ...]) -> "GraphClosure":
        """A closure of the same structure with arrays that are to be replaced."""
        a = architecture
        dtype = jax.dtypes.canonicalize_dtype(a["dtype"])  # float32 where the program has no float64
        samples = (jnp.zeros((len(inputs), 2), dtype), jnp.zeros((len(outputs), 2), dtype)) if a["ranged"] else None
        none = np.zeros(a["edges"], int)
        return cls._made(0, inputs, outputs, none, none, none, a["regions"], samples, a["width"], a["rounds"], dtype)
