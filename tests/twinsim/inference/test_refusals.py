"""What a user errs in is said in one line, with the cause and what to do; and a model with forward derivatives only can be fitted."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.problems import quick_jit
from tests.twinsim.inference.linear import line
from twinsim.errors import InputError
from twinsim.inference import (
    Draws,
    Normal,
    Problem,
    ProportionalAdditive,
    StudentT,
    compare,
    diagnose,
    ensemble_posterior,
    laplace,
    laplace_posterior,
    maximise,
    next_measurement,
    nuts_posterior,
    profile,
    sample_population,
    series,
    simulation_based_calibration,
    sobol,
    tempered_posterior,
)
from twinsim.prior import Prior

RATE = Prior("rate", "1/day", 1.0, 0.5, "log", "made up")
DATA = series([1.0, 2.0], [0.4, 0.1], Normal(0.1), "size", "mL")
Z = jnp.zeros(2)


def problem(predict):
    return Problem((RATE,), predict, (DATA,))


def draws(shapes=None):
    z = np.random.default_rng(0).normal(size=(1, 100, 1))
    return Draws((RATE,), z, diagnose(z), "laplace", shapes)


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (lambda: Normal(0.0), "a noise scale of 0; expected a finite number above 0"),
        (lambda: Normal(-0.1), "a noise scale of -0.1"),
        (lambda: Normal(float("nan")), "a noise scale of nan"),
        (lambda: StudentT(0.1, degrees=-1.0), "a noise scale of -1"),
        (lambda: ProportionalAdditive(0.0, -0.1), "a noise scale of -0.1"),
        (lambda: Prior("a", "1", 1.0, float("inf"), "log", "x"), "spread inf"),
        (lambda: Prior("a", "1", float("inf"), 1.0, "log", "x"), "median inf"),
        (lambda: Problem((RATE, RATE), lambda v, t, r: (t[0],), (DATA,)), "two priors of rate"),
        (lambda: problem(lambda v, t, r: (jnp.zeros(3),)).residuals(Z[:1]), "size: predictions of shape (3,) from predict; expected (2,)"),
        (lambda: problem(lambda v, t, r: t[0]).log_posterior(Z[:1]), "expected a tuple of 1 arrays"),
        (lambda: problem(lambda v, t, r: (t[0], t[0])).predictions(Z[:1]), "a tuple of 2 predictions from predict"),
        (lambda: maximise(line(), starts=4), "4 starts without a key"),
        (lambda: laplace_posterior(line(), count=0), "draws 0; expected at least 1"),
        (lambda: laplace_posterior(line(), seed=-1), "seed -1"),
        (lambda: ensemble_posterior(line(), count=1), "members 1; expected at least 2"),
        (lambda: tempered_posterior(line(), moves=0), "moves 0"),
        (lambda: sample_population(line(), seed=-1), "seed -1"),
        (lambda: simulation_based_calibration(line(), lambda p, k: Z, seed=-1), "seed -1"),
        (lambda: simulation_based_calibration(line(), lambda p, k: Z, replicates=0), "replicates 0"),
        (lambda: nuts_posterior(line(), chains=0), "chains 0"),
        (lambda: profile(line(), line().names[0], Z, points=0), "points 0"),
        (lambda: profile(line(), line().names[0], Z, reach=-1.0), "reach -1"),
        (lambda: sobol((RATE,), lambda v: v["rate"], count=100), "count 100; expected a power of two, 2 or more; do: use 128"),
        (lambda: sobol((RATE,), lambda v: jnp.ones(2), count=64), "a quantity of shape (2,)"),
        (lambda: next_measurement(line(), jnp.zeros((3, 2)), (2.0, 1.0)), "the window 2 to 1"),
        (lambda: next_measurement(line(), jnp.zeros((3, 2)), (0.0, float("nan"))), "the window 0 to nan"),
        (lambda: next_measurement(line(), jnp.zeros((3, 2)), (0.0, 1.0), which=3), "which 3; expected 0 to 0; do: choose at most 0"),
        (lambda: compare({}), "no model"),
        (lambda: draws().interval("rate", 90), "probability 90; expected 0 to 1"),
    ],
)
def test_a_mistake_is_named(act, words):
    with pytest.raises(InputError) as caught:
        act()
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_an_additive_part_may_be_zero():
    assert float(ProportionalAdditive(0.0, 0.1).additive) == 0.0


def test_an_order_by_untrustworthy_weights_comes_with_a_warning():
    """One draw has all the weight of the second observation."""
    terms = np.random.default_rng(1).normal(size=(1, 100, 3))
    terms[0, :, 1] -= 40 * np.random.default_rng(2).exponential(size=100)
    with pytest.warns(UserWarning, match=r"Pareto k above 0.7 in heavy \(1 of 3\)"):
        compare({"heavy": draws(terms)})


def forward_only(z0):
    """exp(-rate t) by a loop whose length is not known when it is compiled: reverse derivatives do not exist."""

    def predict(values, times, record):
        half = values["rate"] / record / 2

        def until(time):
            steps = jnp.ceil(time * record).astype(int)
            return jax.lax.fori_loop(0, steps, lambda _, y: y * (1 - half) / (1 + half), z0)

        return (jax.vmap(until)(times[0]),)

    return Problem((RATE,), predict, (DATA,), jnp.asarray(100.0))


@pytest.mark.slow
def test_a_model_with_forward_derivatives_only_is_fitted():
    """The same maximum and curvature as the closed form, to the error of the loop."""
    looped = forward_only(jnp.asarray(1.0))
    closed = problem(lambda values, times, record: (jnp.exp(-values["rate"] * times[0]),))
    with pytest.raises(ValueError, match=r"[Rr]everse"):
        jax.grad(looped.log_posterior)(jnp.zeros(1))
    found, exact = (quick_jit(lambda start, one=one: maximise(one, start))(jnp.zeros((1, 1))) for one in (looped, closed))
    assert bool(found.converged) and float(found.distance) < 1e-2
    np.testing.assert_allclose(found.z, exact.z, atol=1e-4)
    normal, other = (quick_jit(lambda z, one=one: laplace(one, z))(exact.z) for one in (looped, closed))
    np.testing.assert_allclose(normal.covariance, other.covariance, rtol=1e-3)


@pytest.mark.slow
def test_the_hessians_agree_whichever_derivatives_they_take():
    one = problem(lambda values, times, record: (jnp.exp(-values["rate"] * times[0]),))
    z = jnp.array([0.3])
    both = [laplace(one, z, curvature).covariance for curvature in ("hessian", "forward_hessian")]
    reverse = jnp.linalg.inv(-jax.hessian(one.log_posterior)(z))
    for found in both:
        np.testing.assert_allclose(found, reverse, rtol=1e-10)
