"""Many fields put together as the rows of one array, each computed in a loop of its own."""

from collections.abc import Sequence

import jax.numpy as jnp
from jax import lax
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


def apart[T](values: T) -> T:
    """An array, or a list of them, each computed in a loop of its own on CPU; for what a longer expression would be slower with."""
    return lax.platform_dependent(values, cpu=lax.optimization_barrier, default=lambda values: values)
