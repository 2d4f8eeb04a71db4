"""Twins against closed forms: an equation given as a rate, and the minimal model of glucose."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from physics.glucose_minimal import GLUCOSE, SENSOR, STOMACH
from tests.problems import quick_jit
from twinsim.assimilation.glucose_follow import negative_score, targets_of
from twinsim.assimilation.glucose_twin import GLUCOSE_PRIORS, glucose_twin_at
from twinsim.assimilation.ode_twin import OdeTwin
from twinsim.autoregression import Autoregression
from twinsim.prior import Prior

ZERO = np.zeros(len(GLUCOSE_PRIORS))


def decay(time, y, values):
    return -values["elimination"] * y


def read(y, values):
    return jnp.log(y)


@pytest.mark.parametrize("step", [None, 1.5])
def test_an_equation_given_as_a_rate_is_integrated_with_its_derivatives(step):
    """One compartment that empties: ln c falls on a line whose slope is the parameter; noise is a walk; no time, no change."""
    priors = (Prior("elimination", "1/h", 0.2, 0.3, "identity", "made up"),)
    parts = {"rate": decay, "read": read, "priors": priors, "walk": jnp.array([0.1, 0.2]), "sigma": jnp.array([0.1])}
    model = OdeTwin(**parts, step=step, tolerance=1e-8)
    state, noise = jnp.array([1.8, 0.5]), jnp.array([1.0, -1.0])

    @quick_jit
    def run(length):
        def advance(state):
            return model.advance(state, jnp.ones(()), length, noise)

        return advance(state), jax.jacfwd(advance)(state)

    after, slope = run(jnp.asarray(4.0))
    np.testing.assert_allclose(after, [1.8 - (0.2 + 0.3 * 0.5) * 4 + 0.2, 0.5 - 0.4], atol=1e-7)
    np.testing.assert_allclose(slope, [[1.0, -0.3 * 4], [0.0, 1.0]], atol=1e-7)
    np.testing.assert_array_equal(run(jnp.asarray(0.0))[0], state)
    assert model.noise_size == 2 and float(model.predict(state)[0]) == pytest.approx(1.8)


def test_the_glucose_model_rests_at_its_basal_value_and_agrees_with_scipy():
    twin = glucose_twin_at(jnp.asarray(ZERO))
    model, flow = twin.equation, quick_jit(lambda state, length, noise: twin.equation.flow(state, length, noise))
    rest = model.rest()
    np.testing.assert_allclose(flow(rest, jnp.asarray(60.0), jnp.zeros(())), rest, atol=1e-10)
    meal = rest.at[STOMACH].set(4.0).at[GLUCOSE].add(20.0)
    ours = flow(meal, jnp.asarray(60.0), jnp.zeros(()))
    rate = quick_jit(lambda state: model.rate(state))
    theirs = solve_ivp(lambda _, y: np.asarray(rate(jnp.asarray(y))), (0, 60), np.asarray(meal), rtol=1e-10, atol=1e-10).y[:, -1]
    np.testing.assert_allclose(ours, theirs, rtol=1e-4)
    assert ours[SENSOR] > rest[SENSOR]


def test_the_disturbance_has_its_exact_variance_whatever_the_interval():
    twin = glucose_twin_at(jnp.asarray(ZERO))
    sigma, tau = float(twin.equation.disturbance), float(twin.equation.absorption)
    kick = quick_jit(lambda length: twin.equation.flow(twin.equation.rest(), length, jnp.ones(()))[STOMACH])
    for length in (0.0, 2.0, 5.0, 37.0):
        expected = sigma * np.sqrt(tau * (1 - np.exp(-2 * length / tau)) / 2)
        assert float(kick(jnp.asarray(length))) == pytest.approx(expected, rel=2e-3, abs=1e-12)


@pytest.mark.slow
def test_the_score_that_calibrates_has_the_right_slope():
    """Forward mode through filter and forecasts against central differences, in a direction that moves every parameter."""
    minutes = 5.0 * np.arange(40)
    values = 110 + 25 * np.sin(minutes / 50)
    targets = jnp.asarray(np.stack([targets_of(minutes, values, steps) for steps in (6, 12)], 1))
    args = jnp.asarray(minutes), jnp.asarray(values), targets, jnp.asarray(40)
    direction = jnp.asarray(np.linspace(0.3, 1.0, len(ZERO)))
    both = quick_jit(lambda s: jax.jvp(lambda s: negative_score(s * direction, *args), (s,), (jnp.ones(()),)))
    h = 1e-4
    _, slope = both(jnp.asarray(0.1))
    difference = (both(jnp.asarray(0.1 + h))[0] - both(jnp.asarray(0.1 - h))[0]) / (2 * h)
    assert float(slope) == pytest.approx(float(difference), rel=1e-6)


def test_targets_skip_gaps_and_the_baseline_sees_only_the_past():
    minutes = np.array([0.0, 5.0, 10.0, 40.0, 45.5])
    values = np.arange(5.0)
    found = targets_of(minutes, values, 1)
    assert found[0] == 1 and found[1] == 2 and np.isnan(found[2]) and found[3] == 4 and np.isnan(found[4])
    # A series that obeys y' = 1.5 y - 0.7 y'' exactly is forecast exactly; what comes after the forecast changes nothing.
    y = [1.0, 1.2]
    for _ in range(98):
        y.append(1.5 * y[-1] - 0.7 * y[-2] + 0.3)
    series = np.array(y) + 0.001 * np.random.default_rng(0).normal(size=100)
    mean, spread = Autoregression(order=2, refit=10).forecasts(series, 2, 50)
    assert np.isnan(mean[:50]).all() and np.abs(mean[50:98] - series[52:]).max() < 0.01 and np.nanmax(spread) < 0.01
    changed = series.copy()
    changed[61:] = 99.0
    np.testing.assert_array_equal(Autoregression(2, 10).forecasts(changed, 2, 50)[0][50:61], mean[50:61])
