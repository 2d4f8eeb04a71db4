"""Chains of tridiagonal systems in one vector against a dense solve."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from solvers import solve_chains
from tests.problems import noise, quick_jit


@pytest.mark.parametrize("chains", [(1,), (2, 1, 7), (16, 5), (33,)])
@pytest.mark.quick(2)
def test_chains_against_a_dense_solve(chains):
    size = sum(chains)
    ends = np.cumsum(chains)
    lower, upper, right = (noise((size,), seed, -1.0, 1.0) for seed in (1, 2, 3))
    lower, upper = lower.at[np.append(0, ends[:-1])].set(0), upper.at[ends - 1].set(0)
    diagonal = 0.1 + jnp.abs(lower) + jnp.abs(upper)
    dense = jnp.diag(diagonal) + jnp.diag(lower[1:], -1) + jnp.diag(upper[:-1], 1)
    found = quick_jit(solve_chains, static_argnums=4)(lower, diagonal, upper, right, max(chains))
    np.testing.assert_allclose(found, jnp.linalg.solve(dense, right), rtol=1e-12, atol=1e-13)
    gradient = quick_jit(jax.grad(lambda r: solve_chains(lower, diagonal, upper, r, max(chains)).sum()))(right)
    np.testing.assert_allclose(gradient, jnp.linalg.solve(dense.T, jnp.ones(size)), rtol=1e-12, atol=1e-13)
