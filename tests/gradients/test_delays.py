"""The adjoint of marches with delays: against central differences, against forward mode, and in memory."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from solvers import delayed_edges, delayed_march, delayed_march_forward_mode
from tests.delay_networks import Waves, network, toy

NODES = 6


def problem(longest, block, steps, march=delayed_march, members=None, **options):
    weights, delays = network(NODES, longest, density=0.6)
    generator = np.random.default_rng(2)
    shape = (2, NODES) if members is None else (2, NODES, members)
    start = jnp.asarray(generator.normal(size=shape))
    structure = delayed_edges(weights, delays, block=block)
    history = jnp.asarray(generator.normal(size=(structure.reach, *shape)))
    parts = (toy(NODES, members), jnp.asarray(weights), start, history, Waves(jnp.asarray(0.05), NODES) if members is None else None)

    def loss(parts):
        node, weights, state, history, forcing = parts
        edges = eqx.tree_at(lambda one: one.weights, structure, weights[structure.to, structure.source])
        found = march(node, edges, state, steps, history=history, forcing=forcing, **options)
        shade = jnp.cos(jnp.arange(found.states.size).reshape(found.states.shape))
        return jnp.sum(shade * found.states) + jnp.sum(found.final**2) + jnp.sum(jnp.sin(found.history))

    return loss, parts


@pytest.mark.parametrize(
    ("longest", "block", "steps", "options"),
    [
        (0, None, 9, {}),
        (5, 1, 12, {"every": 3}),
        (20, 8, 21, {}),
        (20, 8, 32, {"every": 16, "mean": True}),
        (12, 16, 10, {"every": 2, "mean": True}),
    ],
)
@pytest.mark.quick(1)
def test_reverse_mode_against_central_differences(longest, block, steps, options):
    loss, parts = problem(longest, block, steps, **options)
    flat, restore = jax.flatten_util.ravel_pytree(parts)
    value = jax.jit(lambda flat: loss(restore(flat)))
    gradient = jax.jit(jax.grad(value))(flat)
    generator = np.random.default_rng(3)
    for _ in range(4):
        way = jnp.asarray(generator.normal(size=flat.shape))
        h = 1e-5
        central = (value(flat + h * way) - value(flat - h * way)) / (2 * h)
        assert float(gradient @ way) == pytest.approx(float(central), rel=1e-6)


@pytest.mark.slow
def test_forward_mode_is_reverse_mode():
    loss, parts = problem(20, 8, 21)
    forward, _ = problem(20, 8, 21, march=delayed_march_forward_mode)
    way = jax.tree.map(jnp.ones_like, parts)
    _, along = jax.jit(lambda parts, way: jax.jvp(forward, (parts,), (way,)))(parts, way)
    gradient = jax.jit(jax.grad(loss))(parts)
    assert float(along) == pytest.approx(sum(float(leaf.sum()) for leaf in jax.tree.leaves(gradient)), rel=1e-12)


@pytest.mark.slow
def test_members_have_gradients_of_their_own():
    loss, parts = problem(20, 8, 16, members=4)
    flat, restore = jax.flatten_util.ravel_pytree(parts)
    value = jax.jit(lambda flat: loss(restore(flat)))
    gradient = jax.jit(jax.grad(value))(flat)
    way = jnp.asarray(np.random.default_rng(5).normal(size=flat.shape))
    central = (value(flat + 1e-5 * way) - value(flat - 1e-5 * way)) / 2e-5
    assert float(gradient @ way) == pytest.approx(float(central), rel=1e-6)


@pytest.mark.slow
def test_reverse_mode_keeps_the_trajectory_and_no_ring():
    """Temporary memory grows with steps as the trajectory does, and not with the product of steps and the longest delay."""

    def kept(longest, steps):
        weights, delays = network(NODES, longest, density=0.6)
        edges = delayed_edges(weights, delays, block=4)
        state = jnp.ones((2, NODES))
        compiled = jax.jit(jax.grad(lambda node: jnp.sum(delayed_march(node, edges, state, steps).final))).lower(toy(NODES)).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    short, long = (kept(longest, 2000) - kept(longest, 1000) for longest in (8, 400))
    assert long < 1.2 * short < 1000 * 2 * NODES * 8 * 12
