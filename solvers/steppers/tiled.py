"""Steppers of cells that need nothing of each other, advanced in tiles that stay in a cache."""

from typing import Any

import equinox as eqx
import jax
from jax import lax
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Float

from solvers.shapes import Flag, Scalar
from solvers.stepper import Stepper
from solvers.steppers.tiled_reverse import Tiles, per_cell, spec_of, step_tangent, tile_width

Stacked = Float[Array, "components cells"]


class Tiled(Stepper):
    r"""The same step, tile after tile of cells on CPU; all cells at once elsewhere.

    A step of a cell with many components makes dozens of intermediate fields. Over a million cells each of them passes through memory;
    over a tile they stay in a cache near the core. The numbers are the same to round-off.

    Args:
        stepper: Each cell for itself: a stencil inside would see the ends of tiles. Its leaves with one entry per cell (last axis) are
            cut like the state.
        tile: Cells per tile at most; 1024 of 19 numbers in float32 are 78 kB.
        mesh: Devices that share the cells evenly, from :func:`solvers.devices.sharding.device_mesh`; None for one device.

    The state is one array with the cells last. Derivatives are those of ``stepper`` on all cells at once, also taken tile after tile:
    reverse mode keeps the state before the step and nothing else, and computes each tile's step again just before it is reversed
    (:mod:`solvers.steppers.tiled_reverse`). Under ``jax.vmap`` derivatives are not cut.

    Raises:
        ValueError: On advancing, a number of cells that the devices do not divide.
    """

    stepper: Stepper
    tile: int = eqx.field(static=True, default=1024)
    mesh: Mesh | None = eqx.field(static=True, default=None)

    def __check_init__(self) -> None:
        if self.tile < 1:
            raise ValueError(f"got tiles of {self.tile} cells; expected at least 1; do: use 1024")

    @property
    def order(self) -> int:
        """The stepper's."""
        return self.stepper.order

    def advance(self, state: Stacked, time: Scalar, length: Scalar) -> Stacked:
        """See :class:`solvers.stepper.Stepper`."""
        devices = 1 if self.mesh is None else self.mesh.size
        if state.shape[-1] % devices:
            raise ValueError(
                f"got {state.shape[-1]} cells on {devices} devices; expected a multiple; do: use one device, "
                "or pad the mask with padded_planes"
            )
        return _advanced(self.stepper, state, time, length, tile=self.tile, mesh=self.mesh)

    def stable(self, length: Scalar) -> Flag:
        """The stepper's."""
        return self.stepper.stable(length)


@eqx.filter_custom_jvp
def _advanced(stepper: Stepper, state: Array, time: Array, length: Array, *, tile: int, mesh: Mesh | None) -> Array:
    """One step on every device's own cells."""
    cells = state.shape[-1]
    arrays, rest = eqx.partition(stepper, eqx.is_array)

    def local(arrays: Stepper, state: Array, time: Array, length: Array) -> Array:
        mine = eqx.combine(arrays, rest)
        return lax.platform_dependent(
            state,
            cpu=lambda state: _in_tiles(mine, state, time, length, tile),
            default=lambda state: mine.advance(state, time, length),
        )

    if mesh is None:
        return local(arrays, state, time, length)
    (axis,) = mesh.axis_names
    specs = jax.tree.map(lambda leaf: spec_of(leaf, cells, axis), arrays)
    run = jax.shard_map(
        local,
        mesh=mesh,
        in_specs=(specs, spec_of(state, cells, axis), PartitionSpec(), PartitionSpec()),
        out_specs=spec_of(state, cells, axis),
        check_vma=False,
    )
    return run(arrays, state, time, length)


@_advanced.def_jvp
def _advanced_jvp(primals: tuple[Any, ...], tangents: tuple[Any, ...], *, tile: int, mesh: Mesh | None) -> tuple[Array, Array]:
    return _advanced(*primals, tile=tile, mesh=mesh), step_tangent(primals, tangents, Tiles(tile, mesh))


def _in_tiles(stepper: Stepper, state: Array, time: Array, length: Array, tile: int) -> Array:
    """In place, tile after tile; what is left over is a shorter tile."""
    cells = state.shape[-1]
    if cells <= tile:
        return stepper.advance(state, time, length)

    tile = tile_width(cells, tile)

    def advanced(state: Array, start: Any, width: int) -> Array:
        part = jax.tree.map(
            lambda leaf: lax.dynamic_slice_in_dim(leaf, start, width, -1) if per_cell(leaf, cells) else leaf, (stepper, state)
        )
        return lax.dynamic_update_slice_in_dim(state, part[0].advance(part[1], time, length), start, -1)

    state = lax.fori_loop(0, cells // tile, lambda number, state: advanced(state, number * tile, tile), state)
    left = cells % tile
    return advanced(state, cells - left, left) if left else state
