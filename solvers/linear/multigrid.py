"""One multigrid cycle on a masked voxel grid: the preconditioner of elliptic solves."""

from abc import abstractmethod

import equinox as eqx
import jax.numpy as jnp
from jax import lax
from jax.typing import ArrayLike, DTypeLike
from jaxtyping import Array, Float

from solvers.linear.coarsening import Plan, Shape3, coarsening_plan, mean_couplings, pairs, prolong, restrict
from solvers.operator import FaceOperator, Operator
from solvers.shapes import Cells, Faces, Scalar
from solvers.space.periodic import wrap_planes

Wraps = tuple[Float[Array, "_"] | None, ...]

# Weights of the optimised polynomials of degree 1 to 4, Lottes (2023), table 2.
WEIGHTS = (
    (1.125,),
    (1.02387287570313, 1.26408905371085),
    (1.00842544782028, 1.08867839208730, 1.33753125909618),
    (1.00391310427285, 1.04035811188593, 1.14863498546254, 1.38268869241000),
)


class Preconditioner(eqx.Module):
    r"""A cheap symmetric positive semidefinite map $M \approx (\sigma - L)^{-1}$, for conjugate gradients."""

    @abstractmethod
    def apply(self, residual: Cells) -> Cells:
        """The correction for a residual (leading batch axes allowed)."""


class Level(eqx.Module):
    r"""One grid of the hierarchy, scaled to a unit diagonal: $\hat A = S A S = I - C$ with $S = \mathrm{diag}(A)^{-1/2}$.

    Attributes:
        faces: Couplings $\hat c = s_i c\, s_{i+1}$ per axis, in the layout of :func:`solvers.space.exchange.exchange`.
        wraps: Couplings across the ends of periodic axes.
        scaling: $s$ per cell, zero where the row of $A$ is zero.
    """

    faces: tuple[Faces, ...]
    wraps: Wraps
    scaling: Float[Array, " cells"]
    shape: Shape3 = eqx.field(static=True)
    axes: tuple[int, ...] = eqx.field(static=True)

    def apply(self, field: Cells) -> Cells:
        r"""$\hat A u$."""
        cells, batch = field.shape[-1], field.ndim - 1
        strides = _strides(self.shape)
        padded = jnp.pad(field, [(0, 0)] * batch + [(strides[0], strides[0])])
        change = field
        for stride, face in zip(strides, self.faces, strict=True):
            face = jnp.expand_dims(face, range(batch))
            above = padded[..., strides[0] + stride : strides[0] + stride + cells]
            below = padded[..., strides[0] - stride : strides[0] - stride + cells]
            change = change - (face[..., stride:] * above + face[..., :cells] * below)
        for axis, wrap in enumerate(self.wraps):
            if wrap is not None:
                volume = field.reshape(*field.shape[:-1], *self.shape)
                other = jnp.roll(volume, 1, axis - 3).reshape(field.shape), jnp.roll(volume, -1, axis - 3).reshape(field.shape)
                last, first = wrap_planes(self.shape, axis, wrap)
                change = change - (jnp.expand_dims(first, range(batch)) * other[0] + jnp.expand_dims(last, range(batch)) * other[1])
        return lax.optimization_barrier(change)

    def smooth(self, right: Cells, degree: int) -> Cells:
        """The optimised Chebyshev polynomial of the fourth kind, from zero; spectrum within 0 and 2 by Gershgorin."""
        residual, step, field = right, right, jnp.zeros_like(right)
        for number, weight in enumerate(WEIGHTS[degree - 1], start=1):
            share = (8 * number - 4) / (2 * number + 1) / 2
            step = share * residual if number == 1 else (2 * number - 3) / (2 * number + 1) * step + share * residual
            field = weight * step if number == 1 else field + weight * step
            if number < degree:
                residual = residual - self.apply(step)
        return field


