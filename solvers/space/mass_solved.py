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
    coefficients on a box. Costs a dozen passes over 27 neighbours per application. Fails: not monotone, see :class:`BlendedMass`.
    """

    stiffness: BlendedDiffusion
    mass: BlendedMass
    tolerance: float = eqx.field(static=True, default=1e-8)

    def apply(self, field: Cells) -> Cells:
        """See :class:`solvers.operator.Operator`."""
        return lax.optimization_barrier(self.mass.solve(self.stiffness.apply(field), self.tolerance))

    def spectral_bound(self) -> Scalar:
        r"""That of the stiffness over the smallest eigenvalue of the mass, $1-\theta(1-3^{-d})$."""
        return self.stiffness.spectral_bound() / (1 - self.mass.theta * (1 - 3.0**-self.mass.axes))
