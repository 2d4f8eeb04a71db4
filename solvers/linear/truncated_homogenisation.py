"""Effective tensors of a periodic cell from cell problems that are left early: matrix upper bounds, one per iteration."""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from solvers.linear.coarsening import coarsening_plan
from solvers.linear.homogenisation import Conductivities, checked_spacing, divergences, periodic_lattice
from solvers.linear.multigrid import multigrid


def truncated_tensors(
    conductivities: Conductivities, iterations: int, spacing: float | tuple[float, ...] = 1.0
) -> Float[Array, "tensors axes axes"]:
    r"""$U_0\ge U_1\ge\dots\ge U_n\ge D$: the tensor of :func:`solvers.homogenise` after so many iterations, from above.

    Block conjugate gradients: each iteration adds the multigrid cycle of all residuals to one space of trial fields $v$, made
    orthonormal in the energy, and every field lowers the tensor by a square: $U\leftarrow U-cc^T/N$ with
    $c_i=\sum v\,\nabla\cdot\sigma e_i$. So the tensors fall as matrices, and each is the best that its space allows, of which the
    conjugate gradients direction by direction of ``homogenise`` with ``max_iterations`` use a part.

    Args:
        conductivities: As of :func:`solvers.homogenise`.
        iterations: $n\ge0$, unrolled: a few.
        spacing: Edges of a voxel, one number or one per axis.

    Returns:
        $U_0$ (the mean conductivity of faces along each axis) to $U_n$, in the unit of what was given.

    Raises:
        ValueError: Conductivities that are negative or whose axes do not fit; traced values can't be looked at and pass.

    Derivatives go through the iterations and the multigrid hierarchy: they are those of the tensors returned. Where a cell has an odd
    number of voxels at some halving (6, 7, 12), images of a cell give tensors that differ by what is not finished; else by round-off.
    Directions that do not conduct are approached, never zero: :func:`solvers.winding_directions`.
    Good values: 2 to 4 for voxels of contrast up to 100; near percolation many more. Compiling a gradient of three takes several
    seconds of processor time. Source: O'Leary (1980), Linear Algebra Appl. 29, 293 (block conjugate gradients).
    """
    per_axis = checked_spacing(conductivities, spacing)
    if iterations < 0:
        raise ValueError(f"got {iterations} iterations; expected none below zero; do: ask for 2 to 4")
    operator, source = periodic_lattice(conductivities, per_axis), divergences(conductivities, per_axis)
    # The plan is that of traced values always: results depend on it, and must not change with jit.
    cycle = multigrid(operator, smoothing=3, plan=coarsening_plan(operator.shape), differentiable=True)
    tensor = jnp.diag(jnp.stack([jnp.mean(face) for face in conductivities]))
    tensors, fields, images, residual = [tensor], [], [], source
    info = jnp.finfo(conductivities.dtype)
    for _ in range(iterations):
        corrections = cycle.apply(residual)
        for field, image in zip(corrections, -operator.apply(corrections), strict=True):
            least = info.eps * _product(field, image) + info.tiny**0.5  # what is left of less is round-off
            for other, other_image in zip(fields, images, strict=True):
                along = _product(other_image, field)
                field, image = field - along * other, image - along * other_image
            energy = _product(field, image)
            size = jnp.where(energy > least, lax.rsqrt(jnp.where(energy > least, energy, 1)), 0)
            fields.append(size * field)
            images.append(size * image)
            # Of the residual, which is that of the source as fields are orthogonal: without them being so to round-off.
            share = jnp.matmul(residual, fields[-1], precision=lax.Precision.HIGHEST)
            residual = residual - share[:, None] * images[-1][None, :]
            tensor = tensor - share[:, None] * share[None, :] / conductivities[0].size
        tensors.append(tensor)
    return jnp.stack(tensors)


def _product(one: Array, other: Array) -> Array:
    return jnp.vdot(one, other, precision=lax.Precision.HIGHEST)
