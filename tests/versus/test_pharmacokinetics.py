"""Closed forms of absorption, and the indirect response by quadrature, against SciPy's integrator."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from physics import IndirectResponse, OneCompartment, TransitCompartment
from physics.pharmacokinetics import exponential_difference
from tests.problems import number, quick_jit

TIMES = np.array([0.0, 0.5, 1.0, 2.0, 6.0, 24.0, 48.0, 120.0, 144.0])


@pytest.mark.parametrize(("transit", "absorption", "elimination"), [(1.1, 0.9, 0.017), (1.0, 1.0, 0.05), (2.0, 0.3, 0.25)])
def test_drug_and_response(transit, absorption, elimination):
    def rate(t, y):
        stomach, gut, plasma, response = y
        inhibited = 0.97 * plasma / (1.2 + plasma)
        return [
            -transit * stomach,
            transit * stomach - absorption * gut,
            absorption * gut / 8 - elimination * plasma,
            0.055 * (96 * (1 - inhibited) - response),
        ]

    exact = solve_ivp(rate, (0, 144), [100.0, 0.0, 0.0, 96.0], t_eval=TIMES, rtol=1e-10, atol=1e-12).y
    drug = TransitCompartment(number(transit), number(absorption), number(elimination), number(8.0))
    effect = IndirectResponse(number(96.0), number(0.055), number(0.97), number(1.2))
    np.testing.assert_allclose(drug.concentration(jnp.asarray(TIMES), number(100.0)), exact[2], atol=1e-8)
    response = effect.response(jnp.asarray(TIMES), lambda t: drug.concentration(t, number(100.0)))
    np.testing.assert_allclose(response, exact[3], atol=1e-6)


@pytest.mark.parametrize("absorption", [1.5, 0.1, 0.1 + 1e-6])
def test_one_compartment_also_where_both_rates_are_equal(absorption):
    exact = solve_ivp(
        lambda t, y: [-absorption * y[0], absorption * y[0] / 0.5 - 0.1 * y[1]], (0, 144), [4.0, 0.0], t_eval=TIMES, rtol=1e-11, atol=1e-13
    ).y[1]
    found = OneCompartment(number(absorption), number(0.1), number(0.5)).concentration(jnp.asarray(TIMES), number(4.0))
    np.testing.assert_allclose(found, exact, atol=1e-8)
    assert float(OneCompartment(number(absorption), number(0.1), number(0.5)).concentration(jnp.array([-1.0]), number(4.0))[0]) == 0.0


def test_rates_that_differ_by_far_give_no_overflow():
    """A thousand times, in either order: the product of zero and infinity was NaN, and a sampler's trajectory ended there."""
    times = jnp.asarray(TIMES)
    value = quick_jit(jax.value_and_grad(lambda rates: jnp.sum(exponential_difference(rates[0], rates[1], times))))
    for rates in ((20.0, 0.02), (0.02, 20.0)):
        found, slope = value(jnp.asarray(rates))
        np.testing.assert_allclose(found, np.sum((np.exp(-0.02 * TIMES) - np.exp(-20.0 * TIMES)) / 19.98), rtol=1e-12)
        assert np.isfinite(slope).all()


def test_derivatives_where_rates_are_equal_are_those_of_the_integral():
    """$t\\int_0^1 e^{-t(a+s(b-a))}ds$: the derivatives are moments of $1-s$ and $s$."""
    t, rate = 3.0, 0.7

    def difference(rates):
        return exponential_difference(rates[0], rates[1], jnp.asarray([t]))[0]

    slope, hessian = quick_jit(lambda rates: (jax.grad(difference)(rates), jax.hessian(difference)(rates)))(jnp.full(2, rate))
    np.testing.assert_allclose(slope, np.full(2, -(t**2) * np.exp(-rate * t) / 2), rtol=1e-12)
    np.testing.assert_allclose(hessian, t**3 * np.exp(-rate * t) * np.array([[1 / 3, 1 / 6], [1 / 6, 1 / 3]]), rtol=1e-12)
