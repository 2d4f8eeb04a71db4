"""Finite-volume diffusion with a full symmetric tensor per voxel."""

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
from solvers.operator import FaceOperator
from solvers.shapes import Cells, Faces, Scalar
from solvers.space.diffusion import checked_loss, checked_scale
from solvers.space.exchange import exchange
from solvers.space.periodic import Periodic3, following, open_faces, preceding, wrap_exchange
from solvers.space.walls import Walls, WallTerms, check_walls

PAIRS = ((0, 1), (0, 2), (1, 2))


class TensorDiffusion(FaceOperator):
    r"""$L u = s\,\nabla\cdot(D(x)\nabla u)$ with a tensor $D$, no flux through the boundary of the mask.

    $L$ is minus the gradient of the energy $\tfrac12\sum_i V\,\overline{g^T D_i\,g}$, where $g$ runs over the eight choices of one
    one-sided difference per axis at voxel $i$. So $L$ is symmetric, conservative and, for positive semidefinite $D$, dissipative on
    every mask. The face coefficient of the diagonal is the arithmetic mean; 19 points.

    Args:
        grid: The voxels.
        tensor: $D$ per voxel ``(x, y, z, 3, 3)``, length²/time, symmetric positive semidefinite, in the axes of the grid.
        scale: The factor $s$.
        loss: $\lambda$ per cell, 1/time, not negative: adds $-s\,\lambda u$; see :class:`Diffusion`.
        walls: Other conditions than no flux; ``source`` is what they bring in, as in :class:`Diffusion`.
        closure: What a difference is that points into a closed wall. ``"zero"``: zero. ``"no flux"``: that which minimises the energy,
            so that the flux through the wall, not the slope, is zero; it only changes the coefficients of voxels at walls, is more
            accurate where fibres meet a wall obliquely, and reduces a canal one voxel wide to its own direction.

    Raises:
        ValueError: Wrong shape, not finite, not symmetric, or with a negative eigenvalue in an active voxel; a negative loss.

    Fails: not monotone. Where an off-diagonal entry exceeds the smaller diagonal one (strong anisotropy oblique to the grid) a
    sharp profile can dip below zero by some percent of its height; use :class:`solvers.space.monotone_diffusion.MonotoneDiffusion`, or
    :class:`Diffusion`, where positivity matters more. At walls whose normal is no principal axis of $D$ the closure ``"zero"``
    leaves an error in the field that falls slowly (about $h^{1/2}$ in the maximum, at the corners of a box).
    """

    faces: tuple[Faces, ...]
    cross: Float[Array, "pairs cells"]
    open_faces: tuple[Float[Array, " cells"], ...]
    scale: Scalar
    loss: Float[Array, " cells"] | None
    source: Float[Array, " cells"] | None
    wraps: tuple[Float[Array, "_"] | None, ...] | None
    wall_slopes: tuple[Float[Array, " cells"], ...] | None
    strides: tuple[int, ...] = eqx.field(static=True)
    spacing: tuple[float, ...] = eqx.field(static=True)
    shape: tuple[int, int, int] = eqx.field(static=True)
    periodic: Periodic3 = eqx.field(static=True)

    def __init__(
        self,
        grid: VoxelGrid,
        tensor: ArrayLike,
        scale: ArrayLike = 1.0,
        loss: ArrayLike | None = None,
        walls: Walls | None = None,
        closure: str = "zero",
    ) -> None:
        if closure not in ("zero", "no flux"):
            raise ValueError(f"got closure {closure!r}; expected 'zero' or 'no flux'; do: choose one of them")
        tensor = checked_tensor(tensor, grid)
        if walls is not None:
            check_walls(walls, grid)
        self.strides, self.spacing, self.shape = grid.strides, grid.spacing, grid.shape
        self.periodic = (False, False, False) if walls is None else walls.periodic
        self.open_faces = tuple(open_faces(grid, axis, self.periodic[axis]).astype(tensor.dtype) for axis in range(3))
        active = grid.mask.reshape(-1)
        entries = {(a, b): jnp.where(active, tensor[..., a, b].reshape(-1), 0) for a in range(3) for b in range(a, 3)}
        self.scale = checked_scale(scale, tensor.dtype)
        terms = None if walls is None else walls.terms(tuple(tensor[..., axis, axis] for axis in range(3)), self.scale)
        if closure == "no flux":
            entries = self._closed(entries, terms)
        means = [_mean_face(entries[axis, axis].reshape(grid.shape), axis) / h**2 for axis, h in enumerate(self.spacing)]
        self.faces = tuple(
            jnp.pad(means[axis] * grid.interior_faces(axis).astype(tensor.dtype), (stride, 0)) for axis, stride in enumerate(self.strides)
        )
        self.wraps = None
        if any(self.periodic):
            wraps = [_last_layer(means[axis] * self.open_faces[axis], self.shape, axis) for axis in range(3)]
            self.wraps = tuple(wrap if self.periodic[axis] else None for axis, wrap in enumerate(wraps))
        self.cross = jnp.stack([entries[pair] for pair in PAIRS])
        self.loss = None if loss is None else checked_loss(loss, grid, tensor.dtype)
        self.source = self.wall_slopes = None
        if terms is not None:
            held = terms.loss / jnp.where(self.scale > 0, self.scale, 1)
            self.loss = held if self.loss is None else self.loss + held
            self.wall_slopes = tuple(weight for weight, _ in terms.slopes)
            self.source = terms.source + self.scale * self._cross_change([given for _, given in terms.slopes])

    def apply(self, field: Cells) -> Cells:
        """See :class:`solvers.operator.Operator`."""
        change = exchange(self.strides, self.faces, field)
        for axis, wrap in enumerate(self.wraps or ()):
            if wrap is not None:
                change = change + wrap_exchange(self.shape, axis, wrap, field)
        change = change + self._cross_change([self._slope(field, axis) for axis in range(3)])
        if self.loss is not None:
            change = change - jnp.broadcast_to(self.loss, field.shape) * field
        return lax.optimization_barrier(self.scale * change)

    def _cross_change(self, slopes: list[Array]) -> Array:
        """What the off-diagonal entries make of the slopes along the three axes."""
        flux = [jnp.zeros_like(slopes[0])] * 3
        for number, (a, b) in enumerate(PAIRS):
            cross = jnp.broadcast_to(self.cross[number], slopes[0].shape)
            flux[a] = flux[a] + cross * slopes[b]
            flux[b] = flux[b] + cross * slopes[a]
        flux = lax.optimization_barrier(flux)
        change = -self._slope_transposed(flux[0], 0)
        for axis in (1, 2):
            change = change - self._slope_transposed(flux[axis], axis)
        return change

    def spectral_bound(self) -> Scalar:
        r"""$4 s \sum_a \max D_{aa}/h_a^2$ times 3/2 at most, since $|D_{ab}|\le\sqrt{D_{aa}D_{bb}}$ couples central differences."""
        diagonal = sum(2 * jnp.max(sum(self.coefficients(axis))) for axis in range(3))
        pairs = sum(2 * jnp.max(jnp.abs(self.cross[number])) / (self.spacing[a] * self.spacing[b]) for number, (a, b) in enumerate(PAIRS))
        bound = diagonal + pairs
        if self.loss is not None:
            bound = bound + jnp.max(self.loss)
        return self.scale * bound

    def diagonal(self) -> Cells:
        """The faces and, where a voxel has a wall on one side, the cross terms: central differences miss their own centre."""
        total = jnp.zeros_like(self.cross[0]) if self.loss is None else self.loss
        own = []
        for axis, h in enumerate(self.spacing):
            above, below = self.coefficients(axis)
            total = total + above + below
            open_face = self.open_faces[axis]
            slope = (preceding(open_face, self.shape, axis, self.periodic[axis]) - open_face) / (2 * h)
            own.append(slope if self.wall_slopes is None else slope - self.wall_slopes[axis])
        for number, (a, b) in enumerate(PAIRS):
            total = total + 2 * self.cross[number] * own[a] * own[b]
        return -self.scale * total

    def _closed(self, entries: dict[tuple[int, int], Array], terms: WallTerms | None) -> dict[tuple[int, int], Array]:
        """Means over the octants of the tensor that is left when differences into closed walls have been minimised out."""
        missing = []
        for axis in range(3):
            sides = self.open_faces[axis] + preceding(self.open_faces[axis], self.shape, axis, self.periodic[axis])
            sides = 2 - sides if terms is None else 2 - sides - terms.held[axis]
            missing.append(sides / 2)
        reduced = {}
        for a in range(3):
            b, c = (a + 1) % 3, (a + 2) % 3
            ab, ac, bc = (entries[min(pair), max(pair)] for pair in ((a, b), (a, c), (b, c)))
            bb, cc = entries[b, b], entries[c, c]
            along_b, along_c = ab**2 / _positive(bb), ac**2 / _positive(cc)
            determinant = bb * cc - bc**2
            regular = determinant > 100 * jnp.finfo(bb.dtype).eps * bb * cc
            both = (ab**2 * cc - 2 * ab * ac * bc + ac**2 * bb) / jnp.where(regular, determinant, 1)
            both = jnp.where(regular, both, jnp.maximum(along_b, along_c))  # b and c are parallel: one of them is enough
            one_b, one_c = missing[b] * (1 - missing[c]), missing[c] * (1 - missing[b])
            reduced[a, a] = entries[a, a] - one_b * along_b - one_c * along_c - missing[b] * missing[c] * both
            reduced[min(a, b), max(a, b)] = ab - missing[c] * ac * bc / _positive(cc)
        return reduced

    def _slope(self, field: Cells, axis: int) -> Cells:
        """Mean of the two one-sided differences, each zero across a closed wall."""
        open_face, around = jnp.broadcast_to(self.open_faces[axis], field.shape), self.periodic[axis]
        ahead = open_face * (following(field, self.shape, axis, around) - field)
        slope = (ahead + preceding(ahead, self.shape, axis, around)) / (2 * self.spacing[axis])
        if self.wall_slopes is None:
            return slope
        return slope - jnp.broadcast_to(self.wall_slopes[axis], field.shape) * field

    def _slope_transposed(self, flux: Cells, axis: int) -> Cells:
        """The transpose of :meth:`_slope`, minus a divergence."""
        open_face, around = jnp.broadcast_to(self.open_faces[axis], flux.shape), self.periodic[axis]
        face = open_face * (flux + following(flux, self.shape, axis, around)) / (2 * self.spacing[axis])
        change = preceding(face, self.shape, axis, around) - face
        if self.wall_slopes is None:
            return change
        return change - jnp.broadcast_to(self.wall_slopes[axis], flux.shape) * flux


