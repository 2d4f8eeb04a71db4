"""Fluid voxels, walls and openings: which population of which voxel meets what, found once on the host."""

from collections.abc import Mapping
from typing import Literal

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from solvers.lattice_boltzmann.lattice import Lattice

SMALLEST_FRACTION = 1e-3
FLUID, WALL = -1, 0


class LatticeDomain(eqx.Module):
    """The voxels of a flow, padded by one layer, and the links from fluid to what is none; from :func:`lattice_domain`.

    A population that would leave the fluid comes back changed. What comes back is stored in the voxel behind the wall, in a slot that
    nothing else uses: streaming then is the same shifted copy everywhere, without a branch.

    Attributes:
        lattice: Velocities.
        shape: Of the padded box.
        periodic: Axes that wrap.
        patches: Numbers of the openings, in the order of their links; links of walls come first.
        ends: Where the links of walls and of each patch end.
        fluid: Flat, padded.
        cell: Of each link: flat index of its fluid voxel.
        direction: Velocity that leaves the fluid.
        behind: The voxel opposite to it, the fluid voxel itself where there is none.
        has_behind: Whether there is one.
        beyond: The voxel that is no fluid.
        slots: Flat places in the populations: that leave, that leave the voxel behind, that stay opposite, and that come back.
        wraps: Flat places in the populations: that leave through a periodic face, and of the padding opposite, where they come in from.
        open_cell: Fluid voxels beside openings, each once.
        open_place: Where in ``open_cell`` the voxel of each link of an opening is.
    """

    lattice: Lattice = eqx.field(static=True)
    shape: tuple[int, int, int] = eqx.field(static=True)
    periodic: tuple[bool, bool, bool] = eqx.field(static=True)
    patches: tuple[int, ...] = eqx.field(static=True)
    ends: tuple[int, ...] = eqx.field(static=True)
    fluid: Bool[Array, " cells"]
    cell: Int[Array, " links"]
    direction: Int[Array, " links"]
    behind: Int[Array, " links"]
    has_behind: Bool[Array, " links"]
    beyond: Int[Array, " links"]
    slots: Int[Array, "4 links"]
    wraps: Int[Array, "2 wraps"]
    open_cell: Int[Array, " open_cells"]
    open_place: Int[Array, " open_links"]

    @property
    def size(self) -> int:
        """Cells of the padded box."""
        return int(np.prod(self.shape))

    @property
    def strides(self) -> tuple[int, int, int]:
        """Distance between neighbours in the flat box."""
        return self.shape[1] * self.shape[2], self.shape[2], 1

    @property
    def offsets(self) -> tuple[int, ...]:
        """Flat distance that each population travels."""
        return tuple(int(np.dot(step, self.strides)) for step in self.lattice.velocities)

    def links_of(self, patch: int) -> slice:
        """Range of the links of a patch; 0 for walls."""
        place = 0 if patch == WALL else 1 + self.patches.index(patch)
        return slice(self.ends[place - 1] if place else 0, self.ends[place])

    def volume(self, cells: Array) -> Array:
        """Flat padded cells, with leading axes, as volumes without the padding."""
        return cells.reshape(*cells.shape[:-1], *self.shape)[..., 1:-1, 1:-1, 1:-1]

    def cells(self, volume: Array) -> Array:
        """The way back; the padding is zero."""
        padded = jnp.pad(volume, [(0, 0)] * (volume.ndim - 3) + [(1, 1)] * 3)
        return padded.reshape(*volume.shape[:-3], self.size)


def face_patches(mask: np.ndarray, faces: Mapping[int, tuple[int, Literal[0, 1]]]) -> np.ndarray:
    """Labels of the padded box: every fluid voxel at a face of the box opens through it.

    Args:
        mask: Fluid, ``(x, y, z)``.
        faces: Patch number (from 1) to axis and side (0: low, 1: high).

    Raises:
        ValueError: A patch number below one, or a face that no fluid voxel touches.
    """
    labels = np.full(tuple(n + 2 for n in mask.shape), WALL)
    labels[1:-1, 1:-1, 1:-1] = np.where(mask, FLUID, WALL)
    for patch, (axis, side) in faces.items():
        inner, outer = [slice(1, -1)] * 3, [slice(1, -1)] * 3
        inner[axis] = slice(1, 2) if side == 0 else slice(-2, -1)
        outer[axis] = slice(0, 1) if side == 0 else slice(-1, None)
        touching = labels[tuple(inner)] == FLUID
        if patch < 1 or not touching.any():
            raise ValueError(
                f"got patch {patch} at the {'low' if side == 0 else 'high'} face of axis {axis}; expected a number from 1 and fluid "
                "voxels at the face; do: crop the mask to the vessel's ends"
            )
        labels[tuple(outer)] = np.where(touching, patch, labels[tuple(outer)])
    return labels


