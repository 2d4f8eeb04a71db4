"""Feet, peaks and notches of waves whose times are known, and their derivatives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from physics.arm_network import SEGMENTS, arm_network, place_of
from physics.heart_and_arm import Signals
from twinsim.pulse_features import crossing, diastolic_wave, foot, mean, peak
from twinsim.wearable_signals import FEATURES, PUBLISHED, features

TIMES = jnp.linspace(0.0, 0.8, 161)


def test_the_vertex_of_a_parabola_is_exact_between_samples():
    time, value = peak(TIMES, 3.0 - 50 * (TIMES - 0.3012) ** 2)
    assert float(time) == pytest.approx(0.3012, abs=1e-12)
    assert float(value) == pytest.approx(3.0, abs=1e-12)


def test_the_foot_of_a_smooth_rise():
    """A half cosine from 0.2 to 0.4 s: the tangent at its middle meets the ground at 0.3 - 0.1 * 2 / pi."""
    phase = jnp.clip((TIMES - 0.2) / 0.2, 0, 1)
    time, level = foot(TIMES, 5 + 0.5 * (1 - jnp.cos(jnp.pi * phase)))
    assert float(time) == pytest.approx(0.3 - 0.2 / np.pi, abs=2e-4)
    assert float(level) == pytest.approx(5.0, abs=1e-12)


def test_a_crossing_and_a_mean_of_a_ramp():
    assert float(crossing(TIMES, TIMES, 0.25)) == pytest.approx(0.2, abs=1e-12)
    assert float(mean(TIMES)) == pytest.approx(0.4, abs=1e-12)


def two_waves(shift=0.0, notch=0.25, times=TIMES):
    first = jnp.exp(-(((times - shift - 0.2) / 0.05) ** 2))
    return first + notch * jnp.exp(-(((times - shift - 0.42) / 0.06) ** 2))


@pytest.mark.parametrize("notch", [0.15, 0.4])
def test_the_diastolic_wave_is_where_the_fall_is_slowest(notch):
    """Against the same wave on a grid forty times finer, by search."""
    fine = np.linspace(0.0, 0.8, 6401)
    wave = np.exp(-(((fine - 0.2) / 0.05) ** 2)) + notch * np.exp(-(((fine - 0.42) / 0.06) ** 2))
    rate = np.gradient(wave, fine)
    here = (fine > 0.2 + 0.08 * 0.8) & (fine < 0.2 + 0.45 * 0.8)
    best = np.argmax(np.where(here, rate, -np.inf))
    time, value = diastolic_wave(TIMES, two_waves(notch=notch))
    assert float(time) == pytest.approx(fine[best], abs=2e-3)
    assert float(value) == pytest.approx(wave[best], abs=0.02)


@pytest.mark.parametrize("read", [foot, peak, diastolic_wave])
def test_a_wave_that_comes_later_moves_what_is_read_by_as_much(read):
    times = jnp.linspace(0.0, 0.8, 641)
    slope = jax.grad(lambda shift: read(times, two_waves(shift, times=times))[0])(jnp.asarray(0.0004))
    assert float(slope) == pytest.approx(1.0, abs=0.03)
    ahead, behind = (float(read(times, two_waves(0.0004 + sign * 1e-6, times=times))[0]) for sign in (1, -1))
    assert float(slope) == pytest.approx((ahead - behind) / 2e-6, rel=1e-6)


def test_features_of_known_signals():
    wave = 80 + 40 * two_waves()
    flow = jnp.where((TIMES > 0.06) & (TIMES < 0.36), 400 * jnp.sin(jnp.pi * (TIMES - 0.06) / 0.3), 0.0)
    signals = Signals(TIMES, flow, wave, wave, 80 + 1.5 * (wave - 80), wave, two_waves(), wave)
    found = dict(zip(FEATURES, (float(value) for value in features(signals, 1.7)), strict=True))
    assert found["stroke_volume"] == pytest.approx(400 * 0.3 * 2 / np.pi, rel=1e-3)
    assert found["cardiac_output"] == pytest.approx(found["stroke_volume"] * 75 / 1000, rel=1e-12)
    assert found["pre_ejection_period"] == pytest.approx(0.06 + 0.3 / np.pi * np.arcsin(0.02), abs=1e-3)
    assert found["ejection_time"] == pytest.approx(0.3, abs=5e-3)
    assert found["pulse_transit_time"] == pytest.approx(found["pulse_arrival_time"] - found["pre_ejection_period"], abs=1e-12)
    assert found["pulse_pressure_amplification"] == pytest.approx(1.5, rel=1e-6)
    assert found["stiffness_index"] == pytest.approx(1.7 / found["peak_to_peak_time"], rel=1e-12)
    assert set(PUBLISHED) <= set(FEATURES)


@pytest.mark.slow
def test_the_network_of_the_arm():
    """One body's flow; the resistances of its ends in parallel are the body's; wave speeds of a young adult."""
    assert sum(segment.share for segment in SEGMENTS) == pytest.approx(1.0, abs=1e-12)
    network = arm_network(resistance=1.2, compliance=0.5)
    ends = np.array([segment.share > 0 for segment in SEGMENTS])
    unit = 133.322e6
    assert 1 / np.sum(unit / np.asarray(network.distal)[ends]) == pytest.approx(1.2, rel=1e-9)
    assert np.asarray(network.compliance).sum() * unit == pytest.approx(0.5, rel=1e-9)
    speed = np.asarray(network.flow().ends.resting_speed)
    row = network.layout.nodes.index(1)
    assert speed[row, 0] == pytest.approx(4.6, abs=0.1)
    digital = network.layout.nodes.index(network.target[place_of("digital_2")])
    assert 7 < speed[digital, 0] < 12
    stiffer = np.asarray(arm_network(stiffness=4.0).flow().ends.resting_speed)
    np.testing.assert_allclose(stiffer, 2 * speed, rtol=1e-12)
