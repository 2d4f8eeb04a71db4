"""Files that intracranial recordings come in, as one table: NPZ, EDF and EDF+, CSV."""

import csv
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from twinsim.errors import InputError, near_misses

LAYOUT = (
    "an EDF file, a CSV table with time_s and one column per channel, or an NPZ file with ecog (channels, samples), channels, time_s and fs"
)
NAMES = ("ecog", "channels", "time_s", "fs")
MOST = 2**28
"""Samples, of all channels together, that are read."""


def read_table(path: Path, onset_s: float | None, span_s: tuple[float, float], leave_out: tuple[str, ...] = ()) -> dict[str, Any]:
    """``ecog`` (channels, samples), ``channels``, ``time_s`` from the onset, ``fs`` in Hz and perhaps ``soz``, whatever the file.

    Args:
        path: Ending in .npz, .edf or .csv.
        onset_s: Onset from the start of an EDF or CSV file, in s. Left out: of an EDF+ file, the first annotation that says "onset" or
            "seizure"; of a CSV table, zero of its times.
        span_s: What is kept round the onset of an EDF or CSV file, in s.
        leave_out: Channels that are no intracranial ones.

    Raises:
        InputError: No such file, another layout, no onset, an onset or span outside of the file, rates that differ between channels.
    """
    if not path.is_file():
        raise InputError(f"no recording {path}", f"ieeg_ictal or {LAYOUT}", "correct the path")
    readers = {".npz": _npz, ".edf": _edf, ".csv": _csv}
    if path.suffix.lower() not in readers:
        raise InputError(f"{path.name}", LAYOUT, "convert it")
    held = readers[path.suffix.lower()](path, leave_out)
    return held if path.suffix.lower() == ".npz" else _round_onset(path, held, onset_s, span_s)


def _round_onset(path: Path, held: dict[str, Any], onset_s: float | None, span_s: tuple[float, float]) -> dict[str, Any]:
    times = held["time_s"]
    onset = held.pop("marked", None) if onset_s is None else onset_s
    if onset is None:
        do = "give --onset-s, or an annotation that says onset or seizure"
        raise InputError(f"{path.name} without a marked onset", "the moment at which the seizure begins", do)
    if not times[0] <= onset <= times[-1]:
        raise InputError(f"an onset at {onset:g} s", f"{times[0]:g} to {times[-1]:g} s, the times of {path.name}", "correct --onset-s")
    kept = (times - onset >= span_s[0]) & (times - onset <= span_s[1])
    if not kept.any():
        raise InputError(f"a span of {span_s[0]:g} to {span_s[1]:g} s round {onset:g} s", f"some of {path.name}", "correct --span-s")
    return held | {"ecog": held["ecog"][:, kept], "time_s": times[kept] - onset}


def _kept(path: Path, names: list[str], leave_out: tuple[str, ...]) -> np.ndarray:
    """Which channels stay."""
    unknown = [name for name in leave_out if name not in names]
    if unknown:
        raise InputError(
            f"{path.name} without channel {unknown[0]!r}, which is to be left out", "one of its own", near_misses(unknown[0], names)
        )
    return np.array([name not in leave_out for name in names], bool)


def _npz(path: Path, leave_out: tuple[str, ...]) -> dict[str, Any]:
    try:
        with np.load(path, allow_pickle=False) as content:
            held = {name: content[name] for name in content.files}
    except (ValueError, OSError, EOFError) as error:
        raise InputError(f"{path.name}, which does not open ({type(error).__name__})", LAYOUT, "save it with numpy.savez") from error
    missing = [name for name in NAMES if name not in held]
    if missing:
        raise InputError(f"{path.name} without {', '.join(missing)}", LAYOUT, "save them under these names")
    for name in ("ecog", "time_s", "fs"):
        if held[name].dtype.kind not in "fiu" or (name == "fs" and held[name].size != 1):
            got = f"{path.name}: {name} of type {held[name].dtype} and shape {held[name].shape}"
            raise InputError(got, "one number" if name == "fs" else "real numbers", "convert it")
    if "soz" in held and not np.isin(held["soz"], (0, 1)).all():
        raise InputError(f"{path.name}: soz with {np.ravel(held['soz'])[0]}", "a truth value per channel", "give True or False, 1 or 0")
    held |= {"fs": float(held["fs"].ravel()[0]), "channels": np.ravel(held["channels"])}
    kept = _kept(path, [str(one) for one in held["channels"]], leave_out)
    fitting = [name for name in ("ecog", "channels", "soz") if name in held and np.shape(held[name])[:1] == kept.shape]
    return held | {name: held[name][kept] for name in fitting}


