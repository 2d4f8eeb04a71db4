"""The front door to linear solves with diffusion operators: $(\\sigma - L)\\,u = b$."""

from functools import partial
from typing import Any, cast

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array

from solvers.linear.components import Components, connected_components
from solvers.linear.conjugate_gradients import PATIENCE, Counts, Norms, conjugate_gradients
from solvers.linear.multigrid import Preconditioner, multigrid
from solvers.operator import FaceOperator, Operator
from solvers.shapes import Cells, Index, Scalar
from solvers.status import Status, raise_for_status

TOLERANCES = {"float64": 1e-8, "float32": 1e-5}


class EllipticSolution(eqx.Module):
    r"""What a solve leaves, per right-hand side.

    Attributes:
        field: $u$; where not converged, the iterate with the smallest residual.
        status: A :class:`solvers.status.Status` code: SUCCESS, NOT_CONVERGED, INCOMPATIBLE or NOT_FINITE.
        iterations: Of conjugate gradients.
        residual: $|b - (\sigma - L)u| / |b|$, computed from $u$; with all of $b$, the incompatible part included.
        imbalance: Norm of that part of $b$ which no $u$ can match, over $|b|$; zero where the problem is not singular.
        component: Number of the component that is farthest from compatible, as :func:`connected_components` counts; the number of
            components for cells on their own; -1 where none is.
    """

    field: Cells
    status: Counts
    iterations: Counts
    residual: Norms
    imbalance: Norms
    component: Counts

    def raise_for_status(self) -> None:
        """Raises :class:`solvers.status.SimulationError` when any right-hand side failed."""

        def words(status: Status, member: int) -> str | None:
            if status == Status.NOT_FINITE:
                return (
                    "the source, the start or the operator has a NaN or an infinity; "
                    "do: look at them with jnp.isfinite, and at what was divided by zero before"
                )
            if status == Status.NOT_CONVERGED:
                return (
                    "the solve did not reach its tolerance, the best iterate is kept; "
                    "do: allow more iterations, loosen the tolerance, or give a better preconditioner"
                )
            if status != Status.INCOMPATIBLE:
                return None
            return (
                f"component {int(np.asarray(self.component).flat[member])} has no loss, and its source doesn't sum to zero, so that it has "
                "no solution; do: give it a Dirichlet value or a loss, or subtract the mean of its source (Components.without_mean)"
            )

        raise_for_status(self.status, words)


