"""Fields and operators on active voxels only, for masks that fill little of their box."""

from collections.abc import Sequence
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.core import Tracer
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jaxtyping import Array, Float, Int

from solvers.grid import VoxelGrid
from solvers.operator import Operator
from solvers.shapes import Cells, Scalar

COMPACT_BELOW = 0.45
"""Fill fraction below which the compact form is the faster one; see :func:`representation_for`."""

Compacted = Float[Array, "*batch active"]
Table = Int[Array, "couplings active"]
Couplings = Float[Array, "couplings active"]


def representation_for(grid: VoxelGrid, compact_below: float = COMPACT_BELOW) -> Literal["dense", "compact"]:
    """The faster form of an operator for this mask, by its fill fraction.

    Args:
        grid: With a mask that is known.
        compact_below: The fraction where both take the same time. The default follows from two rates of prototypes on two cores of a
            server CPU, 192^3 float32: 206 million active cells a second gathered against 419 million cells of the box shifted. A
            dense kernel that takes several steps per visit of a slab reached 888 million: give 0.23 with one of these. Gathers
            cost more per voxel, and don't vectorise; ``benchmarks/sparse_masks.py`` measures the fraction on any machine.

    Raises:
        ValueError: The mask is traced.
    """
    if isinstance(grid.mask, Tracer):
        raise ValueError("got a mask that is traced; expected a known one; do: choose the representation outside of jit")
    return "compact" if float(np.asarray(grid.mask).mean()) < compact_below else "dense"


class CompactGrid(eqx.Module):
    """The active voxels of a grid in C order, and the way to and from its flat fields.

    Args:
        grid: With a mask that is known (its size decides the shapes).
    """

    indices: Int[Array, " active"]
    cells: int = eqx.field(static=True)

    def __init__(self, grid: VoxelGrid) -> None:
        if isinstance(grid.mask, Tracer):
            raise ValueError("got a mask that is traced; expected a known one; do: make the compact grid outside of jit")
        with jax.ensure_compile_time_eval():  # known also inside jit, where the tables of operators are made from it
            self.indices = jnp.asarray(np.flatnonzero(np.asarray(grid.mask)), jnp.int32)
        self.cells = grid.size

    def pack(self, field: Cells) -> Compacted:
        """The active entries of a flat field (batch axes allowed).

        Raises:
            ValueError: A field of another number of cells.
        """
        if field.shape[-1:] != (self.cells,):
            raise ValueError(f"got a field of shape {field.shape}; expected {self.cells} cells last; do: use grid.cells(volume)")
        return _take(field, self.indices)

    def unpack(self, values: Compacted) -> Cells:
        """A flat field that is zero where inactive."""
        empty = jnp.zeros((*values.shape[:-1], self.cells), values.dtype)
        return empty.at[..., self.indices].set(values, unique_indices=True, indices_are_sorted=True)


class _Group(eqx.Module):
    """Couplings that act together: those of an axis, or all."""

    ahead: Table
    behind: Table
    up: Couplings
    down: Couplings
    weight: Float[Array, " active"] | None

    def apply(self, field: Compacted) -> Compacted:
        return _gather_exchange.bind(self.ahead, self.behind, self.up, self.down, field)


