"""What the data can tell: information in words, profiles, Sobol indices, the next measurement, leave-one-out."""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from tests.twinsim.inference.linear import COVARIANCE, DESIGN, MEAN, SEEN, TIMES, VALUES, line
from twinsim.errors import InputError
from twinsim.inference import (
    Normal,
    Problem,
    compare,
    fisher_information,
    leave_one_out,
    next_measurement,
    normal_draws,
    profile,
    series,
    sobol,
)
from twinsim.prior import Prior

PRODUCT = (
    Prior("dose", "mg", 1.0, 0.5, "log", "test"),
    Prior("uptake", "1", 1.0, 0.5, "log", "test"),
    Prior("rate", "1/h", 1.0, 0.5, "log", "test"),
)


def product() -> Problem:
    """Only the product of dose and uptake is seen."""

    def predict(values, times, record):
        return (values["dose"] * values["uptake"] * jnp.exp(-values["rate"] * times[0]),)

    return Problem(PRODUCT, predict, (series(TIMES, np.exp(-TIMES), Normal(0.02)),))


def test_information_of_a_line_is_that_of_its_design():
    found = fisher_information(line(), jnp.zeros(2))
    np.testing.assert_allclose(found.matrix, DESIGN.T @ DESIGN, rtol=1e-10)
    assert found.open_directions == []


def test_what_cannot_be_told_apart_is_named():
    found = fisher_information(product(), jnp.zeros(3))
    assert found.eigenvalues[0] == pytest.approx(0.0, abs=1e-9)
    (words,) = found.open_directions
    assert words.startswith("the data do not tell apart") and "dose" in words and "uptake" in words and "rate" not in words


def test_a_profile_of_a_line_is_a_parabola():
    found = profile(line(), "slope", jnp.asarray(MEAN), reach=2.0, points=11)
    grid = np.linspace(-2, 2, 11)
    target = ((VALUES - 1.0 - 0.5 * TIMES)[SEEN]) / 0.6
    exact = []
    for z in grid:  # the offset keeps its prior
        rest = target - DESIGN[:, 1] * z
        offset = DESIGN[:, 0] @ rest / (DESIGN[:, 0] @ DESIGN[:, 0] + 1)
        exact.append(-0.5 * np.sum((rest - DESIGN[:, 0] * offset) ** 2) - 0.5 * offset**2)
    np.testing.assert_allclose(found.log_likelihood, np.array(exact) - max(exact), atol=1e-4)
    assert "bounded" in found.words


def test_sobol_indices_of_a_sum():
    priors = (Prior("a", "1", 0.0, 1.0, "identity", "test"), Prior("b", "1", 0.0, 2.0, "identity", "test"))
    found = sobol(priors, lambda values: values["a"] + values["b"])
    for name, share in (("a", 0.2), ("b", 0.8)):
        assert found[name] == pytest.approx((share, share), abs=0.04)


def test_the_next_reading_of_a_line_belongs_at_its_end():
    draws = MEAN + np.random.default_rng(0).standard_normal((200, 2)) @ np.linalg.cholesky(COVARIANCE).T
    time, gain = next_measurement(line(), jnp.asarray(draws), (0.0, 6.0), starts=3)
    direction = np.array([2.0, 0.7 * 6.0]) / 0.6
    assert time == pytest.approx(6.0, abs=0.05)
    assert gain == pytest.approx(0.5 * np.log1p(direction @ COVARIANCE @ direction), rel=0.1)


def test_leave_one_out_against_leaving_out_for_real():
    draws = normal_draws(line(), jnp.asarray(MEAN), jnp.asarray(COVARIANCE), 4000)
    found = leave_one_out(draws)
    target = ((VALUES - 1.0 - 0.5 * TIMES)[SEEN]) / 0.6
    exact = 0.0
    for i in range(4):
        rest, left = np.delete(DESIGN, i, 0), DESIGN[i]
        covariance = np.linalg.inv(rest.T @ rest + np.eye(2))
        mean = covariance @ rest.T @ np.delete(target, i)
        exact += stats.norm.logpdf(target[i], left @ mean, np.sqrt(1 + left @ covariance @ left)) - np.log(0.6)
    assert found.elpd == pytest.approx(exact, abs=0.1)
    worse = normal_draws(line(noise=2.0), jnp.asarray(MEAN), jnp.asarray(COVARIANCE), 4000)
    ranked = compare({"wide": worse, "right": draws})
    assert ranked[0][0] == "right" and ranked[1][2] > 0
    with pytest.raises(InputError, match="without log likelihood"):
        leave_one_out(replace(draws, log_likelihood=None))