def solve_elliptic(
    operator: Operator,
    source: Cells,
    shift: ArrayLike = 0.0,
    *,
    preconditioner: Preconditioner | None = None,
    components: Components | None = None,
    start: Cells | None = None,
    tolerance: Scalar | float | None = None,
    max_iterations: int = 200,
) -> EllipticSolution:
    r"""Solves $(\sigma - L)\,u = b$ by conjugate gradients with a multigrid preconditioner.

    **Singular problems.** With $\sigma=0$ a component of the mask without losses (Dirichlet or Robin walls, decay) is solvable only if
    $b$ sums to zero on it, and then up to a constant. There $b$ is used without its mean, and the solution with mean zero is
    returned: the pseudoinverse. If the mean was more than the tolerance, the status is INCOMPATIBLE, ``imbalance`` says by how
    much, ``component`` where, and the field is the least-squares solution. Cells that exchange with none (those outside of the mask)
    are components of their own: where $\sigma$ and loss are zero too, $b$ must be zero and $u$ is.

    **Derivatives** of both modes, of any order, are one more solve with the same preconditioner, to the same relative tolerance:
    $\dot u = (\sigma-L)^{-1}\big(\dot b - \dot\sigma u + \dot L u\big)$. They reach the source, the shift and every array in the
    operator; none reaches the preconditioner and the start. For a singular component the derivative is that of the pseudoinverse
    with components fixed; a derivative to a loss that is zero all over a component does not exist.

    Args:
        operator: $L$, symmetric and negative semidefinite.
        source: $b$, batch axes first: many right-hand sides at once.
        shift: $\sigma\ge0$, one number; for one per member use ``jax.vmap``. A traced shift is taken to be positive.
        preconditioner: From :func:`solvers.linear.multigrid.multigrid` or :func:`solvers.linear.transforms.box_preconditioner`, made once
            for many solves; without it a multigrid hierarchy (float32) is built here, or, for an operator that is no ``FaceOperator``
            but knows its diagonal (``CompactOperator``, ``MonotoneDiffusion``, ``LatticeDiffusion``, ``BlendedDiffusion``),
            :class:`Jacobi`.
        components: From :func:`connected_components`, needed when the shift is zero and the operator is traced; found here when not
            given and needed.
        start: A guess of $u$, from an earlier solve for instance. It changes the work, not the solution.
        tolerance: Largest ``residual``; without it $10^{-8}$ in float64 and $10^{-5}$ in float32. Float32 reaches about $10^{-6}$.
        max_iterations: Most iterations; reaching it is a status, not an exception.

    Raises:
        ValueError: A preconditioner of another kind, a negative shift, a source of another size than the operator, or components that
            are needed and can't be found.

    Source: Trottenberg, Oosterlee, Schueller (2001), *Multigrid*, section 7.8 (multigrid as preconditioner) and 5.6.4 (singular).
    """
    if preconditioner is not None and not isinstance(preconditioner, Preconditioner):
        raise ValueError(f"got preconditioner {preconditioner!r:.60}; expected a Preconditioner; do: multigrid(operator, shift) makes one")
    shift = _checked_shift(shift, operator, source)
    if preconditioner is None and not isinstance(operator, FaceOperator) and type(operator).diagonal is not Operator.diagonal:
        preconditioner = Jacobi(jnp.asarray(shift - operator.diagonal()))
    elif preconditioner is None:
        preconditioner = multigrid(operator, shift, dtype=jnp.float32)
    if isinstance(shift, Array):
        components = None
    elif components is None:
        components = connected_components(operator)
    tolerance = TOLERANCES[source.dtype.name] if tolerance is None else tolerance
    if not isinstance(tolerance, Tracer) and not np.asarray(tolerance) > 0:
        raise ValueError(f"got tolerance {tolerance}; expected a positive number; do: leave the default")
    if not isinstance(max_iterations, Tracer) and (int(max_iterations) != max_iterations or max_iterations < 0):
        raise ValueError(f"got max_iterations {max_iterations}; expected a whole number >= 0; do: leave the default")
    goal = jnp.asarray(tolerance, source.dtype)
    return _solve(
        operator, source, jnp.asarray(shift, source.dtype), preconditioner, components, start, goal, jnp.asarray(max_iterations, jnp.int32)
    )


class Jacobi(Preconditioner):
    r"""Division by the diagonal of $\sigma - L$, for operators that multigrid doesn't take: iterations grow as the voxels shrink.

    Args:
        diagonal: Of $\sigma - L$; where it isn't positive the residual is left alone.
        patience: Iterations without a smaller residual after which a solve ends. Of a stiff operator it takes hundreds.
    """

    diagonal: Cells
    patience: int = eqx.field(static=True, default=PATIENCE)

    def apply(self, residual: Cells) -> Cells:
        """See :class:`Preconditioner`."""
        inverse = jnp.where(self.diagonal > 0, 1 / jnp.where(self.diagonal > 0, self.diagonal, 1), 1)
        return jnp.broadcast_to(inverse.astype(residual.dtype), residual.shape) * residual


@eqx.filter_jit
def _solve(
    operator: Operator,
    source: Cells,
    shift: Scalar,
    preconditioner: Preconditioner,
    components: Components | None,
    start: Cells | None,
    tolerance: Scalar,
    max_iterations: Index,
) -> EllipticSolution:
    held, start, tolerance = lax.stop_gradient((preconditioner, start, tolerance))
    singular = None if components is None else lax.stop_gradient(_singular(operator, components))
    search = _Search(held, components, singular, tolerance, max_iterations)
    field, iterations, residual, imbalance = _solved(operator, source, shift, search=search, start=start)
    bad = ~(jnp.isfinite(residual) & jnp.isfinite(_norm(source)))
    missed = jnp.where(imbalance > tolerance, Status.INCOMPATIBLE, Status.NOT_CONVERGED)
    status = jnp.where(bad, Status.NOT_FINITE, jnp.where(residual <= 1.0001 * tolerance, Status.SUCCESS, missed))
    where = jnp.full(status.shape, -1)
    if components is not None:
        part = lax.stop_gradient(source)
        parts = jnp.sqrt(components.total((part - components.without_mean(part, cast(Array, singular))) ** 2))
        where = jnp.where(status == Status.INCOMPATIBLE, jnp.argmax(parts, axis=-1), -1)
    return EllipticSolution(field, status.astype(int), iterations, residual, imbalance, where)


