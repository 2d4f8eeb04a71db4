"""Finite-volume diffusion with a full symmetric tensor per voxel."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from solvers.exchange import exchange
from solvers.grid import VoxelGrid
from solvers.operator import Operator
from solvers.shapes import Cells, Faces, Scalar

PAIRS = ((0, 1), (0, 2), (1, 2))


class TensorDiffusion(Operator):
    r"""$L u = s\,\nabla\cdot(D(x)\nabla u)$ with a tensor $D$, no flux through the boundary of the mask.

    $L$ is minus the gradient of the energy $\tfrac12\sum_i V\,\overline{g^T D_i\,g}$, where $g$ runs over the eight choices of one
    one-sided difference per axis at voxel $i$ and a difference across a wall is zero. So $L$ is symmetric, conservative and, for
    positive semidefinite $D$, dissipative on every mask. The face coefficient of the diagonal is the arithmetic mean; 19 points.

    Args:
        grid: The voxels.
        tensor: $D$ per voxel ``(x, y, z, 3, 3)``, length²/time, symmetric positive semidefinite, in the axes of the grid.
        scale: The factor $s$.

    Raises:
        ValueError: Wrong shape, not finite, not symmetric, or with a negative eigenvalue in an active voxel.

    Fails: not monotone. Where an off-diagonal entry exceeds the smaller diagonal one (strong anisotropy oblique to the grid) a
    sharp profile can dip below zero by some percent of its height; use :class:`Diffusion` where positivity matters more.
    At walls the cross term takes the missing difference as zero, which is first-order accurate there.
    """

    faces: tuple[Faces, ...]
    cross: Float[Array, "pairs cells"]
    open_faces: tuple[Float[Array, " cells"], ...]
    scale: Scalar
    strides: tuple[int, ...] = eqx.field(static=True)
    spacing: tuple[float, ...] = eqx.field(static=True)

    def __init__(self, grid: VoxelGrid, tensor: ArrayLike, scale: ArrayLike = 1.0) -> None:
        tensor = _checked(tensor, grid)
        self.strides, self.spacing = grid.strides, grid.spacing
        self.open_faces = tuple(grid.interior_faces(axis).astype(tensor.dtype) for axis in range(3))
        self.faces = tuple(
            jnp.pad(_mean_face(tensor[..., axis, axis], axis) * self.open_faces[axis] / h**2, (stride, 0))
            for axis, (stride, h) in enumerate(zip(self.strides, self.spacing, strict=True))
        )
        active = grid.mask.reshape(-1)
        self.cross = jnp.stack([jnp.where(active, tensor[..., a, b].reshape(-1), 0) for a, b in PAIRS])
        self.scale = jnp.asarray(scale, tensor.dtype)

    def apply(self, field: Cells) -> Cells:
        """See :class:`solvers.operator.Operator`."""
        slopes = [self._slope(field, axis) for axis in range(3)]
        flux = [jnp.zeros_like(field)] * 3
        for number, (a, b) in enumerate(PAIRS):
            cross = jnp.broadcast_to(self.cross[number], field.shape)
            flux[a] = flux[a] + cross * slopes[b]
            flux[b] = flux[b] + cross * slopes[a]
        flux = lax.optimization_barrier(flux)
        change = exchange(self.strides, self.faces, field)
        for axis in range(3):
            change = change - self._slope_transposed(flux[axis], axis)
        return lax.optimization_barrier(self.scale * change)

    def spectral_bound(self) -> Scalar:
        r"""$4 s \sum_a \max D_{aa}/h_a^2$ times 3/2 at most, since $|D_{ab}|\le\sqrt{D_{aa}D_{bb}}$ couples central differences."""
        diagonal = sum(
            2 * jnp.max(face[stride:] + face[: face.shape[0] - stride]) for stride, face in zip(self.strides, self.faces, strict=True)
        )
        pairs = sum(2 * jnp.max(jnp.abs(self.cross[number])) / (self.spacing[a] * self.spacing[b]) for number, (a, b) in enumerate(PAIRS))
        return self.scale * (diagonal + pairs)

    def _slope(self, field: Cells, axis: int) -> Cells:
        """Mean of the two one-sided differences, each zero across a wall."""
        stride, open_face = self.strides[axis], jnp.broadcast_to(self.open_faces[axis], field.shape)
        width = [(0, 0)] * (field.ndim - 1)
        ahead = open_face * (jnp.pad(field[..., stride:], [*width, (0, stride)]) - field)
        behind = jnp.pad(ahead[..., :-stride], [*width, (stride, 0)])
        return (ahead + behind) / (2 * self.spacing[axis])

    def _slope_transposed(self, flux: Cells, axis: int) -> Cells:
        """The transpose of :meth:`_slope`, minus a divergence."""
        stride, open_face = self.strides[axis], jnp.broadcast_to(self.open_faces[axis], flux.shape)
        width = [(0, 0)] * (flux.ndim - 1)
        face = open_face * (flux + jnp.pad(flux[..., stride:], [*width, (0, stride)])) / (2 * self.spacing[axis])
        return jnp.pad(face[..., :-stride], [*width, (stride, 0)]) - face


def _mean_face(values: Array, axis: int) -> Array:
    return (0.5 * (values + jnp.roll(values, -1, axis=axis))).reshape(-1)


def _checked(tensor: ArrayLike, grid: VoxelGrid) -> Array:
    tensor = jnp.asarray(tensor, dtype=jnp.result_type(float))
    if tensor.shape != (*grid.shape, 3, 3):
        raise ValueError(f"got a tensor of shape {tensor.shape}; expected {(*grid.shape, 3, 3)}; do: resample it")
    if not isinstance(tensor, Tracer) and not isinstance(grid.mask, Tracer):
        active = np.asarray(tensor)[np.asarray(grid.mask)]
        if not np.isfinite(active).all():
            raise ValueError("got a tensor that is not finite; expected numbers in every active voxel; do: repair the map")
        if not np.allclose(active, np.swapaxes(active, -1, -2), rtol=1e-5, atol=1e-12):
            raise ValueError("got a tensor that is not symmetric; expected D = D^T; do: symmetrise it")
        smallest, largest = np.linalg.eigvalsh(active).min(), np.abs(active).max()
        if smallest < -1e-6 * largest:
            raise ValueError(f"got a tensor with an eigenvalue of {smallest:g}; expected none below zero; do: clip the eigenvalues")
    return tensor
