"""Finite-volume diffusion with a coefficient per voxel."""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.core import Tracer
from jax.typing import ArrayLike, DTypeLike
from jaxtyping import Array, Float

from solvers.grid import VoxelGrid
from solvers.operator import FaceOperator
from solvers.shapes import Cells, Faces, Scalar
from solvers.space.exchange import exchange
from solvers.space.periodic import following, preceding, wrap_exchange
from solvers.space.walls import Walls, check_walls


class Diffusion(FaceOperator):
    r"""$L u = s\,\nabla\cdot(D(x)\nabla u)$ on the active voxels, no flux through the boundary of the mask.

    Between two active neighbours flows $\bar D\,(u_{i+1}-u_i)/h$ with the harmonic mean $\bar D = 2 D_i D_{i+1}/(D_i+D_{i+1})$, the
    coefficient that keeps the flux right across a jump of $D$. Every face is counted once with both signs, so $L$ is symmetric and
    $\sum_i (Lu)_i = 0$ to round-off on any mask, one-voxel slits included.

    Args:
        grid: The voxels.
        coefficient: $D$ per voxel ``(x, y, z)``, length²/time, not negative; or three of them, one per axis (orthotropic tissue).
        scale: The factor $s$, for a coefficient whose pattern is known and whose size is to be fitted: its gradient costs a dot
            product, that of the pattern three fields.
        interior_order: 2, or 4 for $L_4 = \sum_a L_a - \tfrac{h_a^2}{12} L_a D^{-1} L_a$, which cancels the leading error
            where $1/D$ is linear along the axis, uniform tissue above all; elsewhere $\tfrac{h^2}{12} F D\,(1/D)''$ of a flux $F$
            is left: order two with a smaller constant. Stays symmetric, conservative and dissipative. It costs twice as much,
            allows 3/4 of the step, and is not monotone: an unresolved jump can dip below zero by some percent of its height.
        loss: $\lambda$ per cell, 1/time, not negative: adds $-s\,\lambda u$. The operator then is no longer conservative; it stays
            symmetric and dissipative.
        walls: Other conditions than no flux. Their homogeneous part enters the operator; what they bring in from outside is
            ``source`` and is to be added: $u' = Lu + b$. Walls belong to the scale that they were built with: build the operator
            anew to change it. Order two at walls with a condition, where order 4 in the interior falls back to order 2.

    Attributes:
        source: $b$ per cell, field/time; None without walls.

    Raises:
        ValueError: A coefficient or loss that is negative, not finite, complex, or of another shape than the grid, another order,
            or walls of another grid.

    Source: finite volumes with harmonic face values, Patankar (1980), *Numerical Heat Transfer and Fluid Flow*, section 4.2-3.
    """

    faces: tuple[Faces, ...]
    correction: tuple[Float[Array, " cells"], ...] | None
    scale: Scalar
    loss: Float[Array, " cells"] | None
    source: Float[Array, " cells"] | None
    wraps: tuple[Float[Array, "_"] | None, ...] | None
    strides: tuple[int, ...] = eqx.field(static=True)
    shape: tuple[int, int, int] = eqx.field(static=True)

    def __init__(
        self,
        grid: VoxelGrid,
        coefficient: ArrayLike | tuple[ArrayLike, ArrayLike, ArrayLike],
        scale: ArrayLike = 1.0,
        interior_order: int = 2,
        loss: ArrayLike | None = None,
        walls: Walls | None = None,
    ) -> None:
        if interior_order not in (2, 4):
            raise ValueError(f"got interior_order {interior_order}; expected 2 or 4; do: choose one of them")
        per_axis = coefficient if isinstance(coefficient, tuple) else (coefficient,) * 3
        per_axis = tuple(_checked(values, grid) for values in per_axis)
        self.strides, self.shape = grid.strides, grid.shape
        self.faces = _padded_faces(grid, per_axis, grid.spacing)
        self.scale = checked_scale(scale, self.faces[0].dtype)
        self.loss = None if loss is None else checked_loss(loss, grid, self.faces[0].dtype)
        self.correction = None
        if interior_order == 4:
            self.correction = tuple(
                h**2 / 12 * jnp.where(values > 0, 1 / jnp.where(values > 0, values, 1), 0).reshape(-1)
                for h, values in zip(grid.spacing, per_axis, strict=True)
            )
        self.source = self.wraps = None
        if walls is not None:
            check_walls(walls, grid)
            terms = walls.terms(per_axis, self.scale)
            self.source = terms.source
            held = terms.loss / jnp.where(self.scale > 0, self.scale, 1)
            self.loss = held if self.loss is None else self.loss + held
            if any(walls.periodic):
                self.wraps = tuple(_wrap_face(grid, per_axis[axis], axis) if walls.periodic[axis] else None for axis in range(3))
            if self.correction is not None:
                self.correction = tuple(jnp.where(c, 0, weight) for c, weight in zip(terms.closed, self.correction, strict=True))

    def apply(self, field: Cells) -> Cells:
        """$L u$; the barrier keeps XLA from recomputing one stencil inside the next, which measured three times slower."""
        if self.correction is None:
            change = exchange(self.strides, self.faces, field)
            for axis, wrap in enumerate(self.wraps or ()):
                if wrap is not None:
                    change = change + wrap_exchange(self.shape, axis, wrap, field)
        else:
            along = [self._along(axis, field) for axis in range(3)]
            along = lax.optimization_barrier(along)
            corrected = [field - jnp.broadcast_to(weight, part.shape) * part for weight, part in zip(self.correction, along, strict=True)]
            parts = [self._along(axis, v) for axis, v in enumerate(corrected)]
            change = parts[0] + parts[1] + parts[2]
        if self.loss is not None:
            change = change - jnp.broadcast_to(self.loss, field.shape) * field
        return lax.optimization_barrier(self.scale * change)

    def spectral_bound(self) -> Scalar:
        r"""Gershgorin: $s \max_i 2\sum_{faces} c$; for order 4 a third more, since $L_a$ reaches $4D/h^2$ and $1 + 4/12 = 4/3$.

        Across jumps of $D$ the fourth-order bound uses the largest $D^{-1}$ of the neighbours and may be pessimistic. NaN where a
        (traced) coefficient, loss or scale is negative, which no step is stable for.
        """
        bound = 0.0
        for axis in range(3):
            above, below = self.coefficients(axis)
            along = 2 * (above + below)
            if self.correction is not None:
                along = along * (1 + jnp.max(along * self.correction[axis]))
            bound = bound + along
        if self.loss is not None:
            bound = bound + self.loss
        lowest = jnp.stack([self.scale, *(jnp.min(face) for face in self.faces)])
        if self.loss is not None:
            lowest = jnp.append(lowest, jnp.min(self.loss))
        return jnp.where(jnp.min(lowest) < 0, jnp.nan, self.scale * jnp.max(bound))

    def diagonal(self) -> Cells:
        r"""$-s(\sum_{faces} c + \lambda)$; order 4 adds $-\sum_j (L_a)_{ij}^2 w_j$, a sum of squares over a cell and its neighbours."""
        total = 0.0 if self.loss is None else self.loss
        for axis in range(3):
            above, below = self.coefficients(axis)
            total = total + above + below
            if self.correction is not None:
                weight, around = self.correction[axis], self._periodic(axis)
                ahead, behind = (shift(weight, self.shape, axis, around) for shift in (following, preceding))
                total = total + (above + below) ** 2 * weight + above**2 * ahead + below**2 * behind
                if around and self.shape[axis] == 2:  # both faces lead to the same neighbour
                    total = total + 2 * above * below * ahead
        return -self.scale * total

    def _periodic(self, axis: int) -> bool:
        return self.wraps is not None and self.wraps[axis] is not None

    def _along(self, axis: int, field: Cells) -> Cells:
        """The exchange along one axis."""
        change = exchange((self.strides[axis],), (self.faces[axis],), field)
        wrap = None if self.wraps is None else self.wraps[axis]
        return change if wrap is None else change + wrap_exchange(self.shape, axis, wrap, field)


