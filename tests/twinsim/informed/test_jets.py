"""Derivatives carried through jets and networks against nested automatic differentiation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from twinsim.informed import Jet, SmoothPerceptron, coordinate, exponential, sine, tangent_hyperbolic


def network(seed=0):
    return SmoothPerceptron((-1.0, 0.0, 2.0), (1.0, 0.5, 3.0), (7, 5), 2, key=jax.random.key(seed), steepness=(3.0, 1.0, 1.0))


def assert_is_jet_of(function, jet, point, bent):
    np.testing.assert_allclose(jet.value, function(point), rtol=1e-13, atol=1e-14)
    slopes = jnp.moveaxis(jax.jacfwd(function)(point), -1, 0)
    np.testing.assert_allclose(jet.first, slopes, rtol=1e-12, atol=1e-13)
    bends = jax.jacfwd(jax.jacfwd(function))(point)
    for axis in bent:
        np.testing.assert_allclose(jet.bend(axis), bends[..., axis, axis], rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("bent", [(0, 2), ()])
@pytest.mark.slow
def test_a_network_gives_its_derivatives(bent):
    model, point = network(), jnp.array([0.3, 0.1, 2.4])
    assert_is_jet_of(model, model.jet(point, bent), point, bent)


def test_arithmetic_of_jets():
    point, bent = jnp.array([0.3, 0.7]), (0, 1)

    def function(p):
        x, t = p
        return jnp.sin(x * t) * jnp.exp(-t) + (1 - x * x) * jnp.tanh(x + 2 * t) - 3 * x

    x, t = (coordinate(point, axis, bent) for axis in (0, 1))
    jet = sine(x * t) * exponential(-t) + (1 - x * x) * tangent_hyperbolic(x + 2 * t) - 3 * x
    assert_is_jet_of(function, jet, point, bent)


def test_a_bend_that_is_not_carried_is_refused():
    with pytest.raises(ValueError, match=r"expected one of \(0,\)"):
        coordinate(jnp.array([0.1, 0.2]), 1, (0,)).bend(1)


@pytest.mark.slow
def test_reverse_mode_through_a_jet_equals_differences():
    point, bent = jnp.array([0.3, 0.1, 2.4]), (0,)

    def value(weight):
        model = network()
        model = jax.tree.map(lambda leaf: leaf * weight, model)
        jet = model.jet(point, bent)
        return jnp.sum(jet.value**2 + jet.slope(1) * jet.bend(0))

    at, step = 0.9, 1e-5
    slope = jax.grad(value)(at)
    np.testing.assert_allclose(slope, (value(at + step) - value(at - step)) / (2 * step), rtol=1e-6)


@pytest.mark.parametrize(
    ("low", "high", "widths", "message"),
    [((0.0,), (0.0,), (4,), "below upper"), ((0.0,), (1.0, 2.0), (4,), "one pair per input"), ((0.0,), (1.0,), (), "hidden layers")],
)
def test_bad_networks_are_refused(low, high, widths, message):
    with pytest.raises(ValueError, match=message):
        SmoothPerceptron(low, high, widths, key=jax.random.key(0))


def test_jets_of_scalars_and_vectors_share_one_rule():
    model, point = network(), jnp.array([0.3, 0.1, 2.4])
    jet = model.jet(point, (0,))
    one = Jet(jet.value[1], jet.first[:, 1], jet.second[:, 1], (0,))
    both, single = tangent_hyperbolic(jet), tangent_hyperbolic(one)
    np.testing.assert_array_equal(both.first[:, 1], single.first)
    np.testing.assert_array_equal(both.second[:, 1], single.second)
