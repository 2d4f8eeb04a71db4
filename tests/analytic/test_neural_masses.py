"""Bifurcations, limit cycles and mean fields of neural masses that are known in closed form."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import brentq

from physics import (
    NEURAL_MASSES,
    BrainNetwork,
    EpileptorPlane,
    GenericOscillator,
    Hopf,
    JansenRit,
    Kuramoto,
    MontbrioPazoRoxin,
    PhaseCoupling,
    ReducedWongWang,
    WilsonCowan,
    synthetic_connectome,
    usual_coupling,
)

ALONE = jnp.zeros(1)


def jacobian(mass, state):
    return np.asarray(jax.jacfwd(lambda s: mass.rates(s, jnp.zeros(len(mass.coupled))))(jnp.asarray(state)))


def changed(mass, **values):
    for name, value in values.items():
        mass = eqx.tree_at(lambda one, name=name: getattr(one, name), mass, jnp.asarray(value, float))
    return mass


@pytest.mark.parametrize("name", NEURAL_MASSES)
def test_names_units_and_shapes(name):
    mass = NEURAL_MASSES[name]()
    state = mass.initial_state()
    assert len(mass.names) == len(mass.units) == len(state) and len(set(mass.names)) == len(state)
    several = jnp.broadcast_to(state[:, None, None], (len(state), 5, 2))
    rates = mass.rates(several, jnp.zeros((len(mass.coupled), 5, 2)))
    assert rates.shape == several.shape and mass.heard(several).shape == (len(mass.coupled), 5, 2)
    np.testing.assert_allclose(rates[:, 3, 1], mass.rates(state, jnp.zeros(len(mass.coupled))), rtol=1e-14)


@pytest.mark.parametrize("slow_time", [10.0, 30.0, 2857.0])
def test_the_slow_plane_of_the_epileptor_has_its_hopf_and_fold(slow_time):
    mass = changed(EpileptorPlane.published(), slow_time=slow_time)

    def trace(x):
        z = 1 - x**3 - 2 * x**2 + 3.1
        at = changed(mass, epileptogenicity=x - z / 4)
        assert np.abs(at.rates(jnp.asarray([x, z]), ALONE)).max() < 1e-12
        return np.trace(jacobian(at, [x, z]))

    x = brentq(trace, -1.5, -1.0, xtol=1e-13)
    assert -3 * x**2 - 4 * x == pytest.approx(1 / slow_time, abs=1e-9)  # the published condition
    fold = brentq(lambda x: jacobian(mass, [x, 0.0])[0, 0], -1.5, -1.2, xtol=1e-13)
    assert fold == pytest.approx(-4 / 3, abs=1e-9)
    assert fold - (4.1 - 32 / 27) / 4 == pytest.approx(-2.06204, abs=1e-5)


def test_the_epileptor_seizes_above_its_threshold_and_not_below():
    edges = synthetic_connectome(2).edges()
    for epileptogenicity, seizes in ((-1.6, True), (-2.3, False)):
        mass = changed(NEURAL_MASSES["epileptor"](), epileptogenicity=epileptogenicity, speed=1.0)
        network = BrainNetwork(mass, usual_coupling("epileptor", 0.0), edges, 0.05)
        states = network.march(network.initial_state(), 80_000, every=200).states
        assert (float(states[:, 0, 0].max()) > 0.5) == seizes


def test_montbrio_pazo_roxin_is_bistable_where_published():
    mass = MontbrioPazoRoxin.published()
    slope = jax.grad(lambda rate: mass.excitability_at(rate))
    folds = [brentq(lambda rate: float(slope(jnp.asarray(rate))), *ends) for ends in ((0.03, 0.3), (0.3, 1.5))]
    upper, lower = sorted((float(mass.excitability_at(jnp.asarray(rate))) for rate in folds), reverse=True)
    assert (lower, upper) == (pytest.approx(-5.7435, abs=1e-4), pytest.approx(-3.1361, abs=1e-4))
    for rate in folds:  # J = 2 pi^2 r + Delta^2 / (2 pi^2 r^3)
        assert 2 * np.pi**2 * rate + 1 / (2 * np.pi**2 * rate**3) == pytest.approx(15.0, abs=1e-6)
        eta = mass.excitability_at(jnp.asarray(rate))
        at = changed(mass, mean_excitability=eta)
        assert abs(np.linalg.det(jacobian(at, [rate, -1 / (2 * np.pi * rate)]))) < 1e-6


@pytest.mark.slow
def test_jansen_rit_oscillates_between_its_published_hopf_points():
    mass = JansenRit.published()

    def at(y0):
        """Input and state of the fixed point with this potential of the pyramidal cells."""
        a_gain, b_gain, c = 32.5, 440.0, 135.0
        firing = y0 / a_gain
        difference = 6.0 - np.log(0.005 / firing - 1) / 0.56
        y2 = b_gain * 0.25 * c * float(mass.firing(jnp.asarray(0.25 * c * y0)))
        y1 = difference + y2
        return y1 / a_gain - 0.8 * c * float(mass.firing(jnp.asarray(c * y0))), jnp.asarray([y0, y1, y2, 0.0, 0.0, 0.0])

    def growth(y0):
        drive, state = at(y0)
        here = changed(mass, input=drive)
        values = np.linalg.eigvals(jacobian(here, state))
        return values[np.abs(values.imag) > 1e-3].real.max()

    grid = np.linspace(0.045, 0.16, 60)
    signs = [growth(y0) for y0 in grid]
    changes = [k for k in range(len(grid) - 1) if signs[k] * signs[k + 1] < 0]
    points = [brentq(growth, grid[k], grid[k + 1], xtol=1e-12) for k in changes]
    inputs = sorted(at(y0)[0] for y0 in points)
    # Grimbert and Faugeras 2006, Neural Comput 18, 3052: Hopf points at 89.83 and 315.70 per second (their factors and scales are these)
    assert inputs[-2:] == [pytest.approx(0.08983, abs=2e-5), pytest.approx(0.31570, abs=2e-5)]
    assert np.abs(changed(mass, input=inputs[-1]).rates(at(points[-1])[1], ALONE)).max() < 1e-10


def test_jansen_rit_has_an_alpha_rhythm():
    network = BrainNetwork(JansenRit.published(), usual_coupling("jansen_rit", 0.0), synthetic_connectome(2).edges(), 0.1)
    states = np.asarray(network.march(network.initial_state(), 40_960, every=10).states)
    signal = states[2048:, 1, 0] - states[2048:, 2, 0]
    spectrum = np.abs(np.fft.rfft((signal - signal.mean()) * np.hanning(len(signal))))
    assert 8 < np.argmax(spectrum) / (len(signal) * 1e-3) < 12 and np.ptp(signal) > 2


def test_wilson_cowan_has_the_published_limit_cycle():
    mass = WilsonCowan.published()
    network = BrainNetwork(mass, usual_coupling("wilson_cowan", 0.0), synthetic_connectome(2).edges(), 0.1)
    states = np.asarray(network.march(network.initial_state(), 10_000, every=10).states)[500:, 0, 0]
    assert np.ptp(states[250:]) == pytest.approx(np.ptp(states[:250]), rel=0.02) and np.ptp(states) > 0.1
    quiet = BrainNetwork(changed(mass, excitatory_input=0.0), network.coupling, network.edges, 0.1)
    assert np.ptp(np.asarray(quiet.march(quiet.initial_state(), 10_000, every=10).states)[500:, 0, 0]) < 1e-6


@pytest.mark.slow
def test_a_network_with_delays_settles_where_its_rates_vanish():
    network = BrainNetwork(
        MontbrioPazoRoxin.published(), usual_coupling("montbrio_pazo_roxin", 0.5), synthetic_connectome(8).edges(4.0, 0.05), 0.05
    )
    final = network.march(network.initial_state(), 8000, every=8000).final
    assert np.abs(network.rates(final)).max() < 1e-10 and float(final[0].std()) > 1e-4
    assert np.abs(network.rates(final * 1.01)).max() > 1e-3


def test_hopf_has_its_radius_and_frequency():
    mass = changed(Hopf.published(), bifurcation=0.04, angular_frequency=0.06)
    network = BrainNetwork(mass, usual_coupling("hopf", 0.0), synthetic_connectome(2).edges(), 0.05)
    x, y = np.asarray(network.march(network.initial_state(), 20_000).states)[-4000:, :, 0].T
    np.testing.assert_allclose(np.hypot(x, y), 0.2, rtol=1e-5)
    assert np.diff(np.unwrap(np.arctan2(y, x))).mean() / 0.05 == pytest.approx(0.06, rel=1e-5)


def test_reduced_wong_wang_crosses_the_zero_of_its_current_smoothly():
    mass = ReducedWongWang.published()
    zero = float(mass.current_offset / mass.current_gain)
    assert mass.firing(jnp.asarray(zero)) == pytest.approx(1 / 154)
    near = [float(mass.firing(jnp.asarray(zero + shift))) for shift in (-2e-6, -1e-7, 1e-7, 2e-6)]
    assert np.all(np.diff(near) > 0)
    assert float(jax.grad(mass.firing)(jnp.asarray(zero))) == pytest.approx(0.27 / 2, rel=1e-6)


def test_generic_oscillator_rests_where_its_nullclines_cross():
    mass = GenericOscillator.published()
    network = BrainNetwork(mass, usual_coupling("generic_oscillator", 0.0), synthetic_connectome(2).edges(), 0.1)
    v, w = np.asarray(network.march(network.initial_state(), 40_000, every=40_000).states)[-1, :, 0]
    roots = np.roots([-1, 3, -10, -2])  # -v^3 + 3v^2 - 10v - 2 with w = -10v - 2
    assert v == pytest.approx(roots[np.abs(roots.imag) < 1e-9].real[0], abs=1e-8) and w == pytest.approx(-10 * v - 2, abs=1e-8)


def test_ten_thousand_oscillators_have_the_order_of_ott_and_antonsen():
    count, width, strength = 10_000, 0.01, 0.04
    quantiles = (2 * np.arange(1, count + 1) - count - 1) / (count + 1)
    mass = Kuramoto(jnp.asarray(width * np.tan(np.pi / 2 * quantiles)))
    phases = jnp.asarray(np.random.default_rng(0).uniform(0, 2 * np.pi, (1, count)))

    def step(phases, _):
        mean = jnp.exp(1j * phases).mean()
        effect = strength * jnp.abs(mean) * jnp.sin(jnp.angle(mean) - phases)
        return phases + mass.rates(phases, effect), jnp.abs(mean)

    _, order = jax.jit(lambda phases: jax.lax.scan(step, phases, None, length=2000))(phases)
    assert float(order[1000:].mean()) == pytest.approx(np.sqrt(1 - 2 * width / strength), rel=0.01)


def test_phases_hear_sines_of_differences():
    weights = np.random.default_rng(1).uniform(size=(5, 5))
    phases = jnp.asarray(np.random.default_rng(2).uniform(0, 6, (1, 5)))
    coupling = PhaseCoupling(jnp.asarray(0.3))
    heard = jnp.einsum("ij,rj->ri", jnp.asarray(weights), coupling.sent(phases))
    expected = 0.3 / 5 * (weights * np.sin(np.asarray(phases)[0][None] - np.asarray(phases)[0][:, None])).sum(axis=1)
    np.testing.assert_allclose(coupling.effect(phases, heard, jnp.asarray(weights.sum(axis=1))[None])[0], expected, rtol=1e-12)


@pytest.mark.slow
def test_ten_thousand_spiking_neurons_fire_at_the_rate_of_the_mean_field():
    count, h, steps, peak = 10_000, 1e-4, 200_000, 100.0
    quantiles = (2 * np.arange(1, count + 1) - count - 1) / (count + 1)
    drive = jnp.asarray(-5.0 + np.tan(np.pi / 2 * quantiles))
    mass = MontbrioPazoRoxin.published()

    def step(carry, time):
        v, free, rate = carry
        moving = time >= free
        v = jnp.where(moving, v + h * (v * v + drive + 15.0 * rate), v)
        fired = moving & (v > peak)
        free = jnp.where(fired, time + 2 / v, free)
        spikes = fired.mean() / h
        return (jnp.where(fired, -v, v), free, rate + (spikes - rate) * (h / 0.01)), rate

    start = (jnp.full(count, -2.0), jnp.zeros(count), jnp.asarray(0.0))
    _, rates = jax.jit(lambda start: jax.lax.scan(step, start, h * jnp.arange(steps)))(start)
    r = brentq(lambda r: float(mass.excitability_at(jnp.asarray(r))) + 5.0, 0.02, 0.1)
    assert float(rates[steps // 2 :].mean()) == pytest.approx(r, rel=0.03)
