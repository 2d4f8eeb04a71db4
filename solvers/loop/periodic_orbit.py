"""Rhythms that a system makes by itself: periodic orbits by shooting, their unknown period, stability and implicit derivatives."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import ArrayLike
from jaxtyping import Array, Float, PyTree

from solvers.loop.newton_fixed_point import newton_fixed_point
from solvers.shapes import Index, Scalar

Point = Float[Array, " size"]
Rates = Callable[[PyTree, Point], Point]


class PeriodicOrbit(NamedTuple):
    """What :func:`periodic_orbit` found.

    Attributes:
        state: On the orbit, with its derivative.
        period: Its, with its derivative.
        change: How far one period moves the state, over the scales; or the phase is off, over the period.
        steps: Newton steps taken.
    """

    state: Point
    period: Scalar
    change: Scalar
    steps: Index


def periodic_orbit(
    rates: Rates, parameters: PyTree, start: Point, period: ArrayLike, scales: Point, steps: int, tolerance: float = 1e-10
) -> PeriodicOrbit:
    r"""$s(T) = s(0)$ of $\dot s = F(p, s)$, with $F(p,s_0)\cdot(s(0)-s_0) = 0$ ($s_0$ the start), by Newton's method for $s(0)$ and $T$.

    A period is `steps` steps of the classical method of Runge and Kutta, so that the step is a multiple of the unknown $T$ and the error of
    the period is of order four in it. The derivative is that of the implicit functions $s(0), T$ of $p$, in either mode.

    Args:
        rates: $F$.
        parameters: $p$, any pytree.
        start: Near the orbit, where it is not slow; no derivative.
        period: A guess, to a tenth or so.
        scales: How large a change of each component is large.
        steps: In a period.
        tolerance: For the change.

    Fails where no orbit is near: then `change` is not small, or the period is not positive, or the orbit is a fixed point, of which any
    period is one. Unstable orbits are found as well as stable ones, unless they repel by many decades in a period.
    Source: Keller (1977), *Applications of Bifurcation Theory*, 359; Seydel (2010), *Practical Bifurcation and Stability Analysis*, 7.3.
    """
    start = lax.stop_gradient(start)
    ahead = lax.stop_gradient(rates(parameters, start)) / scales**2
    speed = jnp.sum(ahead**2 * scales**2)

    def once(parameters: PyTree, both: Float[Array, " size_and_period"]) -> Float[Array, " size_and_period"]:
        state, length = both[:-1], both[-1]
        late = jnp.sum(ahead * (state - start)) / speed
        return jnp.append(over_period(rates, parameters, state, length, steps)[-1], length - late)

    guess = jnp.append(start, jnp.asarray(period, start.dtype))
    found = newton_fixed_point(once, parameters, guess, lambda both: jnp.append(scales, both[-1]), settle=0, tolerance=tolerance)
    return PeriodicOrbit(found.point[:-1], found.point[-1], found.change, found.steps)


def over_period(rates: Rates, parameters: PyTree, state: Point, period: ArrayLike, steps: int) -> Float[Array, "times size"]:
    """States at the `steps` + 1 ends of the steps, the first is the given one; differentiable in all."""
    step = jnp.asarray(period) / steps

    def advance(state: Point, _: None) -> tuple[Point, Point]:
        first = rates(parameters, state)
        second = rates(parameters, state + 0.5 * step * first)
        third = rates(parameters, state + 0.5 * step * second)
        fourth = rates(parameters, state + step * third)
        state = state + step / 6 * (first + 2 * (second + third) + fourth)
        return state, state

    return jnp.concatenate([state[None], lax.scan(advance, state, None, length=steps)[1]])


def monodromy(rates: Rates, parameters: PyTree, state: Point, period: ArrayLike, steps: int) -> Float[Array, "size size"]:
    """Derivative of the state after a period to the state: one of its eigenvalues, Floquet's multipliers, is one; the orbit is stable
    where all others are within the unit circle."""
    return jax.jacfwd(lambda state: over_period(rates, parameters, state, period, steps)[-1])(state)
