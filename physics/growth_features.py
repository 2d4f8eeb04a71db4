"""What a closure sees of a field in a voxel and its neighbours: numbers that no turn or mirror of the grid changes."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from physics.closure import Variable
from physics.face_features import FLOOR, neighbours, relative_jump
from solvers import Diffusion
from solvers.shapes import Cells, Scalar

GROWTH_INPUTS = tuple(
    Variable(name, "1")
    for name in ("level", "curvature", "slope", "variation", "alignment", "uphill", "contrast", "grid_number", "step_number")
)


def growth_features(
    diffusion: Diffusion, coefficient: Cells, field: Cells, reaction_time: Scalar, length: Scalar
) -> Float[Array, "features cells"]:
    r"""The nine numbers in every cell, sums over the axes of more than one voxel.

    With the neighbours $u_\pm$ along an axis ($u$ itself where there is no tissue), $A = \sum(u_+ + 2u + u_-)$ and
    $k_\pm = (D_\pm-D)/(D_\pm+D)$: level $u$; curvature $\sum(u_+-2u+u_-)/A$; slope $\sum\theta$ with $\theta = (u_+-u_-)^2/A^2$;
    variation $\sum((u_+-u)^2+(u-u_-)^2)/A^2$; alignment $\sum\theta^2$, which tells an axis from a diagonal; uphill
    $\sum(k_+(u_+-u)+k_-(u_--u))/A$; contrast $\sum(k_+^2+k_-^2)$; the mean of the grid numbers of the open faces; step number.

    Args:
        diffusion: Of second order, without periodic walls.
        coefficient: $D$ per cell.
        field: Of order one; what is below zero counts as zero.
        reaction_time: $t_r$.
        length: $\Delta t$.
    """
    field = jnp.maximum(field, 0)
    zero = jnp.zeros_like(field)
    around, bent, slope, varied, aligned, uphill, contrast, grid, opened = (zero + FLOOR, *[zero] * 8)
    axes = [axis for axis in range(3) if diffusion.shape[axis] > 1]
    sides = {axis: neighbours(diffusion, axis, field) for axis in axes}
    for up, down in sides.values():
        around = around + up + 2 * field + down
    for axis in axes:
        up, down = sides[axis]
        theta = ((up - down) / around) ** 2
        bent, slope, aligned = bent + up - 2 * field + down, slope + theta, aligned + theta**2
        varied = varied + ((up - field) / around) ** 2 + ((field - down) / around) ** 2
        above, below = (relative_jump(coefficient, side) for side in neighbours(diffusion, axis, coefficient))
        uphill = uphill + above * (up - field) + below * (down - field)
        contrast = contrast + above**2 + below**2
        for face in diffusion.coefficients(axis):
            conductance = diffusion.scale * face * reaction_time
            grid = grid + jnp.where(face > 0, 1 / (1 + conductance), 0)
            opened = opened + (face > 0)
    number = grid / jnp.maximum(opened, 1)
    step = jnp.broadcast_to(length / reaction_time, field.shape).astype(field.dtype)
    return jnp.stack([field, bent / around, slope, varied, aligned, uphill / around, contrast, number, step])
