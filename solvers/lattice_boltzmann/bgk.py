"""One relaxation time: the simplest collision, for comparison with others' programs."""

import equinox as eqx
from jaxtyping import Array, Bool

from solvers.lattice_boltzmann.collision import Collision, Hold, Vector, fused
from solvers.lattice_boltzmann.lattice import Lattice, Rows
from solvers.lattice_boltzmann.trt import relax_pairs
from solvers.lattice_boltzmann.viscosity import ViscosityLaw


class BGK(Collision):
    r"""All populations relax at the rate :math:`1/\tau`, :math:`\tau = 3\nu+1/2`.

    Walls move with the viscosity: with half-way walls a channel of n voxels is wrong by :math:`(16(\tau-1/2)^2-3)/(3n^2)` of its peak
    velocity. Use TRT where there are walls.

    Args:
        viscosity: voxel²/step by shear rate; 0.02 to 0.2 voxel²/step.
        compressible: As in :class:`solvers.lattice_boltzmann.trt.TRT`.

    Source: Qian, d'Humières, Lallemand 1992 (Europhys Lett 17:479).
    """

    viscosity: ViscosityLaw
    compressible: bool = eqx.field(static=True, default=False)

    def supports(self, lattice: Lattice) -> bool:
        """See :class:`Collision`."""
        return lattice.name in ("D3Q19", "D3Q27")

    def collide(self, lattice: Lattice, rows: Rows, fluid: Bool[Array, "*cells"], force: Vector | None, hold: Hold = fused) -> Rows:
        """See :class:`Collision`."""
        return relax_pairs(lattice, rows, fluid, force, self.viscosity, None, self.compressible, hold)
