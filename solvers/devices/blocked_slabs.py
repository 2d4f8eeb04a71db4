"""Blocked diffusion divided over devices: one halo exchange per pass through memory, and nothing else is moved."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.core import Tracer
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float

from solvers.devices.halo import Slabs
from solvers.shapes import Cells, Flag, Scalar
from solvers.space.edge_diffusion import EdgeDiffusion
from solvers.stepper import Stepper
from solvers.steppers.blocked_diffusion import BlockedDiffusion
from solvers.steppers.blocked_march import Layout, march_padded


class SlabDiffusion(Stepper):
    """:class:`solvers.steppers.blocked_diffusion.BlockedDiffusion` in slabs along x; made by :func:`solvers.devices.sharding.decomposed`.

    Every device keeps its coefficients, with halos, in the layout of the march. A visit makes ``slabs.halo`` substeps, and then only the
    halos of the field are written anew, in place. Cutting and padding the coefficients at every step took as long as fifty substeps.

    Attributes:
        stepper: The whole, whose stability and scale count.
        pieces: Per edge of the operator, a padded slab for each device.
        slabs: How the cells are divided; the halo in planes is the number of substeps per visit.
        mesh: The devices.
    """

    stepper: BlockedDiffusion
    pieces: tuple[Float[Array, "devices padded"], ...]
    slabs: Slabs = eqx.field(static=True)
    mesh: Mesh = eqx.field(static=True)

    def __init__(self, stepper: BlockedDiffusion, slabs: Slabs, mesh: Mesh) -> None:
        self.stepper, self.slabs, self.mesh = stepper, slabs, mesh
        edges = EdgeDiffusion.of(stepper.operator)
        strides, faces = edges.strides, edges.faces
        if edges.loss is not None:
            strides, faces = (*strides, 0), (*faces, edges.loss)
        pad = jax.vmap(self._layout(strides, slabs.halo, faces[0].dtype.itemsize).pad)
        pieces = tuple(pad(slabs.overlapping(face, stride)) for stride, face in zip(strides, faces, strict=True))
        if mesh.size > 1 and not any(isinstance(piece, Tracer) for piece in pieces):
            lying = NamedSharding(mesh, PartitionSpec(slabs.axis_name))
            host = [np.asarray(piece) for piece in pieces]
            pieces = tuple(jax.make_array_from_callback(piece.shape, lying, piece.__getitem__) for piece in host)
        self.pieces = pieces

    @property
    def order(self) -> int:
        """One."""
        return self.stepper.order

    def stable(self, length: Scalar) -> Flag:
        """That of the whole."""
        return self.stepper.stable(length)

    def advance(self, state: Cells, time: Scalar, length: Scalar) -> Cells:
        """See :class:`solvers.stepper.Stepper`; one flat field."""
        if state.ndim != 1:
            if state.size != state.shape[-1]:
                raise ValueError(f"got a state of {state.shape}; expected one flat field; do: use jax.vmap or lax.map over the others")
            return self.advance(state.reshape(-1), time, length).reshape(state.shape)
        edges, slabs = EdgeDiffusion.of(self.stepper.operator), self.slabs
        strides = edges.strides if edges.loss is None else (*edges.strides, 0)
        factor = edges.scale * (jnp.asarray(length, state.dtype) / self.stepper.substeps)
        visits, left = divmod(self.stepper.substeps, slabs.halo)

        def local(pieces: tuple[Array, ...], factor: Array, slab: Array) -> Array:
            size = pieces[0].dtype.itemsize  # the layout that the pieces were padded for, whatever the field's precision
            whole = self._layout(strides, slabs.halo, size)
            coefficients = [piece[0].astype(slab.dtype) for piece in pieces]

            def refreshed(padded: Array) -> Array:
                start = whole.front + slabs.margin
                for halo, place in slabs.halos(padded[start : start + slabs.own]):
                    padded = lax.dynamic_update_slice(padded, halo, (whole.front + place,))
                return padded

            if visits:

                def visit(_: Array, padded: Array) -> Array:
                    return refreshed(march_padded(coefficients, factor, padded, whole))

                padded = lax.fori_loop(0, visits - 1, visit, whole.pad(slabs.with_halo(slab)))
                slab = slabs.without_halo(whole.unpad(march_padded(coefficients, factor, padded, whole)))
            if left:
                rest = self._layout(strides, left, size)
                again = [rest.pad(whole.unpad(piece)) for piece in coefficients]
                slab = slabs.without_halo(rest.unpad(march_padded(again, factor, rest.pad(slabs.with_halo(slab)), rest)))
            return slab

        along = PartitionSpec(slabs.axis_name)
        specs = ((along,) * len(self.pieces), PartitionSpec(), along)
        run = jax.shard_map(local, mesh=self.mesh, in_specs=specs, out_specs=along, check_vma=False)
        return run(self.pieces, factor, slabs.filled(state))[: slabs.cells]

    def _layout(self, strides: tuple[int, ...], depth: int, item_bytes: int) -> Layout:
        return Layout(strides, self.slabs.own + 2 * self.slabs.margin, depth, 1, item_bytes)
