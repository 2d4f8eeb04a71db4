"""What every collision is: populations before, populations after, voxel by voxel."""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import equinox as eqx
from jaxtyping import Array, Bool

from solvers.lattice_boltzmann.lattice import Lattice, Rows, momentum, second_moments, total
from solvers.lattice_boltzmann.viscosity import ViscosityLaw

Vector = tuple[Array, Array, Array]
Hold = Callable[[Any], Any]
"""Called with what several populations need: the sweep over tiles has it computed and kept once, else all of it is fused."""


def fused(values: Any) -> Any:
    """The values as they are: what an accelerator likes, and what is differentiated."""
    return values


class Collision(eqx.Module):
    """Relaxes populations towards equilibrium; populations are deviations from the weights, so that rest at density one is zero.

    Deviations keep single precision useful: a velocity of 1e-3 changes a population of 0.03 by 1e-4 only (Skordos 1993).

    Attributes:
        viscosity: By shear rate.
        compressible: Whether momentum is density times velocity, or velocity alone as in He and Luo 1997.
    """

    viscosity: eqx.AbstractVar[ViscosityLaw]
    compressible: eqx.AbstractVar[bool]

    @abstractmethod
    def supports(self, lattice: Lattice) -> bool:
        """Whether it is made for a lattice."""

    @abstractmethod
    def collide(self, lattice: Lattice, rows: Rows, fluid: Bool[Array, "*cells"], force: Vector | None, hold: Hold = fused) -> Rows:
        """Populations after collision with a body force per volume (voxel/step² at density one); zero where there is no fluid."""


def velocity_of(lattice: Lattice, rows: Rows, force: Vector | None, compressible: bool) -> tuple[Array, Vector]:
    """Deviation of the density and velocity; half of the force's push belongs to the velocity (Guo 2002, eq 12)."""
    density, pushed = total(rows), momentum(lattice, rows)
    if force is not None:
        x, y, z = (j + f / 2 for j, f in zip(pushed, force))
        pushed = x, y, z
    if compressible:
        x, y, z = (j / (1 + density) for j in pushed)
        pushed = x, y, z
    return density, pushed


def nonequilibrium_stress(
    lattice: Lattice, rows: Rows, density: Array, velocity: Vector, force: Vector | None, compressible: bool
) -> tuple[Array, ...]:
    r"""Second moments less those at equilibrium, with the force's share: :math:`-2\rho c_s^2\tau S` before collision, S the strain rate."""
    moments = second_moments(lattice, rows)
    scale = 1 + density if compressible else 1.0
    found = []
    for moment, (a, b) in zip(moments, ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))):
        part = moment - scale * velocity[a] * velocity[b]
        if a == b:
            part = part - lattice.sound_squared * density
        if force is not None:
            part = part + (force[a] * velocity[b] + force[b] * velocity[a]) / 2
        found.append(part)
    return tuple(found)