class Multigrid(Preconditioner):
    r"""A symmetric V-cycle for $\sigma - L$ on any mask, with the seven-point stencil on every level.

    Cells are merged in pairs per axis. An aggregate's couplings are the sums of those of its cells, halved along every axis that was
    merged, because the distance between centres doubles; shift and losses are summed. Corrections are copied to the cells of an
    aggregate and residuals summed. That is Galerkin coarsening with piecewise constants but for the factor one half, without which
    such a coarse operator is twice too stiff. Before and after, a Chebyshev polynomial smooths; being polynomials in the operator,
    both are the same symmetric map, and the cycle is symmetric positive semidefinite, as conjugate gradients need.

    Build it with :func:`multigrid`, once for many right-hand sides. No derivative goes through it unless asked for: a preconditioner
    changes how a solution is found, not which one.

    Args:
        levels: The grids, finest first.
        smoothing: Degree of the smoothing polynomials, 1 to 4.

    Cost: $2\nu$ stencils on the finest level for degree $\nu$ and 1/7 more for all others. Memory: four fields on the finest level.
    Fails to be fast where couplings jump by 100 and more from each voxel to the next (30 iterations instead of 13), where walls one
    voxel thick separate regions that coarse levels then merge, and for strong anisotropy oblique to the grid.
    Source: Wesseling (1988), J. Comput. Appl. Math. 22 (cell-centred multigrid); Braess (1995), Computing 55, 379 (overcorrected
    aggregation); Lottes (2023), Numer. Linear Algebra Appl. 30, e2518 (polynomial of the fourth kind, equation 36 and table 2).
    """

    levels: tuple[Level, ...]
    smoothing: int = eqx.field(static=True, default=2)

    def apply(self, residual: Cells) -> Cells:
        """See :class:`Preconditioner`; computed in the precision of the hierarchy."""
        scaling = jnp.broadcast_to(self.levels[0].scaling, residual.shape)
        scaled = self._cycle(0, lax.optimization_barrier(scaling * residual.astype(scaling.dtype)))
        return (scaling * scaled).astype(residual.dtype)

    def _cycle(self, number: int, right: Cells) -> Cells:
        level = self.levels[number]
        if number == len(self.levels) - 1:
            return right if level.shape == (1, 1, 1) else level.smooth(right, self.smoothing)
        coarse = self.levels[number + 1]
        field = lax.optimization_barrier(level.smooth(right, self.smoothing))
        residual = lax.optimization_barrier(right - level.apply(field))
        own, below = (jnp.broadcast_to(part.scaling, (*right.shape[:-1], part.scaling.size)) for part in (level, coarse))
        root = jnp.where(own > 0, 1 / jnp.where(own > 0, own, 1), 0)
        gathered = below * restrict(root * residual, level.shape, level.axes)
        correction = below * self._cycle(number + 1, lax.optimization_barrier(gathered))
        field = lax.optimization_barrier(field + root * prolong(correction, level.shape, level.axes))
        residual = lax.optimization_barrier(right - level.apply(field))
        return lax.optimization_barrier(field + level.smooth(residual, self.smoothing))


def multigrid(
    operator: Operator,
    shift: ArrayLike = 0.0,
    smoothing: int = 2,
    plan: Plan | None = None,
    dtype: DTypeLike | None = None,
    differentiable: bool = False,
) -> Multigrid:
    r"""Builds the hierarchy for $\sigma - L$; on the host or inside a compiled function.

    Args:
        operator: With ``faces`` per axis, ``scale`` and ``shape``, such as :class:`Diffusion`, or :class:`TensorDiffusion`, whose
            exchange through faces then stands for the whole.
        shift: $\sigma \ge 0$.
        smoothing: Degree of the smoothing polynomials, 1 to 4. Two measured fastest; three where couplings jump at random.
        plan: From :func:`solvers.linear.coarsening.coarsening_plan`. Without it the couplings of the operator decide, and inside a
            compiled function, where they can't be looked at, all axes are halved.
        dtype: Precision of the cycle; the operator's without it. In float32 it costs half the time and preconditions a solve in
            float64 as well, to full accuracy.
        differentiable: Whether derivatives go through the hierarchy to the operator: for a cycle that is part of the result, such as
            those of :func:`solvers.truncated_tensors`. In a solve to a tolerance they cost time and change nothing.

    Raises:
        ValueError: An operator without faces, or another degree.
    """
    if not 1 <= smoothing <= len(WEIGHTS):
        raise ValueError(f"got smoothing {smoothing}; expected 1 to {len(WEIGHTS)}; do: choose a degree in that range")
    if not isinstance(operator, FaceOperator):
        raise ValueError(f"got {type(operator).__name__}; expected a FaceOperator; do: give a preconditioner of your own")
    if plan is None:
        plan = coarsening_plan(operator.shape, mean_couplings(operator))
    return _build(
        operator, jnp.asarray(shift, operator.scale.dtype), smoothing, plan, jnp.dtype(dtype or operator.scale.dtype), differentiable
    )


