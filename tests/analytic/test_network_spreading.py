"""Spreading on a connectome against the matrix exponential, the logistic function, a Runge-Kutta solver and what is conserved."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.linalg import expm

from physics import Connectome, NetworkSpreading, synthetic_connectome

NORMALISATIONS = ("mean_strength", "random_walk", "symmetric", "none")


def written_out(weights, normalisation):
    """The Laplacian of each normalisation by loops, regions without tracts alone."""
    n = len(weights)
    both = 0.5 * (weights + weights.T)
    strength = [sum(both[i, j] for j in range(n) if j != i) for i in range(n)]
    by = {"mean_strength": lambda i, j: sum(strength) / n, "none": lambda i, j: 1.0}
    by |= {"random_walk": lambda i, j: strength[i] or 1.0, "symmetric": lambda i, j: np.sqrt(strength[i] * strength[j]) or 1.0}
    return np.array([[(strength[i] if i == j else -both[i, j]) / by[normalisation](i, j) for j in range(n)] for i in range(n)])


def with_one_alone(regions):
    connectome = synthetic_connectome(regions)
    weights = connectome.weights.copy()
    weights[3] = weights[:, 3] = 0.0
    weights[5, 5] = 0.7  # of a region to itself: spreads nothing
    return Connectome(weights, connectome.tract_lengths, connectome.names)


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
@pytest.mark.parametrize("regions", [20, 76])
def test_diffusion_is_the_matrix_exponential(normalisation, regions):
    connectome = with_one_alone(regions)
    spreading = NetworkSpreading.of(connectome, normalisation)
    laplacian = written_out(connectome.weights, normalisation)
    np.testing.assert_allclose(spreading.laplacian, laplacian, atol=1e-12)
    start = np.random.default_rng(0).uniform(size=regions)
    for extent in (0.0, 0.3, 5.0, 200.0):
        exact = expm(-extent * laplacian) @ start
        np.testing.assert_allclose(spreading.diffused(jnp.asarray(start), jnp.asarray(extent)), exact, rtol=1e-9, atol=1e-9)
    marched = spreading.march(jnp.asarray(start), jnp.asarray([1.0, 2.0]), jnp.asarray(0.3), jnp.asarray(0.0), steps=3)
    np.testing.assert_allclose(marched[1], expm(-0.9 * laplacian) @ start, rtol=1e-9)


def test_growth_alone_is_the_logistic_function():
    spreading = NetworkSpreading.of(synthetic_connectome(20))
    start, bound = jnp.linspace(0.0, 0.5, 20), jnp.linspace(0.5, 2.0, 20)
    end = spreading.march(start, jnp.asarray([4.0]), jnp.asarray(0.0), jnp.asarray(0.7), bound, steps=2)[-1]
    np.testing.assert_allclose(end, bound * start / (start + (bound - start) * np.exp(-2.8)), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
def test_both_against_an_independent_solver(normalisation):
    connectome = with_one_alone(20)
    spreading, laplacian = NetworkSpreading.of(connectome, normalisation), written_out(connectome.weights, normalisation)
    start, bound = 0.1 * np.eye(20)[2], np.linspace(0.5, 1.5, 20)
    run = solve_ivp(
        lambda _, x: -0.2 * laplacian @ x + 0.5 * x * (1 - x / bound), (0, 12), start, "DOP853", [3.0, 12.0], rtol=1e-11, atol=1e-13
    )
    found = spreading.march(jnp.asarray(start), jnp.asarray([3.0, 9.0]), jnp.asarray(0.2), jnp.asarray(0.5), jnp.asarray(bound), steps=400)
    np.testing.assert_allclose(found, run.y.T, atol=3e-6)
    slope = spreading.rates(jnp.asarray(run.y[:, 0]), jnp.asarray(0.2), jnp.asarray(0.5), jnp.asarray(bound))
    np.testing.assert_allclose(slope, -0.2 * laplacian @ run.y[:, 0] + 0.5 * run.y[:, 0] * (1 - run.y[:, 0] / bound), atol=1e-12)


def test_what_is_kept_and_the_bounds():
    connectome = with_one_alone(30)
    start = jnp.asarray(np.random.default_rng(1).uniform(size=30))
    strengths = np.asarray(0.5 * (connectome.weights + connectome.weights.T))
    np.fill_diagonal(strengths, 0.0)
    strengths = strengths.sum(axis=1)
    for normalisation, weight in (
        ("mean_strength", np.ones(30)),
        ("random_walk", strengths),
        ("none", np.ones(30)),
        ("symmetric", np.sqrt(strengths)),
    ):
        spreading = NetworkSpreading.of(connectome, normalisation)
        after = spreading.diffused(start, jnp.asarray(3.0))
        assert float(weight @ np.asarray(after)) == pytest.approx(float(weight @ np.asarray(start)), rel=1e-12)
        assert float(after[3]) == pytest.approx(float(start[3]), rel=1e-12)  # the region alone
        assert float(after.min()) > -1e-14
    spreading = NetworkSpreading.of(connectome)
    long = spreading.march(start, jnp.asarray([50.0, 200.0]), jnp.asarray(0.3), jnp.asarray(0.5), steps=100)
    assert float(long.max()) <= 1 + 1e-12 and float(long.min()) > -1e-14
    np.testing.assert_allclose(long[-1], 1.0, atol=1e-9)


def test_order_two_in_the_step():
    spreading = NetworkSpreading.of(synthetic_connectome(20))
    start = jnp.asarray(0.2 * np.eye(20)[4])

    def end(steps):
        return np.asarray(spreading.march(start, jnp.asarray([10.0]), jnp.asarray(0.4), jnp.asarray(0.6), steps=steps)[-1])

    counts = (10, 20, 40, 80, 160)
    exact = (4 * end(4096) - end(2048)) / 3
    errors = [np.abs(end(steps) - exact).max() for steps in counts]
    assert np.polyfit(np.log([10 / n for n in counts]), np.log(errors), 1)[0] == pytest.approx(2, abs=0.2)


def test_gradient_against_central_differences():
    spreading = NetworkSpreading.of(synthetic_connectome(20), "random_walk")
    towards = jnp.asarray(np.random.default_rng(2).normal(size=(3, 20)))

    @jax.jit
    def loss(flat):
        load, bound, (spread, growth), years = flat[:20], flat[20:40], flat[40:42], flat[42:]
        return jnp.sum(towards * spreading.march(load, years, spread, growth, bound, steps=5) ** 2)

    at = jnp.concatenate([jnp.linspace(0.02, 0.4, 20), jnp.linspace(0.7, 1.3, 20), jnp.asarray([0.15, 0.4, 1.0, 0.7, 2.0])])
    gradient = jax.jit(jax.grad(loss))(at)
    generator = np.random.default_rng(3)
    for _ in range(3):
        way = jnp.asarray(generator.normal(size=at.shape)) * at
        central = (loss(at + 1e-5 * way) - loss(at - 1e-5 * way)) / 2e-5
        assert float(gradient @ way) == pytest.approx(float(central), rel=1e-6)
        assert float(jax.jvp(loss, (at,), (way,))[1]) == pytest.approx(float(gradient @ way), rel=1e-10)


@pytest.mark.parametrize("platform", ["cpu", "cuda", "tpu"])
def test_it_lowers(platform):
    spreading = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), NetworkSpreading.of(synthetic_connectome(8)))

    def loss(load):
        return jnp.sum(spreading.march(load, jnp.ones(2, jnp.float32), jnp.float32(0.1), jnp.float32(0.3)) ** 2)

    exported = jax.export.export(jax.jit(jax.value_and_grad(loss)), platforms=[platform])(jnp.ones(8, jnp.float32))
    assert exported.platforms == (platform,)


def test_refusals():
    nothing = Connectome(np.zeros((3, 3)), np.zeros((3, 3)), ("a", "b", "c"))
    with pytest.raises(ValueError, match="without any tract"):
        NetworkSpreading.of(nothing)
    with pytest.raises(ValueError, match="1 or more"):
        NetworkSpreading.of(synthetic_connectome(4)).march(jnp.ones(4), jnp.ones(1), jnp.ones(()), jnp.ones(()), steps=0)
