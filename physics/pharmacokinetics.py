"""One compartment with first-order absorption: the concentration after an oral dose, in closed form."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from solvers.shapes import Scalar

Times = Float[Array, " times"]


class OneCompartment(eqx.Module):
    r"""$\dot A = -k_a A,\quad \dot C = k_a A/V - k_e C$, so that $C(t) = \dfrac{D\,k_a}{V}\,\dfrac{e^{-k_e t}-e^{-k_a t}}{k_a-k_e}$.

    Args:
        absorption: $k_a$, 1/h; 0.5 to 3 for tablets of well absorbed drugs.
        elimination: $k_e = Cl/V$, 1/h; 0.02 (warfarin) to 0.1 (theophylline).
        volume: $V$ over bioavailability, L, or L/kg for doses in mg/kg; 0.1 to 1 L/kg for drugs in plasma and water.

    Bioavailability is not identifiable from an oral dose alone: volume and clearance are relative to it. Exchanging $k_a$ and $k_e$ with
    $V$ scaled by their ratio gives the same curve (flip-flop), so that priors must say which is the faster. Not modelled: a distribution
    phase, saturable elimination, a lag. Source: Gibaldi and Perrier (1982), *Pharmacokinetics*, chapter 1.
    """

    absorption: Scalar
    elimination: Scalar
    volume: Scalar

    def concentration(self, times: Times, dose: Scalar) -> Times:
        """Concentration at times after one dose at time zero (h), in dose unit per volume unit; zero before it."""
        after = jnp.maximum(times, 0.0)
        return dose * self.absorption / self.volume * exponential_difference(self.elimination, self.absorption, after)

    def rate(self, state: Float[Array, "2 *batch"]) -> Float[Array, "2 *batch"]:
        r"""$(\dot A, \dot C)$, for :class:`physics.RateEquation`: where a term is added there is no closed form."""
        amount, concentration = state
        absorbed = self.absorption * amount
        return jnp.stack([-absorbed, absorbed / self.volume - self.elimination * concentration])


def exponential_difference(a: Scalar, b: Scalar, t: Array) -> Array:
    r"""$\dfrac{e^{-at}-e^{-bt}}{b-a}$, also where $a$ and $b$ are equal or nearly so ($t\,e^{-at}$ there)."""
    x = (b - a) * t
    close = jnp.abs(x) < 1e-2
    # Near equality a series about the mean of both, smooth through it; elsewhere from the slower of the two, where nothing overflows.
    y = jnp.where(close, x / 2, 0.0)
    near = jnp.exp(-0.5 * (a + b) * t) * (1 + y**2 / 6 + y**4 / 120)
    size = jnp.abs(jnp.where(close, 1.0, x))
    far = jnp.exp(-jnp.minimum(a, b) * t) * -jnp.expm1(-size) / size
    return t * jnp.where(close, near, far)
