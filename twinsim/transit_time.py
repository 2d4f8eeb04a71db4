"""The time that a pulse takes from one place of an artery to another, beat by beat, by four methods."""

from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from scipy.interpolate import CubicSpline

from twinsim.errors import InputError
from twinsim.two_site_record import TwoSiteRecord

APART = 0.6
"""Parts of the period: no two beats are nearer."""
PERIODS_S = (0.33, 2.0)
"""Of beats: 180 to 30 a minute."""
WIDE_S = 0.04
"""Standard deviation of the bell that beats are found through: spikes of half a tenth of a second, which Doppler records have at the end
of the systole, fade, a systole does not."""
SMOOTH_S = 0.015
"""Standard deviation of the bell that slopes are found through: a sample and a half at 100 Hz, an upstroke lasts six."""
BEFORE_S = 0.12
"""Of the level before the foot that is averaged, and of what of a beat comes before its upstroke."""
UPSTROKE_S = 0.2
"""How far before an upstroke its lowest point may lie."""
ALIKE = 0.5
"""Correlation between both sites below which a beat says nothing of a delay."""
GRID_S = 5e-4
"""Delays that are tried; a parabola through the best three gives the rest."""
EVERY = 4
"""Of them, from one moment that is compared to the next."""


class Beat(NamedTuple):
    """Where one beat lies.

    Attributes:
        upstroke: Moment of the steepest rise at the proximal site, s.
        length: To the next one, s.
    """

    upstroke: float
    length: float


class Foot(NamedTuple):
    """Where a rise begins: the tangent of its steepest point meets the level before it.

    Attributes:
        time: s; NaN where there is no rise.
        steepest: Moment of the steepest rise, s.
        value: The signal then.
        slope: There, per s.
        level: Before the rise.
    """

    time: float
    steepest: float
    value: float
    slope: float
    level: float


class Site:
    """One signal as a smooth curve with its derivative, to be read between samples.

    Args:
        values: Samples.
        rate_hz: Of them.
    """

    def __init__(self, values: np.ndarray, rate_hz: float) -> None:
        times = np.arange(len(values)) / rate_hz
        self.curve, self.end = CubicSpline(times, values), float(times[-1])
        self.rise = CubicSpline(times, smoothed(values, SMOOTH_S * rate_hz)).derivative()

    def inside(self, start: float, end: float) -> bool:
        """Whether this stretch was recorded."""
        return bool(start >= 0 and end <= self.end)


def find_beats(record: TwoSiteRecord) -> list[Beat]:
    """Beats of the proximal site by their steepest rises, whole ones only: those cut by the record's ends are left out.

    The period is that of the highest autocorrelation; rises are taken from the steepest down, none nearer to another than :data:`APART` of
    the period.

    Raises:
        InputError: Fewer than three, or no period.

    Fails where two beats in a row differ in length by more than two fifths: ectopic beats, atrial fibrillation.
    """
    rate, values = record.rate_hz, record.proximal
    times = np.arange(len(values)) / rate
    end = float(times[-1])
    wide = CubicSpline(times, smoothed(values, WIDE_S * rate))
    moments = np.arange(0, end, 2e-3)
    rise = wide(moments, 1)
    period = _period(wide(moments), 2e-3, record.name)
    tops = np.flatnonzero((rise[1:-1] >= rise[:-2]) & (rise[1:-1] > rise[2:])) + 1
    tops = tops[rise[tops] > 0.4 * np.percentile(rise, 99)]
    found: list[float] = []
    for moment in moments[tops[np.argsort(-rise[tops])]]:
        if all(abs(moment - other) >= APART * period for other in found):
            found.append(float(moment))
    sharp = Site(values, rate).rise
    upstrokes = []
    for moment in sorted(found):
        near = np.arange(max(0.0, moment - 0.08), min(end, moment + 0.08), 1e-3)
        upstrokes.append(float(near[np.argmax(sharp(near))]))
    beats = [Beat(start, after - start) for start, after in pairwise(upstrokes) if start >= UPSTROKE_S + BEFORE_S]
    if len(beats) < 3:
        raise InputError(f"{len(beats)} whole beats in {record.name}", "at least three", "record longer")
    return beats


