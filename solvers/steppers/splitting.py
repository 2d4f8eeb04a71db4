"""Splittings besides Strang's, and extrapolation to higher order with positive steps only."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax

from solvers.shapes import Flag, Scalar, State
from solvers.stepper import Stepper


class Lie(Stepper):
    r"""$\Phi_h = P^n_h\circ\dots\circ P^1_h$: the parts one after the other, order one.

    Args:
        parts: In the order in which they are taken.

    Raises:
        ValueError: No part, or one that is no stepper.

    Positive and conservative if the parts are. Source: Hundsdorfer, Verwer (2003), *Numerical Solution of Time-Dependent
    Advection-Diffusion-Reaction Equations*, section IV.1.
    """

    parts: tuple[Stepper, ...]

    def __check_init__(self) -> None:
        if not self.parts or not all(isinstance(part, Stepper) for part in self.parts):
            raise ValueError(
                f"got parts {[type(part).__name__ for part in self.parts]}; expected at least one stepper; do: wrap operators in one"
            )

    @property
    def order(self) -> int:
        """One; of a single part, its own."""
        return min([part.order for part in self.parts] + ([1] if len(self.parts) > 1 else []))

    def advance(self, state: State, time: Scalar, length: Scalar) -> State:
        """See :class:`solvers.stepper.Stepper`."""
        for part in self.parts:
            state = lax.optimization_barrier(part.advance(state, time, length))
        return state

    def stable(self, length: Scalar) -> Flag:
        """Every part is inside its limit."""
        return jnp.stack([part.stable(length) for part in self.parts]).all()


class Substeps(Stepper):
    """So many equal steps of a stepper in one: a fast part inside a splitting.

    Args:
        stepper: What is repeated.
        count: How often.
    """

    stepper: Stepper
    count: int = eqx.field(static=True)

    def __check_init__(self) -> None:
        if self.count < 1:
            raise ValueError(f"got {self.count} substeps; expected at least 1; do: drop Substeps for none")

    @property
    def order(self) -> int:
        """The stepper's."""
        return self.stepper.order

    def advance(self, state: State, time: Scalar, length: Scalar) -> State:
        """See :class:`solvers.stepper.Stepper`."""
        short = length / self.count

        def one(state: State, number: jax.Array) -> tuple[State, None]:
            return self.stepper.advance(state, time + number * short, short), None

        return lax.scan(one, state, jnp.arange(self.count, dtype=length.dtype))[0]

    def stable(self, length: Scalar) -> Flag:
        """A substep is inside the stepper's limit."""
        return self.stepper.stable(length / self.count)


class Richardson(Stepper):
    r"""$\Psi_h = \Phi_{h/2}^2 + (\Phi_{h/2}^2 - \Phi_h)/(2^p - 1)$ for a base $\Phi$ of order $p$.

    The error term $h^{p+1}$ cancels, and with a symmetric base ($\Phi_{-h} = \Phi_h^{-1}$: Strang of exact, Crank-Nicolson or
    midpoint parts) the next one is zero already: Strang becomes order four. Every step has positive length. Compositions of order
    above two (Yoshida's and any other with real weights) must step backwards in time (Sheng 1989; Goldman, Kaper 1996), which
    diffusion does not allow: it would amplify each mode by $e^{|\lambda| h}$.

    Args:
        base: $\Phi$.
        symmetric: Whether $\Phi_{-h}$ undoes $\Phi_h$; Runge-Kutta parts do not.

    Cost: three base steps. Fails: weights of both signs, so positivity is not kept, and a mode that the base
    multiplies by $R$ with $|R|$ near one may grow: bases that damp (``L-stable``, exact) are safe.
    Source: Hairer, Lubich, Wanner (2006), *Geometric Numerical Integration*, section II.4; Sheng (1989), IMA J. Numer. Anal. 9, 199.
    """

    base: Stepper
    symmetric: bool = eqx.field(static=True, default=False)

    @property
    def order(self) -> int:
        """One above the base's, two above for a symmetric one."""
        return self.base.order + (2 if self.symmetric else 1)

    def advance(self, state: State, time: Scalar, length: Scalar) -> State:
        """See :class:`solvers.stepper.Stepper`."""
        half = length / 2
        fine = self.base.advance(self.base.advance(state, time, half), time + half, half)
        coarse = self.base.advance(state, time, length)
        return jax.tree.map(lambda a, b: a + (a - b) / (2**self.base.order - 1), fine, coarse)

    def stable(self, length: Scalar) -> Flag:
        """The whole step is inside the base's limit."""
        return self.base.stable(length)
