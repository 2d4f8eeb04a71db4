"""Indirect response: a drug that inhibits the production of what is measured."""

from collections.abc import Callable

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from solvers.shapes import Scalar

NODES, WEIGHTS = np.polynomial.legendre.leggauss(32)


class IndirectResponse(eqx.Module):
    r"""$\dot R = k_{out}\Big[R_0\Big(1-\dfrac{I_{max}\,C(t)}{IC_{50}+C(t)}\Big)-R\Big],\quad R(0)=R_0$.

    Args:
        baseline: $R_0$, in the unit of the response.
        turnover: $k_{out}$, 1/h.
        largest: $I_{max}$, the largest fraction of production that can be inhibited.
        half: $IC_{50}$, the concentration of half of that.

    The equation is linear in $R$, so that $R(t) = R_0 - R_0k_{out}\int_0^t e^{-k_{out}(t-s)}\,\frac{I_{max}C(s)}{IC_{50}+C(s)}\,ds$: the
    integral is taken by 32 Gauss-Legendre nodes in $\sqrt{s/t}$, which crowd where absorption is fast. Nothing is stepped in time, and
    every observation is independent of the others.
    Good values: clotting activity under warfarin 96 %, 0.055 1/h, 0.97, 1.0 mg/L (Funaki, Holford and Fujita 2018, PAGJA). Inhibition
    must change slowly against $t/30$: many doses need a mesh, not this integral.
    Source: Dayneka, Garg and Jusko (1993), *J Pharmacokinet Biopharm* 21, 457, model I.
    """

    baseline: Scalar
    turnover: Scalar
    largest: Scalar
    half: Scalar

    def response(self, times: Float[Array, " times"], concentration: Callable[[Array], Array]) -> Float[Array, " times"]:
        """Response at times after the dose; `concentration` takes a vector of times and gives one of concentrations."""
        x = jnp.asarray(0.5 * (NODES + 1), times.dtype)
        share, weight = x**2, jnp.asarray(WEIGHTS, times.dtype) * x  # s = t x^2, ds = 2 t x dx, and half the weights
        nodes = times[:, None] * share[None]
        seen = concentration(nodes.ravel()).reshape(nodes.shape)
        inhibited = self.largest * seen / (self.half + seen)
        kept = jnp.exp(-self.turnover * times[:, None] * (1 - share)[None])
        lost = times * jnp.sum(weight[None] * kept * inhibited, axis=1)
        return self.baseline * (1 - self.turnover * lost)
