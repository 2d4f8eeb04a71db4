"""Many fields put together as the rows of one array, each computed in a loop of its own."""

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import jax.numpy as jnp
from jax import lax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jaxtyping import Array


def stack_rows(rows: Sequence[Array]) -> Array:
    """``jnp.stack(rows)`` as fast as its rows; the same numbers.

    On CPU, XLA fuses what computes the rows into the loop that stacks them, which then asks for every number which row it is in and
    uses no vector instruction: the rates of :class:`physics.TenTusscher2006` take three times as long. A barrier keeps them apart.
    Elsewhere one fused kernel is what is wanted. Rows broadcast against each other.
    """
    return jnp.stack(apart(jnp.broadcast_arrays(*rows)))


def join_rows(parts: Sequence[Array]) -> Array:
    """``jnp.concatenate(parts)`` along the first axis; see :func:`stack_rows`."""
    return jnp.concatenate(apart(list(parts)))


def rows_of(stacked: Array) -> list[Array]:
    """``list(stacked)``, whose reverse mode is :func:`stack_rows`.

    That of plain indexing adds up as many arrays of all rows as there are rows, each zero in all but one, and on CPU computes what leads
    to a cotangent once for each row of the result.
    """
    return [part[0] for part in split_rows(stacked, [1] * stacked.shape[0])]


def split_rows(stacked: Array, sizes: Sequence[int]) -> list[Array]:
    """Parts of so many rows each, all rows in order; reverse mode is :func:`join_rows`."""
    if sum(sizes) != stacked.shape[0]:
        raise ValueError(f"got parts of {list(sizes)} rows for {stacked.shape[0]}; expected their sum; do: name every row once")
    return list(_split.bind(stacked, sizes=tuple(sizes)))


def apart[T](values: T) -> T:
    """An array, or a list of them, each computed in a loop of its own on CPU; for what a longer expression would be slower with."""
    return lax.platform_dependent(values, cpu=lax.optimization_barrier, default=lambda values: values)


def _split_plain(stacked: Array, *, sizes: tuple[int, ...]) -> list[Array]:
    return [stacked[end - size : end] for size, end in zip(sizes, accumulate(sizes), strict=True)]


def _split_transpose(cotangents: Sequence[Any], stacked: Any, *, sizes: tuple[int, ...]) -> list[Array]:
    del stacked, sizes
    return [join_rows([ad.instantiate_zeros(cotangent) for cotangent in cotangents])]


def _split_batch(operands: Sequence[Array], dimensions: Sequence[int], *, sizes: tuple[int, ...]) -> tuple[list[Array], list[int]]:
    parts = _split.bind(jnp.moveaxis(operands[0], dimensions[0], 1), sizes=sizes)
    return parts, [1] * len(parts)


_split = Primitive("twinsim_split_rows")
_split.multiple_results = True
_split.def_impl(_split_plain)
_split.def_abstract_eval(lambda stacked, *, sizes: [stacked.update(shape=(size, *stacked.shape[1:])) for size in sizes])
mlir.register_lowering(_split, mlir.lower_fun(_split_plain, multiple_results=True))
ad.deflinear2(_split, _split_transpose)
batching.primitive_batchers[_split] = _split_batch
