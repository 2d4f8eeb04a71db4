r"""Velocities on the faces of voxels: the divergence of a voxel is what leaves through its six faces, and can be made zero exactly."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from solvers.grid import VoxelGrid
from solvers.linear.components import Components, connected_components
from solvers.linear.elliptic import EllipticSolution, solve_elliptic
from solvers.linear.multigrid import Preconditioner, multigrid
from solvers.shapes import Cells, Volume
from solvers.space.diffusion import Diffusion

FaceField = tuple[Float[Array, "_ y z"], Float[Array, "x _ z"], Float[Array, "x y _"]]


class FaceGrid(eqx.Module):
    r"""Faces of a mask of voxels, with divergence, gradient and the orthogonal projection onto fields without divergence.

    A face field is three arrays, one per normal, each one longer along its own axis than the grid: entry $i$ is the face below voxel $i$.
    $(\nabla\cdot u)_i = \sum_a (u_{a,i+1}-u_{a,i})/h_a$ in active voxels, zero elsewhere. The faces between an active and an inactive voxel
    (or the end of the box) are **free**: nothing is asked of what flows through them. So a staircase wall contradicts no measurement; what
    leaks through it can be read with :meth:`outflow`.

    **Projection.** $u - \nabla p$ with $\nabla\cdot\nabla p = \nabla\cdot u$ and $p=0$ in inactive voxels: of all fields without
    divergence the one that is closest in the sum of squares over faces, since $\nabla = -(\nabla\cdot)^\top$. Exact as far as the solve
    is; the divergence left is the residual of the solve.

    Args:
        grid: The voxels; at least one of each connected piece has a face to an inactive voxel or to the end of the box, as always.

    Source: Harlow, Welch (1965), Phys. Fluids 8, 2182 (staggered velocities); Chorin (1968), Math. Comput. 22, 745 (projection).
    """

    grid: VoxelGrid
    operator: Diffusion
    preconditioner: Preconditioner
    components: Components

    def __init__(self, grid: VoxelGrid) -> None:
        mask = np.asarray(grid.mask)
        loss = np.zeros(grid.shape)
        for axis, h in enumerate(grid.spacing):
            padded = _padded(jnp.asarray(mask, float), axis)
            loss += (2 - np.asarray(_slab(padded, axis, 2, None) + _slab(padded, axis, 0, -2))) / h**2
        self.grid = grid
        self.operator = Diffusion(grid, 1.0, loss=jnp.asarray(np.where(mask, loss, 0.0).reshape(-1)))
        self.preconditioner = multigrid(self.operator, 0.0, dtype=jnp.float32)
        self.components = connected_components(self.operator)

    def divergence(self, faces: FaceField) -> Volume:
        """Per voxel, zero where inactive; 1/time."""
        parts = [
            (_slab(u, axis, 1, None) - _slab(u, axis, 0, -1)) / h for axis, (u, h) in enumerate(zip(faces, self.grid.spacing, strict=True))
        ]
        return jnp.where(self.grid.mask, parts[0] + parts[1] + parts[2], 0)

    def gradient(self, field: Volume) -> FaceField:
        """Per face, of a field that is zero outside of the mask: minus the transpose of :meth:`divergence`."""
        field = jnp.where(self.grid.mask, field, 0)
        x, y, z = (jnp.diff(_padded(field, axis), axis=axis) / h for axis, h in enumerate(self.grid.spacing))
        return x, y, z

    def projected(self, faces: FaceField, tolerance: float = 1e-10) -> tuple[FaceField, EllipticSolution]:
        """The closest field without divergence, and how the solve went; the divergence left is ``residual`` times what was there."""
        source: Cells = -self.divergence(faces).reshape(-1)
        solution = solve_elliptic(
            self.operator, source, 0.0, preconditioner=self.preconditioner, components=self.components, tolerance=tolerance
        )
        x, y, z = (u - g for u, g in zip(faces, self.gradient(self.grid.volume(solution.field)), strict=True))
        return (x, y, z), solution

    def centred(self, faces: FaceField) -> Float[Array, "3 x y z"]:
        """Mean of the two faces of every voxel, active or not."""
        return jnp.stack([(_slab(u, axis, 0, -1) + _slab(u, axis, 1, None)) / 2 for axis, u in enumerate(faces)])

    def faces_of(self, centred: Float[Array, "3 x y z"]) -> FaceField:
        """Mean of the two voxels of every face; at the ends of the box the one voxel's value."""
        x, y, z = (between(centred[axis], axis) for axis in range(3))
        return x, y, z

    def outflow(self, faces: FaceField) -> Volume:
        """Volume per time that leaves every active voxel through faces to inactive ones, inside the box."""
        total = jnp.zeros(self.grid.shape, faces[0].dtype)
        for axis, (u, h) in enumerate(zip(faces, self.grid.spacing, strict=True)):
            area = self.grid.voxel_volume / h
            closed = _padded(self.grid.mask, axis, constant_values=True)
            above, below = ~_slab(closed, axis, 2, None), ~_slab(closed, axis, 0, -2)
            total = total + area * (jnp.where(above, _slab(u, axis, 1, None), 0) - jnp.where(below, _slab(u, axis, 0, -1), 0))
        return jnp.where(self.grid.mask, total, 0)


def between(volume: Volume, axis: int) -> Array:
    """Values of voxels on the faces of one axis: the mean of both sides, at the ends of the box the one side's."""
    padded = _padded(volume, axis, mode="edge")
    return (_slab(padded, axis, 0, -1) + _slab(padded, axis, 1, None)) / 2


def _padded(volume: Array, axis: int, **how: Any) -> Array:
    """One more voxel at both ends of an axis, zero unless ``how`` (of ``jnp.pad``) says otherwise."""
    return jnp.pad(volume, [(1, 1) if a == axis else (0, 0) for a in range(3)], **how)


def _slab(array: Array, axis: int, low: int, high: int | None) -> Array:
    index: list[slice] = [slice(None)] * 3
    index[axis] = slice(low, high)
    return array[tuple(index)]
