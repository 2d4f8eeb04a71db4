"""The fourth difference that gives the front of a heart cell its speed on voxels that do not resolve it."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from physics.cell_model import CellModel, Scalar

# The b at which a cable of ten Tusscher 2006 (epicardial) with spacing s has no velocity error, from cables of 52 front widths.
SPACINGS = (0.0, 0.3, 0.6, 0.9, 1.2, 1.5, 1.8, 2.2, 2.7)
BENDS = (1 / 12, 0.11, 0.163, 0.22, 0.29, 0.375, 0.45, 0.58, 0.69)
# A direction of the lattice also serves waves oblique to it, which it then speeds up; a little less serves all of them best.
SHARE = 0.94


class FrontFit(eqx.Module):
    r"""$b(s)$ of :class:`solvers.LatticeDiffusion`: a table over $s/\sqrt{t_f}$, linear in between, constant beyond.

    Args:
        front_time: $t_f$ in ms, the square of the width of the front over $D$; 1 for ten Tusscher 2006.
    """

    front_time: Scalar

    def __call__(self, spacing: Float[Array, " cells"]) -> Float[Array, " cells"]:
        """$b$ at the spacings $s$, in the square root of ms."""
        table = [jnp.asarray(values, spacing.dtype) for values in (SPACINGS, [1 / 12 + SHARE * (bend - 1 / 12) for bend in BENDS])]
        return jnp.interp(spacing / jnp.sqrt(self.front_time).astype(spacing.dtype), *table)


def front_fit(cell: CellModel) -> FrontFit:
    """The fit for a cell model, by the time of its front."""
    return FrontFit(jnp.asarray(cell.front_time(), dtype=float))
