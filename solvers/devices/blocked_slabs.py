"""Blocked diffusion divided over devices: one halo exchange per pass through memory, and nothing else is moved."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh, PartitionSpec
from jax.typing import ArrayLike
from jaxtyping import Array

from solvers.devices.halo import Slabs
from solvers.operator import Operator
from solvers.shapes import Cells
from solvers.space.edge_diffusion import EdgeDiffusion
from solvers.steppers.blocked_march import Layout, march_padded


def diffuse_in_slabs(operator: Operator, field: Cells, length: ArrayLike, steps: int, slabs: Slabs, mesh: Mesh) -> Cells:
    r"""What :func:`solvers.steppers.blocked_diffusion.diffuse` computes, in slabs along x.

    Each device keeps its coefficients, with halos, in the layout of the march for all of the steps; a visit makes ``slabs.halo`` steps
    and then only the halos of the field are written anew, in place. Padding everything again at each visit, as dividing single steps
    would, costs as much memory traffic as the steps themselves.

    Args:
        operator: As for ``diffuse``.
        field: A flat field.
        length: Time, in all.
        steps: How many, static.
        slabs: How the cells are divided; its halo in planes is the number of steps per visit.
        mesh: The devices.
    """
    edges = EdgeDiffusion.of(operator)
    strides, faces = edges.strides, edges.faces
    if edges.loss is not None:
        strides, faces = (*strides, 0), (*faces, edges.loss)
    factor = edges.scale * (jnp.asarray(length, field.dtype) / steps)
    pieces = [slabs.overlapping(jnp.asarray(face, field.dtype), stride) for stride, face in zip(strides, faces, strict=True)]

    def local(pieces: list[Array], factor: Array, slab: Array) -> Array:
        cells, size = slab.shape[0] + 2 * slabs.margin, np.dtype(slab.dtype).itemsize
        visits, left = divmod(steps, slabs.halo)
        for count, depth in ((visits, slabs.halo), (1, left)):
            if not count or not depth:
                continue
            layout = Layout(strides, cells, depth, 1, size)
            coefficients = [layout.pad(piece[0]) for piece in pieces]
            start = layout.front + slabs.margin

            def visit(_: Array, padded: Array, layout: Layout = layout, coefficients: list[Array] = coefficients) -> Array:
                padded = march_padded(coefficients, factor, padded, layout)
                for halo, place in slabs.halos(padded[layout.front + slabs.margin : layout.front + slabs.margin + slabs.own]):
                    padded = lax.dynamic_update_slice(padded, halo, (layout.front + place,))
                return padded

            padded = lax.fori_loop(0, count - 1, visit, layout.pad(slabs.with_halo(slab)))
            slab = march_padded(coefficients, factor, padded, layout)[start : start + slabs.own]
        return slab

    along = PartitionSpec(slabs.axis_name)
    run = jax.shard_map(local, mesh=mesh, in_specs=([along] * len(pieces), PartitionSpec(), along), out_specs=along, check_vma=False)
    return run(pieces, factor, slabs.filled(field))[: slabs.cells]
