"""Transport by a given velocity: finite volumes, upwind, with limited slopes."""

from collections.abc import Mapping

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from solvers.grid import VoxelGrid
from solvers.rate import Rate
from solvers.shapes import Cells, Scalar
from solvers.space.periodic import Periodic3, following, open_faces, preceding
from solvers.space.walls import AXES, SIDES

LIMITERS = ("upwind", "minmod", "van Leer", "MC", "superbee")


class Advection(Rate):
    r"""$\partial_t u = -\nabla\cdot(v\,u) + q$ on the active voxels; nothing is carried through the walls of the mask.

    The flux through a face is $v^+ u^- + v^- u^+$ with $u^\mp$ the cell values beside it, continued to the face by half a limited
    slope $\sigma_i = \phi(u_i-u_{i-1},\,u_{i+1}-u_i)$; a difference into a wall is zero, and so is then the slope. Conservative on any
    mask; second order where the field is smooth and has no extremum (in $L_1$ everywhere), first at extrema, fronts and walls.
    With steps within :meth:`limit` taken by an explicit method that is a convex combination of Euler steps (SSP), the field
    stays nonnegative, and along one axis with constant velocity its total variation does not grow.

    Args:
        grid: The voxels.
        velocity: Normal velocity on faces, length/time, positive towards larger indices: ``(nx+1, ny, nz)``, ``(nx, ny+1, nz)``,
            ``(nx, ny, nz+1)``. Faces at walls inside the box are closed whatever is given; the outermost faces are the sides of the
            box, through which a velocity carries the field out, and in with the value of ``inflow``.
        limiter: ``"upwind"`` (none, order one), ``"minmod"`` (most diffusive), ``"van Leer"`` (smooth but at sign changes),
            ``"MC"`` (good default), ``"superbee"`` (compresses fronts, turns slopes to steps).
        inflow: By side ``"x-"`` to ``"z+"`` the value that enters there; zero if not named. Broadcasts to the grid's shape.
        conservative: False for $\partial_t u = -v\cdot\nabla u$, which keeps constants where $\nabla\cdot v\ne0$ but not the integral.
        periodic: Axes whose first face and last face are one; both must be given with the same velocity.

    Raises:
        ValueError: Velocities of other shapes or not finite, an inflow that is not finite,
            an unknown limiter or side, ends of a periodic axis that differ.

    Differentiable by JAX; the limiters have kinks (where the two differences are equal, or change sign, or one doubles the other),
    where the derivative is that of one of the two sides. Dimension by dimension: in two or three dimensions positive, not TVD.
    Source: van Leer (1979), J. Comput. Phys. 32, 101; Sweby (1984), SIAM J. Numer. Anal. 21, 995, section 3 (limiters).
    """

    velocity: tuple[Float[Array, " cells"], ...]
    outflow: Float[Array, " cells"]
    source: Float[Array, " cells"]
    dilation: Float[Array, " cells"] | None
    open_faces: tuple[Float[Array, " cells"], ...]
    limiter: str = eqx.field(static=True)
    shape: tuple[int, int, int] = eqx.field(static=True)
    spacing: tuple[float, float, float] = eqx.field(static=True)
    periodic: Periodic3 = eqx.field(static=True)

    def __init__(
        self,
        grid: VoxelGrid,
        velocity: tuple[ArrayLike, ArrayLike, ArrayLike],
        limiter: str = "MC",
        inflow: Mapping[str, ArrayLike] | None = None,
        conservative: bool = True,
        periodic: Periodic3 = (False, False, False),
    ) -> None:
        if limiter not in LIMITERS:
            raise ValueError(f"got limiter {limiter!r}; expected one of {', '.join(LIMITERS)}; do: choose one of them")
        inflow = {} if inflow is None else dict(inflow)
        for side in inflow:
            if side not in SIDES or periodic[AXES.index(side[0])]:
                raise ValueError(f"got an inflow at {side!r}; expected one of {', '.join(SIDES)} that is not periodic; do: rename it")
            _check_inflow(inflow[side], side)
        speeds = [_checked(values, grid, axis, periodic[axis]) for axis, values in enumerate(velocity)]
        dtype = jnp.result_type(*speeds)
        self.limiter, self.shape, self.spacing, self.periodic = limiter, grid.shape, grid.spacing, periodic
        self.open_faces = tuple(open_faces(grid, axis, periodic[axis]).astype(dtype) for axis in range(3))
        ahead = [lax.slice_in_dim(speed, 1, speed.shape[axis], axis=axis).reshape(-1) for axis, speed in enumerate(speeds)]
        self.velocity = tuple(part * face for part, face in zip(ahead, self.open_faces, strict=True))
        outflow = source = entering = jnp.zeros(grid.shape, dtype)
        for axis, speed in enumerate(speeds):
            for sign in () if periodic[axis] else (-1, 1):
                leaving = sign * jnp.take(speed, speed.shape[axis] - 1 if sign > 0 else 0, axis=axis)
                layer = grid.shape[axis] - 1 if sign > 0 else 0
                leaving = jnp.where(jnp.take(grid.mask, layer, axis=axis), leaving, 0) / grid.spacing[axis]
                value = jnp.broadcast_to(jnp.asarray(inflow.get(AXES[axis] + ("-" if sign < 0 else "+"), 0.0), dtype), grid.shape)
                place = tuple([slice(None)] * axis + [layer])
                outflow = outflow.at[place].add(jnp.maximum(leaving, 0))
                entering = entering.at[place].add(jnp.maximum(-leaving, 0))
                source = source.at[place].add(jnp.maximum(-leaving, 0) * value[place])
        self.outflow, self.source = outflow.reshape(-1), source.reshape(-1)
        self.dilation = None if conservative else self._net(jnp.ones(grid.size, dtype)) - entering.reshape(-1)

    def evaluate(self, state: Cells, time: Scalar) -> Cells:
        """See :class:`solvers.rate.Rate`; batch axes are allowed and the velocity does not depend on time."""
        del time
        change = jnp.broadcast_to(self.source, state.shape) - self._net(state)
        if self.dilation is not None:
            change = change + jnp.broadcast_to(self.dilation, state.shape) * state
        return lax.optimization_barrier(change)

    def limit(self) -> Scalar:
        r"""The longest Euler step that keeps the field positive: the reciprocal of the largest $\sum_{out} |v|/h$, halved with slopes.

        Half because a limited slope may double the value at the face; Euler steps are the parts of SSP methods. With slopes take at
        least two stages of order two (Heun): Euler steps with limited slopes are positive but of order one.
        """
        leaving = self.outflow
        for axis in range(3):
            forward, backward = jnp.maximum(self.velocity[axis], 0), jnp.maximum(-self.velocity[axis], 0)
            leaving = leaving + (forward + preceding(backward, self.shape, axis, self.periodic[axis])) / self.spacing[axis]
        return (1.0 if self.limiter == "upwind" else 0.5) / jnp.max(leaving)

    def spectral_bound(self) -> Scalar:
        """Twice the reciprocal of :meth:`limit`, so that an Euler step within its bound of two is within that limit."""
        return 2 / self.limit()

    def _net(self, state: Cells) -> Array:
        """What leaves every cell, inflow from outside of the box not counted."""
        total = jnp.broadcast_to(self.outflow, state.shape) * state
        for axis in range(3):
            around = self.periodic[axis]
            velocity = jnp.broadcast_to(self.velocity[axis], state.shape)
            left, right = state, following(state, self.shape, axis, around)
            if self.limiter != "upwind":
                ahead = jnp.broadcast_to(self.open_faces[axis], state.shape) * (right - state)
                half = lax.optimization_barrier(0.5 * limited(preceding(ahead, self.shape, axis, around), ahead, self.limiter))
                left, right = left + half, right - following(half, self.shape, axis, around)
            flux = jnp.maximum(velocity, 0) * left + jnp.minimum(velocity, 0) * right
            total = total + (flux - preceding(flux, self.shape, axis, around)) / self.spacing[axis]
        return total


