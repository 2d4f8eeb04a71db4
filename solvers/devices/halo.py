"""Slabs of a flat field over devices, with copies of their neighbours' planes."""

from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array


@dataclass(frozen=True)
class Slabs:
    """Equal slabs along x of a flat field in C order, one per device.

    Attributes:
        cells: Of the whole field.
        plane: Cells of one plane of constant x.
        devices: How many slabs.
        halo: Planes copied from each neighbour.
        strides: Of the operators whose faces are to be cut: a last axis of ``cells + stride`` is one of faces.
        axis_name: Of the mesh.
    """

    cells: int
    plane: int
    devices: int
    halo: int
    strides: tuple[int, ...] = ()
    axis_name: str = "x"

    @property
    def own(self) -> int:
        """Cells per device; the last slab is filled up with planes without tissue."""
        return -(-self.cells // (self.plane * self.devices)) * self.plane

    @property
    def margin(self) -> int:
        """Cells of the halo on one side."""
        return self.halo * self.plane

    def kind(self, leaf: Any) -> int | None:
        """How many values more than cells the last axis has: 0 for a field, the stride for faces, None for anything else."""
        if not eqx.is_array(leaf) or leaf.ndim == 0:
            return None
        extra = leaf.shape[-1] - self.cells
        return extra if extra == 0 or extra in self.strides else None

    def filled(self, values: Array) -> Array:
        """A field whose last axis is cut evenly, zero where there are no cells."""
        return jnp.pad(values, [(0, 0)] * (values.ndim - 1) + [(0, self.own * self.devices - values.shape[-1])])

    def overlapping(self, values: Array, extra: int) -> Array:
        """Slabs with their halos, stacked along a new first axis: what each device needs of a coefficient that does not change."""
        width = [(0, 0)] * (values.ndim - 1)
        values = values[..., : self.cells]  # behind the last cell a face leads nowhere
        room = self.own * self.devices - self.cells + self.margin + extra
        values = jnp.pad(values, [*width, (self.margin, room)])
        length = self.own + 2 * self.margin + extra
        return jnp.stack([values[..., n * self.own : n * self.own + length] for n in range(self.devices)])

    def with_halo(self, slab: Array) -> Array:
        """Inside ``shard_map``: a device's own cells between copies of its neighbours' planes, zero beyond the first and last device."""
        parts = sorted([*self.halos(slab), (slab, self.margin)], key=lambda part: part[1])
        return jnp.concatenate([part for part, _ in parts], axis=-1)

    def halos(self, slab: Array) -> list[tuple[Array, int]]:
        """Inside ``shard_map``: pieces of the neighbours' planes, and where each begins in a slab with its halo."""
        pieces, hops = [], -(-self.margin // self.own)
        for hop in range(1, hops + 1):  # more than one where a halo is wider than a slab
            width = min(self.own, self.margin - (hop - 1) * self.own)
            ahead = [(n, n + hop) for n in range(self.devices - hop)]
            back = [(n + hop, n) for n in range(self.devices - hop)]
            below = self.margin - (hop - 1) * self.own - width
            above = self.margin + hop * self.own
            pieces.append((lax.ppermute(slab[..., self.own - width :], self.axis_name, ahead), below))
            pieces.append((lax.ppermute(slab[..., :width], self.axis_name, back), above))
        return pieces

    def without_halo(self, slab: Array) -> Array:
        """The device's own cells."""
        return slab[..., self.margin : self.margin + self.own]
