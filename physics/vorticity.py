"""Curl of the velocity on the lattice."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from solvers.lattice_boltzmann import LatticeDomain


def vorticity(domain: LatticeDomain, velocity: Float[Array, "3 cells"]) -> Float[Array, "3 cells"]:
    r"""$\omega=\nabla\times u$ (1/step), flat and padded, zero outside of the fluid.

    Central differences where both neighbours are fluid, to one side beside walls: of second order inside, of first order there. The
    populations carry the symmetric part of the gradient only. Axes that wrap are not read across: their first and last voxel take the
    difference to one side.

    Args:
        domain: Of the flow.
        velocity: As in :class:`solvers.lattice_boltzmann.Moments`.
    """
    fluid = domain.fluid

    def along(field: Array, axis: int) -> Array:
        stride = domain.strides[axis]
        after, before = jnp.roll(field, -stride), jnp.roll(field, stride)
        has_after, has_before = jnp.roll(fluid, -stride) & fluid, jnp.roll(fluid, stride) & fluid
        high, low = jnp.where(has_after, after, field), jnp.where(has_before, before, field)
        return (high - low) / jnp.maximum(has_after.astype(field.dtype) + has_before.astype(field.dtype), 1)

    x, y, z = velocity
    curl = jnp.stack([along(z, 1) - along(y, 2), along(x, 2) - along(z, 0), along(y, 0) - along(x, 1)])
    return jnp.where(fluid[None], curl, 0)
