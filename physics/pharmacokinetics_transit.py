"""One compartment behind two absorption steps: a delayed rise, in closed form."""

import equinox as eqx
import jax.numpy as jnp

from physics.pharmacokinetics import Times, exponential_difference
from solvers.shapes import Scalar


class TransitCompartment(eqx.Module):
    r"""$\dot D=-k_{tr}D,\quad \dot G=k_{tr}D-k_aG,\quad \dot C=k_aG/V-k_eC$: stomach, gut and plasma.

    Args:
        transit: $k_{tr}$, 1/h.
        absorption: $k_a$, 1/h.
        elimination: $k_e=Cl/V$, 1/h, slower than the other two.
        volume: $V$ over bioavailability, L.

    $C = \dfrac{D k_{tr}k_a}{V}\,\dfrac{f(k_e,k_{tr})-f(k_a,k_{tr})}{k_a-k_e}$ with $f(a,b)=(e^{-at}-e^{-bt})/(b-a)$. The two absorption
    rates are exchangeable: a posterior of them has two modes that say the same about the concentration. It fails where elimination is as
    fast as absorption: the difference $k_a-k_e$ is kept away from zero, at a thousandth of $k_a$.
    Good values: warfarin 1.1, 0.9, 0.017 1/h and 7.9 L (Funaki, Holford and Fujita 2018, PAGJA).
    """

    transit: Scalar
    absorption: Scalar
    elimination: Scalar
    volume: Scalar

    def concentration(self, times: Times, dose: Scalar) -> Times:
        """Concentration at times after one dose at time zero (h), in dose unit per volume unit; zero before it."""
        after = jnp.maximum(times, 0.0)
        gap = self.absorption - self.elimination
        least = 1e-3 * self.absorption
        gap = jnp.where(jnp.abs(gap) < least, least, gap)
        slow = exponential_difference(self.elimination, self.transit, after)
        fast = exponential_difference(self.absorption, self.transit, after)
        return dose * self.transit * self.absorption / self.volume * (slow - fast) / gap
