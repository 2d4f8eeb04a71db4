"""Orders in time of the two schemes of circulation."""

import jax.numpy as jnp
import numpy as np
import pytest

from physics import periodic_run
from physics.circuit_waveform import Waveform
from physics.closed_loop import closed_loop, filled, periodic_beat, regazzoni_values
from tests.circuits import PERIOD, windkessel
from tests.problems import quick_jit


def slope(steps, errors):
    return -np.polyfit(np.log(steps), np.log(errors), 1)[0]


@pytest.mark.parametrize("radius", [0.0, 0.5, 0.8])
def test_generalised_alpha_is_of_order_two(radius):
    """Against the impedance at one frequency; the inflow is sampled so finely that its corners do not matter."""
    times = jnp.linspace(0.0, PERIOD, 20001)
    circuit = windkessel(Waveform(times, 80 + 60 * jnp.cos(2 * jnp.pi * times / PERIOD)))
    omega = 2j * np.pi / PERIOD
    impedance = 1 / (1.4 * omega + 1.0)
    steps, errors = [15, 30, 60, 120], []
    for count in steps:
        run = quick_jit(lambda c, n=count: periodic_run(c, c.start(pressure=80.0), n, period=PERIOD, spectral_radius=radius, settle=60))(
            circuit
        )
        exact = 5.0 + 80.0 + np.real(60 * impedance * np.exp(omega * np.asarray(run.times)))
        errors.append(np.abs(np.asarray(run.states[:, circuit.index("inner_pressure:bed")]) - exact).max())
    assert slope(steps, errors) == pytest.approx(2.0, abs=0.2)


def test_the_staggered_loop_is_of_order_two():
    """Against itself on fine steps; pressures of vessels, which see openings of valves only through flows."""
    values = regazzoni_values()
    loop = closed_loop(values)

    def pressures(count):
        run = quick_jit(lambda loop: periodic_beat(loop, filled(loop, values["blood_volume"]), values["period"], count))(loop)
        return np.asarray(run.pressures)[:: count // 50, 4:]

    steps = [100, 200, 400, 800]
    reference = pressures(6400)
    errors = [np.sqrt(np.mean((pressures(count) - reference) ** 2)) for count in steps]
    assert slope(steps, errors) == pytest.approx(2.0, abs=0.2)