def foot(site: Site, start: float, end: float) -> Foot:
    """The foot of the steepest rise between two moments, by intersecting tangents.

    The horizontal is the mean over :data:`BEFORE_S` before the lowest point that precedes the rise, so that noise of the diastole does not
    pull the foot as a minimum would. Source: Gaddum et al. (2013), Ann. Biomed. Eng. 41, 2617, foot to foot; Chiu et al. (1991), Am. Heart
    J. 121, 1460 (intersecting tangents).
    """
    start = max(start, UPSTROKE_S + BEFORE_S)
    nowhere = Foot(np.nan, np.nan, np.nan, np.nan, np.nan)
    if end <= start or not site.inside(start, end):
        return nowhere
    moments = np.arange(start, end, 1e-3)
    steepest = float(moments[np.argmax(site.rise(moments))])
    slope, value = float(site.rise(steepest)), float(site.curve(steepest))
    before = np.arange(steepest - UPSTROKE_S, steepest, 1e-3)
    lowest = float(before[np.argmin(site.curve(before))])
    level = float(site.curve(np.arange(lowest - BEFORE_S, lowest, 1e-3)).mean())
    if slope <= 0 or value <= level:
        return nowhere
    return Foot(steepest - (value - level) / slope, steepest, value, slope, level)


def foot_to_foot(proximal: Site, distal: Site, beat: Beat, longest: float) -> float:
    """Difference of the feet, s; NaN where there is none between 0 and ``longest``."""
    begin = foot(proximal, beat.upstroke - 0.05, beat.upstroke + 0.05)
    arrive = foot(distal, beat.upstroke, beat.upstroke + longest)
    delay = arrive.time - begin.time
    return delay if 0 < delay <= longest else np.nan


def least_squares(proximal: Site, distal: Site, beat: Beat, longest: float) -> float:
    r"""The delay $\tau$ with which the rise at the proximal site, from before its foot to its peak, fits the distal site best:
    least $\int(d(t+\tau)-a-b\,p(t))^2dt$ over $\tau$, $a$ and $b$, relative to the variance of $d$; that is the highest correlation.

    Source: Gaddum et al. (2013), the systolic rise matched by least squares, here with level and height free.
    """
    peak = np.arange(beat.upstroke, beat.upstroke + UPSTROKE_S, 1e-3)
    if not proximal.inside(peak[0], peak[-1]):
        return np.nan
    top = float(peak[np.argmax(proximal.curve(peak))])
    return _best_delay(proximal, distal, beat.upstroke - 0.1, top, longest)


def cross_correlation(proximal: Site, distal: Site, beat: Beat, longest: float) -> float:
    """As :func:`least_squares` over the whole beat: robust to noise, but reflections count. Source: Gaddum et al. (2013)."""
    return _best_delay(proximal, distal, beat.upstroke - BEFORE_S, beat.upstroke - BEFORE_S + beat.length, longest)


