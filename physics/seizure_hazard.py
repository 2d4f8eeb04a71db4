"""How often noise carries a brain region over the fold at which its seizures begin."""

import math
from functools import lru_cache

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

LOWEST, HIGHEST, NODES = -20.0, 80.0, 2001  # of the tabulated modulus; series beyond
EPILEPTOR_FOLD = 4.1 - 32 / 27
"""Permittivity at which the rest of :class:`physics.EpileptorPlane` ends, with its published input."""
EPILEPTOR_OFFSET = 4.1
"""Permittivity at which its seizures end."""

Values = Float[Array, "*shape"]


class NoisyFold(eqx.Module):
    r"""A rest that noise leaves for good: $dx = (-\mu + a x^2)\,dt + \sqrt{2D}\,dW$, with $\mu$ the distance from the fold.

    The rate of leaving is the inverse of the exact mean passage time from $-\infty$ to $\infty$,

    $$1/\lambda = \pi^2 d^{-1/3}\left[\mathrm{Ai}^2(y) + \mathrm{Bi}^2(y)\right],\quad d = a^2D,\quad y = a\mu\,d^{-2/3},$$

    which holds before the fold ($y\gg1$: Kramers, $\lambda = \sqrt{a\mu}/\pi\,\exp(-\tfrac43\sqrt{a}\mu^{3/2}/aD)$), at it, and beyond
    ($y\ll-1$: $\sqrt{-a\mu}/\pi$). Where $\mu$ moves slowly, $\lambda(\mu(t))$ is the hazard of a seizure.

    Attributes:
        noise: $D$, per unit of the fast time.
        curvature: $a$; 2 at the fold of the Epileptor's plane.
        fast_time: Unit of the fast time, in the unit in which rates are wanted: 1/3600 for a second and rates per hour.

    Good values: $y$ of 2 to 8. Fails where $\mu$ changes within one passage, and far from the fold, where the next term of the Epileptor,
    $-x^3$, lowers the rate: see :func:`epileptor_escape_rate` for it without that approximation.

    Source: Sigeti and Horsthemke 1989, J Stat Phys 54, 1217; the integral of Airy functions, DLMF 9.11.4; Kramers 1940, Physica 7, 284.
    """

    noise: Float[Array, "..."]
    curvature: Float[Array, ""]
    fast_time: Float[Array, ""]

    def log_rate(self, distance: Values) -> Values:
        r"""$\log\lambda$ at a distance $\mu$ from the fold, negative beyond it."""
        d = self.curvature**2 * self.noise
        return (
            jnp.log(d) / 3 - 2 * math.log(math.pi) - log_airy_modulus(self.curvature * distance * d ** (-2 / 3)) - jnp.log(self.fast_time)
        )

    def rate(self, distance: Values) -> Values:
        """Seizures per unit of time."""
        return jnp.exp(self.log_rate(distance))


@lru_cache(maxsize=1)
def _table() -> tuple[np.ndarray, np.ndarray]:
    """The logarithm of the squared modulus and its slope, at even places."""
    from scipy.special import airy, airye

    y = np.linspace(LOWEST, HIGHEST, NODES)
    root = np.sqrt(np.maximum(y, 0.0))
    twice = 4 / 3 * root**3
    scaled = airye(np.maximum(y, 0.0))  # Ai by exp(zeta), Bi by exp(-zeta)
    plain = airy(np.minimum(y, 0.0))
    ai, ai_slope, bi, bi_slope = (np.where(y > 0, one, other) for one, other in zip(scaled, plain, strict=True))
    shrink = np.exp(-twice)
    square = (ai * shrink) ** 2 + bi**2
    return np.log(square) + twice, 2 * (ai * ai_slope * shrink**2 + bi * bi_slope) / square


def log_airy_modulus(y: Values) -> Values:
    r"""$\log\left[\mathrm{Ai}^2(y)+\mathrm{Bi}^2(y)\right]$ without overflow, and with a continuous derivative.

    Cubic Hermite interpolation of exact values and slopes (error below 1e-7 between -20 and 80), asymptotic series beyond
    (DLMF 9.8.20 and 9.7.7, error below 1e-7).
    """
    values, slopes = (jnp.asarray(part, y.dtype) for part in _table())
    step = (HIGHEST - LOWEST) / (NODES - 1)
    inside = jnp.clip(y, LOWEST, HIGHEST)
    place = (inside - LOWEST) / step
    at = jnp.clip(jnp.floor(place).astype(int), 0, NODES - 2)
    t = place - at
    left = (1 + 2 * t) * (1 - t) ** 2 * values[at] + t * (1 - t) ** 2 * step * slopes[at]
    right = t**2 * (3 - 2 * t) * values[at + 1] + t**2 * (t - 1) * step * slopes[at + 1]
    low, high = jnp.minimum(y, LOWEST), jnp.maximum(y, HIGHEST)
    zeta = 2 / 3 * high**1.5
    above = 2 * zeta - jnp.log(jnp.pi * jnp.sqrt(high)) + 2 * jnp.log(1 + 5 / (72 * zeta) + 385 / (10368 * zeta**2))
    below = -jnp.log(jnp.pi * jnp.sqrt(-low)) + jnp.log(1 + 5 / (32 * low**3))
    return jnp.where(y > HIGHEST, above, jnp.where(y < LOWEST, below, left + right))


def epileptor_rest(permittivity: Values) -> Values:
    r"""The fast variable at rest, the lowest root of $x^3+2x^2=4.1-z$; at and beyond the fold $-4/3$.

    Good between $z=4.1$ (where it is -2) and the fold at $z=2.9148$. Source: Proix et al. 2014 (:class:`physics.EpileptorPlane`).
    """
    cosine = jnp.clip(27 * (4.1 - permittivity) / 16 - 1, -1.0, 1.0 - 1e-12)
    return -2 / 3 + 4 / 3 * jnp.cos((jnp.arccos(jnp.maximum(cosine, -1.0 + 1e-12)) + 2 * jnp.pi) / 3)


def epileptor_escape_rate(permittivity: float, noise: float, points: int = 4001) -> float:
    r"""Inverse mean time from the rest of the Epileptor's plane to $x=0.5$ at a fixed permittivity, per unit of its time.

    $T=\tfrac1D\int_{x_0}^{0.5}e^{V(x)/D}\int_{-\infty}^xe^{-V(s)/D}\,ds\,dx$ with $V'=x^3+2x^2+z-4.1$, by sums on a grid: no
    approximation beyond a fixed $z$. For checks, not for loops. Good where barrier over noise is below 100.

    Source: Gardiner 2009, *Stochastic Methods*, 5.5.
    """
    x = np.linspace(-3.0, 0.5, points)
    step = x[1] - x[0]
    potential = (x**4 / 4 + 2 * x**3 / 3 + (permittivity - 4.1) * x) / noise
    below = np.logaddexp.accumulate(-potential) + np.log(step)  # of the inner integral; its ends do not matter
    outer = potential + below - np.log(noise) + np.log(step)
    later = x >= float(epileptor_rest(jnp.asarray(permittivity)))
    return float(np.exp(-np.logaddexp.reduce(outer[later])))
