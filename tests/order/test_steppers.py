"""Every stepper converges to an independent solution at the order that it claims: on masks, driven in time, parts that don't commute."""

import numpy as np
import pytest

from tests.problems import number, quick_jit, slope
from tests.stepper_table import STEPPERS, parameters, problem, reference


@pytest.mark.parametrize("name", STEPPERS)
def test_order(name):
    row = STEPPERS[name]
    stepper, start = row.stepper(parameters())
    exact = reference(row.kind)
    step = quick_jit(lambda *arguments: stepper.advance(*arguments))
    errors = []
    for count in row.counts:
        length = 1.0 / count
        assert stepper.stable(number(length))
        state = start
        for i in range(count):
            state = step(state, number(i * length), number(length))
        errors.append(np.abs(np.asarray(state) - exact).max())
    if stepper.order > 90:
        assert max(errors) < 1e-12
    else:
        assert errors[0] > 1e-9  # far from round-off
        assert slope([1 / count for count in row.counts], errors) == pytest.approx(stepper.order, abs=0.2)


@pytest.mark.parametrize("kind", ["growth", "cable"])
def test_parts_do_not_commute(kind):
    """The problems test splittings: diffusion of the reaction is not the reaction of the diffusion."""
    chosen = problem(kind, parameters())
    if kind == "cable":
        change = chosen.reaction.evaluate(chosen.start, number(0.0))[0]
        commutator = chosen.operator.apply(change)
        assert np.abs(commutator).max() > 0.1
    else:
        first = chosen.reaction.evaluate(chosen.operator.apply(chosen.start), number(0.0))
        second = chosen.operator.apply(chosen.reaction.evaluate(chosen.start, number(0.0)))
        assert np.abs(first - second).max() > 0.1
