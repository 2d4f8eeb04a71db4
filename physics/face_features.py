"""What a closure sees of a field at a face between two voxels: numbers that no turn or mirror of the grid changes."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Shaped

from physics.closure import Variable
from solvers import Diffusion
from solvers.shapes import Cells, Scalar

FACE_INPUTS = tuple(
    Variable(name, "1")
    for name in (
        "steepness",
        "level",
        "curvature",
        "skewness",
        "curvature_across",
        "steepness_across",
        "contrast",
        "uphill",
        "grid_number",
        "step_number",
    )
)
GRID = 8  # the place of the grid number
FLOOR = 1e-6  # of a field of order one: below it all ratios go to zero, and in float32 their fourth powers are still numbers


def face_features(
    diffusion: Diffusion, coefficient: Cells, field: Cells, reaction_time: Scalar, length: Scalar
) -> Float[Array, "features axes cells"]:
    r"""The ten numbers at the face above every cell, along every axis of more than one voxel.

    With $a, b$ on the two sides of a face, $\bar a, \bar b$ the next ones behind them (where there is no tissue $a$ and $b$ themselves,
    as at a wall without flux), $n = a + b$, $f = \bar a + \bar b$, $k = (D_b-D_a)/(D_b+D_a)$, and $\sum_t$ over both sides and the
    directions along the face, where a cell $c$ has the neighbours $c_\pm$ and $A = 2n + \sum_t(c_+ + c_-)$:

    * steepness $(b-a)^2/n^2$, level $n/2$, curvature $(f-n)/(f+n)$, skewness $(b-a)(\bar b-3b+3a-\bar a)/(f+n)^2$;
    * curvature across $\sum_t(c_+-2c+c_-)/A$ and steepness across $\sum_t(c_+-c_-)^2/A^2$;
    * contrast $k^2$ and uphill $k\,(b-a)/n$;
    * grid number $s^2/(1+s^2)$ with $s^2 = h^2/(\bar D\,t_r)$, voxels against the width of a front; step number $\Delta t/t_r$.

    None changes when $a$ and $b$ change places, or the axes do: what multiplies $b-a$ by a function of them is odd in the direction of
    the face and the same along every axis. All are between -1 and 1 but the level and the step number. As $h\to0$ in a smooth field of
    positive values all but level and step number go to zero.

    Args:
        diffusion: Of second order, without periodic walls.
        coefficient: $D$ per cell, in the unit of the operator's pattern.
        field: Of order one; what is below zero counts as zero.
        reaction_time: $t_r$: one over the rate of growth, or the time in which a cell is excited.
        length: $\Delta t$, in the same unit of time.
    """
    field = jnp.maximum(field, 0)
    axes = [axis for axis in range(3) if diffusion.shape[axis] > 1]
    sides = {axis: neighbours(diffusion, axis, field) for axis in axes}
    rows = []
    for axis in axes:
        stride, above = diffusion.strides[axis], diffusion.coefficients(axis)[0] > 0
        b, before = sides[axis]
        beyond = jnp.where(above, ahead(b, stride), b)
        near, far = field + b, before + beyond
        around = FLOOR + 2 * near
        bent = slope = jnp.zeros_like(field)
        for other in axes:
            if other != axis:
                up, down = sides[other]
                bend, steep = up - 2 * field + down, (up - down) ** 2
                bent = bent + bend + ahead(bend, stride)
                slope = slope + steep + ahead(steep, stride)
                around = around + up + down + ahead(up + down, stride)
        contrast = relative_jump(coefficient, jnp.where(above, ahead(coefficient, stride), coefficient))
        jump, step = b - field, jnp.broadcast_to(length / reaction_time, field.shape).astype(field.dtype)
        features = [
            (jump / (near + FLOOR)) ** 2,
            near / 2,
            (far - near) / (far + near + FLOOR),
            jump * (beyond - before - 3 * jump) / (far + near + FLOOR) ** 2,
            bent / around,
            slope / around**2,
            contrast**2,
            contrast * jump / (near + FLOOR),
            grid_number(diffusion, axis, reaction_time),
            step,
        ]
        rows.append(jnp.where(above, jnp.stack(features), 0))
    return jnp.stack(rows, axis=1)


def neighbours(diffusion: Diffusion, axis: int, field: Cells) -> tuple[Cells, Cells]:
    """The values above and below every cell along an axis; the cell's own where nothing is exchanged."""
    above, below = diffusion.coefficients(axis)
    stride = diffusion.strides[axis]
    return jnp.where(above > 0, ahead(field, stride), field), jnp.where(below > 0, behind(field, stride), field)


def grid_number(diffusion: Diffusion, axis: int, reaction_time: Scalar) -> Float[Array, " cells"]:
    r"""$s^2/(1+s^2)$ at the face above each cell, with $s^2 = h^2/(\bar D t_r)$; zero where the face is closed."""
    conductance = diffusion.scale * diffusion.coefficients(axis)[0] * reaction_time  # one over the square of s
    return jnp.where(conductance > 0, 1 / (1 + conductance), 0)


def relative_jump(own: Cells, other: Cells) -> Cells:
    """The difference over the sum."""
    return (other - own) / (other + own + FLOOR)


def ahead(values: Shaped[Array, " cells"], stride: int) -> Shaped[Array, " cells"]:
    """The value of the next cell at each cell; whatever comes round at the end stands behind closed faces."""
    return jnp.concatenate([values[stride:], values[:stride]])


def behind(values: Shaped[Array, " cells"], stride: int) -> Shaped[Array, " cells"]:
    """The value of the cell before."""
    return jnp.concatenate([values[-stride:], values[:-stride]])
