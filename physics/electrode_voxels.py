"""A metal electrode with an insulated body on voxels: which voxels conduct, and how far each is from which contact."""

from abc import abstractmethod
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from solvers import VoxelGrid

SUBLINES = 4  # per edge of a face: sixteen lines say which share of it belongs to which contact
NARROWEST = 0.05  # of a voxel: a surface nearer than that to a centre counts as that far


class Electrode(eqx.Module):
    """A solid body that does not conduct but for its contacts; lengths in mm, in the axes of the voxels."""

    @abstractmethod
    def signed_distance(self, points: Float[np.ndarray, "... 3"]) -> Float[np.ndarray, "..."]:
        """Distance of points from the surface, negative inside, mm."""

    @abstractmethod
    def contact_at(self, points: Float[np.ndarray, "... 3"]) -> Int[np.ndarray, "..."]:
        """Number of the contact at points of the surface, -1 where it is insulated."""

    @abstractmethod
    def areas(self) -> Float[np.ndarray, " contacts"]:
        """Surface of each contact, mm²."""


class SphericalElectrode(Electrode):
    """A ball of metal: one contact, for proofs and for the order of magnitude.

    Args:
        centre: mm.
        radius: mm.
    """

    centre: tuple[float, float, float] = eqx.field(static=True)
    radius: float = eqx.field(static=True)

    def signed_distance(self, points: np.ndarray) -> np.ndarray:
        """See :class:`Electrode`."""
        return np.linalg.norm(points - np.asarray(self.centre), axis=-1) - self.radius

    def contact_at(self, points: np.ndarray) -> np.ndarray:
        """See :class:`Electrode`."""
        return np.zeros(points.shape[:-1], int)

    def areas(self) -> np.ndarray:
        """See :class:`Electrode`."""
        return np.array([4 * np.pi * self.radius**2])


class ElectrodeVoxels(eqx.Module):
    r"""What :func:`voxel_electrode` finds.

    A voxel whose centre lies in the body does not conduct. Where the line from a conducting centre to its neighbour enters the body at
    a contact, that is a link: a resistor from the voxel to the metal. Links keep the distance to the true surface, so the potential
    of the metal holds where the surface is and not at the faces of voxels (Gibou et al. 2002: order two in the potential).

    Attributes:
        grid: The voxels that conduct.
        origin: Centre of the first voxel, mm.
        cell: Flat index of the voxel of each link.
        contact: Its contact.
        axis: Direction of the line, 0 to 2.
        side: 1 towards higher indices, -1 towards lower ones.
        share: Of the face that belongs to the contact, 0 to 1.
        length: From the centre to the surface, mm.
        layered: That part of it that lies in the layer round the body, mm.
        cosine: Of the angle between line and normal of the surface, times a factor near one per contact: share, cosine and face
            together add up to the contact's area.
        halves: Per axis and side (0 below, 1 above) the part of the line from a centre to the face that lies in the layer, as a
            fraction of the voxel's edge, 0 to 0.5.
        areas: Of each contact, mm², of the body and not of the voxels.
        layer: Which voxels have their centre in the layer.
    """

    grid: VoxelGrid
    origin: tuple[float, float, float] = eqx.field(static=True)
    cell: Int[Array, " links"]
    contact: Int[Array, " links"]
    axis: Int[Array, " links"]
    side: Int[Array, " links"]
    share: Float[Array, " links"]
    length: Float[Array, " links"]
    layered: Float[Array, " links"]
    cosine: Float[Array, " links"]
    halves: Float[Array, "3 2 cells"]
    areas: Float[Array, " contacts"]
    layer: Bool[Array, "x y z"]

    @property
    def contacts(self) -> int:
        """How many there are."""
        return self.areas.shape[0]

    def per_contact(self, links: Float[Array, " links"]) -> Float[Array, "contacts cells"]:
        """Sums what belongs to links over the voxels, contact by contact."""
        return jnp.zeros((self.contacts, self.grid.size), links.dtype).at[self.contact, self.cell].add(links)


