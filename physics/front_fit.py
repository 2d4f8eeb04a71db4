"""The fourth differences that give the front of a heart cell its speed on voxels that do not resolve it."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from physics.cell_model import CellModel, Cells, Scalar

# Found together, so that the largest velocity error of ten Tusscher 2006 (epicardial, diffusivities of Niederer 2011) over fibres and waves
# in sheets and volumes is least: linear programs on velocities of cables, `twinsim run cardiac/velocity_fit`.
SPACINGS = (0.0, 0.3, 0.6, 0.9, 1.2, 1.5, 1.8, 2.2, 2.7, 3.3)
TABLE = (
    (1 / 12, 0.121, 0.169, 0.216, 0.279, 0.341, 0.505, 0.583, 0.807, 1.091),
    (0.0, -0.005, 0.032, -0.009, -0.014, 0.048, -0.052, -0.031, -0.04, -0.065),
    (0.0, 0.069, 0.138, 0.092, 0.143, 0.387, 0.662, 0.641, 0.902, 1.191),
    (0.0, 0.009, 0.018, -0.015, 0.054, 0.059, -0.152, -0.17, -0.185, -0.169),
)


class FrontFit(eqx.Module):
    r"""$b = b_0(s) + P\,b_1(s)$, $\rho = P\,(r_0(s) + P\,r_1(s))$ of :class:`solvers.LatticeDiffusion` over $s/\sqrt{t_f}$, linear between.

    Constant beyond the table. What remains, by ``twinsim run cardiac/velocity_table --dt-ms 0.04`` (plane waves into ten Tusscher 2006 at
    rest, 168 orientations of fibres and waves): errors of up to 1.7 % in sheets and 2.0 % in volumes at 0.1 mm, 3.3 and 3.5 % at 0.2 mm,
    4.9 and 5.8 % at 0.3 mm; of waves across fibres, both along axes, 1.2 % at 0.2 mm and 4.6 % at 0.3 mm. Other cells are scaled by one
    time only: Mitchell and Schaeffer's are up to 0.2, 1.6 and 2.7 % fast.

    Args:
        front_time: $t_f$ in ms, the square of the width of the front over $D$; 1 for ten Tusscher 2006.
        table: $b_0, b_1, r_0, r_1$ at ``SPACINGS``.
    """

    front_time: Scalar
    table: Float[Array, "4 spacings"]

    def __call__(self, spacing: Cells, share: Cells) -> tuple[Cells, Cells]:
        r"""$b$ and $\rho$ at the spacings $s$, in the square root of ms, and the largest shares $P$ of a wave."""
        scaled = spacing / jnp.sqrt(self.front_time).astype(spacing.dtype)
        knots = jnp.asarray(SPACINGS, spacing.dtype)
        bend, bend_slope, cross, cross_slope = (jnp.interp(scaled, knots, row) for row in self.table.astype(spacing.dtype))
        return bend + share * bend_slope, share * (cross + share * cross_slope)


def front_fit(cell: CellModel, table: np.ndarray | None = None) -> FrontFit:
    """The fit for a cell model by the time of its front; with a table of one's own, from ``cardiac/velocity_fit``, instead of ours."""
    return FrontFit(jnp.asarray(cell.front_time(), dtype=float), jnp.asarray(TABLE if table is None else table, dtype=float))
