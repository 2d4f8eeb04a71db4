"""What does not fit a slot is refused in one line, before anything is computed."""

import re

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from physics import (
    AnalyticClosure,
    BoundedClosure,
    Given,
    OHaraRudyCipa2017,
    RateEquation,
    Variable,
    WithClosure,
)
from physics.closed_loop import closed_loop_circuit, regazzoni_values
from solvers import VoxelGrid
from tests.closure_slots import SLOTS, closure_of, with_closure
from tests.problems import number
from twinsim.closures import GraphClosure, PerceptronClosure, load_closure, save_closure
from twinsim.errors import InputError

RATE = Variable("voltage_rate", "1/ms")
FORM = re.compile(r"^got .+; expected .+; do: .+$")


def refused(make, words):
    with pytest.raises(ValueError, match=words) as caught:
        make()
    assert FORM.match(str(caught.value)), str(caught.value)


def closure(inputs, outputs, law=lambda _, x: x[:1]):
    takes, gives = (tuple(Variable(*pair) for pair in pairs) for pairs in (inputs, outputs))
    return AnalyticClosure(law=law, parameters=None, inputs=takes, outputs=gives)


def cell_with(inputs=(("voltage", "1"),), outputs=(("voltage_rate", "1/ms"),), reads=("voltage",), adds_to=("voltage",), **more):
    return WithClosure.of(SLOTS["cell"]().equation, closure(inputs, outputs), reads=reads, adds_to=adds_to, **more)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"reads": ("voltag",)}, "got 'voltag'.*do: use 'voltage'"),
        ({"adds_to": ("hh",)}, "got 'hh'.*do: use 'h'"),
        ({"inputs": (("voltage", "mV"),)}, r"takes voltage \[mV\]; expected one that takes voltage \[1\]"),
        ({"outputs": (("voltage_rate", "1/s"),)}, r"gives voltage_rate \[1/s\]"),
        ({"outputs": (("voltage_rate", "1/ms"), ("h_rate", "1/ms"))}, "gives voltage_rate .*, h_rate"),
        ({"adds_to": (("voltage", "voltage"),)}, "expected two components of one unit"),
        ({"inputs": (), "reads": ()}, None),
        ({"as_image": True}, "as_image without a grid"),
        ({"inputs": (("dose", "mg"),), "reads": ("dose",)}, "got 'dose'"),
        ({"given": (Given(Variable("h", "1"), 1.0),)}, "got h twice"),
    ],
)
def test_names_units_and_counts(options, words):
    if words is None:
        cell_with(**options)  # a closure that reads nothing is a source
    else:
        refused(lambda: cell_with(**options), words)


def test_weights_shapes_and_kinds():
    slot = SLOTS["tumour"]()
    grid, good = slot.keywords["grid"], closure_of("perceptron", slot)
    broken = jax.tree.map(lambda leaf: leaf * jnp.nan if eqx.is_inexact_array(leaf) else leaf, good)
    refused(lambda: with_closure(slot, broken), "a weight that is not finite")
    make = lambda **more: WithClosure.of(slot.equation, good, reads=slot.reads, adds_to=slot.adds_to, **more)  # noqa: E731
    refused(make, r"got no grid; expected the voxels of the equation, \(6, 5, 1\)")
    refused(lambda: make(grid=VoxelGrid(np.ones((5, 6, 1), bool), 1.0)), r"a grid of \(5, 6, 1\)")
    refused(lambda: make(grid=grid, through=slot.equation.diffusion), "gives density_rate")
    refused(lambda: make(grid=grid, relative=True), "gives density_rate")
    refused(lambda: make(grid=grid, relative=True, through=slot.equation.diffusion), "relative rates through an operator")
    for low, high in (((0.0,), (0.0,)), ((0.0, 1.0), (1.0, 2.0)), ((0.0,), (np.inf,))):
        refused(lambda low=low, high=high: BoundedClosure(good, low, high), "finite pairs")


def test_what_is_seen_only_with_a_state_is_refused_when_it_is_traced():
    two = lambda _, x: jnp.concatenate([x, x])  # noqa: E731
    loud = WithClosure.of(
        SLOTS["cell"]().equation, closure((("voltage", "1"),), (("voltage_rate", "1/ms"),), two), reads=("voltage",), adds_to=("voltage",)
    )
    state = SLOTS["cell"]().state()
    refused(lambda: eqx.filter_eval_shape(loud.term.evaluate, state, number(0.0)), "a closure that gives an array of shape")
    refused(lambda: eqx.filter_eval_shape(loud.term.evaluate, state[:1], number(0.0)), "expected 2 components")
    given = (Given(Variable("drug", "mg/L"), jnp.ones(7)),)
    drugged = cell_with(inputs=(("drug", "mg/L"),), reads=("drug",), given=given)
    refused(lambda: eqx.filter_eval_shape(drugged.term.evaluate, state, number(0.0)), "got drug of shape")
    graph = SLOTS["spreading"]()
    made = with_closure(graph, closure_of("graph", graph))
    refused(lambda: made.term.evaluate(jnp.ones(5), number(0.0)), "5 places for a graph of 6 regions")


