"""Stiff initial value problems: adaptive Rosenbrock steps in one compiled program, with output at given times, an event and gradients."""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Float, PyTree

from solvers.shapes import Flag, Index, SaveTimes, Scalar
from solvers.status import Status, raise_for_status
from solvers.stiff.adaptive_control import StepControl
from solvers.stiff.adaptive_march import March, march
from solvers.stiff.linear_structure import Dense, LinearStructure
from solvers.stiff.rosenbrock import RODAS4, Field, Rosenbrock, Vector, dense_coefficients, dense_value, rosenbrock_step

Event = Callable[[Scalar, Vector, PyTree], Scalar]
SAVES_AT_ONCE = 64
Parts = tuple[Scalar, Vector, Vector, Float[Array, "coefficients ..."], Scalar]


class StiffSolution(eqx.Module):
    """What :func:`integrate_stiff` leaves.

    Attributes:
        final: The state at ``final_time``.
        final_time: The end, or the time of the event.
        states: The states at ``save_at``, stacked along a new first axis; after the event, or where a member stopped early, the
            state it ended with. None without ``save_at``.
        event: Whether the event happened.
        status: A :class:`solvers.status.Status` code.
        accepted: Steps taken.
        rejected: Steps tried in vain.
    """

    final: Vector
    final_time: Scalar
    states: Float[Array, "saves ..."] | None
    event: Flag
    status: Index
    accepted: Index
    rejected: Index

    def raise_for_status(self) -> None:
        """Raises :class:`solvers.status.SimulationError` when this, or any member of a batch of these, failed."""
        raise_for_status(self.status)


