"""Connectomes from files: a ZIP or folder of text tables as TVB uses them, an NPZ, or a CSV of weights; or the synthetic one."""

import bz2
import io
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from physics import Connectome, synthetic_connectome
from twinsim.errors import InputError, refused

TABLES = ("weights", "tract_lengths", "centres")
SYNTHETIC = "synthetic"
Open = Callable[[str], bytes]


def read_connectome(source: str | Path) -> Connectome:
    """``synthetic``, or a file.

    A ZIP or a folder holds ``weights.txt``, ``tract_lengths.txt`` and, if it likes, ``centres.txt`` (name, x, y, z in mm a row), each
    perhaps
    packed as ``.bz2``. An NPZ holds arrays ``weights``, ``tract_lengths`` and, if it likes, ``names``, ``centres``. A CSV holds
    weights, and
    ``NAME_tract_lengths.csv`` beside it lengths; without that file tracts have no length. Rows are the regions that hear: ``[to, from]``.

    Raises:
        InputError: No such file, a kind that is none of these, a table that is missing or no numbers, or what
            :class:`physics.Connectome` refuses.
    """
    if str(source) == SYNTHETIC:
        return synthetic_connectome()
    path = Path(source)
    if not path.exists():
        raise InputError(f"connectome {str(source)!r}", "synthetic, or a ZIP, NPZ, CSV or folder", "correct the path")
    if path.is_dir():
        members = {one.name: one for one in path.iterdir() if one.is_file()}
        return _checked(path, *_tables(path, members, lambda name: members[name].read_bytes()))
    readers = {".zip": _read_zip, ".npz": _read_npz, ".csv": _read_csv}
    if path.suffix.lower() not in readers:
        raise InputError(
            f"connectome {path.name}", "a ZIP, NPZ, CSV or folder", "convert it; docs/theory/brain_networks.md says what is in each"
        )
    return _checked(path, *readers[path.suffix.lower()](path))


Parts = tuple[np.ndarray, np.ndarray, tuple[str, ...] | None, np.ndarray | None]


def _read_zip(path: Path) -> Parts:
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError) as error:
        raise InputError(f"{path}: {error}", "a ZIP archive", "download it again") from None
    with archive:
        members = {Path(name).name: name for name in archive.namelist() if not name.endswith("/") and "__MACOSX" not in name}
        return _tables(path, members, lambda name: archive.read(members[name]))


def _tables(path: Path, members: Mapping[str, object], read: Open) -> Parts:
    found: dict[str, str] = {}
    for table in TABLES:
        name = next((one for one in (f"{table}.txt", f"{table}.txt.bz2") if one in members), None)
        if name is None:
            if table == "centres":
                continue
            shown = ", ".join(sorted(members)[:6]) or "nothing"
            raise InputError(f"{path} with {shown}", f"{table}.txt in it", "add the table")
        content = read(name)
        try:
            found[table] = (bz2.decompress(content) if name.endswith(".bz2") else content).decode()
        except (OSError, UnicodeDecodeError, ValueError):
            raise InputError(f"{path}: {name}", "text, perhaps packed by bzip2", "pack it again") from None
    names, centres = None, None
    if "centres" in found:
        rows = [line.split() for line in found["centres"].splitlines() if line.strip() and not line.startswith("#")]
        if any(len(row) != 4 for row in rows):
            raise InputError(f"{path}: centres.txt", "a name and three numbers a row", "correct it")
        names = tuple(row[0] for row in rows)
        centres = _numbers(path, "centres.txt", "\n".join(" ".join(row[1:]) for row in rows))
    return *(_numbers(path, f"{table}.txt", found[table]) for table in TABLES[:2]), names, centres  # type: ignore[return-value]


def _numbers(path: Path, name: str, text: str, delimiter: str | None = None) -> np.ndarray:
    if not text.strip():
        raise InputError(f"{path}: {name} without a row", "a table of numbers", "correct it")
    if delimiter == "," and ";" in text:
        raise InputError(f"{path}: {name} with semicolons", "commas between numbers, and points in them", "save it so")
    try:
        return np.loadtxt(io.StringIO(text), delimiter=delimiter, ndmin=2)
    except ValueError as error:
        raise InputError(f"{path}: {name}: {error}", "a table of numbers", "correct it") from None


def _read_npz(path: Path) -> Parts:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            held = {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError, zipfile.BadZipFile):
        raise InputError(f"{path}, which is none or holds objects", "an NPZ of plain arrays", "save it with numpy.savez") from None
    for name in TABLES[:2]:
        if name not in held:
            raise InputError(f"{path} with {', '.join(held) or 'nothing'}", f"an array {name} of numbers", "add it")
        if held[name].dtype.kind not in "fiu":
            raise InputError(f"{path}: {name} of type {held[name].dtype}", "real numbers", "convert it")
    names = tuple(str(one) for one in held["names"]) if "names" in held else None
    return held["weights"].astype(float), held["tract_lengths"].astype(float), names, held.get("centres")


def _read_csv(path: Path) -> Parts:
    weights = _numbers(path, path.name, path.read_text(), ",")
    beside = path.with_name(f"{path.stem}_tract_lengths.csv")
    lengths = _numbers(beside, beside.name, beside.read_text(), ",") if beside.exists() else np.zeros_like(weights)
    return weights, lengths, None, None


def _checked(path: Path, weights: np.ndarray, lengths: np.ndarray, names: tuple[str, ...] | None, centres: np.ndarray | None) -> Connectome:
    names = tuple(f"region {number}" for number in range(len(weights))) if names is None else names
    try:
        return Connectome(weights, lengths, names, centres)
    except ValueError as error:
        raise refused(error, str(path)) from None
