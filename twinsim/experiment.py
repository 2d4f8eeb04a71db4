"""Runs an experiment: what it returns, and what a run leaves in its folder."""

import json
import math
import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from twinsim import catalogue, run_folder
from twinsim.errors import InputError
from twinsim.option_checks import check_options
from twinsim.provenance import plain
from twinsim.report import Report
from twinsim.run_options import RunOptions
from twinsim.store import described, provenance, write_json, write_nifti, write_result, write_vtk_image
from twinsim.workspace import Workspace

type Value = float | int | str | None


def finite_or_none(value: float | np.floating[Any]) -> float | None:
    """A headline number, or None where it is not known."""
    return float(value) if math.isfinite(value) else None


@dataclass(frozen=True)
class Result:
    """What the `run` of an experiment returns.

    Attributes:
        summary: The headline numbers, flat, with the unit in each key; None where a value is not known.
        report: The report, not yet written.
        dataset: The full arrays, with units; None leaves no result.h5.
        volumes: Name to (array [x, y, z], 4 x 4 affine from voxel index to mm); leave as NIfTI and VTK image.
        notes: Warnings in sentences, for the list ``notes`` of summary.json; None leaves the list out.

    Raises:
        InputError: A headline number or a dataset that could not be written: seen by whoever runs the experiment, not only by who saves it.
    """

    summary: dict[str, Any]
    report: Report
    dataset: xr.Dataset | None = None
    volumes: dict[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    notes: Sequence[str] | None = None

    def __post_init__(self) -> None:
        checked_summary(self.summary)
        if self.dataset is not None:
            described(self.dataset)


class Interrupted(KeyboardInterrupt):
    """Ctrl-C during a run; the text says how to resume it."""


def checked_summary(summary: dict[str, Any]) -> dict[str, Value]:
    """The summary as plain Python values.

    Raises:
        InputError: A value is NaN, infinite, or neither number, text nor None.
    """
    checked: dict[str, Value] = {}
    for key, value in summary.items():
        if isinstance(value, np.generic) or (hasattr(value, "shape") and value.shape == ()):
            value = value.item()
        if isinstance(value, Real) and not isinstance(value, Integral):
            value = float(value)
        if isinstance(value, float) and not math.isfinite(value):
            got = f"summary value {key} = {value}"
        elif value is None or isinstance(value, bool | int | float | str):
            checked[key] = value
            continue
        else:
            got = f"summary value {key} of type {type(value).__name__}"
        raise InputError(
            got=got,
            expected="a finite number, a text or None",
            do="report None with a warning in the report where the computation has no answer",
        )
    return checked


def run_experiment(name: str, config: Any = None, options: RunOptions | None = None, progress: bool | None = None) -> dict[str, Value]:
    """Run an experiment and leave its results in a folder.

    result.h5, summary.json, report.html with its PNGs, provenance.json and volumes/ (NIfTI, VTK image data)
    appear together at the end, or not at all; run.json says what the folder holds.

    Args:
        name: `field/name`.
        config: The experiment's Config; None takes its defaults.
        options: Where the results go, and whether an interrupted run is resumed.
        progress: As in `Workspace`.

    Returns:
        The summary.

    Raises:
        InputError: Bad input, a folder that belongs to something else, a summary that is not finite.
        Interrupted: Ctrl-C; the finished stages stay in the folder.
    """
    script = catalogue.find(name, catalogue.experiments(), "experiment")
    module = catalogue.load(script)
    config = module.Config() if config is None else config
    check_options(config)
    options = options or RunOptions()
    _check_target(options.json)
    settings = plain(config)
    if options.resume is not None:
        if options.out is not None and options.out.resolve() != options.resume.resolve():
            raise InputError(
                got=f"--out {options.out} with --resume {options.resume}",
                expected="one folder",
                do="drop --out: a resumed run goes on in its own folder",
            )
        stored = run_folder.interrupted_run(script.name, options.resume)
        run_folder.same_config(stored, settings, options.resume)
        folder = options.resume
    else:
        folder = run_folder.choose_folder(script.name, options.out)
    former = run_folder.read_marker(folder)
    files = former["files"] if former else []
    run_folder.write_marker(folder, script.name, settings, complete=False, files=files)
    key = json.dumps({"experiment": script.name, "config": settings}, sort_keys=True)
    workspace = Workspace(folder, resume=options.resume is not None, progress=progress, key=key)
    try:
        with redirect_stdout(sys.stderr):  # standard output belongs to --json
            result = module.run(config, workspace)
            summary = checked_summary(result.summary)
            _write(folder, script.name, config, result, summary)
    except KeyboardInterrupt:
        resume = f"twinsim run {script.name} --resume {shlex.quote(str(folder))}"
        raise Interrupted(f"interrupted; go on with: {resume}") from None
    except Exception:
        run_folder.abandon(folder, former)
        raise
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    print_summary(script.name, summary)
    for note in result.notes or ():
        print(f"note: {note}", file=sys.stderr)
    print(f"report: {folder / 'report.html'}", file=sys.stderr)
    emit_json(with_notes(summary, result), options.json)
    return summary


def with_notes(summary: dict[str, Value], result: Result) -> dict[str, Any]:
    """The summary and, under ``notes``, the sentences that the report warns with."""
    return summary if result.notes is None else {**summary, "notes": list(result.notes)}


def _write(folder: Path, name: str, config: Any, result: Result, summary: dict[str, Value]) -> None:
    """Write everything under a temporary name in the folder, then rename it all into place."""
    origin = provenance(config)
    with tempfile.TemporaryDirectory(prefix=".partial-", dir=folder) as scratch:
        staged = Path(scratch)
        if result.dataset is not None:
            write_result(staged / "result.h5", result.dataset, origin)
        write_json(staged / "summary.json", with_notes(summary, result))
        result.report.write(staged / "report.html", origin)
        _write_volumes(staged / "volumes", result.volumes)
        write_json(staged / "provenance.json", origin)
        files = sorted(str(path.relative_to(staged)) for path in staged.rglob("*") if path.is_file())
        for file in files:
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            os.replace(staged / file, folder / file)
    former = run_folder.read_marker(folder)
    for file in set(former["files"] if former else []) - set(files):  # no longer made by this run
        (folder / file).unlink(missing_ok=True)
    run_folder.write_marker(folder, name, plain(config), complete=True, files=files)


def _write_volumes(folder: Path, volumes: dict[str, tuple[np.ndarray, np.ndarray]]) -> None:
    """One NIfTI per volume, and one VTK image per grid that they lie on."""
    grids: dict[tuple[Any, ...], dict[str, np.ndarray]] = {}
    for name, (array, affine) in volumes.items():
        folder.mkdir(exist_ok=True)
        write_nifti(folder / f"{name}.nii.gz", array, affine, description=name)
        grid = (array.shape, *np.asarray(affine, dtype=float).ravel())
        grids.setdefault(grid, {})[name] = array
    for count, (grid, arrays) in enumerate(grids.items(), start=1):
        stem = "volumes" if count == 1 else f"volumes_{count}"
        write_vtk_image(folder / f"{stem}.vti", arrays, np.reshape(grid[1:], (4, 4)))


def print_summary(title: str, summary: dict[str, Value]) -> None:
    """A table of the headline numbers, on standard error."""
    table = Table(title=title, title_justify="left", show_header=False)
    table.add_column(overflow="fold")
    table.add_column(justify="right", overflow="fold")
    for key, value in summary.items():
        text = "not known" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
        table.add_row(escape(key), escape(text))
    Console(stderr=True, soft_wrap=True).print(table)


def _check_target(target: str | None) -> None:
    """A file that can't be written is refused before the work, not after it."""
    if target is None or target == "-":
        return
    path = Path(target)
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise InputError(got=f"--json {target}", expected="a file in a folder that can be written, or -", do="name another file")


def emit_json(summary: Any, target: str | None) -> None:
    """Write a summary as JSON to a file, to standard output for `-`, nowhere for None."""
    if target == "-":
        print(json.dumps(summary, indent=2, allow_nan=False))
    elif target is not None:
        write_json(Path(target), summary)
