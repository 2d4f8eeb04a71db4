"""One beat out of many: a recording of known beats with drift and noise, and what is refused."""

import numpy as np
import pytest

from twinsim.averaged_beat import averaged_beat
from twinsim.errors import InputError

RATE = 500.0


def recording(seconds=20.0, noise=0.02, odd=()):
    """Two signals: bumps of 60 ms at places 0.8 s apart on average, some of them upside down, on a drifting line."""
    random = np.random.default_rng(0)
    t = np.arange(int(seconds * RATE)) / RATE
    places = np.cumsum(random.uniform(0.75, 0.85, int(seconds / 0.8) + 1))
    values = np.stack([0.3 * np.sin(0.6 * t), 0.2 * np.cos(0.4 * t)], axis=1)
    for number, place in enumerate(places):
        sign = -1 if number in odd else 1
        for column, (shift, size) in enumerate([(0.0, 1.0), (0.015, -0.6)]):
            values[:, column] += sign * size * np.exp(-0.5 * ((t - place - shift) / 0.012) ** 2)
    return values + random.normal(scale=noise, size=values.shape), places


def test_the_beat_is_found_in_noise_and_drift():
    values, places = recording(odd=(5, 11))
    beat = averaged_beat(values, RATE)
    assert beat.found in (len(places), len(places) - 1) and beat.beats <= beat.found - 2
    assert beat.interval_ms == pytest.approx(800, abs=25)
    t = np.arange(beat.values.shape[1])
    peak = int(beat.values[0].argmax())
    expected = np.stack([np.exp(-0.5 * ((t - peak) / 12) ** 2), -0.6 * np.exp(-0.5 * ((t - peak - 15) / 12) ** 2)])
    near = slice(peak - 60, peak + 80)
    np.testing.assert_allclose(beat.values[:, near], expected[:, near], atol=0.06)
    # The edges: a Gaussian's slope falls below 8 % of its largest about three deviations from its middle.
    assert beat.onset == pytest.approx(peak - 40, abs=12) and beat.offset == pytest.approx(peak + 15 + 40, abs=14)
    assert (beat.spread < 0.06).all()


def test_what_is_refused():
    values, _ = recording(3.0)
    with pytest.raises(InputError, match="two seconds or more"):
        averaged_beat(values[:300], RATE)
    with pytest.raises(InputError, match="at least three"):
        averaged_beat(values[: int(2.2 * RATE)], RATE)
    values[7] = np.nan
    with pytest.raises(InputError, match="or with gaps"):
        averaged_beat(values, RATE)
