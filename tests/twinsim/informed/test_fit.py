"""Fits of small networks, how points are renewed, and what is refused."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from solvers import Status
from twinsim.errors import InputError
from twinsim.informed import InformedProblem, Sampling, SmoothPerceptron, Stage, causal_weights, coordinate, fit, renewed


class Hill(eqx.Module):
    """u = x (1 - x) N(x): zero at both ends."""

    network: SmoothPerceptron

    def jet(self, point):
        x = coordinate(point, 0, (0,))
        inner = self.network.jet(point, (0,))
        inner = type(inner)(inner.value[0], inner.first[:, 0], inner.second[:, 0], inner.bent)
        return x * (1 - x) * inner


def hill(seed=0):
    return Hill(SmoothPerceptron((0.0,), (1.0,), (8,), key=jax.random.key(seed)))


def poisson(model, point):
    """u'' = -pi^2 sin(pi x), whose solution is sin(pi x)."""
    return model.jet(point).bend(0) + jnp.pi**2 * jnp.sin(jnp.pi * point[0])


def draw(key, count):
    return jax.random.uniform(key, (count, 1))


PROBLEM = InformedProblem(poisson, draw)


@pytest.mark.parametrize(("method", "iterations", "error"), [("levenberg-marquardt", 20, 1e-5), ("broyden", 60, 1e-3)])
@pytest.mark.slow
def test_a_boundary_value_problem_is_solved(method, iterations, error):
    x = jnp.linspace(0, 1, 50)[:, None]

    def off(model):
        return float(jnp.abs(jax.vmap(lambda p: model.jet(p).value)(x) - jnp.sin(jnp.pi * x[:, 0])).max())

    found = fit(PROBLEM, hill(), (Stage(40, 3, iterations),), method=method, watch=off)
    assert found.status is Status.SUCCESS and found.losses.size == 3 * iterations and found.losses[-1] < found.losses[0] / 1e3
    assert found.rounds[-1][3] == off(found.model) < error
    ends = jax.vmap(lambda p: found.model.jet(p).value)(jnp.array([[0.0], [1.0]]))
    np.testing.assert_array_equal(ends, 0.0)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_fit_and_time_runs_out():
    one, other = (fit(PROBLEM, hill(), (Stage(20, 2, 3),), seed=seed).losses for seed in (3, 3))
    np.testing.assert_array_equal(one, other)
    assert not np.array_equal(one, fit(PROBLEM, hill(), (Stage(20, 2, 3),), seed=4).losses)
    assert fit(PROBLEM, hill(), (Stage(20, 5, 3),), seconds=1e-9).losses.size == 3


@pytest.mark.slow
def test_a_residual_that_ceases_to_be_a_number_keeps_the_model():

    def points(key, count):
        return draw(key, count) if count < 30 else draw(key, count) - 2.0  # the pool of the second stage lies where the root is not real

    problem = InformedProblem(lambda model, point: poisson(model, point) + 0 * jnp.sqrt(point[0]), points)
    only = InformedProblem(problem.residual, draw)
    first = fit(only, hill(), (Stage(2, 1, 2),), sampling=Sampling(kept=0.0))
    found = fit(problem, hill(), (Stage(2, 1, 2), Stage(40, 2, 2)), sampling=Sampling(kept=0.0))
    assert found.status is Status.NOT_FINITE and "not finite in round 1" in found.message and found.losses.size == 2
    for a, b in zip(jax.tree.leaves(first.model), jax.tree.leaves(found.model)):
        np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_points_follow_the_residual():
    pool = jax.random.uniform(jax.random.key(0), (4000, 1))
    sizes = jnp.where(pool[:, 0] > 0.9, 1.0, 0.0)
    old = jnp.full((100, 1), -1.0)
    taken = np.asarray(renewed(jax.random.key(1), old, pool, sizes, 200, Sampling(kept=0.25, uniform=0.1)))
    assert taken.shape == (200, 1) and (taken == -1).sum() == 50
    drawn = taken[taken >= 0]
    assert len(np.unique(drawn)) == 150 and (drawn > 0.9).mean() > 0.9
    even = np.asarray(renewed(jax.random.key(1), old, pool, sizes, 200, Sampling(kept=0.0, exponent=0.0)))
    assert 0.03 < (even > 0.9).mean() < 0.2


@pytest.mark.slow
def test_causal_weights_wait_for_the_past():
    times = jnp.array([0.1, 0.2, 0.6, 0.7, 1.0])
    weights = np.asarray(causal_weights(times, jnp.array([1.0, 3.0, 0.0, 4.0, 9.0]), (0.0, 1.0), 2, 0.5))
    np.testing.assert_allclose(weights, [1, 1, np.exp(-1.0), np.exp(-1.0), np.exp(-1.0)])
    found = fit(PROBLEM, hill(), (Stage(30, 2, 10),), sampling=Sampling(slabs=4, causality=0.01))
    assert found.status is Status.SUCCESS


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "adam"}, "levenberg-marquardt, bfgs, broyden"),
        ({"stages": ()}, "at least one"),
        ({"stages": (Stage(10, 0, 1),)}, "positive numbers"),
        ({"model": jax.tree.map(lambda leaf: leaf.astype("float32"), hill())}, "got a model in float32; expected float64"),
    ],
)
def test_bad_input_is_refused_in_one_line(change, message):
    given = {"model": hill(), "stages": (Stage(10, 1, 1),)} | change
    with pytest.raises(InputError, match=message) as caught:
        fit(PROBLEM, given.pop("model"), given.pop("stages"), **given)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("change", [{"kept": 1.5}, {"pool": 1}, {"uniform": 0.0}, {"causality": float("nan")}])
def test_bad_sampling_is_refused(change):
    with pytest.raises(InputError):
        Sampling(**change)
