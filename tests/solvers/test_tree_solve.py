"""Elimination on trees against dense matrices: values, conservation, derivatives in both modes, batches, refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from solvers import apply_tree, edge_differences, solve_tree, tree_of
from solvers.linear.tree_plan import elimination
from tests.problems import noise, quick_jit


def random_parents(nodes, seed, shuffle=True):
    """Every node hangs on one of the six before it; places shuffled so that parents come after children as well."""
    rng = np.random.default_rng(seed)
    parents = np.array([-1, *(rng.integers(max(0, i - 6), i) for i in range(1, nodes))])
    if not shuffle:
        return parents
    order = rng.permutation(nodes)
    shuffled = np.empty(nodes, int)
    shuffled[order] = np.where(parents >= 0, order[parents], -1)
    return shuffled


TREES = {
    "one node": [-1],
    "two": [-1, 0],
    "chain": [-1, *range(30)],
    "star": [-1, *[0] * 12],
    "binary": [-1, *[(i - 1) // 2 for i in range(1, 31)]],
    "random": random_parents(40, 1),
    "forest": [-1, 0, 1, -1, 3, 3, -1],
}


def dense(parents, weights, shift):
    matrix = np.diag(np.asarray(shift, float))
    for i, p in enumerate(parents):
        if p >= 0:
            w = float(weights[i])
            matrix[i, i] += w
            matrix[p, p] += w
            matrix[i, p] -= w
            matrix[p, i] -= w
    return matrix


@pytest.mark.parametrize("name", TREES)
@pytest.mark.quick(4)
def test_it_solves_what_a_dense_matrix_solves(name):
    parents = TREES[name]
    tree, n = tree_of(parents), len(parents)
    weights, shift, right = noise((n,), 1, 0.1, 3.0), noise((n,), 2, 0.01, 1.0), noise((n,), 3, -1.0, 1.0)
    matrix = dense(parents, weights, shift)
    x = quick_jit(solve_tree, static_argnums=0)(tree, weights, shift, right)
    np.testing.assert_allclose(x, np.linalg.solve(matrix, right), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(shift * x + apply_tree(tree, weights, x), right, rtol=0, atol=1e-13)
    np.testing.assert_allclose(apply_tree(tree, weights, x), (matrix - np.diag(shift)) @ x, rtol=0, atol=1e-13)


def test_it_conserves_and_keeps_its_digits_where_almost_nothing_holds_it():
    """A sealed tree that leaks 1e-14: the dense matrix has a condition number of 1e17 and no digit left."""
    n = 60
    tree = tree_of(random_parents(n, 5))
    weights, right = noise((n,), 1, 0.5, 2.0), noise((n,), 3, 0.0, 1.0)
    shift = jnp.zeros(n).at[7].set(1e-14)
    x = quick_jit(solve_tree, static_argnums=0)(tree, weights, shift, right)
    assert float(shift @ x) == pytest.approx(float(right.sum()), rel=1e-14)
    assert float(x.min()) == pytest.approx(float(right.sum()) / 1e-14, rel=1e-12)


def test_rounds_are_logarithmic():
    assert len(elimination(tree_of([-1, *range(1023)])).rounds) <= 12
    assert len(elimination(tree_of(random_parents(1000, 2))).rounds) <= 16
    assert len(elimination(tree_of([-1, *[0] * 500])).rounds) == 2


@pytest.mark.parametrize("name", ["chain", "random", "forest"])
@pytest.mark.quick(1)
def test_derivatives(name):
    parents = TREES[name]
    tree, n = tree_of(parents), len(parents)
    given = (noise((n,), 1, 0.1, 3.0), noise((n,), 2, 0.01, 1.0), noise((n,), 3, -1.0, 1.0))
    along = tuple(noise((n,), 10 + i, -1.0, 1.0) for i in range(3))
    cotangent = noise((n,), 20, -1.0, 1.0)

    def solve(*given):
        return solve_tree(tree, *given)

    def shift_slope(*given):
        return jax.vjp(solve, *given)[1](cotangent)[1]

    def change(function):
        return quick_jit(lambda given, along: jax.jvp(function, given, along)[1])(given, along)

    forward, second = change(solve), change(shift_slope)
    reverse = quick_jit(lambda *g: jax.vjp(solve, *g)[1](cotangent))(*given)
    assert float(cotangent @ forward) == pytest.approx(sum(float(a @ b) for a, b in zip(reverse, along)), rel=1e-11)
    quick_solve, quick_slope, h = quick_jit(solve), quick_jit(shift_slope), 1e-5
    ahead, behind = (quick_solve(*(g + s * h * a for g, a in zip(given, along))) for s in (1, -1))
    np.testing.assert_allclose(forward, (ahead - behind) / (2 * h), rtol=0, atol=1e-6 * float(jnp.abs(forward).max()))
    # and once more: curvature
    ahead, behind = (quick_slope(*(g + s * h * a for g, a in zip(given, along))) for s in (1, -1))
    np.testing.assert_allclose(second, (ahead - behind) / (2 * h), rtol=0, atol=1e-6 * float(jnp.abs(second).max()))


@pytest.mark.slow
def test_batches_equal_loops():
    tree = tree_of(TREES["random"])
    weights, shift, right = noise((3, 40), 1, 0.1, 3.0), noise((3, 40), 2, 0.01, 1.0), noise((40,), 3)

    def one(w, s):
        return solve_tree(tree, w, s, right)

    slope = jax.grad(lambda w, s: one(w, s).sum())
    together = quick_jit(one)(weights, shift)
    mapped, slopes = quick_jit(jax.vmap(one))(weights, shift), quick_jit(jax.vmap(slope))(weights, shift)
    alone, alone_slope = quick_jit(one), quick_jit(slope)
    for i in range(3):
        np.testing.assert_allclose(together[i], alone(weights[i], shift[i]), rtol=1e-13)
        np.testing.assert_allclose(mapped[i], together[i], rtol=1e-13)
        np.testing.assert_allclose(slopes[i], alone_slope(weights[i], shift[i]), rtol=1e-12, atol=1e-15)


def test_differences_and_what_leaves_are_transposes():
    tree = tree_of(TREES["forest"])
    a, b = noise((7,), 1), noise((7,), 2)
    _, back = jax.vjp(lambda a: edge_differences(tree, a), a)
    left = apply_tree(tree, b, a)
    np.testing.assert_allclose(left, back(b * edge_differences(tree, a))[0], rtol=0, atol=1e-15)
    assert abs(float(left.sum())) < 1e-15


@pytest.mark.parametrize(
    ("parents", "words"),
    [([], "without nodes"), ([-1, 5], "got parent 5 of node 1"), ([-1, 1], "got parent 1 of node 1"), ([1, 2, 0], "in a loop of parents")],
)
def test_what_is_no_tree_is_refused(parents, words):
    with pytest.raises(ValueError, match=words) as caught:
        tree_of(parents)
    assert "; do: " in str(caught.value) and "\n" not in str(caught.value)


def test_a_wrong_length_is_refused():
    with pytest.raises(ValueError, match="got shift of 3 nodes; expected 2"):
        solve_tree(tree_of([-1, 0]), jnp.ones(2), jnp.ones(3), jnp.ones(2))
