"""Closed forms of absorption, and the indirect response by quadrature, against SciPy's integrator."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from physics import IndirectResponse, OneCompartment, TransitCompartment
from tests.problems import number

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
