"""Elliptic operators and the multigrid solve as Lineax operators and solvers."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
from jax import lax
from jaxtyping import Array, PyTree

from solvers.linear.conjugate_gradients import conjugate_gradients
from solvers.linear.elliptic import TOLERANCES
from solvers.linear.multigrid import Preconditioner, multigrid
from solvers.operator import Operator
from solvers.shapes import Cells, Scalar


class ShiftedOperator(lx.AbstractLinearOperator):
    r"""$\sigma - L$ on flat fields as a Lineax operator, tagged symmetric and positive semidefinite.

    Args:
        operator: $L$, symmetric and negative semidefinite.
        shift: $\sigma\ge0$, a scalar array.
        shape: Shape of the fields: ``(cells,)``, or with batch axes first.
    """

    operator: Operator
    shift: Scalar
    shape: tuple[int, ...] = eqx.field(static=True)

    def mv(self, vector: Cells) -> Cells:
        """The product with a field."""
        return self.shift * vector - self.operator.apply(vector)

    def as_matrix(self) -> Array:
        """One column per entry of a field; for small grids."""
        size = self.in_size()
        columns = jax.vmap(lambda column: self.mv(column.reshape(self.shape)).reshape(-1))
        return columns(jnp.eye(size, dtype=self.shift.dtype)).T

    def transpose(self) -> "ShiftedOperator":
        """Itself."""
        return self

    def in_structure(self) -> PyTree[jax.ShapeDtypeStruct]:
        """A field."""
        return jax.ShapeDtypeStruct(self.shape, self.shift.dtype)

    def out_structure(self) -> PyTree[jax.ShapeDtypeStruct]:
        """A field."""
        return self.in_structure()


class MultigridCG(lx.AbstractLinearSolver[tuple[ShiftedOperator, Preconditioner]]):
    r"""Conjugate gradients with a multigrid cycle, for ``lineax.linear_solve(ShiftedOperator(...), b, MultigridCG())``.

    The hierarchy is the solver's state: ``solver.init(operator, {})`` makes it once for many right-hand sides (``state=``). Derivatives
    of both modes are Lineax's: one more solve.

    Args:
        tolerance: Largest residual over the right-hand side; without it that of :func:`solvers.linear.elliptic.solve_elliptic`.
        max_steps: Most iterations; reaching it gives ``RESULTS.max_steps_reached``.
        smoothing: Degree of the smoother.

    Fails: :func:`solvers.linear.elliptic.solve_elliptic` is the front door instead where one of these matters. The solves inside a
    derivative raise when they do not converge, whatever ``throw`` says, and to be able to they call back the host, which does not lower for
    exporting. A singular operator needs a right-hand side and cotangents without a mean on each component. There is no warm start.
    """

    tolerance: float | None = eqx.field(static=True, default=None)
    max_steps: int = eqx.field(static=True, default=200)
    smoothing: int = eqx.field(static=True, default=2)

    def init(self, operator: lx.AbstractLinearOperator, options: dict[str, Any]) -> tuple[ShiftedOperator, Preconditioner]:
        """Builds the hierarchy; ``options["preconditioner"]`` takes its place."""
        if not isinstance(operator, ShiftedOperator):
            raise ValueError(f"got {type(operator).__name__}; expected a ShiftedOperator; do: wrap the operator in one")
        given = options.get("preconditioner")
        return operator, given if given is not None else multigrid(operator.operator, operator.shift, self.smoothing)

    def compute(
        self, state: tuple[ShiftedOperator, Preconditioner], vector: Cells, options: dict[str, Any]
    ) -> tuple[Cells, lx.RESULTS, dict[str, Any]]:
        """Solves."""
        del options
        operator, preconditioner = lax.stop_gradient(state)
        tolerance = TOLERANCES[vector.dtype.name] if self.tolerance is None else self.tolerance
        target = tolerance * jnp.sqrt(jnp.sum(vector * vector, axis=-1))
        ended = conjugate_gradients(operator.mv, preconditioner.apply, vector, target, jnp.int32(self.max_steps))
        converged = jnp.all(ended.norm <= 1.0001 * target)
        result = lx.RESULTS.where(converged, lx.RESULTS.successful, lx.RESULTS.max_steps_reached)
        return ended.field, result, {"num_steps": jnp.max(ended.iterations), "max_steps": self.max_steps}

    def transpose(self, state: Any, options: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        """The operator is symmetric."""
        return state, options

    def conj(self, state: Any, options: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        """The operator is real."""
        return state, options

    def assume_full_rank(self) -> bool:
        """A zero shift is a pseudoinverse whose null space no parameter changes: nothing to correct for in derivatives."""
        return True


@lx.linearise.register(ShiftedOperator)
@lx.materialise.register(ShiftedOperator)
@lx.conj.register(ShiftedOperator)
def _unchanged(operator: ShiftedOperator) -> ShiftedOperator:
    return operator


@lx.is_symmetric.register(ShiftedOperator)
@lx.is_positive_semidefinite.register(ShiftedOperator)
def _true(operator: ShiftedOperator) -> bool:
    del operator
    return True


@lx.is_diagonal.register(ShiftedOperator)
@lx.is_tridiagonal.register(ShiftedOperator)
@lx.is_lower_triangular.register(ShiftedOperator)
@lx.is_upper_triangular.register(ShiftedOperator)
@lx.has_unit_diagonal.register(ShiftedOperator)
@lx.is_negative_semidefinite.register(ShiftedOperator)
def _false(operator: ShiftedOperator) -> bool:
    del operator
    return False


@lx.diagonal.register(ShiftedOperator)
def _diagonal(operator: ShiftedOperator) -> Array:
    return jnp.broadcast_to(operator.shift - operator.operator.diagonal(), operator.shape).reshape(-1)
