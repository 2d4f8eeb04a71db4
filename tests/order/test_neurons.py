"""Order of the methods in time on a branched neuron with channels, of a spike's velocity in space, and the squid's own velocity."""

import jax.numpy as jnp
import numpy as np
import pytest

from physics import FieldStimulus, Neuron, Pulses, Section, Synapses, neuron_shape, point_source_potential
from solvers import simulate
from tests.neurons import axon_velocity, squid, travelling_wave_velocity
from tests.problems import quick_jit, slope

SHOOTING = 18.7318882  # m/s at 18.5 degrees by tests.neurons.travelling_wave_velocity; test_the_travelling_wave looks that up


def forked():
    """A stem and two branches off rest, under a field that is on all the time and an alpha synapse."""
    line = lambda *ends: np.array(ends, float)  # noqa: E731
    sections = [
        Section(line((0, 0, 0), (300, 0, 0)), np.array([2.0, 1.5])),
        Section(line((300, 0, 0), (500, 100, 0)), np.array([1.0, 0.8]), 0),
        Section(line((300, 0, 0), (500, -150, 0)), np.array([1.2, 1.2]), 0),
    ]
    shape = neuron_shape(sections, 120.0)
    field = FieldStimulus(point_source_potential(shape.position, jnp.array([350.0, 200.0, 0.0])), Pulses(-0.01, -1.0, 100.0))
    synapses = Synapses((len(shape.section) - 1,), 0.0, 0.01, 0.0, 0.5)
    return Neuron(shape, squid(6.3), jnp.asarray(100.0), (field,), (synapses,))


@pytest.mark.parametrize(("method", "order"), [("symmetric", 2), ("staggered", 2), ("euler", 1)])
@pytest.mark.quick(1)
def test_order_in_time(method, order):
    neuron, counts = forked(), (32, 64, 128, 256)
    assert neuron.stepper(method).order == order
    rest = neuron.initial_state()
    state = rest.at[0].set(jnp.linspace(-62.0, -45.0, rest.shape[1]))

    def final(count, method):
        start = neuron.staggered(state, 1.6 / count) if method == "staggered" else state
        return simulate(neuron.stepper(method), start, neuron.mesh([1.6], 1.6 / count)).final[0]

    exact = quick_jit(lambda: final(2048, "symmetric"))()
    real = np.asarray(neuron.shape.area) > 0
    found = [quick_jit(lambda count=count: final(count, method))() for count in counts]
    errors = [np.abs(one - exact)[real].max() for one in found]
    assert slope([1 / count for count in counts], errors) == pytest.approx(order, abs=0.2)
    assert errors[-1] < {1: 0.6, 2: 0.01}[order]


@pytest.mark.slow
def test_the_squids_velocity_is_that_of_the_travelling_wave_to_second_order_in_space():
    """Hodgkin and Huxley found 18.8 m/s with K by hand; errors against the finest cable, at one step in time."""
    counts = (40, 56, 80, 112)
    exact = axon_velocity(0.0025, 320, 40.0)
    assert exact == pytest.approx(SHOOTING, rel=1e-3)  # 3.8e-4 off, two thirds of it the near end; the slow test below has none
    errors = [abs(axon_velocity(0.0025, count, 40.0) - exact) for count in counts]
    assert slope([1 / count for count in counts], errors) == pytest.approx(2, abs=0.2)


@pytest.mark.slow
def test_the_staggered_method_and_euler_at_the_same_step():
    assert axon_velocity(0.01, 120, method="staggered") == pytest.approx(axon_velocity(0.01, 120), rel=1e-6)
    assert axon_velocity(0.01, 120, method="euler") == pytest.approx(SHOOTING, rel=0.02)


@pytest.mark.slow
def test_the_travelling_wave():
    """The velocity by shooting, and extrapolated ones of the cable at two temperatures."""
    assert travelling_wave_velocity(18.5) == pytest.approx(SHOOTING, rel=1e-8)
    for temperature, wave in ((18.5, SHOOTING), (6.3, travelling_wave_velocity(6.3))):
        coarse, fine = axon_velocity(0.005, 240, temperature_c=temperature), axon_velocity(0.0025, 480, temperature_c=temperature)
        assert fine + (fine - coarse) / 3 == pytest.approx(wave, rel=2e-4)
