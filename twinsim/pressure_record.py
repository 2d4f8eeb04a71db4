"""Blood pressures of one person timed by an electrocardiogram: beats found, useless stretches masked."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from twinsim.errors import InputError
from twinsim.wfdb_record import WfdbRecord, read_wfdb

FLAT = 0.2
"""s without any change: a pulse never stands still so long, a disconnected line does."""
HIGHEST = 300.0
REFRACTORY = 0.25


@dataclass(frozen=True)
class PressureRecord:
    """What a monitor wrote.

    Attributes:
        name: Of the record.
        times: s.
        systemic: Arterial pressure, mmHg; NaN where masked.
        pulmonary: Pulmonary arterial pressure, mmHg; NaN where masked.
        beats: Times of the R waves, s.
        masked: Part of the samples masked per pressure.
    """

    name: str
    times: np.ndarray
    systemic: np.ndarray
    pulmonary: np.ndarray
    beats: np.ndarray
    masked: dict[str, float]


def read_pressures(source: str | Path | WfdbRecord, lead: str = "III", systemic: str = "ABP", pulmonary: str = "PAP") -> PressureRecord:
    """Reads a record with a lead and two pressures.

    Raises:
        InputError: What :func:`twinsim.wfdb_record.read_wfdb` refuses, a channel missing, another unit than mmHg, different rates, fewer
            than four beats, or a pressure with less than a quarter of its samples left.
    """
    record = source if isinstance(source, WfdbRecord) else read_wfdb(source)
    waves = [record.signal(systemic), record.signal(pulmonary)]
    for wave in waves:
        if wave.unit != "mmHg":
            raise InputError(f"{wave.name} in {wave.unit}", "mmHg", "convert the record")
    if waves[0].rate != waves[1].rate:
        raise InputError(f"rates {waves[0].rate:g} and {waves[1].rate:g} per second", "one rate for both pressures", "resample the record")
    cleaned, masked = [], {}
    for wave in waves:
        bad = useless(wave.values, wave.rate)
        masked[wave.name] = float(bad.mean())
        if bad.mean() > 0.75:
            raise InputError(f"{wave.name} with {100 * bad.mean():.0f} % masked", "a pressure that is connected", "choose another stretch")
        cleaned.append(np.where(bad, np.nan, wave.values))
    electrocardiogram = record.signal(lead)
    beats = r_waves(electrocardiogram.values, electrocardiogram.rate)
    if len(beats) < 4:
        raise InputError(f"{len(beats)} beats in lead {lead}", "at least 4", "choose another lead")
    return PressureRecord(record.name, waves[0].times, cleaned[0], cleaned[1], beats, masked)


def useless(values: np.ndarray, rate: float) -> np.ndarray:
    """Samples that are no pressure: missing, not above zero, above 300 mmHg, or in a stretch without a change for a fifth of a second."""
    bad = ~np.isfinite(values) | (values <= 0) | (values > HIGHEST)
    still = np.concatenate([[False], np.diff(values) == 0])
    length, first = max(2, round(FLAT * rate)), 0
    for i in range(1, len(values) + 1):
        if i == len(values) or not still[i]:
            if i - first >= length:
                bad[first:i] = True
            first = i
    return bad


def r_waves(values: np.ndarray, rate: float) -> np.ndarray:
    """Times of the R waves, s: where the lead, less its slow part, peaks above half of its tallest peaks; upright or inverted.

    Fails: on tall T waves, pacing spikes and movement: look at the report, and choose another lead.
    """
    finite = np.nan_to_num(values, nan=float(np.nanmedian(values)))
    width = max(1, round(0.3 * rate)) | 1
    padded = np.pad(finite, width // 2, mode="edge")
    sharp = finite - np.median(np.lib.stride_tricks.sliding_window_view(padded, width), axis=1)
    sharp = sharp * np.sign(np.percentile(sharp, 99.5) + np.percentile(sharp, 0.5))
    threshold = 0.5 * np.percentile(sharp, 99.5)
    found: list[int] = []
    for i in np.flatnonzero((sharp[1:-1] >= sharp[:-2]) & (sharp[1:-1] > sharp[2:]) & (sharp[1:-1] > threshold)) + 1:
        if found and i - found[-1] < REFRACTORY * rate:
            if sharp[i] > sharp[found[-1]]:
                found[-1] = int(i)
        else:
            found.append(int(i))
    return np.array(found) / rate


def onsets_around(beats: np.ndarray, end: float, before: int = 2) -> np.ndarray:
    """Beginnings of beats that cover a record from before its start to beyond its end: where none was seen, the median interval."""
    interval = float(np.median(np.diff(beats)))
    count = int(np.ceil(max(beats[0], 0.0) / interval)) + before
    early = beats[0] - interval * np.arange(count, 0, -1)
    late = beats[-1] + interval * np.arange(1, int(np.ceil(max(end - beats[-1], 0.0) / interval)) + 2)
    return np.concatenate([early, beats, late])
