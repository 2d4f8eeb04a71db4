"""Anisotropic diffusion that never undershoots: each tensor as a nonnegative sum of lattice directions."""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from solvers.grid import VoxelGrid
from solvers.operator import Operator
from solvers.shapes import Cells, Faces, Scalar
from solvers.space.diffusion import checked_loss
from solvers.space.exchange import exchange
from solvers.space.tensor_diffusion import checked_tensor

Direction = tuple[int, int, int]
Bases = Float[Array, "voxels 4 3"]

PAIRS = ((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3))
MOST_DIRECTIONS = 124
MOST_REACH = 16
MOST_FLIPS = 40


class MonotoneDiffusion(Operator):
    r"""$L u = s\,\nabla\cdot(D\nabla u)$ with a positive definite tensor, all couplings nonnegative: a discrete maximum principle.

    In units of voxels, $D_{ab}/(h_a h_b) = \sum_{k=1}^6 \lambda_k\,e_k e_k^T$ with integer directions $e_k$ and $\lambda_k\ge 0$: for an
    obtuse superbase $b_0+b_1+b_2+b_3=0$, $b_i^T D b_j\le 0$, which Selling's algorithm finds, $\lambda_{ij} = -b_i^T D b_j$ and
    $e_{ij} = b_k\times b_l$ of the other two. Voxels $i$ and $i+e$ exchange with $\tfrac12(\lambda_e(i)+\lambda_e(i+e))$. Symmetric,
    conservative, dissipative, and an explicit Euler step within $1/\max|L_{ii}|$ keeps every value between those it came from.

    Args:
        grid: The voxels. Along an axis of one voxel the off-diagonal entries are left out.
        tensor: $D$ per voxel ``(x, y, z, 3, 3)``, symmetric positive definite.
        scale: $s$.
        directions: The directions to use, where the tensor is traced (inside ``jit`` or ``grad``) and can't be looked at: those of
            an operator of the same field made outside, ``MonotoneDiffusion(grid, tensor).directions``. ``lost`` then says how much
            of the tensor they miss.
        loss: As in :class:`solvers.space.diffusion.Diffusion`.

    Attributes:
        lost: Largest part of a voxel's $\sum_k\lambda_k$ whose direction is not among ``directions``; zero unless they were given.

    Raises:
        ValueError: As :class:`solvers.space.tensor_diffusion.TensorDiffusion`; an eigenvalue of zero; a tensor so elongated or a field so
            varied that it needs too many directions; a traced tensor without directions.

    Order two inside where $D$ is smooth (the $\lambda_k$ are continuous in $D$ but have kinks, along which the local error is of first
    order; the derivative with respect to $D$ is one-sided there). The stencil is as wide as the tensor is elongated: within 26
    neighbours (13 directions) up to an anisotropy of 5:1 in any orientation, a reach of about the square root of it beyond (10:1: 42
    directions over all orientations, reach 3); cost grows with the number of distinct directions in the field.
    Walls: a coupling that would leave the mask is dropped. No flux leaves and the maximum principle holds on every mask, but where
    directions cross a wall obliquely the first layers diffuse less along it: order one there, and the wider the stencil the more. A
    direction may reach across a gap thinner than itself; gaps one voxel wide are closed only to directions that do not jump them:
    check ``reach``.
    Source: Selling (1874), J. reine angew. Math. 77, 143; Conway, Sloane (1992), Proc. R. Soc. Lond. A 436, 55; Fehrenbach, Mirebeau
    (2014), J. Math. Imaging Vis. 49, 123, section 2.
    """

    faces: tuple[Faces, ...]
    scale: Scalar
    loss: Float[Array, " cells"] | None
    lost: Scalar
    strides: tuple[int, ...] = eqx.field(static=True)
    directions: tuple[Direction, ...] = eqx.field(static=True)
    shape: tuple[int, int, int] = eqx.field(static=True)

    def __init__(
        self,
        grid: VoxelGrid,
        tensor: ArrayLike,
        scale: ArrayLike = 1.0,
        directions: tuple[Direction, ...] | None = None,
        loss: ArrayLike | None = None,
    ) -> None:
        tensor = in_voxels(checked_tensor(tensor, grid), grid)
        weights, edges = decomposition(tensor)
        known = directions is not None
        if directions is None:
            if isinstance(tensor, Tracer) or isinstance(grid.mask, Tracer):
                raise ValueError(
                    "got a traced tensor; expected directions with it; "
                    "do: pass directions=MonotoneDiffusion(grid, tensor).directions, made outside of jit and grad"
                )
            directions = _directions_of(tensor, np.asarray(weights), np.asarray(edges), np.asarray(grid.mask).reshape(-1))
        inside = [d for d in directions if all(abs(step) < n for step, n in zip(d, grid.shape, strict=True))]
        faces, strides, found = [], [], jnp.zeros(grid.size, tensor.dtype)
        for direction in directions:
            share = weight_along(direction, weights, edges)
            found = found + share
            if direction in inside:
                stride = sum(step * length for step, length in zip(direction, grid.strides, strict=True))
                volume = share.reshape(grid.shape)
                both = grid.mask & _shifted(grid.mask, direction)
                coupling = jnp.where(both, (volume + _shifted(volume, direction)) / 2, 0)
                faces.append(jnp.pad(coupling.reshape(-1), (stride, 0)))
                strides.append(stride)
        self.faces, self.strides, self.directions, self.shape = tuple(faces), tuple(strides), tuple(directions), grid.shape
        self.scale = jnp.asarray(scale, tensor.dtype)
        self.loss = None if loss is None else checked_loss(loss, grid, tensor.dtype)
        total = jnp.sum(weights, axis=0)
        missed = jnp.where(grid.mask.reshape(-1), (total - found) / total, 0)
        self.lost = jnp.max(missed) if known else jnp.zeros((), tensor.dtype)

    @property
    def reach(self) -> int:
        """The farthest that a coupling goes along an axis, in voxels."""
        return max((abs(step) for direction in self.directions for step in direction), default=0)

    def apply(self, field: Cells) -> Cells:
        """See :class:`solvers.operator.Operator`."""
        change = exchange(self.strides, self.faces, field) if self.faces else jnp.zeros_like(field)
        if self.loss is not None:
            change = change - jnp.broadcast_to(self.loss, field.shape) * field
        return lax.optimization_barrier(self.scale * change)

    def spectral_bound(self) -> Scalar:
        """Gershgorin: twice the largest sum of couplings, plus the loss."""
        total = 2 * self._couplings()
        return self.scale * jnp.max(total if self.loss is None else total + self.loss)

    def diagonal(self) -> Cells:
        """Minus the sum of the couplings and the loss."""
        total = self._couplings()
        return -self.scale * (total if self.loss is None else total + self.loss)

    def _couplings(self) -> Array:
        cells = int(np.prod(self.shape))
        total = jnp.zeros(cells, self.scale.dtype)
        for stride, face in zip(self.strides, self.faces, strict=True):
            total = total + face[stride:] + face[:cells]
        return total


