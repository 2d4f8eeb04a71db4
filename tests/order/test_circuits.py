"""Orders in time of the two schemes of circulation."""

import jax.numpy as jnp
import numpy as np
import pytest

from physics import run_cycles
from physics.circuit_waveform import Waveform
from physics.closed_loop import closed_loop, filled, regazzoni_values, run_beats
from solvers import GeneralisedAlpha
from tests.circuits import PERIOD, windkessel
from tests.problems import quick_jit


def slope(steps, errors):
    return -np.polyfit(np.log(steps), np.log(errors), 1)[0]


@pytest.mark.parametrize("radius", [0.0, 0.5, 0.9])
@pytest.mark.quick(1)
def test_generalised_alpha_is_of_order_two(radius):
    """Against the impedance at one frequency, from the exact start; the inflow is sampled so finely that its corners do not matter."""
    times = jnp.linspace(0.0, PERIOD, 8001)
    circuit = windkessel(Waveform(times, 80 + 60 * jnp.cos(2 * jnp.pi * times / PERIOD)))
    omega = 2j * np.pi / PERIOD
    inner, flow = 60 / (1.4 * omega + 1.0), 60.0
    names = {"inner_pressure:bed": (85.0, inner), "pressure:heart:bed": (89.0, inner + 0.05 * flow), "flow:heart:bed": (80.0, flow)}
    start = circuit.start({name: mean + np.real(wave) for name, (mean, wave) in names.items()})
    rates = circuit.start({name: np.real(wave * omega) for name, (_, wave) in names.items()})
    memory = GeneralisedAlpha(circuit, radius).start(start, rates)
    steps, errors = [20, 40, 80, 160], []
    for count in steps:
        run = quick_jit(lambda c, n=count: run_cycles(c, memory, n, period=PERIOD, spectral_radius=radius))(circuit)
        exact = 85.0 + np.real(inner * np.exp(omega * np.asarray(run.times)))
        errors.append(np.abs(np.asarray(run.states[:, circuit.index("inner_pressure:bed")]) - exact).max())
    assert slope(steps, errors) == pytest.approx(2.0, abs=0.2)


@pytest.mark.slow
def test_the_staggered_loop_is_of_order_two():
    """Against itself on fine steps, over two beats of different lengths from rest; openings and closings of valves included.

    Atria rest at the start: a force there would find the flows, which stand half a step before, where the step puts them.
    """
    values = regazzoni_values() | {"left_atrium_contraction_start": 0.6, "right_atrium_contraction_start": 0.6}
    loop, onsets = closed_loop(values), jnp.array([0.0, 0.8, 1.7])

    def pressures(count):
        run = quick_jit(lambda loop: run_beats(loop, filled(loop, values["blood_volume"]), onsets, count))(loop)
        return np.asarray(run.pressures)[:: count // 50, 4:]

    steps = [100, 200, 400, 800]
    reference = pressures(6400)
    errors = [np.sqrt(np.mean((pressures(count) - reference) ** 2)) for count in steps]
    assert slope(steps, errors) == pytest.approx(2.0, abs=0.2)
