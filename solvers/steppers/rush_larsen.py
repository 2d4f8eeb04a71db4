"""Exponential integration of gates: the method of electrophysiology."""

from abc import abstractmethod
from typing import Literal

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from solvers.elementary import expm1
from solvers.rows import apart, join_rows, split_rows
from solvers.shapes import Flag, Scalar
from solvers.stepper import Stepper
from solvers.steppers.markov_chain import MarkovChain

Stacked = Float[Array, "components *cells"]


class GatedRate(eqx.Module):
    r"""$u = (v, p, g)$: $v' = F(u, t)$, shares $p' = Q(u)p$ (often none), gates $g' = r(v)\,(g_\infty(v) - g)$, stacked in rows.

    A gate with opening rate $\alpha$ and closing rate $\beta$ has $r = \alpha + \beta$ and $g_\infty = \alpha/(\alpha+\beta)$.
    """

    @abstractmethod
    def evaluate(self, state: Stacked, time: Scalar) -> tuple[Array, Array, Array]:
        r"""$F$ for the first components, then $g_\infty$ and $r$ (1/time) for the gates; the counts of rows say which is which."""

    def chain(self, state: Stacked, time: Scalar) -> MarkovChain | None:
        """How the components between the others and the gates exchange their shares; None where there are none."""
        del state, time
        return None

    def spectral_bound(self) -> Scalar:
        r"""An upper bound of the eigenvalues of $\partial F/\partial v$, 1/time; zero where unknown."""
        return jnp.zeros(())


class RushLarsen(Stepper):
    r"""Gates by $g^+ = g_\infty + (g - g_\infty)\,e^{-h r}$ with frozen $g_\infty, r$; the rest by an explicit step.

    * order 1: everything frozen at the start of the step, the rest by Euler.
    * order 2: the same for half a step, and from the start again over the whole step with $F, g_\infty, r$ of that midpoint.

    Args:
        rate: The equations.
        accuracy: 1 or 2.

    Components that exchange shares (Markov models of channels) take :class:`solvers.MarkovChain`'s step of the same order, their rates
    frozen likewise.

    Gates stay between 0 and 1 for every step length, and are exact where $v$ is held. Fails where the rest is stiff (calcium in
    small subspaces) beyond $h|\lambda| = 2$; order 2 takes two evaluations of the rates, which is what a step costs.
    Source: Rush, Larsen (1978), IEEE Trans. Biomed. Eng. 25, 389; Perego, Veneziani (2009), Electron. Trans. Numer. Anal. 35, 234,
    section 3, and Sundnes, Artebrant, Skavhaug, Tveito (2009), IEEE Trans. Biomed. Eng. 56, 2546, for order 2.
    """

    rate: GatedRate
    accuracy: Literal[1, 2] = eqx.field(static=True, default=1)

    def __check_init__(self) -> None:
        if self.accuracy not in (1, 2):
            raise ValueError(f"got order {self.accuracy}; expected 1 or 2; do: choose one of them")

    @property
    def order(self) -> int:
        """As chosen."""
        return self.accuracy

    def advance(self, state: Stacked, time: Scalar, length: Scalar) -> Stacked:
        """See :class:`solvers.stepper.Stepper`."""
        length = length.astype(state.dtype)
        if self.accuracy == 1:
            return self._frozen(state, state, time, length, 1)
        half = length / 2
        middle = self._frozen(state, state, time, half, 1)
        return self._frozen(state, middle, time + half, length, 2)

    def stable(self, length: Scalar) -> Flag:
        """The explicit part is within $h|\\lambda| \\le 2$; gates have no limit."""
        return length * self.rate.spectral_bound() <= 2

    def _frozen(self, state: Stacked, seen: Stacked, time: Scalar, length: Scalar, accuracy: int) -> Stacked:
        """One step from ``state`` with the coefficients of ``seen``, as increments: a step of length zero changes nothing."""
        rest, steady, speed = self.rate.evaluate(seen, time)
        chain = self.rate.chain(seen, time)
        others, first = rest.shape[0], state.shape[0] - steady.shape[0]
        slow, shares, gates = split_rows(state, [others, first - others, state.shape[0] - first])
        parts = [slow + length * rest, gates - (steady - gates) * apart(expm1(-length * speed))]
        if chain is not None:
            parts.insert(1, chain.advance(shares, length, accuracy))
        return join_rows(parts)
