"""Stabilised explicit Runge-Kutta-Chebyshev of second order, for diffusion and mild reactions without linear solves."""

import equinox as eqx
import numpy as np
from numpy.polynomial import chebyshev

from solvers.operator import Operator
from solvers.rate import Rate, as_rate
from solvers.shapes import Cells, Flag, Scalar
from solvers.stepper import Increments

DAMPING = 2 / 13


def stability_limit(stages: int) -> float:
    r"""Largest stable $h\,|\lambda|$ on the negative axis, $\beta(s)\approx\tfrac23(s^2-1)(1-\tfrac{2}{15}\epsilon)$."""
    if stages != int(stages) or stages < 2:
        raise ValueError(f"got {stages} stages; expected a whole number of at least 2; do: use stages_for(step * spectral_bound)")
    return 2 / 3 * (stages**2 - 1) * (1 - 2 / 15 * DAMPING)


def stages_for(step_times_spectral_bound: float) -> int:
    """The fewest stages (at least two) that are stable for a step length times a spectral bound."""
    if not np.isfinite(step_times_spectral_bound) or step_times_spectral_bound < 0:
        raise ValueError(
            f"got step times spectral bound {step_times_spectral_bound}; expected a finite number >= 0; do: check the coefficient"
        )
    stages = 2
    while stability_limit(stages) < step_times_spectral_bound:
        stages += 1
    return stages


class RungeKuttaChebyshev2(Increments):
    r"""Second-order RKC for $u' = F(u, t)$: $s$ evaluations of $F$ reach $h|\lambda|\approx 0.65\,s^2$ instead of $2$ per two.

    $Y_1 = Y_0 + \tilde\mu_1 h F_0$ and
    $Y_j = (1-\mu_j-\nu_j)Y_0 + \mu_j Y_{j-1} + \nu_j Y_{j-2} + \tilde\mu_j h F_{j-1} + \tilde\gamma_j h F_0$
    with $F_j = F(Y_j, t + c_j h)$, computed for the increments $Y_j-Y_0$: in float32 the rounded weights of $Y_0$, $Y_{j-1}$,
    $Y_{j-2}$ do not sum to one, which alone loses or makes $5\cdot10^{-8}$ of all mass per step.

    Args:
        operator: $F$: an operator for $F = L u$, :class:`solvers.rate.Affine` for a source with it, or any
            :class:`solvers.rate.Rate`. Eigenvalues of its Jacobian lie on, or close to, the negative real axis.
        stages: $s\ge 2$; :func:`stages_for` gives the fewest for a step and :meth:`Operator.spectral_bound`.

    Cost: $s$ evaluations a step; memory: four fields. Fails when the step is above :func:`stability_limit` (``stable`` says so,
    and ``simulate`` reports it as a status), and is less accurate than its order suggests for modes with $h|\lambda|\gg 1$.

    Raises:
        ValueError: Stages below two or not whole, or neither an operator nor a rate.

    Source: Sommeijer, Shampine, Verwer (1997), J. Comput. Appl. Math. 88, 315, equations 2.2 to 2.8.
    """

    operator: Operator | Rate
    stages: int = eqx.field(static=True)

    def __check_init__(self) -> None:
        if not isinstance(self.operator, Operator | Rate):
            raise ValueError(f"got {type(self.operator).__name__}; expected an Operator or a Rate; do: write a class with evaluate")
        if self.stages != int(self.stages) or self.stages < 2:
            raise ValueError(f"got {self.stages} stages; expected at least 2, a whole number; do: use stages_for(step * spectral_bound)")

    @property
    def order(self) -> int:
        """Two."""
        return 2

    def advance(self, state: Cells, time: Scalar, length: Scalar) -> Cells:
        """See :class:`solvers.stepper.Stepper`."""
        return state + self.increment(state, time, length)

    def increment(self, state: Cells, time: Scalar, length: Scalar) -> Cells:
        """See :class:`solvers.stepper.Increments`."""
        right_hand_side = as_rate(self.operator)
        first, table, nodes = _coefficients(self.stages)
        initial_rate = length * right_hand_side.evaluate(state, time)
        before, current = None, first * initial_rate
        for (mu, nu, mu_rate, gamma_rate), node in zip(table, nodes, strict=True):
            rate = length * right_hand_side.evaluate(state + current, time + node * length)
            following = mu * current + mu_rate * rate + gamma_rate * initial_rate
            before, current = current, following if before is None else following + nu * before
        return current

    def step_limit(self) -> Scalar:
        """The longest stable step: the method's limit over the bound of the eigenvalues."""
        return stability_limit(self.stages) / self.operator.spectral_bound()

    def stable(self, length: Scalar) -> Flag:
        """The step times the operator's spectral bound is within the limit (a hair of round-off allowed) and neither negative nor NaN.

        Not seen: a traced tensor that is indefinite, or any operator but Diffusion that is negative in some voxels only.
        """
        bound = self.operator.spectral_bound()
        return (length * bound <= stability_limit(self.stages) * (1 + 1e-5)) & (bound >= 0)


def _coefficients(stages: int) -> tuple[float, list[tuple[float, float, float, float]], list[float]]:
    """The numbers of the method from Chebyshev polynomials at $w_0 = 1 + \\epsilon/s^2$; last, where $F_{j-1}$ is in the step."""
    w0 = 1 + DAMPING / stages**2

    def polynomial(degree: int, derivative: int) -> float:
        return float(chebyshev.chebval(w0, chebyshev.chebder([0.0] * degree + [1.0], derivative)))

    w1 = polynomial(stages, 1) / polynomial(stages, 2)
    b = [polynomial(j, 2) / polynomial(j, 1) ** 2 for j in range(2, stages + 1)]
    b = [b[0], b[0], *b]
    table = []
    times = [0.0, b[1] * w1]  # what the recursion itself makes of u' = 1
    for j in range(2, stages + 1):
        mu = 2 * b[j] * w0 / b[j - 1]
        nu = -b[j] / b[j - 2]
        mu_rate = 2 * b[j] * w1 / b[j - 1]
        gamma_rate = -(1 - b[j - 1] * polynomial(j - 1, 0)) * mu_rate
        table.append((mu, nu, mu_rate, gamma_rate))
        times.append(mu * times[j - 1] + nu * times[j - 2] + mu_rate + gamma_rate)
    return b[1] * w1, table, times[1:-1]
