"""The same time loop in chunks, for long runs on the host: progress, Ctrl-C that loses nothing, and restart files."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from solvers.loop.restart import fingerprint, load_restart, save_restart
from solvers.loop.time_mesh import TimeMesh
from solvers.shapes import Scalar, State
from solvers.simulate import Jump, Solution, check_kinds, limit_in_words, simulate
from solvers.status import Status, raise_for_status, refuse_traced
from solvers.stepper import Stepper


@dataclass(frozen=True)
class ChunkedRun:
    """What :func:`simulate_in_chunks` leaves.

    Attributes:
        states: The state at each save time that this call reached, as NumPy arrays.
        saved: Indices of those save times.
        observations: What ``observe`` gave in this call, stacked, as NumPy arrays.
        final: The state at ``time``.
        time: How far it came.
        finished: False after Ctrl-C, and where the state was no longer finite.
        status: As from ``simulate``, of the whole run: what earlier calls found before a restart counts.
        first_bad_time: As from ``simulate``.
        stable_step: As from ``simulate``.
    """

    states: PyTree
    saved: tuple[int, ...]
    observations: PyTree
    final: State
    time: float
    finished: bool
    status: Status
    first_bad_time: float
    stable_step: float

    def raise_for_status(self) -> None:
        """Raises :class:`solvers.status.SimulationError` when the run failed."""
        raise_for_status(self.status, limit_in_words(self.stable_step))


def simulate_in_chunks(
    stepper: Stepper,
    state: State,
    mesh: TimeMesh,
    jump: Jump | None = None,
    observe: Callable[[Scalar, State], PyTree] | None = None,
    chunks: int = 20,
    progress: Callable[[float, float], None] | None = None,
    restart: str | os.PathLike[str] | None = None,
) -> ChunkedRun:
    """Runs ``simulate`` on one stretch of steps after the other; compiled once, not differentiable.

    Args:
        stepper: As for :func:`solvers.simulate.simulate`.
        state: Initial state.
        mesh: From ``time_mesh``; a recorded mesh cannot be cut.
        jump: What happens at the events.
        observe: As for ``simulate``.
        chunks: At least how many, since none reaches across a save time; a chunk should take seconds.
        progress: ``progress(fraction, time)`` after every chunk.
        restart: File that holds the state after every chunk that ended well, with the status so far. Where it exists already, the run
            goes on from it: saves and observations before that point are then not in the result, and where the file is at the end of
            the mesh, ``states``, ``saved`` and ``observations`` are empty and ``final`` is all there is: keep them where they are made.
            A chunk that ends in a NaN or an infinity isn't written: the next call runs it again.

    Returns:
        A :class:`ChunkedRun`. Ctrl-C ends the run after the last whole chunk, whose numbers are kept.

    Raises:
        ValueError: A recorded mesh, fewer than one chunk, traced values, an argument of another kind, or a restart file of another
            run: another structure, mesh (its steps or events), start state, stepper or jump, each told by the bytes of its numbers. What
            functions inside the stepper close over isn't seen.
    """
    check_kinds(stepper, state, mesh)
    for leaf in jax.tree.leaves((stepper, state, mesh, jump)):
        refuse_traced(leaf, "simulate_in_chunks")
    if mesh.recorded:
        raise ValueError("got a recorded mesh; expected one from time_mesh; do: run simulate on it, which is one program")
    if chunks < 1:
        raise ValueError(f"got {chunks} chunks; expected at least one; do: choose about one per few seconds of work")
    state = jax.tree.map(jnp.asarray, state)
    pieces = _cut(mesh, chunks)
    print_of_mesh = [float(mesh.save_times[-1]), len(mesh.used), len(pieces)]
    first, now = 0, float(mesh.start.reshape(-1)[0])
    status, bad, limit, finished = int(Status.SUCCESS), np.inf, np.inf, True
    prints: dict[str, str] = {}
    if restart is not None:
        parts = {"start state": state, "steps": (mesh.start, mesh.length), "events": mesh.event, "stepper": stepper, "jump": jump}
        prints = {name: fingerprint(part) for name, part in parts.items()}
    if restart is not None and os.path.exists(restart):
        state, now, notes = load_restart(restart, state)
        if notes.get("mesh") != print_of_mesh:
            raise ValueError(
                f"got a restart of a mesh {notes.get('mesh')} (end, rows, chunks); expected {print_of_mesh}; "
                "do: use the same mesh and chunks"
            )
        differs = [name for name in prints if notes.get("prints", {}).get(name) != prints[name]]
        if differs:
            raise ValueError(
                f"got a restart of another run, whose {' and '.join(differs)} differed; expected the same; "
                f"do: give what wrote {os.path.basename(restart)}, or another file"
            )
        first, status = int(notes["chunk"]), int(notes["status"])
        bad, limit = (float(notes[name]) for name in ("first_bad_time", "stable_step"))

    @eqx.filter_jit
    def run(state: State, piece: TimeMesh) -> Solution:
        return simulate(stepper, state, piece, jump, observe)

    seen: list[PyTree] = []
    states: list[PyTree] = []
    saved: list[int] = []
    try:
        for number in range(first, len(pieces)):
            piece = pieces[number]
            solution = jax.block_until_ready(run(state, piece.mesh))
            moves = np.asarray(piece.mesh.length).reshape(-1) > 0
            # The results of a chunk are taken together; Ctrl-C before this line loses one chunk, after it none.
            state, now = solution.final, piece.end
            seen.append(jax.tree.map(lambda leaf, moves=moves: np.asarray(leaf)[moves], solution.observations))
            if piece.save is not None:
                states.append(jax.tree.map(np.asarray, solution.states))
                saved.append(piece.save)
            status, bad = max(status, int(solution.status)), min(bad, float(solution.first_bad_time))
            limit = min(limit, float(solution.stable_step))
            failed = status >= Status.NOT_FINITE
            if restart is not None and not failed:
                notes = {"status": status, "first_bad_time": bad, "stable_step": limit, "prints": prints}
                save_restart(restart, state, now, chunk=number + 1, mesh=print_of_mesh, **notes)
            if progress is not None:
                progress((number + 1) / len(pieces), now)
            if failed:
                finished = False
                break
    except KeyboardInterrupt:
        finished = False
    nothing = jax.tree.map(lambda leaf: np.zeros((0, *leaf.shape), leaf.dtype), state)
    return ChunkedRun(
        states=_joined(states) if states else nothing,
        saved=tuple(saved),
        observations=_joined(seen) if seen else None,
        final=state,
        time=now,
        finished=finished,
        status=Status(status),
        first_bad_time=bad,
        stable_step=limit,
    )


class _Piece(NamedTuple):
    """A stretch of steps, the index of the save time at its end (or None), and its end."""

    mesh: TimeMesh
    save: int | None
    end: float


def _cut(mesh: TimeMesh, chunks: int) -> list[_Piece]:
    """Pieces of one shape, none of which reaches across a save time."""
    used = np.array(mesh.used, dtype=int)
    rows = np.stack([np.asarray(table).reshape(-1)[used] for table in (mesh.start, mesh.length, mesh.event)], axis=-1)
    size = max(1, min(-(-len(rows) // chunks), max(mesh.segments)))
    pieces, first, now = [], 0, float(mesh.start.reshape(-1)[0])
    for number, length in enumerate(mesh.segments):
        last = first + length
        for begin in range(first, max(last, first + 1), size):
            part = rows[begin : min(begin + size, last)]
            now = float(part[-1, 0] + part[-1, 1]) if len(part) else now
            ends = begin + size >= last and number < len(mesh.saved)
            now = float(mesh.save_times[number]) if ends else now
            pieces.append(_Piece(_piece(part, size, now), number if ends else None, now))
        first = last
    return pieces


def _piece(part: np.ndarray, size: int, end: float) -> TimeMesh:
    """One group of rows, as a recorded mesh: nothing about it is static but its size, so one program serves all."""
    start, length, event = np.full(size, end), np.zeros(size), np.full(size, -1)
    start[: len(part)], length[: len(part)], event[: len(part)] = part[:, 0], part[:, 1], part[:, 2].astype(int)
    shape = (1, size, 1)
    return TimeMesh(
        start=jnp.asarray(start.reshape(shape)),
        length=jnp.asarray(length.reshape(shape)),
        event=jnp.asarray(event.reshape(shape)),
        times=jnp.asarray(start + length),
        save_times=jnp.asarray([end]),
        saved=(),
        observed=(),
        used=(),
        segments=(),
        saved_groups=jnp.zeros(1, int),
    )


def _joined(parts: list[PyTree]) -> PyTree:
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)