def _checked(values: ArrayLike, grid: VoxelGrid) -> Array:
    """The coefficient as an array of the grid's shape; values that are traced can't be looked at and pass."""
    if jnp.iscomplexobj(values):
        raise ValueError("got a complex coefficient; expected real numbers; do: take the real part if that is what is meant")
    values = jnp.asarray(values, dtype=jnp.result_type(float))
    if values.shape not in ((), grid.shape):
        raise ValueError(f"got a coefficient of shape {values.shape}; expected {grid.shape}; do: resample it onto the grid")
    values = jnp.broadcast_to(values, grid.shape)
    if not isinstance(values, Tracer) and not isinstance(grid.mask, Tracer):
        active = np.asarray(values)[np.asarray(grid.mask)]
        if not np.isfinite(active).all() or (active < 0).any():
            raise ValueError(
                f"got a coefficient between {active.min():g} and {active.max():g}; "
                "expected finite values that are not negative; do: clip or repair the map"
            )
    return values


def checked_scale(scale: ArrayLike, dtype: DTypeLike) -> Scalar:
    """A factor as an array; one that is traced can't be looked at and passes."""
    if not isinstance(scale, Tracer) and not (np.ndim(scale) == 0 and 0 <= float(np.asarray(scale)) < np.inf):
        raise ValueError(f"got scale {scale}; expected one finite number that is not negative; do: check its sign and shape")
    return jnp.asarray(scale, dtype)


