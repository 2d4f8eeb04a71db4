"""Neurons against closed forms: cables, branchings, thresholds of the squid's membrane, fields outside."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.special import erfc

from physics import (
    CurrentClamp,
    FieldStimulus,
    GenericOscillator,
    HodgkinHuxley1952,
    Neuron,
    PassiveMembrane,
    Pulses,
    Section,
    Sweeney1987,
    Synapses,
    arrival_times,
    cable_shape,
    field_thresholds,
    length_constant,
    neuron_shape,
    point_source_potential,
    ranvier_axon,
    weiss_fit,
)
from tests.neurons import (
    HALF_INFINITE_MOHM,
    ionic_current_by_hand,
    passive_cable,
    potentials,
    rates_by_hand,
    squid,
    squid_axon,
    squid_rest,
    steady_by_hand,
)
from tests.problems import number, quick_jit, slope

FOREVER = 1e9  # ms: one implicit step of it ends in the steady state


def steady(neuron):
    return quick_jit(lambda state: neuron.stepper("euler").advance(state, number(0.0), number(FOREVER))[0])(neuron.initial_state())


def held(site, nanoampere):
    return CurrentClamp(site, Pulses(nanoampere, 0.0, 1e12))


@pytest.mark.slow
def test_a_sealed_cable_decays_as_cosh_to_second_order():
    """V = I R_inf cosh(L - X)/sinh(L) for a current into one end, sealed at the other."""
    length, counts, errors = 1.5, (10, 20, 40, 80), []
    for n in counts:
        v = steady(passive_cable(n, length, (held(0, 0.1),)))
        x = (np.arange(n) + 0.5) * length / n
        exact = 0.1 * HALF_INFINITE_MOHM * np.cosh(length - x) / np.sinh(length)
        errors.append(np.abs(v - exact).max())
    assert slope([1 / n for n in counts], errors) == pytest.approx(2, abs=0.1)
    assert errors[-1] < 1e-3  # of 8.8 mV


@pytest.mark.slow
def test_a_current_into_a_half_infinite_cable():
    """The step response with two erfc; 20 length constants stand for no end. Space and time are refined together."""
    counts, errors, time = (80, 160, 320, 640), [], 20.0
    for n in counts:
        neuron = passive_cable(n, 8.0, (held(0, 0.1),))
        v = quick_jit(lambda neuron=neuron, n=n: potentials(neuron, [time], 40.0 / n)[0])()
        x = (np.arange(n) + 0.5) * 8.0 / n
        exact = 0.05 * HALF_INFINITE_MOHM * (np.exp(-x) * erfc(x / 2 - 1) - np.exp(x) * erfc(x / 2 + 1))
        errors.append(np.abs(v - exact).max())
    assert slope([1 / n for n in counts], errors) == pytest.approx(2, abs=0.2)
    assert errors[-1] < 2e-4


def rall_tree(compartments, offset):
    """Every branching keeps the sum of d^(3/2), every path the length in length constants."""
    points = lambda length: np.array([[0.0, 0, 0], [length, 0, 0]])  # noqa: E731
    shares = (0.3, 0.7)
    sections, diameters, ends = [], [], [(-1, 4.0)]
    for level in range(3):
        grown = []
        for parent, d in ends:
            for share in shares if level else (1.0,):
                child = d * share ** (2 / 3)
                sections.append(Section(points(400.0 * np.sqrt(child / 4.0)), np.full(2, child / 2), parent))
                diameters.append(child)
                grown.append((len(sections) - 1, child))
        ends = grown
    return neuron_shape(sections, [one.length / compartments + offset for one in sections])


def test_ralls_tree_is_a_cylinder():
    """The potential where the current goes in, and along every path, is that of the cylinder: to round-off, in every compartment."""
    tree = rall_tree(8, 1e-6)
    membrane, ohm_cm = PassiveMembrane(1.0, 0.05, 0.0), jnp.asarray(200.0)
    stimuli = (CurrentClamp(0, Pulses(0.1, 0.0, 5.0)),)
    branched = Neuron(tree, membrane, ohm_cm, stimuli)
    cylinder = Neuron(cable_shape(1200.0, 4.0, 24), membrane, ohm_cm, stimuli)
    whole = quick_jit(lambda: potentials(cylinder, [2.0, 5.0, 10.0], 0.5, "euler"))()
    parts = quick_jit(lambda: potentials(branched, [2.0, 5.0, 10.0], 0.5, "euler"))()
    with_membrane = np.flatnonzero(np.asarray(tree.area) > 0)
    depth = {}
    for i in with_membrane:
        parent = tree.tree.parents[i]
        while parent >= 0 and tree.area[parent] == 0:
            parent = tree.tree.parents[parent]
        depth[i] = 0 if parent < 0 else depth[parent] + 1
    assert tree.compartments == 8 * 7 + 3 and len(with_membrane) == 56
    for i in with_membrane:
        np.testing.assert_allclose(parts[:, i], whole[:, depth[i]], rtol=1e-12)


def test_charge_stays_in_sealed_cells():
    """Without a leak the charge that was put in is there, whatever the branches: sum of C V."""
    tree = rall_tree(3, 1e-6)
    membrane = PassiveMembrane(1.0, 0.0, 0.0)
    field = FieldStimulus(point_source_potential(tree.position, jnp.array([300.0, 50.0, 0.0])), Pulses(-0.2, 1.0, 1.0))
    neuron = Neuron(tree, membrane, jnp.asarray(150.0), (CurrentClamp(5, Pulses(0.02, 0.5, 2.0)), field))
    for method in ("symmetric", "euler"):
        v = quick_jit(lambda method=method: potentials(neuron, [1.3, 5.0], 0.05, method))()
        charge = 1e-5 * np.asarray(tree.area) @ np.asarray(v).T
        np.testing.assert_allclose(charge, [0.02 * 0.8, 0.02 * 2.0], rtol=1e-10)


def test_rates_where_they_are_zero_over_zero():
    """At -40 and -55 mV the rates are 1 and 0.1 per ms, their slopes half a tenth of that; close by they agree with the formula."""
    cell = squid(6.3)
    for site, row in ((-40.0, 0), (-55.0, 2)):
        value, change = jax.jvp(lambda v, row=row: cell.opening_and_closing(v)[0][row], (number(site),), (number(1.0),))
        assert float(value) == pytest.approx([1.0, 0, 0.1][row], rel=1e-15)
        assert float(change) == pytest.approx([0.05, 0, 0.005][row], rel=1e-12)
    v = np.concatenate([-40 + np.array([-1e-3, 1e-5, 2e-2]), -55 + np.array([-1e-3, 1e-5, 2e-2]), np.linspace(-120, 80, 41) + 0.123])
    ours = cell.opening_and_closing(jnp.asarray(v))
    for mine, theirs in zip(ours, rates_by_hand(v), strict=True):
        np.testing.assert_allclose(np.stack(mine), theirs, rtol=1e-9)


def test_it_rests_where_the_paper_does():
    assert float(squid(6.3).steady_current(number(squid_rest()))) == pytest.approx(0, abs=1e-10)
    assert squid_rest() == pytest.approx(-65, abs=0.005)
    assert float(squid(16.3).quickening()) == pytest.approx(3, rel=1e-14)


@quick_jit
def space_clamped_jacobian(membrane, state, current):
    return jax.jacfwd(lambda state: membrane.rates(state, current))(state)


def largest_growth(membrane, potential):
    """Largest real part of the eigenvalues of the Jacobian at the rest that holds a potential, 1/ms."""
    v = number(potential)
    state = jnp.concatenate([v[None], membrane.gates(v)[0]])
    return np.linalg.eigvals(np.asarray(space_clamped_jacobian(membrane, state, membrane.steady_current(v)))).real.max()


def largest_growth_by_hand(v):
    """The same by complex steps of the paper's formulas."""
    gates, current = steady_by_hand(v), ionic_current_by_hand(v, steady_by_hand(v))

    def rates(y):
        alpha, beta = rates_by_hand(y[0])
        return np.array([current - ionic_current_by_hand(y[0], y[1:]), *(alpha * (1 - y[1:]) - beta * y[1:])])

    state = np.array([v, *gates], complex)
    jacobian = np.array([rates(state + 1e-30j * unit).imag / 1e-30 for unit in np.eye(4)]).T
    return np.linalg.eigvals(jacobian).real.max()


