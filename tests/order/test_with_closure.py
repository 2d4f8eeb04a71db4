"""An equation keeps its order when a closure is added to it, whichever way its stepper takes the term; against SciPy's integrators."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from physics import AnalyticClosure, ClosureTerm, Given, TenTusscher2006, Variable, WithClosure, with_term
from physics.compartments import compartments
from solvers import Diffusion, RushLarsen, Strang
from tests.closure_slots import SLOTS, closure_of, with_closure
from tests.problems import number, quick_jit, slope
from twinsim.closures import unroll


def errors_of(stepper_of, start_of, span, counts, exact, rows=slice(None)):
    found = []
    for count in counts:
        length = span / count
        last = quick_jit(lambda state, count=count, length=length: unroll(stepper_of(length), state, length, count)[-1])(start_of(length))
        found.append(float(jnp.abs(last[rows] - exact[rows]).max()))
    return [span / count for count in counts], found


def solved(rate, state, span):
    """By SciPy."""
    shape, compiled = state.shape, jax.jit(rate)
    right = lambda time, flat: np.asarray(compiled(jnp.asarray(flat).reshape(shape), number(time))).ravel()  # noqa: E731
    found = solve_ivp(right, (0, span), np.asarray(state).ravel(), method="LSODA", rtol=1e-11, atol=1e-13)
    return jnp.asarray(found.y[:, -1]).reshape(shape)


def after(equation, state, length, steps):
    """The last state of some steps."""
    return quick_jit(lambda state: unroll(equation.stepper(), state, length, steps)[-1])(state)


def test_a_tumour_keeps_order_two():
    slot = SLOTS["tumour"]()
    equation = with_closure(slot, closure_of("perceptron", slot))
    plain: Diffusion = slot.equation.diffusion
    rate = lambda u, t: plain.apply(u) + slot.equation.proliferation * u * (1 - u) + equation.term.evaluate(u, t)  # noqa: E731
    assert isinstance(equation.stepper(), Strang)
    exact = solved(rate, slot.state(), 8.0)
    widths, errors = errors_of(lambda _: equation.stepper(), lambda _: slot.state(), 8.0, (8, 16, 32, 64), exact)
    assert slope(widths, errors) == pytest.approx(2, abs=0.2), errors
    assert equation.stepper().order == 2


def test_a_drug_keeps_order_four():
    slot = SLOTS["disposition"]()
    equation = with_closure(slot, closure_of("gaussian process", slot))
    exact = solved(lambda u, t: slot.equation.rate(u) + equation.term.evaluate(u, t), slot.state(), 1.0)
    # The time is shown to the closure: unrolled windows begin at zero and do not tell it.
    stepper = equation.stepper()

    def whole(state, count):
        length = number(1.0 / count)
        return jax.lax.fori_loop(0, count, lambda k, u: stepper.advance(u, k * length, length), state)

    counts = (4, 8, 16, 32)
    errors = [float(jnp.abs(quick_jit(whole, static_argnums=1)(slot.state(), count) - exact).max()) for count in counts]
    assert slope([1 / count for count in counts], errors) == pytest.approx(4, abs=0.2), errors
    assert stepper.order == 4


@pytest.mark.slow
def test_a_ventricular_cell_with_a_closure_on_current_and_gate_keeps_order_two():
    cell = TenTusscher2006.published()
    inputs = (Variable("voltage", "mV"), Variable("gain", "1"))
    gate = cell.names[-1]
    outputs = (Variable("voltage_rate", "mV/ms"), Variable(f"{gate}_rate", "1/ms"))
    both = lambda p, x: x[1] * jnp.stack([one * jnp.sin(x[0] / 20) for one in p])  # noqa: E731
    law = AnalyticClosure(law=both, parameters=(number(0.2), number(0.004)), inputs=inputs, outputs=outputs)
    given = (Given(Variable("gain", "1"), number(0.5)),)
    equation = WithClosure.of(cell, law, reads=("voltage", "gain"), adds_to=("voltage", gate), given=given)
    rate = lambda u, t: cell.rate(u, t, number(0.0)) + equation.term.evaluate(u, t)  # noqa: E731
    start = solved(lambda u, t: cell.rate(u, t, number(52.0)), cell.initial_state(), 1.0)
    start = solved(lambda u, t: cell.rate(u, t, number(0.0)), start, 30.0)
    exact = solved(rate, start, 10.0)
    assert isinstance(equation.stepper(), RushLarsen)
    widths, errors = errors_of(lambda _: equation.stepper(), lambda _: start, 10.0, (80, 160, 320, 640), exact)
    assert slope(widths, errors) == pytest.approx(2, abs=0.2), errors
    first = with_term(cell.paced(None, 1), equation.term)
    widths, errors = errors_of(lambda _: first, lambda _: start, 10.0, (80, 160, 320, 640), exact)
    assert slope(widths, errors) == pytest.approx(1, abs=0.2), errors


def test_a_closed_loop_keeps_order_two_where_a_split_step_has_order_one():
    loop = compartments(
        ("a", "b"), (("there", "a", "b", False), ("back", "b", "a", False)), [[0.5, 1.0], [5.0, 10.0]],
        [[1.0], [0.0], [0.4], [0.4]], [[0.1, 0.2], [0.05, 0.03]],
    )  # fmt: skip
    volumes, flows = jnp.array([60.0, 40.0]), jnp.array([20.0, 5.0])

    def law(parameters, x):
        return parameters * (jnp.sin(x[:1] / 9) + x[1:] / 50)

    inputs, outputs = (Variable("a", "mL"), Variable("there", "mL/s")), (Variable("a_to_b_rate", "mL/s"),)
    closure = AnalyticClosure(law=law, parameters=number(60.0), inputs=inputs, outputs=outputs)
    equation = WithClosure.of(loop, closure, reads=("a", "there"), adds_to=(("a", "b"),))

    def slopes(state, time):
        pressure = loop.pressures(state, time, number(1.0))
        drop = jnp.stack([pressure[0] - pressure[1], pressure[1] - pressure[0]])
        flow = state[2:]
        net = jnp.stack([flow[1] - flow[0], flow[0] - flow[1]])
        return jnp.concatenate([net, (drop - loop.branches[0] * flow) / loop.branches[1]]) + equation.term.evaluate(state, time)

    start = jnp.concatenate([volumes, flows])
    before = lambda length: start.at[2:].add(-length / 2 * slopes(start, number(0.0))[2:])  # noqa: E731  flows stand half a step back
    exact = solved(slopes, start, 0.3)

    def whole(stepper, count):
        length = number(0.3 / count)
        return jax.lax.fori_loop(0, count, lambda k, u: stepper.advance(u, k * length, length), before(length))

    split = Strang(with_term(SLOTS["dose"]().equation.stepper(), equation.term), loop.stepper())
    split = Strang(type(split.half)(equation.term, split.half.table), split.full)
    counts = (75, 150, 300, 600)
    for stepper, order in ((equation.stepper(), 2), (split, 1)):
        errors = [float(jnp.abs(quick_jit(whole, static_argnums=1)(stepper, count)[:2] - exact[:2]).max()) for count in counts]
        assert slope([0.3 / count for count in counts], errors) == pytest.approx(order, abs=0.2), errors


def test_an_exchange_and_a_flux_keep_sums_and_the_mask():
    slot = SLOTS["loop"]()
    equation = with_closure(slot, closure_of("perceptron", slot))
    last = after(equation, slot.state(), 0.004, 50)
    count = len(slot.equation.names)
    np.testing.assert_allclose(last[:count].sum(), slot.state()[:count].sum(), rtol=1e-13)

    tumour = SLOTS["tumour"]()
    layout, grid = tumour.equation.state_layout(), tumour.keywords["grid"]
    rough = AnalyticClosure(
        law=lambda p, x: p * jnp.sin(9 * x), parameters=number(0.7), inputs=layout.variables, outputs=(Variable("density_potential", "1"),)
    )
    term = ClosureTerm.of(layout, rough, reads=("density",), adds_to=("density",), grid=grid, through=tumour.equation.diffusion)
    inactive = ~np.asarray(grid.mask).ravel()
    rate = term.evaluate(tumour.state(), number(0.0))
    assert float(jnp.abs(rate).max()) > 1e-3
    assert abs(float(rate.sum())) < 1e-15
    assert not np.asarray(rate)[inactive].any()
    creating = AnalyticClosure(
        law=lambda p, x: p + 0 * x, parameters=number(0.7), inputs=layout.variables, outputs=(layout.rate_variable("density"),)
    )
    fed = WithClosure.of(tumour.equation, creating, reads=("density",), adds_to=("density",), grid=grid)
    grown = after(fed, tumour.state(), 1.0, 5)
    assert not np.asarray(grown)[inactive].any()
    relative = AnalyticClosure(
        law=lambda p, x: p + 0 * x, parameters=number(-0.5), inputs=layout.variables, outputs=(layout.rate_variable("density", True),)
    )
    dying = WithClosure.of(tumour.equation, relative, reads=("density",), adds_to=("density",), grid=grid, relative=True)
    assert (np.asarray(after(dying, tumour.state(), 1.0, 30)) >= 0).all()
    assert not np.asarray(after(dying, jnp.zeros_like(tumour.state()), 1.0, 30)).any()


def test_what_is_given_may_be_anything_outside_of_the_mask():
    slot = SLOTS["tumour"]()
    grid = slot.keywords["grid"]
    oxygen = jnp.where(grid.mask, 2.0, jnp.nan).reshape(-1)
    variables = (Variable("density", "1"), Variable("oxygen", "mmHg"))
    law = lambda p, x: p * jnp.log(x[1:] + x[:1])  # noqa: E731

    def final(parameter):
        closure = AnalyticClosure(law=law, parameters=parameter, inputs=variables, outputs=(Variable("density_rate", "1/day"),))
        equation = WithClosure.of(
            slot.equation, closure, reads=("density", "oxygen"), adds_to=("density",), grid=grid, given=(Given(variables[1], oxygen),)
        )  # fmt: skip
        return unroll(equation.stepper(), slot.state(), 0.5, 2)[-1].sum()

    value, slope_of = quick_jit(jax.value_and_grad(final))(number(0.02))
    assert jnp.isfinite(value)
    assert jnp.isfinite(slope_of)