class CompactOperator(Operator):
    r"""An operator on active voxels: $(Lu)_i = s\big(\sum_k c_k(i)(u_{a_k(i)}-u_i) + c_k(b_k(i))(u_{b_k(i)}-u_i) - \lambda_i u_i\big)$.

    $a_k(i)$ and $b_k(i)$ are the neighbours of $i$ along the $k$-th direction, and $i$ itself where it has none. Equal to the
    dense operator to round-off, with its order four, loss, source and periodic axes; steppers take it as any operator.

    Args:
        compact: The active voxels.
        operator: One that exchanges along directions: ``Diffusion``, ``MonotoneDiffusion``, ``BlendedDiffusion``. A gradient
            reaches its coefficients through this constructor.

    Raises:
        ValueError: An operator of another kind (``TensorDiffusion``: use ``MonotoneDiffusion``), or of another grid.
    """

    groups: tuple[_Group, ...]
    scale: Scalar
    loss: Float[Array, " active"] | None
    source: Float[Array, " active"] | None

    def __init__(self, compact: CompactGrid, operator: Operator) -> None:
        if not all(hasattr(operator, name) for name in ("faces", "strides", "scale")) or hasattr(operator, "cross"):
            raise ValueError(
                f"got {type(operator).__name__}; expected Diffusion, MonotoneDiffusion or BlendedDiffusion; "
                "do: build one of them, MonotoneDiffusion for a tensor"
            )
        faces, strides, scale = operator.faces, operator.strides, operator.scale  # pyright: ignore[reportAttributeAccessIssue]
        if faces and faces[0].shape[0] - strides[0] != compact.cells:
            raise ValueError(
                f"got an operator on {faces[0].shape[0] - strides[0]} cells; expected {compact.cells}; do: build both from one grid"
            )
        if not any(isinstance(values, Tracer) for values in (*faces, compact.indices)):
            inactive = np.ones(compact.cells, bool)
            inactive[np.asarray(compact.indices)] = False
            for stride, face in zip(strides, faces, strict=True):
                ends = np.asarray(face)
                if (ends[stride:][inactive] != 0).any() or (ends[: compact.cells][inactive] != 0).any():
                    raise ValueError("got an operator of another mask; expected the compact grid's; do: build both from one grid")
        correction, wraps = getattr(operator, "correction", None), getattr(operator, "wraps", None)
        shape = getattr(operator, "shape", None)
        per_axis = []
        for axis, (stride, face) in enumerate(zip(strides, faces, strict=True)):
            couplings = [(stride, face[stride:])]
            if wraps is not None and shape is not None and wraps[axis] is not None:
                couplings.append(((shape[axis] - 1) * stride, _at_first_layer(wraps[axis], shape, axis)))
            per_axis.append(couplings)
        if correction is None:
            self.groups = (_group(compact, [pair for couplings in per_axis for pair in couplings], None),)
        else:
            self.groups = tuple(_group(compact, pairs, compact.pack(w)) for pairs, w in zip(per_axis, correction, strict=True))
        self.scale = scale
        loss, source = getattr(operator, "loss", None), getattr(operator, "source", None)
        self.loss = None if loss is None else compact.pack(loss)
        self.source = None if source is None else compact.pack(source)

    def apply(self, field: Compacted) -> Compacted:
        """See :class:`solvers.operator.Operator`; the last axis runs over active voxels."""
        change = jnp.zeros_like(field)
        for group in self.groups:
            part = group.apply(field)
            if group.weight is not None:
                part = lax.optimization_barrier(part)
                part = group.apply(field - jnp.broadcast_to(group.weight, part.shape) * part)
            change = change + part
        if self.loss is not None:
            change = change - jnp.broadcast_to(self.loss, field.shape) * field
        return lax.optimization_barrier(self.scale * change)

    def spectral_bound(self) -> Scalar:
        """As the dense operator's."""
        bound = 0.0 if self.loss is None else self.loss
        for group in self.groups:
            along = jnp.sum(group.up + group.down, axis=0) + jnp.sum(jnp.abs(group.up) + jnp.abs(group.down), axis=0)
            bound = bound + (along if group.weight is None else along * (1 + jnp.max(along * group.weight)))
        return self.scale * jnp.max(bound)

    def diagonal(self) -> Compacted:
        """As the dense operator's; a periodic axis of two voxels with order four excepted, where it is an approximation."""
        total = jnp.zeros(self.groups[0].up.shape[1], self.scale.dtype) if self.loss is None else self.loss
        for group in self.groups:
            own = jnp.sum(group.up + group.down, axis=0)
            total = total + own
            if group.weight is not None:
                weights = (_take(group.weight, group.ahead), _take(group.weight, group.behind))
                total = total + own**2 * group.weight + jnp.sum(group.up**2 * weights[0] + group.down**2 * weights[1], axis=0)
        return -self.scale * total


def _group(compact: CompactGrid, couplings: Sequence[tuple[int, Array]], weight: Array | None) -> _Group:
    """Neighbour tables for couplings between a cell and the cell a stride further, given at the former."""
    indices = np.asarray(compact.indices)
    number = np.full(compact.cells, -1, np.int32)
    number[indices] = np.arange(indices.size, dtype=np.int32)
    own = np.arange(indices.size, dtype=np.int32)
    tables: list[list[Any]] = [[], [], [], []]
    for stride, values in couplings:
        above, below = indices + stride, indices - stride
        ahead = np.where(above < compact.cells, number[np.minimum(above, compact.cells - 1)], -1)
        behind = np.where(below >= 0, number[np.maximum(below, 0)], -1)
        up = compact.pack(values)
        down = jnp.where(behind >= 0, _take(up, jnp.asarray(np.where(behind >= 0, behind, own))), 0)
        for table, entry in zip(tables, (np.where(ahead >= 0, ahead, own), np.where(behind >= 0, behind, own), up, down), strict=True):
            table.append(entry)
    ahead, behind = (jnp.asarray(np.stack(table)) for table in tables[:2])
    return _Group(ahead, behind, jnp.stack(tables[2]), jnp.stack(tables[3]), weight)


