"""How wrong each method of transit time is on a simulated artery, where the speed of the wave is known."""

from dataclasses import dataclass

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from physics import beat, beat_mesh, run_to_period
from physics.artery_tube import artery_tube
from twinsim.transit_time import BEFORE_S, METHODS, SMOOTH_S, UPSTROKE_S, Beat, smoothed, transit_times
from twinsim.two_site_record import TwoSiteRecord, two_sites

QUARTER, THREE_QUARTERS = 1, 3
"""Stations of a vessel that stand for the two sites: half of the tube apart."""
SAMPLES = 1001
"""Of a period."""

_beat = eqx.filter_jit(beat)


@dataclass(frozen=True, eq=False)
class TubeWaves:
    """One period at the two sites.

    Attributes:
        times: s, the end of the period included.
        velocity: ``(2, times)``, m/s.
        pressure: ``(2, times)``, Pa.
        transit: Seconds that a small wave takes from one site to the other at the moment before the pulse: the truth.
        speed: The tube's wave speed then, m/s, without the blood's velocity.
    """

    times: np.ndarray
    velocity: np.ndarray
    pressure: np.ndarray
    transit: float
    speed: float


def tube_waves(
    path: float,
    speed: float,
    period: float,
    reflection: float,
    cells: int = 300,
    beats: int = 12,
    peak_velocity: float = 0.8,
    viscosity: float = 4e-3,
) -> TubeWaves:
    """The periodic state of a tube of twice the path, sites at a quarter and three quarters of it.

    Args:
        path: Between the sites, m.
        speed: Of small waves at rest, m/s.
        period: s.
        reflection: Coefficient of the far end.
        cells: Of the tube, to the nearest four.
        beats: Most of them; the tube rings longer where it reflects more.
        peak_velocity: Of the blood that enters, m/s; small for waves that do not steepen.
        viscosity: Of the blood, Pa s.
    """
    cells = 4 * round(cells / 4)  # so that the sites lie half of the tube apart
    network = artery_tube(2 * path, speed, period, cells, reflection, peak_velocity, viscosity=viscosity)
    mesh = beat_mesh(period, SAMPLES)
    found = run_to_period(network, beats, 0.5 * peak_velocity, SAMPLES, program=lambda network, state: _beat(network, state, mesh))
    found.raise_for_status()
    sites = np.array([QUARTER, THREE_QUARTERS])
    velocity, pressure, area = (np.asarray(wave[0, sites], float) for wave in (found.beat.velocity, found.beat.pressure, found.beat.area))
    wall = network.walls(np.zeros(2, int), np.array([0.25, 0.75]))
    # The pulse arrives at the second site while the first one has begun: each site counts just before its own rise.
    starts = [round(part * 2 * path / speed / period * (SAMPLES - 1)) - 1 for part in (0.25, 0.75)]
    at = [max(0, start) % SAMPLES for start in starts]
    here = jnp.array([area[site, place] for site, place in enumerate(at)])
    waves = np.asarray(wall.wave_speed(here), float)
    blood = np.array([velocity[site, place] for site, place in enumerate(at)])
    return TubeWaves(found.times, velocity, pressure, path / float((waves + blood).mean()), float(waves.mean()))


def noise_of(record: TwoSiteRecord, beats: list[Beat]) -> tuple[float, float]:
    """Standard deviation of the ends of all diastoles together over the height of the pulse, at both sites; drift counts as noise.

    The height is that of the median beat's highest sample.
    """
    parts = []
    for values in (record.proximal, record.distal):
        ends = [round((one.upstroke - UPSTROKE_S / 2) * record.rate_hz) for one in beats]
        count = round((UPSTROKE_S / 2 + BEFORE_S) * record.rate_hz)
        quiet = np.concatenate([values[end - count : end] for end in ends])
        tops = [values[end : end + round(one.length * record.rate_hz)].max() for end, one in zip(ends, beats)]
        parts.append(float(quiet.std() / (np.median(tops) - quiet.mean())))
    return parts[0], parts[1]


def recorded_tube(waves: TubeWaves, rate_hz: float, beats: int, noise: tuple[float, float], seed: int) -> TwoSiteRecord:
    """The tube's velocities as a recorder would write them.

    Sampled at ``rate_hz`` from a random moment, with noise that is as smooth as a Doppler envelope is (:data:`SMOOTH_S`) and has the
    standard deviation ``noise`` at each site, as a part of the height of the pulse there.
    """
    random = np.random.default_rng(seed)
    period = float(waves.times[-1])
    moments = random.uniform(0, period) + np.arange(round((beats + 2) * period * rate_hz)) / rate_hz
    sites = []
    for wave, part in zip(waves.velocity, noise):
        values = np.interp(moments % period, waves.times, wave)
        rough = smoothed(random.standard_normal(values.size), SMOOTH_S * rate_hz)
        sites.append(values + part * np.ptp(wave) * rough / rough.std())
    return two_sites("tube", rate_hz, *sites)


def method_bias(
    waves: TubeWaves, rate_hz: float, beats: int, noise: tuple[float, float], repeats: int, seed: int, longest: float = 0.3
) -> dict[str, tuple[float, float, float]]:
    """Of each method: mean error over the truth, standard deviation of a record's mean, and standard deviation of single beats, all as
    parts of the true transit time; NaN where a method found nothing.
    """
    means: dict[str, list[float]] = {name: [] for name in METHODS}
    spreads: dict[str, list[float]] = {name: [] for name in METHODS}
    for number in range(repeats):
        _, times = transit_times(recorded_tube(waves, rate_hz, beats, noise, seed + number), longest)
        for name, values in times.items():
            kept = values[np.isfinite(values)]
            if kept.size:
                means[name].append(float(kept.mean()))
                spreads[name].append(float(kept.std()))
    found = {}
    for name, values in means.items():
        if values:
            errors = np.array(values) / waves.transit - 1
            found[name] = (float(errors.mean()), float(errors.std()), float(np.mean(spreads[name])) / waves.transit)
        else:
            found[name] = (np.nan, np.nan, np.nan)
    return found
