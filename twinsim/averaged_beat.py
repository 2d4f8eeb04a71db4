"""One beat of many leads out of a recording: the median of its beats, aligned, and where its QRS complex begins and ends."""

from dataclasses import dataclass

import numpy as np

from twinsim.errors import InputError

BEFORE_MS, AFTER_MS = 250, 550  # of what is cut out round the steepest moment
APART_MS = 300  # no two beats are nearer
SMOOTH_MS = 12.0  # standard deviation, of the slope that beats are found by
ALIGN_MS = 20  # most that a beat is moved to fit the median
ALIKE = 0.9  # correlation with the median below which a beat is left out: another kind of beat, or noise
EDGE_MS = 3.0  # of the slope that its edges are found by
EDGE = 0.08  # of the steepest slope: where the QRS complex begins and ends


@dataclass(frozen=True, eq=False)
class AveragedBeat:
    """A beat every ms.

    Attributes:
        values: ``(signals, samples)`` in the unit of the recording; zero is the level just before the QRS complex.
        onset: Sample at which the QRS complex begins.
        offset: At which it ends.
        beats: How many were averaged.
        found: How many the recording has.
        spread: Standard deviation of these round the median, per signal, over the QRS complex.
        interval_ms: Median time between beats.
    """

    values: np.ndarray
    onset: int
    offset: int
    beats: int
    found: int
    spread: np.ndarray
    interval_ms: float

    @property
    def qrs_ms(self) -> float:
        """Duration of the QRS complex."""
        return float(self.offset - self.onset)


def averaged_beat(values: np.ndarray, rate_hz: float) -> AveragedBeat:
    """Finds beats by the slope of all signals together, aligns them, and takes the median.

    Args:
        values: ``(samples, signals)``.
        rate_hz: Samples per second.

    Raises:
        InputError: Fewer than three beats alike, or a recording that is not finite.

    The edges are where the smoothed slope passes 8 % of its largest value, which shifts them by some ms against a reader's; a QRS
    complex that ends in a flat ramp is found too short.
    """
    if not np.isfinite(values).all() or len(values) < 2 * rate_hz:
        raise InputError(f"a recording of {len(values) / rate_hz:.3g} s or with gaps", "two seconds or more, finite", "cut it out")
    count = int(len(values) * 1000 / rate_hz)
    moments = np.arange(count) * rate_hz / 1000
    signals = np.stack([np.interp(moments, np.arange(len(values)), one) for one in values.T])
    slope = _smooth(slopes(signals), SMOOTH_MS)
    level, peaks, here = 0.4 * float(np.percentile(slope, 99)), [], 0
    while here < len(slope):
        if slope[here] > level:
            peak = here + int(np.argmax(slope[here : here + APART_MS]))
            peaks.append(peak)
            here = peak + APART_MS
        else:
            here += 1
    inside = [peak for peak in peaks if BEFORE_MS + ALIGN_MS <= peak < count - AFTER_MS - ALIGN_MS]
    if len(inside) < 3:
        raise InputError(f"{len(inside)} beats", "at least three", "give a longer recording")
    median = np.median([_cut(signals, peak) for peak in inside], axis=0)
    places, likeness = (), ()
    for _ in range(2):  # the first median is of beats that are not aligned yet
        places, likeness = zip(*(_aligned(signals, peak, median) for peak in inside), strict=True)
        median = np.median([_cut(signals, place) for place in places], axis=0)
    kept = [_cut(signals, place) for place, alike in zip(places, likeness, strict=True) if alike > ALIKE]
    if len(kept) < 3:
        raise InputError(f"{len(kept)} beats alike of {len(inside)}", "at least three", "choose a quieter recording")
    median = np.median(kept, axis=0)
    steep = slopes(median)
    middle = BEFORE_MS
    part = steep[middle - 120 : middle + 160]
    above = np.flatnonzero(part > EDGE * part.max()) + middle - 120
    onset, offset = int(above[0]), int(above[-1])
    rest = median[:, max(0, onset - 20) : max(1, onset - 4)].mean(axis=1, keepdims=True)
    spread = np.std(np.stack(kept)[:, :, onset:offset] - median[None, :, onset:offset], axis=(0, 2))
    return AveragedBeat(median - rest, onset, offset, len(kept), len(peaks), spread, float(np.median(np.diff(peaks))))


def slopes(beat: np.ndarray) -> np.ndarray:
    """Slope of all signals together, lightly smoothed: what the edges of the QRS complex are read from."""
    quiet = np.stack([_smooth(one, EDGE_MS) for one in beat])
    return _smooth(np.abs(np.diff(quiet, axis=1)).sum(axis=0), EDGE_MS)


def _smooth(values: np.ndarray, width: float) -> np.ndarray:
    """By a bell of this standard deviation, which has one top where a box would have a plateau."""
    bell = np.exp(-0.5 * (np.arange(-round(4 * width), round(4 * width) + 1) / width) ** 2)
    return np.convolve(values, bell / bell.sum(), mode="same")


def _cut(signals: np.ndarray, place: int) -> np.ndarray:
    """A beat without its mean, so that a drifting baseline does not count."""
    beat = signals[:, place - BEFORE_MS : place + AFTER_MS]
    return beat - beat.mean(axis=1, keepdims=True)


def _aligned(signals: np.ndarray, peak: int, median: np.ndarray) -> tuple[int, float]:
    """Where a beat fits the median best, and their correlation there."""
    best = max(range(-ALIGN_MS, ALIGN_MS + 1), key=lambda shift: float(np.vdot(_cut(signals, peak + shift), median)))
    beat = _cut(signals, peak + best)
    return peak + best, float(np.vdot(beat, median) / np.sqrt(np.vdot(beat, beat) * np.vdot(median, median)))