def _at_first_layer(plane: Array, shape: tuple[int, int, int], axis: int) -> Array:
    """A plane's values as a flat field, at the first layer along the axis."""
    volume = jnp.expand_dims(plane.reshape([n for a, n in enumerate(shape) if a != axis]), axis)
    return jnp.pad(volume, [(0, shape[axis] - 1) if a == axis else (0, 0) for a in range(3)]).reshape(-1)


def _take(values: Array, indices: Array) -> Array:
    return values.at[..., indices].get(mode="promise_in_bounds")


# The exchange through neighbour tables as one primitive. Plain reverse mode through gathers would scatter, which is many times
# slower; the map is symmetric, so its transpose is itself, and the cotangent of a coupling is a product of two differences.


def _gathered(ahead: Array, behind: Array, up: Array, down: Array, field: Array) -> Array:
    terms = []
    for k in range(ahead.shape[0]):
        for table, coupling in ((ahead[k], up[k]), (behind[k], down[k])):
            terms.append(jnp.broadcast_to(coupling, field.shape) * (_take(field, table) - field))
    return sum(terms[1:], terms[0])


def _jvp(primals: Sequence[Array], tangents: Sequence[Any]) -> tuple[Array, Any]:
    ahead, behind, up, down, field = primals
    up_tangent, down_tangent, field_tangent = tangents[2:]
    out = _gather_exchange.bind(*primals)
    terms = []
    if not isinstance(field_tangent, ad.Zero):
        terms.append(_gather_exchange.bind(ahead, behind, up, down, field_tangent))
    if not (isinstance(up_tangent, ad.Zero) and isinstance(down_tangent, ad.Zero)):
        moved = (ad.instantiate_zeros(up_tangent), ad.instantiate_zeros(down_tangent))
        terms.append(_gather_exchange.bind(ahead, behind, *moved, field))
    if not terms:
        return out, ad.Zero(jax.typeof(out))
    return out, terms[0] if len(terms) == 1 else terms[0] + terms[1]


def _transpose(cotangent: Any, ahead: Any, behind: Any, up: Any, down: Any, field: Any) -> tuple[Any, ...]:
    unknown = [ad.is_undefined_primal(values) for values in (up, down, field)]
    if isinstance(cotangent, ad.Zero):
        zeros = [ad.Zero(values.aval) if is_unknown else None for values, is_unknown in zip((up, down, field), unknown, strict=True)]
        return None, None, *zeros
    if unknown[2]:
        return None, None, None, None, _gather_exchange.bind(ahead, behind, up, down, cotangent)

    def product(table: Array) -> Array:
        values = jnp.stack([(_take(field, row) - field) * cotangent for row in table])
        return values.sum(axis=tuple(range(1, values.ndim - 1)))

    return None, None, product(ahead) if unknown[0] else None, product(behind) if unknown[1] else None, None


def _batch(operands: Sequence[Array], dimensions: Sequence[Any]) -> tuple[Array, int]:
    if all(dimension is None for dimension in dimensions[:-1]):
        return _gather_exchange.bind(*operands[:-1], jnp.moveaxis(operands[-1], dimensions[-1], 0)), 0
    return jax.vmap(_gathered, in_axes=tuple(dimensions))(*operands), 0


_gather_exchange = Primitive("twinsim_gather_exchange")
_gather_exchange.def_impl(jax.jit(_gathered))
_gather_exchange.def_abstract_eval(lambda *operands: operands[-1])
mlir.register_lowering(_gather_exchange, mlir.lower_fun(_gathered, multiple_results=False))
ad.primitive_jvps[_gather_exchange] = _jvp
ad.primitive_transposes[_gather_exchange] = _transpose
batching.primitive_batchers[_gather_exchange] = _batch