def limited(behind: Array, ahead: Array, limiter: str) -> Array:
    """The slope between two one-sided differences: zero if their signs differ, at most twice the smaller one."""
    same = behind * ahead > 0
    one, two = jnp.abs(behind), jnp.abs(ahead)
    if limiter == "minmod":
        size = jnp.minimum(one, two)
    elif limiter == "van Leer":
        size = 2 * one * two / jnp.where(same, one + two, 1)
    elif limiter == "MC":
        size = jnp.minimum((one + two) / 2, 2 * jnp.minimum(one, two))
    else:
        size = jnp.maximum(jnp.minimum(2 * one, two), jnp.minimum(one, 2 * two))
    return jnp.where(same, jnp.sign(ahead) * size, 0)


def _check_inflow(value: ArrayLike, side: str) -> None:
    if not isinstance(value, Tracer) and not np.isfinite(np.asarray(value)).all():
        raise ValueError(f"got an inflow at {side} that is not finite; expected numbers; do: repair the boundary data")


def _checked(velocity: ArrayLike, grid: VoxelGrid, axis: int, periodic: bool) -> Array:
    values = jnp.asarray(velocity)
    values = values if jnp.issubdtype(values.dtype, jnp.floating) else values.astype(jnp.result_type(float))
    expected = tuple(n + (a == axis) for a, n in enumerate(grid.shape))
    if values.shape != expected:
        raise ValueError(f"got a velocity along {AXES[axis]} of shape {values.shape}; expected {expected} (faces); do: average onto faces")
    if not isinstance(values, Tracer):
        if not np.isfinite(np.asarray(values)).all():
            raise ValueError(f"got a velocity along {AXES[axis]} that is not finite; expected numbers on every face; do: repair it")
        first, last = (np.take(np.asarray(values), end, axis=axis) for end in (0, -1))
        if periodic and not np.allclose(first, last, rtol=1e-5, atol=1e-12):
            raise ValueError(f"got a periodic axis {AXES[axis]} whose first and last faces differ; expected one velocity; do: copy it")
    return values
