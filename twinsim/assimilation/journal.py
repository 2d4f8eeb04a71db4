"""An append-only log that survives the end of its process at any moment."""

import fcntl
import json
import os
import zlib
from pathlib import Path
from typing import Any

from twinsim.atomic import atomic_path
from twinsim.errors import InputError

FORMAT = "twinsim journal 1"


class Journal:
    r"""Records in a file, one JSON text per line behind its CRC-32: ``a1b2c3d4 {...}\n``.

    :meth:`append` returns when the record is on the disk (``fsync``); what it has returned for is never lost. A process that is killed
    while it writes leaves the beginning of a line without its end: that record was never acknowledged, and opening the journal cuts it off.
    A complete line whose checksum is wrong is damage, which is refused, not skipped: the records behind it may depend on it.

    One process at a time: the file is locked while it is open (the lock ends with the process, however it ends).

    Args:
        path: The file; made with its head record where there is none.
        head: What the journal belongs to (model, method, seed); an existing journal must have the same.

    Raises:
        InputError: Open in another process, damaged, of another twin, or in a place that cannot be written.
    """

    def __init__(self, path: str | Path, head: dict[str, Any]) -> None:
        self.path = Path(path)
        head = {"format": FORMAT, **head}
        try:
            if not self.path.exists():
                with atomic_path(self.path) as temporary:
                    temporary.write_bytes(_line(head))
            self._file = self.path.open("r+b", buffering=0)  # nothing of a failed write may wait in a buffer
        except OSError as error:
            raise InputError(
                f"{error.strerror} for {self.path}", "a journal that can be written", "choose another folder, or change its permissions"
            ) from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.close()
            raise InputError(f"{self.path}, which another process has open", "one process per twin", "end that one first") from error
        try:
            found = self._recover()
            if not found or found[0] != head:
                kept = found[0] if found else None
                raise InputError(f"{self.path} of {_differs(kept, head)}", "the journal of this twin", "use a folder of its own")
        except BaseException:
            self.close()
            raise
        self.records: list[dict[str, Any]] = found[1:]

    def append(self, record: dict[str, Any]) -> None:
        """Adds a record and returns when it is on the disk.

        Raises:
            InputError: The disk is full, and the journal is as it was before; or it was closed.
        """
        if self._file.closed:
            raise InputError(f"a record for {self.path}, which was closed", "an open journal", "open the twin again in the same folder")
        end = self._file.seek(0, os.SEEK_END)
        try:
            self._write(_line(record))
            os.fsync(self._file.fileno())
        except OSError as error:
            self._file.truncate(end)
            raise InputError(f"{error.strerror!r} while writing {self.path}", "space on the disk", "free some and send it again") from error
        self.records.append(record)

    def close(self) -> None:
        """Closes the file and so gives up the lock."""
        self._file.close()

    def _write(self, data: bytes) -> None:
        while data:
            data = data[self._file.write(data) :]

    def _recover(self) -> list[dict[str, Any]]:
        content = self._file.read()
        whole, _, torn = content.rpartition(b"\n")
        if torn:
            self._file.truncate(len(content) - len(torn))
            os.fsync(self._file.fileno())
        found = []
        for number, line in enumerate(whole.split(b"\n") if whole else [], start=1):
            check, _, text = line.partition(b" ")
            if check != b"%08x" % zlib.crc32(text):
                raise InputError(
                    f"{self.path}, line {number} of which is damaged",
                    "lines whose checksum agrees",
                    f"restore it from a copy, or cut the file before line {number} and send the later readings again",
                )
            found.append(json.loads(text))
        return found


def _line(record: dict[str, Any]) -> bytes:
    text = json.dumps(record, separators=(",", ":"), allow_nan=False).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _differs(found: dict[str, Any] | None, wanted: dict[str, Any]) -> str:
    if found is None:
        return "no twin (it is empty)"
    keys = [key for key in wanted if found.get(key) != wanted[key]] or [key for key in found if key not in wanted]
    return ", ".join(f"{key} {found.get(key)!r} and not {wanted.get(key)!r}" for key in keys[:2])
