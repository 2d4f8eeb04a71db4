"""Transit times against pulses of known delay, and against a simulated artery of known wave speed."""

import numpy as np
import pytest
from scipy.io import savemat

from physics.artery_wall import ArteryWall
from physics.wave_speed import distensibility_of_speed, modulus_of_speed, speed_of_distensibility, speed_of_modulus
from twinsim.errors import InputError
from twinsim.transit_bias import method_bias, noise_of, recorded_tube, tube_waves
from twinsim.transit_time import METHODS, bootstrap_means, transit_times
from twinsim.two_site_record import read_two_sites, two_sites

PERIOD = 1.13


def pulse(times):
    """A systole with a smooth foot, a dicrotic wave and a flat diastole, once in a period."""
    phase = np.mod(times, PERIOD) - 0.5
    return 10 + 25 * np.exp(-((phase / 0.06) ** 2)) + 4 * np.exp(-(((phase - 0.3) / 0.05) ** 2))


def delayed(delay, rate=1000.0, seconds=8.0, noise=0.0, seed=0):
    times = np.arange(round(seconds * rate)) / rate
    random = np.random.default_rng(seed)
    sites = [pulse(times), 3 + 0.4 * pulse(times - delay)]
    return two_sites("made", rate, *(site + noise * np.ptp(site) * random.standard_normal(site.size) for site in sites))


@pytest.mark.parametrize("delay", [0.03, 0.0723, 0.14])
@pytest.mark.parametrize(("rate", "error"), [(1000.0, 2e-4), (100.0, 5e-4)])
def test_a_pure_delay_is_found_by_every_method_whatever_the_level_and_height(delay, rate, error):
    beats, times = transit_times(delayed(delay, rate))
    assert len(beats) >= 5 and times.keys() == METHODS.keys()
    assert np.median([beat.length for beat in beats]) == pytest.approx(PERIOD, abs=2e-3)
    for values in times.values():
        np.testing.assert_allclose(values, delay, atol=error)


def test_spikes_in_the_diastole_are_no_beats():
    record = delayed(0.07, 100.0)
    spikes = record.proximal + 18 * sum(np.exp(-(((record.times - 0.95 - PERIOD * k) / 0.02) ** 2)) for k in range(8))
    beats, times = transit_times(two_sites("spiky", 100.0, spikes, record.distal))
    assert np.diff([beat.upstroke for beat in beats]) == pytest.approx(PERIOD, abs=0.02)
    np.testing.assert_allclose(times["foot_to_foot"], 0.07, atol=1e-3)


def test_intervals_of_the_mean_cover_the_delay():
    inside = 0
    for seed in range(20):
        _, times = transit_times(delayed(0.07, 100.0, 10.0, noise=0.03, seed=seed))
        low, high = np.quantile(bootstrap_means(times["least_squares"], 400, seed), [0.025, 0.975])
        inside += low - 1e-3 <= 0.07 <= high + 1e-3
    assert inside >= 16  # eight beats: the bootstrap is a little narrow


def test_bootstrap_is_the_standard_error_and_knows_when_there_is_none():
    values = np.array([1.0, 2.0, 3.0, 4.0, np.nan])
    drawn = bootstrap_means(values, 20_000, 1)
    assert drawn.mean() == pytest.approx(2.5, abs=0.02)
    assert drawn.std() == pytest.approx(np.std(values[:4]) / 2, rel=0.03)
    assert np.isnan(bootstrap_means(np.array([1.0, np.nan]), 5, 0)).all()


def biases(waves):
    return {name: error[0] for name, error in method_bias(waves, 1000.0, 6, (0.0, 0.0), 1, 0).items()}


@pytest.mark.slow
def test_small_waves_in_an_endless_tube_travel_at_its_speed():
    """The simulator and the methods against path over speed, which knows neither."""
    waves = tube_waves(0.3, 6.0, 0.8, 0.0, cells=200, peak_velocity=1e-3, viscosity=0.0)
    assert waves.transit == pytest.approx(0.05, rel=1e-6) and waves.speed == pytest.approx(6.0, rel=1e-6)
    for name, error in biases(waves).items():
        assert abs(error) < 1e-3, name


