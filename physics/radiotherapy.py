"""The linear-quadratic model of cell kill by fractionated radiation."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from solvers import Jump
from solvers.shapes import Cells, Index, Scalar


class LinearQuadratic(Jump):
    r"""A fraction of dose $d(x)$ leaves $S = \exp\!\big(-\alpha d(x)\,(1+d(x)/(\alpha/\beta))\big)$ of the cells, at once.

    Args:
        radiosensitivity: $\alpha$, 1/Gy; about 0.02 to 0.15 for glioblastoma.
        alpha_beta_ratio: $\alpha/\beta$, Gy; 10 is the custom for tumour, 8 (5 to 11) was fitted for glioblastoma (Pedicini 2014).
        doses: Prescribed dose of each fraction, Gy.
        dose_map: Dose relative to the prescription per cell, or 1 for a uniform dose.

    Not modelled: incomplete repair between fractions, redistribution, reoxygenation; above about 8 Gy a fraction the quadratic law is
    known to overstate the kill. Source: Fowler 1989, Br. J. Radiol. 62:679.
    """

    radiosensitivity: Scalar
    alpha_beta_ratio: Scalar
    doses: Float[Array, " fractions"]
    dose_map: Float[Array, " cells"] | Scalar

    def apply(self, state: Cells, event: Index) -> Cells:
        """See :class:`solvers.Jump`."""
        return state * surviving_fraction(self.doses[event] * self.dose_map, self.radiosensitivity, self.alpha_beta_ratio)


def surviving_fraction(dose: Array, radiosensitivity: Scalar, alpha_beta_ratio: Scalar) -> Array:
    r"""$\exp(-\alpha d (1 + d/(\alpha/\beta)))$ for one fraction of dose $d$ in Gy."""
    return jnp.exp(-radiosensitivity * dose * (1 + dose / alpha_beta_ratio))


def biologically_effective_dose(doses: Float[Array, " fractions"], alpha_beta_ratio: float | Scalar) -> Scalar:
    r"""$\mathrm{BED} = \sum_i d_i\,(1 + d_i/(\alpha/\beta))$ in Gy; equal BED is equal effect on a tissue with that ratio.

    Good values of $\alpha/\beta$: 10 Gy for tumour, 2 Gy for late effects in the central nervous system (Fowler 1989).
    """
    return jnp.sum(doses * (1 + doses / alpha_beta_ratio))


def doses_of_equal_effect(shares: Float[Array, " fractions"], total: float | Scalar, alpha_beta_ratio: float | Scalar) -> Array:
    r"""Fraction doses whose BEDs are the given shares of a total: $d_i = \tfrac{r}{2}\big(\sqrt{1+4 s_i B/r}-1\big)$, $r=\alpha/\beta$.

    Shares must be non-negative and sum to one; then the doses satisfy the constraint exactly, whatever an optimiser does to them.
    """
    ratio = alpha_beta_ratio
    return ratio / 2 * (jnp.sqrt(1 + 4 * shares * total / ratio) - 1)
