"""Right-hand sides of differential equations, and the sums that every Runge-Kutta method makes of them."""

from abc import abstractmethod
from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from solvers.operator import Operator
from solvers.shapes import Cells, Scalar, State


class Rate(eqx.Module):
    r"""$f(u, t)$ of $u' = f(u, t)$; physics provides these, as it does :class:`solvers.steppers.exact_flow.Flow`."""

    @abstractmethod
    def evaluate(self, state: State, time: Scalar) -> State:
        """The time derivative of ``state`` at ``time``, of the state's shape and dtype."""

    def spectral_bound(self) -> Scalar:
        r"""An upper bound of $|\lambda|$ over the eigenvalues of $\partial f/\partial u$, in 1/time; sets the limit of explicit steps.

        Rates that don't know it keep this zero, which promises nothing: ``stable`` then sees no limit.
        """
        return jnp.zeros(())


class Affine(Rate):
    r"""$f(u) = L u + s$.

    Args:
        operator: $L$.
        source: $s$, a field that does not change in time (or several, as the state has); None for none.
    """

    operator: Operator
    source: Cells | None = None

    def evaluate(self, state: Cells, time: Scalar) -> Cells:
        """See :class:`Rate`."""
        del time
        change = self.operator.apply(state)
        return change if self.source is None else change + jnp.broadcast_to(self.source, change.shape)

    def spectral_bound(self) -> Scalar:
        """The operator's."""
        return self.operator.spectral_bound()


class Sum(Rate):
    """The sum of rates: diffusion, reaction, sources that change in time.

    Args:
        parts: At least one; what is not linear, or depends on time, is a :class:`Rate` of its own.

    Raises:
        ValueError: No part, or one that is no rate (:func:`as_rate` makes one of an operator).
    """

    parts: tuple[Rate, ...]

    def __check_init__(self) -> None:
        if not self.parts or not all(isinstance(part, Rate) for part in self.parts):
            got = ", ".join(type(part).__name__ for part in self.parts) or "nothing"
            raise ValueError(f"got {got} to add; expected at least one Rate; do: as_rate(operator) makes one of an operator")

    def evaluate(self, state: State, time: Scalar) -> State:
        """See :class:`Rate`."""
        rates = [part.evaluate(state, time) for part in self.parts]
        return jax.tree.map(lambda *terms: sum(terms[1:], terms[0]), *rates)

    def spectral_bound(self) -> Scalar:
        """The sum of the bounds; sharp where the parts are symmetric with the same sign."""
        bounds = [part.spectral_bound() for part in self.parts]
        return sum(bounds[1:], bounds[0])


def as_rate(given: Operator | Rate) -> Rate:
    """An operator as the rate $L u + b$, with $b$ what its walls bring in, if it has such a ``source``; a rate as it is."""
    return Affine(given, getattr(given, "source", None)) if isinstance(given, Operator) else given


def change_by(length: Scalar, weights: Sequence[float], rates: Sequence[State]) -> State:
    r"""$h\sum_j w_j k_j$, where a weight that is zero costs nothing; in the precision of the rates. At least one weight is not zero."""
    used = [(weight, rate) for weight, rate in zip(weights, rates, strict=True) if weight != 0]

    def leaf(*changes: Array) -> Array:
        total = used[0][0] * changes[0]
        for (weight, _), change in zip(used[1:], changes[1:], strict=True):
            total = total + weight * change
        return length.astype(total.dtype) * total

    return jax.tree.map(leaf, *(rate for _, rate in used))


def advance_by(state: State, length: Scalar, weights: Sequence[float], rates: Sequence[State]) -> State:
    r"""$u + h\sum_j w_j k_j$; exactly $u$ for $h = 0$ or without a weight, and in the precision of $u$."""
    if not any(weights):
        return state
    return jax.tree.map(lambda value, change: value + change.astype(value.dtype), state, change_by(length, weights, rates))
