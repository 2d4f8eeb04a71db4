"""The reaction in closed form: logistic growth, the drug's kill, and both together against a tight integration."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from physics import Chemotherapy, LogisticLogKill
from tests.problems import number

DENSITIES = jnp.array([0.0, 1e-6, 0.02, 0.5, 0.97, 1.0])


def drug(times, doses, elimination, sensitivity) -> Chemotherapy:
    return Chemotherapy(jnp.asarray(times, float), jnp.asarray(doses, float), number(elimination), number(sensitivity))


@pytest.mark.parametrize("growth", [0.0, 0.012, 1.7])
@pytest.mark.parametrize("length", [0.0, 0.3, 40.0])
def test_logistic_growth(growth, length):
    found = LogisticLogKill(number(growth)).solve(DENSITIES, number(3.0), number(length))
    u = np.asarray(DENSITIES)
    np.testing.assert_allclose(found, u / (u + (1 - u) * np.exp(-growth * length)), rtol=1e-13)


# The log-kill to come: 0.05 for a dose of temozolomide, 2 and 8 far beyond it.
@pytest.mark.parametrize("weight", [0.05, 2.0, 8.0])
@pytest.mark.parametrize(("growth", "elimination", "length"), [(0.03, 9.242, 0.5), (2.0, 9.242, 1.0), (0.4, 0.1, 3.0), (0.0, 1.0, 2.0)])
def test_growth_with_drug_against_integration(weight, growth, elimination, length):
    chemotherapy = drug([1.0, 1.25], [3.0, 2.0], elimination, 1.0)
    chemotherapy = drug([1.0, 1.25], [3.0, 2.0], elimination, weight / float(chemotherapy.log_kill_to_come(number(1.25))))
    found = LogisticLogKill(number(growth), chemotherapy).solve(DENSITIES, number(1.25), number(length))
    concentration = 3 * np.exp(-0.25 * elimination) + 2
    kill = float(chemotherapy.sensitivity) * concentration

    def rate(time, u):
        return growth * u * (1 - u) - kill * np.exp(-elimination * time) * u

    exact = solve_ivp(rate, (0, length), np.asarray(DENSITIES), method="DOP853", rtol=1e-13, atol=1e-18).y[:, -1]
    np.testing.assert_allclose(found, exact, rtol=1e-10)


@pytest.mark.parametrize("weight", [0.0, 1e-9, 0.7, 8.0])
def test_two_short_steps_are_one_long_step(weight):
    flow = LogisticLogKill(number(0.4), drug([0.0], [1.0], 1.5, 1.5 * weight))
    halfway = flow.solve(DENSITIES, number(0.0), number(0.3))
    np.testing.assert_allclose(flow.solve(halfway, number(0.3), number(0.9)), flow.solve(DENSITIES, number(0.0), number(1.2)), rtol=1e-12)


@pytest.mark.parametrize("sensitivity", [0.0, 1e-9, 0.3, 5.0])
@pytest.mark.quick(2)
def test_slope_in_the_sensitivity_at_zero_too(sensitivity):
    """An unknown drug starts a calibration at zero sensitivity: the slope there must be right."""

    def after(sensitivity):
        flow = LogisticLogKill(number(0.5), Chemotherapy(jnp.zeros(1), jnp.ones(1), number(3.0), sensitivity))
        return flow.solve(jnp.array([0.4]), number(0.0), number(0.7))[0]

    step = 1e-4
    # Fourth-order one-sided differences: concentrations below zero are not tried.
    weights = np.array([-25 / 12, 4.0, -3.0, 4 / 3, -1 / 4]) / step
    difference = sum(w * after(number(sensitivity + i * step)) for i, w in enumerate(weights))
    assert jax.grad(after)(number(sensitivity)) == pytest.approx(float(difference), rel=1e-9)


def test_float32_survives_an_absurd_dose():
    """A calibration that wanders must meet a number, not a NaN."""
    flow = LogisticLogKill(jnp.float32(0.1), jax.tree.map(jnp.float32, drug([0.0], [1.0], 9.0, 9.0 * 300)))
    found = flow.solve(DENSITIES.astype(jnp.float32), jnp.float32(0.0), jnp.float32(0.5))
    assert found.dtype == jnp.float32
    assert np.isfinite(found).all() and np.asarray(found).max() < 1e-30


def test_concentrations_superpose_and_decay_with_their_half_life():
    both = drug([1.0, 2.5], [150.0, 200.0], 9.242, 0.004)
    first, second = drug([1.0], [150.0], 9.242, 0.004), drug([2.5], [200.0], 9.242, 0.004)
    for time in (0.5, 1.0, 1.7, 2.5, 2.6, 4.0):
        total = first.concentration(number(time)) + second.concentration(number(time))
        assert both.concentration(number(time)) == pytest.approx(float(total), rel=1e-14)
    assert both.concentration(number(0.999)) == 0
    assert first.concentration(number(1 + 1.8 / 24)) == pytest.approx(75, rel=1e-4)


def test_a_dose_alone_kills_what_its_log_kill_says():
    flow = LogisticLogKill(number(0.0), drug([0.0], [150.0], 9.242, 0.02))
    left = flow.solve(DENSITIES, number(0.0), number(10.0))
    np.testing.assert_allclose(left, DENSITIES * np.exp(-0.02 * 150 / 9.242), rtol=1e-13)
