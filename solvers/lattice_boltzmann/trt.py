"""Two relaxation times: walls stay where they are whatever the viscosity."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool

from solvers.lattice_boltzmann.collision import Collision, Hold, Vector, fused, nonequilibrium_stress, velocity_of
from solvers.lattice_boltzmann.lattice import Lattice, Rows, along
from solvers.lattice_boltzmann.viscosity import ViscosityLaw, relaxation_time

MAGIC = 3 / 16
"""Half-way walls of a straight channel along the grid are exact for this product of the two relaxations."""


class TRT(Collision):
    r"""Even and odd parts of each pair of opposite populations relax at rates of their own.

    :math:`\tau^+ = 3\nu + 1/2`, and :math:`(\tau^+ - 1/2)(\tau^- - 1/2)=\Lambda`. The place of a wall and every steady field, in units of
    the viscosity, depend on :math:`\Lambda` alone.

    Args:
        viscosity: voxel²/step by shear rate; 0.005 to 0.5 voxel²/step. Below, steep fields ring: use Cumulant.
        magic: :math:`\Lambda`; 3/16 for walls, 1/4 for the widest stability, 1/12 for the least error of advection.
        compressible: Whether momentum is density times velocity; False leaves out terms of the square of the Mach number (He, Luo 1997).

    Source: Ginzburg, Verhaeghe, d'Humières 2008 (Commun Comput Phys 3:427); He, Luo 1997 (J Stat Phys 88:927); forcing: Guo, Zheng,
    Shi 2002 (Phys Rev E 65:046308), eq 20, its even and odd part at their own rates.
    """

    viscosity: ViscosityLaw
    magic: float = eqx.field(static=True, default=MAGIC)
    compressible: bool = eqx.field(static=True, default=False)

    def __check_init__(self) -> None:
        if not self.magic > 0:
            raise ValueError(f"got a magic parameter of {self.magic}; expected above 0; do: use 3/16")

    def supports(self, lattice: Lattice) -> bool:
        """See :class:`Collision`."""
        return lattice.name in ("D3Q19", "D3Q27")

    def collide(self, lattice: Lattice, rows: Rows, fluid: Bool[Array, "*cells"], force: Vector | None, hold: Hold = fused) -> Rows:
        """See :class:`Collision`."""
        return relax_pairs(lattice, rows, fluid, force, self.viscosity, self.magic, self.compressible, hold)


def relax_pairs(
    lattice: Lattice,
    rows: Rows,
    fluid: Bool[Array, "*cells"],
    force: Vector | None,
    law: ViscosityLaw,
    magic: float | None,
    compressible: bool,
    hold: Hold = fused,
) -> Rows:
    """The collision of two relaxation times; of one where ``magic`` is None."""
    rows = tuple(jnp.where(fluid, row, 0) for row in rows)  # so that what lies in walls never divides or overflows
    density, velocity = velocity_of(lattice, rows, force, compressible)
    stress = ()
    if law.local:
        stress = nonequilibrium_stress(lattice, rows, density, velocity, force, compressible)
    even_time = relaxation_time(law, stress)
    even = 1 / even_time
    odd = even if magic is None else 1 / (0.5 + magic / (even_time - 0.5))
    scale = 1 + density if compressible else jnp.ones((), density.dtype)
    square = 1.5 * (velocity[0] ** 2 + velocity[1] ** 2 + velocity[2] ** 2)
    rest = density - scale * square
    rest, scale, velocity, even, odd = hold((rest, scale, velocity, even, odd))
    push = None if force is None else 3 * (velocity[0] * force[0] + velocity[1] * force[1] + velocity[2] * force[2])

    def gained(row: Array, weight: float) -> Array:
        return row if push is None else row - (1 - even / 2) * weight * push

    after = [gained(rows[0] - even * (rows[0] - lattice.weights[0] * rest), lattice.weights[0])]
    for i in lattice.pairs:
        step, weight = lattice.velocities[i], lattice.weights[i]
        projected = along(step, velocity)
        sum_half, difference_half = (rows[i] + rows[i + 1]) / 2, (rows[i] - rows[i + 1]) / 2
        change_even = even * (sum_half - weight * (rest + scale * 4.5 * projected**2))
        change_odd = odd * (difference_half - weight * 3 * scale * projected)
        if force is not None and push is not None:
            pushed = along(step, force)
            change_even = change_even - (1 - even / 2) * weight * (9 * projected * pushed - push)
            change_odd = change_odd - (1 - odd / 2) * weight * 3 * pushed
        after += [rows[i] - change_even - change_odd, rows[i + 1] - change_even + change_odd]
    return tuple(after)
