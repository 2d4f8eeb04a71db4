"""Explicit Runge-Kutta methods of a fixed step, given by their Butcher table."""

from dataclasses import dataclass
from functools import cached_property
from math import factorial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from solvers.operator import Operator
from solvers.rate import Rate, advance_by, as_rate, change_by
from solvers.shapes import Flag, Scalar, State
from solvers.stepper import Increments


@dataclass(frozen=True)
class ButcherTable:
    """The numbers of an explicit method.

    Attributes:
        a: Row $i$ has the $i$ weights of the earlier stages; the first row is empty.
        b: Weights of the stages in the step.
        order: Order of convergence; the conditions for $u' = \\lambda u$ and $u' = f(t)$ are checked, those of the trees between are not.

    Raises:
        ValueError: Weights that do not sum to one, or an order whose conditions they do not meet.
    """

    a: tuple[tuple[float, ...], ...]
    b: tuple[float, ...]
    order: int

    def __post_init__(self) -> None:
        if [len(row) for row in self.a] != list(range(len(self.b))):
            return  # the stepper refuses it with its rows
        a = np.array([[*row, *[0.0] * (len(self.b) - len(row))] for row in self.a])
        b, nodes, power = np.array(self.b), a.sum(axis=1), np.ones(len(self.b))
        for k in range(1, self.order + 1):
            if max(abs(b @ power - 1 / factorial(k)), abs(b @ nodes ** (k - 1) - 1 / k)) > 1e-9:
                raise ValueError(f"got a table of order {k - 1}; expected {self.order} as stated; do: check its numbers or state {k - 1}")
            power = a @ power

    @cached_property
    def nodes(self) -> tuple[float, ...]:
        """Where in the step each stage is, the row sums."""
        return tuple(float(sum(row)) for row in self.a)

    @cached_property
    def stability_limit(self) -> float:
        r"""Largest $x$ with $|R|\le 1$ on all of $[-x, 0]$, for $R(z) = 1 + z\,b^T(I - zA)^{-1}\mathbf 1$."""
        stages = len(self.b)
        a = np.zeros((stages, stages))
        for i, row in enumerate(self.a):
            a[i, :i] = row
        power, coefficients = np.ones(stages), [1.0]
        for _ in range(stages):
            coefficients.append(float(np.dot(self.b, power)))
            power = a @ power
        ascending = np.array(coefficients)
        crossings = [np.roots((ascending - level * (np.arange(stages + 1) == 0))[::-1]) for level in (1.0, -1.0)]
        roots = np.concatenate(crossings)
        real = -roots.real[(np.abs(roots.imag) < 1e-9) & (roots.real < -1e-9)]
        return float(real.min())


HEUN = ButcherTable(a=((), (1.0,)), b=(1 / 2, 1 / 2), order=2)
SSPRK3 = ButcherTable(a=((), (1.0,), (1 / 4, 1 / 4)), b=(1 / 6, 1 / 6, 2 / 3), order=3)
RK4 = ButcherTable(a=((), (1 / 2,), (0.0, 1 / 2), (0.0, 0.0, 1.0)), b=(1 / 6, 1 / 3, 1 / 3, 1 / 6), order=4)
TSITOURAS5 = ButcherTable(
    a=(
        (),
        (0.161,),
        (-0.008480655492356989, 0.335480655492357),
        (2.8971530571054935, -6.359448489975075, 4.3622954328695815),
        (5.325864828439257, -11.748883564062828, 7.4955393428898365, -0.09249506636175525),
        (5.86145544294642, -12.92096931784711, 8.159367898576159, -0.071584973281401, -0.028269050394068383),
    ),
    b=(0.09646076681806523, 0.01, 0.4798896504144996, 1.379008574103742, -3.290069515436081, 2.324710524099774),
    order=5,
)


class ExplicitRungeKutta(Increments):
    r"""$Y_i = u + h\sum_{j<i} a_{ij} f(Y_j, t + c_j h)$, $\;u^+ = u + h\sum_i b_i f(Y_i, t + c_i h)$.

    Args:
        rate: $f$, or an operator for $f(u) = L u$. The state may be any pytree that the rate takes.
        table: ``HEUN`` (order 2), ``SSPRK3`` (3; keeps what Euler steps keep, e.g. positivity, up to $h$ of Euler), ``RK4`` (4),
            ``TSITOURAS5`` (5), or another explicit table.

    Good values: reactions without stiffness, and diffusion where $h|\lambda|$ is a few, i.e. $4 d D h/\Delta x^2 \lesssim 2$ in $d$
    dimensions; beyond that :class:`solvers.steppers.runge_kutta_chebyshev.RungeKuttaChebyshev2` or an implicit method is cheaper.
    Fails above :meth:`step_limit`: the fastest mode grows in every step (``stable`` says so where the rate knows its bound).

    Raises:
        ValueError: Neither an operator nor a rate; a table that is not explicit.

    Source: Butcher (2016), *Numerical Methods for Ordinary Differential Equations*, section 23; Shu, Osher (1988), J. Comput. Phys. 77,
    439, equation 2.18; Tsitouras (2011), Comput. Math. Appl. 62, 770, table 1.
    """

    rate: Operator | Rate
    table: ButcherTable = eqx.field(static=True, default=RK4)

    def __check_init__(self) -> None:
        if not isinstance(self.rate, Operator | Rate):
            raise ValueError(f"got {type(self.rate).__name__}; expected an Operator or a Rate; do: write a Rate with evaluate")
        lengths = [len(row) for row in self.table.a]
        if lengths != list(range(len(self.table.b))):
            raise ValueError(
                f"got rows of lengths {lengths} for {len(self.table.b)} weights; expected 0, 1, 2, ...; do: give an explicit table"
            )

    @property
    def order(self) -> int:
        """The table's."""
        return self.table.order

    def advance(self, state: State, time: Scalar, length: Scalar) -> State:
        """See :class:`solvers.stepper.Stepper`."""
        return jax.tree.map(lambda value, change: value + change.astype(value.dtype), state, self.increment(state, time, length))

    def increment(self, state: State, time: Scalar, length: Scalar) -> State:
        """See :class:`solvers.stepper.Increments`; the barriers keep XLA from evaluating an early stage again in each later one."""
        rate, rates = as_rate(self.rate), []
        for row, node in zip(self.table.a, self.table.nodes, strict=True):
            stage = advance_by(state, length, row, rates)
            rates.append(lax.optimization_barrier(rate.evaluate(stage, time + node * length)))
        return change_by(length, self.table.b, rates)

    def step_limit(self) -> Scalar:
        r"""The longest stable step where the eigenvalues are real and negative: the table's limit over the rate's bound of $|\lambda|$."""
        return self.table.stability_limit / as_rate(self.rate).spectral_bound()

    def stable(self, length: Scalar) -> Flag:
        """The step is within :meth:`step_limit` (a hair of round-off allowed) and the bound neither negative nor NaN.

        Not seen: a traced tensor that is indefinite, or any operator but Diffusion that is negative in some voxels only.
        """
        bound = as_rate(self.rate).spectral_bound()
        return (length * bound <= jnp.asarray(self.table.stability_limit * (1 + 1e-5), length.dtype)) & (bound >= 0)
