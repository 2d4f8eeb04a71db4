"""Compensated sums: drift, stagnation, order, gradients and composition."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from solvers import ExactFlow, Flow, Jump, Strang, simulate, time_mesh
from solvers.stepper import Increments
from solvers.steppers.compensated import Compensated, CompensatedJump, compensated_state
from tests.problems import number, quick_jit

STEPS = 100_000


class Decay(Increments):
    """Heun's method for u' = -rate u."""

    rate: jax.Array

    @property
    def order(self):
        return 2

    def increment(self, state, time, length):
        first = -self.rate * state
        second = -self.rate * (state + length * first)
        return length / 2 * (first + second)

    def advance(self, state, time, length):
        return state + self.increment(state, time, length)


@pytest.fixture(scope="module")
def drift():
    """Relative error of the end state after 1e5 small steps, for a slow and a fast decay: plain and compensated, float32."""
    exact = np.exp([-0.02, -1.0])
    with jax.enable_x64(False):
        mesh = time_mesh(0.0, [1.0], 1.0 / STEPS)
        rates, state = jnp.array([0.02, 1.0]), jnp.ones(2)
        plain = quick_jit(lambda: simulate(Decay(rates), state, mesh).final)()
        better = jax.jit(lambda: simulate(Compensated(Decay(rates)), compensated_state(state), mesh).final)()
    assert plain.dtype == better.value.dtype == jnp.float32
    return np.abs(np.asarray(plain, float) / exact - 1), np.abs(np.asarray(better.value, float) / exact - 1), better


def test_drift_over_1e5_small_steps_is_at_least_ten_times_less(drift):
    plain, better, _ = drift
    assert (plain > 10 * better).all()
    assert (better < 3 * np.finfo(np.float32).eps).all()
    assert plain[0] > 1e-3  # the slow decay hardly moves at all: a step changes it by less than it can hold


def test_value_and_loss_together_hold_more_digits_than_the_value(drift):
    _, _, final = drift
    together = np.asarray(final.value, float) + np.asarray(final.lost, float)
    assert (np.abs(final.lost) <= np.spacing(np.asarray(final.value)) / 2 * 1.001).all()
    np.testing.assert_allclose(together[0], np.exp(-0.02), rtol=1e-8)


def test_derivatives_are_those_of_the_plain_method():
    mesh = time_mesh(0.0, [1.0], 0.01)

    def plain(rate):
        return simulate(Decay(rate), jnp.ones(2), mesh).final.sum()

    def better(rate):
        return simulate(Compensated(Decay(rate)), compensated_state(jnp.ones(2)), mesh).final.value.sum()

    expected = quick_jit(jax.grad(plain))(number(0.7))
    np.testing.assert_allclose(quick_jit(jax.grad(better))(number(0.7)), expected, rtol=1e-13)
    np.testing.assert_allclose(jax.jvp(better, (number(0.7),), (number(1.0),))[1], expected, rtol=1e-13)


class Halve(Jump):
    def apply(self, state, event):
        return state / 2


def test_parts_of_a_splitting_and_jumps_compose():
    mesh = time_mesh(0.0, [1.0, 2.0], 0.01, events=[0.5])
    parts = Strang(Compensated(Decay(number(0.3))), Compensated(Decay(number(0.6))))
    assert parts.order == 2 and bool(parts.stable(number(0.01)))
    solution = quick_jit(lambda: simulate(parts, compensated_state(jnp.ones(3)), mesh, CompensatedJump(Halve())))()
    solution.raise_for_status()
    np.testing.assert_allclose(solution.final.value, np.exp(-1.8) / 2, rtol=1e-5)


def test_a_stepper_without_an_increment_is_refused_in_one_line():
    class Nothing(Flow):
        def solve(self, state, time, length):
            return state

    with pytest.raises(ValueError, match=r"got ExactFlow, which does not say its increment; expected .*; do: ") as caught:
        Compensated(ExactFlow(Nothing()))
    assert "\n" not in str(caught.value)
