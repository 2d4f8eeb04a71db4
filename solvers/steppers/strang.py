"""Symmetric operator splitting of second order."""

import jax.numpy as jnp
from jax import lax

from solvers.shapes import Flag, Scalar, State
from solvers.stepper import Stepper


class Strang(Stepper):
    r"""$\Phi_h = R_{h/2}\circ D_h\circ R_{h/2}$, second order when both parts are at least that.

    Args:
        half: The part taken twice at half length; the cheap one, here the exact reaction.
        full: The part taken once; here the diffusion.

    Good values: a step that resolves the faster of the two parts' interaction, e.g. $\rho h \lesssim 0.1$ for growth at rate
    $\rho$. Fails (order one) where the solution is not smooth in time: put events at step ends, as ``simulate`` does.

    Raises:
        ValueError: A part that is no stepper.

    Source: Strang (1968), SIAM J. Numer. Anal. 5, 506, equation 2.5.
    """

    half: Stepper
    full: Stepper

    def __check_init__(self) -> None:
        for part in (self.half, self.full):
            if not isinstance(part, Stepper):
                raise ValueError(f"got {type(part).__name__}; expected a stepper; do: wrap it, e.g. RungeKuttaChebyshev2 or ExactFlow")

    @property
    def order(self) -> int:
        """Two, unless a part is of lower order."""
        return min(2, self.half.order, self.full.order)

    def advance(self, state: State, time: Scalar, length: Scalar) -> State:
        """See :class:`solvers.stepper.Stepper`; the barriers keep XLA from recomputing a pointwise part per stencil point."""
        state = lax.optimization_barrier(self.half.advance(state, time, length / 2))
        state = lax.optimization_barrier(self.full.advance(state, time, length))
        return self.half.advance(state, time + length / 2, length / 2)

    def stable(self, length: Scalar) -> Flag:
        """Both parts are inside their limits."""
        return jnp.logical_and(self.half.stable(length / 2), self.full.stable(length))
