"""The linear solve inside implicit steps: what a solver must offer, and the front door to the iterative ones."""

from typing import Protocol, runtime_checkable

import equinox as eqx
import jax.numpy as jnp

from solvers.linear.elliptic import solve_elliptic
from solvers.linear.multigrid import Preconditioner
from solvers.operator import Operator
from solvers.shapes import Cells, Scalar
from solvers.status import Status


@runtime_checkable
class ShiftedSolver(Protocol):
    """Whatever solves with an operator and a multiple of the identity; iterative or exact, differentiated implicitly."""

    def solve(self, shift: Scalar, rhs: Cells, guess: Cells) -> Cells:
        r"""$x$ with $\sigma x - L x = r$ for the shift $\sigma > 0$, from a guess of $x$."""
        ...


class EllipticSolver(eqx.Module):
    r"""Conjugate gradients with multigrid, :func:`solvers.linear.elliptic.solve_elliptic`, as a :class:`ShiftedSolver`.

    Args:
        operator: $L$.
        preconditioner: From ``multigrid(operator, shift)`` with $\sigma\approx 1/(\theta h)$ of the steps to be taken, made once;
            None builds a hierarchy inside of every step.
        tolerance: Largest residual over the right-hand side. The right-hand sides of steps are increments, so the error of a step is
            this times the change in the step: the default keeps it far below the error in time.
        max_iterations: Most iterations. A solve that ends there without its tolerance (or a hundred units of round-off) gives NaN, so
            that the simulation's status is NOT_FINITE with the time, instead of an answer that nobody has checked.
    """

    operator: Operator
    preconditioner: Preconditioner | None = None
    tolerance: float | None = eqx.field(static=True, default=None)
    max_iterations: int = eqx.field(static=True, default=200)

    def solve(self, shift: Scalar, rhs: Cells, guess: Cells) -> Cells:
        """See :class:`ShiftedSolver`."""
        solution = solve_elliptic(
            self.operator,
            rhs,
            shift.astype(rhs.dtype),
            preconditioner=self.preconditioner,
            start=guess,
            tolerance=self.tolerance,
            max_iterations=self.max_iterations,
        )
        # A tolerance below round-off, as one for float64 is in float32, is met as well as it can be.
        met = (solution.status == Status.SUCCESS) | (solution.residual <= 100 * jnp.finfo(rhs.dtype).eps)
        return jnp.where(met[..., None], solution.field, jnp.nan)


def implicit_solve(solver: ShiftedSolver, weight: Scalar, right: Cells, guess: Cells) -> Cells:
    r"""$x$ with $x - w L x = r$ by a solver for $\sigma - L$, $\sigma = 1/w$; for $w = 0$ it is $r$, without a division by zero."""
    active = weight > 0
    shift = 1 / jnp.where(active, weight, 1)
    return jnp.where(active, solver.solve(shift, shift * right, guess), right)
