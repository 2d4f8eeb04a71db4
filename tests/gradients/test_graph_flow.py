"""Reverse mode through message passing and through the wave solve, against central differences."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from physics.artery_harmonics import periodic_tree, to_harmonics
from tests.properties.test_graph_network import ROOM, drawn
from twinsim.closures.graph_flow import GraphFlow, linear_state, wave_loss
from twinsim.closures.graph_network import GraphNetwork, padded_graph
from twinsim.random_arteries import draw_trees


def agrees(function, point, seed=0, step=1e-5, tolerance=1e-6):
    """The slope along a random direction, both ways."""
    leaves, structure = jax.tree.flatten(point)
    rng = np.random.default_rng(seed)
    sizes = [max(float(np.std(leaf)), 1e-2 * float(np.abs(leaf).max()) + 1e-12) for leaf in leaves]
    direction = [jnp.asarray(size * rng.normal(size=leaf.shape)) for leaf, size in zip(leaves, sizes)]
    gradient = jax.tree.leaves(jax.jit(jax.grad(function))(point))
    found = sum(float(jnp.vdot(g, d)) for g, d in zip(gradient, direction))
    at = [float(function(structure.unflatten([x + s * step * d for x, d in zip(leaves, direction)]))) for s in (1, -1, 2, -2)]
    wanted = (8 * (at[0] - at[1]) - (at[2] - at[3])) / (12 * step)
    assert abs(found) > 1e-12
    np.testing.assert_allclose(found, wanted, rtol=tolerance)


def test_of_weights_and_features():
    network = GraphNetwork(3, 2, 4, width=8, rounds=2, rngs=nnx.Rngs(1))
    graph = padded_graph(*drawn(3), ROOM)
    weights, rest = eqx.partition(network, eqx.is_inexact_array)

    @jax.jit
    def value(both):
        weights, nodes = both
        changed = eqx.tree_at(lambda g: g.nodes, graph, nodes)
        return jnp.sum(jnp.sin(eqx.combine(weights, rest)(changed)))

    agrees(value, (weights, graph.nodes))


@pytest.mark.slow
def test_of_the_loss_through_the_wave_solve_to_weights_and_vessels():
    tree = jax.tree.map(lambda part: part[0], draw_trees(5, 1, 0.8, False))
    model = GraphFlow.create(1, width=8, rounds=2, harmonics=8, times=20)
    wanted = eqx.filter_jit(lambda tree: tuple(to_harmonics(part, 8) for part in periodic_tree(tree, 20, 1, 8)))(tree)
    weights, rest = eqx.partition(model, eqx.is_inexact_array)

    @jax.jit
    def value(both):
        weights, radius = both
        changed = eqx.tree_at(lambda t: t.radius, tree, radius)
        return wave_loss(changed, eqx.combine(weights, rest).waves(changed, linear_state(changed, 8)), wanted)

    agrees(value, (weights, tree.radius))
