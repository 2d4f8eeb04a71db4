"""Interacting populations of cells: growth, crowding, signed saturating effects of every type on every other, immigration."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from physics.closure import Variable
from physics.equation import Equation
from physics.state_layout import StateLayout
from solvers import ExplicitRungeKutta, Rate, Stepper
from solvers.shapes import Scalar

Types = Float[Array, " types"]
Densities = Float[Array, "types *batch"]


class CellPopulations(Equation):
    r"""$\dot n_i = n_i\bigl(r_i - c_in_i + \sum_jb_{ij}\frac{n_j}{1+s_{ij}n_j}\bigr) + m_i$, stepped in $x_i=\ln n_i$.

    With $a_{ij}=b_{ij}/s_{ij}$ and $h_{ij}=1/s_{ij}$ an effect is $a_{ij}n_j/(h_{ij}+n_j)$: it rises with slope $b$ and saturates at $a$,
    half of it at $h$. Where $s=0$ it is $b_{ij}n_j$, and the model is the generalised Lotka-Volterra system with the matrix
    $b-\mathrm{diag}(c)$. $x$ is what is integrated, so that densities are positive whatever the step; where all crowding is above zero and
    every supporting effect saturates, they stay below :meth:`ceiling`.

    The state is $x$ of shape ``[types, *batch]``: cultures that do not see each other go along behind the types.

    Good values: $r$ of -1 to 1 per day, $r/c$ as the density at rest, steps of 0.05 to 0.2 day. Fails: types that support each other
    without saturation ($s=0$) can grow without bound in finite time, as the equations do, and the state is then not finite; far below
    $m_i/r_i$ immigration makes $x_i$ stiff (rate $m_i/n_i$), so that steps have to be shorter than that.

    Sources: Lotka-Volterra in this form, Stein et al. (2013), *PLoS Comput Biol* 9, e1003388, equation 1; saturating effects, Holling
    (1959), *Can Entomol* 91, 385, type II; why pairs that exchange chemicals need them, Momeni, Xie, Shou (2017), *eLife* 6, e25051.

    Attributes:
        growth: $r$, 1/day, of either sign.
        crowding: $c$, 1/day per unit of density.
        effect: $b$, row = on whom, column = of whom; 1/day per unit of density. The diagonal belongs into ``crowding``.
        saturation: $s$, one over the density at which half of the effect is reached; ``[types, types]``, or ``[1, types]`` where it is the
            source's alone (a product of matrices, many times quicker).
        immigration: $m$, density per day.

    Raises:
        ValueError: Shapes that do not belong together.
    """

    growth: Types
    crowding: Types
    effect: Float[Array, "types types"]
    saturation: Float[Array, "targets types"]
    immigration: Types

    def __check_init__(self) -> None:
        n = self.growth.shape[0]
        shapes = (self.crowding.shape, self.effect.shape, self.immigration.shape)
        if shapes != ((n,), (n, n), (n,)) or self.saturation.shape not in ((n, n), (1, n)):
            raise ValueError(
                f"got crowding {shapes[0]}, effect {shapes[1]}, saturation {self.saturation.shape}, immigration {shapes[2]} for {n} types; "
                f"expected ({n},), ({n}, {n}), ({n}, {n}) or (1, {n}), ({n},); do: give one row and column per type"
            )

    @classmethod
    def lotka_volterra(cls, growth: Types, matrix: Float[Array, "types types"], immigration: Types | None = None) -> "CellPopulations":
        """The special case without saturation: $\\dot n = n(r + An) + m$, with the diagonal of $A$ as (negative) crowding."""
        crowding = -jnp.diagonal(matrix)
        none = jnp.zeros_like(growth)
        return cls(growth, crowding, matrix + jnp.diag(crowding), none[None], none if immigration is None else immigration)

    @classmethod
    def from_half_saturation(
        cls, growth: Types, crowding: Types, largest: Float[Array, "types types"], half: Float[Array, "targets types"], immigration: Types
    ) -> "CellPopulations":
        """From largest effects $a$ (1/day) and the densities $h>0$ at which half of them is reached."""
        return cls(growth, crowding, largest / half, 1 / half, immigration)

    def influence(self, density: Densities) -> Densities:
        """What all types together do to the growth of each, $\\sum_jb_{ij}n_j/(1+s_{ij}n_j)$, 1/day."""
        flat = density.reshape(density.shape[0], -1)
        if self.saturation.shape[0] == 1:
            total = self.effect @ (flat / (1 + self.saturation[0][:, None] * flat))
        else:
            shares = flat[None] / (1 + self.saturation[:, :, None] * flat[None])
            total = (self.effect[:, :, None] * shares).sum(axis=1)
        return total.reshape(density.shape)

    def log_rate(self, log_density: Densities) -> Densities:
        """$\\dot x$, 1/day."""
        density = jnp.exp(log_density)
        growth, crowding, immigration = (_behind(one, density) for one in (self.growth, self.crowding, self.immigration))
        return growth - crowding * density + self.influence(density) + immigration * jnp.exp(-log_density)

    def rate(self, density: Densities) -> Densities:
        """$\\dot n$, density per day."""
        return density * self.log_rate(jnp.log(density))

    def jacobian(self, density: Types) -> Float[Array, "types types"]:
        """$\\partial\\dot n_i/\\partial n_j$ at densities above zero: what decides whether a rest is stable."""
        slopes = self.effect / (1 + self.saturation * density[None]) ** 2
        own = self.growth - 2 * self.crowding * density + self.influence(density)
        return density[:, None] * slopes + jnp.diag(own)

    def ceiling(self) -> Types:
        """Densities that no type rises above without immigration: $(r_i+\\sum_j\\max(a_{ij},0))/c_i$; infinite where nothing saturates."""
        support = jnp.maximum(self.effect, 0.0)
        saturation = jnp.broadcast_to(self.saturation, support.shape)
        largest = jnp.where(support > 0, support / saturation, 0.0).sum(axis=1)
        return jnp.maximum(self.growth + largest, 0.0) / self.crowding

    def stepper(self) -> Stepper:
        """The classical Runge-Kutta method of order four, in the logarithms."""
        return ExplicitRungeKutta(LogRate(self))

    def state_layout(self) -> StateLayout:
        """See :class:`physics.Equation`; ``log_density_0`` and so on."""
        return StateLayout(tuple(Variable(f"log_density_{i}", "1") for i in range(self.growth.shape[0])), "day")


class LogRate(Rate):
    """The rate of the logarithms, per unit of a time that each culture may measure in a span of its own.

    Attributes:
        populations: The model.
        span_days: Days per unit of time, one per culture (the last axis of the state); None is one day for all.
    """

    populations: CellPopulations
    span_days: Float[Array, " cultures"] | None = None

    def evaluate(self, state: Densities, time: Scalar) -> Densities:
        """See :class:`solvers.rate.Rate`; the model does not depend on time."""
        del time
        rate = self.populations.log_rate(state)
        return rate if self.span_days is None else rate * jnp.broadcast_to(self.span_days, rate.shape[-1:])[None]


class Rest(NamedTuple):
    """A state of rest.

    Attributes:
        density: Densities; NaN where there is none.
        stable: Whether all eigenvalues of the Jacobian have negative real parts.
        feasible: Whether all densities are above zero.
    """

    density: np.ndarray
    stable: bool
    feasible: bool


def lotka_volterra_rest(populations: CellPopulations) -> Rest:
    """The rest of all types together, $An=-r$, of a system without saturation and immigration; on the host.

    Raises:
        ValueError: An effect saturates, or cells immigrate: the rest is then no solution of a linear system.
    """
    if np.asarray(populations.saturation).any() or np.asarray(populations.immigration).any():
        raise ValueError(
            "got saturation or immigration; expected a Lotka-Volterra system; do: find the rest by simulating until it is still"
        )
    matrix = np.asarray(populations.effect) - np.diag(np.asarray(populations.crowding))
    try:
        density = np.linalg.solve(matrix, -np.asarray(populations.growth))
    except np.linalg.LinAlgError:
        return Rest(np.full(len(matrix), np.nan), False, False)
    feasible = bool((density > 0).all())
    eigenvalues = np.linalg.eigvals(density[:, None] * matrix)
    return Rest(density, bool((eigenvalues.real < 0).all()), feasible)


def _behind(values: Types, like: Densities) -> Densities:
    """One value per type, for all cultures."""
    return jnp.broadcast_to(values.reshape(-1, *[1] * (like.ndim - 1)), like.shape)
