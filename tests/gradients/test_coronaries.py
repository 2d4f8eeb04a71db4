"""Slopes of fractional flow reserve to every diameter, against central differences."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from physics.coronary_flow import fractional_flow_reserve, reserve_slopes
from tests.coronaries import AORTA, VEIN, diseased, hyperaemia
from tests.problems import quick_jit


@pytest.mark.slow
def test_of_every_segment_to_every_diameter():
    tree = diseased()
    beds = hyperaemia().resistances(tree)

    def reserve(diameters):
        return fractional_flow_reserve(eqx.tree_at(lambda t: t.diameters, tree, diameters), beds, AORTA, VEIN)

    slopes = quick_jit(lambda t: reserve_slopes(t, beds, AORTA, VEIN))(tree)
    step = 1e-4
    moves = step * jnp.eye(tree.diameters.size).reshape(-1, *tree.diameters.shape)
    both = quick_jit(jax.vmap(lambda move: (reserve(tree.diameters + move) - reserve(tree.diameters - move)) / (2 * step)))(moves)
    expected = np.moveaxis(np.asarray(both), 0, 1).reshape(slopes.shape)
    np.testing.assert_allclose(slopes, expected, rtol=1e-6, atol=1e-6 * np.abs(expected).max())
    reverse = quick_jit(jax.jacrev(reserve))(tree.diameters)
    np.testing.assert_allclose(reverse, slopes, rtol=1e-10, atol=1e-13)


def test_of_a_scaled_bed_too():
    tree = diseased()

    def lowest(flow, exponent):
        return fractional_flow_reserve(tree, hyperaemia(flow, exponent).resistances(tree), AORTA, VEIN).min()

    at = (jnp.asarray(2.6), jnp.asarray(7 / 3))
    slopes, value = quick_jit(jax.grad(lowest, (0, 1)))(*at), quick_jit(lowest)
    for i in range(2):
        up, down = ([x + s * 1e-4 * (k == i) for k, x in enumerate(at)] for s in (1, -1))
        np.testing.assert_allclose(slopes[i], (value(*up) - value(*down)) / 2e-4, rtol=1e-6)
