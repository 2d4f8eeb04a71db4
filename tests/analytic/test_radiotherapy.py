"""Identities of the linear-quadratic model."""

import jax.numpy as jnp
import numpy as np
import pytest

from physics import LinearQuadratic, biologically_effective_dose, doses_of_equal_effect, surviving_fraction
from tests.problems import noise, number


def test_surviving_fraction_is_the_linear_quadratic_law():
    dose, alpha, ratio = np.array([0.0, 1.0, 2.0, 8.0]), 0.12, 8.0
    found = surviving_fraction(jnp.asarray(dose), number(alpha), number(ratio))
    np.testing.assert_allclose(found, np.exp(-alpha * dose - alpha / ratio * dose**2), rtol=1e-14)


@pytest.mark.parametrize(
    ("fractions", "dose", "ratio", "effective"), [(30, 2.0, 10.0, 72.0), (30, 2.0, 2.0, 120.0), (15, 40 / 15, 10.0, 50.67)]
)
def test_published_effective_doses(fractions, dose, ratio, effective):
    """60 Gy in 30 is 72 Gy10 and 120 Gy2; 40 Gy in 15 is 50.7 Gy10."""
    assert biologically_effective_dose(jnp.full(fractions, dose), ratio) == pytest.approx(effective, abs=0.005)


def test_cells_left_after_a_course_depend_on_its_effective_dose_alone():
    alpha, ratio = number(0.07), number(9.0)
    doses = noise((12,), 1, 0.5, 4.0)
    left = jnp.prod(surviving_fraction(doses, alpha, ratio))
    assert left == pytest.approx(float(jnp.exp(-alpha * biologically_effective_dose(doses, ratio))), rel=1e-13)


@pytest.mark.parametrize("ratio", [0.5, 2.0, 10.0, 1e3])
def test_doses_of_equal_effect_satisfy_the_constraint_to_round_off(ratio):
    shares = noise((17,), 2)
    shares = shares.at[3].set(0.0) / (shares.sum() - shares[3])
    doses = doses_of_equal_effect(shares, 100.0, ratio)
    assert doses.min() == doses[3] == 0
    assert biologically_effective_dose(doses, ratio) == pytest.approx(100.0, rel=1e-13)
    np.testing.assert_allclose(doses * (1 + doses / ratio), 100 * shares, rtol=1e-11)


def test_equal_shares_give_back_the_standard_course():
    doses = doses_of_equal_effect(jnp.full(30, 1 / 30), 120.0, 2.0)
    np.testing.assert_allclose(doses, 2.0, rtol=1e-14)


def test_a_fraction_scales_with_the_dose_map():
    density, dose_map = noise((5,), 3), jnp.array([0.0, 0.5, 1.0, 1.05, 2.0])
    course = LinearQuadratic(number(0.1), number(10.0), jnp.array([1.8, 3.0]), dose_map)
    expected = density * np.exp(-0.1 * 3 * dose_map * (1 + 3 * dose_map / 10))
    np.testing.assert_allclose(course.apply(density, jnp.asarray(1)), expected, rtol=1e-14)
