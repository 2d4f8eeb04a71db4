"""Physics-informed fits: a model whose residual in an equation, and in whatever else is known, is made small."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from solvers import Status
from twinsim.errors import InputError, near_misses
from twinsim.informed.levenberg_marquardt import Descent, levenberg_marquardt
from twinsim.informed.quasi_newton import quasi_newton
from twinsim.informed.rows import Function, RowBlock, Rows, split, sum_of_squares
from twinsim.informed.sampling import Sampling, causal_weights, renewed, renewed_axes
from twinsim.informed.tensor_rows import TensorRows

METHODS = ("levenberg-marquardt", "bfgs", "broyden")


def _nowhere(key: PRNGKeyArray, count: int) -> Float[Array, "points axes"]:
    """Points that nothing is asked for at."""
    del key
    return jnp.zeros((count, 1))


class InformedProblem(eqx.Module):
    """What has to hold.

    Args:
        residual: Of the equation, by model and point; a number, or a few. Conditions that can hold by construction belong into the
            model (see :class:`twinsim.informed.jet.Jet`); only what is left is asked for here. None where all rows are in ``known``,
            as those of :class:`twinsim.informed.equation_rows.FieldRows` on all voxels of a mask; points and sampling then mean nothing.
        draw: Points of the domain by key and count, uniformly.
        known: Rows beside the equation: data, walls, priors.
        weight: Of the mean square of the residual, against ``known``: one over its standard deviation.
        span: Beginning and end of the time, the last coordinate of a point; for causal weights.
        tensor: The columns that ``draw`` gives are the axes of a tensor grid (:func:`twinsim.informed.sampling.stratified`), on all of
            which the residual is asked for; the model holds a separable network. ``Stage.points`` then counts along each axis.
    """

    residual: Function | None = eqx.field(static=True, default=None)
    draw: Callable[[PRNGKeyArray, int], Float[Array, "points axes"]] = eqx.field(static=True, default=_nowhere)
    known: tuple[RowBlock, ...] = ()
    weight: float = eqx.field(static=True, default=1.0)
    span: tuple[float, float] = eqx.field(static=True, default=(0.0, 1.0))
    tensor: bool = eqx.field(static=True, default=False)


@dataclass(frozen=True)
class Stage:
    """So many rounds of so many iterations on so many points."""

    points: int
    rounds: int
    iterations: int


class Fit(NamedTuple):
    """What was found.

    Attributes:
        model: The last one whose loss was a number.
        losses: Half the sum of squares after every iteration; points change between rounds.
        rounds: Per round: iterations so far, wall seconds, processor seconds (both without compiling), and what ``watch`` said.
        rows: Of the last round, for its curvature.
        memory: The optimiser's, at the end.
        compile_seconds: Tracing and compiling.
        status: SUCCESS, or NOT_FINITE where a round began with a loss that is no number.
    """

    model: Any
    losses: np.ndarray
    rounds: np.ndarray
    rows: tuple[RowBlock, ...]
    memory: PyTree[Array]
    compile_seconds: float
    status: Status

    @property
    def message(self) -> str:
        """How it ended, in one line."""
        if self.status is Status.SUCCESS:
            return f"fitted in {self.losses.size} iterations"
        return (
            f"got a residual that is not finite in round {len(self.rounds)}; expected numbers; do: look at the equation on its domain, or "
            "draw the network anew (the model of the round before was kept)"
        )


def fit(
    problem: InformedProblem,
    model: PyTree,
    stages: tuple[Stage, ...],
    *,
    seed: int = 0,
    method: str = "levenberg-marquardt",
    sampling: Sampling | None = None,
    seconds: float = float("inf"),
    watch: Callable[[Any], float] | None = None,
    progress: Callable[[int, int, float], None] | None = None,
) -> Fit:
    """Minimises the sum of squares of all residuals; points are renewed between rounds, a round is one program.

    Args:
        problem: What has to hold.
        model: A pytree with all that is sought: networks and coefficients; every floating-point array in it is fitted.
        stages: Few points first, where the solution only takes shape, then more.
        seed: Of the points.
        method: Levenberg-Marquardt unless told otherwise; the quasi-Newton methods take about a tenth of its time per iteration, and far
            more iterations.
        sampling: How points are renewed.
        seconds: No round begins after so many seconds (compiling not counted).
        watch: A number to note after each round, e.g. the error against a reference; its time is not counted.
        progress: ``progress(rounds done, rounds, loss)``.

    Raises:
        InputError: An unknown method (``levenberg-marquardt``, ``bfgs``, ``broyden``), a stage without points, rounds or iterations, or
            an array that is not float64: in single precision such fits stop at errors of some percent; causal weights on a tensor grid.
    """
    if method not in METHODS:
        raise InputError(f"method {method!r}", ", ".join(METHODS), near_misses(method, METHODS))
    if problem.residual is None and not problem.known:
        raise InputError("a problem without rows", "a residual, or rows that are known", "say what has to hold")
    if not stages or min(min(one.points, one.rounds, one.iterations) for one in stages) < 1:
        raise InputError(f"stages {stages}", "at least one, each with points, rounds and iterations", "give positive numbers")
    start, restore = split(model)
    if start.dtype != jnp.float64:
        raise InputError(f"a model in {start.dtype}", "float64", "turn on jax_enable_x64, --precision float64")
    sampling = sampling or Sampling()
    if problem.tensor and sampling.slabs:
        raise InputError(f"{sampling.slabs} slabs of time on a tensor grid", "none", "leave causal weights out, or draw single points")
    key = jax.random.key(seed)
    vector, memory = start, _fresh(method, start)
    points = problem.draw(jax.random.fold_in(key, 0), stages[0].points)
    losses, notes, spent, used, compiling, done, total = [], [], 0.0, 0.0, 0.0, 0, sum(one.rounds for one in stages)
    status, rows = Status.SUCCESS, problem.known
    for stage in stages:
        began = time.perf_counter()
        example = problem.draw(key, stage.points)
        step = _round.lower(problem, restore, method, stage.iterations, sampling, vector, example, memory).compile()
        again = draw = _renew.lower(problem, restore, stage.points, sampling, vector, example, key).compile()
        if points.shape != example.shape:
            draw = _renew.lower(problem, restore, stage.points, sampling, vector, points, key).compile()
        compiling += time.perf_counter() - began
        for number in range(stage.rounds):
            if spent >= seconds:
                break
            wall, processor = time.perf_counter(), time.process_time()
            if done:
                points = (again if number else draw)(problem, vector, points, jax.random.fold_in(key, done))
            found, rows = step(problem, vector, points, memory)
            done += 1
            if not bool(found.finite):
                status = Status.NOT_FINITE
                break
            vector, memory = jax.block_until_ready((found.vector, found.memory))
            spent, used = spent + time.perf_counter() - wall, used + time.process_time() - processor
            losses.append(np.asarray(found.values))
            note = float("nan") if watch is None else watch(restore(vector))
            notes.append((sum(map(len, losses)), spent, used, note))
            if progress is not None:
                progress(done, total, float(found.value))
        if status is not Status.SUCCESS:
            break
    history = np.concatenate(losses) if losses else np.zeros(0)
    return Fit(restore(vector), history, np.array(notes).reshape(-1, 4), rows, memory, compiling, status)


def _fresh(method: str, start: Array) -> Array:
    """Damping, or a first inverse curvature: small enough for any first step to be searched."""
    return jnp.asarray(0.1) if method == "levenberg-marquardt" else jnp.eye(start.size) * 1e-2


def _equation(problem: InformedProblem, model: PyTree, points: Array, sampling: Sampling) -> tuple[RowBlock, ...]:
    if problem.residual is None:
        return ()
    if problem.tensor:
        return (TensorRows(problem.residual, tuple(points.T), problem.weight),)
    weights = jnp.full(points.shape[0], problem.weight / points.shape[0] ** 0.5)
    if sampling.slabs:
        squares = _squares(problem, model, points)
        causal = causal_weights(points[:, -1], squares, problem.span, sampling.slabs, sampling.causality)
        weights = weights * jnp.sqrt(causal)
    return (Rows(problem.residual, points, weights),)


def _squares(problem: InformedProblem, model: PyTree, points: Array) -> Array:
    if problem.residual is None:
        return jnp.zeros(points.shape[0])
    found = jax.vmap(problem.residual, in_axes=(None, 0))(model, points)
    return jnp.sum(found.reshape(points.shape[0], -1) ** 2, axis=1)


@partial(jax.jit, static_argnums=(1, 2, 3, 4))
def _round(
    problem: InformedProblem,
    restore: Callable[[Array], PyTree],
    method: str,
    iterations: int,
    sampling: Sampling,
    vector: Array,
    points: Array,
    memory: Array,
) -> tuple[Descent, tuple[RowBlock, ...]]:
    rows = (*problem.known, *_equation(problem, restore(vector), points, sampling))
    if method == "levenberg-marquardt":
        return levenberg_marquardt(rows, vector, restore, iterations, memory), rows
    update = "bfgs" if method == "bfgs" else "broyden"
    return quasi_newton(lambda theta: sum_of_squares(rows, restore(theta)), vector, iterations, memory, update), rows


@partial(jax.jit, static_argnums=(1, 2, 3))
def _renew(
    problem: InformedProblem,
    restore: Callable[[Array], PyTree],
    count: int,
    sampling: Sampling,
    vector: Array,
    points: Array,
    key: PRNGKeyArray,
) -> Array:
    if problem.residual is None:
        return problem.draw(key, count)
    draw, choose = jax.random.split(key)
    if problem.tensor:
        return renewed_axes(choose, points, problem.draw(draw, count), sampling)
    pool = problem.draw(draw, sampling.pool * count)
    sizes = jnp.sqrt(_squares(problem, restore(vector), pool))
    return renewed(choose, points, pool, sizes, count, sampling)
