"""The fourth differences that give the front of a heart cell its speed on voxels that do not resolve it."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from physics.cell_model import CellModel, Scalar

# Found together so that the largest velocity error of ten Tusscher 2006 (epicardial) over many orientations of fibres and waves is least.
SPACINGS = (0.0, 0.3, 0.6, 0.9, 1.2, 1.5, 1.8, 2.2, 2.7, 3.3)
BENDS = (1 / 12, 0.129, 0.175, 0.239, 0.301, 0.42, 0.483, 0.566, 0.781, 0.895)
CROSSES = (0.0, 0.0, 0.0, 0.185, 0.384, 0.582, 0.559, 0.512, 0.696, 0.9)


class FrontFit(eqx.Module):
    r"""$b(s)$ and $\rho = P\,r(s)$ of :class:`solvers.LatticeDiffusion`: tables over $s/\sqrt{t_f}$, linear between, constant beyond.

    Args:
        front_time: $t_f$ in ms, the square of the width of the front over $D$; 1 for ten Tusscher 2006.
    """

    front_time: Scalar

    def __call__(self, spacing: Float[Array, " cells"], share: Float[Array, " cells"]) -> tuple[Float[Array, " cells"], ...]:
        r"""$b$ and $\rho$ at the spacings $s$, in the square root of ms, and the largest shares $P$ of a wave."""
        scaled = spacing / jnp.sqrt(self.front_time).astype(spacing.dtype)
        bend, cross = (jnp.interp(scaled, *[jnp.asarray(each, spacing.dtype) for each in (SPACINGS, row)]) for row in (BENDS, CROSSES))
        return bend, share * cross


def front_fit(cell: CellModel) -> FrontFit:
    """The fit for a cell model, by the time of its front."""
    return FrontFit(jnp.asarray(cell.front_time(), dtype=float))
