"""Constant-coefficient solves on a full box, exact to round-off: sines, cosines and waves that diagonalise the discrete operator."""

from functools import lru_cache
from typing import Literal

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from solvers.grid import VoxelGrid
from solvers.linear.multigrid import Preconditioner
from solvers.operator import FaceOperator
from solvers.shapes import Cells, Scalar

Wall = Literal["no flux", "periodic", "dirichlet"]
Per3 = tuple[float, float, float]


class BoxSolver(eqx.Module):
    r"""$(\sigma - L)^{-1}$ for $L = \sum_a D_a\,\delta_a^2/h_a^2$ on a box, in three products with orthogonal matrices per direction.

    Along each axis the second difference is diagonal in an orthonormal basis $Q_a$, with eigenvalues $-4D_a/h_a^2\,\sin^2\theta_k$:

    * ``no flux``: cosines $\cos\pi k(i+\tfrac12)/n$ (DCT-II), $\theta_k=\pi k/2n$;
    * ``dirichlet``, zero on the outer faces of the box: sines $\sin\pi(k+1)(i+\tfrac12)/n$ (DST-II), $\theta_k = \pi(k+1)/2n$;
    * ``periodic``: sines and cosines of whole periods, $\theta_k=\pi\lfloor (k+1)/2\rfloor/n$.

    They are those of :class:`solvers.space.diffusion.Diffusion` with the same walls to the last bits, so the solve is exact, not an
    approximation of the continuous problem. The singular mode, a constant with $\sigma=0$ and no Dirichlet wall, is set to zero.

    Args:
        grid: A mask without a hole.
        coefficient: $D$, one number or one per axis, length²/time; zero switches an axis off.
        walls: One kind for all axes or one per axis.

    Raises:
        ValueError: A hole in the mask, another kind of wall, a negative coefficient.

    Cost: $4 N (n_x+n_y+n_z)$ multiplications and additions. Matrices, not fast transforms: for long axes a fast transform needs fewer
    operations; from which length on it also takes less time has not been measured.
    Source: Strang (1999), SIAM Review 41, 135; Buzbee, Golub, Nielson (1970), SIAM J. Numer. Anal. 7, 627.
    """

    coefficient: Float[Array, " axes"]
    shape: tuple[int, int, int] = eqx.field(static=True)
    spacing: Per3 = eqx.field(static=True)
    walls: tuple[Wall, Wall, Wall] = eqx.field(static=True)

    def __init__(self, grid: VoxelGrid, coefficient: ArrayLike = 1.0, walls: Wall | tuple[Wall, Wall, Wall] = "no flux") -> None:
        if not isinstance(grid.mask, Tracer) and not np.asarray(grid.mask).all():
            raise ValueError("got a mask with inactive voxels; expected a full box; do: use solve_elliptic, which takes any mask")
        self.shape, self.spacing = grid.shape, grid.spacing
        self.walls = (walls, walls, walls) if isinstance(walls, str) else walls
        if any(wall not in ("no flux", "periodic", "dirichlet") for wall in self.walls):
            raise ValueError(f"got walls {self.walls}; expected 'no flux', 'periodic' or 'dirichlet'; do: choose per axis")
        value = jnp.asarray(coefficient, jnp.result_type(coefficient, float))
        if not isinstance(value, Tracer) and not ((value >= 0) & jnp.isfinite(value)).all():
            raise ValueError(f"got coefficient {coefficient}; expected finite numbers, not negative; do: check the sign and the unit")
        self.coefficient = jnp.broadcast_to(value, (3,))

    def eigenvalues(self) -> Float[Array, "x y z"]:
        r"""Of $-L$, by mode, in the layout of :meth:`transform`."""
        total = jnp.zeros(self.shape, self.coefficient.dtype)
        for axis, (n, h, wall) in enumerate(zip(self.shape, self.spacing, self.walls, strict=True)):
            values = jnp.asarray(basis(n, wall)[1] / h**2, self.coefficient.dtype)
            along = jnp.expand_dims(self.coefficient[axis] * values, [a for a in range(3) if a != axis])
            total = total + jnp.broadcast_to(along, self.shape)
        return total

    def transform(self, field: Cells) -> Float[Array, "*batch x y z"]:
        """Amplitudes of the modes; orthonormal."""
        volume = field.reshape(*field.shape[:-1], *self.shape)
        for axis in range(3):
            volume = product_along(volume, axis, basis(self.shape[axis], self.walls[axis])[0])
        return volume

    def inverse(self, modes: Float[Array, "*batch x y z"]) -> Cells:
        """The field of these amplitudes."""
        for axis in range(3):
            modes = product_along(modes, axis, basis(self.shape[axis], self.walls[axis])[0].T)
        return modes.reshape(*modes.shape[:-3], -1)

    def solve(self, shift: ArrayLike, source: Cells) -> Cells:
        r"""$(\sigma - L)^{-1} b$; differentiable in everything."""
        return self.inverse(self._divided(jnp.asarray(shift, source.dtype), self.transform(source)))

    def _divided(self, shift: Scalar, modes: Array) -> Array:
        values = shift + self.eigenvalues().astype(modes.dtype)
        # Round-off of an eigenvalue that is zero: far below the smallest of the others.
        open_ = values > 1e-10 * jnp.max(values)
        factor = jnp.where(open_, 1 / jnp.where(open_, values, 1), 0)
        return jnp.broadcast_to(factor, modes.shape) * modes