class _Search(eqx.Module):
    """How a solution is found, which no derivative sees."""

    preconditioner: Preconditioner
    components: Components | None
    singular: Array | None
    tolerance: Scalar
    limit: Index

    def project(self, field: Cells) -> Cells:
        """Without the mean of each singular component."""
        return field if self.components is None else self.components.without_mean(field, cast(Array, self.singular))

    def run(self, operator: Operator, source: Cells, shift: Scalar, start: Cells | None) -> tuple[Cells, Counts, Norms, Norms]:
        """The field, the iterations, and over the norm of the source the residual and its part that no field can match."""
        apply = partial(_apply, operator, shift)
        projected = self.project(source)
        reference = _norm(source)
        guess = None if start is None else self.project(start)
        right = projected if guess is None else self.project(projected - apply(guess))
        scale = jnp.where(reference > 0, reference, 1)  # of unit norm, so that float32 takes sources of any size
        patience = self.preconditioner.patience if isinstance(self.preconditioner, Jacobi) else PATIENCE
        target = jnp.where(reference > 0, self.tolerance, 0)
        ended = conjugate_gradients(apply, self.preconditioner.apply, right / scale[..., None], target, self.limit, patience)
        field = scale[..., None] * self.project(ended.field)
        missing = _norm(source - projected)
        residual = jnp.sqrt(ended.norm**2 + (missing / scale) ** 2)
        return field if guess is None else guess + field, ended.iterations, residual, missing / scale


def _apply(operator: Operator, shift: Scalar, field: Cells) -> Cells:
    return shift * field - operator.apply(field)


@eqx.filter_custom_jvp
def _solved(
    operator: Operator, source: Cells, shift: Scalar, *, search: _Search, start: Cells | None
) -> tuple[Cells, Counts, Norms, Norms]:
    return search.run(operator, source, shift, start)


@_solved.def_jvp
def _solved_jvp(
    primals: tuple[Any, ...], tangents: tuple[Any, ...], *, search: _Search, start: Cells | None
) -> tuple[tuple[Cells, Counts, Norms, Norms], tuple[Cells, None, None, None]]:
    """One more solve, whose right-hand side is how the residual of the solution moves."""
    out = _solved(*primals, search=search, start=start)
    operator, _, shift = primals

    def residual(operator: Operator, source: Cells, shift: Scalar) -> Cells:
        return source - _apply(operator, shift, out[0])

    _, right = eqx.filter_jvp(residual, primals, tangents)

    def solve(_: object, right: Cells) -> Cells:
        return search.run(operator, right, shift, None)[0]

    moved = lax.custom_linear_solve(partial(_apply, operator, shift), right, solve, symmetric=True)
    return out, (moved, None, None, None)


def _norm(field: Cells) -> Norms:
    """Scaled first, so that squares neither vanish nor overflow."""
    largest = jnp.max(jnp.abs(field), axis=-1)
    scaled = field / jnp.where(largest > 0, largest, 1)[..., None]
    return largest * jnp.sqrt(jnp.sum(scaled * scaled, axis=-1))


def _singular(operator: Operator, components: Components) -> Array:
    """Per cell: it belongs to a component without any loss."""
    loss = getattr(operator, "loss", None)
    if loss is None:
        return jnp.ones(components.labels.shape, bool)
    loss = lax.stop_gradient(loss)
    return jnp.where(components.labels == components.count, loss <= 0, (components.total(loss) <= 0)[components.labels])


def _checked_shift(shift: ArrayLike, operator: Operator, source: Cells) -> ArrayLike:
    """The shift as an array where it is traced or positive, else the number zero."""
    if isinstance(operator, FaceOperator):
        cells, own = int(np.prod(operator.shape)), operator.scale.dtype
        if source.shape[-1] != cells:
            raise ValueError(f"got a source of {source.shape[-1]} cells; expected {cells}; do: use grid.cells(volume)")
        if source.dtype != own:
            raise ValueError(f"got a source of {source.dtype}; expected {own}, the operator's; do: bring both to one precision")
    if isinstance(shift, Tracer):
        return shift
    value = np.asarray(shift)
    if value.ndim != 0 or not 0 <= value < np.inf:
        raise ValueError(f"got shift {shift}; expected one finite number that is not negative; do: vmap for several")
    return jnp.asarray(shift) if value > 0 else 0.0
