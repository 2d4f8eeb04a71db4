"""Implicit-explicit Runge-Kutta methods: diffusion implicit, everything else explicit, in one step without a splitting."""

from dataclasses import dataclass

import equinox as eqx
import jax.numpy as jnp
from jax import lax

from solvers.operator import Operator
from solvers.rate import Rate, advance_by, as_rate
from solvers.shapes import Cells, Flag, Scalar
from solvers.stepper import Stepper
from solvers.steppers.implicit_solve import EllipticSolver, ShiftedSolver, implicit_solve

ROOT2, ROOT3 = 2**0.5, 3**0.5
Rows = tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class ImexTable:
    """A pair of tables with the same nodes; every implicit stage has the same diagonal weight, so one factorisation serves all.

    Attributes:
        explicit: Row $i$ has the $i$ weights of the earlier stages; the first row is empty.
        implicit: The same for the implicit part, whose first column is zero.
        diagonal: $\\gamma$, on the diagonal of every implicit row but the first.
        explicit_weights: Of the stages in the step.
        implicit_weights: The same; equal to the last implicit row with its diagonal if the method is stiffly accurate.
        order: Order of convergence.
        explicit_limit: Largest stable $h|\\lambda|$ of the explicit part alone on the negative axis.
    """

    explicit: Rows
    implicit: Rows
    diagonal: float
    explicit_weights: tuple[float, ...]
    implicit_weights: tuple[float, ...]
    order: int
    explicit_limit: float

    @property
    def nodes(self) -> tuple[float, ...]:
        """Where in the step each stage is."""
        return tuple(float(sum(row)) for row in self.explicit)

    @property
    def ends_in_last_stage(self) -> bool:
        """Whether the step is the last stage itself (both parts stiffly accurate)."""
        implicit_last = (*self.implicit[-1], self.diagonal) == self.implicit_weights
        return implicit_last and (*self.explicit[-1], 0.0) == self.explicit_weights


_G = 1 - 1 / ROOT2
_D = 1 - 1 / (2 * _G)
ARS222 = ImexTable(
    explicit=((), (_G,), (_D, 1 - _D)),
    implicit=((), (0.0,), (0.0, 1 - _G)),
    diagonal=_G,
    explicit_weights=(_D, 1 - _D, 0.0),
    implicit_weights=(0.0, 1 - _G, _G),
    order=2,
    explicit_limit=2.0,
)
_H = (3 + ROOT3) / 6
ARS233 = ImexTable(
    explicit=((), (_H,), (_H - 1, 2 * (1 - _H))),
    implicit=((), (0.0,), (0.0, 1 - 2 * _H)),
    diagonal=_H,
    explicit_weights=(0.0, 0.5, 0.5),
    implicit_weights=(0.0, 0.5, 0.5),
    order=3,
    explicit_limit=2.51,
)
ARS443 = ImexTable(
    explicit=((), (1 / 2,), (11 / 18, 1 / 18), (5 / 6, -5 / 6, 1 / 2), (1 / 4, 7 / 4, 3 / 4, -7 / 4)),
    implicit=((), (0.0,), (0.0, 1 / 6), (0.0, -1 / 2, 1 / 2), (0.0, 3 / 2, -3 / 2, 1 / 2)),
    diagonal=1 / 2,
    explicit_weights=(1 / 4, 7 / 4, 3 / 4, -7 / 4, 0.0),
    implicit_weights=(0.0, 3 / 2, -3 / 2, 1 / 2, 1 / 2),
    order=3,
    explicit_limit=2.14,
)


class ImplicitExplicit(Stepper):
    r"""$Y_i = u + h\sum_{j<i}\hat a_{ij} f(Y_j) + h\sum_{j\le i} a_{ij} L Y_j$ for $u' = L u + f(u, t)$, and so for the step.

    Args:
        operator: $L$, stiff and linear; what its walls bring in is taken with $f$.
        rate: $f$, not stiff; may depend on time.
        solver: Solves with $\sigma - L$ for the same operator, once per implicit stage with the same $\sigma = 1/(\gamma h)$; None as in
            :class:`solvers.steppers.theta.Theta`.
        table: ``ARS222`` (order 2, two solves), ``ARS443`` (3, four solves), both L-stable; ``ARS233`` (3, two solves, damps a stiff
            mode by 0.73 per step only).

    Good values: stiff diffusion with a reaction that is not; unlike a splitting, steady states come out exactly. Fails where
    $h$ times the reaction's rate exceeds about two (``stable`` says so where the rate knows its bound); order may fall towards two
    for third-order tables where the solution has boundary layers in time (stiff transients).

    Raises:
        ValueError: Not an operator and a rate.

    Source: Ascher, Ruuth, Spiteri (1997), Appl. Numer. Math. 25, 151, sections 2.5, 2.6 and 2.8.
    """

    operator: Operator
    rate: Rate
    solver: ShiftedSolver | None = None
    table: ImexTable = eqx.field(static=True, default=ARS222)

    def __check_init__(self) -> None:
        if not isinstance(self.operator, Operator) or not isinstance(self.rate, Rate):
            raise ValueError(
                f"got {type(self.operator).__name__} and {type(self.rate).__name__}; expected an Operator and a Rate; do: wrap with Affine"
            )

    @property
    def order(self) -> int:
        """The table's."""
        return self.table.order

    def advance(self, state: Cells, time: Scalar, length: Scalar) -> Cells:
        """See :class:`solvers.stepper.Stepper`; stages are increments, so a step of length zero changes nothing."""
        table, length = self.table, length.astype(state.dtype)
        zero = jnp.zeros_like(state)
        solver = EllipticSolver(self.operator) if self.solver is None else self.solver
        affine = as_rate(self.operator)
        initial = self.operator.apply(state)
        inflow = affine.evaluate(state, time) - initial if getattr(self.operator, "source", None) is not None else None
        stage, increment = state, zero
        explicit_rates, implicit_rates = [], []
        for number, node in enumerate(table.nodes):
            if number:
                known = advance_by(zero, length, table.explicit[number], explicit_rates)
                known = advance_by(known, length, table.implicit[number], implicit_rates)
                right = known + table.diagonal * length * initial
                increment = implicit_solve(solver, table.diagonal * length, right, increment)
                stage = state + increment
                if table.ends_in_last_stage and number == len(table.nodes) - 1:
                    return stage
            slow = self.rate.evaluate(stage, time + node * length)
            explicit_rates.append(lax.optimization_barrier(slow if inflow is None else slow + inflow))
            implicit_rates.append(lax.optimization_barrier(self.operator.apply(stage) if number else initial))
        state = advance_by(state, length, table.explicit_weights, explicit_rates)
        return advance_by(state, length, table.implicit_weights, implicit_rates)

    def step_limit(self) -> Scalar:
        """The longest step that is stable for the explicit part."""
        return self.table.explicit_limit / self.rate.spectral_bound()

    def stable(self, length: Scalar) -> Flag:
        """The step is within the limit of the explicit part."""
        return length * self.rate.spectral_bound() <= self.table.explicit_limit