def phase_slope(proximal: Site, distal: Site, beat: Beat, longest: float, band: tuple[float, float] = (2.0, 10.0)) -> float:
    r"""The delay that turns the phases of the harmonics of one beat within a band (Hz) by most of what lies between both sites:
    $\tau$ of least $\sum_k|P_kD_k|\,(\arg(P_k^*D_k)+\omega_k\tau)^2$, the slope of phase over frequency through zero.

    Above the third harmonic or so reflections shift phases less and the apparent velocity nears that of the wave: McDonald (1974), *Blood
    Flow in Arteries*, chapter 15; Milnor (1989), *Hemodynamics*. The delay of the whole beat says which turn a phase belongs to. It fails
    where harmonics sink into noise: few are left above 10 Hz in Doppler records.
    """
    near = cross_correlation(proximal, distal, beat, longest)
    start = beat.upstroke - BEFORE_S
    if not np.isfinite(near) or not distal.inside(start, start + beat.length):
        return np.nan
    count = 512
    moments = start + beat.length * np.arange(count + 1) / count
    ends = np.linspace(0, 1, count + 1)
    spectra = []
    for site in (proximal, distal):
        values = site.curve(moments)
        values = values - values[0] - (values[-1] - values[0]) * ends  # a beat that does not close leaks into all harmonics
        spectra.append(np.fft.rfft(values[:-1]))
    omega = 2 * np.pi * np.arange(count // 2 + 1) / beat.length
    inside = (omega >= 2 * np.pi * band[0]) & (omega <= 2 * np.pi * band[1])
    cross, omega = (np.conj(spectra[0]) * spectra[1])[inside], omega[inside]
    weight, delay = np.abs(cross), near
    if omega.size < 2 or weight.sum() == 0:
        return np.nan
    for _ in range(20):
        phase = np.angle(cross * np.exp(1j * omega * delay))
        change = -float((weight * omega * phase).sum() / (weight * omega**2).sum())
        delay += change
        if abs(change) < 1e-9:
            break
    return delay if 0 < delay <= longest else np.nan


Method = Callable[[Site, Site, Beat, float], float]
METHODS: dict[str, Method] = {
    "foot_to_foot": foot_to_foot,
    "least_squares": least_squares,
    "cross_correlation": cross_correlation,
    "phase_slope": phase_slope,
}


def transit_times(record: TwoSiteRecord, longest: float = 0.3) -> tuple[list[Beat], dict[str, np.ndarray]]:
    """Seconds from the proximal to the distal site of every beat by every method; NaN where a method finds none.

    Args:
        record: Two signals of the same kind: both velocity, or both pressure.
        longest: Delay looked for, s; shorter than from a beat to the next one's rise.

    Raises:
        InputError: Fewer than three whole beats.

    A method in itself does not know waves that come back: see the bias of each against a simulated artery in
    ``haemodynamics/pulse_wave_velocity``.
    """
    beats = find_beats(record)
    sites = Site(record.proximal, record.rate_hz), Site(record.distal, record.rate_hz)
    return beats, {name: np.array([method(*sites, beat, longest) for beat in beats]) for name, method in METHODS.items()}


def bootstrap_means(values: np.ndarray, draws: int, seed: int) -> np.ndarray:
    """Means of ``draws`` resamples, with replacement, of the values that are finite; NaN where fewer than three are.

    Source: Efron (1979), Ann. Stat. 7, 1. It fails to see what is wrong in the same way in all beats: bias, and the path's length.
    """
    kept = values[np.isfinite(values)]
    if kept.size < 3:
        return np.full(draws, np.nan)
    return kept[np.random.default_rng(seed).integers(0, kept.size, (draws, kept.size))].mean(axis=1)


def _best_delay(proximal: Site, distal: Site, start: float, end: float, longest: float) -> float:
    """The delay of highest correlation of the distal site with this stretch of the proximal one; NaN at the edge or where it is low."""
    latest = min(longest, distal.end - end)
    if not proximal.inside(start, end) or end - start < 0.05 or latest < 2 * GRID_S:
        return np.nan
    count = round((end - start) / (EVERY * GRID_S))
    template = proximal.curve(start + EVERY * GRID_S * np.arange(count))
    template = template - template.mean()
    delays = GRID_S * np.arange(int(latest / GRID_S) + 1)
    grid = distal.curve(start + GRID_S * np.arange(EVERY * (count - 1) + len(delays)))
    shifted = np.lib.stride_tricks.sliding_window_view(grid, EVERY * (count - 1) + 1)[:, ::EVERY]
    size = np.sqrt(count * shifted.var(axis=1) * (template**2).sum())
    alike = shifted @ template / np.where(size > 0, size, 1)
    best = int(np.argmax(alike))
    if not 0 < best < len(delays) - 1 or alike[best] < ALIKE:
        return np.nan
    low, middle, high = alike[best - 1 : best + 2]
    return float(delays[best] + 0.5 * GRID_S * (low - high) / (low - 2 * middle + high))


def smoothed(values: np.ndarray, deviation: float) -> np.ndarray:
    """By a bell of this standard deviation, in samples."""
    width = max(1, round(4 * deviation))
    bell = np.exp(-0.5 * (np.arange(-width, width + 1) / deviation) ** 2)
    return np.convolve(np.pad(values, width, mode="edge"), bell / bell.sum(), mode="valid")


def _period(values: np.ndarray, step: float, name: str) -> float:
    """The first peak of the autocorrelation that is nearly as high as the highest, s: two periods correlate as well as one."""
    centred = values - values.mean()
    size = 2 * len(centred)
    lags = np.fft.irfft(np.abs(np.fft.rfft(centred, size)) ** 2, size)[: len(centred)] / np.arange(len(centred), 0, -1)
    first, last = round(PERIODS_S[0] / step), min(round(PERIODS_S[1] / step), len(centred) // 2)
    inner = lags[first:last]
    tops = first + 1 + np.flatnonzero((inner[1:-1] >= inner[:-2]) & (inner[1:-1] > inner[2:]))
    tops = tops[lags[tops] > max(0.4 * lags[0], 0.85 * lags[tops].max(initial=0.0))]
    if not tops.size:
        raise InputError(f"{name} without a period of {PERIODS_S[0]:g} to {PERIODS_S[1]:g} s", "a pulse", "choose another recording")
    return float(tops[0]) * step
