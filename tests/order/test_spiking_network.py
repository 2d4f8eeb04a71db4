"""Order in the step of spiking neurons in a current that changes, and of what they do to each other."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import airy

from physics import MontbrioPazoRoxin, SpikingNetwork, SpikingState


def test_in_a_ramp_of_current_of_order_two_against_airy_functions():
    eta, slope, duration = np.asarray([-1.5, 0.3, 6.0]), 2.0, 3.0

    def solution(time):  # dV/dt = V^2 + eta + bt is y'' = -(eta + bt) y with V = -y'/y
        root = np.cbrt(slope)
        a, da, b, db = airy(-root * (time + eta / slope))
        return np.stack([a, b]), -root * np.stack([da, db])

    _, slope_at_start = solution(0.0)
    at_end, slope_at_end = solution(duration)
    mix = np.stack([slope_at_start[1], -slope_at_start[0]])  # V = 0 at the start
    expected = np.arctan(-(mix * slope_at_end).sum(axis=0) / (mix * at_end).sum(axis=0))
    times = np.linspace(0, duration, 1001)
    signs = np.sign(np.stack([(mix * solution(t)[0]).sum(axis=0) for t in times]))
    crossings = (signs[1:] != signs[:-1]).sum()

    def miss(steps):
        dt_ms = duration / steps
        network = SpikingNetwork(jnp.asarray(eta), jnp.asarray(0.0), jnp.asarray(1.0), jnp.asarray(0.0), dt_ms)
        record = jax.jit(lambda currents: network.march(SpikingState.of(jnp.zeros(3)), currents))(slope * dt_ms * (jnp.arange(steps) + 0.5))
        assert float(record.rate.sum() * dt_ms * 3) == pytest.approx(crossings)
        return np.abs(np.sin(np.arctan(np.asarray(record.final.potentials)) - expected)).max()

    steps = np.asarray([20, 40, 80, 160])
    misses = [miss(int(n)) for n in steps]
    assert np.polyfit(-np.log(steps), np.log(misses), 1)[0] == pytest.approx(2.0, abs=0.1)


@pytest.mark.slow
def test_coupled_of_order_two_down_to_single_spikes():
    duration, mass = 3.2, MontbrioPazoRoxin.published()

    def rates(steps):
        network = SpikingNetwork.of(mass, 10_000, duration / steps)
        march = jax.jit(lambda: network.march(network.initial_state(0.8, 0.2), jnp.ones(steps), every=steps // 8))
        return np.asarray(march().rate)

    steps = np.asarray([16, 32, 64, 128])
    exact = rates(512)
    misses = [np.sqrt(np.mean((rates(int(n)) - exact) ** 2)) for n in steps]
    assert np.polyfit(-np.log(steps), np.log(misses), 1)[0] == pytest.approx(2.0, abs=0.2), misses