def in_voxels(tensor: Array, grid: VoxelGrid) -> Array:
    """$D_{ab}/(h_a h_b)$ as ``(voxels, 3, 3)``; the identity where inactive, no off-diagonal entries along axes of one voxel."""
    lengths = np.asarray(grid.spacing)
    keep = np.array([n > 1 for n in grid.shape])
    coupled = np.outer(keep, keep) | np.eye(3, dtype=bool)
    factor = jnp.asarray(np.where(coupled, 1 / np.outer(lengths, lengths), 0), tensor.dtype)
    tensor = tensor.reshape(-1, 3, 3) * factor[None]
    active = grid.mask.reshape(-1)[:, None, None]
    return jnp.where(active, tensor, jnp.eye(3, dtype=tensor.dtype)[None])


def decomposition(tensor: Array) -> tuple[Array, Array]:
    """Weights ``(6, voxels)`` and directions ``(3, 6, voxels)`` of :class:`MonotoneDiffusion` for tensors in voxel units."""
    return _decomposed(tensor, jax.jit(_obtuse_bases)(lax.stop_gradient(tensor)))


def weight_along(direction: Direction, weights: Array, edges: Array) -> Array:
    """A direction's weight in every voxel, zero where it is none of the voxel's six."""
    same = jnp.all(edges == jnp.asarray(direction, edges.dtype)[:, None, None], axis=0)
    return jnp.sum(jnp.where(same, weights, 0), axis=0)


def _flips() -> np.ndarray:
    """For each pair $(i, j)$ the map of a superbase that makes $b_i^T D b_j$ negative: $-b_i$, $b_j$, $b_k+b_i$, $b_l+b_i$."""
    maps = np.zeros((6, 4, 4))
    for number, (i, j) in enumerate(PAIRS):
        for row in range(4):
            maps[number, row, row] = -1 if row == i else 1
            if row not in (i, j):
                maps[number, row, i] = 1
    return maps


