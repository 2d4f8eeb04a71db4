"""Kinematic viscosity of each voxel, in lattice units, constant or by the local shear rate."""

from abc import abstractmethod

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from solvers.shapes import Scalar

NEWTON_STEPS = 4
SOUND_SQUARED = 1 / 3
TINY = 1e-30


class ViscosityLaw(eqx.Module):
    """Kinematic viscosity (voxel²/step) by shear rate (1/step); the product of both must grow with the shear rate."""

    @abstractmethod
    def at(self, shear_rate: Array) -> Array:
        """Viscosity of each voxel, or one for all."""

    @property
    @abstractmethod
    def local(self) -> bool:
        """False where the shear rate does not matter, so that nobody needs to find it."""


class ConstantViscosity(ViscosityLaw):
    """One viscosity for all shear rates: a scalar, or one per cell of the domain where nothing is cut in tiles.

    Args:
        viscosity: voxel²/step; 0.005 to 0.2 with TRT. Above zero.
    """

    viscosity: Scalar

    def at(self, shear_rate: Array) -> Array:
        """See :class:`ViscosityLaw`."""
        del shear_rate
        return self.viscosity

    @property
    def local(self) -> bool:
        """See :class:`ViscosityLaw`."""
        return False


def relaxation_time(law: ViscosityLaw, stress: tuple[Array, ...]) -> Array:
    r"""Relaxation time :math:`\tau = 3\nu(\dot\gamma) + 1/2` of each voxel from its non-equilibrium second moments.

    :math:`\dot\gamma\,\tau(\dot\gamma) = \tfrac32\sqrt{2\Pi:\Pi}` has one solution per voxel, found by Newton steps in a fixed number from
    the solution at the viscosity of a fluid at rest; they converge from one side where the law thins.

    Args:
        law: Viscosity by shear rate.
        stress: Non-equilibrium second moments xx, yy, zz, xy, xz, yz before collision, at a density of one.

    Source: Krüger, Varnik, Raabe 2009 (Phys Rev E 79:046704), eq 9, for the shear rate from the moments.
    """
    if not law.local:
        return law.at(jnp.zeros(())) / SOUND_SQUARED + 0.5
    target = shear_times_relaxation(stress)
    rate = target / (law.at(jnp.zeros_like(target)) / SOUND_SQUARED + 0.5)
    for _ in range(NEWTON_STEPS):
        time, slope = jax.jvp(lambda r: law.at(r) / SOUND_SQUARED + 0.5, (rate,), (jnp.ones_like(rate),))
        rate = rate - (rate * time - target) / (time + rate * slope)
    return law.at(rate) / SOUND_SQUARED + 0.5


def shear_times_relaxation(stress: tuple[Array, ...]) -> Float[Array, "*shape"]:
    """Shear rate times relaxation time, from non-equilibrium second moments at a density of one."""
    xx, yy, zz, xy, xz, yz = stress
    square = xx**2 + yy**2 + zz**2 + 2 * (xy**2 + xz**2 + yz**2)
    return 0.5 / SOUND_SQUARED * jnp.sqrt(2 * square + TINY)
