"""Velocities at an opening that bring a flow exactly, and a flow that changes evenly over a march."""

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from solvers.lattice_boltzmann.domain import LatticeDomain
from solvers.lattice_boltzmann.waveform import Waveform
from solvers.shapes import Scalar

Profile = Callable[[np.ndarray], np.ndarray]


class Ramp(Waveform):
    """From one value to another, linear in time.

    Attributes:
        first: At ``begin``.
        last: ``length`` steps later.
        begin: In steps.
        length: In steps.
    """

    first: Scalar
    last: Scalar
    begin: Scalar
    length: Scalar

    def at(self, time: Scalar) -> Scalar:
        """See :class:`Waveform`."""
        return self.first + (self.last - self.first) * (time - self.begin) / self.length


def unit_inflow(domain: LatticeDomain, patch: int, profile: Profile) -> Float[Array, "links 3"]:
    """Velocities of the links of an opening that together bring one voxel³ per step into the domain.

    Args:
        domain: Voxels and links.
        patch: Number of the opening.
        profile: Velocity ``(points, 3)`` at places ``(points, 3)`` in voxels of the box without padding; its scale does not matter.

    Raises:
        ValueError: The profile brings nothing in.
    """
    lattice, links = domain.lattice, domain.links_of(patch)
    cell = np.stack(np.unravel_index(np.asarray(domain.cell[links]), domain.shape), axis=1) - 1
    direction = np.asarray(domain.direction[links])
    step, weight = lattice.steps[direction], np.asarray(lattice.weights)[direction]
    velocity = profile(cell + step / 2)
    brought = -(2 / lattice.sound_squared * weight * (step * velocity).sum(axis=1)).sum()
    if not brought > 0:
        raise ValueError(f"got a profile that brings {brought:g} into opening {patch}; expected more than 0; do: point it into the domain")
    return jnp.asarray(velocity / brought)
