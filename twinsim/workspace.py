"""What an experiment is given to work in: stages that survive an interruption, progress bars, messages."""

import hashlib
import pickle
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from twinsim.atomic import atomic_path
from twinsim.errors import InputError


class Workspace:
    """The folder, the checkpoints and the voice of one run.

    Args:
        folder: Where the run leaves its files; None keeps nothing (tests, notebooks).
        resume: Whether stages saved by an interrupted run of the same key are used.
        progress: Whether bars are shown; None shows them when standard error is a terminal.
        key: What the stages depend on, as text (the configuration); stages of another key are not used.
    """

    def __init__(self, folder: Path | None = None, resume: bool = False, progress: bool | None = None, key: str = "") -> None:
        self.folder = folder
        self.resume = resume
        self._console = Console(stderr=True, soft_wrap=True, force_terminal=progress or None)
        self._show = sys.stderr.isatty() if progress is None else progress
        self._key = hashlib.sha256(key.encode()).hexdigest()

    def stage[T](self, name: str, compute: Callable[[], T]) -> T:
        """The result of a named stage: computed and saved atomically, or read back when the run is resumed.

        Args:
            name: Letters, digits, `-` and `_`; names the checkpoint file.
            compute: Makes the result, any picklable pytree.

        Raises:
            InputError: The checkpoint cannot be written (disk full, no permission).
        """
        if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
            raise InputError(got=f"stage name {name!r}", expected="letters, digits, - and _", do="rename the stage")
        if self.folder is None:
            return compute()
        path = self.folder / "checkpoints" / f"{name}.pkl"
        if self.resume:
            found, value = self._read(path)
            if found:
                self.message(f"{name}: taken from the checkpoint")
                return value
        value = compute()
        self._write(path, value)
        return value

    def depend_on(self, data: object) -> None:
        """Stages from here on hold for these data only: a resumed run whose patient was edited computes them again.

        Args:
            data: Numbers, texts, arrays, and dataclasses, tuples, lists and dictionaries of them.
        """
        digest = hashlib.sha256(self._key.encode())
        _update(digest, data)
        self._key = digest.hexdigest()

    def has(self, name: str) -> bool:
        """Whether a resumed run finds a checkpoint of this stage, so that work for it need not be started ahead."""
        return self.resume and self.folder is not None and (self.folder / "checkpoints" / f"{name}.pkl").exists()

    def _read(self, path: Path) -> tuple[bool, Any]:
        try:
            with path.open("rb") as file:
                if pickle.load(file) != self._key:
                    return False, None
                return True, pickle.load(file)
        except FileNotFoundError:
            return False, None
        except (OSError, EOFError, pickle.UnpicklingError, AttributeError, ImportError) as error:
            # A checkpoint is only a saving of time: where it cannot be read, its stage is computed again.
            self.message(f"{path.name} cannot be read ({error}); computing it again")
            return False, None

    def _write(self, path: Path, value: object) -> None:
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            pickle.dump(self._key, file)
            pickle.dump(value, file, protocol=pickle.HIGHEST_PROTOCOL)

    def progress[T](self, work: "Iterable[T] | int", description: str, unit: str = "steps") -> "ProgressBar[T]":
        """A bar with rate and time left; silent when standard error is not a terminal.

        Use it as an iterator (`for item in workspace.progress(items, ...)`) or, with a number as `work`, as a
        context manager whose `advance(count)` is called as the work goes on.
        """
        return ProgressBar(work, description, unit, self._console, self._show)

    def message(self, text: str) -> None:
        """One line to the user, on standard error."""
        self._console.print(escape(text), highlight=False)


def _update(digest: Any, data: object) -> None:
    """Feeds data into a digest, the kind and size of each part with it."""
    if is_dataclass(data) and not isinstance(data, type):
        data = {field.name: getattr(data, field.name) for field in fields(data)}
    if isinstance(data, dict):
        data = list(data.items())
    if isinstance(data, list | tuple):
        digest.update(f"{len(data)} parts;".encode())
        for part in data:
            _update(digest, part)
    elif hasattr(data, "dtype"):
        array = np.ascontiguousarray(np.asarray(data))
        digest.update(f"{array.dtype} {array.shape};".encode() + array.tobytes())
    else:
        digest.update(f"{data!r};".encode())


class _Rate(ProgressColumn):
    """Units per second, or seconds per unit where that reads better."""

    def render(self, task: Task) -> Text:
        unit = task.fields.get("unit", "steps")
        if not task.speed:
            return Text(f"- {unit}/s")
        if task.speed >= 1.0:
            return Text(f"{task.speed:,.1f} {unit}/s")
        return Text(f"{1.0 / task.speed:,.1f} s/{unit.removesuffix('s')}")


class ProgressBar[T]:
    """See `Workspace.progress`."""

    def __init__(self, work: "Iterable[T] | int", description: str, unit: str, console: Console, show: bool) -> None:
        self._work: Any = range(work) if isinstance(work, int) else work
        total = len(self._work) if hasattr(self._work, "__len__") else None
        self._bar: Progress | None = None
        if show:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                _Rate(),
                TimeRemainingColumn(),
                console=console,
                transient=True,
            )
            self._task = self._bar.add_task(description, total=total, unit=unit)

    def advance(self, count: float = 1) -> None:
        """Say that `count` more units are done."""
        if self._bar is not None:
            self._bar.advance(self._task, count)

    def __enter__(self) -> "ProgressBar[T]":
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __iter__(self) -> Iterator[T]:
        with self:
            for item in self._work:
                yield item
                self.advance()
