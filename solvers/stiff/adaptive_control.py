"""Step sizes from error estimates: the norm, the controller and the first step."""

from collections.abc import Callable

import equinox as eqx
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from solvers.shapes import Flag, Scalar

Vector = Float[Array, "..."]


class StepControl(eqx.Module):
    r"""Accepts a step when $\sqrt{\operatorname{mean}_i(e_i/(a_i+r\max(|y_i|,|y_i^{new}|)))^2}\le 1$ and proposes the next.

    The next length is $h\cdot\operatorname{clip}(0.9\,\epsilon_n^{-0.7/k}\epsilon_{n-1}^{0.3/k},\,0.2,\,6)$ with $k$ the order of
    the method (proportional-integral control); it does not grow right after a rejection.

    Args:
        order: $k$.
        relative: $r$, a number or one per component.
        absolute: $a$, a number or one per component; choose it below the smallest value that matters of each component.

    Source: Hairer, Wanner (1996), *Solving Ordinary Differential Equations II*, section IV.2, equations 2.42-43.
    """

    order: int = eqx.field(static=True)
    relative: Float[Array, "..."]
    absolute: Float[Array, "..."]

    def logarithm_of_error(self, error: Vector, before: Vector, after: Vector) -> Scalar:
        """The logarithm of the norm, at most 20, which also stands for an error that is no number."""
        size = self.absolute + self.relative * jnp.maximum(jnp.abs(before), jnp.abs(after))
        square = jnp.mean((error / size) ** 2)
        square = jnp.where(square < 1e16, square, 1e16)
        return 0.5 * jnp.log(jnp.maximum(square, 1e-12))

    def factor(self, logarithm: Scalar, previous: Scalar, grow: Flag) -> Scalar:
        """By how much the next step is longer."""
        growth = 0.9 * jnp.exp((0.3 * previous - 0.7 * logarithm) / self.order)
        return jnp.clip(growth, 0.2, jnp.where(grow, 6.0, 1.0))

    def first_step(self, field: Callable[[Scalar, Vector], Vector], time: Scalar, state: Vector, span: Scalar) -> tuple[Scalar, Flag]:
        """A first length from the size of the field and of its change along one explicit Euler step; and whether both are finite.

        A constant for every derivative, so that no root of a zero norm reaches a gradient.
        Source: Hairer, Norsett, Wanner (1993), *Solving Ordinary Differential Equations I*, section II.4.
        """
        time, state, span = lax.stop_gradient((time, state, span))
        size = lax.stop_gradient(self.absolute + self.relative * jnp.abs(state))

        def norm(vector: Vector) -> Scalar:
            return jnp.sqrt(jnp.mean((vector / size) ** 2))

        slope = lax.stop_gradient(field(time, state))
        level, speed = norm(state), norm(slope)
        guess = jnp.where((level < 1e-5) | (speed < 1e-5), 1e-6, 0.01 * level / jnp.maximum(speed, 1e-30))
        guess = jnp.minimum(guess, span)
        bend = norm(lax.stop_gradient(field(time + guess, state + guess * slope)) - slope) / guess
        fastest = jnp.maximum(speed, bend)
        refined = jnp.where(fastest <= 1e-15, jnp.maximum(1e-6, guess * 1e-3), (0.01 / jnp.maximum(fastest, 1e-30)) ** (1 / self.order))
        length = jnp.minimum(jnp.minimum(100 * guess, refined), span)
        finite = jnp.isfinite(speed) & jnp.isfinite(level)
        usable = jnp.isfinite(length) & (length > 0)
        return jnp.where(usable, length, jnp.minimum(1e-6, span)), finite
