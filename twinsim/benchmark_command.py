"""What `twinsim bench` does: run, repeat, sweep, record, compare."""

import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from twinsim import benchmark_history as history
from twinsim import benchmark_sweep, catalogue
from twinsim.benchmark_compare import Row, compare
from twinsim.benchmark_keys import is_number
from twinsim.benchmark_options import BenchOptions, CompareOptions, HistoryOptions
from twinsim.errors import InputError, near_misses
from twinsim.option_checks import check_options
from twinsim.provenance import plain

Measured = tuple[dict[str, Any], dict[str, Any]]
"""Values of the swept options, and the entry of the history or why it failed."""


def run_benchmarks(configs: Mapping[str, Any], options: BenchOptions, set_up: Callable[[Any], None]) -> bool:
    """Run benchmarks, record and print their numbers; whether all of them ended well.

    One that fails is reported in one line, and the others go on; a lone one raises. Whatever is measured is in the history at
    once, so Ctrl-C loses only the run in progress.

    Args:
        configs: The Config of each benchmark by name.
        options: As the command line gives them.
        set_up: Called with a Config before it is run: precision and cache.

    Raises:
        InputError: Bad options, or a lone benchmark refused its input; or the history could not be written, after everything else.
    """
    from twinsim.benchmark import measure
    from twinsim.experiment import emit_json

    if options.repeat < 1:
        raise InputError(got=f"--repeat {options.repeat}", expected="at least 1", do="raise it")
    sweeps = benchmark_sweep.parse(options.sweep)
    if options.plot and not sweeps:
        raise InputError(got="--plot without --sweep", expected="a sweep to plot", do="add --sweep OPTION=VALUE,VALUE")
    plans = {name: benchmark_sweep.points(config, sweeps, name) for name, config in configs.items()}
    for plan in plans.values():
        for _, config in plan:
            check_options(config)
    folders = {name: _sweep_folder(name, options, len(configs) > 1) for name in configs} if sweeps else {}
    single = sum(map(len, plans.values())) == 1
    recorder = _Recorder(options)
    results: dict[str, Any] = {}
    good = True
    for name, plan in plans.items():
        measured: list[Measured] = []
        try:
            for number, (values, config) in enumerate(plan, 1):
                if values:
                    print(f"{name}, {number} of {len(plan)}: {_values_text(values)}", file=sys.stderr)
                set_up(config)
                try:
                    entry = measure(name, config, options.repeat)
                except Exception as error:
                    if single:
                        raise
                    good = False
                    entry = {"failed": str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"}
                    print(f"twinsim: {name} failed: {entry['failed']}", file=sys.stderr)
                else:
                    recorder.add(entry, values)
                    _check_plot(options.plot, entry, values)
                measured.append((values, entry))
        finally:  # Ctrl-C too: what was measured is reported
            if sweeps and measured:
                results[name] = [{"options": plain(values), **_numbers(entry)} for values, entry in measured]
                _report_sweep(name, measured, recorder.machine, options.plot, folders[name])
            elif sweeps:
                with suppress(OSError):
                    folders[name].rmdir()
        if not sweeps and "failed" not in measured[0][1]:
            results[name] = measured[0][1]["numbers"]
    emit_json(results, options.json)
    recorder.finish()
    return good


def compare_measurements(options: CompareOptions) -> bool:
    """Print the table of ratios; whether nothing got slower and no error larger.

    Raises:
        InputError: A or B is not found, or they have nothing in common.
    """
    from twinsim.experiment import emit_json

    first, second = (_chosen(text, options) for text in (options.a, options.b))
    rows, warnings = compare(first, second)
    to_error = options.json == "-"
    console = Console(stderr=to_error, width=None if (sys.stderr if to_error else sys.stdout).isatty() else 140)
    for text in warnings:
        print(f"note: {text}", file=sys.stderr)
    console.print(comparison_table(rows, options.all, f"A {_where(first)}; B {_where(second)}"))
    verdicts = [row.verdict for row in rows if row.verdict]
    counted = ", ".join(f"{verdicts.count(word)} {word}" for word in dict.fromkeys(verdicts))
    console.print(f"beyond the spread: {counted or 'nothing'}")
    if any(row.assumed and row.kind in ("time", "rate") for row in rows):
        console.print("~ a spread that was not measured is taken as 5 % for each side; measure it with --repeat N")
    emit_json([vars(row) for row in rows], options.json)
    return not {"slower", "larger error"} & set(verdicts)


def comparison_table(rows: list[Row], everything: bool, title: str) -> Table:
    """The rows that are judged, or all of them."""
    from twinsim.report import format_number

    table = Table(title=escape(title), title_justify="left")
    for name in ("benchmark", "number", "A", "B", "B/A", "spread", "verdict"):
        table.add_column(name, justify="right" if name in ("A", "B", "B/A", "spread") else "left", overflow="fold")
    former = ""
    for row in rows:
        if not everything and row.kind not in ("time", "rate", "error", "memory"):
            continue
        spread = f"{'~' if row.assumed else ''}{100 * row.spread:.1f} %" if row.spread else "–"
        ratio = "–" if row.ratio is None else f"{row.ratio:.3f}" if 1e-3 < row.ratio < 1e4 else format_number(row.ratio)
        name = "" if row.benchmark == former else row.benchmark
        table.add_row(escape(name), escape(row.key), format_number(row.a), format_number(row.b), ratio, spread, row.verdict)
        former = row.benchmark
    return table


def show_history(options: HistoryOptions) -> None:
    """Print one line per invocation.

    Raises:
        InputError: There is no history.
    """
    folder = history.history_folder(options.history)
    invocations = history.runs(history.read_folder(folder, options.device))
    table = Table(title=escape(str(folder)), title_justify="left")
    for name in ("", "date", "revision", "device", "benchmarks", "note"):
        table.add_column(name, overflow="fold")
    shown = list(enumerate(invocations, 1))
    for number, entries in shown[-options.last :] if options.last > 0 else shown:
        names = [entry["benchmark"] for entry in entries]
        counted = ", ".join(name + (f" x {names.count(name)}" if names.count(name) > 1 else "") for name in dict.fromkeys(names))
        newest = entries[-1]
        revision = str(newest.get("git_revision") or "–")
        changes = "+changes" if revision.endswith("+changes") else ""
        device = history.device_name(newest["machine"])
        table.add_row(str(number), newest["date"], revision[:8] + changes, device, counted, escape(newest.get("note") or ""))
    Console(width=None if sys.stdout.isatty() else 140).print(table)


class _Recorder:
    """Measures the machine once, before the first entry is written, and appends entries; a full disk is reported at the end."""

    def __init__(self, options: BenchOptions) -> None:
        self.machine: dict[str, Any] = {}
        self._options, self._refusal = options, None
        self._path: Path | None = None
        self._run = ""
        if options.record:
            import secrets

            from twinsim.machine import machine

            self._folder = history.history_folder(options.history)
            self._run = f"{datetime.now():%Y%m%dT%H%M%S}-{secrets.token_hex(2)}"
            self.machine = machine()
            _print_machine(self.machine)

    def add(self, entry: dict[str, Any], values: Mapping[str, Any]) -> None:
        if not self._options.record:
            return
        whole = entry | {"run": self._run, "swept": plain(values), "note": self._options.note, "machine": self.machine}
        try:
            self._path = history.append(whole, self._folder)
        except InputError as error:
            self._refusal = error
            print(f"twinsim: {error}", file=sys.stderr)

    def finish(self) -> None:
        if self._path is not None:
            print(f"history: {self._path}", file=sys.stderr)
        if self._refusal is not None:
            raise self._refusal


def _print_machine(machine: Mapping[str, Any]) -> None:
    if "failed" in machine:
        print(f"machine: its rates could not be measured: {machine['failed']}", file=sys.stderr)
        return
    rates = [
        f"{word} {' / '.join('–' if rate is None else f'{rate:.4g}' for rate in machine[key].values())} {unit}"
        for key, word, unit in (
            ("copy_gb_per_second", "copy", "GB/s"),
            ("multiply_add_gflop_per_second", "multiply-add", "Gflop/s"),
            ("matrix_product_gflop_per_second", "matrix product", "Gflop/s"),
        )
    ]
    print(f"machine: {history.device_name(machine)}; float32 / float64: {'; '.join(rates)}", file=sys.stderr)


def _sweep_folder(name: str, options: BenchOptions, several: bool) -> Path:
    """The folder for the report of a sweep, made before anything is measured: new, empty, or of a former sweep."""
    if options.out is None:
        folder = Path("runs") / f"bench-{name}-{datetime.now():%Y%m%d-%H%M%S}"
    else:
        folder = options.out.expanduser() / name if several else options.out.expanduser()
    try:
        if folder.exists() and any(folder.iterdir()) and not (folder / "sweep.json").is_file():
            raise InputError(
                got=f"--out {folder}, which holds other files",
                expected="a new or empty folder, or one of a former sweep",
                do="name another folder",
            )
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(got=f"--out {folder} ({error.strerror})", expected="a folder to write to", do="name another folder") from error
    return folder


def _report_sweep(name: str, measured: list[Measured], machine: dict[str, Any], chosen: tuple[str, ...], folder: Path) -> None:
    from twinsim.benchmark_report import point, shown_numbers, table, write_report
    from twinsim.report import format_number

    points = [point(values, entry) for values, entry in measured]
    keys = shown_numbers(points, chosen)
    columns, rows = table(points, keys)
    shown = Table(title=escape(name), title_justify="left")
    for column in columns:
        shown.add_column(escape(column), justify="right", overflow="fold")
    for row in rows:
        shown.add_row(*(f"{cell:.4g}" if is_number(cell) else escape(format_number(cell)) for cell in row))
    Console(stderr=True, width=None if sys.stderr.isatty() else 160).print(shown)
    origin = next((entry for _, entry in measured if "failed" not in entry), {})
    kept = {key: origin[key] for key in ("date", "command", "git_revision", "python", "platform", "versions", "config") if key in origin}
    summary = catalogue.benchmarks()[name].summary
    print(f"report: {write_report(name, summary, points, keys, machine, kept, folder)}", file=sys.stderr)


def _check_plot(chosen: tuple[str, ...], entry: dict[str, Any], values: Mapping[str, Any]) -> None:
    """Refuse a number that is not measured after the first point, not after a night."""
    known = [key for key, value in benchmark_sweep.without_size(entry["numbers"], values).items() if is_number(value)]
    for key in chosen:
        if key not in known:
            raise InputError(got=f"--plot {key}", expected="a number that the benchmark measures", do=near_misses(key, known))


def _values_text(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {benchmark_sweep.label(value)}" for key, value in values.items())


def _numbers(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {"failed": entry["failed"]} if "failed" in entry else {"numbers": entry["numbers"]}


def _chosen(text: str, options: CompareOptions) -> list[dict[str, Any]]:
    """The entries that A or B names, of the benchmarks asked for."""
    path, at, selector = text.rpartition("@")
    named = Path(path if at and Path(path).is_file() else text).expanduser()
    if named.is_file() or text.endswith((".jsonl", ".json")):
        entries = history.read(named)
        selector = selector if at and str(named) != text else None
        if selector is None and entries:
            # Of a whole file, the newest measurement of each benchmark with each configuration counts.
            newest = {f"{entry['benchmark']} {sorted(map(str, entry['config'].items()))}": entry for entry in entries}
            entries = list(newest.values())
    else:
        entries, selector = history.read_folder(history.history_folder(options.history), options.device), text
    if options.names:
        for name in options.names:
            if name not in {entry["benchmark"] for entry in entries}:
                known = {entry["benchmark"] for entry in entries}
                raise InputError(got=f"benchmark {name!r} for {text}", expected="one that was measured", do=near_misses(name, known))
        entries = [entry for entry in entries if entry["benchmark"] in options.names]
    chosen = entries if selector is None else history.select(entries, selector)
    if not chosen:
        raise InputError(got=f"{text}, which holds no measurement", expected="a history with entries", do="name another one")
    return chosen


def _where(entries: list[dict[str, Any]]) -> str:
    newest = entries[-1]
    parts = [newest.get("date"), str(newest.get("git_revision") or "")[:8], newest.get("note")]
    return " ".join(str(part) for part in parts if part) or newest["file"]
