"""Sums that remember what rounding took, so that many small steps do not drift in float32."""

from typing import cast

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array

from solvers.shapes import Flag, Index, Scalar, State
from solvers.simulate import Jump
from solvers.stepper import Increments, Stepper


class CompensatedState(eqx.Module):
    """A state and what its rounding has lost so far: their exact sum is the value meant.

    Attributes:
        value: The state.
        lost: To be added; below half a unit in the last place of ``value``.
    """

    value: State
    lost: State


def compensated_state(state: State) -> CompensatedState:
    """A state that has lost nothing yet; what :class:`Compensated` advances."""
    state = jax.tree.map(jnp.asarray, state)
    return CompensatedState(state, jax.tree.map(jnp.zeros_like, state))


class Compensated(Stepper):
    r"""Adds each step's increment $\delta$ to $u + c$ with nothing lost: $(u, c) \leftarrow \mathrm{TwoSum}(u, c + \delta)$.

    A plain sum of $n$ small steps stops moving once $|\delta| < \tfrac12\epsilon|u|$, and before that loses up to $n\epsilon|u|/2$;
    here the loss is that of the increments themselves, $\epsilon\sum|\delta|$. The increment is evaluated at the rounded $u$.

    Args:
        inner: A stepper that knows its increment: :class:`solvers.ExplicitRungeKutta` and :class:`solvers.RungeKuttaChebyshev2` do.

    The state is a :class:`CompensatedState`; parts of a splitting are wrapped one by one, e.g. ``Strang(Compensated(a),
    Compensated(b))``. Costs one more field in the state and six additions a cell. Derivatives are those of the plain sum, to
    round-off. Use it in float32 when a step changes the state by less than about $10^{-4}$ of its size; useless where the
    increments are inaccurate.

    Raises:
        ValueError: The inner stepper does not say its increment.

    Source: Knuth (1997), *The Art of Computer Programming 2*, section 4.2.2, theorem B (TwoSum); Kahan (1965), Commun. ACM 8, 40.
    """

    inner: Stepper

    def __check_init__(self) -> None:
        if not isinstance(self.inner, Increments):
            raise ValueError(
                f"got {type(self.inner).__name__}, which does not say its increment; expected increment(state, time, length); "
                "do: wrap the parts of a splitting one by one, or a method that adds its change last"
            )

    @property
    def order(self) -> int:
        """The inner one's."""
        return self.inner.order

    def advance(self, state: CompensatedState, time: Scalar, length: Scalar) -> CompensatedState:
        """See :class:`solvers.stepper.Stepper`."""
        change = cast(Increments, self.inner).increment(state.value, time, length)
        pairs = jax.tree.map(lambda value, lost, delta: _two_sum(value, lost + delta), state.value, state.lost, change)
        return CompensatedState(*jax.tree.transpose(jax.tree.structure(state.value), jax.tree.structure((0, 0)), pairs))

    def stable(self, length: Scalar) -> Flag:
        """As the inner one."""
        return self.inner.stable(length)


class CompensatedJump(Jump):
    """A jump of the state itself; what rounding had lost is added first, and nothing is lost yet afterwards.

    Args:
        inner: The jump.
    """

    inner: Jump

    def apply(self, state: CompensatedState, event: Index) -> CompensatedState:
        """See :class:`solvers.simulate.Jump`."""
        return compensated_state(self.inner.apply(jax.tree.map(jnp.add, state.value, state.lost), event))


def _two_sum(a: Array, b: Array) -> tuple[Array, Array]:
    """The rounded sum and its exact error; the barrier keeps a compiler from simplifying the error to zero."""
    total = lax.optimization_barrier(a + b)
    part = lax.optimization_barrier(total - a)
    return total, (a - lax.optimization_barrier(total - part)) + (b - part)