@pytest.mark.slow
def test_where_the_space_clamped_squid_begins_and_ends_to_oscillate():
    """Both Hopf points, by the derivative of the model and by an independent program: 9.78 and 154.5 uA/cm^2."""
    cell = squid(6.3)
    for low, high, about in ((-61.0, -58.0, 9.78), (-45.0, -41.0, 154.5)):
        ours = brentq(lambda v: largest_growth(cell, v), low, high, xtol=1e-10)
        theirs = brentq(largest_growth_by_hand, low, high, xtol=1e-10)
        assert ours == pytest.approx(theirs, abs=1e-7)
        current = float(cell.steady_current(number(ours)))
        assert current == pytest.approx(float(ionic_current_by_hand(theirs, steady_by_hand(theirs))), abs=1e-6)
        assert current == pytest.approx(about, abs=0.05)


def test_where_fitzhugh_and_nagumo_begin_to_oscillate():
    """v = -+ sqrt(1 - b eps)."""
    model = GenericOscillator.fitzhugh_nagumo()
    b, eps = 0.8, 0.08

    def trace(v):
        state = jnp.array([v, (v + 0.7) / b])
        jacobian = jax.jacfwd(lambda s: model.rates(s, jnp.zeros(1)))(state)
        return float(jnp.trace(jacobian))

    for sign in (-1, 1):
        low, high = sorted((0.5 * sign, 1.5 * sign))
        assert brentq(trace, low, high, xtol=1e-12) == pytest.approx(sign * np.sqrt(1 - b * eps), abs=1e-6)
    rest = brentq(lambda v: v - v**3 / 3 - (v + 0.7) / b, -2, 0, xtol=1e-15)
    np.testing.assert_allclose(model.rates(jnp.array([rest, (rest + 0.7) / b]), jnp.zeros(1)), 0, atol=1e-13)


