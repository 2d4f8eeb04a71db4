"""Periodic orbits with closed forms: their order, period, multipliers, derivatives, a fold of the family."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from solvers import monodromy, orbit_branch, over_period, periodic_orbit

START, SCALES = jnp.asarray([0.9, 0.1]), jnp.ones(2)


def twisted(parameters, state):
    """A circle of radius sqrt(g), turned at w - b g: the period is 2 pi over this, the multiplier exp(-2 g T)."""
    growth, turn, twist = parameters
    x, y = state
    square = x * x + y * y
    return jnp.stack([(growth - square) * x - (turn - twist * square) * y, (growth - square) * y + (turn - twist * square) * x])


def period(parameters, steps=100):
    return periodic_orbit(twisted, parameters, START, 7.0, SCALES, steps).period


@pytest.mark.slow
def test_the_period_is_of_order_four():
    given = jnp.asarray([1.0, 2.0, 0.8])
    errors = [abs(float(period(given, steps)) - 2 * np.pi / 1.2) for steps in (20, 40, 80, 160)]
    slope = np.polyfit(np.log([20, 40, 80, 160]), np.log(errors), 1)[0]
    assert -4.4 < slope < -3.8 and errors[-1] < 1e-6


def test_the_orbit_and_its_multiplier():
    given = jnp.asarray([1.0, 2.0, 0.8])
    found = periodic_orbit(twisted, given, START, 7.0, SCALES, 400)
    path = over_period(twisted, given, found.state, found.period, 400)
    assert float(found.change) < 1e-10 and np.abs(np.linalg.norm(path, axis=1) - 1).max() < 1e-8
    values = np.sort(np.linalg.eigvals(np.asarray(monodromy(twisted, given, found.state, found.period, 400))).real)
    assert values == pytest.approx([np.exp(-2 * 2 * np.pi / 1.2), 1.0], abs=1e-7)


@pytest.mark.slow
def test_derivatives_in_both_modes():
    given = jnp.asarray([1.1, 2.0, 0.8])
    rate = 2.0 - 0.8 * 1.1
    exact = 2 * np.pi / rate**2 * np.array([0.8, -1.0, 1.1])
    back, ahead = jax.jit(jax.grad(period))(given), jax.jit(jax.jacfwd(period))(given)
    run = jax.jit(period)
    step = 1e-4
    central = [float(run(given.at[k].add(step)) - run(given.at[k].add(-step))) / (2 * step) for k in range(3)]
    assert np.asarray(back) == pytest.approx(np.asarray(ahead), rel=1e-10)
    assert np.asarray(back) == pytest.approx(np.asarray(central), rel=1e-6)
    assert np.asarray(back) == pytest.approx(exact, rel=1e-4)


def test_no_orbit_is_told():
    found = periodic_orbit(lambda p, s: p * jnp.stack([1.0 + s[1] ** 2, s[0]]), jnp.asarray(1.0), START, 7.0, SCALES, 50)
    assert not (float(found.change) < 1e-6 and float(found.period) > 1e-3)


def subcritical(parameter, state):
    """Radii with m + r^2 - r^4 = 0, unstable up to the fold at m = -1/4, stable from there; turned once in 2 pi."""
    x, y = state
    square = x * x + y * y
    growth = parameter + square - square**2
    return jnp.stack([growth * x - y, growth * y + x])


def test_a_family_goes_round_its_fold():
    found = orbit_branch(subcritical, 0.0, np.zeros(2), np.ones(2), (-1.0, 1.0), 20.0, 200)
    square = (found.states**2).sum(axis=-1)[:, 0]
    assert found.ended == "parameter" and found.folds == pytest.approx([-0.25], abs=1e-7)
    assert np.abs(found.parameter + square - square**2).max() < 1e-5 and np.abs(found.period - 2 * np.pi).max() < 1e-6
    repels = np.abs(found.multipliers[:, 0]) > 1 + 1e-6
    assert (repels == (square < 0.5)).all() and repels.any() and not repels.all()


def test_a_family_wants_a_hopf_point():
    with pytest.raises(ValueError, match="imaginary pair"):
        orbit_branch(lambda p, s: -s, 0.0, np.zeros(2), np.ones(2), (-1.0, 1.0), 20.0, 100)
