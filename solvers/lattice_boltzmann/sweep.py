"""Streaming and collision of all voxels in one pass over one array."""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from solvers.lattice_boltzmann.collision import Collision, Vector
from solvers.lattice_boltzmann.domain import LatticeDomain
from solvers.lattice_boltzmann.lattice import Rows

TILE_BYTES = 2**17
"""Of all populations of a tile: half of a small second-level cache."""

Populations = Float[Array, "populations cells"]


def wrapped(domain: LatticeDomain, populations: Populations) -> Populations:
    """The padding of periodic axes filled from the other side, where the fluid pulls from it.

    By index: slices of single layers are no faster, and XLA copies the whole array for each of them.
    """
    if not domain.wraps.size:
        return populations
    flat = populations.reshape(-1)
    return flat.at[domain.wraps[1]].set(flat[domain.wraps[0]], unique_indices=True).reshape(populations.shape)


def streamed(domain: LatticeDomain, populations: Populations) -> Rows:
    """Every population one voxel on: shifted copies of flat rows. What wraps lies in the padding."""
    return tuple(jnp.roll(populations[i], offset) for i, offset in enumerate(domain.offsets))


def swept(domain: LatticeDomain, collision: Collision, populations: Populations, force: Vector | None) -> Populations:
    """Streams, then collides; the populations of links must be in their slots."""
    return jnp.stack(collision.collide(domain.lattice, streamed(domain, populations), domain.fluid, force))


def swept_in_tiles(
    domain: LatticeDomain, collision: Collision, populations: Populations, force: Vector | None, into: Populations
) -> Populations:
    """As :func:`swept`, a tile of consecutive voxels at a time, into an array that is there; its padding stays as it is.

    What one tile pulls lies in a cache until it is collided; each population is read and written once.
    """
    reach = max(domain.offsets)
    cells = domain.size - 2 * reach
    tile = min(cells, max(64, TILE_BYTES // (domain.lattice.size * populations.dtype.itemsize) // 64 * 64))

    def one(number: Array, into: Populations) -> Populations:
        start = jnp.minimum(reach + number * tile, domain.size - reach - tile)  # the last tile overlaps the one before
        rows = [lax.dynamic_slice(populations, (i, start - offset), (1, tile))[0] for i, offset in enumerate(domain.offsets)]
        fluid = lax.dynamic_slice(domain.fluid, (start,), (tile,))
        rows = lax.optimization_barrier(tuple(rows))  # else every sum over populations reads them again from far away
        for i, row in enumerate(collision.collide(domain.lattice, rows, fluid, force, lax.optimization_barrier)):
            into = lax.dynamic_update_slice(into, row[None], (i, start))
        return into

    return lax.fori_loop(0, -(-cells // tile), one, into)
