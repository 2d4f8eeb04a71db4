"""Exponential Runge-Kutta methods: diffusion exact by a transform, the rest explicit."""

from math import factorial
from typing import Literal

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array

from solvers.linear.spectral_diffusion import SpectralDiffusion
from solvers.rate import Rate
from solvers.shapes import Cells, Flag, Scalar
from solvers.stepper import Stepper

TERMS = 19  # of the series inside |z| < 1, for 16 digits


def phi_functions(z: Array, count: int) -> list[Array]:
    r"""$\varphi_1,\dots,\varphi_n$ with $\varphi_k(z) = \sum_j z^j/(j+k)!$, to round-off for every real $z$.

    For $|z|\ge1$ the recurrence $\varphi_{k+1} = (\varphi_k - 1/k!)/z$ from $\varphi_1 = (e^z-1)/z$; inside, where it cancels, the series.
    """
    small = jnp.abs(z) < 1
    inside, outside = jnp.where(small, z, 0), jnp.where(small, 1, z)
    values, far = [], jnp.expm1(outside) / outside
    for k in range(1, count + 1):
        near = jnp.full_like(z, 1 / factorial(TERMS + k))
        for power in reversed(range(TERMS)):
            near = near * inside + 1 / factorial(power + k)
        values.append(jnp.where(small, near, far))
        far = (far - 1 / factorial(k)) / outside
    return values


class ExactDiffusion(Stepper):
    r"""$u^+ = e^{hL}u$, as the increment $(e^{hL}-1)u$; exact in time, so a splitting's own order decides.

    Args:
        linear: $L$.
    """

    linear: SpectralDiffusion

    @property
    def order(self) -> int:
        """Exact; reported as a large number."""
        return 99

    def advance(self, state: Cells, time: Scalar, length: Scalar) -> Cells:
        """See :class:`solvers.stepper.Stepper`."""
        del time
        return state + self.linear.function(jnp.expm1(length.astype(state.dtype) * _eigenvalues(self.linear, state)), state)


class ExponentialRungeKutta(Stepper):
    r"""$u' = L u + f(u,t)$ by exponential time differencing; with $N = f(u,t)$, $\varphi = \varphi(hL)$ the methods are

    * order 1: $u^+ = u + h\varphi_1 (L u + N)$;
    * order 2: $a$ as that, $u^+ = a + h\varphi_2\,(f(a, t+h) - N)$;
    * order 4: stages $a, b$ at $h/2$ and $c$ at $h$,
      $u^+ = u + h\varphi_1 L u + h[(\varphi_1-3\varphi_2+4\varphi_3)N + (2\varphi_2-4\varphi_3)(N_a+N_b) + (4\varphi_3-\varphi_2)N_c]$.

    Args:
        linear: $L$, diagonal in a transform.
        rate: $f$, not stiff.
        accuracy: The order, 1, 2 or 4; one, two or four evaluations of $f$, and two, five or eleven transforms.

    Exact for $f = 0$ and, in every order, for a constant $f$: steady states come out exactly. Fails: order 4 falls towards 2 where
    $f(u)$ does not satisfy the boundary condition of $L$ (a source that is not flat at a no-flux wall); periodic problems are safe.
    ``stable`` judges $f$ alone.

    Raises:
        ValueError: Another accuracy, or not a SpectralDiffusion and a rate.

    Source: Cox, Matthews (2002), J. Comput. Phys. 176, 430, equations 4, 22 and 26-29; Kassam,
    Trefethen (2005), SIAM J. Sci. Comput. 26, 1214; Hochbruck, Ostermann (2005), SIAM J. Numer. Anal. 43, 1069, for the loss of order.
    """

    linear: SpectralDiffusion
    rate: Rate
    accuracy: Literal[1, 2, 4] = eqx.field(static=True, default=2)

    def __check_init__(self) -> None:
        if not isinstance(self.linear, SpectralDiffusion) or not isinstance(self.rate, Rate):
            raise ValueError(
                f"got {type(self.linear).__name__} and {type(self.rate).__name__}; expected SpectralDiffusion and a Rate; "
                "do: use ImplicitExplicit for other operators"
            )
        if self.accuracy not in (1, 2, 4):
            raise ValueError(f"got order {self.accuracy}; expected 1, 2 or 4; do: choose one of them")

    @property
    def order(self) -> int:
        """As chosen."""
        return self.accuracy

    def advance(self, state: Cells, time: Scalar, length: Scalar) -> Cells:
        """See :class:`solvers.stepper.Stepper`."""
        length = length.astype(state.dtype)
        eigenvalues = _eigenvalues(self.linear, state)
        return self._fourth(state, time, length, eigenvalues) if self.accuracy == 4 else self._second(state, time, length, eigenvalues)

    def _second(self, state: Cells, time: Scalar, length: Scalar, eigenvalues: Array) -> Cells:
        linear, rate = self.linear, self.rate.evaluate(state, time)
        phi = phi_functions(length * eigenvalues, self.accuracy)
        modes = linear.transform(state)
        start = linear.transform(rate)
        whole = state + linear.inverse(length * phi[0] * (eigenvalues * modes + start))
        if self.accuracy == 1:
            return whole
        return whole + linear.function(length * phi[1], self.rate.evaluate(whole, time + length) - rate)

    def _fourth(self, state: Cells, time: Scalar, length: Scalar, eigenvalues: Array) -> Cells:
        linear = self.linear
        half = length / 2
        (phi_half,) = phi_functions(half * eigenvalues, 1)
        phi = phi_functions(length * eigenvalues, 3)
        now = linear.transform(state)

        def rate(modes: Array, at: Scalar) -> Array:
            return linear.transform(self.rate.evaluate(state + linear.inverse(modes), at))

        start = linear.transform(self.rate.evaluate(state, time))
        decay = eigenvalues * now
        first = half * phi_half * (decay + start)
        rate_first = rate(first, time + half)
        second = half * phi_half * (decay + rate_first)
        rate_second = rate(second, time + half)
        third = first + half * phi_half * (decay + eigenvalues * first + 2 * rate_second - start)
        rate_third = rate(third, time + length)
        middle = 2 * (phi[1] - 2 * phi[2]) * (rate_first + rate_second)
        change = phi[0] * decay + (phi[0] - 3 * phi[1] + 4 * phi[2]) * start + middle + (4 * phi[2] - phi[1]) * rate_third
        return state + linear.inverse(length * change)

    def stable(self, length: Scalar) -> Flag:
        """The explicit part is within its limit."""
        return length * self.rate.spectral_bound() <= (2.0 if self.accuracy < 4 else 2.78)


def _eigenvalues(linear: SpectralDiffusion, state: Cells) -> Array:
    """Per mode, with the batch axes of the state."""
    values = linear.eigenvalues().astype(state.dtype)
    return jnp.broadcast_to(values, (*state.shape[:-1], *values.shape[-3:]))
