"""Cells at rest, in limits that have closed forms, and where their formulas are 0/0 or change branch; biomarkers of known curves."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from physics import CELL_MODELS, MitchellSchaeffer, RectangularPulse, TenTusscher2006, action_potential
from solvers import simulate, time_mesh
from tests.problems import number, quick_jit

# Layers of the largest models differ in values only, but for the epicardial Ito.
LARGE = ("ohara_rudy", "tor_ord")
NAMES = [name for name in CELL_MODELS if not name.startswith(LARGE) or name.endswith("_epi")]


@pytest.mark.parametrize("name", NAMES)
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


def paced_beat(cell, state, stop, step=0.01):
    pulse = RectangularPulse(number(52.0), number(1.0))
    mesh = time_mesh(0.0, [stop], step, breakpoints=[1.0])
    solution = simulate(cell.paced(pulse), state, mesh, observe=lambda _, seen: cell.millivolts(seen))
    times = jnp.concatenate([jnp.zeros(1), mesh.times])
    return action_potential(times, jnp.concatenate([cell.millivolts(state)[None], solution.observations])), solution.final


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
