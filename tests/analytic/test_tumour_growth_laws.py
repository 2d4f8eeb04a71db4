"""Growth laws against SciPy's integrator and against each other in their limits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from physics.tumour_growth_laws import bertalanffy, drug_response, exponential, gompertz, logistic
from tests.problems import number

DAYS = jnp.array([0.0, 10.0, 60.0, 300.0])
LAWS = {
    "exponential": (exponential, (0.01,), lambda v, a: a * v),
    "logistic": (logistic, (0.02, 5000.0), lambda v, a, k: a * v * (1 - v / k)),
    "gompertz, growing": (gompertz, (0.01, 5000.0), lambda v, b, k: b * v * np.log(k / v)),
    "gompertz, shrinking": (gompertz, (0.01, 200.0), lambda v, b, k: b * v * np.log(k / v)),
    "bertalanffy": (bertalanffy, (0.01, 300.0, 1 / 3), lambda v, b, k, s: b / s * v * ((k / v) ** s - 1)),
}


@pytest.mark.parametrize("name", LAWS)
def test_the_closed_form_solves_the_equation(name):
    law, parameters, rate = LAWS[name]
    mine = law(DAYS, number(1000.0), *map(number, parameters))
    exact = solve_ivp(lambda _, v: rate(v, *parameters), (0.0, 300.0), [1000.0], t_eval=np.asarray(DAYS), rtol=1e-10, atol=1e-8).y[0]
    np.testing.assert_allclose(mine, exact, rtol=1e-7)


def test_bertalanffy_holds_the_others_as_limits():
    start, rate, end = number(1000.0), number(0.01), number(4000.0)
    np.testing.assert_allclose(bertalanffy(DAYS, start, rate, end, number(1e-6)), gompertz(DAYS, start, rate, end), rtol=1e-5)
    np.testing.assert_allclose(bertalanffy(DAYS, start, rate, end, number(-1.0)), logistic(DAYS, start, rate, end), rtol=1e-9)


def test_two_populations_add_up():
    mine = drug_response(DAYS, number(100.0), number(0.2), number(0.05), number(0.01))
    np.testing.assert_allclose(mine, 80 * np.exp(-0.05 * DAYS) + 20 * np.exp(0.01 * DAYS))


def test_derivative_of_the_general_law_against_a_difference():
    def last(shape):
        return bertalanffy(DAYS, number(1000.0), number(0.01), number(300.0), shape)[-1]

    difference = (last(number(0.3 + 1e-5)) - last(number(0.3 - 1e-5))) / 2e-5
    np.testing.assert_allclose(jax.grad(last)(number(0.3)), difference, rtol=1e-6)
