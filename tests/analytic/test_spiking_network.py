"""Quadratic integrate-and-fire neurons against closed forms, and ten thousand of them against their mean field."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.optimize import brentq

from physics import MontbrioPazoRoxin, SpikingNetwork, SpikingState, lorentzian_cells
from solvers import Status

MASS = MontbrioPazoRoxin.published()
BIN_MS = 0.1


def alone(excitabilities, dt_ms, membrane_time=1.0):
    nothing = jnp.asarray(0.0)
    return SpikingNetwork(jnp.asarray(excitabilities, float), nothing, jnp.asarray(membrane_time), nothing, dt_ms)


def fixed_rate(low, high):
    return brentq(lambda r: float(MASS.excitability_at(jnp.asarray(r))) + 5.0, low, high)


def field_rates(rate, potential, current, duration_ms, synaptic_time=0.0, substeps=100):
    """Means over bins of the mean field with a synapse, by the classical method of Runge and Kutta."""
    h = BIN_MS / substeps

    def slope(y):
        s = y[2] if synaptic_time else y[0]
        extra = jnp.asarray([0.0, current + MASS.synaptic_weight * (s - y[0]), 0.0])
        own = jnp.append(MASS.rates(y[:2], jnp.zeros(1)), (y[0] - y[2]) / (synaptic_time or 1.0))
        return own + extra

    def step(y, _):
        k1 = slope(y)
        k2 = slope(y + 0.5 * h * k1)
        k3 = slope(y + 0.5 * h * k2)
        k4 = slope(y + h * k3)
        after = y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        return after, 0.5 * (y[0] + after[0])

    start = jnp.asarray([rate, potential, rate])
    _, rates = jax.lax.scan(step, start, None, length=round(duration_ms / BIN_MS) * substeps)
    return np.asarray(rates).reshape(-1, substeps).mean(axis=1)


@pytest.mark.parametrize("dt_ms", [0.003, 0.02, 0.5])
def test_a_neuron_above_threshold_has_its_period_for_every_step(dt_ms):
    etas, tau, steps = np.asarray([1e-6, 0.04, 1.0, 90.0, 4e4]), 2.0, 400

    def single(eta):
        record = alone(eta[None], dt_ms, tau).march(SpikingState.of(jnp.zeros(1)), jnp.zeros(steps))
        return record.rate.sum() * dt_ms, record.final.direction[:, 0]

    spikes, direction = (np.asarray(part) for part in jax.jit(jax.vmap(single))(jnp.asarray(etas)))
    periods = steps * dt_ms * np.sqrt(etas) / (np.pi * tau)
    np.testing.assert_allclose(spikes, np.floor(periods + 0.5), rtol=1e-12)  # V = 0 is half a period before the spike
    away = direction[:, 0] * np.cos(np.pi * periods) - direction[:, 1] * np.sqrt(etas) * np.sin(np.pi * periods)
    assert np.all(np.abs(away) < 1e-9 * np.sqrt(etas))


def test_below_threshold_it_falls_to_rest_or_spikes_once():
    network = alone([-4.0, -4.0, -1e-7, -4.0], 0.1)
    start = jnp.asarray([-7.0, 1.5, -0.3, 3.0])  # the last one is above the threshold of 2
    record = jax.jit(lambda: network.march(SpikingState.of(start), jnp.zeros(30)))()
    expected = solve_ivp(lambda _, v: v * v + np.asarray([-4.0, -4.0, -1e-7]), (0, 3.0), np.asarray(start)[:3], rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(record.final.potentials[:3], expected.y[:, -1], rtol=1e-8)
    spike_ms = np.arctanh(2 / 3) / 2
    assert np.flatnonzero(record.rate).tolist() == [int(spike_ms / 0.1)]
    assert float(record.final.potentials[3]) == pytest.approx(-2 / np.tanh(2 * (3.0 - spike_ms)), rel=1e-9)


@pytest.mark.parametrize("count", [4, 1000])
def test_cells_of_the_lorentzian_keep_the_rate_of_the_tail(count):
    cells = lorentzian_cells(count)
    np.testing.assert_array_equal(cells, -cells[::-1])
    assert np.sqrt(cells[cells > 0]).sum() / count == pytest.approx(np.sqrt(0.5), rel=1e-4)  # half the mean of sqrt|x|, which is sqrt 2
    middle = np.abs(cells) < 1
    plain = np.tan(0.5 * np.pi * (2 * np.arange(count) + 1 - count) / count)
    np.testing.assert_allclose(cells[middle], plain[middle], atol=0.4 / count)


@pytest.mark.parametrize("bracket", [(0.02, 0.1), (0.5, 3.0)])
def test_the_stationary_rate_is_that_of_the_closed_form(bracket):
    rate = fixed_rate(*bracket)
    network = SpikingNetwork.of(MASS, 4000, 0.01)
    record = jax.jit(lambda: network.march(network.initial_state(rate, -1 / (2 * np.pi * rate)), jnp.zeros(500), every=100))()
    assert int(record.status) == Status.SUCCESS
    np.testing.assert_allclose(record.rate, rate, rtol=0.02)
    assert float(record.rate.mean()) == pytest.approx(rate, rel=3e-3)


@pytest.mark.parametrize(
    ("synaptic_time", "counts"), [(0.0, (1000, 3000, 10_000)), pytest.param(0.5, (500, 1500, 5000), marks=pytest.mark.slow)]
)
@pytest.mark.slow
def test_after_a_step_of_current_they_follow_the_mean_field(synaptic_time, counts):
    rate, duration = fixed_rate(0.02, 0.1), 10.0
    expected = field_rates(rate, -1 / (2 * np.pi * rate), 3.0, duration, synaptic_time)
    assert expected.max() > 10 * rate  # it leaves the low state and rings
    misses = []
    for count in counts:
        network = SpikingNetwork.of(MASS, count, 0.01, synaptic_time)
        start = network.initial_state(rate, -1 / (2 * np.pi * rate))
        record = jax.jit(lambda n=network, s=start: n.march(s, jnp.full(round(duration / 0.01), 3.0), every=10))()
        misses.append(float(np.sqrt(np.mean((np.asarray(record.rate) - expected) ** 2) / np.mean(expected**2))))
    assert misses[0] < 0.04 and misses[2] < 0.01
    assert np.polyfit(np.log(counts), np.log(misses), 1)[0] < -0.5, misses


def test_a_batch_is_its_members():
    network = SpikingNetwork.of(MASS, 200, 0.01, 0.2)
    state = network.initial_state(0.5, -0.5)
    currents = jnp.asarray([0.0, 3.0])[:, None] * jnp.ones((1, 100))

    def rates(current):
        return network.march(state, current, every=10).rate

    together = jax.jit(jax.vmap(rates))(currents)
    np.testing.assert_allclose(together[1], jax.jit(rates)(currents[1]), rtol=1e-12)
    assert float(together[1, -1]) > float(together[0, -1])


def test_what_is_not_finite_is_a_status_and_bad_input_is_refused():
    network = SpikingNetwork.of(MASS, 10, 0.01)
    state = network.initial_state(0.1, -1.0)
    assert int(network.march(state, jnp.full(4, jnp.nan)).status) == Status.NOT_FINITE
    with pytest.raises(ValueError, match="whole bins"):
        network.march(state, jnp.zeros(5), every=2)
    with pytest.raises(ValueError, match="state of 10 neurons; expected 12"):
        SpikingNetwork.of(MASS, 12, 0.01).march(state, jnp.zeros(4))
    with pytest.raises(ValueError, match="got 0 neurons"):
        SpikingNetwork.of(MASS, 0, 0.01)
    with pytest.raises(ValueError, match="step of 0"):
        SpikingNetwork.of(MASS, 10, 0.0)