def integrate_stiff(
    field: Field,
    state: ArrayLike,
    start: ArrayLike,
    stop: ArrayLike,
    args: PyTree = None,
    *,
    method: Rosenbrock = RODAS4,
    structure: LinearStructure | None = None,
    relative_tolerance: ArrayLike = 1e-6,
    absolute_tolerance: ArrayLike = 1e-9,
    save_at: ArrayLike | None = None,
    first_step: ArrayLike | None = None,
    fixed_steps: int | None = None,
    max_steps: int = 4096,
    event: Event | None = None,
    derivative: Literal["reverse", "forward"] = "reverse",
) -> StiffSolution:
    r"""Solves $y' = f(t, y, p)$ from ``start`` to ``stop`` with steps chosen by error control.

    Reverse mode is the discrete adjoint over the recorded steps, with the lengths of the steps held constant: exact for the numbers
    computed, one linear solve per stage with the factors of the step, transposed. It reaches the state, ``args``, arrays inside the
    field and, through $\pm f$, both end times. Under ``vmap`` members march in lockstep, each with its own steps and status.

    Args:
        field: $f(t, y, p)$; a function or an Equinox module.
        state: $y$ at the start, one array of any shape; its precision is the computation's.
        start: First time.
        stop: Last time, after the first.
        args: $p$, any pytree.
        method: ``RODAS3``, ``RODAS4`` or ``RODAS5P``: the higher the order, the better at tight tolerances.
        structure: The pattern of the Jacobian; dense if not said. Naming it is what makes large systems fast.
        relative_tolerance: A number or one per component.
        absolute_tolerance: A number or one per component; below the smallest value that matters.
        save_at: Times to give the state at, any order, from the method's continuous extension, whose order is one less.
        first_step: Length of the first step; chosen from the field if not given.
        fixed_steps: So many equal steps instead of error control.
        max_steps: Steps tried at most. A record of so many states is kept for reverse mode and for ``save_at``.
        event: $g(t, y, p)$, a number; the solution ends where it changes its sign, found on the continuous extension. The time of the
            event and the state there have their implicit derivatives.
        derivative: ``"reverse"`` for ``grad`` and ``vjp``; ``"forward"`` for ``jvp`` and ``jacfwd``. The values are the same.

    Returns:
        A :class:`StiffSolution`; failures are codes in its ``status`` and leave the last state reached.

    Raises:
        ValueError: A state that is no floating-point array or doesn't fit the structure, a method or structure of another kind, times
            that are not increasing, a tolerance or first step that is not positive, times to save at outside of the span. Where these
            numbers are traced, the status is OUT_OF_RANGE and the state that of the start; a traced span of zero is allowed.

    An event whose function becomes NaN is looked for before that point; where there is none the solution ends there with
    EVENT_NOT_FINITE.

    Fails: a discontinuous field is stepped over by brute force (many rejections): end at the jump and start again. Several sign
    changes of the event within one step are seen as one or none.
    """
    structure = Dense() if structure is None else structure
    if not isinstance(method, Rosenbrock) or not isinstance(structure, LinearStructure):
        got = f"method {method!r:.40} and structure {structure!r:.60}"
        raise ValueError(f"got {got}; expected a Rosenbrock and a LinearStructure; do: method=RODAS4, structure=Dense() with its brackets")
    if state is None or isinstance(state, str | dict | tuple):
        raise ValueError(f"got a {type(state).__name__} as state; expected one array; do: stack the unknowns, or flatten by ravel_pytree")
    state = jnp.asarray(state)
    _check(state, start, stop, relative_tolerance, absolute_tolerance, fixed_steps, max_steps, save_at, first_step)
    structure.check(state.shape)
    dtype = state.dtype
    start, stop = jnp.asarray(start, dtype), jnp.asarray(stop, dtype)
    args = jax.tree.map(lambda leaf: jnp.asarray(leaf) if isinstance(leaf, np.ndarray | np.generic) else leaf, args)
    # What the functions close over becomes an input, so that a gradient reaches it.
    slope = eqx.filter_eval_shape(field, start, state, args)
    if getattr(slope, "shape", None) != state.shape or getattr(slope, "dtype", None) != dtype:
        got = f"{getattr(slope, 'dtype', type(slope).__name__)}{list(getattr(slope, 'shape', ()))}"
        raise ValueError(
            f"got a field that gives {got}; expected {dtype}{list(state.shape)}, as the state; do: return one slope per unknown"
        )
    field = eqx.filter_closure_convert(field, start, state, args)
    if event is not None:
        event = eqx.filter_closure_convert(event, start, state, args)
    parameters = (field, args, structure, event)

    state = _moved(field, args, state, start, -1)
    relative, absolute = (lax.stop_gradient(jnp.asarray(value, dtype)) for value in (relative_tolerance, absolute_tolerance))
    control = StepControl(method.order, relative, absolute)
    length, finite = control.first_step(lambda t, y: field(t, y, args), start, state, stop - start)
    if fixed_steps is not None:
        control, length = None, (stop - start) / fixed_steps
        max_steps = fixed_steps + 1
    elif first_step is not None:
        length = jnp.minimum(jnp.asarray(first_step, dtype), stop - start)
    within = _within(start, stop, relative, absolute, save_at, first_step)

    def advance(parameters: PyTree, time: Scalar, length: Scalar, state: Vector) -> tuple[Vector, Vector]:
        field, args, structure, _ = parameters
        return rosenbrock_step(method, structure, field, args, time, length, state)[:2]

    def sign(parameters: PyTree, time: Scalar, state: Vector) -> Scalar:
        return parameters[3](time, state, parameters[1])

    ended = march(
        advance,
        parameters,
        state,
        start,
        stop,
        (length, finite & within),
        control,
        sign=None if event is None else sign,
        max_steps=max_steps,
        keep=save_at is not None or event is not None,
        derivative=derivative,
    )
    final, final_time = ended.state, ended.time
    final = _moved(field, args, final, jnp.where(final_time < stop, final_time, stop), 1)
    parts = partial(_parts, method, structure, field, args)
    happened, status = ended.crossed, jnp.where(within, ended.status, int(Status.OUT_OF_RANGE))
    if event is not None:
        final, final_time, happened = _at_event(event, args, parts, ended, final, final_time)
        status = jnp.where(ended.crossed & ~happened, int(Status.EVENT_NOT_FINITE), status)
    states = None
    if save_at is not None:
        states = _saved(parts, ended, jnp.asarray(save_at, dtype), start, final, final_time)
    return StiffSolution(final, final_time, states, happened, status, ended.accepted, ended.rejected)


