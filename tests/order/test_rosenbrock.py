"""Rosenbrock methods converge at their order, at step ends and between them, also where the field depends on time."""

import jax.numpy as jnp
import numpy as np
import pytest

from solvers.stiff.linear_structure import Dense
from solvers.stiff.rosenbrock import RODAS3, RODAS4, RODAS5P, dense_coefficients, dense_value, rosenbrock_step
from solvers.stiff.rosenbrock_integrate import integrate_stiff
from tests.problems import number, quick_jit, slope
from tests.stiff_problems import smooth, smooth_solution

METHODS = (RODAS3, RODAS4, RODAS5P)
COUNTS = (40, 60, 90, 135)
SPAN = 2.0
PARTS = np.array([0.21, 0.5, 0.83])


@pytest.fixture(scope="module", params=METHODS, ids=lambda method: method.name)
def errors(request):
    """The largest error at step ends and between them, per number of equal steps."""
    method = request.param

    @quick_jit
    def step(time, length, state):
        after, _, stages = rosenbrock_step(method, Dense(), smooth, number(1.0), time, length, state)
        rows = dense_coefficients(method, smooth, number(1.0), time, length, state, after, stages)
        return after, jnp.stack([dense_value(rows, state, after, number(part)) for part in PARTS])

    ends, between = [], []
    for count in COUNTS:
        state, length, worst = jnp.asarray(smooth_solution(0.0)), SPAN / count, [0.0, 0.0]
        for index in range(count):
            state, inner = step(number(index * length), number(length), state)
            worst[0] = max(worst[0], np.abs(state - smooth_solution((index + 1) * length)).max())
            worst[1] = max(worst[1], np.abs(np.asarray(inner).T - smooth_solution((index + PARTS) * length)).max())
        ends.append(worst[0])
        between.append(worst[1])
    return method, ends, between


def test_order_at_step_ends(errors):
    method, ends, _ = errors
    assert slope([SPAN / n for n in COUNTS], ends) == pytest.approx(method.order, abs=0.2)


def test_order_between_steps(errors):
    """The error of the continuous extension within one step is of one power more than its own order."""
    method, _, between = errors
    expected = min(method.order, method.dense_order + 1)
    assert slope([SPAN / n for n in COUNTS], between) == pytest.approx(expected, abs=0.2)


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_a_stiff_component_lands_on_its_slow_solution_whatever_the_start(method):
    """One step of y' = s (cos t - y) with s = 1e9; and L-stable: one step of y' = -s y leaves nothing."""

    def field(time, state, drive):
        return 1e9 * (drive * jnp.cos(time) - state)

    run = quick_jit(
        lambda start, drive: integrate_stiff(field, start, 0.0, 0.1, drive, method=method, first_step=0.1, relative_tolerance=1e9).final
    )
    assert float(run(jnp.asarray([0.3]), number(1.0))[0]) == pytest.approx(np.cos(0.1), abs=2e-3)
    assert abs(float(run(jnp.asarray([1.0]), number(0.0))[0])) < 1e-6