def _edf(path: Path, leave_out: tuple[str, ...]) -> dict[str, Any]:
    import edfio

    try:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            file = edfio.read_edf(path)
        signals, notes = list(file.signals), list(file.annotations)
    except (ValueError, OSError, EOFError, IndexError, UnicodeDecodeError) as error:
        raise InputError(f"{path.name}, which does not read as EDF ({type(error).__name__})", "EDF or EDF+", "export it again") from error
    if any("data records" in str(one.message) or "Incomplete data record" in str(one.message) for one in said):
        raise InputError(f"{path.name}, which ends before its header says", "a whole EDF file", "copy or export it again")
    # Channels that are left out may have another rate: an electrocardiogram, a trigger.
    stays = _kept(path, [signal.label for signal in signals], leave_out)
    signals = [signal for signal, one in zip(signals, stays, strict=True) if one]
    if not signals:
        raise InputError(f"{path.name} without signals", "channels", "export it with its signals, and leave out fewer")
    every = [signal.sampling_frequency for signal in signals]
    rates = sorted(set(every))
    if len(rates) > 1:
        usual = max(rates, key=every.count)
        odd = [signal.label for signal, rate in zip(signals, every, strict=True) if rate != usual]
        got = f"{path.name} with channels of {rates[0]:g} and {rates[-1]:g} Hz"
        raise InputError(got, "one rate", f"--leave-out {' '.join(repr(one) if ' ' in one else one for one in odd[:5])}")
    if len(signals) * int(rates[0] * file.duration) > MOST:
        raise InputError(f"{path.name} with more than {MOST} samples", "a stretch round the seizure", "cut it when exporting")
    try:
        values = np.stack([np.asarray(signal.data, float) for signal in signals])
    except (ValueError, OSError, IndexError) as error:
        raise InputError(f"{path.name}, which does not read as EDF ({type(error).__name__})", "EDF or EDF+", "export it again") from error
    marked = [note.onset for note in notes if any(word in note.text.lower() for word in ("onset", "seizure"))]
    held = {"ecog": values, "channels": np.array([signal.label for signal in signals]), "fs": rates[0]}
    return held | {"time_s": np.arange(values.shape[1]) / rates[0], "marked": marked[0] if marked else None}


def _csv(path: Path, leave_out: tuple[str, ...]) -> dict[str, Any]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            head = [name.strip() for name in next(csv.reader(file), [])]
            table = np.loadtxt(file, delimiter=",", ndmin=2) if "time_s" in head else np.zeros((0, 0))
    except (ValueError, OSError) as error:
        got = f"{path.name}, which does not read as a table of numbers ({error})"
        raise InputError(got, "numbers under each name", "correct it") from error
    if "time_s" not in head or len(head) < 2:
        got = f"{path.name} with the columns {', '.join(head[:6]) or 'none'}"
        raise InputError(got, "time_s and one per channel", "name them so")
    if table.shape[0] < 3 or table.shape[1] != len(head):
        raise InputError(f"{path.name} with {table.shape[0]} rows of {table.shape[-1]} numbers", f"rows of {len(head)}", "correct it")
    place = head.index("time_s")
    times = table[:, place]
    steps = np.diff(times)
    if not (np.isfinite(steps).all() and steps.min() > 0):
        raise InputError(f"{path.name} with times that do not rise", "seconds in order", "sort the rows")
    stays = _kept(path, head, leave_out)
    kept = [k for k in range(len(head)) if k != place and stays[k]]
    return {
        "ecog": table[:, kept].T,
        "channels": np.array([head[k] for k in kept]),
        "time_s": times,
        "fs": 1 / float(np.median(steps)),
        "marked": 0.0,
    }
