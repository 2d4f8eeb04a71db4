"""One-compartment pharmacokinetics of a drug given as doses, with kill in proportion to concentration."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from solvers.shapes import Scalar


class Chemotherapy(eqx.Module):
    r"""$c(t) = \sum_{t_j\le t} d_j\,e^{-\lambda(t-t_j)}$: every dose enters at once and is eliminated at rate $\lambda$.

    Args:
        times: Dose times $t_j$, day.
        doses: $d_j$, in the unit in which ``sensitivity`` is stated (here mg/m²; the distribution volume is in the sensitivity).
        elimination: $\lambda$, 1/day; 9.242 for temozolomide (half-life 1.8 h).
        sensitivity: $\kappa$ in 1/day per unit of dose. A dose alone kills $1-e^{-\kappa d/\lambda}$ of the cells in the end.

    Absorption is taken as instant: temozolomide peaks after about an hour, short against a day. Resistance is not modelled.
    Source of the form: one compartment, first order: Jen 2000, Pharm. Res. 17:1284.
    """

    times: Float[Array, " doses"]
    doses: Float[Array, " doses"]
    elimination: Scalar
    sensitivity: Scalar

    def concentration(self, time: Scalar) -> Scalar:
        """The drug in the compartment at a time, in the unit of the doses."""
        elapsed = time - self.times
        given = elapsed >= 0
        return jnp.sum(jnp.where(given, self.doses * jnp.exp(-self.elimination * jnp.where(given, elapsed, 0)), 0))

    def log_kill_to_come(self, time: Scalar) -> Scalar:
        r"""$\kappa c(t)/\lambda$: the log-kill of what is in the compartment, were nothing added."""
        return self.sensitivity * self.concentration(time) / self.elimination
