"""Marches with delays against the same march step by step."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from solvers import Status, delayed_edges, delayed_march
from tests.delay_networks import Waves, network, step_by_step, toy

NODES = 7


@pytest.fixture(scope="module")
def start():
    return jnp.asarray(np.random.default_rng(1).normal(size=(2, NODES)))


@pytest.mark.parametrize(
    ("longest", "block", "steps"), [(0, None, 9), (5, 1, 12), (9, 4, 23), (20, 8, 16), (40, 8, 45), (40, 16, 7), (3, 8, 24)]
)
@pytest.mark.quick(1)
def test_every_step_hears_what_was_sent_a_delay_ago(start, longest, block, steps):
    weights, delays = network(NODES, longest)
    edges = delayed_edges(weights, delays, block=block)
    found = delayed_march(toy(NODES), edges, start, steps, forcing=Waves(jnp.asarray(0.05), NODES))
    expected = step_by_step(toy(NODES), weights, delays, start, steps, forcing=Waves(jnp.asarray(0.05), NODES))
    np.testing.assert_allclose(found.states, expected, rtol=0, atol=1e-13)
    np.testing.assert_array_equal(found.final, found.states[-1])
    assert found.status == Status.SUCCESS


@pytest.mark.slow
def test_a_march_goes_on_from_its_history(start):
    edges = delayed_edges(*network(NODES, 20), block=8)
    whole = delayed_march(toy(NODES), edges, start, 50)
    first = delayed_march(toy(NODES), edges, start, 19)
    second = delayed_march(toy(NODES), edges, first.final, 31, history=first.history)
    np.testing.assert_allclose(second.states, whole.states[19:], rtol=0, atol=1e-14)
    np.testing.assert_allclose(second.history, whole.history, rtol=0, atol=1e-14)


@pytest.mark.parametrize("every", [4, 8, 16, 3])
@pytest.mark.parametrize("mean", [False, True])
@pytest.mark.quick(3)
def test_what_is_saved(start, every, mean):
    edges = delayed_edges(*network(NODES, 20), block=8)
    all_of_them = delayed_march(toy(NODES), edges, start, 48).states.reshape(48 // every, every, 2, NODES)
    found = delayed_march(toy(NODES), edges, start, 48, every=every, mean=mean)
    np.testing.assert_allclose(found.states, all_of_them.mean(axis=1) if mean else all_of_them[:, -1], rtol=0, atol=1e-14)


@pytest.mark.slow
def test_members_along_the_last_axis_are_marches_of_their_own(start):
    edges = delayed_edges(*network(NODES, 20), block=8)
    states = start[..., None] * jnp.asarray([[[1.0, 0.5, -0.3, 0.8]]])
    together = delayed_march(toy(NODES, 4), edges, states, 30).states
    for member in range(4):
        own = jax.tree.map(lambda leaf, m=member: leaf[:, m], toy(NODES, 4))
        np.testing.assert_allclose(together[..., member], delayed_march(own, edges, states[..., member], 30).states, rtol=0, atol=1e-13)


def test_a_member_that_blows_up_says_so_alone(start):
    edges = delayed_edges(*network(NODES, 4), block=2)
    states = start[..., None] * jnp.asarray([[[1.0, jnp.nan]]])
    found = delayed_march(toy(NODES, 2), edges, states, 6)
    np.testing.assert_array_equal(found.status, [Status.SUCCESS, Status.NOT_FINITE])
    with pytest.raises(ArithmeticError, match="1 of 2 members"):
        found.raise_for_status()


def test_a_line_of_delays_is_the_delay_equation():
    # x' = -x(t - 1) from x = 1: 1 - t until t = 1, then 1 - t + (t-1)^2/2
    from tests.delay_networks import Toy

    class Line(Toy):
        def sent(self, state):
            return state

        def advance(self, state, heard, forced):
            return state - 0.001 * heard

    edges = delayed_edges(np.ones((1, 1)), np.full((1, 1), 1000))
    found = delayed_march(Line(jnp.ones(1), jnp.ones(1)), edges, jnp.ones((1, 1)), 2000).states[:, 0, 0]
    assert found[999] == pytest.approx(0.0, abs=1e-12)
    assert found[1999] == pytest.approx(1 - 2 + 0.5, abs=1e-3)


@pytest.mark.parametrize(
    ("weights", "delays", "options", "words"),
    [
        (np.ones((2, 3)), np.ones((2, 3)), {}, "as many rows"),
        (np.ones((2, 2)), np.ones((3, 3)), {}, "three alike"),
        (np.ones((2, 2)), -np.ones((2, 2)), {}, "negative"),
        (np.ones((2, 2)), np.full((2, 2), 0.5), {}, "whole numbers"),
        (np.ones((2, 2)), np.full((2, 2), np.nan), {}, "whole numbers"),
        (np.ones((2, 2)), np.ones((2, 2)), {"block": 0}, "block of 0"),
    ],
)
def test_bad_networks(weights, delays, options, words):
    with pytest.raises(ValueError, match=words):
        delayed_edges(weights, delays, **options)


def test_bad_marches(start):
    edges = delayed_edges(*network(NODES, 4))
    with pytest.raises(ValueError, match="multiple"):
        delayed_march(toy(NODES), edges, start, 7, every=2)
    with pytest.raises(ValueError, match="one column per node"):
        delayed_march(toy(NODES), edges, start[:, :3], 8)
    with pytest.raises(ValueError, match="history"):
        delayed_march(toy(NODES), edges, start, 8, history=jnp.zeros((1, 2, NODES)))
    with pytest.raises(ValueError, match="pattern"):
        jax.jit(lambda weights: delayed_edges(weights, np.ones((2, 2))).weights)(jnp.ones((2, 2)))
