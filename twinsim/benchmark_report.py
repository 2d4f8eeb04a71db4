"""A sweep as a table on the terminal and as a report with a plot."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twinsim.benchmark_keys import Kind, is_number, kind, peers_in
from twinsim.benchmark_sweep import axis_number, label, without_size

if TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.figure

_SHOWN: tuple[Kind, ...] = ("time", "rate", "quotient", "error")
_PANELS = 8


@dataclass(frozen=True)
class Point:
    """One combination of a sweep.

    Attributes:
        values: The swept options.
        numbers: What was measured, swept sizes taken off the names; empty where it failed.
        spread: Relative spreads by the same names.
        failed: Why it failed; empty where it did not.
    """

    values: dict[str, Any]
    numbers: dict[str, Any]
    spread: dict[str, float]
    failed: str = ""


def point(values: Mapping[str, Any], entry: Mapping[str, Any]) -> Point:
    """The point that an entry of the history is; a failed one has ``failed`` and no numbers."""
    numbers, spread = (without_size(entry.get(key) or {}, values) for key in ("numbers", "spread"))
    return Point(dict(values), numbers, spread, str(entry.get("failed") or ""))


def shown_numbers(points: Sequence[Point], chosen: Sequence[str] = ()) -> list[str]:
    """Names of the numbers that a table and a plot of a sweep show: the chosen ones, else warm times, rates, ratios and errors."""
    known = list(dict.fromkeys(key for point in points for key, value in point.numbers.items() if is_number(value)))
    wanted = [key for key in chosen if key in known]
    if wanted:
        return wanted
    peers = peers_in(known)
    kinds = {key: kind(key, peers) for key in known if not {"compile", "median", "copy"} & set(key.split("_"))}
    ranked = [key for what in _SHOWN for key, found in kinds.items() if found == what]
    # One of each kind first, so that a benchmark with many times still shows its errors.
    first = [next(key for key in ranked if kinds[key] == what) for what in _SHOWN if what in kinds.values()]
    kept = list(dict.fromkeys([*first, *ranked]))[:_PANELS]
    return [key for key in ranked if key in kept]


def table(points: Sequence[Point], keys: Sequence[str]) -> tuple[list[str], list[list[Any]]]:
    """Columns and rows: swept options, numbers, and a last column where a point failed."""
    failed = any(point.failed for point in points)
    columns = [*map(readable, points[0].values), *map(readable, keys), *(["failed"] if failed else [])]
    rows = [
        [*map(label, point.values.values()), *(point.numbers.get(key) for key in keys), *([point.failed] if failed else [])]
        for point in points
    ]
    return columns, rows


def sweep_figure(points: Sequence[Point], keys: Sequence[str], machine: Mapping[str, Any]) -> "matplotlib.figure.Figure":
    """One panel per number over the first swept option that has numbers for values; a curve per combination of the others.

    A panel of nominal bandwidth also shows the machine's copy bandwidth, dashed.
    """
    from twinsim.figure_style import CYCLE, DASHES, legend, new_figure, quiet

    names = list(points[0].values)
    across = next((name for name in names if all(axis_number(point.values[name]) is not None for point in points)), names[0])
    places = _places(points, across)
    curves: dict[str, list[Point]] = {}
    for item in points:
        curves.setdefault(", ".join(f"{name} {label(item.values[name])}" for name in names if name != across), []).append(item)
    columns = min(2, len(keys))
    rows = math.ceil(len(keys) / columns)
    figure = new_figure(0.5 + 2.9 * rows)
    grid = figure.subplots(rows, columns, squeeze=False)
    logarithmic = min(places) > 0 and max(places) / min(places) > 3 and axis_number(points[0].values[across]) is not None
    handles: dict[str, Any] = {}
    for axes, key in zip(grid.flat, keys, strict=False):
        for at, (title, members) in enumerate(curves.items()):
            drawn = [
                (places[points.index(item)], float(item.numbers[key]), item.spread.get(key, 0.0))
                for item in members
                if is_number(item.numbers.get(key))
            ]
            if drawn:
                x, y, bar = zip(*sorted(drawn), strict=True)
                line = axes.errorbar(
                    x, y, yerr=_bars(y, bar), color=CYCLE[at % len(CYCLE)],
                    linestyle=DASHES[at % len(DASHES)], marker="o", markersize=4, linewidth=1.4, elinewidth=1.0, capsize=2,
                )  # fmt: skip
                handles.setdefault(title or across, line)
        _copy_line(axes, key, points, machine)
        axes.set_title(readable(key), loc="left", fontsize=9.5)
        axes.set_xlabel(across.replace("_", " "))
        quiet(axes)
        _scales(axes, key, points, logarithmic)
        axes.set_xticks(sorted(set(places)), [label(value) for value in _ticks(points, across, places)])
        axes.minorticks_off()
    for axes in list(grid.flat)[len(keys) :]:
        axes.set_visible(False)
    if len(curves) > 1:
        legend(figure, list(handles.values()), list(handles))
    return figure


def write_report(
    name: str,
    summary: str,
    points: Sequence[Point],
    keys: Sequence[str],
    machine: Mapping[str, Any],
    origin: Mapping[str, Any],
    folder: Path,
) -> Path:
    """report.html with its PNG, and sweep.json with every number; returns the path of the report.

    Raises:
        InputError: The disk is full or the folder cannot be written to.
    """
    from twinsim.report import Report
    from twinsim.store import write_json

    write_json(folder / "sweep.json", {"benchmark": name, "machine": dict(machine), "points": [vars(item) for item in points]})
    report = Report(f"Benchmark {name}", summary)
    for item in points:
        if item.failed:
            report.warn(f"{', '.join(f'{key} {label(value)}' for key, value in item.values.items())}: {item.failed}")
    if any(is_number(item.numbers.get(key)) for item in points for key in keys):
        bars = "; bars are three measured relative standard deviations" if any(item.spread for item in points) else ""
        report.figure(
            sweep_figure(points, keys, machine), f"{summary} Measured numbers over {' and '.join(points[0].values)}{bars}.", "sweep"
        )
    report.heading("Numbers")
    report.table(*table(points, keys))
    if machine:
        report.heading("Machine")
        report.table(*machine_table(machine))
    every = list(dict.fromkeys(key for item in points for key in item.numbers if key not in keys))
    if every:
        report.heading("Everything else that was measured")
        report.table(*table(points, every))
    return report.write(folder / "report.html", origin)


def machine_table(machine: Mapping[str, Any]) -> tuple[list[str], list[list[Any]]]:
    """What the machine is, and its rates, as rows."""
    rows: list[list[Any]] = []
    for key, value in machine.items():
        parts = value.items() if isinstance(value, Mapping) else [("", value)]
        rows += [[f"{key} {part}".strip().replace("_", " "), item] for part, item in parts]
    return ["machine", "value"], rows


def readable(key: str) -> str:
    """The name of a number for a heading: ``step_nominal_gb_per_second`` as ``step nominal GB/s``."""
    text = key.replace("_", " ")
    for word, short in ((" gb per second", " GB/s"), (" gflop per second", " Gflop/s"), (" per second", "/s"), (" mib", " MiB")):
        text = text.replace(word, short)
    return text


def _bars(values: Sequence[float], spreads: Sequence[float]) -> list[list[float]]:
    """Lengths below and above; below, a bar ends before zero, which a logarithmic axis does not have."""
    return [
        [abs(value) * min(spread, 0.9) for value, spread in zip(values, spreads, strict=True)],
        [abs(value) * spread for value, spread in zip(values, spreads, strict=True)],
    ]


def _places(points: Sequence[Point], across: str) -> list[float]:
    """Where each point lies on the axis; categories at 0, 1, 2 ..."""
    numbers = [axis_number(point.values[across]) for point in points]
    if all(number is not None for number in numbers):
        return [number for number in numbers if number is not None]
    order = list(dict.fromkeys(label(point.values[across]) for point in points))
    return [float(order.index(label(point.values[across]))) for point in points]


def _ticks(points: Sequence[Point], across: str, places: Sequence[float]) -> list[Any]:
    by_place = {place: point.values[across] for place, point in zip(places, points, strict=True)}
    return [by_place[place] for place in sorted(by_place)]


def _copy_line(axes: "matplotlib.axes.Axes", key: str, points: Sequence[Point], machine: Mapping[str, Any]) -> None:
    rates = machine.get("copy_gb_per_second")
    if "gb_per_second" in key and isinstance(rates, Mapping):
        for precision in {str(point.values.get("precision", "")) for point in points} & set(rates) or set(rates) - {"float64"}:
            if rates[precision]:
                axes.axhline(rates[precision], color="#55616e", linewidth=0.9, linestyle=(0, (4, 3)))


def _scales(axes: "matplotlib.axes.Axes", key: str, points: Sequence[Point], logarithmic: bool) -> None:
    """Logarithmic where the numbers span more than a factor of ten; from zero otherwise."""
    values = [float(value) for point in points if is_number(value := point.numbers.get(key)) and value is not None]
    if logarithmic:
        axes.set_xscale("log")
    if values and min(values) > 0 and max(values) / min(values) > 10:
        axes.set_yscale("log")
    elif values and min(values) >= 0:
        axes.set_ylim(bottom=0)
