"""Many fields put together as the rows of one array, each computed in a loop of its own."""

from collections.abc import Callable, Sequence

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array


def stack_rows(rows: Sequence[Array]) -> Array:
    """``jnp.stack(rows)`` as fast as its rows; the same numbers.

    On CPU, XLA fuses what computes the rows into the loop that stacks them, which then asks for every number which row it is in and
    uses no vector instruction: the rates of :class:`physics.TenTusscher2006` take three times as long. A barrier keeps them apart.
    Elsewhere one fused kernel is what is wanted. Rows broadcast against each other.
    """
    return _apart(jnp.stack, jnp.broadcast_arrays(*rows))


def join_rows(parts: Sequence[Array]) -> Array:
    """``jnp.concatenate(parts)`` along the first axis; see :func:`stack_rows`."""
    return _apart(jnp.concatenate, parts)


def apart(values: Array) -> Array:
    """The values, computed in a loop of their own on CPU; for what a longer expression would be slower with."""
    return lax.platform_dependent(values, cpu=lax.optimization_barrier, default=lambda values: values)


def _apart(function: Callable[[Sequence[Array]], Array], parts: Sequence[Array]) -> Array:
    return lax.platform_dependent(
        *parts, cpu=lambda *parts: function(lax.optimization_barrier(parts)), default=lambda *parts: function(parts)
    )