def _check(
    state: Array,
    start: ArrayLike,
    stop: ArrayLike,
    relative: ArrayLike,
    absolute: ArrayLike,
    fixed_steps: int | None,
    max_steps: int,
    save_at: ArrayLike | None,
    first_step: ArrayLike | None,
) -> None:
    """What can be seen without values that are traced."""
    if first_step is not None and not isinstance(first_step, Tracer) and not (0 < np.asarray(first_step) < np.inf):
        raise ValueError(f"got first_step {first_step}; expected a positive finite length; do: leave it out, the field chooses one")
    if not jnp.issubdtype(state.dtype, jnp.floating) or state.size == 0:
        raise ValueError(f"got a state of {state.dtype}{list(state.shape)}; expected real numbers; do: give one floating-point array")
    if not isinstance(start, Tracer) and not isinstance(stop, Tracer):
        first, last = float(np.asarray(start)), float(np.asarray(stop))
        if not (np.isfinite([first, last]).all() and last > first):
            raise ValueError(f"got times from {first:g} to {last:g}; expected a finite span; do: integrate forwards in time")
    for name, value in (("relative_tolerance", relative), ("absolute_tolerance", absolute)):
        if not isinstance(value, Tracer) and not (np.asarray(value) > 0).all():
            raise ValueError(f"got {name} {value}; expected positive numbers; do: 1e-6 is a good start")
    if max_steps < 1 or (fixed_steps is not None and fixed_steps < 1):
        raise ValueError(f"got max_steps {max_steps}, fixed_steps {fixed_steps}; expected at least 1; do: allow more steps")
    if save_at is not None and jnp.ndim(save_at) != 1:
        raise ValueError(f"got save_at of {jnp.ndim(save_at)} dimensions; expected a list of times; do: give one axis")
    if save_at is not None and not any(isinstance(part, Tracer) for part in (save_at, start, stop)):
        times = np.asarray(save_at, dtype=float)
        if not ((times >= float(np.asarray(start))) & (times <= float(np.asarray(stop)))).all():
            raise ValueError(f"got save_at {times} for {start} to {stop}; expected times in between; do: leave the others out")


def _within(start: Scalar, stop: Scalar, relative: Array, absolute: Array, save_at: ArrayLike | None, first_step: ArrayLike | None) -> Flag:
    """What :func:`_check` looks at, for values that are traced."""
    good = jnp.isfinite(start) & jnp.isfinite(stop) & (stop >= start) & (relative > 0).all() & (absolute > 0).all()
    if save_at is not None:
        # A time of another precision may lie beside the end by a rounding.
        times, slack = jnp.asarray(save_at, start.dtype), 4 * jnp.finfo(start.dtype).eps * jnp.maximum(jnp.abs(start), jnp.abs(stop))
        good = good & ((times >= start - slack) & (times <= stop + slack)).all()
    if first_step is not None:
        good = good & (jnp.asarray(first_step) > 0) & jnp.isfinite(first_step)
    return lax.stop_gradient(good)


def _moved(field: Field, args: PyTree, state: Vector, time: Scalar, direction: int) -> Vector:
    """The state itself, whose derivative with respect to ``time`` is that of the flow, ``direction`` times the field."""
    arrays, static = eqx.partition((field, args), eqx.is_array)

    @jax.custom_jvp
    def moved(state: Vector, time: Scalar, arrays: PyTree) -> Vector:
        del time, arrays
        return state

    @moved.defjvp
    def _(primals: Any, tangents: Any) -> tuple[Vector, Vector]:
        state, time, arrays = primals
        field, args = eqx.combine(arrays, static)
        return state, tangents[0] + direction * tangents[1] * field(time, state, args)

    return moved(state, time, arrays)


