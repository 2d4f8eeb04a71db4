"""The generalised-alpha method for implicit differential-algebraic systems, with Newton's iterations and their discrete adjoint."""

from abc import abstractmethod

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from solvers.shapes import Index, Scalar
from solvers.stepper import Stepper

Unknowns = Float[Array, "unknowns *batch"]
Memory = Float[Array, "memory *batch"]


class ImplicitSystem(eqx.Module):
    r"""$r(\dot y, y, t) = 0$: as many equations as unknowns, some of which may hold no rate.

    Unknowns are the first axis; further axes are members of a batch, with the same shape in the leaves that differ among them.
    """

    @abstractmethod
    def newton_step(self, rate: Unknowns, state: Unknowns, time: Scalar, shift: Scalar) -> Unknowns:
        r"""$-J^{-1}r$ with $J = \partial r/\partial y + s\,\partial r/\partial\dot y$.

        The derivative of the result is $-J^{-1}\,dr$: the matrix is held, as at a solution it may be.
        """

    @abstractmethod
    def scales(self, state: Unknowns) -> Unknowns:
        """How large a change of each unknown is large."""


class GeneralisedAlpha(Stepper):
    r"""$r(\dot y_{n+\alpha_m}, y_{n+\alpha_f}, t_{n+\alpha_f}) = 0$, $y_{n+1} = y_n + h[(1-\gamma)\dot y_n + \gamma\dot y_{n+1}]$.

    $\alpha_m = \tfrac12\frac{3-\rho}{1+\rho}$, $\alpha_f = \frac1{1+\rho}$, $\gamma = \tfrac12+\alpha_m-\alpha_f$: order two, stable
    for every step, and modes faster than the step lose the factor $\rho$ per step.

    The state is one array: $y$, then $\dot y$, then the largest last Newton step so far over the unknowns' scales, by which a caller
    sees whether the equations were solved.

    Args:
        system: The equations.
        spectral_radius: $\rho$, 0 to 1; 0 damps most, 1 conserves energy and rings; at 1 what algebraic unknowns remember never dies
            out, and no cycle is found by Newton's method.
        tolerance: Newton's iterations end when a step is below this part of the scales; the step after that is taken as well.
        iterations: Most of them.

    Gradients go through one more Newton step only, with the matrix held: the derivative of the solution of each step's equations, at
    the price of one solve and exact to the tolerance. Fails: rates of unknowns without a differential equation are no derivatives in the
    first steps after a start that does not satisfy the equations; they forget it by $\rho$ per step.
    Source: Jansen, Whiting and Hulbert (2000), Comput. Methods Appl. Mech. Engrg. 190, 305, equations 14 to 18.
    """

    system: ImplicitSystem
    spectral_radius: float = eqx.field(static=True, default=0.5)
    tolerance: float = eqx.field(static=True, default=1e-7)
    iterations: int = eqx.field(static=True, default=20)

    def __check_init__(self) -> None:
        if not 0 <= self.spectral_radius <= 1 or not self.tolerance > 0 or self.iterations < 1:
            raise ValueError(
                f"got spectral radius {self.spectral_radius}, tolerance {self.tolerance}, {self.iterations} iterations; "
                "expected 0 to 1, above 0, at least 1; do: keep the defaults"
            )

    @property
    def order(self) -> int:
        """Two."""
        return 2

    def start(self, state: Unknowns, rate: Unknowns | None = None) -> Memory:
        """The method's memory at the start: the unknowns, their rates (zero where not known), and no Newton step so far."""
        return jnp.concatenate([state, jnp.zeros_like(state) if rate is None else rate, jnp.zeros_like(state[:1])])

    def split(self, memory: Memory) -> tuple[Unknowns, Unknowns]:
        """Unknowns and rates."""
        size = (memory.shape[0] - 1) // 2
        return memory[:size], memory[size : 2 * size]

    def advance(self, state: Memory, time: Scalar, length: Scalar) -> Memory:
        """See :class:`solvers.stepper.Stepper`."""
        rho = self.spectral_radius
        alpha_m, alpha_f = 0.5 * (3 - rho) / (1 + rho), 1 / (1 + rho)
        gamma = 0.5 + alpha_m - alpha_f
        moves = length > 0
        step = jnp.where(moves, length, 1.0).astype(state.dtype)
        old, old_rate = self.split(state)
        shift = alpha_m / (gamma * alpha_f) / step
        between = time + alpha_f * step

        def correction(system: ImplicitSystem, middle: Unknowns, old: Unknowns, old_rate: Unknowns, shift: Scalar) -> Unknowns:
            rate = (1 - alpha_m / gamma) * old_rate + shift * (middle - old)
            return system.newton_step(rate, middle, between, shift)

        held = lax.stop_gradient((self.system, old, old_rate, shift))

        def goes_on(carry: tuple[Unknowns, Scalar, Index]) -> Array:
            _, change, count = carry
            return (count < self.iterations) & (change > self.tolerance)

        def iterate(carry: tuple[Unknowns, Scalar, Index]) -> tuple[Unknowns, Scalar, Index]:
            middle, _, count = carry
            change = correction(held[0], middle, *held[1:])
            middle = middle + change
            return middle, jnp.max(jnp.abs(change) / held[0].scales(middle)), count + 1

        guess = lax.stop_gradient(old)
        middle, _, _ = lax.while_loop(goes_on, iterate, (guess, jnp.asarray(jnp.inf, state.dtype), jnp.asarray(0)))
        middle = lax.stop_gradient(middle)
        last = correction(self.system, middle, old, old_rate, shift)
        worst = jnp.max(jnp.abs(lax.stop_gradient(last)) / held[0].scales(middle), axis=0, keepdims=True)
        change = (middle + last - old) / alpha_f
        rate = (1 - 1 / gamma) * old_rate + change / (gamma * step)
        new = jnp.concatenate([old + change, rate, jnp.maximum(state[-1:], worst)])
        return jnp.where(moves, new, state)


def newton_residue(memory: Memory, tolerance: ArrayLike) -> tuple[Array, Array]:
    """The largest last Newton step of a run, and whether it is below a tolerance."""
    worst = memory[-1]
    return worst, jax.numpy.isfinite(worst) & (worst <= jnp.asarray(tolerance, worst.dtype))
