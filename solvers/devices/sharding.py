"""One simulation on several devices: slabs along x, with halos exchanged inside the methods that need them."""

from collections.abc import Callable, Sequence
from typing import Any, overload

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, PyTree

from solvers.devices.blocked_slabs import SlabDiffusion
from solvers.devices.halo import Slabs
from solvers.devices.reach import planes_needed
from solvers.grid import VoxelGrid
from solvers.operator import Operator
from solvers.shapes import Cells, Flag, Scalar, State
from solvers.space.edge_diffusion import EdgeDiffusion
from solvers.stepper import Stepper
from solvers.steppers.blocked_diffusion import BlockedDiffusion
from solvers.steppers.blocked_march import best_depth

AXIS = "x"


def device_mesh(devices: Sequence[Any] | None = None) -> Mesh:
    """A mesh with one axis, "x", over the devices given, by default over all of every process."""
    return Mesh(np.asarray(jax.devices() if devices is None else devices), (AXIS,))


def padded_planes(volume: Array | np.ndarray, mesh: Mesh, fill: float = 0) -> Array | np.ndarray:
    """A volume ``(x, ...)`` with planes appended until the devices divide them: pad the mask and the maps alike, before building.

    Not needed for correctness, but a field that is cut unevenly is moved between devices at every step.
    """
    missing = -volume.shape[0] % mesh.size
    pad = np.pad if isinstance(volume, np.ndarray) else jnp.pad
    return pad(volume, [(0, missing)] + [(0, 0)] * (volume.ndim - 1), constant_values=fill)


def placed(tree: PyTree, grid: VoxelGrid, mesh: Mesh) -> PyTree:
    """Every field of a tree spread over the devices and everything else copied to each; where the devices divide x.

    Works in every process of a run over several hosts, each of which gives the same values.
    """

    def place(leaf: Any) -> Any:
        if not eqx.is_array(leaf):
            return leaf
        fits = leaf.ndim > 0 and leaf.shape[-1] == grid.size and grid.shape[0] % mesh.size == 0
        spec = PartitionSpec(*[None] * (leaf.ndim - 1), AXIS) if fits else PartitionSpec()
        values = np.asarray(leaf)
        return jax.make_array_from_callback(values.shape, NamedSharding(mesh, spec), lambda index: values[index])

    return jax.tree.map(place, tree)


