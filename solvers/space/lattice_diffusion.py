"""Anisotropic diffusion with a fitted fourth difference along each lattice direction: the speed of a front at every angle."""

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from solvers.grid import VoxelGrid
from solvers.operator import Operator
from solvers.shapes import Cells, Scalar
from solvers.space.exchange import exchange, shifted
from solvers.space.monotone_diffusion import Direction, MonotoneDiffusion, in_voxels
from solvers.space.tensor_diffusion import checked_tensor
from solvers.stiff.linear_structure_small import apply_matrix, inverse

Fit = Callable[[Array], Array]


class LatticeDiffusion(Operator):
    r"""$L = s\sum_e \big(E_e - E_e\,\tfrac{b_e}{w_e}\,E_e\big)$ over the lattice directions $e$ of :class:`MonotoneDiffusion`.

    $E_e$ exchanges along $e$ with the weights $w_e$ of $D = \sum_e w_e\,e e^T$ (voxel units). Along a wave of constant $D$ the symbol is
    $\sum_e w_e\,(X_e + b_e X_e^2)$, $X_e = 2-2\cos(k\cdot e)$. With $b=1/12$ it is $k^TDk$ up to fourth order for any orientation of any
    tensor, which no stencil of nine (27) points is.

    A travelling front $u = \varphi(n\cdot x - ct)$ on a lattice has a profile of a continuous variable, so all that the grid does to its
    speed it does through the symbol along $n$. To first order in the error of the symbol the relative error of $c$ is
    $\sum_e p_e\,\varepsilon_b(s_e|\cos|)$: the mean, with the shares $p_e = w_e (e\cdot n)^2/D_n$, of the errors of cables with the spacing
    $|e\cdot n|/\sqrt{D_n}$, which is at most $s_e=\sqrt{e^T D^{-1} e}$. A function $b(s)$ that is right for a cable of spacing $s$
    therefore is nearly right in every direction at once.

    Args:
        grid: The voxels.
        tensor: As for :class:`MonotoneDiffusion`, positive definite.
        fit: $b$ as a function of $s$ (an array, in the square root of the unit of time); None for $1/12$. Not negative.
        scale: The factor.
        directions: As for :class:`MonotoneDiffusion`, where the tensor is traced.

    Raises:
        ValueError: As :class:`MonotoneDiffusion`; a known fit that is negative or not finite.

    Symmetric, conservative and dissipative on every mask: $E_e r E_e$ is at most $4b$ times $-E_e$, since $r_e$ is $b_e$ over the larger
    of the two couplings of a voxel. Not monotone. At walls the couplings that would leave are dropped, as there: order one where
    directions cross a wall obliquely. Costs two exchanges per direction: 6 directions for a uniform tensor, more where it turns.
    Source: derived here; the directions are those of Selling (1874).
    """

    base: MonotoneDiffusion
    responses: tuple[Float[Array, " cells"], ...]
    bends: tuple[Scalar, ...]

    def __init__(
        self,
        grid: VoxelGrid,
        tensor: ArrayLike,
        fit: Fit | None = None,
        scale: ArrayLike = 1.0,
        directions: tuple[Direction, ...] | None = None,
    ) -> None:
        self.base = MonotoneDiffusion(grid, tensor, scale, directions)
        of_voxels = in_voxels(checked_tensor(tensor, grid), grid)
        inverted = inverse([[of_voxels[:, a, b] for b in range(3)] for a in range(3)])
        active = grid.mask.reshape(-1)
        responses, bends = [], []
        inside = [d for d in self.base.directions if all(abs(step) < n for step, n in zip(d, grid.shape, strict=True))]
        for direction, stride, face in zip(inside, self.base.strides, self.base.faces, strict=True):
            e = [jnp.asarray(step, of_voxels.dtype) for step in direction]
            spacing = jnp.sqrt(sum(a * b for a, b in zip(e, apply_matrix(inverted, e), strict=True)))
            bend = jnp.full_like(spacing, 1 / 12) if fit is None else fit(spacing).astype(spacing.dtype)
            if not isinstance(bend, Tracer) and not (np.isfinite(bend) & (np.asarray(bend) >= 0)).all():
                raise ValueError(f"got a fit of {float(jnp.min(bend)):g} at least; expected finite, not negative; do: check the fit")
            largest = jnp.maximum(face[stride:], face[: grid.size])
            used = (largest > 0) & active
            responses.append(jnp.where(used, bend / jnp.where(used, largest, 1), 0))
            bends.append(jnp.max(jnp.where(used, bend, 0)))
        self.responses, self.bends = tuple(responses), tuple(bends)

    @property
    def directions(self) -> tuple[Direction, ...]:
        """To be given where the tensor is traced."""
        return self.base.directions

    def apply(self, field: Cells) -> Cells:
        """See :class:`solvers.operator.Operator`."""
        change = jnp.zeros_like(field)
        for stride, face, response in zip(self.base.strides, self.base.faces, self.responses, strict=True):
            # The barrier keeps XLA from computing the inner stencil again for each neighbour of the outer one.
            inner = lax.optimization_barrier(exchange((stride,), (face,), field))
            change = change + inner - exchange((stride,), (face,), jnp.broadcast_to(response, inner.shape) * inner)
        return lax.optimization_barrier(self.base.scale * change)

    def spectral_bound(self) -> Scalar:
        """Gershgorin of the couplings, each direction times one plus four of its largest $b$."""
        total = jnp.zeros(self._cells, self.base.scale.dtype)
        for stride, face, bend in zip(self.base.strides, self.base.faces, self.bends, strict=True):
            total = total + 2 * (1 + 4 * bend) * (face[stride:] + face[: self._cells])
        return self.base.scale * jnp.max(total)

    def diagonal(self) -> Cells:
        """Minus the couplings, and what the second exchange brings back to a cell."""
        total = jnp.zeros(self._cells, self.base.scale.dtype)
        for stride, face, response in zip(self.base.strides, self.base.faces, self.responses, strict=True):
            above, below = face[stride:], face[: self._cells]
            total = total + above + below + response * (above + below) ** 2
            total = total + shifted(response, stride) * above**2 + shifted(response, -stride) * below**2
        return -self.base.scale * total

    @property
    def _cells(self) -> int:
        x, y, z = self.base.shape
        return x * y * z
