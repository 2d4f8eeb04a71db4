"""Two measurements compared: ratios, the spread that they were measured with, and which changes lie beyond it."""

import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from twinsim.benchmark_history import Entry, device_name
from twinsim.benchmark_keys import JUDGED, Kind, is_number, kind, peers_in, spreads_within
from twinsim.errors import InputError

LEAST_CHANGE = 0.03
"""Relative changes below this are never flagged."""

SPREADS = 3.0
"""A change is flagged beyond so many combined relative standard deviations."""

ASSUMED_SPREAD = 0.05
"""Relative spread of a time that was measured once, by a benchmark that reports no median."""

LEAST_ERROR_GROWTH = 0.1
"""Errors are flagged when they grow by more than this, and beyond their spread."""

_WORDS = {"time": ("faster", "slower"), "rate": ("faster", "slower"), "error": ("", "larger error"), "memory": ("less", "more")}


@dataclass(frozen=True)
class Row:
    """One number of one benchmark in both measurements.

    Attributes:
        benchmark: Name of the benchmark, with the options in which several of its entries differ.
        key: Name of the number.
        kind: As `benchmark_keys.kind` reads it.
        a: Its median in A.
        b: Its median in B.
        ratio: B/A; None where A is zero.
        spread: Combined relative standard deviation.
        assumed: Whether nothing was measured that the spread could be taken from.
        verdict: "faster", "slower", "larger error", "more", "less", or empty.
    """

    benchmark: str
    key: str
    kind: Kind
    a: float
    b: float
    ratio: float | None
    spread: float
    assumed: bool
    verdict: str


@dataclass(frozen=True)
class Pooled:
    """All measurements of one benchmark with one configuration on one device: medians, spreads, and the newest entry."""

    entry: Entry
    numbers: dict[str, float]
    spread: dict[str, float]


def pooled(entries: Sequence[Entry]) -> list[Pooled]:
    """Entries of the same benchmark, options and device taken together, in the order of their first."""
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(f"{entry['benchmark']} {_options_text(entry)} {device_name(entry['machine'])}", []).append(entry)
    return [_pool(group) for group in groups.values()]


def compare(first: Sequence[Entry], second: Sequence[Entry]) -> tuple[list[Row], list[str]]:
    """The rows, and warnings about what else differs between the two.

    Entries with the same options are paired; what then remains of a benchmark is paired with the entry whose options are nearest,
    with a warning.

    Raises:
        InputError: The two have no benchmark in common.
    """
    pairs, warnings = _pairs(pooled(first), pooled(second))
    if not pairs:
        names = [", ".join(sorted({entry["benchmark"] for entry in entries})) or "nothing" for entries in (first, second)]
        raise InputError(
            got=f"A with {names[0]} and B with {names[1]}",
            expected="a benchmark that both have",
            do="choose others with `twinsim bench history`",
        )
    counts: dict[str, int] = {}
    for a, _ in pairs:
        counts[a.entry["benchmark"]] = counts.get(a.entry["benchmark"], 0) + 1
    rows = []
    for a, b in pairs:
        name = a.entry["benchmark"]
        several = [pair[0] for pair in pairs if pair[0].entry["benchmark"] == name] if counts[name] > 1 else []
        title = name + _distinction(a, several)
        warnings += [f"{title}: {text}" for text in _differences(a.entry, b.entry)]
        rows += _rows(title, a, b)
    return rows, list(dict.fromkeys(warnings))


def _pool(group: Sequence[Entry]) -> Pooled:
    samples: dict[str, list[float]] = {}
    spread: dict[str, float] = {}
    for entry in group:
        stored = entry.get("spread") if isinstance(entry.get("spread"), dict) else spreads_within(entry["numbers"])
        values = entry.get("samples") if isinstance(entry.get("samples"), dict) else {}
        for key, value in entry["numbers"].items():
            if is_number(value) and math.isfinite(value):
                samples.setdefault(key, []).extend((values or {}).get(key) or [float(value)])
                spread[key] = max(spread.get(key, 0.0), float((stored or {}).get(key, 0.0)))
    numbers = {key: statistics.median(values) for key, values in samples.items()}
    for key, values in samples.items():
        mean = statistics.fmean(values)
        if len(values) > 1 and mean:
            spread[key] = max(spread[key], statistics.stdev(values) / abs(mean))
    return Pooled(group[-1], numbers, {key: value for key, value in spread.items() if value > 0})