@eqx.filter_jit
def _build(operator: FaceOperator, shift: Scalar, smoothing: int, plan: Plan, dtype: jnp.dtype, differentiable: bool) -> Multigrid:
    if not differentiable:
        operator, shift = lax.stop_gradient((operator, shift))
    shape, scale = operator.shape, operator.scale
    faces = [(scale * face[s:]).reshape(shape) for face, s in zip(operator.faces, _strides(shape), strict=True)]
    around = operator.wraps or (None, None, None)
    wraps: list[Array | None] = [None if wrap is None else (scale * wrap).reshape(_plane(shape, axis)) for axis, wrap in enumerate(around)]
    loss = operator.loss
    mass = jnp.broadcast_to(shift, shape)
    mass = mass if loss is None else mass + (scale * loss).reshape(shape)
    levels = []
    for axes in (*plan, ()):
        levels.append(_level(faces, wraps, mass, axes, dtype))
        for axis in axes:
            faces, wraps, mass = _coarsen(faces, wraps, mass, axis)
    return Multigrid(tuple(levels), smoothing)


def _coarsen(faces: list[Array], wraps: list[Array | None], mass: Array, axis: int) -> tuple[list[Array], list[Array | None], Array]:
    """Merges pairs of cells along one axis."""
    coarse = []
    for a, face in enumerate(faces):
        even, odd = pairs(face, axis)
        coarse.append(odd / 2 if a == axis else even + odd)
    around: list[Array | None] = []
    for a, wrap in enumerate(wraps):
        if wrap is None or (a == axis and mass.shape[axis] <= 2):
            around.append(None)  # the two ends are one cell now
        elif a == axis:
            around.append(wrap / 2)
        else:
            even, odd = pairs(wrap, axis)
            around.append(even + odd)
    even, odd = pairs(mass, axis)
    return coarse, around, even + odd


def _level(faces: list[Array], wraps: list[Array | None], mass: Array, axes: tuple[int, ...], dtype: DTypeLike) -> Level:
    shape: Shape3 = (mass.shape[0], mass.shape[1], mass.shape[2])
    diagonal = mass
    for axis, (face, wrap) in enumerate(zip(faces, wraps, strict=True)):
        diagonal = diagonal + face + jnp.roll(face, 1, axis)  # the last entries along the axis are zero
        if wrap is not None and shape[axis] > 1:
            last, first = wrap_planes(shape, axis, wrap.reshape(-1))
            diagonal = diagonal + (last + first).reshape(shape)
    s = jnp.where(diagonal > 0, 1 / jnp.sqrt(jnp.where(diagonal > 0, diagonal, 1)), 0)
    scaled = [face * s * jnp.roll(s, -1, axis) for axis, face in enumerate(faces)]
    planes = []
    for axis, wrap in enumerate(wraps):
        ends = lax.index_in_dim(s, shape[axis] - 1, axis) * lax.index_in_dim(s, 0, axis)
        planes.append(None if wrap is None or shape[axis] == 1 else (wrap * ends).reshape(-1).astype(dtype))
    padded = tuple(jnp.pad(face.reshape(-1), (n, 0)).astype(dtype) for face, n in zip(scaled, _strides(shape), strict=True))
    return Level(padded, tuple(planes), s.reshape(-1).astype(dtype), shape, axes)


def _plane(shape: Shape3, axis: int) -> Shape3:
    """Shape of a layer across an axis, the axis kept with length one."""
    return tuple(1 if a == axis else n for a, n in enumerate(shape))  # pyright: ignore[reportReturnType]


def _strides(shape: Shape3) -> Shape3:
    return shape[1] * shape[2], shape[2], 1