def test_a_uniform_potential_outside_does_nothing_and_a_gradient_polarises_the_ends():
    """In the field -E along a sealed passive cable V = E lambda sinh(x - L/2)/cosh(L/2), x and L in lambda (Rall's cable, 1 mm here)."""
    n, length, field = 160, 2.0, 0.01  # mV/um
    quiet = passive_cable(n, length)
    uniform = FieldStimulus(jnp.full(n, 7.0), Pulses(1.0, 0.0, 1e12))
    np.testing.assert_allclose(steady(eqx.tree_at(lambda one: one.stimuli, quiet, (uniform,))), 0, atol=1e-10)
    graded = FieldStimulus(-field * quiet.shape.position[:, 0], Pulses(1.0, 0.0, 1e12))
    x = (np.arange(n) + 0.5) * length / n
    exact = field * 1e3 * np.sinh(x - length / 2) / np.cosh(length / 2)
    np.testing.assert_allclose(steady(eqx.tree_at(lambda one: one.stimuli, quiet, (graded,))), exact, atol=1e-3)


def test_a_point_source():
    assert float(point_source_potential(jnp.array([1000.0, 0, 0]), jnp.zeros(3), 0.3)) == pytest.approx(1e3 / (4 * np.pi * 0.3), rel=1e-14)


def test_one_compartment_under_a_synapse_follows_its_exact_solution():
    """A patch with an exponential conductance: V is the variation of constants, integrated by quadrature."""
    area, leak, tau, onset, weight = 1000.0, 0.1, 3.0, 1.0, 2e-4
    shape = cable_shape([area / (np.pi * 10.0)], 10.0)
    for kernel in ("exponential", "alpha"):
        synapses = Synapses((0,), onset, weight, 0.0, tau, kernel)
        neuron = Neuron(shape, PassiveMembrane(1.0, leak, -65.0), jnp.asarray(100.0), (), (synapses,))
        found = float(quick_jit(lambda neuron=neuron: potentials(neuron, [8.0], 0.01))()[0, 0])
        s = np.linspace(0, 7.0, 200001)
        opened = weight / 1e-5 / area * (np.exp(-s / tau) if kernel == "exponential" else s / tau * np.exp(1 - s / tau))
        total = np.concatenate([[0], np.cumsum((leak + 0.5 * (opened[1:] + opened[:-1])) * np.diff(s))])
        exact = np.exp(-total[-1]) * (-65.0) + np.trapezoid(np.exp(total - total[-1]) * leak * -65.0, s)
        assert found == pytest.approx(exact, abs=2e-4)


def test_cones_are_integrated_exactly_and_the_rule_of_lambda():
    """A cone in one and in five compartments: lateral area and resistance end to end in closed form."""
    cone = Section(np.array([[0.0, 0, 0], [30.0, 40.0, 0]]), np.array([3.0, 1.0]))
    for cut in (100.0, 10.0):
        shape = neuron_shape([cone], cut)
        assert float(shape.area.sum()) == pytest.approx(np.pi * 4 * np.hypot(50, 2), rel=1e-13)
        assert float((shape.to_parent + shape.to_children).sum()) == pytest.approx(50 / (np.pi * 3), rel=1e-13)
    assert shape.compartments == 5 and float(shape.along[-1]) == pytest.approx(45)
    ball = neuron_shape([Section(np.zeros((1, 3)), np.array([10.0])), Section(np.array([[10.0, 0, 0], [60, 0, 0]]), np.ones(2), 0)], 25.0)
    assert float(ball.area[0]) == pytest.approx(400 * np.pi) and float(ball.along[1]) == pytest.approx(12.5)
    assert length_constant(1.0, 100.0) == pytest.approx(1e4 * 0.5 * np.sqrt(1e-4 / (np.pi * 100 * 100 * 1e-6)))


