"""Steps by error control: tolerance, marks, replay, gradients, batches, and how it fails."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from solvers import ExactFlow, Flow, Jump, Status, Stepper, simulate
from solvers.loop.adaptive_mesh import adaptive_mesh, trimmed
from solvers.loop.checkpoint_plan import checkpoint_plan
from tests.problems import number, quick_jit


class RungeKutta4(Stepper):
    """Of u' = rate * f(u, t), for any f."""

    rate: jax.Array
    law: object = None

    @property
    def order(self):
        return 4

    def slope(self, state, time):
        return self.rate * self.law(state, time)

    def advance(self, state, time, length):
        k1 = self.slope(state, time)
        k2 = self.slope(state + length / 2 * k1, time + length / 2)
        k3 = self.slope(state + length / 2 * k2, time + length / 2)
        k4 = self.slope(state + length * k3, time + length)
        return state + length / 6 * (k1 + 2 * k2 + 2 * k3 + k4)


def oscillator(state, time):
    del time
    return jnp.stack([state[1], -state[0]])


def pulse(state, time):
    """A rate that is a hundred times faster around time one than elsewhere."""
    return -(0.1 + 10 * jnp.exp(-(((time - 1) / 0.05) ** 2))) * state


class Kick(Jump):
    sizes: jax.Array

    def apply(self, state, event):
        return state + self.sizes[event]


def used(mesh):
    return np.asarray(mesh.length).reshape(-1) > 0


def solve(rate, rtol, law=oscillator, start=(1.0, 0.0), save=(2.0, 5.0, 20.0), **options):
    stepper, state = RungeKutta4(number(rate) if isinstance(rate, float) else rate, law), jnp.array(start)
    mesh = adaptive_mesh(stepper, state, 0.0, save, rtol=rtol, atol=rtol * 1e-3, **options)
    return mesh, simulate(stepper, state, mesh, options.get("jump"))


@pytest.mark.slow
def test_the_error_follows_the_tolerance():
    errors = []
    for rtol in (1e-4, 1e-6, 1e-8, 1e-10):
        solution = quick_jit(lambda rtol=rtol: solve(1.0, rtol)[1])()
        solution.raise_for_status()
        exact = np.stack([np.cos([2.0, 5.0, 20.0]), -np.sin([2.0, 5.0, 20.0])], axis=-1)
        errors.append(np.abs(solution.states - exact).max())
        assert errors[-1] < 100 * rtol
    assert errors[0] > 1e4 * errors[-1]


def test_steps_are_short_where_the_solution_is_fast_and_only_there():
    mesh, solution = quick_jit(lambda: solve(1.0, 1e-7, pulse, (1.0,), (3.0,)))()
    lengths, starts = np.asarray(mesh.length).reshape(-1)[used(mesh)], np.asarray(mesh.start).reshape(-1)[used(mesh)]
    inside = np.abs(starts - 1) < 0.1
    assert lengths[~inside].max() > 10 * lengths[inside].min()
    np.testing.assert_allclose(lengths.sum(), 3.0, rtol=1e-14)
    np.testing.assert_allclose(solution.final, np.exp(-0.3 - 10 * 0.05 * np.sqrt(np.pi)), rtol=1e-6)


def test_save_times_events_and_breakpoints_are_hit_exactly():
    """Events at the start, between, twice at once, at a save (after it) and at the end."""
    sizes = jnp.array([[1.0], [0.5], [0.25], [2.0], [4.0]])
    events = (0.0, 0.7, 0.7, 1.5, 3.0)
    options = {"events": events, "breakpoints": (0.31, 0.7, 2.2), "jump": Kick(sizes)}
    mesh, solution = quick_jit(lambda: solve(1.0, 1e-9, lambda u, t: -u, (1.0,), (0.0, 1.5, 3.0), **options))()
    ends = np.asarray(mesh.times)[used(mesh)]
    for mark in (0.31, 0.7, 1.5, 2.2, 3.0):
        assert np.isclose(ends, mark, rtol=0, atol=1e-14).any()
    at_start, at_save = 1.0, 2 * np.exp(-1.5) + 0.75 * np.exp(-0.8)
    before_end = (at_save + 2) * np.exp(-1.5)
    np.testing.assert_allclose(solution.states[:, 0], [at_start, at_save, before_end], rtol=1e-8)
    np.testing.assert_allclose(solution.final, [before_end + 4], rtol=1e-8)
    happened = np.asarray(mesh.event).reshape(-1)
    assert happened[happened >= 0].tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("depth", [0, 1, 2])
@pytest.mark.quick(1)
def test_the_gradient_on_the_recorded_steps_is_exact(depth):
    start = jnp.array([1.0, 0.3])
    budgets = {0: 64.0, 1: 0.0012, 2: 0.0008}
    mesh = quick_jit(lambda: adaptive_mesh(RungeKutta4(number(1.0), oscillator), start, 0.0, (2.0, 5.0), rtol=1e-5, max_steps=128))()

    def final(rate):
        return simulate(RungeKutta4(rate, oscillator), start, mesh, memory_mib=budgets[depth]).states[:, 0].sum()

    assert checkpoint_plan(start, mesh, budgets[depth], RungeKutta4(number(1.0), oscillator)).recomputed_parts == depth
    gradient, value = quick_jit(jax.grad(final))(number(1.0)), quick_jit(final)
    step = 1e-5
    difference = (value(number(1.0 + step)) - value(number(1.0 - step))) / (2 * step)
    np.testing.assert_allclose(gradient, difference, rtol=1e-8)
    np.testing.assert_allclose(gradient, jax.jvp(final, (number(1.0),), (number(1.0),))[1], rtol=1e-12)


