"""The adaptive loop and its discrete adjoint over the recorded steps."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int, PyTree

from solvers.shapes import Flag, Index, Scalar
from solvers.status import Status
from solvers.stiff.adaptive_control import StepControl
from solvers.stiff.adaptive_lockstep import largest_member, read_row, write_row

Vector = Float[Array, "..."]
Advance = Callable[[PyTree, Scalar, Scalar, Vector], tuple[Vector, Vector]]
Sign = Callable[[PyTree, Scalar, Vector], Scalar]

REJECTIONS = 40


class March(NamedTuple):
    """Where a march ended and how.

    Attributes:
        state: The last accepted state.
        time: Its time.
        record: Rows of time, length and state at the start of each accepted step; a length of zero marks a row of other members of
            the batch. Without rows unless it was asked for.
        rows: How many rows are filled.
        last: The row of the last accepted step.
        status: A :class:`solvers.status.Status` code.
        accepted: Steps taken.
        rejected: Steps tried in vain.
        crossed: Whether the event's function changed its sign, or became NaN, over the last step.
    """

    state: Vector
    time: Scalar
    record: Float[Array, "rows columns"]
    rows: Index
    last: Index
    status: Index
    accepted: Index
    rejected: Index
    crossed: Flag


class _Carry(NamedTuple):
    iteration: Index
    rows: Index
    time: Scalar
    length: Scalar
    logarithm: Scalar
    sign: Scalar
    counts: Int[Array, "counts"]  # accepted, rejected, rejected in a row, code, row of the last accepted step, event seen
    state: Vector
    record: Float[Array, "rows columns"]


def march(
    advance: Advance,
    parameters: PyTree,
    state: Vector,
    start: Scalar,
    stop: Scalar,
    first: tuple[Scalar, Flag],
    control: StepControl | None,
    *,
    sign: Sign | None,
    max_steps: int,
    keep: bool,
    derivative: Literal["reverse", "forward"],
) -> March:
    """Steps from ``start`` to ``stop``, or past a change of ``sign``; derivatives hold the lengths of the steps constant.

    Args:
        advance: ``advance(parameters, time, length, state)`` gives the new state and its error estimate.
        parameters: Any pytree; floating-point leaves are differentiated.
        state: At ``start``.
        start: First time.
        stop: Last time.
        first: Length of the first step and whether the field is finite there.
        control: Chooses the lengths; None takes equal steps of the first length.
        sign: An event's function, whose change of sign (or NaN) ends the march after the step in which it happens.
        max_steps: Steps tried at most, and rows of the record.
        keep: Whether the record is wanted.
        derivative: ``"reverse"`` records the steps and runs their adjoints backwards; ``"forward"`` leaves the loop to forward mode.
    """
    start, stop, first = lax.stop_gradient((start, stop, first))
    if derivative == "forward":
        return _run(advance, parameters, state, start, stop, first, control, sign, max_steps, keep)

    arrays, static = eqx.partition(parameters, eqx.is_array)
    moving, fixed = eqx.partition(arrays, eqx.is_inexact_array)

    def join(moving: PyTree, fixed: PyTree) -> PyTree:
        return eqx.combine(moving, fixed, static)

    @jax.custom_vjp
    def differentiable(moving: PyTree, state: Vector, hidden: Any) -> tuple[Vector, Array, Any]:
        fixed, start, stop, first, control = hidden
        ended = _run(advance, join(moving, fixed), state, start, stop, first, control, sign, max_steps, keep)
        return ended.state, ended.record, ended._replace(state=None, record=None)

    def forward(moving: PyTree, state: Vector, hidden: Any) -> tuple[Any, Any]:
        fixed, start, stop, first, control = hidden
        ended = _run(advance, join(moving, fixed), state, start, stop, first, control, sign, max_steps, True)
        out = (ended.state, ended.record if keep else ended.record[:0], ended._replace(state=None, record=None))
        return out, (moving, fixed, ended.record, ended.rows)

    def backward(kept: Any, cotangents: Any) -> tuple[PyTree, Vector, None]:
        moving, fixed, record, rows = kept
        end, of_record, _ = cotangents
        of_record = of_record if keep else None
        return *_adjoint(advance, moving, lambda moving: join(moving, fixed), record, rows, end, of_record, state.shape), None

    differentiable.defvjp(forward, backward)
    hidden = (fixed, start, stop, first, control)
    end, record, rest = differentiable(moving, state, hidden)
    return rest._replace(state=end, record=record)


def _run(
    advance: Advance,
    parameters: PyTree,
    state: Vector,
    start: Scalar,
    stop: Scalar,
    first: tuple[Scalar, Flag],
    control: StepControl | None,
    sign: Sign | None,
    max_steps: int,
    keep: bool,
) -> March:
    dtype = state.dtype
    begin = jnp.where(first[1], int(Status.SUCCESS), int(Status.NOT_FINITE)).astype(int)
    zero = jnp.zeros((), int)
    epsilon = float(jnp.finfo(dtype).eps)

    def active(carry: _Carry) -> Flag:
        crossed = carry.counts[5] > 0 if sign is not None else jnp.asarray(False)
        return (carry.time < stop) & (carry.counts[3] == int(Status.SUCCESS)) & ~crossed

    def body(carry: _Carry) -> _Carry:
        on = active(carry)
        accepted, rejected, vain, code, last, crossed = carry.counts
        # A last step that would leave less than round-off of the span takes it along.
        length = jnp.where(carry.time + (1 + 8 * epsilon) * carry.length >= stop, stop - carry.time, carry.length)
        length = lax.stop_gradient(jnp.where(on, length, carry.length))
        after, error = advance(parameters, carry.time, length, carry.state)
        if control is None:
            logarithm, good, proposed = carry.logarithm, jnp.isfinite(after).all(), carry.length
        else:
            logarithm = lax.stop_gradient(control.logarithm_of_error(error, carry.state, after))
            good = logarithm <= 0
            proposed = length * control.factor(logarithm, carry.logarithm, (vain == 0) & good)
        take = on & good
        time = jnp.where(take, jnp.where(length >= stop - carry.time, stop, carry.time + length), carry.time)
        new = jnp.where(take, after, carry.state)
        vain = jnp.where(on, jnp.where(good, 0, vain + 1), vain)
        stuck = on & ~good & ((vain >= REJECTIONS) | (proposed <= 4 * epsilon * jnp.abs(carry.time)) | (control is None))
        broken = int(Status.STEP_TOO_SMALL) if control is not None else int(Status.NOT_FINITE)
        reason = jnp.where(jnp.isfinite(after).all(), broken, int(Status.NOT_FINITE))
        code = jnp.where(stuck, reason, code)
        now = carry.sign
        if sign is not None:
            now = jnp.where(take, lax.stop_gradient(sign(parameters, time, new)), carry.sign)
            crossed = jnp.where(take & (((carry.sign * now <= 0) & (carry.sign != 0)) | jnp.isnan(now)), 1, crossed)
        record = carry.record
        if keep:
            row = jnp.concatenate([jnp.stack([carry.time, jnp.where(take, length, 0)]), carry.state.reshape(-1)])
            record = write_row(record, row, carry.rows)
        return _Carry(
            iteration=carry.iteration + 1,
            rows=carry.rows + largest_member(take.astype(int)),
            time=time,
            length=jnp.where(on, proposed, carry.length),
            logarithm=jnp.where(take, logarithm, carry.logarithm),
            sign=now,
            counts=jnp.stack([accepted + take, rejected + (on & ~good), vain, code, jnp.where(take, carry.rows, last), crossed]),
            state=new,
            record=record,
        )

    def more(carry: _Carry) -> Flag:
        return (carry.iteration < max_steps) & (largest_member(active(carry).astype(int)) > 0)

    begin_sign = jnp.zeros((), dtype) if sign is None else lax.stop_gradient(sign(parameters, start, state)).astype(dtype)
    begin = jnp.where(jnp.isnan(begin_sign) & first[1], int(Status.EVENT_NOT_FINITE), begin)
    began = _Carry(
        iteration=zero,
        rows=zero,
        time=start,
        length=lax.stop_gradient(first[0]),
        logarithm=jnp.zeros((), dtype),
        sign=begin_sign,
        counts=jnp.stack([zero, zero, zero, begin, zero, zero]),
        state=state,
        record=jnp.zeros((max_steps if keep else 0, state.size + 2), dtype),
    )
    ended = lax.while_loop(more, body, began)
    accepted, rejected, _, code, last, crossed = ended.counts
    code = jnp.where(active(ended), int(Status.STEP_LIMIT), code)
    return March(ended.state, ended.time, ended.record, ended.rows, last, code, accepted, rejected, crossed > 0)


def _adjoint(
    advance: Advance,
    moving: PyTree,
    join: Callable[[PyTree], PyTree],
    record: Array,
    rows: Index,
    end: Vector,
    of_record: Array | None,
    shape: tuple[int, ...],
) -> tuple[PyTree, Vector]:
    """Steps back through the record; each step is computed again and its adjoint taken at the same length."""

    def body(carry: tuple[Index, Vector, PyTree]) -> tuple[Index, Vector, PyTree]:
        index, cotangent, gradient = carry
        row = read_row(record, index)
        taken = row[1] > 0

        def step(moving: PyTree, state: Vector) -> Vector:
            return advance(join(moving), row[0], jnp.where(taken, row[1], 1), state)[0]

        _, pull = jax.vjp(step, moving, row[2:].reshape(shape))
        of_parameters, of_state = pull(cotangent)
        cotangent = jnp.where(taken, of_state, cotangent)
        if of_record is not None:
            cotangent = cotangent + read_row(of_record, index)[2:].reshape(shape)
        gradient = jax.tree.map(lambda total, part: total + jnp.where(taken, part, 0), gradient, of_parameters)
        return index - 1, cotangent, gradient

    zero = jax.tree.map(jnp.zeros_like, moving)
    _, cotangent, gradient = lax.while_loop(lambda carry: carry[0] >= 0, body, (largest_member(rows) - 1, end, zero))
    return gradient, cotangent
