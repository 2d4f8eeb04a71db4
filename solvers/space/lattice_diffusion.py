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
from solvers.space.monotone_diffusion import Direction, MonotoneDiffusion, decomposition, in_voxels, weight_along
from solvers.space.tensor_diffusion import checked_tensor
from solvers.stiff.linear_structure_small import apply_matrix, inverse

Fit = Callable[[Array, Array], tuple[Array, Array]]


class LatticeDiffusion(Operator):
    r"""$L = s\big(\sum_e E_e - \sum_{e,e'} E_e R_{ee'} E_{e'}\big)$ over the lattice directions $e$ of :class:`MonotoneDiffusion`.

    $E_e$ exchanges along $e$ with the weights $w_e$ of $D = \sum_e w_e\,e e^T$ (voxel units); in every voxel $R_{ee} = b_e/w_e$ and
    $R_{ee'} = -\rho_e\rho_{e'}/(2\sqrt{w_ew_{e'}})$. Along a wave of constant $D$ the symbol is, with $X_e = 2-2\cos(k\cdot e)$,

    $$\lambda = \sum_e w_e\,(X_e + b_e X_e^2) - \sum_{e<e'} \rho_e\rho_{e'}\sqrt{w_ew_{e'}}\,X_eX_{e'}.$$

    With $b=1/12$, $\rho=0$ it is $k^TDk$ up to fourth order for any orientation of any tensor, which no stencil of nine (27) points is.

    A travelling front $u = \varphi(n\cdot x - ct)$ on a lattice has a profile of a continuous variable, so all that the grid does to its
    speed it does through the symbol along $n$. To first order the relative error of $c$ is linear in the error of the symbol. Each
    direction carries the share $p_e = w_e (e\cdot n)^2/D_n$ of the wave, $\sum_e p_e = 1$, with the spacing $|e\cdot n|/\sqrt{D_n}$,
    which is at most $s_e=\sqrt{e^T D^{-1} e}$, and a share of at most $P_e = w_e s_e^2$. $b(s_e, P_e)$ is what a front along $e$ needs;
    $\rho$ takes back from waves between two directions what both give them too much.

    Args:
        grid: The voxels.
        tensor: As for :class:`MonotoneDiffusion`, positive definite.
        fit: $b$ and $\rho$ as functions of $s$ and $P$ (arrays; $s$ in the square root of the unit of time); None for $1/12$ and 0. Not
            negative, $\rho$ not above what keeps $R$ positive: $\sum_e \rho_e^2/(2b_e+\rho_e^2) \le 1$ in every voxel.
        scale: The factor.
        directions: As for :class:`MonotoneDiffusion`, where the tensor is traced.

    Raises:
        ValueError: As :class:`MonotoneDiffusion`; a known fit that is negative, not finite, or with too large a $\rho$.

    Symmetric, conservative and dissipative on every mask: $R$ is positive semidefinite, and at most $(b_e + \rho_e^2/2)/w_e$ on its
    diagonal. Not monotone. At walls the couplings that would leave are dropped, as there: order one where directions cross a wall
    obliquely. Costs two exchanges per direction: 6 directions for a uniform tensor, more where it turns.
    Source: derived here; the directions are those of Selling (1874).
    """

    base: MonotoneDiffusion
    responses: tuple[Float[Array, " cells"], ...]
    crosses: tuple[Float[Array, " cells"], ...] | None
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
        own_weights = decomposition(of_voxels) if fit is not None else None
        active = grid.mask.reshape(-1)
        responses, crosses, bends, outweighed = [], [], [], jnp.zeros(grid.size, of_voxels.dtype)
        inside = [d for d in self.base.directions if all(abs(step) < n for step, n in zip(d, grid.shape, strict=True))]
        for direction, stride, face in zip(inside, self.base.strides, self.base.faces, strict=True):
            e = [jnp.asarray(step, of_voxels.dtype) for step in direction]
            squared = jnp.stack([a * b for a, b in zip(e, apply_matrix(inverted, e), strict=True)]).sum(axis=0)
            largest = jnp.maximum(face[stride:], face[: grid.size])
            used = (largest > 0) & active
            weight = jnp.where(used, largest, 1)
            if fit is None or own_weights is None:
                bend, cross = jnp.full_like(squared, 1 / 12), jnp.zeros_like(squared)
            else:
                share = weight_along(direction, *own_weights) * squared
                bend, cross = (_checked(value, squared) for value in fit(jnp.sqrt(squared), share))
            bend, cross = jnp.where(used, bend, 0), jnp.where(used, cross, 0)
            whole = bend + cross**2 / 2
            outweighed = outweighed + cross**2 / 2 / jnp.where(whole > 0, whole, 1)
            responses.append(whole / weight)
            crosses.append(cross / jnp.sqrt(weight))
            bends.append(jnp.max(whole))
        if not isinstance(outweighed, Tracer) and float(jnp.max(outweighed)) > 1 + 1e-6:
            raise ValueError(
                f"got a fit whose cross terms are {float(jnp.max(outweighed)):.3g} of what its bends allow; expected at most 1; "
                "do: lower the second of its results"
            )
        self.responses, self.bends = tuple(responses), tuple(bends)
        self.crosses = None if fit is None else tuple(crosses)

    @property
    def directions(self) -> tuple[Direction, ...]:
        """To be given where the tensor is traced."""
        return self.base.directions

    def apply(self, field: Cells) -> Cells:
        """See :class:`solvers.operator.Operator`."""
        # The barriers keep XLA from computing the inner stencil again for each neighbour of the outer one.
        along = [
            lax.optimization_barrier(exchange((stride,), (face,), field))
            for stride, face in zip(self.base.strides, self.base.faces, strict=True)
        ]
        change = sum(along, jnp.zeros_like(field))
        bent = [jnp.broadcast_to(response, field.shape) * inner for response, inner in zip(self.responses, along, strict=True)]
        if self.crosses is not None:
            crosses = [jnp.broadcast_to(cross, field.shape) for cross in self.crosses]
            together = sum((cross * inner for cross, inner in zip(crosses, along, strict=True)), jnp.zeros_like(field)) / 2
            together = lax.optimization_barrier(together)
            bent = [own - cross * together for own, cross in zip(bent, crosses, strict=True)]
        for stride, face, outer in zip(self.base.strides, self.base.faces, bent, strict=True):
            change = change - exchange((stride,), (face,), outer)
        return lax.optimization_barrier(self.base.scale * change)

    def spectral_bound(self) -> Scalar:
        r"""Gershgorin of the couplings, each direction times one plus four of its largest $b + \rho^2/2$."""
        total = jnp.zeros(self._cells, self.base.scale.dtype)
        for stride, face, bend in zip(self.base.strides, self.base.faces, self.bends, strict=True):
            total = total + 2 * (1 + 4 * bend) * (face[stride:] + face[: self._cells])
        return self.base.scale * jnp.max(total)

    def diagonal(self) -> Cells:
        """Minus the couplings, and what the second exchange brings back to a cell."""
        total = jnp.zeros(self._cells, self.base.scale.dtype)
        together = jnp.zeros_like(total)
        crosses = (together,) * len(self.responses) if self.crosses is None else self.crosses
        for stride, face, whole, cross in zip(self.base.strides, self.base.faces, self.responses, crosses, strict=True):
            above, below = face[stride:], face[: self._cells]
            own = whole - cross**2 / 2
            total = total + above + below + whole * (above + below) ** 2
            total = total + shifted(own, stride) * above**2 + shifted(own, -stride) * below**2
            together = together + cross * (above + below)
        return -self.base.scale * (total - together**2 / 2)

    @property
    def _cells(self) -> int:
        x, y, z = self.base.shape
        return x * y * z


def _checked(value: Array, like: Array) -> Array:
    """A result of a fit, refused where it is known to be negative or not finite."""
    value = jnp.broadcast_to(value, like.shape).astype(like.dtype)
    if not isinstance(value, Tracer) and not (np.isfinite(value) & (np.asarray(value) >= 0)).all():
        raise ValueError(f"got a fit of {float(jnp.min(value)):g} at least; expected finite, not negative; do: check the fit")
    return value