def test_search_and_replay_in_one_differentiated_program():
    """How the steps move is left out; what is left is the derivative of the solution to the size of the tolerance."""
    exact = jax.grad(lambda rate: jnp.cos(20.0 * rate))(1.0)
    gradient = quick_jit(jax.grad(lambda rate: solve(rate, 1e-9, max_steps=512)[1].final[0]))(number(1.0))
    np.testing.assert_allclose(gradient, exact, rtol=1e-6)


@pytest.mark.slow
def test_every_member_of_a_batch_has_its_own_steps_and_its_own_status():
    """One runs out of steps; one meets a NaN; the others are unharmed."""
    rates = jnp.array([1.0, 3.0, 400.0, jnp.nan, 0.5])

    def member(rate):
        mesh, solution = solve(rate, 1e-6, max_steps=80, save=(2.0, 5.0))
        return mesh, solution

    meshes, together = quick_jit(jax.vmap(member))(rates)
    assert together.status.tolist() == [Status.SUCCESS, Status.SUCCESS, Status.STEP_LIMIT, Status.NOT_FINITE, Status.SUCCESS]
    alone = quick_jit(member)
    for i in (0, 1, 4):
        mesh, solution = alone(rates[i])
        np.testing.assert_allclose(together.states[i], solution.states, rtol=1e-13)
        np.testing.assert_array_equal(meshes.saved_groups[i], mesh.saved_groups)
    well = jnp.array([0, 1, 4])  # the one that ran out of steps uses all the room
    short = trimmed(jax.tree.map(lambda leaf: leaf[well], meshes))
    assert short.length.shape[1] < meshes.length.shape[1]
    again = quick_jit(jax.vmap(lambda rate, mesh: simulate(RungeKutta4(rate, oscillator), jnp.array([1.0, 0.0]), mesh)))(rates[well], short)
    np.testing.assert_allclose(again.states, together.states[well], rtol=1e-13)
    assert again.status.tolist() == [0, 0, 0]


def test_a_jump_that_is_not_marked_asks_for_steps_below_round_off_only_where_it_must():
    """A discontinuous rate is integrated with short steps; one that never repeats itself cannot be."""

    class Noisy(Flow):
        def solve(self, state, time, length):
            return state + jnp.where(length > 0, jnp.sin(1e9 * (time + length)), 0)

    flow = ExactFlow(Noisy())
    mesh = quick_jit(lambda: adaptive_mesh(flow, jnp.array([1.0]), 0.0, [1.0], rtol=1e-6))()
    assert int(mesh.status) in (Status.STEP_TOO_SMALL, Status.STEP_LIMIT)
    with pytest.raises(ArithmeticError, match="do: "):
        quick_jit(lambda mesh: simulate(flow, jnp.array([1.0]), mesh))(mesh).raise_for_status()


def test_observers_see_the_used_rows():
    stepper, state = RungeKutta4(number(1.0), oscillator), jnp.array([1.0, 0.0])
    mesh = quick_jit(lambda: adaptive_mesh(stepper, state, 0.0, (2.0, 5.0), rtol=1e-6, max_steps=200))()
    seen = quick_jit(lambda: simulate(stepper, state, mesh, observe=lambda time, u: jnp.stack([time, u[0]])))().observations
    seen = np.asarray(seen)[used(mesh)]
    np.testing.assert_allclose(seen[:, 0], np.asarray(mesh.times)[used(mesh)])
    np.testing.assert_allclose(seen[:, 1], np.cos(seen[:, 0]), atol=1e-4)


def test_float32_stays_float32_and_lowers_everywhere():
    with jax.enable_x64(False):
        state = jnp.array([1.0, 0.0])
        solved = quick_jit(lambda: solve(jnp.float32(1.0), 1e-4, max_steps=100, save=(2.0,)))()[1]
        assert solved.states.dtype == jnp.float32
        np.testing.assert_allclose(solved.states[0], [np.cos(2.0), -np.sin(2.0)], atol=1e-3)
        program = jax.jit(lambda rate, state: solve(rate, 1e-4, start=state, max_steps=64)[1].final)
        text = export.export(program, platforms=("cpu", "cuda", "tpu"))(jnp.float32(1.0), state).mlir_module()
        assert "f64" not in text


REFUSED = {
    "no tolerance": ({"rtol": 0.0, "atol": 0.0}, "got rtol 0.0 and atol 0.0"),
    "tolerance NaN": ({"rtol": float("nan")}, "got rtol nan"),
    "no step": ({"max_steps": 0}, "got max_steps 0"),
    "first step of zero": ({"first_step": 0.0}, "first_step 0.0"),
    "event NaN": ({"events": [float("nan")]}, "not finite"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_bad_input_is_refused_in_one_line(name):
    options, words = REFUSED[name]
    with pytest.raises(ValueError, match=words) as caught:
        adaptive_mesh(RungeKutta4(number(1.0), oscillator), jnp.array([1.0, 0.0]), 0.0, [1.0], **options)
    assert "\n" not in str(caught.value) and "; do: " in str(caught.value)
