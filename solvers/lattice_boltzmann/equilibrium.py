"""Populations that belong to a density, a velocity and a stress."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from solvers.lattice_boltzmann.collision import Vector
from solvers.lattice_boltzmann.lattice import Lattice, Rows, along


def equilibrium(lattice: Lattice, density: Array, velocity: Vector, compressible: bool = False) -> Rows:
    """Deviations from the weights at equilibrium; see :class:`solvers.lattice_boltzmann.trt.TRT` for ``compressible``."""
    scale = 1 + density if compressible else 1.0
    rest = density - scale * 1.5 * (velocity[0] ** 2 + velocity[1] ** 2 + velocity[2] ** 2)
    rows = [lattice.weights[0] * rest]
    for i in lattice.pairs:
        projected = along(lattice.velocities[i], velocity)
        even, odd = rest + scale * 4.5 * projected**2, 3 * scale * projected
        rows += [lattice.weights[i] * (even + odd), lattice.weights[i] * (even - odd)]
    return tuple(rows)


def stressed(lattice: Lattice, stress: Float[Array, "6 *cells"]) -> Rows:
    """Populations with these second moments (xx, yy, zz, xy, xz, yz) without trace, and neither density nor momentum."""
    rows = [0 * stress[0]]
    for i in lattice.pairs:
        x, y, z = lattice.velocities[i]
        terms = ((x * x, 0), (y * y, 1), (z * z, 2), (2 * x * y, 3), (2 * x * z, 4), (2 * y * z, 5))
        part = 4.5 * lattice.weights[i] * sum((sign * stress[k] for sign, k in terms if sign), jnp.zeros_like(stress[0]))
        rows += [part, part]
    return tuple(rows)
