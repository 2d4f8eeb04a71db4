"""The reduced ventricular cell beside a transcription, closed forms, LSODA, its order and its gradient; what it refuses."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from physics import AnalyticClosure, ReducedVentricular, action_potential, two_slow_currents
from physics.cell_model import RectangularPulse
from solvers import simulate, time_mesh
from solvers.elementary import rational_tanh
from tests.problems import number, quick_jit, slope
from twinsim.closures import PerceptronClosure, written_out
from twinsim.errors import InputError

CELL = ReducedVentricular.with_law(two_slow_currents(), 0.7, 0.8)


def transcribed(cell, u, stimulus=0.0):
    """The equations of the docstring in NumPy."""

    def phi(v, centre, width):
        x = np.clip((v - centre) / width, -3, 3)
        return 0.5 + 0.5 * x * (27 + x**2) / (27 + 9 * x**2)

    p = {name: float(getattr(cell, name)) for name in cell.__dataclass_fields__ if name != "slow_current"}
    law = {name: float(value) for name, value in cell.slow_current.parameters.items()}
    v, w, z, q = u
    sodium = p["sodium_conductance"] * phi(v, p["activation_centre"], p["activation_width"]) ** 3 * q * (v - p["sodium_reversal"])
    rectifier = p["rectifier_conductance"] * phi(-v, -p["rectifier_centre"], p["rectifier_width"]) * (v - p["rectifier_reversal"])
    inward = law["inward_conductance"] * p["open_calcium"] * w * phi(v, law["inward_centre"], law["inward_width"])
    outward = law["outward_conductance"] * (1 - law["rapid_part"] + law["rapid_part"] * p["open_rapid_potassium"])
    outward = outward * phi(v, law["outward_centre"], law["outward_width"])
    slow = inward * (v - law["inward_reversal"]) + outward * (v - law["outward_reversal"])
    s = phi(v, p["depolarised_centre"], p["depolarised_width"])
    steady = phi(-v, -p["inactivation_centre"], p["inactivation_width"]) ** 2
    fast = phi(v, p["inactivation_rate_centre"], p["inactivation_rate_width"])
    return np.array(
        [
            stimulus - sodium - rectifier - slow,
            (1 - s - w) * (p["rest_rate"] + (p["plateau_rate"] - p["rest_rate"]) * s),
            (s - z) * p["memory_rate"],
            (steady - q) * (p["recovery_rate"] * steady**2 + p["inactivation_rate"] * fast),
        ]
    )


def test_rates_beside_a_transcription():
    generator = np.random.default_rng(0)
    states = np.stack([generator.uniform(-95, 45, 40), *generator.uniform(0, 1, (3, 40))])
    found = np.asarray(CELL.rate(jnp.asarray(states), number(0.0), jnp.asarray(3.0)))
    wanted = np.stack([transcribed(CELL, state, 3.0) for state in states.T], axis=1)
    np.testing.assert_allclose(found, wanted, rtol=1e-10, atol=1e-12)


@pytest.mark.slow
def test_an_action_potential_beside_lsoda():
    """What is left at the usual step is the error of the step: it falls by its square."""
    start, pulse = CELL.initial_state(), RectangularPulse(number(52.0), number(1.0))
    state = np.asarray(start)
    for span, current in (((0, 1), 52.0), ((1, 480), 0.0)):
        exact = solve_ivp(lambda _, u, c=current: transcribed(CELL, u, c), span, state, method="LSODA", rtol=1e-9, atol=1e-11)
        state = exact.y[:, -1]
    errors = []
    for longest in (0.05, 0.025):
        solution = quick_jit(lambda s, m: simulate(CELL.paced(pulse), s, m))(start, time_mesh(0.0, [480.0], longest, breakpoints=[1.0]))
        assert solution.status == 0
        errors.append(float(np.max(np.abs(np.asarray(solution.final) - state))))
    assert errors[1] < 3e-3 and errors[1] < errors[0] / 3


def test_order():
    """From the notch on, where the corners of the sigmoids are not crossed."""
    start = np.array([15.0, 0.9, 0.4, 0.0])
    exact = solve_ivp(lambda _, u: transcribed(CELL, u), (0, 10), start, method="LSODA", rtol=1e-12, atol=1e-14).y[:, -1]
    counts = (20, 40, 80, 160)
    for accuracy in (1, 2):
        stepper, errors = CELL.paced(None, accuracy), []
        for count in counts:
            length = number(10 / count)
            whole = quick_jit(lambda u, c=count, h=length, s=stepper: jax.lax.fori_loop(0, c, lambda i, x: s.advance(x, i * h, h), u))
            errors.append(float(np.max(np.abs(np.asarray(whole(jnp.asarray(start))) - exact))))
        assert errors[0] > 1e-8
        assert slope([10 / count for count in counts], errors) == pytest.approx(accuracy, abs=0.2), errors


@pytest.mark.slow
def test_gradient_of_the_duration_in_channels_and_blocks():
    mesh = time_mesh(0.0, [480.0], 0.1, breakpoints=[1.0])
    times = jnp.concatenate([jnp.zeros(1), mesh.times])

    def duration(factors):
        parts = lambda c: (c.slow_current.parameters["inward_conductance"], c.plateau_rate, c.open_rapid_potassium)  # noqa: E731
        cell = eqx.tree_at(parts, CELL, tuple(part * factors[i] for i, part in enumerate(parts(CELL))))
        start = cell.initial_state()
        stepper = cell.paced(RectangularPulse(number(52.0), number(1.0)))
        seen = simulate(stepper, start, mesh, observe=lambda _, state: state[0]).observations
        return action_potential(times, jnp.concatenate([start[:1], seen])).duration

    value = quick_jit(duration)
    reverse = np.asarray(quick_jit(jax.grad(duration))(jnp.ones(3)))
    assert np.isfinite(value(jnp.ones(3))) and (np.abs(reverse) > 1).all()
    step = 1e-5
    for i, own in enumerate(reverse):
        shift = step * jnp.eye(3)[i]
        central = (value(jnp.ones(3) + shift) - value(jnp.ones(3) - shift)) / (2 * step)
        assert own == pytest.approx(float(central), rel=1e-6)


@pytest.mark.slow
def test_bounded_whatever_the_network_says():
    """w, z and q stay between 0 and 1, and a bounded current cannot carry the potential away."""
    wild = PerceptronClosure.create(3, CELL.slow_current.inputs, CELL.slow_current.outputs, hidden=(6,), activation="rational_tanh")
    wild = eqx.tree_at(lambda c: c.network.weights[-1], wild, wild.network.weights[-1] * 100)
    cell = ReducedVentricular.with_law(written_out(wild))
    generator = np.random.default_rng(1)
    start = jnp.asarray(np.stack([generator.uniform(-90, 40, 30), *generator.uniform(0, 1, (3, 30))]))
    final = simulate(cell.paced(None), start, time_mesh(0.0, [500.0], 0.05)).states[-1]
    assert (np.abs(np.asarray(final[0])) < 2000).all() and np.isfinite(np.asarray(final)).all()
    assert (np.asarray(final[1:]) > -1e-3).all() and (np.asarray(final[1:]) < 1 + 1e-3).all()


@pytest.mark.slow
def test_a_network_written_out_is_the_same_function():
    generator = np.random.default_rng(2)
    samples = jnp.asarray(generator.normal(size=(5, 50)) * 30), jnp.asarray(generator.normal(size=(1, 50)))
    network = PerceptronClosure.create(0, CELL.slow_current.inputs, CELL.slow_current.outputs, samples=samples, hidden=(7, 4))
    np.testing.assert_allclose(written_out(network)(samples[0]), network(samples[0]), rtol=1e-11, atol=1e-12)
    positive = PerceptronClosure.create(0, network.inputs, network.outputs, positive=(True,))
    with pytest.raises(InputError, match="free"):
        written_out(positive)


def test_the_rational_tanh_is_one_from_three_on_and_smooth_there():
    x = jnp.linspace(-5, 5, 1001)
    value, slopes = rational_tanh(x), jax.vmap(jax.grad(rational_tanh))(x)
    assert float(jnp.max(jnp.abs(value - jnp.tanh(x)))) < 0.024
    np.testing.assert_allclose(np.asarray(value[x >= 3]), 1.0, rtol=1e-15)
    assert float(jnp.max(jnp.abs(jnp.diff(slopes)))) < 0.02 and float(slopes.min()) >= 0


@pytest.mark.parametrize("share", [0.0, 0.01, 1.2, np.nan])
def test_impossible_shares_are_refused(share):
    with pytest.raises(ValueError, match=r"open_calcium of .*0.05 to 1.*do: ") as caught:
        CELL.blocked(1.0, share)
    assert "\n" not in str(caught.value)


def test_a_closure_of_other_variables_is_refused():
    law = two_slow_currents()
    with pytest.raises(ValueError, match="membrane_potential"):
        ReducedVentricular.with_law(AnalyticClosure(law=law.law, parameters=law.parameters, inputs=law.inputs[::-1], outputs=law.outputs))