def _parts(method: Rosenbrock, structure: LinearStructure, field: Field, args: PyTree, row: Array, shape: tuple[int, ...]) -> Parts:
    """Start, end, and coefficients of the continuous extension over the step of a row of the record."""
    length = jnp.where(row[1] > 0, row[1], 1)
    before = row[2:].reshape(shape)
    after, _, stages = rosenbrock_step(method, structure, field, args, row[0], length, before)
    return row[0], before, after, dense_coefficients(method, field, args, row[0], length, before, after, stages), row[1]


def _saved(
    parts: Callable[[Array, tuple[int, ...]], Parts], ended: March, times: SaveTimes, start: Scalar, final: Vector, final_time: Scalar
) -> Float[Array, "saves ..."]:
    """The continuous extension at given times, each from the recorded step that holds it."""
    record = ended.record
    filled = jnp.arange(record.shape[0]) < ended.rows
    ends = lax.stop_gradient(jnp.where(filled, record[:, 0] + record[:, 1], jnp.inf))

    def at(time: Scalar) -> Vector:
        row = record[jnp.minimum(jnp.searchsorted(ends, lax.stop_gradient(time)), ended.last)]
        begin, before, after, coefficients, length = parts(row, final.shape)
        part = (time - begin) / jnp.where(length > 0, length, 1)
        return jnp.where(length > 0, dense_value(coefficients, before, after, part), before)

    return lax.map(at, jnp.clip(times, start, final_time), batch_size=SAVES_AT_ONCE)


def _at_event(
    event: Event,
    args: PyTree,
    parts: Callable[[Array, tuple[int, ...]], Parts],
    ended: March,
    final: Vector,
    final_time: Scalar,
) -> tuple[Vector, Scalar, Flag]:
    """State and time of the event: bisection, then one Newton step, which also carries the implicit derivative; and whether there is one.

    A NaN counts as past the event. Where it isn't, because the function turns NaN without a change of sign, the last point before.
    """
    step = parts(ended.record[ended.last], final.shape)

    def value(part: Scalar, step: Parts, event: Event, args: PyTree) -> Scalar:
        begin, before, after, coefficients, length = step
        return event(begin + part * length, dense_value(coefficients, before, after, part), args)

    still = jax.tree.map(lambda leaf: lax.stop_gradient(leaf) if eqx.is_array(leaf) else leaf, (step, event, args))
    begins = value(jnp.zeros_like(final_time), *still)

    def halve(_: Any, bounds: tuple[Scalar, Scalar]) -> tuple[Scalar, Scalar]:
        low, high = bounds
        middle = (low + high) / 2
        before = value(middle, *still) * begins > 0
        return jnp.where(before, middle, low), jnp.where(before, high, middle)

    bounds = (jnp.zeros_like(final_time), jnp.ones_like(final_time))
    low, part = lax.stop_gradient(lax.fori_loop(0, jnp.finfo(final.dtype).nmant + 1, halve, bounds))
    there = ended.crossed & ~jnp.isnan(value(part, *still)) & (begins != 0)
    part = jnp.where(ended.crossed & ~there, low, part)
    _, rate = jax.jvp(lambda part: value(part, *still), (part,), (jnp.ones_like(part),))
    part = part - jnp.where(there, value(part, step, event, args), 0) / jnp.where(there & (rate != 0), rate, 1)
    begin, before, after, coefficients, length = step
    found = dense_value(coefficients, before, after, part)
    return jnp.where(ended.crossed, found, final), jnp.where(ended.crossed, begin + part * length, final_time), there
