"""Models of intermittent androgen deprivation against SciPy's matrix exponential and integrator, and their derivatives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.linalg import expm

from physics.androgen_deprivation_hirata import HIRATA2010, HirataTanaka
from physics.androgen_deprivation_portz import PORTZ2012, PortzKuangNagy
from tests.problems import number, quick_jit

TIMES = jnp.array([0.0, 28.0, 56.0, 84.0, 110.0, 140.0, 140.0])
SINCE_STOP = jnp.array([-1.0, -1.0, 0.0, 28.0, 54.0, -1.0, -1.0])


def hirata(**changed):
    values = {name: number(HIRATA2010[name].value) for name in HIRATA2010}
    return HirataTanaka(**(values | {"washout": number(20.0)} | {name: number(value) for name, value in changed.items()}))


def matrices(model):
    on = np.array([
        [-model.decay_1_on, 0, 0],
        [model.transfer_21_on, -model.decay_2_on, 0],
        [model.transfer_31_on, model.transfer_32_on, model.growth_3_on],
    ])  # fmt: skip
    off = np.array([[model.growth_1_off, model.transfer_12_off, 0], [0, model.growth_2_off, 0], [0, 0, model.growth_3_off]])
    return on, off


@pytest.mark.parametrize("changed", [{}, {"growth_2_off": 0.002, "decay_2_on": 0.05}, {"transfer_32_on": 0.01}])
def test_steps_are_matrix_exponentials(changed):
    """Coinciding rates included."""
    model = hirata(**changed)
    days = jnp.array([0.0, 1.0, 30.0, 400.0])
    for mine, matrix in zip((model.on(days), model.off(days)), matrices(model), strict=True):
        for k, length in enumerate(days):
            np.testing.assert_allclose(mine[k], expm(matrix * float(length)), rtol=1e-9, atol=1e-13)


def test_the_last_depot_acts_through_the_washout():
    model, start = hirata(), np.array([9.0, 0.5, 0.1])
    on, off = matrices(model)
    after = expm(on * 84.0) @ start  # 56 days on, 20 of washout; then off to day 140
    exact = expm(off * (140.0 - 76.0)) @ expm(on * (76.0 - 84.0)) @ after
    states = quick_jit(lambda s: model.states(TIMES, SINCE_STOP, s))(jnp.asarray(start))
    np.testing.assert_allclose(states[5], exact, rtol=1e-9)
    np.testing.assert_allclose(states[6], states[5], rtol=0)  # padding changes nothing


def portz(**changed):
    names = ("growth", "least_quota_sensitive", "least_quota_resistant", "death_sensitive", "death_resistant")
    values = {name: PORTZ2012[name].value for name in names}
    values |= {"androgen_off": 12.0, "androgen_on": 0.5, "rise_days": 30.0, "fall_days": 7.0, "washout": 20.0}
    return PortzKuangNagy(**{name: number(value) for name, value in (values | changed).items()})


PORTZ_START = jnp.array([np.log(15.0), np.log(0.1), np.log(10.0), 1.4, 1.4, 12.0])


def test_the_cell_quota_model_against_an_integrator():
    model = portz()
    mine = quick_jit(lambda s: model.states(TIMES, SINCE_STOP, s))(PORTZ_START)
    rate, state = quick_jit(lambda y, a: model.rate(y, a)), np.asarray(PORTZ_START)
    for treated, start, end in ((1.0, 0.0, 76.0), (0.0, 76.0, 140.0)):
        state = solve_ivp(lambda _, y, a=treated: np.asarray(rate(y, number(a))), (start, end), state, rtol=1e-9, atol=1e-11).y[:, -1]
    np.testing.assert_allclose(mine[5], state, rtol=2e-3)


@pytest.mark.parametrize("make", [hirata, portz])
@pytest.mark.quick(1)
def test_derivatives_against_central_differences(make):
    start = jnp.array([9.0, 0.5, 0.1]) if make is hirata else PORTZ_START

    def last(washout):
        return jnp.sum(make(washout=washout).states(TIMES, SINCE_STOP, start)[5])

    value = quick_jit(last)
    step = 1e-4
    difference = (value(number(20.0 + step)) - value(number(20.0 - step))) / (2 * step)
    np.testing.assert_allclose(quick_jit(jax.grad(last))(number(20.0)), difference, rtol=1e-6)
