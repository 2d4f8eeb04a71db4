"""Steps found by error control while the program runs, recorded so that ``simulate`` replays them with exact gradients."""

from collections.abc import Sequence
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, PyTree

from solvers.loop.time_mesh import BLOCK, TimeMesh, check_times
from solvers.shapes import Index, Scalar, State
from solvers.simulate import Jump
from solvers.status import Status
from solvers.stepper import Stepper

SAFETY, SHRINK, GROW = 0.9, 0.2, 5.0
HIGHEST_ORDER = 8


class _Marks(NamedTuple):
    """What happens when, in order: at the same time first the save, then the events as they were given."""

    times: np.ndarray
    events: np.ndarray
    saves: np.ndarray
    span: float


class _March(NamedTuple):
    state: State
    time: Scalar
    step: Scalar
    error: Scalar
    mark: Index
    row: Index
    segment: Index
    attempts: Index
    start: Array
    length: Array
    event: Array
    saved: Array
    status: Index


def adaptive_mesh(
    stepper: Stepper,
    state: State,
    start: float,
    save: Sequence[float],
    rtol: float = 1e-6,
    atol: float = 1e-9,
    max_steps: int = 1024,
    jump: Jump | None = None,
    events: Sequence[float] = (),
    breakpoints: Sequence[float] = (),
    first_step: float | None = None,
) -> TimeMesh:
    r"""Finds steps whose local error stays below a tolerance, by step doubling, for any stepper.

    A step $h$ is compared with two of $h/2$: $e = |u_{h/2} - u_h|/(2^p-1)$, accepted when the root mean square of
    $e/(a + r\max(|u|,|u_{h/2}|))$ is at most one; the next step is $0.9\,h\,e_n^{-0.7/(p+1)}e_{n-1}^{0.4/(p+1)}$ within a
    fifth and five times. The two halves are recorded, so ``simulate`` on this mesh repeats the numbers seen here, and its
    gradient is the exact derivative at these steps (how the steps themselves would move is left out, as is usual: that is of
    the size of the tolerance). Save times, events and breakpoints are hit exactly.

    Runs inside ``jit`` and ``vmap`` (every member its own steps) and takes no part in differentiation. The tables have room for
    ``max_steps`` steps; unused rows are skipped by ``simulate`` except under ``vmap``, where :func:`trimmed` helps.
    Observations at rows that are not used are zero: ``mesh.length`` tells which.

    Args:
        stepper: Any; its ``order`` enters the control.
        state: Initial state.
        start: First time.
        save: As for :func:`solvers.loop.time_mesh.time_mesh`, as are ``events`` and ``breakpoints``.
        rtol: Relative tolerance $r$.
        atol: Absolute tolerance $a$.
        max_steps: Most accepted steps; as many again may be rejected.
        jump: What happens at the events.
        events: Times of jumps.
        breakpoints: Times where the right-hand side is not smooth.
        first_step: Length tried first; a thousandth of the span by default.

    Returns:
        A mesh whose ``status`` ``simulate`` takes over: STEP_LIMIT where the room did not suffice, STEP_TOO_SMALL where the
        error control asked for steps below round-off, NOT_FINITE where it found no finite step; the last state reached stands for
        those that were not.

    Raises:
        ValueError: Times as in ``time_mesh``, a tolerance that is not positive, no room for a step.

    Source: Hairer, Nørsett, Wanner (1993), *Solving Ordinary Differential Equations I*, section II.4, equations 4.4 (doubling) and
    4.11; Gustafsson (1991), ACM Trans. Math. Softw. 17, 533, section 3 (the exponents of the PI control).
    """
    save = check_times(start, save, (*events, *breakpoints))
    if not (rtol >= 0 and atol >= 0 and rtol + atol > 0):
        raise ValueError(f"got rtol {rtol} and atol {atol}; expected tolerances >= 0 that are not both zero; do: try 1e-6 and 1e-9")
    if max_steps < 1 or (first_step is not None and not first_step > 0):
        raise ValueError(f"got max_steps {max_steps} and first_step {first_step}; expected positive ones; do: allow at least one step")
    marks = _marks(start, save, events, breakpoints)
    groups, group = _room(max_steps, len(save), len(events))
    stepper, state, jump = _constant((stepper, jax.tree.map(jnp.asarray, state), jump))
    span = save[-1] - start
    clock = jnp.result_type(float)
    begin = _March(
        state=state,
        time=jnp.asarray(start, clock),
        step=jnp.asarray(span / 1000 if first_step is None else first_step, clock),
        error=jnp.ones((), clock),
        mark=jnp.asarray(0),
        row=jnp.asarray(0),
        segment=jnp.asarray(0),
        attempts=jnp.asarray(0),
        start=jnp.full(groups * group, save[-1], clock),
        length=jnp.zeros(groups * group, clock),
        event=jnp.full(groups * group, -1),
        saved=jnp.full(len(save), groups - 1),
        status=jnp.asarray(int(Status.SUCCESS)),
    )
    tolerance = (rtol, atol)

    def going(march: _March) -> Array:
        return (march.mark < len(marks.times)) & (march.status == Status.SUCCESS)

    end = lax.while_loop(going, lambda march: _attempt(march, stepper, jump, marks, tolerance, group, max_steps), begin)
    shape = (groups, group // BLOCK, BLOCK)
    return TimeMesh(
        start=end.start.reshape(shape),
        length=end.length.reshape(shape),
        event=end.event.reshape(shape),
        times=end.start + end.length,
        save_times=jnp.asarray(save, clock),
        saved=(),
        observed=(),
        used=(),
        segments=(),
        saved_groups=end.saved,
        status=end.status,
    )


def trimmed(mesh: TimeMesh) -> TimeMesh:
    """A recorded mesh, or a batch of them, without the groups at the end that no member uses; on the host, outside of ``jit``."""
    if mesh.saved_groups is None:
        return mesh
    groups, blocks, steps = mesh.length.shape[-3:]
    busy = np.asarray((mesh.length > 0) | (mesh.event >= 0)).reshape(-1, groups, blocks * steps).any(axis=(0, 2))
    reached = np.asarray(mesh.saved_groups)[np.asarray(mesh.status) == Status.SUCCESS]
    keep = 1 + max(int(np.flatnonzero(busy).max(initial=0)), int(reached.max(initial=0)))
    times = mesh.times.reshape(*mesh.times.shape[:-1], groups, -1)[..., :keep, :]
    return eqx.tree_at(
        lambda m: (m.start, m.length, m.event, m.times, m.saved_groups),
        mesh,
        (
            *(table[..., :keep, :, :] for table in (mesh.start, mesh.length, mesh.event)),
            times.reshape(*times.shape[:-2], -1),
            jnp.minimum(mesh.saved_groups, keep - 1),
        ),
    )


def _attempt(
    march: _March, stepper: Stepper, jump: Jump | None, marks: _Marks, tolerance: tuple[float, float], group: int, max_steps: int
) -> _March:
    """One step and its two halves; where it is good enough it is recorded, and what stands at its end happens."""
    target, event, save = (jnp.asarray(column)[march.mark] for column in marks[:3])
    left = target - march.time
    lands = march.step * (1 + 1e-6) >= left
    step = jnp.maximum(jnp.where(lands, left, jnp.where(2 * march.step > left, left / 2, march.step)), 0)
    real = jnp.result_type(*jax.tree.leaves(march.state))
    time, length = march.time.astype(real), step.astype(real)
    half = (step / 2).astype(real)

    def try_it(state: State) -> tuple[State, Scalar]:
        whole = stepper.advance(state, time, length)
        middle = stepper.advance(state, time, half)
        twice = stepper.advance(middle, (march.time + step / 2).astype(real), half)
        return twice, _error(state, whole, twice, tolerance, stepper.order).astype(march.time.dtype)

    after, error = lax.cond(step > 0, try_it, lambda state: (state, jnp.zeros((), march.time.dtype)), march.state)
    good = error <= 1
    arrived = good & lands
    happens = arrived & (event >= 0)
    state = jax.tree.map(lambda new, old: jnp.where(good, new, old), after, march.state)
    if jump is not None:
        happen = jump.apply
        state = lax.cond(happens, lambda before: happen(before, event), lambda before: before, state)

    nowhere = march.length.shape[0]
    advances = good & (step > 0)
    first = jnp.where(advances, march.row, nowhere)
    second = jnp.where(advances, march.row + 1, jnp.where(happens, march.row, nowhere))
    tables = {
        "start": march.start.at[first].set(march.time, mode="drop"),
        "length": march.length.at[first].set(step / 2, mode="drop").at[second].set(step / 2, mode="drop"),
        "event": march.event.at[second].set(jnp.where(happens, event, -1), mode="drop"),
    }
    tables["start"] = tables["start"].at[second].set(jnp.where(advances, march.time + step / 2, march.time), mode="drop")
    row = march.row + jnp.where(advances, 2, jnp.where(happens, 1, 0))
    saves = arrived & (save >= 0)
    row = jnp.where(saves, jnp.maximum(-(-row // group) * group, march.segment + group), row)

    power = 1 / (min(stepper.order, HIGHEST_ORDER) + 1)
    small = jnp.maximum(error, 1e-10)
    grown = jnp.clip(SAFETY * small ** (-0.7 * power) * march.error ** (0.4 * power), SHRINK, GROW)
    shrunk = jnp.clip(SAFETY * jnp.where(jnp.isfinite(error), small, jnp.inf) ** (-power), SHRINK, SAFETY)
    following = step * jnp.where(good, grown, shrunk)
    # A step cut short by a mark says nothing about the next one.
    following = jnp.where(good & (step < march.step), jnp.maximum(following, march.step), following)
    attempts = march.attempts + (step > 0)
    tiny = ~good & (following <= 8 * jnp.finfo(march.time.dtype).eps * marks.span)
    hopeless = jnp.where(jnp.isfinite(error), Status.STEP_TOO_SMALL, Status.NOT_FINITE)
    mark = march.mark + arrived
    full = (mark < len(marks.times)) & ((attempts >= 2 * max_steps) | (row + 2 + marks.events.size > nowhere))
    status = jnp.where(tiny, hopeless, jnp.where(full, Status.STEP_LIMIT, march.status))
    return _March(
        state=state,
        time=jnp.where(arrived, target, jnp.where(good, march.time + step, march.time)),
        step=jnp.where(step > 0, following, march.step),
        error=jnp.where(advances, small, march.error),
        mark=mark,
        row=row,
        segment=jnp.where(saves, row, march.segment),
        attempts=attempts,
        saved=march.saved.at[jnp.where(saves, save, march.saved.shape[0])].set(row // group - 1, mode="drop"),
        status=status.astype(march.status.dtype),
        **tables,
    )


def _error(before: State, whole: State, twice: State, tolerance: tuple[float, float], order: int) -> Scalar:
    """Root mean square over all numbers of the state, each by its tolerance."""
    rtol, atol = tolerance
    scale = 1 / (2 ** min(order, HIGHEST_ORDER) - 1)

    def squares(old: Array, one: Array, two: Array) -> Array:
        allowed = atol + rtol * jnp.maximum(jnp.abs(old), jnp.abs(two))
        # Nothing is wrong where nothing changes, even where nothing is allowed.
        difference = jnp.abs(two - one) * scale
        return jnp.sum(jnp.where(difference == 0, 0, difference / allowed) ** 2)

    parts = jax.tree.leaves(jax.tree.map(squares, before, whole, twice))
    return jnp.sqrt(sum(parts[1:], parts[0]) / sum(leaf.size for leaf in jax.tree.leaves(before)))


def _marks(start: float, save: list[float], events: Sequence[float], breakpoints: Sequence[float]) -> _Marks:
    stop = save[-1]
    marks = [(time, 0, -1, number) for number, time in enumerate(save)]
    marks += [(float(time), 1, number, -1) for number, time in enumerate(events) if start <= float(time) <= stop]
    taken = {mark[0] for mark in marks}
    marks += [(float(time), 2, -1, -1) for time in set(breakpoints) if start < float(time) < stop and float(time) not in taken]
    marks.sort(key=lambda mark: mark[:3])
    times, _, numbers, saves = zip(*marks, strict=True)
    return _Marks(np.array(times), np.array(numbers), np.array(saves), stop - start)


def _room(max_steps: int, saves: int, events: int) -> tuple[int, int]:
    """Groups and rows per group for two rows a step, one per event, and the padding before every save."""
    rows = 2 * max_steps + events
    group = BLOCK * max(1, min(round(np.sqrt(rows / BLOCK)), rows // (BLOCK * saves)))
    return -(-rows // group) + saves + 1 + -(-events // group), group


def _constant(tree: PyTree) -> PyTree:
    return jax.tree.map(lambda leaf: lax.stop_gradient(leaf) if eqx.is_array(leaf) else leaf, tree)
