"""The history of benchmarks: one line of JSON per measurement, one file per device, only ever appended to."""

import errno
import fcntl
import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from twinsim.errors import InputError, near_misses

Entry = dict[str, Any]

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def history_folder(named: Path | None = None) -> Path:
    """Where the history lies: ``named``, else `TWINSIM_HISTORY`, else `twinsim/bench` in the user's folder for data."""
    if named is not None:
        return named.expanduser()
    if variable := os.environ.get("TWINSIM_HISTORY"):
        return Path(variable).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "twinsim" / "bench"
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "twinsim" / "bench"


def device_name(machine: Mapping[str, Any]) -> str:
    """A file name for a machine, e.g. ``cpu-amd-epyc-9b45-x2`` or ``gpu-nvidia-h100-80gb-hbm3-x1``."""
    on_processor = machine.get("backend") in ("cpu", "unknown")
    what = machine.get("processor" if on_processor else "device", "unknown")
    count = machine.get("cores" if on_processor else "devices", 1)
    return re.sub(r"[^a-z0-9]+", "-", f"{machine.get('backend', 'unknown')} {what} x{count}".lower()).strip("-")


def append(entry: Entry, folder: Path) -> Path:
    """Append an entry to the file of its device, completely or not at all; what is there is never rewritten.

    Raises:
        InputError: The disk is full, or the folder cannot be written to.
    """
    path = folder / f"{device_name(entry['machine'])}.jsonl"
    line = json.dumps(entry, allow_nan=False).encode() + b"\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab+", buffering=0) as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # two benchmarks may end at once
            size = file.seek(0, os.SEEK_END)
            if size:
                file.seek(size - 1)
                if file.read(1) != b"\n":  # somebody's line was cut off: ours starts a new one
                    line = b"\n" + line
            try:
                _write_all(file.fileno(), line)
                os.fsync(file.fileno())
            except OSError:
                with suppress(OSError):
                    os.ftruncate(file.fileno(), size)
                raise
    except OSError as error:
        full = error.errno in _FULL
        raise InputError(
            got=f"{os.strerror(error.errno or 0)!r} while appending to {path}",
            expected="free space for a line of the history" if full else "a folder that can be written to",
            do="free some space (the history is as it was)" if full else "give another folder with --history DIR",
        ) from error
    return path


def _write_all(descriptor: int, content: bytes) -> None:
    while content:
        content = content[os.write(descriptor, content) :]


def read(path: Path) -> list[Entry]:
    """The entries of one file, oldest first. A line that cannot be read is skipped with one message and stays in the file.

    A file that `twinsim bench --json FILE` wrote is read too: its numbers, of an unknown machine.

    Raises:
        InputError: There is no such file, or nothing in it is a measurement.
    """
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise InputError(
            got=f"{path}: {os.strerror(error.errno or 0)}",
            expected="a history file of twinsim bench",
            do="name an existing file; `twinsim bench history` says where they are",
        ) from error
    plain = _plain_numbers(text, path)
    if plain is not None:
        return plain
    entries, bad = [], []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        entry = _entry(line)
        if entry is None:
            bad.append(number)
        else:
            entries.append(entry | {"file": str(path)})
    if bad:
        lines = f"line{'s' if len(bad) > 1 else ''} {', '.join(map(str, bad[:5]))}{' and more' if len(bad) > 5 else ''}"
        print(f"history: {path}: {lines} cannot be read and {'are' if len(bad) > 1 else 'is'} skipped", file=sys.stderr)
    return entries


def read_folder(folder: Path, device: str | None = None) -> list[Entry]:
    """The entries of every file in ``folder`` whose name contains ``device``, oldest first.

    Raises:
        InputError: There is no history, or none of such a device.
    """
    files = sorted(folder.glob("*.jsonl"))
    if not files:
        raise InputError(
            got=f"no history in {folder}", expected="files *.jsonl", do="run `twinsim bench NAME` first, or give --history DIR"
        )
    chosen = [path for path in files if device is None or device.lower() in path.stem]
    if not chosen:
        raise InputError(
            got=f"device {device!r}",
            expected="part of the name of a history file",
            do=f"correct it; {near_misses(device or '', [path.stem for path in files])}",
        )
    return sorted((entry for path in chosen for entry in read(path)), key=lambda entry: entry["date"])


def runs(entries: Sequence[Entry]) -> list[list[Entry]]:
    """Entries grouped by the invocation that measured them, oldest first."""
    grouped: dict[str, list[Entry]] = {}
    for entry in entries:
        grouped.setdefault(entry["run"], []).append(entry)
    return list(grouped.values())


def select(entries: Sequence[Entry], text: str) -> list[Entry]:
    """The entries that ``text`` names.

    Args:
        entries: As :func:`read` or :func:`read_folder` returns them.
        text: ``last`` or ``last~2`` (invocations before the last), the number of an invocation as `twinsim bench history` counts
            them, the start of a date (2026-11-22) or of a git revision, or a note, whole or a part of it.

    Raises:
        InputError: Nothing fits; the message offers near misses.
    """
    invocations = runs(entries)
    if match := re.fullmatch(r"last(?:~(\d+))?", text):
        return list(_invocation(invocations, len(invocations) - int(match[1] or 0), text))
    if re.fullmatch(r"\d{1,5}", text):
        return list(_invocation(invocations, int(text), text))
    for key, whole in (("note", True), ("run", True), ("date", False), ("git_revision", False), ("note", None)):
        found = [entry for entry in entries if _fits(str(entry.get(key) or ""), text, whole)]
        if found and (len(text) >= 4 or key == "note"):
            return found
    known = {"last", *(str(entry[key]) for entry in entries for key in ("note", "git_revision", "date") if entry.get(key))}
    raise InputError(
        got=f"measurement {text!r}",
        expected="a history file, last, last~N, a number, date, git revision or note from `twinsim bench history`",
        do=f"correct it; {near_misses(text, known)}",
    )


def _fits(value: str, text: str, whole: bool | None) -> bool:
    return value == text if whole else text in value if whole is None else value.startswith(text)


def _invocation(invocations: Sequence[list[Entry]], number: int, text: str) -> list[Entry]:
    if not 1 <= number <= len(invocations):
        raise InputError(
            got=f"measurement {text!r}",
            expected=f"one of the {len(invocations)} in the history (`last~0` to `last~{max(0, len(invocations) - 1)}`)",
            do="choose one that `twinsim bench history` shows",
        )
    return invocations[number - 1]


def _entry(line: str) -> Entry | None:
    try:
        entry = json.loads(line)
    except json.JSONDecodeError:
        return None
    if not isinstance(entry, dict):
        return None
    texts = all(isinstance(entry.get(key), str) for key in ("run", "date", "benchmark"))
    tables = all(isinstance(entry.get(key), dict) for key in ("numbers", "config", "machine"))
    return entry if texts and tables else None


def _plain_numbers(text: str, path: Path) -> list[Entry] | None:
    """What ``--json FILE`` wrote, as entries; None for anything else."""
    try:
        content = json.loads(text)
    except json.JSONDecodeError:
        return None
    if not isinstance(content, dict) or _entry(text) is not None:
        return None
    if not content or not all(isinstance(numbers, dict) for numbers in content.values()):
        raise InputError(
            got=f"{path}, which holds no benchmarks", expected="a history file, or what --json FILE wrote", do="name another file"
        )
    base = {"run": str(path), "date": "", "config": {}, "machine": {}, "file": str(path)}
    return [base | {"benchmark": name, "numbers": numbers} for name, numbers in content.items()]
