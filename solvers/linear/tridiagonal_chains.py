"""Many tridiagonal systems that follow one another in one vector, solved together."""

import jax.numpy as jnp
from jaxtyping import Array, Float

Rows = Float[Array, " n"]


def solve_chains(lower: Rows, diagonal: Rows, upper: Rows, right: Rows, longest: int) -> Rows:
    r"""$x$ of $l_i x_{i-1} + d_i x_i + u_i x_{i+1} = r_i$ by parallel cyclic reduction.

    Args:
        lower: $l$; zero where a chain starts.
        diagonal: $d$, none zero.
        upper: $u$; zero where a chain ends.
        right: $r$.
        longest: Rows of the longest chain: $\lceil\log_2\rceil$ passes over the vector, each a few fused operations without a loop.

    Exact up to round-off for diagonally dominant rows, $|d| \ge |l| + |u|$; without pivots it fails for others. Reverse and forward mode
    go through it. Source: Hockney, Jesshope (1981), *Parallel Computers*, section 5.4.
    """
    low, high = lower / diagonal, upper / diagonal
    x, stride = right / diagonal, 1
    while stride < longest:
        before, after = (_moved(part, stride) for part in (low, high)), (_moved(part, -stride) for part in (low, high))
        (low_before, high_before), (low_after, high_after) = before, after
        scale = 1 / (1 - low * high_before - high * low_after)
        x = scale * (x - low * _moved(x, stride) - high * _moved(x, -stride))
        low, high = -scale * low * low_before, -scale * high * high_after
        stride *= 2
    return x


def _moved(part: Rows, by: int) -> Rows:
    """Row ``i - by`` at row ``i``, zero beyond the ends."""
    zero = jnp.zeros(min(abs(by), part.size), part.dtype)
    return jnp.concatenate([zero, part[:-by]]) if by > 0 else jnp.concatenate([part[-by:], zero])
