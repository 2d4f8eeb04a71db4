"""A closure of every kind as a term of equations of every field: it runs, is differentiable, adds nothing when it is nothing, warns."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from physics import BoundedClosure, ClosureTerm, NeuralMassWithClosure, WilsonCowan
from solvers import SimulationError, Status
from solvers.status import raise_for_status
from tests.closure_slots import KINDS, SLOTS, Scaled, closure_of, extrapolated, outcome, with_closure
from tests.problems import number, quick_jit

# One of every kind first, then one of every equation, then all others (slow).
FIRST = [
    ("tumour", "cosine"), ("cell", "perceptron"), ("dose", "sparse"), ("spreading", "graph"), ("disposition", "gaussian process"),
    ("androgen", "ensemble"), ("tissue", "analytic"), ("loop", "perceptron"), ("field", "deep"), ("masses", "graph"),
]  # fmt: skip
places = {"tumour": "image", "tissue": "image", "field": "image", "spreading": "graph", "masses": "graph"}
ALL = [(slot, kind) for slot in SLOTS for kind in KINDS[places.get(slot, "local")]]
PAIRS = FIRST + [pair for pair in ALL if pair not in FIRST]


@pytest.mark.quick(7)
@pytest.mark.parametrize(("name", "kind"), PAIRS)
def test_a_closure_of_any_kind_in_any_equation(name, kind):
    slot = SLOTS[name]()
    closure, state = closure_of(kind, slot), slot.state()
    arrays, rest = eqx.partition(closure, eqx.is_inexact_array)
    flat, unravel = ravel_pytree(arrays)
    free, weights = quick_jit(lambda: outcome(slot, slot.equation, state))(), jnp.cos(jnp.arange(state.size)).reshape(state.shape)

    def final(flat, factor):
        made = with_closure(slot, Scaled(eqx.combine(unravel(flat), rest), factor))
        return outcome(slot, made, state)

    ends = quick_jit(final)
    np.testing.assert_allclose(ends(flat, number(0.0)), free, rtol=1e-14, atol=1e-15 * float(jnp.abs(free).max()))
    after = ends(flat, number(1.0))
    assert jnp.isfinite(after).all()
    assert jnp.abs(after - free).max() > 1e-6 * jnp.abs(free).max()

    direction = jax.random.normal(jax.random.key(0), flat.shape) * jnp.abs(flat)
    slope = float(quick_jit(jax.grad(lambda flat: jnp.sum(weights * final(flat, number(1.0)))))(flat) @ direction)
    step = 1e-4
    low2, low, high, high2 = (float(jnp.sum(weights * ends(flat + s * step * direction, number(1.0)))) for s in (-2, -1, 1, 2))
    central = (low2 - 8 * low + 8 * high - high2) / (12 * step)
    scale = float(jnp.abs(weights * after).sum()) * 1e-15 / step
    np.testing.assert_allclose(slope, central, rtol=1e-6, atol=10 * scale)
    assert abs(slope) > 100 * scale


@pytest.mark.quick(4)
@pytest.mark.parametrize(("name", "kind"), [pair for pair in PAIRS if pair[0] != "masses"])
def test_a_state_that_leaves_the_training_range_is_a_status_of_the_run(name, kind):
    slot = SLOTS[name]()
    equation = with_closure(slot, closure_of(kind, slot))
    assert (extrapolated(slot, equation, slot.state()) == Status.SUCCESS).all()
    codes = extrapolated(slot, equation, slot.beyond * slot.state() + 0.5)
    assert codes.shape == (3,)
    assert codes[0] == Status.EXTRAPOLATED
    with pytest.raises(SimulationError, match="outside of the range that it was fitted on"):
        raise_for_status(codes)


def test_a_mass_says_where_its_closure_is_asked():
    slot = SLOTS["masses"]()
    mass = with_closure(slot, closure_of("graph", slot))
    assert isinstance(mass, NeuralMassWithClosure)
    time = number(0.0)
    assert int(mass.term.examine(time, slot.state())) == Status.SUCCESS
    assert int(mass.term.examine(time, 10 * slot.state())) == Status.EXTRAPOLATED
    assert isinstance(mass.mass, WilsonCowan)
    with pytest.raises(ValueError, match="got 'time'; expected a component"):
        ClosureTerm.of(mass.state_layout(), mass.term.closure, reads=("time",), adds_to=("excitatory_share",))


def test_bounds_hold_whatever_the_closure_says():
    slot = SLOTS["tumour"]()
    wild = Scaled(closure_of("perceptron", slot), number(1e6))
    bounded = BoundedClosure(wild, (0.0,), (0.01,))
    values = jnp.linspace(-5, 5, 101)[None]
    assert (bounded(values) >= 0).all()
    assert (bounded(values) <= 0.01).all()
    tame = BoundedClosure(Scaled(wild.closure, number(1e-6)), (-1.0,), (1.0,))
    np.testing.assert_allclose(tame(values), 1e-6 * wild.closure(values), rtol=1e-6)
    runs = (quick_jit(lambda one=one: outcome(slot, one, slot.state()))() for one in (with_closure(slot, bounded), slot.equation))
    grown = next(runs) - next(runs)
    assert (grown >= 0).all()
    np.testing.assert_array_equal(tame.examine(values), wild.closure.examine(values) * 0)
