"""Implicit diffusion with one linear solve per step: Crank-Nicolson and its neighbours."""

from collections.abc import Callable

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array

from solvers.operator import Operator
from solvers.rate import as_rate
from solvers.shapes import Cells, Scalar
from solvers.stepper import Stepper
from solvers.steppers.implicit_solve import EllipticSolver, ShiftedSolver, implicit_solve

Source = Callable[[Scalar], Array]


def _check_parts(operator: Operator, source: Source | None) -> None:
    if not isinstance(operator, Operator) or not (source is None or callable(source)):
        raise ValueError(
            f"got {type(operator).__name__} and a source of {type(source).__name__}; expected an Operator and a function of time; "
            "do: give lambda time: field"
        )


class Theta(Stepper):
    r"""$(I-\theta hL)\,\delta = h\,(L u + \bar s)$, $u^+ = u + \delta$ with $\bar s = (1-\theta)\,s(t) + \theta\,s(t+h)$.

    Args:
        operator: $L$, with what its walls bring in as part of $s$.
        solver: Solves with $\sigma - L$ for the same operator; None for ``EllipticSolver(operator)``, which builds its multigrid
            hierarchy anew in every step: for many steps give one with a preconditioner.
        theta: 1/2 is Crank-Nicolson, order two; 1 is backward Euler, order one, monotone for operators that are; between them
            order one with damping of stiff modes.
        source: $s(t)$, a field at a time; None for none beside the walls'.

    Stable for every step length where $\theta\ge1/2$. Fails: Crank-Nicolson multiplies modes with $h|\lambda|\gg1$ by nearly $-1$, so
    rough initial data ring; take two to four steps with $\theta = 1$ first, or :class:`solvers.steppers.imex.ImplicitExplicit`. Mass is
    kept as well as the solver's residual sums to zero. Source: Hairer, Wanner (1996), *Solving Ordinary Differential Equations II*,
    section IV.3; Rannacher (1984), Numer. Math. 43, 309, for the first steps.
    """

    operator: Operator
    solver: ShiftedSolver | None = None
    theta: float = eqx.field(static=True, default=0.5)
    source: Source | None = None

    def __check_init__(self) -> None:
        _check_parts(self.operator, self.source)
        if not 0.5 <= self.theta <= 1:
            raise ValueError(f"got theta {self.theta}; expected 0.5 to 1, where no step is too long; do: use 0.5 or 1")

    @property
    def order(self) -> int:
        """Two for theta of 1/2, else one."""
        return 2 if self.theta == 0.5 else 1

    def advance(self, state: Cells, time: Scalar, length: Scalar) -> Cells:
        """See :class:`solvers.stepper.Stepper`; for the increment, whose right-hand side vanishes with the length of the step."""
        length = length.astype(state.dtype)
        rate = as_rate(self.operator).evaluate(state, time)
        if self.source is not None:
            early = 0.0 if self.theta == 1 else (1 - self.theta) * self.source(time)
            rate = rate + jnp.broadcast_to(early + self.theta * self.source(time + length), rate.shape).astype(rate.dtype)
        solver = EllipticSolver(self.operator) if self.solver is None else self.solver
        return state + implicit_solve(solver, self.theta * length, length * rate, jnp.zeros_like(state))


class CrankNicolson(Stepper):
    """:class:`Theta` of one half, order two.

    Args:
        operator: $L$.
        solver: See :class:`Theta`.
        source: $s(t)$, a field at a time, or None.

    Raises:
        ValueError: No operator, or a source that is no function of time.
    """

    operator: Operator
    solver: ShiftedSolver | None = None
    source: Source | None = None

    def __check_init__(self) -> None:
        _check_parts(self.operator, self.source)

    @property
    def order(self) -> int:
        """Two."""
        return 2

    def advance(self, state: Cells, time: Scalar, length: Scalar) -> Cells:
        """See :class:`solvers.stepper.Stepper`."""
        return Theta(self.operator, self.solver, 0.5, self.source).advance(state, time, length)
