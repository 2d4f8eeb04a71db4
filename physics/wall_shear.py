"""Wall shear stress from the strain rate that lattice populations carry, continued to the wall; and its indices over a beat."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from scipy.spatial import cKDTree

from solvers.lattice_boltzmann import LatticeDomain, Moments

NEIGHBOURS = 40
REACH, SPREAD = 3.5, 2.0
"""Distance up to which, and width of the Gaussian with which, strain rates of voxels around are continued to a point of the wall."""
FEWEST = 10


class WallProbe(eqx.Module):
    r"""Points of the wall with normals, and what their stress is made of; from :func:`wall_probe`.

    The strain rate of developed flow in a tube is linear in the place, as are all flows near a smooth wall to second order: a straight fit
    to the strain rates of the fluid voxels around, taken at the wall, is exact there. Values of the nearest voxel instead are
    low by its distance over the radius, 5 % with 20 voxels per diameter. Voxels with a link to the wall are left out where enough others
    are near: their strain rate errs by 1 to 3 % of the wall's with the place of the cut, and a fit would continue that.

    Attributes:
        point: Places in voxels of the box without padding, ``(points, 3)``.
        normal: Unit normals into the fluid.
        cell: Flat padded indices of the voxels whose strain rates are used, ``(points, neighbours)``.
        weight: Weights of the fit's value at the wall; zero where there are fewer voxels.
    """

    point: Float[Array, "points 3"]
    normal: Float[Array, "points 3"]
    cell: Int[Array, "points neighbours"]
    weight: Float[Array, "points neighbours"]

    def shear(self, moments: Moments) -> Float[Array, "points 3"]:
        r"""Kinematic wall shear stress (lattice units): :math:`t = 2\nu(Sn - (n\cdot Sn)n)`, the drag of the fluid on the wall."""
        xx, yy, zz, xy, xz, yz = (
            jnp.sum(self.weight * part[self.cell] * moments.viscosity[self.cell], axis=1) for part in moments.strain_rate
        )
        n = self.normal
        rows = (xx, xy, xz), (xy, yy, yz), (xz, yz, zz)
        traction = 2 * jnp.stack([sum(part * n[:, b] for b, part in enumerate(row)) for row in rows], axis=1)
        return traction - jnp.sum(traction * n, axis=1, keepdims=True) * n


def wall_probe(domain: LatticeDomain, distance: np.ndarray, spare: float = 0.0) -> WallProbe:
    """Feet on the wall of all fluid voxels within a voxel of it, with the weights of a straight fit around each.

    Args:
        domain: Of the flow, on the host.
        distance: Signed distance to the wall of the padded box in voxels, positive in the fluid; normals are its gradient.
        spare: Voxels left out next to faces of the box that have openings, which disturb the flow.

    Raises:
        ValueError: Another shape than the padded box, or no voxel within a voxel of the wall.
    """
    distance = np.asarray(distance, float)
    if distance.shape != domain.shape:
        raise ValueError(f"got a distance of shape {distance.shape}; expected {domain.shape}; do: give the box with its padding")
    fluid = np.asarray(domain.fluid).reshape(domain.shape)
    slopes = np.stack([np.gradient(distance, axis=axis) for axis in range(3)])
    place = np.argwhere(fluid & (distance < 1.0))
    inside = np.ones(len(place), bool)
    opening = np.stack(np.unravel_index(np.asarray(domain.beyond)[domain.ends[0] :], domain.shape), axis=1)
    for axis, size in enumerate(domain.shape):
        inside &= (place[:, axis] - 0.5 >= spare) | ~(opening[:, axis] == 0).any()
        inside &= (size - 1.5 - place[:, axis] >= spare) | ~(opening[:, axis] == size - 1).any()
    place = place[inside]
    if not len(place):
        raise ValueError("got no fluid voxel within a voxel of the wall; expected some; do: give the distance in voxels, and less spare")
    normal = slopes[:, *place.T].T
    normal /= np.linalg.norm(normal, axis=1, keepdims=True) + 1e-30
    foot = place - distance[*place.T][:, None] * normal
    cells = np.argwhere(fluid)
    linked = np.zeros(domain.size, bool)
    linked[np.asarray(domain.cell)[domain.links_of(0)]] = True
    free = ~linked.reshape(domain.shape)[tuple(cells.T)]
    far, near = cKDTree(cells).query(foot, k=min(4 * NEIGHBOURS, len(cells)), distance_upper_bound=REACH)
    there = np.isfinite(far)
    near = np.where(there, near, 0)
    inner = there & free[near]
    there = np.where((inner.sum(axis=1) >= FEWEST)[:, None], inner, there)
    first = np.argsort(~there, axis=1, kind="stable")[:, :NEIGHBOURS]
    far, near, there = (np.take_along_axis(part, first, axis=1) for part in (far, near, there))
    offset = np.where(there[..., None], cells[near] - foot[:, None], 0.0)
    closeness = np.where(there, np.exp(-0.5 * np.where(there, far, 0) ** 2 / SPREAD**2), 0.0)
    return WallProbe(
        jnp.asarray(foot - 1), jnp.asarray(normal), jnp.asarray(np.ravel_multi_index(tuple(cells[near].T), domain.shape).T, jnp.int32),
        jnp.asarray(_fit_weights(offset, closeness)),
    )  # fmt: skip


def _fit_weights(offset: np.ndarray, closeness: np.ndarray) -> np.ndarray:
    """Weights with which the neighbours make the value at the origin of a weighted straight fit, held back a little where singular."""
    basis = np.concatenate([np.ones((*offset.shape[:2], 1)), offset], axis=2)
    square = np.einsum("pka,pk,pkb->pab", basis, closeness, basis)
    square[:, range(1, 4), range(1, 4)] += 1e-6
    first = np.linalg.solve(square, np.broadcast_to(np.eye(4)[:, :1], (len(square), 4, 1)))[..., 0]
    return np.einsum("pa,pka,pk->pk", first, basis, closeness)
