"""What is read off brain signals, against NumPy, SciPy and closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import signal

from physics import (
    connectivity_dynamics,
    functional_connectivity,
    metastability,
    order_parameter,
    signal_phases,
    spectral_peak,
    upper_triangle,
    welch_spectrum,
    windowed_connectivity,
)

RECORD = np.random.default_rng(0).standard_normal((300, 5)) @ np.random.default_rng(1).standard_normal((5, 5)) + 3.0


def test_functional_connectivity_is_that_of_numpy():
    np.testing.assert_allclose(functional_connectivity(jnp.asarray(RECORD)), np.corrcoef(RECORD.T), atol=1e-13)
    still = RECORD.copy()
    still[:, 2] = 0.1
    found = np.asarray(functional_connectivity(jnp.asarray(still)))
    assert found[2].tolist() == [0, 0, 1, 0, 0] and np.isfinite(found).all()
    slope = jax.grad(lambda record: functional_connectivity(record)[0, 2])(jnp.asarray(still))
    assert np.isfinite(slope).all()


def test_connectivity_dynamics_window_by_window():
    windows = [np.corrcoef(RECORD[start : start + 60].T)[np.triu_indices(5, 1)] for start in range(0, 241, 40)]
    np.testing.assert_allclose(windowed_connectivity(jnp.asarray(RECORD), 60, 40), windows, atol=1e-13)
    np.testing.assert_allclose(connectivity_dynamics(jnp.asarray(RECORD), 60, 40), np.corrcoef(windows), atol=1e-12)
    assert upper_triangle(jnp.arange(9.0).reshape(3, 3)).tolist() == [1, 2, 5]
    with pytest.raises(ValueError, match="2 samples to all"):
        windowed_connectivity(jnp.asarray(RECORD), 301, 1)


@pytest.mark.parametrize("samples", [300, 299])
def test_phases_are_those_of_scipy(samples):
    record = RECORD[:samples]
    exact = np.angle(signal.hilbert(record - record.mean(0), axis=0))
    np.testing.assert_allclose(signal_phases(jnp.asarray(record)), exact, atol=1e-9)


def test_order_parameter_in_closed_form():
    times = np.linspace(0, 10, 501)[:, None]
    turning = np.concatenate([2.0 * times, 2.0 * times + 0.6], axis=1)
    np.testing.assert_allclose(order_parameter(jnp.asarray(turning)), np.cos(0.3), rtol=1e-13)
    assert float(metastability(jnp.asarray(turning))) < 1e-12
    apart = jnp.asarray(np.concatenate([0 * times, 2 * np.pi * times], axis=1))  # |cos(pi t)|: mean 2/pi, mean square 1/2
    assert float(metastability(apart[:-1])) == pytest.approx(np.sqrt(0.5 - 4 / np.pi**2), abs=1e-3)


def test_spectrum_is_that_of_scipy():
    for window in (64, 75):
        exact_at, exact = signal.welch(RECORD, 250.0, "hann", window, window // 2, axis=0)
        at, power = welch_spectrum(jnp.asarray(RECORD), 1 / 250.0, window)
        np.testing.assert_allclose(at, exact_at, rtol=1e-13)
        np.testing.assert_allclose(power, exact, rtol=1e-9, atol=1e-12)


@pytest.mark.slow
def test_a_peak_between_frequencies_and_its_slope():
    times = np.arange(4000) * 0.004

    def peak(hertz):
        record = jnp.sin(2 * jnp.pi * hertz * jnp.asarray(times))[:, None]
        return spectral_peak(*welch_spectrum(record, 0.004, 1000), (5.0, 15.0))[0]

    for hertz in (9.0, 10.06, 10.13, 10.2, 11.9):
        assert float(peak(hertz)) == pytest.approx(hertz, abs=0.02 * 0.25)
    slope, central = jax.grad(peak)(10.06), (peak(10.06 + 1e-5) - peak(10.06 - 1e-5)) / 2e-5
    assert float(slope) == pytest.approx(float(central), rel=1e-6)
    assert float(slope) == pytest.approx(1.0, abs=0.2)
    assert float(peak(16.1)) == 15.0  # none in the band: its end
