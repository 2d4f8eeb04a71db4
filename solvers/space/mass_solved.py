"""Diffusion with a mass matrix, solved for: an operator that any explicit stepper takes."""

import equinox as eqx
from jax import lax

from solvers.operator import Operator
from solvers.shapes import Cells, Scalar
from solvers.space.mass import BlendedDiffusion, BlendedMass


class MassSolved(Operator):
    r"""$L = M_\theta^{-1}K_\theta$, the rate of $M_\theta u' = K_\theta u$ where a reaction is taken at the nodes.

    Args:
        stiffness: $K_\theta$.
        mass: $M_\theta$ of the same grid and $\theta$.
        tolerance: Relative, of the solve with the mass.

    Conservative and dissipative (similar to a symmetric operator), symmetric itself only where $M$ and $K$ commute: constant
    coefficients on a box.
    Raises ValueError for parts of two grids and a tolerance outside of 0 to 1; a theta is checked by the parts. Costs a dozen
    passes over 27 neighbours per application. Fails: not monotone, see :class:`BlendedMass`.
    """

    stiffness: BlendedDiffusion
    mass: BlendedMass
    tolerance: float = eqx.field(static=True, default=1e-8)

    def __check_init__(self) -> None:
        cells = [face.shape[0] - stride for part in (self.stiffness, self.mass) for stride, face in zip(part.strides, part.faces)]
        if set(cells) - {self.stiffness.cells} or self.stiffness.strides != self.mass.strides:
            raise ValueError("got a stiffness and a mass of two grids; expected one; do: build both from one VoxelGrid")
        if not 0 < self.tolerance < 1:
            raise ValueError(f"got tolerance {self.tolerance}; expected above 0 and below 1; do: use 1e-8")

    def apply(self, field: Cells) -> Cells:
        """See :class:`solvers.operator.Operator`."""
        return lax.optimization_barrier(self.mass.solve(self.stiffness.apply(field), self.tolerance))

    def spectral_bound(self) -> Scalar:
        r"""That of the stiffness over the smallest eigenvalue of the mass, $1-\theta(1-3^{-d})$."""
        return self.stiffness.spectral_bound() / (1 - self.mass.theta * (1 - 3.0**-self.mass.axes))
