"""Central moments of a Gaussian: the cumulant collision with all higher orders at rest, stable at low viscosity."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool

from solvers.lattice_boltzmann.collision import Collision, Hold, Vector, fused, nonequilibrium_stress, velocity_of
from solvers.lattice_boltzmann.lattice import Lattice, Rows
from solvers.lattice_boltzmann.viscosity import ViscosityLaw, relaxation_time

Order = tuple[int, int, int]


class Cumulant(Collision):
    r"""Second cumulants relax with the viscosity, all above are set to zero; D3Q27.

    The populations after collision are those of a Gaussian with mean velocity and covariance
    :math:`\Sigma=(1-\omega)\Sigma_{dev}+\rho c_s^2`, whose moments of all orders up to (2, 2, 2) follow from Isserlis' theorem; they are
    turned back into populations axis by axis. Nothing depends on the frame of reference up to the lattice's own error of third order.

    Args:
        viscosity: 1e-5 to 0.1 voxel²/step.
        bulk_rate: Relaxation of the trace, 1 damps sound most; up to 2.

    Walls move with the viscosity, as with one relaxation time; where their place matters and the viscosity allows it, TRT is better.
    The correction of the trace by Geier 2015, eq 61, which needs derivatives of the velocity, is left out.

    Source: Geier, Schönherr, Pasquali, Krafczyk 2015 (Comput Math Appl 70:507), eqs 21-30 and 81-91 with the rates of order three and
    above at one; the factorised moments are those of De Rosis 2017 (Phys Rev E 95:013310) plus the products of shear.
    """

    viscosity: ViscosityLaw
    bulk_rate: float = eqx.field(static=True, default=1.0)
    compressible: bool = eqx.field(static=True, default=True, init=False)

    def supports(self, lattice: Lattice) -> bool:
        """See :class:`Collision`."""
        return lattice.name == "D3Q27"

    def collide(self, lattice: Lattice, rows: Rows, fluid: Bool[Array, "*cells"], force: Vector | None, hold: Hold = fused) -> Rows:
        """See :class:`Collision`."""
        rows = tuple(jnp.where(fluid, row, 0) for row in rows)
        density, velocity = velocity_of(lattice, rows, force, True)
        stress = nonequilibrium_stress(lattice, rows, density, velocity, force, True)
        rate = 1 / relaxation_time(self.viscosity, tuple(part / (1 + density) for part in stress))
        trace = (stress[0] + stress[1] + stress[2]) / 3
        spread = [(1 - rate) * (stress[a] - trace) + (1 - self.bulk_rate) * trace + lattice.sound_squared * (1 + density) for a in range(3)]
        shear = [(1 - rate) * part for part in stress[3:]]
        if force is None:
            mean = velocity
        else:
            # Half of the push is in the velocity already; collision gives the other half (exact difference in the moving frame).
            x, y, z = (u + f / (2 * (1 + density)) for u, f in zip(velocity, force))
            mean = x, y, z
        mass, spread, shear, mean = hold((1 + density, spread, shear, mean))
        after = _populations(lattice, _gaussian_moments(mass, spread, shear), mean, hold)
        return tuple(jnp.where(fluid, row - weight, 0) for row, weight in zip(after, lattice.weights))


def _gaussian_moments(mass: Array, spread: list[Array], shear: list[Array]) -> dict[Order, Array]:
    """Central moments up to (2, 2, 2) of a Gaussian with this mass and second moments; the odd ones are zero and left out."""
    xx, yy, zz = spread
    xy, xz, yz = shear
    each = 1 / mass
    return {
        (0, 0, 0): mass, (2, 0, 0): xx, (0, 2, 0): yy, (0, 0, 2): zz, (1, 1, 0): xy, (1, 0, 1): xz, (0, 1, 1): yz,
        (2, 2, 0): (xx * yy + 2 * xy * xy) * each, (2, 0, 2): (xx * zz + 2 * xz * xz) * each, (0, 2, 2): (yy * zz + 2 * yz * yz) * each,
        (2, 1, 1): (xx * yz + 2 * xy * xz) * each, (1, 2, 1): (yy * xz + 2 * xy * yz) * each, (1, 1, 2): (zz * xy + 2 * xz * yz) * each,
        (2, 2, 2): (xx * yy * zz + 2 * (xx * yz * yz + yy * xz * xz + zz * xy * xy) + 8 * xy * xz * yz) * each * each,
    }  # fmt: skip


def _populations(lattice: Lattice, moments: dict[Order, Array], mean: Vector, hold: Hold) -> Rows:
    """Axis by axis from central moments (0, 1, 2) to populations of the velocities (-1, 0, 1)."""
    parts: dict[tuple[int, ...], Array] = {**moments}
    for axis in (2, 1, 0):
        u, found = mean[axis], {}
        others = {tuple(v for a, v in enumerate(key) if a != axis) for key in parts}
        for other in others:
            zero, one, two = (parts.get((*other[:axis], n, *other[axis:])) for n in range(3))
            for step in (-1, 0, 1):
                terms = _back(step, u, zero, one, two)
                if terms is not None:
                    found[(*other[:axis], step, *other[axis:])] = terms
        parts = hold(found)
    return tuple(parts[step] for step in lattice.velocities)


def _back(step: int, u: Array, zero: Array | None, one: Array | None, two: Array | None) -> Array | None:
    """The population of one step along an axis, from its central moments: raw moments m1 = k1 + u k0, m2 = k2 + 2u k1 + u² k0."""
    if step == 0:
        terms = [] if zero is None else [(1 - u * u) * zero]
        terms += [] if one is None else [-2 * u * one]
        terms += [] if two is None else [-two]
    else:
        terms = [] if zero is None else [(u * u + step * u) / 2 * zero]
        terms += [] if one is None else [(u + step / 2) * one]
        terms += [] if two is None else [two / 2]
    return None if not terms else sum(terms[1:], start=terms[0])
