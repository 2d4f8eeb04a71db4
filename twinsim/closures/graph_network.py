"""Message passing on padded graphs."""

from itertools import pairwise

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from twinsim.errors import InputError


class Graph(eqx.Module):
    """Nodes, directed edges, and which of either are there; all arrays may have the same leading batch axes.

    Args:
        nodes: Features of the nodes.
        edges: Features of the edges.
        senders: Where each edge starts.
        receivers: Where it ends, in rising order, so that the sum at a node is a sum over neighbours in memory.
        node_here: False for padding.
        edge_here: Likewise; padded edges end at the last node or after the edges before them, and say nothing.
    """

    nodes: Float[Array, "*batch nodes node_features"]
    edges: Float[Array, "*batch edges edge_features"]
    senders: Int[Array, "*batch edges"]
    receivers: Int[Array, "*batch edges"]
    node_here: Bool[Array, "*batch nodes"]
    edge_here: Bool[Array, "*batch edges"]


def padded_graph(
    nodes: Float[np.ndarray, "nodes node_features"],
    edges: Float[np.ndarray, "edges edge_features"],
    senders: Int[np.ndarray, " edges"],
    receivers: Int[np.ndarray, " edges"],
    room: tuple[int, int],
) -> Graph:
    """A graph in arrays of fixed length, its edges sorted by receiver.

    Args:
        nodes: Features.
        edges: Features.
        senders: Where each edge starts, in any order.
        receivers: Where it ends.
        room: Nodes and edges of the arrays.

    Raises:
        InputError: More nodes or edges than room, an edge from or to a node that is not there, features that are not finite.
    """
    count, links = len(nodes), len(edges)
    if count > room[0] or links > room[1]:
        raise InputError(f"a graph of {count} nodes and {links} edges", f"at most {room[0]} and {room[1]}", "give it more room")
    ends = np.concatenate([senders, receivers])
    if links and (ends.min() < 0 or ends.max() >= count):
        raise InputError(f"an edge at node {ends.min() if ends.min() < 0 else ends.max()}", f"0 to {count - 1}", "number nodes from 0")
    if not (np.isfinite(nodes).all() and np.isfinite(edges).all()):
        raise InputError("features that are not finite", "numbers", "check the graph's features")
    order = np.argsort(receivers, kind="stable")

    def fill(values: np.ndarray, length: int, spare: float) -> np.ndarray:
        missing = [(0, length - len(values))] + [(0, 0)] * (values.ndim - 1)
        return np.pad(values, missing, constant_values=spare)

    last = room[0] - 1
    return Graph(
        nodes=jnp.asarray(fill(nodes, room[0], 0.0)),
        edges=jnp.asarray(fill(edges[order], room[1], 0.0)),
        senders=jnp.asarray(fill(senders[order], room[1], last)),
        receivers=jnp.asarray(fill(receivers[order], room[1], last)),
        node_here=jnp.arange(room[0]) < count,
        edge_here=jnp.arange(room[1]) < links,
    )


class Layers(nnx.Module):
    """Dense layers with SiLU between them, features along the last axis.

    Args:
        sizes: Features in, hidden, out.
        dtype: Of the weights.
        small: Factor of the last layer's weights.
        rngs: Where the weights come from.
    """

    def __init__(self, sizes: tuple[int, ...], dtype: jnp.dtype, small: float = 1.0, *, rngs: nnx.Rngs) -> None:
        last = len(sizes) - 2
        self.weights = nnx.List(
            nnx.Param(jax.random.normal(rngs.params(), pair, dtype) * (pair[0] ** -0.5 * (small if layer == last else 1.0)))
            for layer, pair in enumerate(pairwise(sizes))
        )
        self.biases = nnx.List(nnx.Param(jnp.zeros(size, dtype)) for size in sizes[1:])

    def __call__(
        self, values: Float[Array, "*places features"], extra: Float[Array, "..."] | None = None
    ) -> Float[Array, "*places outputs"]:
        """The last layer's output; ``extra`` is added to the first hidden layer before its activation."""
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            values = values @ weight[...]
            values = values + bias[...].reshape((1,) * (values.ndim - 1) + (-1,))
            if layer == 0 and extra is not None:
                values = values + extra
            if layer < len(self.weights) - 1:
                values = jax.nn.silu(values)
        return values


class GraphNetwork(nnx.Module):
    r"""Rounds of messages, $m_{ij} = \phi(h_i, h_j, e_{ij})$ and $h_j \leftarrow h_j + \psi(h_j, \sum_i m_{ij})$, each with own weights.

    Any renumbering of nodes renumbers what comes out, and nothing else. Nodes without edges hear a sum of zero; padding is heard by none.

    Args:
        node_features: Of the graph.
        edge_features: Of the graph.
        outputs: Features of each node that come out.
        width: Of $h$ and of messages.
        rounds: How far a node hears; 2 to 4.
        dtype: Of the weights.
        rngs: Where they come from.

    Good values: width 16 to 64, features of order one. Sums are not divided by the degree: fails where degrees in use are far above those
    trained on. Source: Battaglia et al. (2018), arXiv 1806.01261, section 4 (without global features); Gilmer et al. (2017), arXiv
    1704.01212, equations 1 and 2.
    """

    def __init__(
        self, node_features: int, edge_features: int, outputs: int, width: int = 32, rounds: int = 3, dtype: jnp.dtype | None = None,
        *, rngs: nnx.Rngs,
    ) -> None:  # fmt: skip
        if min(node_features, outputs, width, rounds) < 1 or edge_features < 0:
            got = f"{node_features} node features, {edge_features} edge features, {outputs} outputs, width {width}, {rounds} rounds"
            raise InputError(got, "at least one of each but edge features", "give positive numbers")
        dtype = jnp.zeros(()).dtype if dtype is None else dtype
        self.encoder = Layers((node_features, width), dtype, rngs=rngs)
        # The first layer of a message is linear in sender and receiver: each node computes its part once, edges gather it.
        self.sent = nnx.List(Layers((width, width), dtype, rngs=rngs) for _ in range(rounds))
        self.received = nnx.List(Layers((width, width), dtype, rngs=rngs) for _ in range(rounds))
        self.messages = nnx.List(Layers((edge_features, width, width), dtype, rngs=rngs) for _ in range(rounds))
        self.updates = nnx.List(Layers((2 * width, width, width), dtype, 0.3, rngs=rngs) for _ in range(rounds))
        self.decoder = Layers((width, outputs), dtype, rngs=rngs)

    def __call__(self, graph: Graph) -> Float[Array, "nodes outputs"]:
        """Outputs of one graph; zero where no node is. Map it over a batch (``jax.vmap``)."""
        here = graph.node_here[:, None]
        state = jnp.where(here, jax.nn.silu(self.encoder(graph.nodes)), 0)
        for sent, received, message, update in zip(self.sent, self.received, self.messages, self.updates, strict=True):
            arriving = sent(state)[graph.senders] + received(state)[graph.receivers]
            heard = jnp.where(graph.edge_here[:, None], message(graph.edges, arriving), 0)
            total = jax.ops.segment_sum(heard, graph.receivers, num_segments=len(graph.nodes), indices_are_sorted=True)
            state = jnp.where(here, state + update(jnp.concatenate([state, total], axis=1)), 0)
        return jnp.where(here, self.decoder(state), 0)
