"""Recordings of electrodes inside the skull round the onset of a seizure."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float
from scipy import signal

from twinsim.data import locate
from twinsim.errors import InputError
from twinsim.intracranial_files import LAYOUT, read_table

SLOWEST_HZ, FASTEST_HZ = 100.0, 50_000.0
CLIPPED = 0.02  # of a channel's samples that may sit at its largest or smallest value
QUANTILES = (0.05, 0.995)
ICTAL = "pt01_seizure1_ecog_84x3001.npz"
FRAGILITY = "pt01_fragility_reference.npz"


@dataclass(frozen=True, eq=False)
class IntracranialRecording:
    """What was recorded.

    Attributes:
        name: Of the recording.
        rate_hz: Samples per second.
        times: s, from the marked onset.
        values: ``(channels, samples)``, in whatever unit the recorder wrote.
        channels: Names.
        onset_zone: Channels that clinicians named, or None.
        dropped: Channels left out, and why.
    """

    name: str
    rate_hz: float
    times: Float[np.ndarray, " samples"]
    values: Float[np.ndarray, "channels samples"]
    channels: tuple[str, ...]
    onset_zone: Bool[np.ndarray, " channels"] | None
    dropped: dict[str, str]


def read_recording(
    source: str, onset_s: float | None = None, span_s: tuple[float, float] = (-10.0, 20.0), leave_out: tuple[str, ...] = ()
) -> IntracranialRecording:
    """The recording ``ieeg_ictal``, or a file (:func:`twinsim.intracranial_files.read_table`): EDF, CSV or NPZ.

    Channels that are flat or clipped are left out, with the reason.

    Args:
        source: Name or path.
        onset_s: See there.
        span_s: See there.
        leave_out: See there.

    Raises:
        InputError: No such file, another layout, values that are not finite, a name twice, times that do not go with the rate, a rate
            outside of 100 to 50,000 Hz, less than a second, or fewer than three channels of use.
    """
    path = locate("ieeg_ictal") / ICTAL if source == "ieeg_ictal" else Path(source)
    held = read_table(path, onset_s, span_s, leave_out)
    values, times = np.asarray(held["ecog"], float), np.asarray(held["time_s"], float).ravel()
    names, rate = tuple(str(one) for one in held["channels"]), float(held["fs"])
    if values.ndim != 2 or values.shape != (len(names), len(times)):
        got = f"ecog of shape {values.shape}, {len(names)} channels, {len(times)} times"
        raise InputError(f"{path.name}: {got}", LAYOUT, "give one row per channel")
    if len(set(names)) < len(names):
        raise InputError(f"{path.name}: channel {max(names, key=names.count)} twice", "names that differ", "rename one")
    if not SLOWEST_HZ <= rate <= FASTEST_HZ:
        raise InputError(f"{path.name}: {rate:g} Hz", f"{SLOWEST_HZ:g} to {FASTEST_HZ:g} Hz", "give samples per second")
    if not np.isfinite(times).all():
        raise InputError(f"{path.name}: time_s with values that are no numbers", "seconds from the onset", "correct it")
    if len(times) < rate:
        raise InputError(f"{path.name}: {len(times) / rate:.3g} s", "at least 1 s", "record longer")
    steps = np.diff(times)
    if np.abs(steps * rate - 1).max() > 0.01:
        got = f"time_s in steps of {steps.min():.4g} to {steps.max():.4g} s, fs {rate:g} Hz"
        raise InputError(f"{path.name}: {got}", f"steps of {1 / rate:.4g} s", "correct the rate")
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        got = f"{path.name}: {values[tuple(bad[0])]} in channel {names[bad[0][0]]} at {times[bad[0][1]]:.4g} s"
        raise InputError(got, "finite values", "leave the channel out, or cut the stretch")
    reasons = [_useless(row) for row in values]
    kept = np.array([not reason for reason in reasons])
    if kept.sum() < 3:
        raise InputError(f"{path.name}: {kept.sum()} channels that are neither flat nor clipped", "at least 3", "check the recording")
    zone = held.get("soz")
    if zone is not None and zone.shape != (len(names),):
        raise InputError(f"{path.name}: soz of shape {zone.shape}", f"({len(names)},), one truth value per channel", "correct it")
    dropped = {name: reason for name, reason in zip(names, reasons, strict=True) if reason}
    chosen = tuple(name for name, one in zip(names, kept, strict=True) if one)
    return IntracranialRecording(
        path.stem if source != "ieeg_ictal" else source, rate, times, values[kept], chosen,
        None if zone is None else np.asarray(zone, bool)[kept], dropped,
    )  # fmt: skip


def published_fragility() -> Float[np.ndarray, "channels windows"]:
    """The fragility map that was published with the recording ``ieeg_ictal``: windows of 250 ms every 125 ms from -1 s, all channels."""
    with np.load(locate("ieeg_ictal") / FRAGILITY, allow_pickle=False) as content:
        return np.asarray(content["frag"], float)


def log_envelope(
    recording: IntracranialRecording, band_hz: tuple[float, float], window_s: float, every_s: float
) -> tuple[np.ndarray, np.ndarray]:
    """Times and ``(times, channels)``: logarithm of the power of a band over a window, on the scale of an Epileptor's fast variable.

    Over all channels and times the 5 % quantile is -2 (rest) and the 99.5 % quantile 1 (seizing): amplitudes of channels are compared with
    each other, not with a stretch before the onset.
    """
    if not 0 < band_hz[0] < band_hz[1]:
        raise InputError(f"a band of {band_hz[0]:g} to {band_hz[1]:g} Hz", "the lower end first", "exchange the ends")
    if band_hz[1] >= recording.rate_hz / 2:
        raise InputError(f"a band of {band_hz[0]:g} to {band_hz[1]:g} Hz", f"within 0 to {recording.rate_hz / 2:g} Hz", "lower its end")
    width = max(3, 2 * round(window_s * recording.rate_hz / 2) + 1)
    length = recording.values.shape[1]
    if length < 4 * width:
        got = f"a window of {window_s:g} s in a recording of {length / recording.rate_hz:.3g} s"
        raise InputError(got, "a quarter of the recording at most", "shorten --window-s, or widen --span-s")
    filtered = signal.sosfiltfilt(signal.butter(4, band_hz, "band", fs=recording.rate_hz, output="sos"), recording.values, axis=1)
    window = np.hanning(width + 2)[1:-1]
    power = np.pad(filtered**2, ((0, 0), (width // 2, width // 2)), mode="reflect")
    smooth = signal.fftconvolve(power, (window / window.sum())[None], mode="valid", axes=1)
    every = max(1, round(every_s * recording.rate_hz))
    chosen = slice(width, recording.values.shape[1] - width, every)  # the ends belong to the filter
    feature = 0.5 * np.log(np.maximum(smooth[:, chosen], np.finfo(float).tiny)).T
    rest, seizing = np.quantile(feature, QUANTILES)
    return recording.times[chosen], 3 * (feature - rest) / (seizing - rest) - 2


def line_length(recording: IntracranialRecording, since_s: float = 0.0) -> Float[np.ndarray, " channels"]:
    """Mean absolute difference of neighbouring samples from a moment on: Esteller et al. 2001 (IEEE EMBS, 1707), divided by the count."""
    return np.abs(np.diff(recording.values[:, recording.times >= since_s], axis=1)).mean(axis=1)


def _useless(row: np.ndarray) -> str:
    span = np.ptp(row)
    if not span > 1e-9 * max(1.0, float(np.abs(row).max())):
        return "flat"
    at_ends = max(np.mean(row >= row.max() - 1e-9 * span), np.mean(row <= row.min() + 1e-9 * span))
    return "clipped" if at_ends > CLIPPED else ""
