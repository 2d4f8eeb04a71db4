"""Cells at rest, in limits that have closed forms, and where their formulas are 0/0 or change branch; biomarkers of known curves."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from physics import CELL_MODELS, MitchellSchaeffer, RectangularPulse, TenTusscher2006, action_potential
from solvers import SimulationError, Status, simulate, time_mesh
from tests.problems import number, quick_jit

# Layers of the largest models differ in values only, but for the epicardial Ito.
LARGE = ("ohara_rudy", "tor_ord")
NAMES = [name for name in CELL_MODELS if not name.startswith(LARGE) or name.endswith("_epi")]
NAMES.remove("ten_tusscher_2006_mid")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.quick(5)
def test_every_cell_names_its_state_and_stays_at_rest(name):
    cell = CELL_MODELS[name]()
    state = cell.initial_state()
    assert len(cell.names) == len(cell.units) == len(set(cell.names)) == state.shape[0]
    assert cell.voltage_unit in ("mV", "1") and cell.time_unit == "ms"
    steady, speed = cell.gates(state)
    assert steady.shape == speed.shape and np.all(speed > 0)
    with pytest.raises(KeyError, match="expected a component"):
        cell.component(state, "potassium")
    np.testing.assert_array_equal(cell.component(state, "voltage"), state[0])
    final = quick_jit(lambda u: simulate(cell.stepper(), u, time_mesh(0.0, [50.0], 0.05)).final)(state)
    # The simple models start at their fixed point, the others where their authors do, which is near it.
    drift = 0.0 if len(cell.names) == 2 else 2.0
    assert abs(float(cell.millivolts(final) - cell.millivolts(state))) <= drift


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_many_cells_are_the_same_as_each_alone(name):
    cell = CELL_MODELS[name]()
    first = cell.initial_state()
    second = first.at[0].add(0.3 * (1 if len(cell.names) == 2 else 100))
    both = jnp.stack([first, second], axis=1)[:, :, None]
    step = quick_jit(lambda state: cell.paced(None).advance(state, number(0.0), number(0.02)))
    found = step(both)[:, :, 0]
    for column, one in enumerate((first, second)):
        np.testing.assert_allclose(found[:, column], step(one), rtol=1e-13)


@pytest.mark.parametrize("name", ["aliev_panfilov", "bueno_orovio_2008_epi", "ten_tusscher_2006_epi", "tor_ord_2019_epi"])
def test_states_of_cells_are_possible_and_a_wrong_gate_is_named(name):
    cell = CELL_MODELS[name]()
    examine = quick_jit(lambda state: cell.examine(state))
    state = np.stack([cell.initial_state()] * 3, axis=1)
    found = examine(state)
    found.raise_for_status()
    assert (found.status, found.cells) == (Status.SUCCESS, 0)
    number_of_gate = state.shape[0] - (3 if state.shape[0] > 4 else 1)
    wrong = state.copy()
    wrong[number_of_gate, 1] = 9.5
    found = examine(wrong)
    assert (found.status, found.component, found.cell, found.cells) == (Status.UNPHYSIOLOGICAL, number_of_gate, 1, 1)
    with pytest.raises(SimulationError, match=rf"gate {cell.names[number_of_gate]} is 9.5 in cell 1, where .* is possible; do: check"):
        found.raise_for_status()
    low, high = next(iter(cell.ranges))
    for value in (1.1 * low, 1.1 * high, np.nan):
        wrong = state.copy()
        wrong[0, 1:] = value
        with pytest.raises(SimulationError, match=f"the potential {cell.names[0]} is .*, one of 2 such cells"):
            examine(wrong).raise_for_status()


@pytest.mark.slow
def test_wrong_states_are_seen_in_a_batch_in_a_run_and_by_their_unit():
    cell = TenTusscher2006.published()
    rest = cell.initial_state()
    potassium = next(k for k, unit in enumerate(cell.units) if unit == "mmol/L" and rest[k] > 100)
    batch = np.stack([rest, rest])
    batch[1, potassium] *= 1000  # umol/L for mmol/L
    found = quick_jit(jax.vmap(lambda state: cell.examine(state)))(batch)
    np.testing.assert_array_equal(found.status, [Status.SUCCESS, Status.UNPHYSIOLOGICAL])
    with pytest.raises(SimulationError, match=f"concentration {cell.names[potassium]} is .* mmol/L in cell 0, where 0 to 1000 mmol/L"):
        found.raise_for_status()
    with pytest.raises(ValueError, match="traced"):
        jax.jit(lambda state: cell.examine(state).raise_for_status())(rest)
    # A kick of 600 A/F for 1 ms is gone when the run ends, but was seen on the way.
    pulse = RectangularPulse(number(600.0), number(1.0))
    mesh = time_mesh(0.0, [10.0], 0.02, breakpoints=[1.0])
    solution = quick_jit(lambda u: simulate(cell.paced(pulse), u, mesh, observe=lambda _, seen: cell.examine(seen)))(rest)
    solution.raise_for_status()
    assert cell.examine(solution.final).status == Status.SUCCESS
    with pytest.raises(SimulationError, match=f"potential {cell.names[0]}"):
        solution.observations.raise_for_status()


def paced_beat(cell, state, stop, step=0.01):
    pulse = RectangularPulse(number(52.0), number(1.0))
    mesh = time_mesh(0.0, [stop], step, breakpoints=[1.0])
    solution = simulate(cell.paced(pulse), state, mesh, observe=lambda _, seen: cell.millivolts(seen))
    times = jnp.concatenate([jnp.zeros(1), mesh.times])
    return action_potential(times, jnp.concatenate([cell.millivolts(state)[None], solution.observations])), solution.final


@pytest.mark.slow
def test_mitchell_schaeffer_approaches_its_closed_forms():
    """The error of the leading order falls with the ratio of fast to slow constants."""
    errors = []
    for fast in (0.4, 0.1, 0.025):
        cell = MitchellSchaeffer.published()
        values = [
            cell.inward_constant * fast,
            cell.outward_constant * fast,
            *[getattr(cell, n) for n in list(cell.__dataclass_fields__)[2:]],
        ]
        cell = MitchellSchaeffer(*values)
        np.testing.assert_allclose(cell.longest_duration(), 150 * np.log(5), rtol=1e-12)
        beat, _ = quick_jit(lambda state, cell=cell: paced_beat(cell, state, 500.0))(cell.initial_state())
        errors.append(abs(float(beat.duration / cell.longest_duration()) - 1))
    assert errors[0] > errors[1] > errors[2] and errors[2] < 0.02
    least = float(cell.smallest_gate())
    interval = 80.0
    # After an action potential h is at its smallest and recovers for the interval.
    recovered = jnp.asarray([0.0, 1 - (1 - least) * np.exp(-interval / 120)])
    beat, _ = quick_jit(lambda state: paced_beat(cell, state, 500.0))(recovered)
    assert float(beat.duration) == pytest.approx(float(cell.duration_after(number(interval))), rel=0.03)


@pytest.mark.slow
def test_the_calcium_current_is_smooth_where_its_formula_is_zero_by_zero():
    cell = TenTusscher2006.published()
    start = cell.initial_state().at[14].set(0.5)

    def current(v):
        return cell.currents(start.at[0].set(v))["ICaL"]

    value, slope = jax.vmap(jax.value_and_grad(current))(15.0 + jnp.asarray([-0.1, -1e-9, 0.0, 1e-9, 0.1]))
    assert np.isfinite(value).all() and np.isfinite(slope).all()
    np.testing.assert_allclose(value[1:4], (value[0] + value[4]) / 2, rtol=1e-4)
    np.testing.assert_allclose(value[1:4], value[2], rtol=1e-8)
    # On both sides of where the series takes over, to what is left of the digits.
    edge = 15 + 1e-3 * 96.485**-1 * 8.314 * 310 / 2
    np.testing.assert_allclose(current(number(edge * (1 - 1e-12))), current(number(edge * (1 + 1e-12))), rtol=1e-10)


FAR = [("ten_tusscher_2006_epi", "float64")]
FAR += [(name, "float32") for name in ("ten_tusscher_2006_epi", "ohara_rudy_2011_epi", "ohara_rudy_cipa_2017_endo", "tor_ord_2019_epi")]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "precision"), FAR)
def test_rates_and_their_gradients_are_finite_far_from_rest(name, precision):
    cell = jax.tree.map(lambda leaf: leaf.astype(precision), CELL_MODELS[name]())
    start = cell.initial_state()
    assert start.dtype == precision

    def total(v):
        return cell.rate(start.at[0].set(v), number(0.0), jnp.zeros((), precision)).sum()

    voltages = jnp.asarray([-150.0, -100.0, -40.0, 0.0, 15.0, 60.0, 120.0], precision)
    value, slope = quick_jit(jax.vmap(jax.value_and_grad(total)))(voltages)
    assert value.dtype == precision
    assert np.isfinite(value).all() and np.isfinite(slope).all()


def test_biomarkers_of_a_known_curve():
    """Second order between coarse samples: a logistic upstroke of 100 mV and an exponential end."""

    def curve(t):
        return -80 + 100 / (1 + np.exp(-(t - 3.03) / 0.5)) * np.where(t < 150, 1.0, np.exp(-(np.maximum(t, 150) - 150) / 40))

    times = np.concatenate([np.arange(0, 10, 0.05), np.arange(10, 500, 0.5)])
    found = quick_jit(action_potential)(jnp.asarray(times), jnp.asarray(curve(times)))
    # Largest slope of a logistic: amplitude / (4 width); the exponential ends after 40 ln 10.
    assert float(found.max_upstroke) == pytest.approx(50.0, rel=1e-3)
    assert float(found.upstroke_time) == pytest.approx(3.03, abs=1e-3)
    assert float(found.peak) == pytest.approx(20.0, abs=1e-6)
    level = 20 - 0.9 * (20 - curve(np.zeros(1))[0])
    assert float(found.repolarisation_time) == pytest.approx(150 - 40 * np.log((level + 80) / 100), abs=1e-4)
    assert float(found.duration) == pytest.approx(float(found.repolarisation_time - found.upstroke_time))


def test_a_beat_that_does_not_end_has_no_duration():
    times = jnp.linspace(0.0, 100.0, 201)
    found = action_potential(times, jnp.tanh(times - 5) * 50 - 30)
    assert not bool(found.repolarised) and np.isinf(found.duration)
