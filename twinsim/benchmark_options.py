"""Options of `twinsim bench`, its comparison and its listing. Nothing here imports anything heavy: help answers at once."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

_Json = Annotated[str | None, tyro.conf.arg(metavar="FILE|-")]
_Folder = Annotated[Path | None, tyro.conf.arg(metavar="DIR")]


@dataclass(frozen=True)
class BenchOptions:
    """How benchmarks are run, and where their numbers go."""

    json: _Json = None
    """Also write the numbers as JSON to this file; `-` prints them, and nothing else, on standard output."""

    repeat: Annotated[int, tyro.conf.arg(metavar="N")] = 1
    """Run each benchmark so often as a whole, for the spread of its numbers; medians are kept."""

    sweep: Annotated[tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="OPTION=VALUE,...")] = ()
    """Run every combination of these values, e.g. `--sweep edge_voxels=64,128 --sweep precision=float32,float64`, and leave a table
    and a plot."""

    plot: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NUMBER")] = ()
    """Numbers that the plot of a sweep shows; the times, rates and errors where none is named."""

    out: _Folder = None
    """Folder for the report of a sweep; default runs/bench-<name>-<time>."""

    note: Annotated[str, tyro.conf.arg(metavar="TEXT")] = ""
    """A word on what was measured, to find it again: `twinsim bench compare NOTE NOTE`."""

    history: _Folder = None
    """Folder of the history; default: TWINSIM_HISTORY, else twinsim/bench in the user's folder for data."""

    record: bool = True
    """Append the numbers, with the machine's own rates, to the history. Without, the machine is not measured."""


@dataclass(frozen=True)
class CompareOptions:
    """Ratios B/A of two measurements, and which of them are beyond the measured spread.

    A and B are history files, what --json wrote, or measurements in the history: last, last~1, a number that
    `twinsim bench history` shows, the start of a date or of a git revision, or a note.
    """

    a: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="A")]]
    """What is compared with; of several measurements of one benchmark, all count."""

    b: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="B")]]
    """What is judged."""

    names: tyro.conf.Positional[Annotated[tuple[str, ...], tyro.conf.arg(metavar="[NAME ...]")]] = ()
    """Only these benchmarks; `last` then counts only invocations that ran one of them."""

    history: _Folder = None
    """Folder of the history; default: TWINSIM_HISTORY, else twinsim/bench in the user's folder for data."""

    device: Annotated[str | None, tyro.conf.arg(metavar="TEXT")] = None
    """Only history files whose name contains this, where there are several devices."""

    all: bool = False
    """Also list numbers that are not judged: ratios, peers, sizes."""

    json: _Json = None
    """Also write the rows as JSON to this file; `-` prints them, and nothing else, on standard output."""

    fail_on_slower: bool = False
    """End with code 1 where a timing got slower or an error larger."""


@dataclass(frozen=True)
class HistoryOptions:
    """What has been measured, one line per invocation of `twinsim bench`."""

    history: _Folder = None
    """Folder of the history; default: TWINSIM_HISTORY, else twinsim/bench in the user's folder for data."""

    device: Annotated[str | None, tyro.conf.arg(metavar="TEXT")] = None
    """Only history files whose name contains this."""

    last: Annotated[int, tyro.conf.arg(metavar="N")] = 20
    """So many invocations, the newest; 0 shows all."""