def _rows(title: str, a: Pooled, b: Pooled) -> Iterator[Row]:
    keys = [key for key in a.numbers if key in b.numbers]
    peers = peers_in([*a.numbers, *b.numbers])
    precision = str(b.entry["config"].get("precision") or a.entry["config"].get("precision") or "float64")
    floor = 100 * {"float32": 2.0**-23, "bfloat16": 2.0**-7, "float16": 2.0**-10}.get(precision, 2.0**-52)
    for key in keys:
        what, old, new = kind(key, peers), a.numbers[key], b.numbers[key]
        if "median" in key:
            what = "value" if what == "time" else what
        spreads = [_spread(side, key, what) for side in (a, b)]
        assumed = any(spread is None for spread in spreads)
        combined = math.hypot(*(ASSUMED_SPREAD if spread is None else spread for spread in spreads))
        ratio = new / old if old else None
        yield Row(title, key, what, old, new, ratio, combined, assumed, _verdict(what, old, new, combined, floor))


def _spread(side: Pooled, key: str, what: Kind) -> float | None:
    """Of a warm time or a rate without a spread of its own, the largest of the entry; of an error or a size that never varied, zero."""
    if key in side.spread:
        return side.spread[key]
    if what not in ("time", "rate", "quotient", "peer"):
        return 0.0
    if "compile" in key:  # the spread of a warm run says nothing about it
        return None
    times = [value for other, value in side.spread.items() if kind(other) in ("time", "rate")]
    return max(times) if times else None


def _verdict(what: Kind, old: float, new: float, spread: float, floor: float) -> str:
    if what not in JUDGED or old < 0 or new < 0:
        return ""
    better, worse = _WORDS[what]
    if what == "error":
        return worse if new > floor and new > old * (1 + max(LEAST_ERROR_GROWTH, SPREADS * spread)) else ""
    if not old or not new:
        return ""
    change = math.log(new / old) * (-1 if what == "rate" else 1)
    if abs(change) <= math.log1p(max(LEAST_CHANGE, SPREADS * spread)):
        return ""
    return worse if change > 0 else better


def _pairs(first: list[Pooled], second: list[Pooled]) -> tuple[list[tuple[Pooled, Pooled]], list[str]]:
    """Pairs, those with equal options and device first, then with equal options, then the nearest; and what was left over."""
    pairs: list[tuple[Pooled, Pooled]] = []
    left, right = list(first), list(second)
    for limit in (0, 1, math.inf):  # a differing device counts as one
        for a in list(left):
            near = sorted((_distance(a, b), at) for at, b in enumerate(right) if b.entry["benchmark"] == a.entry["benchmark"])
            if near and near[0][0] <= limit:
                pairs.append((a, right.pop(near[0][1])))
                left.remove(a)
    order = [id(a) for a in first]
    pairs.sort(key=lambda pair: order.index(id(pair[0])))
    warnings = [f"only in {side}: {_name(item.entry)}" for side, items in (("A", left), ("B", right)) for item in items]
    return pairs, warnings


def _distance(a: Pooled, b: Pooled) -> int:
    return 2 * len(_changed(a.entry, b.entry)) + (device_name(a.entry["machine"]) != device_name(b.entry["machine"]))


def _changed(a: Entry, b: Entry) -> list[str]:
    """Options that differ; none where one of the two does not say its options."""
    one, other = a["config"], b["config"]
    return [key for key in {**one, **other} if one.get(key) != other.get(key)] if one and other else []


def _differences(a: Entry, b: Entry) -> list[str]:
    found = [f"{key} differs: A {a['config'].get(key)}, B {b['config'].get(key)}" for key in _changed(a, b)]
    if not (a["machine"] and b["machine"]):
        return [*found, "the machine of one of the two is not known"]
    machines = [device_name(entry["machine"]) for entry in (a, b)]
    if machines[0] != machines[1]:
        found.insert(0, f"devices differ: A {machines[0]}, B {machines[1]}")
    for name in ("jax", "jaxlib"):
        versions = [(entry.get("versions") or {}).get(name) for entry in (a, b)]
        if versions[0] != versions[1]:
            found.append(f"{name} differs: A {versions[0]}, B {versions[1]}")
    for side, entry in (("A", a), ("B", b)):
        busy, cores = entry.get("load_before"), entry["machine"].get("cores") or 1
        if isinstance(busy, int | float) and busy > 0.5 * cores:
            found.append(f"{side} was measured on a busy machine (load {busy:.1f} on {cores} cores)")
    return found


def _distinction(a: Pooled, several: Sequence[Pooled]) -> str:
    """The options in which the entries of one benchmark differ, with their values in this one."""
    names = [key for key in a.entry["config"] if len({str(other.entry["config"].get(key)) for other in several}) > 1]
    return f" ({', '.join(f'{key} {_text(a.entry["config"][key])}' for key in names)})" if names else ""


def _name(entry: Entry) -> str:
    swept = entry.get("swept") or {}
    return entry["benchmark"] + (f" ({', '.join(f'{key} {_text(value)}' for key, value in swept.items())})" if swept else "")


def _options_text(entry: Entry) -> str:
    return str(sorted((key, str(value)) for key, value in entry["config"].items()))


def _text(value: Any) -> str:
    return "x".join(map(str, value)) if isinstance(value, list) else str(value)
