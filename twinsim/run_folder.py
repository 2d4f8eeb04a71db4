"""The folder of one run: who owns it, which configuration it belongs to, whether it is complete."""

import json
import shutil
import sys
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from twinsim.atomic import atomic_path
from twinsim.errors import InputError, near_misses

_MARKER = "run.json"


def choose_folder(experiment: str, out: Path | None) -> Path:
    """The folder for a new run, created; `runs/<experiment>-<time>` where none is named.

    A former run of the same experiment may be overwritten, which is said: its results stay until the new ones replace them.

    Raises:
        InputError: The folder holds something else, or cannot be made.
    """
    if out is None:
        stem = f"{experiment.replace('/', '-')}-{datetime.now():%Y%m%d-%H%M%S}"
        out = next(path for path in _numbered(Path("runs") / stem) if not path.exists())
    try:
        empty = not out.exists() or (out.is_dir() and not any(out.iterdir()))
    except OSError as error:
        raise _unusable(out, error) from error
    if not empty:
        marker = read_marker(out) if out.is_dir() else None
        if marker is None or marker["experiment"] != experiment:
            owner = f"a run of {marker['experiment']}" if marker else "files that are not a twinsim run"
            raise InputError(
                got=f"--out {out}, which holds {owner}",
                expected=f"a new or empty folder, or a former run of {experiment}",
                do="name another folder",
            )
        print(f"{out} holds a former run: its files stay until this one ends, and are then replaced", file=sys.stderr)
    try:
        out.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(out / "checkpoints", ignore_errors=True)  # of a former run, perhaps of other code
    except OSError as error:
        raise _unusable(out, error) from error
    return out


def _numbered(path: Path) -> "list[Path]":
    return [path, *(path.with_name(f"{path.name}-{count}") for count in range(2, 1000))]


def _unusable(out: Path, error: OSError) -> InputError:
    return InputError(got=f"--out {out} ({error.strerror})", expected="a folder to write to", do="name another folder")


def read_marker(folder: Path) -> dict[str, Any] | None:
    """What `write_marker` left in a folder; None where there is nothing that can be read."""
    try:
        marker = json.loads((folder / _MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(marker, dict) or not {"experiment", "config", "complete", "files"} <= marker.keys():
        return None
    return marker


def write_marker(folder: Path, experiment: str, config: dict[str, Any], complete: bool, files: list[str]) -> None:
    """Say in `run.json` what the folder holds, and whether it is complete."""
    marker = {"experiment": experiment, "config": config, "complete": complete, "files": files}
    with atomic_path(folder / _MARKER) as temporary:
        temporary.write_text(json.dumps(marker, indent=2) + "\n", encoding="utf-8")


def abandon(folder: Path, former: dict[str, Any] | None) -> None:
    """Undo what a run that failed before its first checkpoint left: a former run's folder is as it was."""
    if any((folder / "checkpoints").glob("*.pkl")):
        return
    if former is not None:
        write_marker(folder, former["experiment"], former["config"], former["complete"], former["files"])
        return
    (folder / _MARKER).unlink(missing_ok=True)
    with suppress(OSError):  # not empty: somebody else's files
        (folder / "checkpoints").rmdir()
    with suppress(OSError):
        folder.rmdir()


def interrupted_run(experiment: str, folder: Path) -> dict[str, Any]:
    """The configuration of the interrupted run in a folder, as plain values.

    Raises:
        InputError: The folder is no run, a run of another experiment, or a complete one.
    """
    marker = read_marker(folder)
    if marker is None:
        raise InputError(
            got=f"--resume {folder}, which is not the folder of a twinsim run",
            expected="the folder of an interrupted run",
            do="name the folder that the interrupted run printed",
        )
    if marker["experiment"] != experiment:
        raise InputError(
            got=f"--resume {folder}, which is a run of {marker['experiment']}",
            expected=f"a run of {experiment}",
            do=f"say `twinsim run {marker['experiment']} --resume {folder}`",
        )
    if marker["complete"]:
        raise InputError(
            got=f"--resume {folder}, which is complete",
            expected="an interrupted run",
            do="read its report.html, or start a new run without --resume",
        )
    return marker["config"]


def same_config(stored: dict[str, Any], given: dict[str, Any], folder: Path) -> None:
    """Refuse to resume a run with other options.

    Raises:
        InputError: A field differs, is new or is gone; the message names the first one.
    """
    for name in [*given, *stored]:
        if name not in stored:
            got = f"option {name}, which the run in {folder} did not have"
        elif name not in given:
            got = f"a run in {folder} with option {name}, which no longer exists ({near_misses(name, given)})"
        elif stored[name] != given[name]:
            got = f"{name} = {given[name]!r} for a run in {folder} that was started with {stored[name]!r}"
        else:
            continue
        raise InputError(
            got=got,
            expected="the options that the run was started with",
            do="drop the option, or start a new run",
        )


def stored_config[T](experiment: str, kind: type[T], folder: Path) -> T:
    """The configuration of the interrupted run in a folder, as an instance of the experiment's Config.

    Raises:
        InputError: As `interrupted_run`, or the options no longer fit the experiment.
    """
    from pydantic import TypeAdapter, ValidationError

    stored = interrupted_run(experiment, folder)
    try:
        return TypeAdapter(kind).validate_python(stored)
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(
            got=f"option {'.'.join(map(str, first['loc']))} of the run in {folder} ({first['msg']})",
            expected=f"an option of today's {experiment}",
            do="start a new run without --resume",
        ) from error