def lattice_domain(lattice: Lattice, labels: np.ndarray, periodic: tuple[bool, bool, bool] = (False, False, False)) -> LatticeDomain:
    """Finds the links of a labelled, padded box.

    Args:
        lattice: Velocities.
        labels: Integers ``(x + 2, y + 2, z + 2)``: -1 fluid, 0 wall, 1 and more the openings; the outermost layer is no fluid
            (:func:`face_patches` makes it), and is replaced along periodic axes.
        periodic: Axes that wrap.

    Raises:
        ValueError: No fluid voxel, fluid in the padding, or fewer than two voxels along an axis.
    """
    labels = np.asarray(labels)
    inner = labels[1:-1, 1:-1, 1:-1]
    if labels.ndim != 3 or min(labels.shape) < 3 or not (inner == FLUID).any() or (labels == FLUID).sum() != (inner == FLUID).sum():
        raise ValueError(
            f"got labels of shape {labels.shape} with {(inner == FLUID).sum()} fluid voxels inside, {(labels == FLUID).sum()} in all; "
            "expected a padded box, fluid (-1) inside only; do: use face_patches"
        )
    widths = [(1, 1) if wrap else (0, 0) for wrap in periodic]
    core = labels[tuple(slice(1, -1) if wrap else slice(None) for wrap in periodic)]
    labels = np.pad(core, widths, mode="wrap")
    shape = (labels.shape[0], labels.shape[1], labels.shape[2])
    flat, interior = labels.ravel(), np.zeros(shape, bool)
    interior[1:-1, 1:-1, 1:-1] = True
    fluid = (flat == FLUID) & interior.ravel()
    strides = np.array([shape[1] * shape[2], shape[2], 1])
    cells = np.flatnonzero(fluid)
    found = []
    for i, step in enumerate(lattice.velocities):
        if i:
            beyond = cells + int(np.dot(step, strides))
            meets = flat[beyond] != FLUID
            behind = cells[meets] - int(np.dot(step, strides))
            there = flat[behind] == FLUID
            found.append((cells[meets], np.full(meets.sum(), i), np.where(there, behind, cells[meets]), there, beyond[meets]))
    cell, direction, behind, there, beyond = (np.concatenate(part) for part in zip(*found))
    order = np.argsort(flat[beyond], kind="stable")
    sorted_labels = flat[beyond][order]
    patches = tuple(int(p) for p in np.unique(sorted_labels) if p != WALL)
    ends = tuple(int(np.searchsorted(sorted_labels, p, side="right")) for p in (WALL, *patches))
    open_cell, open_place = np.unique(cell[order][ends[0] :], return_inverse=True)
    size, opposite = flat.size, lattice.opposite[direction]
    slots = np.stack([direction * size + cell, direction * size + behind, opposite * size + cell, opposite * size + beyond])
    wraps = _wraps(lattice, fluid.reshape(shape), periodic)
    if lattice.size * size >= 2**31:
        raise ValueError(f"got {size} voxels with {lattice.size} populations; expected less than 2^31 in all; do: crop or coarsen")
    return LatticeDomain(
        lattice, shape, periodic, patches, ends, jnp.asarray(fluid), jnp.asarray(cell[order], jnp.int32),
        jnp.asarray(direction[order], jnp.int32), jnp.asarray(behind[order], jnp.int32), jnp.asarray(there[order]),
        jnp.asarray(beyond[order], jnp.int32), jnp.asarray(slots[:, order], jnp.int32),
        jnp.asarray(wraps, jnp.int32), jnp.asarray(open_cell, jnp.int32), jnp.asarray(open_place, jnp.int32),
    )  # fmt: skip


def _wraps(lattice: Lattice, fluid: np.ndarray, periodic: tuple[bool, bool, bool]) -> np.ndarray:
    """Where the populations that enter the fluid from the padding of periodic axes are, and where in the padding they belong."""
    shape, number = np.array(fluid.shape), np.arange(fluid.size).reshape(fluid.shape)
    outer = np.zeros(fluid.shape, bool)
    for axis, wrap in enumerate(periodic):
        if wrap:
            outer[(slice(None),) * axis + ([0, -1],)] = True
    places = np.argwhere(outer)
    source = np.where(np.array(periodic), (places - 1) % (shape - 2) + 1, places)
    found = [np.zeros((2, 0), int)]
    for i, step in enumerate(lattice.velocities):
        target = places + np.array(step)
        inside = ((target > 0) & (target < shape - 1)).all(axis=1)
        inside[inside] = fluid[tuple(target[inside].T)]
        found.append(i * fluid.size + np.stack([number[tuple(p[inside].T)] for p in (source, places)]))
    return np.concatenate(found, axis=1)


def wall_fractions(domain: LatticeDomain, distance: Float[Array, "x y z"]) -> Float[Array, " walls"]:
    r"""Where each link of a wall is cut, as a part of its length: :math:`q = d_f/(d_f - d_s)`.

    The distance is taken to be linear along the link, wrong by the square of the voxel over eight radii of curvature.

    Args:
        domain: Of the flow.
        distance: Signed distance to the wall of the padded box, positive in the fluid, any unit. Differentiable.

    Returns:
        Fractions between 0.001 and 1; a half where both ends lie on one side, as with a mask that does not fit the distance.

    Raises:
        ValueError: Another shape than the padded box.
    """
    if distance.shape != domain.shape:
        raise ValueError(f"got a distance of shape {distance.shape}; expected {domain.shape}; do: give the box with its padding")
    flat, walls = distance.reshape(-1), domain.links_of(WALL)
    inside, outside = flat[domain.cell[walls]], flat[domain.beyond[walls]]
    crosses = (inside > 0) & (outside <= 0)
    span = jnp.where(crosses, inside - outside, 1)
    return jnp.where(crosses, jnp.clip(inside / span, SMALLEST_FRACTION, 1), 0.5)
