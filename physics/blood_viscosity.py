"""Blood as a shear-thinning liquid: the viscosity of Carreau and Yasuda, on the lattice."""

import jax.numpy as jnp
from jaxtyping import Array

from physics.lattice_units import LatticeUnits
from physics.parameters import Parameter, ParameterSet
from solvers.lattice_boltzmann import ViscosityLaw
from solvers.shapes import Scalar

_CHO_KENSEY = "Cho, Kensey 1991 (Biorheology 28:241), as it is commonly cited; not read in print"

CHO_KENSEY_1991 = ParameterSet(
    "ChoKensey1991",
    viscosity_at_rest=Parameter(0.056, "Pa s", (1e-3, 1.0), f"{_CHO_KENSEY}, Carreau-Yasuda"),
    viscosity_limit=Parameter(0.00345, "Pa s", (5e-4, 0.1), f"{_CHO_KENSEY}, Carreau-Yasuda"),
    time=Parameter(1.902, "s", (1e-3, 1e3), f"{_CHO_KENSEY}, Carreau-Yasuda"),
    bend=Parameter(1.25, "1", (0.1, 10.0), f"{_CHO_KENSEY}, Carreau-Yasuda"),
    power=Parameter(0.22, "1", (0.01, 1.0), f"{_CHO_KENSEY}, Carreau-Yasuda"),
)
SMALLEST_RATE = 1e-12
"""Added in squares to a rate (1/step), so that powers have a derivative in a fluid at rest."""


class CarreauYasuda(ViscosityLaw):
    r"""$\nu(\dot\gamma)=\nu_\infty+(\nu_0-\nu_\infty)\,(1+(\lambda\dot\gamma)^a)^{(n-1)/a}$.

    Args:
        rest: $\nu_0$, kinematic viscosity of the fluid at rest; lattice units, voxel²/step.
        limit: $\nu_\infty$ at high shear rate.
        time: $\lambda$ in steps.
        bend: $a$; 2 is Carreau's law.
        power: $n$; below one the fluid thins.

    The relaxation time then varies from voxel to voxel; where it leaves its range :meth:`physics.lattice_units.LatticeUnits.examine` of the
    viscosities at rest and at the limit says so. Blood at rest has 16 times its viscosity at high shear rate, which binds the step.

    Source: Yasuda, Armstrong, Cohen 1981 (Rheol Acta 20:163), eq 1; values for blood are in ``CHO_KENSEY_1991``.
    """

    rest: Scalar
    limit: Scalar
    time: Scalar
    bend: Scalar
    power: Scalar

    def at(self, shear_rate: Array) -> Array:
        """See :class:`solvers.lattice_boltzmann.ViscosityLaw`."""
        rate = jnp.sqrt(shear_rate**2 + SMALLEST_RATE**2)
        thinned = (1 + (self.time.astype(rate.dtype) * rate) ** self.bend.astype(rate.dtype)) ** ((self.power - 1) / self.bend).astype(
            rate.dtype
        )
        return self.limit.astype(rate.dtype) + (self.rest - self.limit).astype(rate.dtype) * thinned

    @property
    def local(self) -> bool:
        """See :class:`solvers.lattice_boltzmann.ViscosityLaw`."""
        return True


def blood_viscosity(units: LatticeUnits, values: ParameterSet = CHO_KENSEY_1991) -> CarreauYasuda:
    """The law on a lattice, from Pa s and s."""
    kinematic = units.density * units.kinematic_viscosity
    return CarreauYasuda(
        values["viscosity_at_rest"].value / kinematic,
        values["viscosity_limit"].value / kinematic,
        values["time"].value / units.step,
        jnp.asarray(values["bend"].value, units.step.dtype),
        jnp.asarray(values["power"].value, units.step.dtype),
    )