def test_equations_whose_unknowns_obey_constraints_say_so():
    circuit = closed_loop_circuit(regazzoni_values())
    refused(lambda: WithClosure.of(circuit, closure((), ()), reads=(), adds_to=()), "which doesn't name its components")
    loop = SLOTS["loop"]()
    flow = closure((), (("aortic_rate", "mL/s/s"),))
    refused(lambda: WithClosure.of(loop.equation, flow, reads=(), adds_to=("aortic",)).stepper(), "the flow aortic")
    refused(lambda: RateEquation(lambda p, u, t: u, None, (), "h"), "0 variables")


def test_a_checkpoint_of_another_kind_does_not_fit(tmp_path):
    slot = SLOTS["spreading"]()
    graph, plain = closure_of("graph", slot), closure_of("perceptron", SLOTS["tumour"]())
    save_closure(tmp_path / "graph", graph, {})
    again = load_closure(tmp_path / "graph")
    assert isinstance(again, GraphClosure)
    values = slot.state()[None]
    np.testing.assert_array_equal(again(values), graph(values))
    np.testing.assert_array_equal(again.examine(10 * values), graph.examine(10 * values))
    save_closure(tmp_path / "perceptron", plain, {})
    other = load_closure(tmp_path / "perceptron")
    assert isinstance(other, PerceptronClosure)
    refused(lambda: with_closure(slot, other), r"takes density \[1\]; expected one that takes load")
    with pytest.raises(InputError, match="a square matrix"):
        GraphClosure.create(0, graph.inputs, graph.outputs, np.zeros((3, 3)))


def test_a_term_on_channel_states_is_refused():
    cell = OHaraRudyCipa2017.published()
    name = cell.names[-cell.gates(cell.initial_state())[0].shape[0] - 1]
    unit = cell.units[cell.names.index(name)]
    law = closure((), ((f"{name}_rate", f"{unit}/ms"),), lambda _, x: jnp.zeros((1, *x.shape[1:])))
    equation = WithClosure.of(cell, law, reads=(), adds_to=(name,))
    refused(lambda: equation.stepper().advance(cell.initial_state(), number(0.0), number(0.01)), "no channel states")


def test_numbers_that_are_none_are_refused_wherever_they_stand():
    plain = AnalyticClosure(law=lambda p, x: p * x, parameters=float("nan"), inputs=(Variable("voltage", "1"),), outputs=(RATE,))
    refused(lambda: WithClosure.of(SLOTS["cell"]().equation, plain, reads=("voltage",), adds_to=("voltage",)), "not finite")
    slot = SLOTS["tumour"]()
    grid, law = slot.keywords["grid"], closure((("oxygen", "mmHg"),), (("density_rate", "1/day"),))

    def with_oxygen(value):
        given = (Given(Variable("oxygen", "mmHg"), value),)
        return WithClosure.of(slot.equation, law, reads=("oxygen",), adds_to=("density",), given=given, grid=grid)

    refused(lambda: with_oxygen(float("nan")), "oxygen that is not finite inside of the mask")
    refused(lambda: with_oxygen(jnp.full(grid.size, jnp.nan)), "mask it out")
    outside = with_oxygen(jnp.where(grid.mask.reshape(-1), 1.0, jnp.nan))  # what no tissue reads may be missing
    assert jnp.isfinite(outside.term.evaluate(slot.state(), number(0.0))).all()
    refused(lambda: outside.term.evaluate(slot.state()[:-1], number(0.0)), "30 cells along the last axis")


@pytest.mark.parametrize("bounded", [False, True])
def test_an_operator_is_not_shown_a_list_of_cells(bounded):
    """It would take the list for an image of one axis, and give numbers that look right."""
    slot = SLOTS["tumour"]()
    law = closure_of("cosine", slot)
    law = BoundedClosure(law, (-1.0,), (1.0,)) if bounded else law
    refused(lambda: WithClosure.of(slot.equation, law, reads=slot.reads, adds_to=slot.adds_to, grid=slot.keywords["grid"]), "as_image=True")