def _positive(values: Array) -> Array:
    return jnp.where(values > 0, values, 1)


@partial(jax.jit, static_argnames="axis", inline=True)
def _mean_face(values: Array, axis: int) -> Array:
    return (0.5 * (values + jnp.roll(values, -1, axis=axis))).reshape(-1)


def _last_layer(values: Array, shape: tuple[int, int, int], axis: int) -> Array:
    return jnp.take(values.reshape(shape), shape[axis] - 1, axis=axis).reshape(-1)


def checked_tensor(tensor: ArrayLike, grid: VoxelGrid) -> Array:
    """A symmetric positive semidefinite tensor per active voxel; traced values can't be looked at and pass."""
    tensor = jnp.asarray(tensor, dtype=jnp.result_type(float))
    extremes = tensor_extremes(tensor, grid, "D")
    if extremes is not None and extremes[0] < -1e-6 * extremes[1]:
        raise ValueError(f"got a tensor with an eigenvalue of {extremes[0]:g}; expected none below zero; do: clip the eigenvalues")
    return tensor


def tensor_extremes(tensor: Array, grid: VoxelGrid, symbol: str) -> tuple[float, float] | None:
    """Smallest eigenvalue and largest entry over the active voxels of a finite symmetric tensor; None where it is traced.

    Raises:
        ValueError: Another shape, not finite, or not symmetric.
    """
    if tensor.shape != (*grid.shape, 3, 3):
        raise ValueError(f"got a tensor of shape {tensor.shape}; expected {(*grid.shape, 3, 3)}; do: resample it")
    if isinstance(tensor, Tracer) or isinstance(grid.mask, Tracer):
        return None
    active = np.asarray(tensor)[np.asarray(grid.mask)]
    if not np.isfinite(active).all():
        raise ValueError("got a tensor that is not finite; expected numbers in every active voxel; do: repair the map")
    if not np.allclose(active, np.swapaxes(active, -1, -2), rtol=1e-5, atol=1e-12):
        raise ValueError(f"got a tensor that is not symmetric; expected {symbol} = {symbol}^T; do: symmetrise it")
    return float(np.linalg.eigvalsh(active).min()), float(np.abs(active).max())
