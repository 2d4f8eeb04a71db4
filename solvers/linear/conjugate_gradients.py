"""Preconditioned conjugate gradients on fields, without matrices and without exceptions."""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from solvers.shapes import Cells, Index

Norms = Float[Array, "*batch"]
Counts = Int[Array, "*batch"]
Map = Callable[[Array], Array]
PATIENCE = 20
RESTARTS = 4


class Iterate(NamedTuple):
    """Where an iteration ended.

    Attributes:
        field: The iterate with the smallest residual of all.
        norm: Euclidean norm of its true residual, per batch member.
        iterations: How many were made, per batch member.
    """

    field: Cells
    norm: Norms
    iterations: Counts


def conjugate_gradients(apply: Map, precondition: Map, right: Cells, target: Norms, limit: Index, patience: int = PATIENCE) -> Iterate:
    r"""Solves $A u = b$ for symmetric positive semidefinite $A$ from $u = 0$, all right-hand sides of a batch at once.

    The recurrence's residual drifts away from the true one by round-off; where it meets the target, the true one is computed, and
    the iteration goes on from there with what is left (at most four times, while that halves the residual). Members of a batch stop
    one by one and wait for the slowest.

    Args:
        apply: $A$, on fields with leading batch axes.
        precondition: $M\approx A^{-1}$, symmetric positive semidefinite.
        right: $b$, in the range of $A$ where $A$ is singular.
        target: Largest norm of the residual that is asked for, per batch member.
        limit: Most iterations.
        patience: Iterations without a smaller residual after which it ends; a weak preconditioner needs more than the 20 of a good one.

    Fails: ends early, with the best iterate, when the residual has not shrunk for ``patience`` iterations (round-off reached), when
    $p^T A p \le 0$ ($A$ is not positive), and when something is not finite.
    Source: Hestenes, Stiefel (1952), J. Res. Nat. Bur. Stand. 49, 409; van der Vorst, Ye (2000), SIAM J. Sci. Comput. 22, 835 (restart
    with the true residual).
    """

    def unfinished(carry: tuple[Iterate, Cells, Array, Array]) -> Array:
        iterate, _, active, restarts = carry
        return jnp.any(active & (iterate.iterations < limit)) & (restarts < RESTARTS)

    def restart(carry: tuple[Iterate, Cells, Array, Array]) -> tuple[Iterate, Cells, Array, Array]:
        old, residual, active, restarts = carry
        change, iterations = _one_run(apply, precondition, residual, jnp.where(active, target, jnp.inf), old.iterations, limit, patience)
        field = old.field + change
        following = lax.optimization_barrier(right - apply(field))
        norm = _norm(following)
        better = norm < old.norm
        field, residual = (jnp.where(better[..., None], a, b) for a, b in ((field, old.field), (following, residual)))
        active = active & (norm > target) & (norm < old.norm / 2)
        return Iterate(field, jnp.where(better, norm, old.norm), iterations), residual, active, restarts + 1

    norm = _norm(right)
    start = Iterate(jnp.zeros_like(right), norm, jnp.zeros(norm.shape, jnp.int32))
    active = (norm > target) & jnp.isfinite(norm)
    return lax.while_loop(unfinished, restart, (start, right, active, jnp.int32(0)))[0]


class _Run(NamedTuple):
    field: Array
    best: Array
    residual: Array
    direction: Array
    energy: Array
    least: Array
    iterations: Array
    waited: Array
    active: Array


def _one_run(apply: Map, precondition: Map, right: Cells, target: Norms, done: Counts, limit: Index, patience: int) -> tuple[Cells, Counts]:
    def iterate(run: _Run) -> _Run:
        corrected = precondition(run.residual)
        energy = _dot(run.residual, corrected)
        share = jnp.where(run.energy > 0, energy / jnp.where(run.energy > 0, run.energy, 1), 0)
        direction = corrected + share[..., None] * run.direction
        image = lax.optimization_barrier(apply(direction))
        curvature = _dot(direction, image)
        active = run.active & (curvature > 0) & (energy > 0)
        length = jnp.where(active, energy / jnp.where(active, curvature, 1), 0)
        field = run.field + length[..., None] * direction
        residual = run.residual - length[..., None] * image
        norm = _norm(residual)
        better = active & (norm < run.least)
        iterations = run.iterations + active
        waited = jnp.where(better, 0, run.waited + 1)
        still = active & (norm > target) & jnp.isfinite(norm) & (waited < patience) & (iterations < limit)
        best = jnp.where(better[..., None], field, run.best)
        return _Run(field, best, residual, direction, energy, jnp.where(better, norm, run.least), iterations, waited, still)

    norm = _norm(right)
    zero = jnp.zeros_like(right)
    start = _Run(zero, zero, right, zero, jnp.zeros_like(norm), norm, done, jnp.zeros_like(done), (norm > target) & (done < limit))
    end = lax.while_loop(lambda run: jnp.any(run.active), iterate, start)
    return end.best, end.iterations


def _dot(a: Cells, b: Cells) -> Norms:
    return jnp.sum(a * b, axis=-1)


def _norm(field: Cells) -> Norms:
    return jnp.sqrt(_dot(field, field))