@overload
def decomposed(part: Operator, grid: VoxelGrid, mesh: Mesh, halo: int | None = None) -> "DecomposedOperator": ...
@overload
def decomposed(part: Stepper, grid: VoxelGrid, mesh: Mesh, halo: int | None = None) -> "DecomposedStepper | SlabDiffusion": ...
def decomposed(
    part: Operator | Stepper, grid: VoxelGrid, mesh: Mesh, halo: int | None = None
) -> "DecomposedOperator | DecomposedStepper | SlabDiffusion":
    """The same operator or stepper, computed in slabs along x on the devices of a mesh: the one line that users change.

    Everything around it, reactions, observers, dot products of a Krylov method, the time loop and gradients, is divided by
    JAX itself, which follows how the fields lie (:func:`placed`); only stencils need their neighbours' planes told.

    Args:
        part: An operator, whose ``apply`` is divided; or a stepper, whose whole step then costs one exchange of a wider halo.
        grid: Its grid. x need not be a multiple of the devices; see :func:`padded_planes`.
        mesh: From :func:`device_mesh`.
        halo: Planes copied from each neighbour; None takes what ``part`` looks to either side in one application or step
            (:func:`solvers.devices.reach.planes_needed`): 1 for Diffusion and EdgeDiffusion, 2 for order 4 and TensorDiffusion, times
            the stages and substeps of a stepper. BlockedDiffusion exchanges a halo every ``halo`` substeps, however many it has
            (None: its ``depth``, else what the cache holds); its gradient is with respect to the cut coefficients unless
            ``decomposed`` itself is called inside the function that is differentiated.

    Raises:
        ValueError: A halo narrower than the part's reach; a part whose reach is the whole field (implicit steps, transforms, solves
            with a mass, periodic axes) or is not known: a class of one's own says its reach as ``halo_reach``; another mesh.
    """
    if not isinstance(part, Operator | Stepper):
        raise ValueError(f"got {type(part).__name__}; expected an operator or a stepper; do: divide the operator and build the rest on it")
    if isinstance(part, BlockedDiffusion):
        needed = 1
        halo = _blocked_halo(part, -(-grid.shape[0] // mesh.size)) if halo is None else halo
    else:
        needed = min(max(1, planes_needed(part)), grid.shape[0])  # the whole grid is enough for anything
        halo = needed if halo is None else halo
    if halo < needed or mesh.axis_names != (AXIS,):
        raise ValueError(
            f"got halo {halo}, mesh axes {mesh.axis_names} for {type(part).__name__}; expected at least {needed} planes, ('x',); "
            "do: leave the halo out, use device_mesh"
        )
    strides = getattr(part, "strides", None)
    if strides is None:
        found = [node for node in jax.tree.leaves(part, is_leaf=_has_strides) if _has_strides(node)]
        strides = sum((node.strides for node in found), ())
    slabs = Slabs(grid.size, grid.strides[0], mesh.size, halo, tuple(sorted(set(strides))), AXIS)
    if isinstance(part, BlockedDiffusion):
        return SlabDiffusion(part, slabs, mesh)
    return DecomposedOperator(part, slabs, mesh) if isinstance(part, Operator) else DecomposedStepper(part, slabs, mesh)


class DecomposedOperator(Operator):
    """An operator applied in slabs; made by :func:`decomposed`."""

    operator: Operator
    slabs: Slabs = eqx.field(static=True)
    mesh: Mesh = eqx.field(static=True)

    @property
    def source(self) -> Cells | None:
        """What the walls of the whole bring in, which rates add."""
        return getattr(self.operator, "source", None)

    def apply(self, field: Cells) -> Cells:
        """See :class:`solvers.operator.Operator`."""
        return _in_slabs(lambda part, field: part.apply(field), self.operator, (field,), (), self.slabs, self.mesh)

    def spectral_bound(self) -> Scalar:
        """That of the whole."""
        return self.operator.spectral_bound()

    def diagonal(self) -> Cells:
        """That of the whole."""
        return self.operator.diagonal()


class DecomposedStepper(Stepper):
    """A stepper advanced in slabs, one halo exchange per step; made by :func:`decomposed`."""

    stepper: Stepper
    slabs: Slabs = eqx.field(static=True)
    mesh: Mesh = eqx.field(static=True)

    @property
    def order(self) -> int:
        """That of the whole."""
        return self.stepper.order

    def advance(self, state: State, time: Scalar, length: Scalar) -> State:
        """See :class:`solvers.stepper.Stepper`."""
        leaves, structure = jax.tree.flatten(state)

        def step(part: Stepper, *operands: Array) -> list[Array]:
            *fields, time, length = operands
            return jax.tree.leaves(part.advance(jax.tree.unflatten(structure, fields), time, length))

        dtype = jnp.result_type(*leaves)
        clock = (jnp.asarray(time, dtype), jnp.asarray(length, dtype))
        found = _in_slabs(step, self.stepper, tuple(leaves), clock, self.slabs, self.mesh)
        return jax.tree.unflatten(structure, found)

    def stable(self, length: Scalar) -> Flag:
        """That of the whole."""
        return self.stepper.stable(length)


def _blocked_halo(stepper: BlockedDiffusion, planes: int) -> int:
    """Substeps per visit of a slab of so many planes: what one device does, on its own part of the cache."""
    edges = EdgeDiffusion.of(stepper.operator)
    fewest = best_depth(edges.strides, edges.faces[0].dtype.itemsize, stepper.substeps)
    return min(planes, stepper.substeps, stepper.depth or fewest)


def _has_strides(node: Any) -> bool:
    return isinstance(node, Operator) and hasattr(node, "strides")


def _in_slabs(
    function: Callable[..., Any], part: PyTree, fields: tuple[Array, ...], numbers: tuple[Array, ...], slabs: Slabs, mesh: Mesh
) -> Any:
    """``function(part, *fields, *numbers)`` on every device's slab with halo; fields in, fields out."""
    leaves, structure = jax.tree.flatten(part)
    kinds = [slabs.kind(leaf) for leaf in leaves]
    cut = [leaf if kind is None else slabs.overlapping(leaf, kind) for leaf, kind in zip(leaves, kinds, strict=True)]
    arrays = [eqx.is_array(leaf) for leaf in cut]

    def local(given: list[Array], fields: tuple[Array, ...], numbers: tuple[Array, ...]) -> Any:
        rest = iter(given)
        mine = [next(rest) if is_array else leaf for leaf, is_array in zip(cut, arrays, strict=True)]
        mine = [leaf if kind is None else leaf[0] for leaf, kind in zip(mine, kinds, strict=True)]
        wide = [slabs.with_halo(field) for field in fields]
        found = function(jax.tree.unflatten(structure, mine), *wide, *numbers)
        return jax.tree.map(slabs.without_halo, found)

    along = [PartitionSpec(*[None] * (field.ndim - 1), AXIS) for field in fields]
    specs = [PartitionSpec() if kind is None else PartitionSpec(AXIS) for kind, a in zip(kinds, arrays, strict=True) if a]
    inputs = (specs, tuple(along), (PartitionSpec(),) * len(numbers))
    run = jax.shard_map(local, mesh=mesh, in_specs=inputs, out_specs=_outcome(fields), check_vma=False)
    filled = tuple(slabs.filled(field) for field in fields)
    found = run([leaf for leaf, a in zip(cut, arrays, strict=True) if a], filled, numbers)
    return jax.tree.map(lambda values: values[..., : slabs.cells], found)


def _outcome(fields: tuple[Array, ...]) -> Any:
    """Every result lies as the fields do; they have the same number of leading axes."""
    ranks = {field.ndim for field in fields}
    if len(ranks) != 1:
        raise ValueError(f"got fields with {sorted(ranks)} axes in one state; expected one number; do: stack them as one array")
    return PartitionSpec(*[None] * (ranks.pop() - 1), AXIS)
