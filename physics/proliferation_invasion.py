"""The proliferation-invasion model of glioma with radiotherapy and chemotherapy."""

import equinox as eqx
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from physics.chemotherapy import Chemotherapy
from physics.closure import Variable
from physics.equation import Equation
from physics.logistic_log_kill import LogisticLogKill
from physics.radiotherapy import LinearQuadratic
from physics.state_layout import StateLayout
from solvers import Diffusion, ExactFlow, RungeKuttaChebyshev2, Stepper, Strang, VoxelGrid
from solvers.shapes import Cells, Scalar, Volume


class ProliferationInvasion(Equation):
    r"""$\partial_t u = \nabla\cdot(D(x)\nabla u) + \rho\,u(1-u) - \kappa\,c(t)\,u$, and $u\leftarrow S(x)\,u$ at every fraction.

    $u$ is the tumour-cell density as a fraction of the carrying capacity. $D = D_w\,(p_w + p_g/r)$ with white and grey fractions $p$;
    nothing crosses into cerebrospinal fluid or out of the brain. In uniform tissue the front moves at $2\sqrt{D\rho}$ and is
    $\sqrt{D/\rho}$ wide.

    Args:
        diffusion: $\nabla\cdot D\nabla$ with the pattern of tissue inside and $D_w$ as its scale (mm²/day); :func:`tissue_diffusion`.
        proliferation: $\rho$, 1/day.
        chemotherapy: Doses, kinetics and sensitivity, or None.
        radiotherapy: Fractions and sensitivity, or None; passed to ``simulate`` as its jump.
        stages: Applications of the diffusion operator per step; ``solvers.stages_for`` gives the fewest for the largest $D_w$ to be tried.

    Good values: $D_w$ 0.02 to 1 mm²/day, $\rho$ 0.005 to 0.1 /day, voxels no wider than $\sqrt{D/\rho}$ (1 to 3 mm), steps of a day.
    Fails: mass effect, necrosis, oedema without cells, resistance and treatment delay are not in it. Source: Swanson 2000, Cell Prolif.
    33:317; with radiotherapy Rockne 2010, Phys. Med. Biol. 55:3271.
    """

    diffusion: Diffusion
    proliferation: Scalar
    chemotherapy: Chemotherapy | None = None
    radiotherapy: LinearQuadratic | None = None
    stages: int = eqx.field(static=True, default=2)

    def stepper(self) -> Stepper:
        """Strang splitting: exact reaction with drug, stabilised explicit diffusion."""
        reaction = ExactFlow(LogisticLogKill(self.proliferation, self.chemotherapy))
        return Strang(reaction, RungeKuttaChebyshev2(self.diffusion, self.stages))

    def state_layout(self) -> StateLayout:
        """See :class:`physics.Equation`."""
        return StateLayout((Variable("density", "1"),), "day", stacked=False, box=self.diffusion.shape)


def tissue_diffusion(
    grid: VoxelGrid,
    white: Volume,
    grey: Volume,
    diffusivity_white: ArrayLike = 1.0,
    white_to_grey_ratio: float = 5.0,
    interior_order: int = 4,
) -> Diffusion:
    r"""$\nabla\cdot D\nabla$ with $D = D_w\,(p_w + p_g/r)$ from tissue fractions; the size $D_w$ stays apart as the operator's scale.

    Args:
        grid: Voxels that can carry tumour.
        white: Fraction of white matter per voxel.
        grey: Fraction of grey matter per voxel.
        diffusivity_white: $D_w$, mm²/day.
        white_to_grey_ratio: $r$; five in Swanson 2000, ten in several later models.
        interior_order: See :class:`solvers.Diffusion`. Order 4 keeps the speed of a front right on voxels as wide as the front:
            with $h=\sqrt{D/\rho}$ it is 1 % off instead of 4 %.
    """
    pattern = jnp.asarray(white) + jnp.asarray(grey) / white_to_grey_ratio
    return Diffusion(grid, pattern, diffusivity_white, interior_order)


def gaussian_seed(grid: VoxelGrid, centre: Float[Array, " 3"], cells: Scalar, width: float = 4.0) -> Cells:
    r"""A young tumour: $u \propto e^{-|x-c|^2/2\sigma^2}$ on the active voxels, scaled so that $\int u\,dV$ is ``cells``.

    Args:
        grid: The voxels.
        centre: Position in mm from the centre of the first voxel; differentiable.
        cells: Burden $\int u\,dV$ in mm³ (volume at carrying capacity). Keep it under $(2\pi)^{3/2}\sigma^3$, or the density exceeds one.
        width: $\sigma$ in mm; at least one voxel, so that the position is felt smoothly.
    """
    x, y, z = (jnp.exp(-0.5 * ((axis - centre[i]) / width) ** 2) for i, axis in enumerate(grid.centres()))
    shape = grid.cells(x[:, None, None] * y[None, :, None] * z[None, None, :])
    return shape * (cells / (jnp.sum(shape) * grid.voxel_volume))