def voxel_electrode(
    mask: Bool[np.ndarray, "x y z"], spacing: float | tuple[float, float, float], origin: Any, electrode: Electrode, layer_mm: float = 0.0
) -> ElectrodeVoxels:
    """Puts an electrode and the layer round it onto voxels.

    Args:
        mask: What conducts where the electrode is not.
        spacing: Edges of a voxel, mm; half the radius of the body or less for an impedance within 3 %, up to its diameter at all.
        origin: Centre of the first voxel, mm.
        electrode: The body.
        layer_mm: Thickness of the layer (encapsulation, scar) round it, mm; any, thinner than a voxel as well.

    Raises:
        ValueError: A layer below zero, or a contact that fewer than four links reach: outside of the conductor, or voxels too coarse.
    """
    if not 0 <= layer_mm < np.inf:
        raise ValueError(f"got a layer of {layer_mm:g} mm; expected zero or more; do: give its thickness in mm")
    box = VoxelGrid(mask, spacing)
    start = np.asarray(origin, float)
    steps = np.asarray(box.spacing)
    points = start + np.stack(np.meshgrid(*(np.arange(n) for n in box.shape), indexing="ij"), axis=-1) * steps
    distance = electrode.signed_distance(points)
    conducts = np.asarray(mask, bool) & (distance > 0)
    if not conducts.any():
        raise ValueError("got no voxel outside of the electrode that conducts; expected tissue round it; do: check position and mask")
    areas = electrode.areas()
    parts = [
        _links(points, distance, conducts, np.asarray(mask, bool), steps, axis, side, electrode, len(areas), layer_mm)
        for axis in range(3)
        for side in (-1, 1)
    ]
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    reached = np.array([np.unique(joined["cell"][joined["contact"] == number]).size for number in range(len(areas))])
    if (reached < 4).any():
        number = int(np.argmin(reached))
        raise ValueError(
            f"got contact {number} beside {reached[number]} conducting voxels; expected four or more; "
            "do: move the electrode inside of the conductor, or use smaller voxels"
        )
    # The faces of voxels add up to the area of the contact only in the mean: so that an impedance per area is right, they are made to.
    faces = joined["share"] * joined["cosine"] * steps.prod() / steps[joined["axis"]]
    joined["cosine"] = joined["cosine"] * (areas / np.bincount(joined["contact"], faces, len(areas)))[joined["contact"]]
    halves = np.stack([_halves(points, distance, steps, axis, electrode, layer_mm) for axis in range(3)])
    halves = np.where(conducts.reshape(-1), halves, 0.0)
    grid = VoxelGrid(conducts, box.spacing)
    arrays = {name: jnp.asarray(values) for name, values in joined.items()}
    layer = jnp.asarray(conducts & (distance < layer_mm))
    first = (float(start[0]), float(start[1]), float(start[2]))
    return ElectrodeVoxels(grid, first, halves=jnp.asarray(halves), areas=jnp.asarray(areas), layer=layer, **arrays)


def _links(
    points: np.ndarray, distance: np.ndarray, conducts: np.ndarray, mask: np.ndarray, steps: np.ndarray, axis: int, side: int,
    electrode: Electrode, contacts: int, layer_mm: float,
) -> dict[str, np.ndarray]:  # fmt: skip
    """The links along one direction."""
    beyond = np.roll(distance <= 0, -side, axis)
    ends = [slice(None)] * 3
    ends[axis] = slice(-1, None) if side > 0 else slice(0, 1)
    beyond[tuple(ends)] = False
    found = np.nonzero(conducts & beyond)
    h = steps[axis]
    direction = np.zeros(3)
    direction[axis] = side
    centre, here = points[found], distance[found]
    low, high = np.zeros(len(here)), np.full(len(here), h)
    for _ in range(40):
        middle = (low + high) / 2
        outside = electrode.signed_distance(centre + middle[:, None] * direction) > 0
        low, high = np.where(outside, middle, low), np.where(outside, high, middle)
    length = np.maximum((low + high) / 2, NARROWEST * h)
    cosine = np.maximum(np.abs(_normal(electrode, centre + low[:, None] * direction, h)[:, axis]), 0.1)
    shares = np.zeros((len(here), contacts))
    offsets = (np.arange(SUBLINES) + 0.5) / SUBLINES - 0.5
    across = [other for other in range(3) if other != axis]
    for one in offsets:
        for other in offsets:
            place = centre + low[:, None] * direction
            place[:, across[0]] += one * steps[across[0]]
            place[:, across[1]] += other * steps[across[1]]
            place = place - electrode.signed_distance(place)[:, None] * _normal(electrode, place, h)
            number = electrode.contact_at(place)
            hit = number >= 0
            shares[np.nonzero(hit)[0], number[hit]] += 1 / SUBLINES**2
    link, contact = np.nonzero(shares)
    layered = length * np.clip(layer_mm / np.maximum(here, 1e-12), 0, 1)
    cells = np.ravel_multi_index(found, mask.shape)
    return {
        "cell": cells[link],
        "contact": contact,
        "axis": np.full(link.size, axis),
        "side": np.full(link.size, side),
        "share": shares[link, contact],
        "length": length[link],
        "layered": layered[link],
        "cosine": cosine[link],
    }


def _normal(electrode: Electrode, points: np.ndarray, h: float) -> np.ndarray:
    """Gradient of the distance, by central differences."""
    step = 1e-4 * h
    slope = np.stack(
        [electrode.signed_distance(points + step * unit) - electrode.signed_distance(points - step * unit) for unit in np.eye(3)], axis=-1
    )
    return slope / np.maximum(np.linalg.norm(slope, axis=-1, keepdims=True), 1e-12 * step)


def _halves(points: np.ndarray, distance: np.ndarray, steps: np.ndarray, axis: int, electrode: Electrode, layer_mm: float) -> np.ndarray:
    """Parts of the lines from centres to faces in the layer, the distance taken linear between the two."""
    found = []
    near = np.abs(distance) < layer_mm + 2 * steps.max()
    for side in (-1, 1):
        part = np.zeros(distance.shape)
        if layer_mm > 0 and near.any():
            shift = np.zeros(3)
            shift[axis] = side * steps[axis] / 2
            first, last = distance[near], electrode.signed_distance(points[near] + shift)
            low, high = np.minimum(first, last), np.maximum(first, last)
            part[near] = 0.5 * np.clip((layer_mm - low) / np.maximum(high - low, 1e-12), 0, 1)
        found.append(part.reshape(-1))
    return np.stack(found)