def test_published_values_are_those_of_the_paper():
    cell = HodgkinHuxley1952.published()
    values = (cell.sodium_conductance, cell.potassium_conductance, cell.leak_conductance, cell.leak_potential)
    assert [float(value) for value in values] == [120.0, 36.0, 0.3, -54.387]
    assert squid_axon(1.0, 2).initial_state().shape == (4, 2)


REFUSED = [
    (lambda: cable_shape(10.0, -1.0, 3), "got a diameter of -1 um"),
    (lambda: cable_shape(10.0, 1.0, 0), "expected at least one"),
    (lambda: neuron_shape([], 1.0), "got no sections"),
    (lambda: neuron_shape([Section(np.zeros((2, 3)), np.ones(2))], 1.0), "of no length"),
    (lambda: neuron_shape([Section(np.eye(2, 3), np.zeros(2))], 1.0), "got a radius of 0 um in section 0"),
    (lambda: neuron_shape([Section(np.eye(2, 3), np.ones(2))], 0.0), "expected one above 0 each"),
    (lambda: Pulses(1.0, 0.0, -1.0), "negative duration"),
    (lambda: Synapses((0, 1), jnp.zeros(3), 1.0), "expected one number per event"),
    (lambda: Synapses((0,), 0.0, 1.0, time_constant=0.0), "not positive"),
    (lambda: Synapses((0,), 0.0, 1.0, kernel="beta"), "exponential.*alpha"),
    (lambda: squid_axon(1.0, 2, stimuli=(held(2, 1.0),)).stepper(), "got site 2; expected 0 to 1"),
    (lambda: squid_axon(1.0, 2, stimuli=(FieldStimulus(jnp.zeros(3), Pulses(1.0, 0.0, 1.0)),)).stepper(), "got a field of 3 compartments"),
    (lambda: squid_axon(1.0, 2).recorder([2]), "got sites .2.; expected at least one"),
    (lambda: squid_axon(1.0, 2).stepper("cn"), "symmetric.*staggered.*euler"),
]


@pytest.mark.parametrize("number_of_case", range(len(REFUSED)))
def test_bad_input_is_one_line(number_of_case):
    make, words = REFUSED[number_of_case]
    with pytest.raises(Exception, match=words) as caught:
        make()
    if isinstance(caught.value, ValueError):
        assert "; do: " in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.slow
def test_thresholds_and_arrivals_of_what_is_known():
    """A passive fibre is linear: the threshold is the level over the answer to one milliampere. A sine rises through zero where it does."""
    n = 21
    neuron = passive_cable(n, 2.0)
    potential = point_source_potential(neuron.shape.position, jnp.array([1000.0, 500.0, 0.0]))
    one = eqx.tree_at(lambda one: one.stimuli, neuron, (FieldStimulus(potential, Pulses(-1.0, 0.0, 1.0)),))
    seen = quick_jit(lambda: potentials(one, list(np.linspace(0.05, 2.0, 40)), 0.05, "staggered"))()
    most = float(seen[:, n // 2].max())
    found = field_thresholds(neuron, potential[None], np.array([-1.0]), np.array([1.0]), n // 2, 2.0, 0.05, level=5.0)
    np.testing.assert_allclose(found, 5.0 / most, rtol=5e-4)
    rheobase, chronaxie = weiss_fit(np.array([0.1, 0.4, 1.0]), 2.0 * (1 + 0.3 / np.array([0.1, 0.4, 1.0])))
    assert (rheobase, chronaxie) == (pytest.approx(2.0), pytest.approx(0.3))
    times = np.arange(0, 4, 0.1)
    found = arrival_times(times, np.stack([np.sin(times - 1.03), np.cos(0 * times), -np.ones_like(times)], axis=1), 0.0)
    assert found[0] == pytest.approx(1.03, abs=2e-5) and np.isnan(found[1:]).all()


def test_nodes_of_ranvier_rest_and_scale():
    """Rest of Sweeney's node; a fibre twice as thick is the same fibre, twice as long: nothing else changes."""
    cell = Sweeney1987.published()
    assert brentq(lambda v: float(cell.steady_current(number(v))), -82, -79) == pytest.approx(float(cell.resting_potential()), abs=1e-3)
    thin, thick = (ranvier_axon(d, 12, (CurrentClamp(0, Pulses(0.2 * d, 0.0, 0.1)),)) for d in (10.0, 20.0))
    np.testing.assert_allclose(thick.shape.position, 2 * thin.shape.position, rtol=1e-14)
    one, two = (quick_jit(lambda axon=axon: potentials(axon, [0.1, 0.3], 0.01))() for axon in (thin, thick))
    assert float(one.max()) > 0
    np.testing.assert_allclose(one, two, rtol=0, atol=1e-8)
