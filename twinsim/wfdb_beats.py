"""Annotations of beats beside a PhysioNet (WFDB) record."""

from pathlib import Path

import numpy as np

from twinsim.errors import InputError, near_misses

SKIP, NUMBER, SUBTYPE, CHANNEL, AUXILIARY = 59, 60, 61, 62, 63
# Codes of annotations that mark a beat: normal, bundle branch blocks, premature, escape, paced, fusion, unclassified ones.
BEATS = {
    1: "N", 2: "L", 3: "R", 4: "a", 5: "V", 6: "F", 7: "J", 8: "A", 9: "S", 10: "E", 11: "j", 12: "/", 13: "Q", 25: "B", 30: "?", 34: "e",
    35: "n", 38: "f", 41: "r",
}  # fmt: skip


def read_beats(folder: Path, name: str, annotator: str = "atr") -> tuple[np.ndarray, np.ndarray]:
    """Samples at which beats are, and their kinds, from ``name.annotator``.

    Raises:
        InputError: No such file, or one without a beat.

    Source: the format: Moody, WFDB Applications Guide, annot(5).
    """
    path = folder / f"{name}.{annotator}"
    if not path.is_file():
        present = [entry.name for entry in folder.glob(f"*.{annotator}")]
        raise InputError(f"no annotations {path.name}", "a file of annotations", near_misses(path.name, present))
    content = path.read_bytes()
    words = np.frombuffer(content[: len(content) // 2 * 2], "<u2").astype(int)
    place, time = 0, 0
    found: list[tuple[int, str]] = []
    while place < len(words) and words[place]:
        code, rest = words[place] >> 10, int(words[place] & 1023)
        place += 1
        if code == SKIP:
            if place + 1 >= len(words):
                break
            time += int(np.int32(np.uint32((words[place] << 16) | words[place + 1])))
            place += 2
        elif code == AUXILIARY:
            place += (rest + 1) // 2
        elif code not in (NUMBER, SUBTYPE, CHANNEL):
            time += rest
            if code in BEATS:
                found.append((time, BEATS[code]))
    if not found:
        raise InputError(f"{path.name} without a beat", "annotations of beats", "check the annotator")
    return np.array([moment for moment, _ in found]), np.array([kind for _, kind in found])
