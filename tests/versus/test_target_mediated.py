"""Target-mediated disposition against limits in closed form, balances, SciPy and differences."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from physics import TargetMediatedDisposition
from solvers import integrate_stiff, simulate, time_mesh

MODEL = TargetMediatedDisposition.peletier2012()


def run(model: TargetMediatedDisposition, dose: jax.Array, hours: float, **options: object) -> jax.Array:
    return integrate_stiff(lambda t, y, p: p.rate(y), model.start(dose), 0.0, hours, model, **options).final


def test_without_binding_each_goes_its_own_way():
    alone = eqx.tree_at(lambda m: (m.binding, m.unbinding), MODEL, (jnp.asarray(0.0), jnp.asarray(0.0)))
    drug, target, bound = run(alone, jnp.asarray(50.0), 300.0, relative_tolerance=1e-10)
    np.testing.assert_allclose([drug, target, bound], [50 * np.exp(-0.0015 * 300), 0.11 / 0.0089, 0.0], rtol=1e-8, atol=1e-10)


def test_binding_makes_and_loses_nothing():
    state = jnp.array([[30.0, 2.0], [4.0, 9.0], [7.0, 0.5]])  # two doses at once
    drug, target, bound = MODEL.rate(state)
    np.testing.assert_allclose(drug + bound, -0.0015 * state[0] - 0.003 * state[2], rtol=1e-12)
    np.testing.assert_allclose(target + bound, 0.11 - 0.0089 * state[1] - 0.003 * state[2], rtol=1e-12)


def test_fast_binding_comes_to_the_quadratic_equilibrium():
    """With totals kept, C(L + R + K) of the quadratic of mass action, K = k_off / k_on."""
    zero = jnp.zeros(())
    closed = TargetMediatedDisposition(jnp.asarray(2.0), jnp.asarray(6.0), zero, jnp.asarray(1e-30), zero, zero)
    start = jnp.array([5.0, 4.0, 0.0])
    found = integrate_stiff(lambda t, y, p: p.rate(y), start, 0.0, 50.0, closed, relative_tolerance=1e-10).final
    total = 5.0 + 4.0 + 3.0
    bound = (total - np.sqrt(total**2 - 4 * 20.0)) / 2
    np.testing.assert_allclose(found, [5 - bound, 4 - bound, bound], rtol=1e-8)


def test_the_explicit_stepper_comes_to_the_same_course():
    start = MODEL.start(jnp.asarray(30.0))
    explicit = simulate(MODEL.stepper(), start, time_mesh(0.0, [20.0], 0.05)).final
    np.testing.assert_allclose(explicit, run(MODEL, jnp.asarray(30.0), 20.0, relative_tolerance=1e-10, absolute_tolerance=1e-12), rtol=1e-6)


@pytest.mark.slow
def test_the_slope_is_that_of_central_differences():
    def left(dose: jax.Array, log_binding: jax.Array) -> jax.Array:
        model = eqx.tree_at(lambda m: m.binding, MODEL, jnp.exp(log_binding))
        return run(model, dose, 30.0, fixed_steps=40)[2]

    at = (jnp.asarray(30.0), jnp.log(MODEL.binding))
    slopes, value = jax.jit(jax.grad(left, (0, 1)))(*at), jax.jit(left)
    for number, step in enumerate((1e-3, 1e-5)):
        up, down = ([x + sign * step * (k == number) for k, x in enumerate(at)] for sign in (1, -1))
        assert float(slopes[number]) == pytest.approx(float(value(*up) - value(*down)) / (2 * step), rel=1e-6)
