"""Order of the finite volumes on a smooth pulse through tapered vessels with friction and a junction, in space and time together."""

from dataclasses import replace
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from solvers.space.muscl import edge_values
from tests.arteries import tree
from tests.problems import number, quick_jit, slope

COARSE = 12
FACTORS = (1, 2, 3, 4)
REFERENCE = 24


@cache
def areas(factor, continuous, scheme="second_order"):
    """Area of every cell of the coarse grid at 0.1 s, while the pulse passes, from a grid ``factor`` times finer."""
    network = replace(tree(COARSE * factor, continuous=continuous), courant=0.8, scheme=scheme)
    state = network.initial_state()
    program = quick_jit(lambda network, state: network.stepper().advance(state, jnp.zeros(()), jnp.asarray(0.1)))
    found = np.asarray(program(network, state).flow[0])
    return np.concatenate(
        [found[network.layout.cell_vessel == v][: COARSE * factor].reshape(COARSE, factor).mean(axis=1) for v in range(3)]
    )


@pytest.mark.slow
@pytest.mark.parametrize("continuous", ["static", "total"])
def test_second_order_through_a_junction(continuous):
    reference = areas(REFERENCE, continuous)
    errors = [np.abs(areas(factor, continuous) / reference - 1).mean() for factor in FACTORS]
    assert slope([1 / factor for factor in FACTORS], errors) == pytest.approx(2, abs=0.2), errors


@pytest.mark.slow
def test_the_scheme_of_openbf_approaches_ours_in_first_order():
    """Its ends, fluxes and friction are of order one; that it approaches our finest grid says that both solve the same equations."""
    reference = areas(REFERENCE, "static")
    errors = [np.abs(areas(factor, "static", "openbf") / reference - 1).mean() for factor in FACTORS]
    ours = np.abs(areas(FACTORS[0], "static") / reference - 1).mean()
    assert slope([1 / factor for factor in FACTORS], errors) == pytest.approx(1, abs=0.2), errors
    assert errors[0] > 100 * ours


@pytest.mark.slow
def test_edges_of_a_parabola_are_exact_to_third_order():
    errors = []
    for cells in (20, 40, 80, 160):
        edges = jnp.linspace(0.0, 1.0, cells + 1)
        integral = -jnp.cos(3 * edges) / 3
        averages = jnp.diff(integral) * cells
        inner = jnp.zeros(cells - 2, bool)
        low, high = edge_values(averages, inner, inner, number(10.0))
        exact = jnp.sin(3 * edges)
        errors.append(float(jnp.maximum(jnp.abs(low - exact[1:-2]).max(), jnp.abs(high - exact[2:-1]).max())))
    assert slope([1 / n for n in (20, 40, 80, 160)], errors) == pytest.approx(3, abs=0.2)


def test_a_jump_is_limited_and_the_ends_of_segments_do_not_see_each_other():
    step = jnp.array([0.0, 0.0, 0.0, 1.0, 1.0, 1.0])
    inner = jnp.zeros(4, bool)
    low, high = edge_values(step, inner, inner, number(1e-9))
    assert float(jnp.minimum(low, high).min()) >= -1e-12
    assert float(jnp.maximum(low, high).max()) <= 1 + 1e-12
    line = jnp.array([7.0, 1.0, 2.0, 3.0, -9.0])
    first, last = jnp.array([True, False, False]), jnp.array([False, False, True])
    low, high = edge_values(line, first, last, number(1e-9))
    np.testing.assert_allclose(low, [0.5, 1.5, 2.5], rtol=1e-12)
    np.testing.assert_allclose(high, [1.5, 2.5, 3.5], rtol=1e-12)
    slopes = jax.grad(lambda values: edge_values(values, first, last, number(1e-9))[1].sum())(line)
    assert float(slopes[0]) == 0
    assert float(slopes[-1]) == 0