def checked_loss(loss: ArrayLike, grid: VoxelGrid, dtype: DTypeLike) -> Array:
    """A rate per cell as a flat field, zero where inactive; traced values can't be looked at and pass."""
    loss = jnp.asarray(loss, dtype)
    if loss.shape != (grid.size,):
        raise ValueError(f"got a loss of shape {loss.shape}; expected {(grid.size,)}; do: flatten it with grid.cells")
    if not isinstance(loss, Tracer) and not isinstance(grid.mask, Tracer):
        active = np.asarray(loss)[np.asarray(grid.mask).reshape(-1)]
        if not np.isfinite(active).all() or (active < 0).any():
            raise ValueError(
                f"got a loss between {active.min():g} and {active.max():g}; "
                "expected finite values that are not negative; do: put growth into the reaction, not into the operator"
            )
    return jnp.where(grid.mask.reshape(-1), loss, 0)


def _harmonic(one: Array, other: Array) -> Array:
    total = one + other
    return 2 * one * other / jnp.where(total != 0, total, 1)  # the sign of a traced negative one is kept, for spectral_bound to see


@partial(jax.jit, inline=True)  # one program instead of one per operation, each of which takes as long to compile
def _padded_faces(grid: VoxelGrid, per_axis: tuple[Array, ...], spacing: tuple[ArrayLike, ...]) -> tuple[Faces, ...]:
    """Harmonic face values over the squared spacing, laid out as :func:`solvers.space.exchange.exchange` takes them, zero at walls."""
    faces = []
    for axis, (coefficient, stride) in enumerate(zip(per_axis, grid.strides, strict=True)):
        harmonic = _harmonic(coefficient, jnp.roll(coefficient, -1, axis=axis))
        face = jnp.where(grid.interior_faces(axis), harmonic.reshape(-1), 0)
        faces.append(jnp.pad(face, (stride, 0)) / jnp.asarray(spacing[axis], face.dtype) ** 2)
    return tuple(faces)


def _wrap_face(grid: VoxelGrid, coefficient: Array, axis: int) -> Array:
    """Harmonic values over the squared spacing at the faces that join the last voxel to the first; none along an axis of one voxel."""
    first, last = (jnp.take(coefficient, end, axis=axis) for end in (0, grid.shape[axis] - 1))
    active = jnp.take(grid.mask, 0, axis=axis) & jnp.take(grid.mask, grid.shape[axis] - 1, axis=axis) & (grid.shape[axis] > 1)
    return jnp.where(active, _harmonic(first, last), 0).reshape(-1) / grid.spacing[axis] ** 2
