"""Shares that states exchange: the matrix exponential as the step shrinks, the sum at every step, the elimination by SciPy's solve."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import expm

from solvers import MarkovChain
from tests.problems import number, slope

PAIRS = ((0, 1), (1, 0), (0, 4), (4, 0), (1, 3), (3, 1), (4, 3), (3, 4), (2, 3), (3, 2), (2, 4))


def chain(fastest):
    rates = np.exp(np.random.default_rng(3).uniform(np.log(0.05), np.log(fastest), (len(PAIRS), 4)))
    exchange = MarkovChain(jnp.asarray(rates), PAIRS)
    matrices = np.stack([np.asarray(exchange.change(jnp.repeat(jnp.eye(5)[:, i : i + 1], 4, axis=1))) for i in range(5)], axis=1)
    shares = np.random.default_rng(4).dirichlet(np.ones(5), 4).T
    return exchange, matrices, shares


@pytest.mark.parametrize("accuracy", [1, 2])
@pytest.mark.quick(1)
def test_the_step_has_its_order_and_keeps_the_sum(accuracy):
    exchange, matrices, shares = chain(2.0)
    exact = np.stack([expm(matrices[:, :, i]) @ shares[:, i] for i in range(4)], axis=1)
    counts, errors = (16, 32, 64, 128), []
    for count in counts:
        found = jnp.asarray(shares)
        for _ in range(count):
            found = exchange.advance(found, number(1 / count), accuracy)
        errors.append(float(np.max(np.abs(found - exact))))
        np.testing.assert_allclose(found.sum(axis=0), 1.0, atol=1e-13)
    assert slope([1 / count for count in counts], errors) == pytest.approx(accuracy, abs=0.2), errors


def test_one_implicit_step_is_that_of_a_dense_solver():
    exchange, matrices, shares = chain(300.0)
    found = exchange.advance(jnp.asarray(shares), number(0.5), 1)
    expected = [np.linalg.solve(np.eye(5) - 0.5 * matrices[:, :, i], shares[:, i]) for i in range(4)]
    np.testing.assert_allclose(found, np.stack(expected, axis=1), rtol=1e-11)
    assert (np.asarray(found) > 0).all()


def test_long_steps_end_in_the_stationary_shares_and_empty_ones_change_nothing():
    exchange, matrices, shares = chain(300.0)
    found = jnp.asarray(shares)
    np.testing.assert_array_equal(exchange.advance(found, number(0.0), 2), shares)
    for _ in range(40):
        found = exchange.advance(found, number(50.0), 2)
    np.testing.assert_allclose(np.einsum("ijk,jk->ik", matrices, found), 0.0, atol=1e-8)
