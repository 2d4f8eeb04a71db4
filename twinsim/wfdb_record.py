"""Reads a PhysioNet (WFDB) record: a header and signals packed in 12 or 16 bits."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from twinsim.data import locate
from twinsim.errors import InputError, near_misses

RECORDS = {"ptb_s0010": "s0010_re", "mit_bih_100": "100"}  # how twinsim calls records of the data set wfdb, and their files
FIELD = re.compile(r"^(?P<gain>[-+0-9.eE]+)?(\((?P<baseline>-?\d+)\))?(/(?P<unit>\S+))?$")


@dataclass(frozen=True)
class Signal:
    """One channel.

    Attributes:
        name: As the header says.
        unit: Physical unit; mV where the header names none.
        rate: Samples per second.
        values: In the unit; NaN where the record marks a sample as invalid.
    """

    name: str
    unit: str
    rate: float
    values: np.ndarray

    @property
    def times(self) -> np.ndarray:
        """s from the start of the record."""
        return np.arange(len(self.values)) / self.rate


@dataclass(frozen=True)
class WfdbRecord:
    """A record.

    Attributes:
        name: Of the record.
        signals: In the order of the header.
        comments: Lines of the header about the patient.
    """

    name: str
    signals: tuple[Signal, ...]
    comments: tuple[str, ...] = ()

    def signal(self, name: str) -> Signal:
        """The channel of that name.

        Raises:
            InputError: There is none.
        """
        for one in self.signals:
            if one.name == name:
                return one
        names = [one.name for one in self.signals]
        raise InputError(f"channel {name!r} of record {self.name}", "a channel of the record", near_misses(name, names))


def record_path(name: str) -> Path:
    """Where a record of the data set `wfdb` lies, without ending; by the name in :data:`RECORDS` or that of its files.

    Raises:
        InputError: The data set or the record is not there.
    """
    path = locate("wfdb") / RECORDS.get(name, name)
    if not path.with_suffix(".hea").is_file():
        raise InputError(f"record {name}", ", ".join(RECORDS), near_misses(name, RECORDS))
    return path


def read_wfdb(path: str | Path) -> WfdbRecord:
    """Reads ``NAME.hea`` and the files of signals that it names; formats 212 and 16, several samples per frame included.

    Raises:
        InputError: No such file, a header that is none, formats other than 212 or 16 or mixed, or a file that is too short.
    """
    path = Path(path).with_suffix(".hea")
    try:
        text = [line for line in path.read_text(encoding="latin-1").splitlines() if line.strip()]
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}", "a WFDB header", "check the path") from error
    lines = [line for line in text if not line.startswith("#")]
    comments = tuple(line.lstrip("# ").strip() for line in text if line.startswith("#") and line.strip("# "))
    try:
        head = lines[0].split()
        count, rate = int(head[1]), float(head[2].split("/")[0].split("(")[0]) if len(head) > 2 else 250.0
        rows = [line.split() for line in lines[1 : count + 1]]
        formats = [re.match(r"(\d+)(?:x(\d+))?", row[1]) for row in rows]
        kinds, per_frame = [int(f[1]) for f in formats if f], [int(f[2] or 1) for f in formats if f]
        fields = [FIELD.match(row[2]) if len(row) > 2 else None for row in rows]
        zeros = [int(row[4]) if len(row) > 4 else 0 for row in rows]
        if not rows or len(rows) != count or len(kinds) != count:
            raise ValueError("signals are missing")
    except (ValueError, IndexError) as error:
        raise InputError(f"{path}, which is no WFDB header ({error})", "a record line and one line per signal", "check the file") from error
    if set(kinds) not in ({212}, {16}):
        raise InputError(f"{path} with formats {sorted(set(kinds))}", "all signals in format 212 or 16", "convert the record")
    tables: dict[str, np.ndarray] = {}
    for name in {row[0] for row in rows}:
        width = sum(each for row, each in zip(rows, per_frame, strict=True) if row[0] == name)
        data = _samples(path.with_name(name), kinds[0])
        frames = int(head[3]) if len(head) > 3 else len(data) // width
        if len(data) < frames * width:
            raise InputError(f"{name} with {len(data)} samples", f"{frames * width}", "fetch the whole file")
        tables[name] = data[: frames * width].reshape(frames, width)
    signals: list[Signal] = []
    columns = dict.fromkeys(tables, 0)
    for row, field, zero, each in zip(rows, fields, zeros, per_frame, strict=True):
        gain = float(field["gain"]) if field and field["gain"] and float(field["gain"]) else 200.0
        baseline = int(field["baseline"]) if field and field["baseline"] else zero
        column = columns[row[0]]
        raw = tables[row[0]][:, column : column + each].reshape(-1).astype(float)
        raw[raw == (-2048 if kinds[0] == 212 else -32768)] = np.nan
        unit = field["unit"] if field and field["unit"] else "mV"
        name = " ".join(row[8:]) or f"signal {len(signals)}"
        signals.append(Signal(name, unit, rate * each, (raw - baseline) / gain))
        columns[row[0]] += each
    return WfdbRecord(path.stem, tuple(signals), comments)


def _samples(path: Path, kind: int) -> np.ndarray:
    try:
        packed = np.fromfile(path, dtype=np.uint8)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}", "the signals that the header names", "put them beside it") from error
    if kind == 16:
        return packed[: len(packed) // 2 * 2].view("<i2").astype(int)
    triples = packed[: len(packed) // 3 * 3].reshape(-1, 3).astype(int)
    pairs = np.stack([triples[:, 0] | (triples[:, 1] & 0x0F) << 8, triples[:, 2] | (triples[:, 1] & 0xF0) << 4], axis=1).reshape(-1)
    return np.where(pairs > 2047, pairs - 4096, pairs)
