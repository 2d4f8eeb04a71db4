"""Cyclic reduction: block tridiagonal matrices with small blocks solved in logarithmically many vector operations."""

from typing import NamedTuple

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from solvers.stiff.linear_structure_small import inverse

Blocks = Float[Array, "rows columns cells"]
Rows = Float[Array, "rows cells"]


class ReductionFactors(NamedTuple):
    """The multipliers of the neighbours left and right per level, and the inverses of the blocks that are left in the end."""

    left: tuple[Blocks, ...]
    right: tuple[Blocks, ...]
    inverses: Blocks


def factor_reduction(lower: Blocks, diagonal: Blocks, upper: Blocks) -> ReductionFactors:
    r"""Parallel cyclic reduction of $A_i x_{i-1} + B_i x_i + C_i x_{i+1} = d_i$.

    At level $s = 1, 2, 4 \dots$ the neighbours at distance $s$ are eliminated by $\alpha_i = A_i B_{i-s}^{-1}$ and
    $\gamma_i = C_i B_{i+s}^{-1}$, which couples cells at distance $2s$; when that exceeds the chain, blocks are left.

    Source: Hockney, Jesshope (1988), *Parallel Computers 2*, section 5.4.3.
    """
    lefts, rights = [], []
    distance, cells = 1, diagonal.shape[-1]
    while distance < cells:
        solved = lax.optimization_barrier(_inverse(diagonal))
        left = -_product(lower, _shift(solved, distance))
        right = -_product(upper, _shift(solved, -distance))
        left, right = lax.optimization_barrier((left, right))
        diagonal = diagonal + _product(left, _shift(upper, distance)) + _product(right, _shift(lower, -distance))
        lower, upper = _product(left, _shift(lower, distance)), _product(right, _shift(upper, -distance))
        lower, diagonal, upper = lax.optimization_barrier((lower, diagonal, upper))
        lefts.append(left)
        rights.append(right)
        distance *= 2
    return ReductionFactors(tuple(lefts), tuple(rights), _inverse(diagonal))


def solve_reduction(factors: ReductionFactors, right: Rows, transposed: bool) -> Rows:
    """The solution of $M x = b$ or $M^T x = b$; one multiplication and addition per cell and level."""
    levels = list(enumerate(zip(factors.left, factors.right, strict=True)))
    if not transposed:
        for level, (before, after) in levels:
            right = right + _apply(before, _shift(right, 2**level)) + _apply(after, _shift(right, -(2**level)))
            right = lax.optimization_barrier(right)
        return _apply(factors.inverses, right)
    right = lax.optimization_barrier(_apply(factors.inverses, right, transposed=True))
    for level, (before, after) in reversed(levels):
        from_right = _shift(_apply(before, right, transposed=True), -(2**level))
        right = right + from_right + _shift(_apply(after, right, transposed=True), 2**level)
        right = lax.optimization_barrier(right)
    return right


def _shift(blocks: Array, distance: int) -> Array:
    """The values of the cell ``distance`` to the left, zero beyond the end."""
    sides = [(0, 0)] * (blocks.ndim - 1)
    if distance > 0:
        return jnp.pad(blocks[..., :-distance], [*sides, (distance, 0)])
    return jnp.pad(blocks[..., -distance:], [*sides, (0, -distance)])


def _inverse(blocks: Blocks) -> Blocks:
    if blocks.shape[0] == 1:
        return 1 / blocks
    return jnp.stack([jnp.stack(row) for row in inverse([list(row) for row in blocks])])


def _product(first: Blocks, second: Blocks) -> Blocks:
    terms = [first[:, j, None, :] * second[None, j] for j in range(first.shape[1])]
    return sum(terms[1:], terms[0])


def _apply(blocks: Blocks, vector: Rows, transposed: bool = False) -> Rows:
    terms = [(blocks[j] if transposed else blocks[:, j]) * vector[None, j] for j in range(vector.shape[0])]
    return sum(terms[1:], terms[0])
