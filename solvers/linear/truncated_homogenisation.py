"""Effective tensors of a periodic cell from cell problems that are left early: matrix upper bounds, one per iteration."""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from solvers.linear.coarsening import coarsening_plan
from solvers.linear.homogenisation import Conductivities, checked_spacing, divergences, periodic_lattice
from solvers.linear.multigrid import multigrid

State = tuple[Array, Array, Array, Array]  # fields, images, residual, tensor


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
        iterations: $n\ge0$, a few: memory grows with $n$, and with $n^2$ in reverse mode.
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
    if iterations == 0:
        return tensor[None]
    axes, info = source.shape[0], jnp.finfo(conductivities.dtype)
    empty = jnp.zeros((axes * iterations, source.shape[1]), source.dtype)

    def iterate(state: State, number: Array) -> tuple[State, Array]:
        fields, images, residual, tensor = state
        corrections = cycle.apply(residual)
        for axis, (field, image) in enumerate(zip(corrections, -operator.apply(corrections), strict=True)):
            least = info.eps * _product(field, image) + info.tiny**0.5  # what is left of less is round-off
            for _ in range(2):  # the second time takes what round-off left of the first; fields to come are zero
                along = _product(images, field)
                field, image = field - _product(along, fields), image - _product(along, images)
            energy = _product(field, image)
            size = jnp.where(energy > least, lax.rsqrt(jnp.where(energy > least, energy, 1)), 0)
            field, image = size * field, size * image
            fields = lax.dynamic_update_index_in_dim(fields, field, axes * number + axis, 0)
            images = lax.dynamic_update_index_in_dim(images, image, axes * number + axis, 0)
            # Of the residual, which is that of the source as fields are orthogonal: without them being so to round-off.
            share = _product(residual, field)
            residual = residual - share[:, None] * image[None, :]
            tensor = tensor - share[:, None] * share[None, :] / conductivities[0].size
        return (fields, images, residual, tensor), tensor

    _, tensors = lax.scan(iterate, (empty, empty, source, tensor), jnp.arange(iterations))
    return jnp.concatenate([tensor[None], tensors])


def _product(one: Array, other: Array) -> Array:
    return jnp.matmul(one, other, precision=lax.Precision.HIGHEST)
