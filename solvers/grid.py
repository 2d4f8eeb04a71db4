"""The voxel grid: the only thing that knows about geometry and about which voxels are tissue."""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array

from solvers.shapes import Cells, Mask


class VoxelGrid(eqx.Module):
    """A box of voxels with a spacing per axis and a mask of active voxels; nothing crosses the mask's boundary.

    Args:
        mask: Active voxels, boolean ``(x, y, z)``; any shape, slits and separate pieces included.
        spacing: Edge lengths of a voxel, one number or one per axis, in the caller's unit of length.

    Raises:
        ValueError: The mask is not three-dimensional or has no active voxel, or a spacing is not positive and finite.

    A field on the grid is either a volume ``(x, y, z)`` or a flat vector of cells (the box in C order, zero where inactive);
    :meth:`cells` and :meth:`volume` go from one to the other. Leading batch axes are allowed on cells.
    """

    mask: Mask
    spacing: tuple[float, float, float] = eqx.field(static=True)

    def __init__(self, mask: ArrayLike, spacing: ArrayLike | tuple[ArrayLike, ArrayLike, ArrayLike]) -> None:
        given = np.asarray(mask)
        if given.dtype != bool and not np.isin(given, (0, 1)).all():
            raise ValueError("got a mask with other values than 0 and 1; expected booleans; do: threshold the image, e.g. image > 0.5")
        mask = given.astype(bool)
        if mask.ndim != 3:
            raise ValueError(f"got a mask with {mask.ndim} axes; expected 3 (x, y, z); do: add axes of length 1")
        if not mask.any():
            raise ValueError("got a mask without an active voxel; expected at least one; do: check the mask's threshold")
        given = np.asarray(spacing, dtype=float)
        lengths = [float(given)] * 3 if given.ndim == 0 else given.tolist()
        if len(lengths) != 3 or not all(np.isfinite(h) and h > 0 for h in lengths):
            raise ValueError(f"got spacing {spacing}; expected one or three positive lengths; do: check the image header")
        self.mask = jnp.asarray(mask)
        self.spacing = (float(lengths[0]), float(lengths[1]), float(lengths[2]))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of voxels along each axis."""
        x, y, z = self.mask.shape
        return x, y, z

    @property
    def size(self) -> int:
        """Number of cells of the box, active or not."""
        return int(np.prod(self.shape))

    @property
    def strides(self) -> tuple[int, int, int]:
        """Distance in the flat field between neighbours along x, y and z."""
        return self.shape[1] * self.shape[2], self.shape[2], 1

    @property
    def voxel_volume(self) -> float:
        """Volume of one voxel, in the cubed unit of the spacing."""
        return float(np.prod(self.spacing))

    def cells(self, volume: Array) -> Cells:
        """Flattens a volume to cells, with inactive voxels set to zero.

        Raises:
            ValueError: A volume of another shape than the grid.
        """
        if volume.shape != self.shape:
            raise ValueError(f"got a volume of shape {volume.shape}; expected {self.shape}; do: resample it, or jax.vmap over a batch")
        return jnp.where(self.mask, volume, 0).reshape(-1)

    def volume(self, cells: Cells) -> Array:
        """Shapes cells, with any leading batch axes, back to volumes ``(*batch, x, y, z)``.

        Raises:
            ValueError: Another number of cells on the last axis.
        """
        if cells.shape[-1:] != (self.size,):
            raise ValueError(f"got cells of shape {cells.shape}; expected {self.size} on the last axis; do: take a field of this grid")
        return cells.reshape(*cells.shape[:-1], *self.shape)

    def centres(self) -> tuple[Array, Array, Array]:
        """Coordinates of the voxel centres along each axis, from the centre of the first voxel, in the unit of the spacing."""
        x, y, z = (jnp.arange(n) * h for n, h in zip(self.shape, self.spacing, strict=True))
        return x, y, z

    def interior_faces(self, axis: int) -> Array:
        """Boolean flat field: true where a cell and its next neighbour along ``axis`` are both active."""
        return _interior_faces(self.mask, axis)


@partial(jax.jit, static_argnames="axis", inline=True)  # one program instead of one per operation, each of which takes as long to compile
def _interior_faces(mask: Array, axis: int) -> Array:
    following = jnp.roll(mask, -1, axis=axis)
    last = jnp.arange(mask.shape[axis]) == mask.shape[axis] - 1
    last = last.reshape([-1 if a == axis else 1 for a in range(3)])
    return (mask & following & ~last).reshape(-1)
