"""Circuits against closed forms: step responses, impedances, losses, conservation."""

import jax.numpy as jnp
import numpy as np
import pytest

from physics import Block, assemble, constant, fourier, periodic_run, run_cycles
from physics.circuit_blocks import cosine_activation
from physics.closed_loop import closed_loop, filled, periodic_beat, regazzoni_values
from physics.compartments import _hump
from tests.circuits import PERIOD, branched, loop_of_two, loop_start, relative, windkessel
from tests.problems import quick_jit


def test_step_of_a_windkessel():
    circuit = windkessel(constant(90.0))
    first = circuit.start({"inner_pressure:bed": 5.0, "pressure:heart:bed": 9.5, "flow:heart:bed": 90.0})
    rates = circuit.start({"inner_pressure:bed": 90.0 / 1.4, "pressure:heart:bed": 90.0 / 1.4})
    memory = circuit.stepper().start(first, rates)
    run = quick_jit(lambda c: run_cycles(c, memory, 600, period=6.0))(circuit)
    run.raise_for_status()
    inner = run.states[:, circuit.index("inner_pressure:bed")]
    exact = 5.0 + 90.0 * (1 - np.exp(-np.asarray(run.times) / 1.4))
    assert relative(inner, exact) < 1e-5  # (h / RC)^2 / 12 is 4e-6
    np.testing.assert_allclose(run.states[1:, circuit.index("pressure:heart:bed")], inner[1:] + 0.05 * 90.0, rtol=1e-12)


@pytest.mark.parametrize("harmonic", [1, 3])
@pytest.mark.quick(1)
def test_impedance_of_a_windkessel_and_of_a_vessel(harmonic):
    r"""$Z = R_p + R_d/(1+i\omega R_dC)$ behind $R + i\omega L$ of a vessel whose compliance stands after its resistance."""
    cosines = [0.0] * (harmonic - 1) + [1.0]
    wave = fourier(0.0, cosines, [0.0] * harmonic, PERIOD, 4001)
    blocks = [
        Block("heart", "flow_source", {}, {"flow": wave}),
        Block("vessel", "vessel", {"resistance": 0.1, "compliance": 0.2, "inertance": 5e-3}),
        Block("bed", "windkessel", {"proximal_resistance": 0.05, "compliance": 1.4, "distal_resistance": 1.0}, {"distal_pressure": 0.0}),
    ]
    circuit = assemble(blocks, [("heart", "vessel"), ("vessel", "bed")], PERIOD)
    run = quick_jit(lambda c: periodic_run(c, c.start(), 1000, period=PERIOD))(circuit)
    run.raise_for_status()
    omega = 2j * np.pi * harmonic / PERIOD
    bed = 0.05 + 1 / (1.4 * omega + 1 / 1.0)
    expected = 0.1 + 1 / (0.2 * omega + 1 / (5e-3 * omega + bed))
    pressure = np.asarray(run.states[:-1, circuit.index("pressure:heart:vessel")])
    found = 2 * np.mean(pressure * np.exp(-omega * np.asarray(run.times[:-1])))
    assert abs(found - expected) < 2e-4 * abs(expected)


@pytest.mark.slow
def test_loss_of_a_stenosis():
    """Steady flow: R Q + S Q |Q|, Young and Tsai's square, both ways."""
    for flow in (60.0, -60.0):
        blocks = [
            Block("pump", "flow_source", {}, {"flow": flow}),
            Block("narrow", "vessel", {"resistance": 0.2, "stenosis": 3e-3}),
            Block("end", "resistance", {"resistance": 1.0}, {"distal_pressure": 10.0}),
        ]
        circuit = assemble(blocks, [("pump", "narrow"), ("narrow", "end")], 1.0)
        run = quick_jit(lambda c: periodic_run(c, c.start(), 20, period=1.0))(circuit)
        run.raise_for_status()
        found = run.states[-1, circuit.index("pressure:pump:narrow")]
        np.testing.assert_allclose(found, 10.0 + flow * 1.2 + 3e-3 * flow * abs(flow), rtol=1e-9)


@pytest.mark.slow
def test_flows_at_a_junction_add_up():
    circuit = branched()
    run = quick_jit(lambda c: periodic_run(c, c.start(pressure=60.0), 180, period=PERIOD))(circuit)
    run.raise_for_status()
    trunk, left, right = (run.states[:, circuit.index(name)] for name in ("flow:trunk:fork", "flow:fork:left", "flow:fork:right"))
    assert relative(left + right, trunk) < 1e-12
    # Over a cycle what comes in goes out, to the error of the scheme: what a stenosed vessel stores is not linear in the unknowns.
    out = run.states[1:, circuit.index("flow:left:body")].mean() + run.states[1:, circuit.index("flow:right:muscle")].mean()
    np.testing.assert_allclose(out, run.states[1:, circuit.index("flow:heart:trunk")].mean(), rtol=1e-6)


@pytest.mark.slow
def test_the_volume_of_a_closed_circuit_is_kept():
    circuit = loop_of_two()
    assert circuit.closed and not windkessel().closed
    start = loop_start(circuit)
    run = quick_jit(lambda c, s: run_cycles(c, s, 180, 3, period=PERIOD))(circuit, start)
    run.raise_for_status()
    volumes = np.array([circuit.volume(state) for state in run.states[::30]])
    assert np.ptp(volumes) < 1e-10 * volumes[0]
    periodic = quick_jit(lambda c, s: periodic_run(c, s, 180, period=PERIOD))(circuit, start)
    periodic.raise_for_status()
    np.testing.assert_allclose(circuit.volume(periodic.states[-1]), volumes[0], rtol=1e-10)


@pytest.mark.slow
def test_the_periodic_state_is_where_cycling_ends():
    circuit = windkessel(proximal_resistance=0.02)
    run = quick_jit(lambda c: periodic_run(c, c.start(), 90, period=PERIOD))(circuit)
    run.raise_for_status()
    assert int(run.cycles) <= 3
    many = quick_jit(lambda c: run_cycles(c, c.start(), 90, 40, period=PERIOD))(circuit)
    assert relative(run.states, many.states[-91:]) < 1e-9


def test_the_activation_as_a_polynomial_is_the_cosine():
    time, period = jnp.linspace(0.0, 2.4, 500), jnp.asarray(0.8)
    for start, rise, fall in ((0.1, 0.25, 0.15), (0.64, 0.136, 0.136)):
        parts = [jnp.asarray(value) for value in (start, rise, fall)]
        np.testing.assert_allclose(_hump(time, period, *parts), cosine_activation(time, period, *parts), atol=1e-12)


def test_compartments_keep_their_volume():
    values = regazzoni_values()
    loop = closed_loop(values)
    run = quick_jit(lambda loop: periodic_beat(loop, filled(loop, values["blood_volume"]), values["period"], 200))(loop)
    run.raise_for_status()
    total = np.asarray(run.volumes).sum(1)
    assert np.abs(total / values["blood_volume"] - 1).max() < 1e-12
    left, right = (np.ptp(run.volumes[:, loop.index(f"{side}_ventricle")]) for side in ("left", "right"))
    np.testing.assert_allclose(left, right, rtol=1e-9)  # stroke volumes of one circuit
    assert (np.asarray(run.flows)[:, [loop.index(name) - 8 for name in ("mitral", "aortic", "tricuspid", "pulmonary")]] >= 0).all()
