"""The fourth differences that give the front of a heart cell its speed on voxels that do not resolve it."""

import equinox as eqx
import jax.numpy as jnp

from physics.cell_model import CellModel, Cells, Scalar

# Found together, so that the largest velocity error of ten Tusscher 2006 (epicardial, diffusivities of Niederer 2011) over some 1150 pairs
# of fibres and waves in sheets and volumes is least: linear programs on velocities of cables. See docs/theory/monodomain.md.
SPACINGS = (0.0, 0.3, 0.6, 0.9, 1.2, 1.5, 1.8, 2.2, 2.7, 3.3)
BENDS = (1 / 12, 0.11, 0.136, 0.196, 0.298, 0.401, 0.493, 0.612, 0.767, 0.95)
CROSSES = (0.0, 0.008, 0.015, 0.064, 0.296, 0.527, 0.597, 0.691, 0.789, 0.908)
CROSS_SLOPES = (0.0, -0.008, -0.015, -0.023, -0.029, -0.036, -0.071, -0.181, -0.139, -0.089)


class FrontFit(eqx.Module):
    r"""$b(s)$ and $\rho = P\,(r_0(s) + P\,r_1(s))$ of :class:`solvers.LatticeDiffusion`: over $s/\sqrt{t_f}$, linear between.

    Constant beyond the table. What remains, by ``twinsim run cardiac/velocity_table`` (plane waves into ten Tusscher 2006 at rest): errors
    of up to 1.8 % at 0.1 mm; 2.8 % in sheets and 3.9 % in volumes at 0.2 mm; 4.9 and 5.7 % at 0.3 mm on the directions fitted. Waves across
    fibres that lie along an axis are 2.75 % fast at 0.2 mm. Other cells are scaled by one time only.

    Args:
        front_time: $t_f$ in ms, the square of the width of the front over $D$; 1 for ten Tusscher 2006.
    """

    front_time: Scalar

    def __call__(self, spacing: Cells, share: Cells) -> tuple[Cells, Cells]:
        r"""$b$ and $\rho$ at the spacings $s$, in the square root of ms, and the largest shares $P$ of a wave."""
        scaled = spacing / jnp.sqrt(self.front_time).astype(spacing.dtype)
        rows = [jnp.asarray(row, spacing.dtype) for row in (SPACINGS, BENDS, CROSSES, CROSS_SLOPES)]
        bend, cross, slope = (jnp.interp(scaled, rows[0], row) for row in rows[1:])
        return bend, share * (cross + share * slope)


def front_fit(cell: CellModel) -> FrontFit:
    """The fit for a cell model, by the time of its front."""
    return FrontFit(jnp.asarray(cell.front_time(), dtype=float))