class BoxPreconditioner(Preconditioner):
    r"""A box's exact solve for a problem on a mask in it, or with a coefficient that varies: $M = S\,(\bar\sigma - \bar L)^{-1} S$.

    $S=\mathrm{diag}(\bar d/d)^{1/2}$ with $d$ the diagonal of $\sigma-L$ and $\bar d$ what it were with the mean coefficient in the
    same open faces. Symmetric and positive. On a uniform full box it is exact. It is meant for coefficients that vary little on masks that
    nearly fill their box; elsewhere multigrid is the better choice. How its iterations grow with resolution has not been measured.

    Source: Concus, Golub (1973), SIAM J. Numer. Anal. 10, 1103.
    """

    box: BoxSolver
    shift: Scalar
    scaling: Float[Array, " cells"]

    def apply(self, residual: Cells) -> Cells:
        """See :class:`solvers.linear.multigrid.Preconditioner`."""
        scaling = jnp.broadcast_to(self.scaling, residual.shape)
        modes = self.box.transform(scaling * residual)
        values = self.box.eigenvalues() + self.shift
        smallest = jnp.min(jnp.where(values > 1e-10 * jnp.max(values), values, jnp.inf))
        divided = modes / jnp.broadcast_to(jnp.maximum(values, smallest), modes.shape)
        return lax.optimization_barrier(scaling * self.box.inverse(divided))


def box_preconditioner(
    operator: FaceOperator, shift: ArrayLike, spacing: Per3, walls: Wall | tuple[Wall, Wall, Wall] = "no flux"
) -> BoxPreconditioner:
    r"""Builds it for $\sigma - L$: each axis gets the mean of its open faces as coefficient.

    Args:
        operator: With ``faces``, ``scale`` and ``shape``, such as :class:`solvers.space.diffusion.Diffusion`.
        shift: $\sigma\ge0$.
        spacing: Edges of a voxel.
        walls: What the walls of the box are most like.
    """
    operator = lax.stop_gradient(operator)
    scale = operator.scale
    diagonal = likened = jnp.full(operator.faces[0].shape[0] - operator.strides[0], shift, scale.dtype)
    means = []
    for stride, face in zip(operator.strides, operator.faces, strict=True):
        face = scale * face
        mean = face.sum() / jnp.maximum(jnp.count_nonzero(face), 1)
        uniform = jnp.where(face > 0, mean, 0)
        diagonal = diagonal + face[stride:] + face[: face.shape[0] - stride]
        likened = likened + uniform[stride:] + uniform[: face.shape[0] - stride]
        means.append(mean)
    loss = operator.loss
    diagonal = diagonal if loss is None else diagonal + scale * loss
    per_axis = jnp.stack(means) * jnp.asarray(spacing, scale.dtype) ** 2
    box = BoxSolver(VoxelGrid(np.ones(operator.shape, bool), spacing), per_axis, walls)
    scaling = jnp.where(diagonal > 0, jnp.sqrt(likened / jnp.where(diagonal > 0, diagonal, 1)), 0)
    return BoxPreconditioner(box, jnp.asarray(shift, scale.dtype), scaling)


@lru_cache(maxsize=32)
def basis(n: int, wall: Wall) -> tuple[np.ndarray, np.ndarray]:
    """Orthonormal modes by voxels, and the eigenvalues of minus the second difference."""
    mode, voxel = np.arange(n)[:, None], np.arange(n)[None, :] + 0.5
    if wall == "no flux":
        matrix, angle = np.cos(np.pi * mode * voxel / n), np.pi * np.arange(n) / (2 * n)
    elif wall == "dirichlet":
        matrix, angle = np.sin(np.pi * (mode + 1) * voxel / n), np.pi * (np.arange(n) + 1) / (2 * n)
    else:
        wave = (mode + 1) // 2
        phase = 2 * np.pi * wave * voxel / n
        matrix = np.where(mode % 2 == 1, np.sin(phase), np.cos(phase))
        angle = np.pi * wave[:, 0] / n
        if n % 2 == 0:  # the shortest wave has one phase only that is not zero at the voxels
            matrix[-1] = np.where(np.arange(n) % 2 == 0, 1.0, -1.0)
    return matrix / np.linalg.norm(matrix, axis=1, keepdims=True), 4 * np.sin(angle) ** 2


def product_along(volume: Array, axis: int, matrix: np.ndarray) -> Array:
    """A matrix applied along one of the last three axes."""
    if matrix.shape[0] == 1:
        return volume
    weights = jnp.asarray(matrix, volume.dtype)
    if axis == 0:
        flat = volume.reshape(*volume.shape[:-3], volume.shape[-3], -1)
        return jnp.matmul(weights, flat, precision=lax.Precision.HIGHEST).reshape(volume.shape)
    if axis == 1:
        return jnp.matmul(weights, volume, precision=lax.Precision.HIGHEST)
    return jnp.matmul(volume, weights.T, precision=lax.Precision.HIGHEST)
