"""Where the steps go: no step straddles an event or a time that is to be saved."""

from collections.abc import Sequence
from itertools import pairwise

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from solvers.shapes import Index, IndexTable, SaveTimes, StepTable, Times

BLOCK = 4
Row = tuple[float, float, int]


class TimeMesh(eqx.Module):
    """Steps in order, as tables of ``(groups, blocks, BLOCK)`` entries; from :func:`time_mesh` or :func:`adaptive_mesh`.

    Attributes:
        start: Start time of each step.
        length: Length of each step; zero for steps that only pad a block or only carry an event.
        event: Index of the event that happens at the end of the step, or -1.
        times: End times of the steps that advance time, for what is observed after every step.
        save_times: The requested save times.
        saved: Groups after which each save time is reached; empty in a recorded mesh.
        observed: Flat indices of the steps that advance time; empty in a recorded mesh.
        used: Flat indices of the rows that advance time or carry an event; the others pad.
        segments: How many used rows lead to each save time, and after the last one to the events at its very time.
        saved_groups: Of a mesh recorded by :func:`solvers.loop.adaptive_mesh.adaptive_mesh`: as ``saved``, known only when it runs.
        status: How the search for a recorded mesh ended, a :class:`solvers.status.Status` code.
    """

    start: StepTable
    length: StepTable
    event: IndexTable
    times: Times
    save_times: SaveTimes
    saved: tuple[int, ...] = eqx.field(static=True)
    observed: tuple[int, ...] = eqx.field(static=True)
    used: tuple[int, ...] = eqx.field(static=True)
    segments: tuple[int, ...] = eqx.field(static=True)
    saved_groups: Int[Array, " saves"] | None = None
    status: Index | None = None

    @property
    def steps(self) -> int:
        """How many steps advance time; of a recorded mesh, how many there is room for."""
        return self.length.size if self.recorded else len(self.observed)

    @property
    def recorded(self) -> bool:
        """Whether the mesh was found by error control while the program ran."""
        return self.saved_groups is not None


def time_mesh(
    start: float,
    save: Sequence[float],
    max_step: float,
    events: Sequence[float] = (),
    breakpoints: Sequence[float] = (),
) -> TimeMesh:
    """Plans steps of at most ``max_step`` from ``start`` to the last save time.

    Args:
        start: First time.
        save: Times to save at, increasing, not before ``start``; the last one ends the simulation.
        max_step: Longest step allowed; each interval between marks is cut into equal steps.
        events: Times of jumps of the state, in any order, repeats allowed; those outside of the span are left out. A state
            saved at the very time of an event is the state before it.
        breakpoints: Times where the right-hand side is not smooth (a dose that enters a concentration): steps end there.

    Raises:
        ValueError: Save times that are no list, do not increase or lie before the start, a step that is not positive, a time not finite.
    """
    save = check_times(start, save, (max_step, *events, *breakpoints))
    if max_step <= 0:
        raise ValueError(f"got max_step {max_step}; expected a positive length; do: choose about a tenth of the growth time")

    stop = save[-1]
    order = [int(i) for i in np.argsort(np.asarray(events, dtype=float), kind="stable")]
    pending = [(float(events[i]), i) for i in order if start <= float(events[i]) <= stop]
    inner = [float(t) for t in breakpoints if start < float(t) < stop]
    marks = sorted({*save, *(t for t, _ in pending), *inner, float(start)})

    segments: list[list[Row]] = [[]]
    now = float(start)
    for mark in marks:
        if mark > now:
            count = max(1, int(np.ceil((mark - now) / max_step - 1e-9)))
            edges = np.linspace(now, mark, count + 1)
            segments[-1].extend((float(a), float(b - a), -1) for a, b in pairwise(edges))
            now = mark
        if mark in save:
            segments.append([])
        while pending and pending[0][0] == mark:
            index = pending.pop(0)[1]
            if segments[-1] and segments[-1][-1][2] < 0:
                segments[-1][-1] = (*segments[-1][-1][:2], index)
            else:
                segments[-1].append((now, 0.0, index))
    return _tables(segments, save)


def check_times(start: float, save: Sequence[float], others: Sequence[float]) -> list[float]:
    """The save times as a list, once they increase from the start and every time is finite."""
    if np.ndim(save) != 1:
        raise ValueError(f"got save {save}; expected a list of times; do: give [{save}] for one")
    save = [float(t) for t in save]
    if not np.isfinite(np.array([start, *save, *others], dtype=float)).all():
        raise ValueError("got a time that is not finite; expected finite times; do: check scan and treatment dates")
    if not save or any(b <= a for a, b in pairwise(save)) or save[0] < start:
        raise ValueError(f"got save times {save} from {start}; expected increasing times after the start; do: sort them")
    return save


def _tables(segments: list[list[Row]], save: list[float]) -> TimeMesh:
    """Lays segments (one per save time, and one for events at the last save) into groups of blocks, padded per segment."""
    blocks = sum(-(-len(segment) // BLOCK) for segment in segments)
    group = max(1, round(np.sqrt(blocks)))
    rows: list[Row] = []
    saved: list[int] = []
    used: list[int] = []
    for number, segment in enumerate(segments):
        padded = list(segment)
        used.extend(range(len(rows), len(rows) + len(segment)))
        while len(padded) % (BLOCK * group) or (not padded and number < len(save)):
            time = padded[-1][0] + padded[-1][1] if padded else (rows[-1][0] + rows[-1][1] if rows else save[0])
            padded.append((time, 0.0, -1))
        rows.extend(padded)
        if number < len(save):
            saved.append(len(rows) // (BLOCK * group) - 1)
    flat = np.array(rows, dtype=float)
    table = flat.reshape(-1, group, BLOCK, 3)
    observed = np.flatnonzero(flat[:, 1] > 0)
    return TimeMesh(
        start=jnp.asarray(table[..., 0]),
        length=jnp.asarray(table[..., 1]),
        event=jnp.asarray(table[..., 2].astype(int)),
        times=jnp.asarray(flat[observed, 0] + flat[observed, 1]),
        save_times=jnp.asarray(save),
        saved=tuple(saved),
        observed=tuple(int(i) for i in observed),
        used=tuple(used),
        segments=tuple(len(segment) for number, segment in enumerate(segments) if segment or number < len(save)),
    )
