"""Loops that stay one loop under ``vmap``: members of a batch march in lockstep, each with its own step, in shared rows."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jaxtyping import Array

from solvers.shapes import Index


def largest_member(number: Array) -> Array:
    """The largest of an integer over every batch axis that ``vmap`` hides; without a batch the number itself.

    A loop whose condition and row counter come from this has one condition for the whole batch. With a condition per member
    ``vmap`` would copy the carry, its record of thousands of rows included, in every iteration.
    """
    return _largest.bind(number)


def write_row(table: Array, row: Array, index: Index) -> Array:
    """``table`` with ``row`` at ``index``, an index shared by the batch: a slice, where ``vmap`` alone would make a scatter."""
    return _write.bind(table, row, index)


def read_row(table: Array, index: Index) -> Array:
    """The row at ``index``, an index shared by the batch."""
    return _read.bind(table, index)


def _largest_batch(operands: Any, dimensions: Any) -> tuple[Array, None]:
    (number,), (dimension,) = operands, dimensions
    return _largest.bind(jnp.max(number, axis=dimension)), None


def _write_plain(table: Array, row: Array, index: Array, *, axis: int) -> Array:
    return lax.dynamic_update_slice_in_dim(table, jnp.expand_dims(row, axis), index, axis)


def _write_batch(operands: Any, dimensions: Any, *, axis: int) -> tuple[Array, int]:
    table, row, index = operands
    of_table, of_row, of_index = dimensions
    if of_index is not None:  # not from largest_member: each member its own place
        return jax.vmap(lambda *member: _write_plain(*member, axis=axis), in_axes=tuple(dimensions))(table, row, index), 0
    size = table.shape[of_table] if of_table is not None else row.shape[of_row]
    return _write.bind(_batched(table, of_table, size), _batched(row, of_row, size), index, axis=axis + 1), 0


def _write_jvp(primals: Any, tangents: Any, *, axis: int) -> tuple[Array, Array]:
    table, row, index = primals
    table_tangent, row_tangent, _ = tangents
    tangent = _write.bind(ad.instantiate_zeros(table_tangent), ad.instantiate_zeros(row_tangent), index, axis=axis)
    return _write.bind(table, row, index, axis=axis), tangent


def _read_plain(table: Array, index: Array, *, axis: int) -> Array:
    return lax.dynamic_index_in_dim(table, index, axis, keepdims=False)


def _read_batch(operands: Any, dimensions: Any, *, axis: int) -> tuple[Array, int]:
    table, index = operands
    of_table, of_index = dimensions
    if of_index is not None:
        return jax.vmap(lambda *member: _read_plain(*member, axis=axis), in_axes=tuple(dimensions))(table, index), 0
    return _read.bind(jnp.moveaxis(table, of_table, 0), index, axis=axis + 1), 0


def _read_jvp(primals: Any, tangents: Any, *, axis: int) -> tuple[Array, Array]:
    table, index = primals
    return _read.bind(table, index, axis=axis), _read.bind(ad.instantiate_zeros(tangents[0]), index, axis=axis)


def _batched(array: Array, dimension: int | None, size: int) -> Array:
    if dimension is None:
        return jnp.broadcast_to(jnp.expand_dims(array, 0), (size, *array.shape))
    return jnp.moveaxis(array, dimension, 0)


def _same_shape(operand: Any, *_: Any, axis: int) -> Any:
    del axis
    return operand


def _row_shape(table: Any, index: Any, *, axis: int) -> Any:
    del index
    return ShapedArray((*table.shape[:axis], *table.shape[axis + 1 :]), table.dtype)


class _WithAxis:
    """Binds a primitive with the axis of the rows, zero for a caller."""

    def __init__(self, name: str) -> None:
        self.primitive = Primitive(name)

    def bind(self, *operands: Any, axis: int = 0) -> Array:
        return self.primitive.bind(*operands, axis=axis)


def _identity(number: Any) -> Any:
    return number


_largest = Primitive("twinsim_largest_member")
_largest.def_impl(_identity)
_largest.def_abstract_eval(_identity)
mlir.register_lowering(_largest, mlir.lower_fun(_identity, multiple_results=False))
batching.primitive_batchers[_largest] = _largest_batch
ad.primitive_jvps[_largest] = lambda primals, tangents: (_largest.bind(*primals), ad.Zero(jax.typeof(primals[0]).to_tangent_aval()))

_write = _WithAxis("twinsim_write_row")
_write.primitive.def_impl(jax.jit(_write_plain, static_argnames="axis"))
_write.primitive.def_abstract_eval(_same_shape)
mlir.register_lowering(_write.primitive, mlir.lower_fun(_write_plain, multiple_results=False))
batching.primitive_batchers[_write.primitive] = _write_batch
ad.primitive_jvps[_write.primitive] = _write_jvp

_read = _WithAxis("twinsim_read_row")
_read.primitive.def_impl(jax.jit(_read_plain, static_argnames="axis"))
_read.primitive.def_abstract_eval(_row_shape)
mlir.register_lowering(_read.primitive, mlir.lower_fun(_read_plain, multiple_results=False))
batching.primitive_batchers[_read.primitive] = _read_batch
ad.primitive_jvps[_read.primitive] = _read_jvp