@pytest.mark.slow
def test_large_waves_run_ahead_and_reflections_mislead_all_but_the_foot():
    endless, reflecting = (biases(tube_waves(0.3, 6.0, 0.8, part, cells=200)) for part in (0.0, 0.5))
    assert -0.02 < endless["foot_to_foot"] < 0
    assert all(-0.08 < error < -0.02 for name, error in endless.items() if name != "foot_to_foot")  # pressed walls carry waves faster
    assert abs(reflecting["foot_to_foot"]) < 0.06
    assert reflecting["cross_correlation"] < -0.3


@pytest.mark.slow
def test_noise_that_is_put_in_is_found():
    waves = tube_waves(0.3, 6.0, 0.8, 0.0, cells=200)
    record = recorded_tube(waves, 100.0, 20, (0.05, 0.08), 3)
    beats, _ = transit_times(record)
    near, far = noise_of(record, beats)
    assert near == pytest.approx(0.05, rel=0.35) and far == pytest.approx(0.08, rel=0.35)


def test_speed_and_wall_are_inverse_and_those_of_the_simulator():
    speed = np.array([4.0, 6.0, 10.0])
    assert distensibility_of_speed(4.0, 1060.0) == pytest.approx(58.96e-6, rel=1e-3)
    np.testing.assert_allclose(speed_of_distensibility(distensibility_of_speed(speed, 1060.0), 1060.0), speed, rtol=1e-12)
    modulus = modulus_of_speed(speed, 1060.0, 9e-3, 1e-3)
    np.testing.assert_allclose(speed_of_modulus(modulus, 1060.0, 9e-3, 1e-3), speed, rtol=1e-12)
    import jax.numpy as jnp

    from physics.artery_wall import wall_stiffness

    area = jnp.full(3, jnp.pi * 9e-3**2)
    wall = ArteryWall(area, wall_stiffness(modulus, 1e-3, 9e-3), jnp.zeros(3), jnp.asarray(1060.0))
    np.testing.assert_allclose(wall.wave_speed(area), speed, rtol=1e-12)
    step = 1e-6 * area  # the compliance of that wall by differences
    slope = (wall.pressure(area + step) - wall.pressure(area - step)) / (2 * step)
    np.testing.assert_allclose(1 / (area * slope), distensibility_of_speed(speed, 1060.0), rtol=1e-6)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"signal": np.zeros((500, 3)), "f": 100}, r"signal \(500, 3\)"),
        ({"signal": np.zeros((500, 2))}, "without f"),
        ({"signal": np.zeros((500, 2)), "f": 100}, "stands still"),
        ({"signal": np.full((500, 2), np.nan), "f": 100}, "gaps at the proximal site"),
        ({"signal": np.random.default_rng(0).random((200, 2)), "f": 100}, "200 and 200 samples"),
        ({"signal": np.random.default_rng(0).random((500, 2)), "f": 5}, "5 samples per second"),
    ],
)
def test_bad_files_are_refused(tmp_path, content, words):
    savemat(tmp_path / "bad.mat", content)
    with pytest.raises(InputError, match=words):
        read_two_sites(tmp_path / "bad.mat")


def test_no_file_no_matlab_file_and_no_pulse(tmp_path):
    with pytest.raises(InputError, match="no file"):
        read_two_sites(tmp_path / "none.mat")
    (tmp_path / "text.mat").write_text("time,left,right\n0,1,2\n", encoding="utf-8")
    with pytest.raises(InputError, match="does not open"):
        read_two_sites(tmp_path / "text.mat")
    noise = np.random.default_rng(0).standard_normal((2, 1000))
    with pytest.raises(InputError, match=r"without a period|whole beats"):
        transit_times(two_sites("noise", 100.0, *noise))
    # transposed, as some save it
    record = delayed(0.07, 100.0)
    savemat(tmp_path / "rows.mat", {"signal": np.stack([record.proximal, record.distal]), "f": 100})
    np.testing.assert_array_equal(read_two_sites(tmp_path / "rows.mat").distal, record.distal)
