"""Message passing: numbering and padding do not matter, and what cannot be a graph is refused."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import given
from hypothesis import strategies as st

from twinsim.closures.graph_network import GraphNetwork, padded_graph
from twinsim.errors import InputError

NETWORK = GraphNetwork(3, 2, 4, width=8, rounds=2, rngs=nnx.Rngs(0))
ROOM = (7, 12)
CALL = eqx.filter_jit(NETWORK.__call__)


def drawn(seed, nodes=5, edges=8):
    rng = np.random.default_rng(seed)
    ends = rng.integers(0, nodes, (2, edges))
    return rng.normal(size=(nodes, 3)), rng.normal(size=(edges, 2)), *ends


def answer(*graph, room=ROOM):
    return np.asarray(CALL(padded_graph(*graph, room)))


@given(st.integers(0, 2**31), st.integers(1, 6), st.integers(0, 12))
def test_renumbering_nodes_renumbers_the_answer(seed, nodes, edges):
    features, links, senders, receivers = drawn(seed, nodes, edges)
    order = np.random.default_rng(seed + 1).permutation(nodes)
    place = np.argsort(order)
    shuffle = np.random.default_rng(seed + 2).permutation(edges)
    before = answer(features, links, senders, receivers)
    after = answer(features[order], links[shuffle], place[senders][shuffle], place[receivers][shuffle])
    np.testing.assert_allclose(after[:nodes], before[:nodes][order], rtol=1e-10, atol=1e-12)


@given(st.integers(0, 2**31))
def test_padding_says_nothing_and_hears_nothing(seed):
    graph = drawn(seed)
    padded = padded_graph(*graph, ROOM)
    rng = np.random.default_rng(seed)
    here = padded.node_here[:, None]
    noisy = padded.__class__(
        jnp.where(here, padded.nodes, rng.normal(size=padded.nodes.shape)),
        jnp.where(padded.edge_here[:, None], padded.edges, 1e3),
        padded.senders,
        padded.receivers,
        padded.node_here,
        padded.edge_here,
    )
    tight = answer(*graph, room=(5, 8))
    np.testing.assert_allclose(np.asarray(CALL(noisy))[:5], tight, rtol=1e-12, atol=1e-13)
    assert not np.asarray(CALL(noisy))[5:].any()


def test_an_isolated_node_hears_nobody_and_others_do():
    features, links, senders, receivers = drawn(1)
    senders, receivers = senders % 4, receivers % 4
    before = answer(features, links, senders, receivers)
    moved = features.copy()
    moved[:4] += 1
    after = answer(moved, links, senders, receivers)
    np.testing.assert_array_equal(after[4], before[4])
    alone = answer(features[4:], links[:0], senders[:0], receivers[:0])
    np.testing.assert_allclose(before[4], alone[0], rtol=1e-12)
    moved = features.copy()
    moved[senders[0]] += 1
    assert abs(answer(moved, links, senders, receivers)[receivers[0]] - before[receivers[0]]).max() > 1e-3


def test_a_batch_is_its_graphs():
    graphs = [padded_graph(*drawn(seed, 3 + seed, 4 + seed), ROOM) for seed in range(3)]
    batch = jax.tree.map(lambda *parts: jnp.stack(parts), *graphs)
    for one, row in zip(graphs, jax.vmap(lambda graph: NETWORK(graph))(batch)):
        np.testing.assert_allclose(row, CALL(one), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"room": (4, 12)}, "5 nodes and 8 edges; expected at most 4 and 12"),
        ({"senders": np.full(8, 5)}, "an edge at node 5; expected 0 to 4"),
        ({"receivers": np.full(8, -1)}, "an edge at node -1"),
        ({"nodes": np.full((5, 3), np.nan)}, "not finite"),
    ],
)
def test_what_is_no_graph_is_refused(change, words):
    nodes, edges, senders, receivers = drawn(0)
    given = {"nodes": nodes, "edges": edges, "senders": senders, "receivers": receivers, "room": ROOM, **change}
    with pytest.raises(InputError, match=words):
        padded_graph(**given)


def test_a_network_of_no_width_is_refused():
    with pytest.raises(InputError, match="width 0"):
        GraphNetwork(3, 2, 4, width=0, rngs=nnx.Rngs(0))