def _products(tensor: Array, bases: Array) -> Array:
    """$b_i^T D b_j$ for the six pairs, ``(6, voxels)``."""
    image = jnp.einsum("nab,nib->nia", tensor, bases, precision="highest")
    return jnp.stack([jnp.sum(bases[:, i] * image[:, j], axis=-1) for i, j in PAIRS])


def _tolerance(tensor: Array) -> Array:
    return 4 * jnp.finfo(tensor.dtype).eps * jnp.trace(tensor, axis1=-2, axis2=-1)


@partial(jax.jit, inline=True)
def _obtuse_bases(tensor: Array) -> Bases:
    """Selling's algorithm with a fixed number of flips, the most acute pair of every voxel at a time."""
    start = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [-1, -1, -1]])
    maps = jnp.asarray(_flips(), tensor.dtype)

    def flip(_: Array, bases: Array) -> Array:
        products = _products(tensor, bases)
        worst = jnp.argmax(products, axis=0)
        acute = jnp.max(products, axis=0) > _tolerance(tensor) * jnp.max(jnp.sum(bases**2, axis=-1), axis=-1)
        flipped = jnp.einsum("nij,nja->nia", maps[worst], bases, precision="highest")
        return jnp.where(acute[:, None, None], flipped, bases)

    bases = jnp.broadcast_to(jnp.asarray(start, tensor.dtype), (tensor.shape[0], 4, 3))
    return lax.fori_loop(0, MOST_FLIPS, flip, bases)


@partial(jax.jit, inline=True)
def _decomposed(tensor: Array, bases: Array) -> tuple[Array, Array]:
    """Weights ``(6, voxels)`` and directions ``(3, 6, voxels)``, the first entry of each that is not zero being positive."""
    weights = jnp.maximum(-_products(tensor, bases), 0)
    edges = []
    for i, j in PAIRS:
        k, m = (other for other in range(4) if other not in (i, j))
        edge = jnp.cross(bases[:, k], bases[:, m])
        sign = jnp.where(edge[:, 0] != 0, edge[:, 0], jnp.where(edge[:, 1] != 0, edge[:, 1], edge[:, 2]))
        edges.append(jnp.round(edge * jnp.sign(sign)[:, None]).T)
    return weights, jnp.stack(edges, axis=1)


def _directions_of(tensor: Array, weights: np.ndarray, edges: np.ndarray, active: np.ndarray) -> tuple[Direction, ...]:
    """Those that carry weight in an active voxel; refuses what is not positive definite or too elongated."""
    values = np.linalg.eigvalsh(np.asarray(tensor, float)[active])
    if (values[:, 0] <= 1e-7 * values[:, 2]).any():
        worst = values[np.argmin(values[:, 0] / values[:, 2])]
        raise ValueError(
            f"got a tensor with eigenvalues from {worst[0]:g} to {worst[2]:g} (in voxels); expected them positive and within 1e7 of each "
            "other; do: add a small isotropic part, or use TensorDiffusion"
        )
    trace = np.trace(np.asarray(tensor, float), axis1=-2, axis2=-1)
    rebuilt = np.einsum("kn,akn,bkn->nab", weights, edges, edges)
    error = np.abs(rebuilt - np.asarray(tensor)).max(axis=(1, 2)) / trace
    limit = 1e4 * np.finfo(weights.dtype).eps
    carried = edges[:, (weights > limit * trace) & active]
    directions = np.unique(carried.astype(int).T, axis=0)
    reach = int(np.abs(directions).max())
    if error[active].max() > limit or len(directions) > MOST_DIRECTIONS or reach > MOST_REACH:
        ratio = (values[:, 2] / values[:, 0]).max()
        raise ValueError(
            f"got tensors of anisotropy up to {ratio:.3g}:1 (in voxels) that need {len(directions)} directions or more, "
            f"with a reach of {reach} voxels; expected at most {MOST_DIRECTIONS} and {MOST_REACH}; "
            "do: limit the anisotropy, smooth the field, or use TensorDiffusion"
        )
    return tuple((int(x), int(y), int(z)) for x, y, z in directions)


@partial(jax.jit, static_argnames="direction", inline=True)
def _shifted(volume: Array, direction: Direction) -> Array:
    """At every voxel the value of the voxel one direction further; zero beyond the box."""
    for axis, step in enumerate(direction):
        n = volume.shape[axis]
        kept = lax.slice_in_dim(volume, max(step, 0), n + min(step, 0), axis=axis)
        volume = jnp.pad(kept, [(max(-step, 0), max(step, 0)) if a == axis else (0, 0) for a in range(3)])
    return volume
