"""Elimination of block tridiagonal matrices along their chain."""

from typing import NamedTuple

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from solvers.stiff.linear_structure_small import Matrix, inverse, inverse_by_rows

Blocks = Float[Array, "cells rows columns"]
Rows = Float[Array, "cells rows"]

UNROLLED = 4


class BlockFactors(NamedTuple):
    r"""$A = (D + L)(I + G)$ with $D_i = A_{ii} - A_{i,i-1}G_{i-1}$, $G_i = D_i^{-1}A_{i,i+1}$ and $P_i = D_i^{-1}A_{i,i-1}$.

    Attributes:
        inverses: $D_i^{-1}$.
        before: $P_i$.
        after: $G_i$.
    """

    inverses: Blocks
    before: Blocks
    after: Blocks


def factor_chain(lower: Blocks, diagonal: Blocks, upper: Blocks) -> BlockFactors:
    """The factors from the blocks left of, on and right of the diagonal; the first ``lower`` and last ``upper`` are zero."""
    size = diagonal.shape[-1]

    def eliminate(after: Array, blocks: tuple[Array, Array, Array]) -> tuple[Array, tuple[Array, Array, Array]]:
        left, middle, right = blocks
        if size <= UNROLLED:
            rows, left, right = (_nested(block) for block in (middle, left, right))
            back = _product(left, _nested(after))
            solved = inverse([[a - b for a, b in zip(*pair, strict=True)] for pair in zip(rows, back, strict=True)])
            parts = (_stacked(solved), _stacked(_product(solved, left)), _stacked(_product(solved, right)))
        else:
            solved = inverse_by_rows(middle - left @ after)
            parts = (solved, solved @ left, solved @ right)
        return parts[2], parts

    _, parts = lax.scan(eliminate, jnp.zeros_like(diagonal[0]), (lower, diagonal, upper))
    return BlockFactors(*parts)


def solve_chain(factors: BlockFactors, right: Rows, transposed: bool) -> Rows:
    """The solution of $A x = b$ or $A^T x = b$: two recurrences of products, no division."""
    if not transposed:
        return _sweep(factors.after, _sweep(factors.before, _each(factors.inverses, right)), reverse=True)
    after = jnp.swapaxes(jnp.roll(factors.after, 1, axis=0), 1, 2)
    before = jnp.swapaxes(jnp.roll(factors.before, -1, axis=0), 1, 2)
    return _each(jnp.swapaxes(factors.inverses, 1, 2), _sweep(before, _sweep(after, right), reverse=True))


def _sweep(blocks: Blocks, right: Rows, reverse: bool = False) -> Rows:
    """$x_i = b_i - B_i x_{i\\mp 1}$."""
    size = right.shape[1]

    def advance(previous: Array, inputs: tuple[Array, Array]) -> tuple[Array, Array]:
        block, part = inputs
        if size <= UNROLLED:
            following = jnp.stack([part[i] - _dot([block[i, j] for j in range(size)], list(previous)) for i in range(size)])
        else:
            following = part - block @ previous
        return following, following

    return lax.scan(advance, jnp.zeros_like(right[0]), (blocks, right), reverse=reverse)[1]


def _each(blocks: Blocks, right: Rows) -> Rows:
    return (blocks * right[:, None, :]).sum(axis=2)


def _nested(block: Array) -> Matrix:
    return [[block[i, j] for j in range(block.shape[1])] for i in range(block.shape[0])]


def _stacked(matrix: Matrix) -> Array:
    return jnp.stack([jnp.stack(row) for row in matrix])


def _product(first: Matrix, second: Matrix) -> Matrix:
    return [[_dot(row, [other[j] for other in second]) for j in range(len(second[0]))] for row in first]


def _dot(first: list[Array], second: list[Array]) -> Array:
    terms = [a * b for a, b in zip(first, second, strict=True)]
    return sum(terms[1:], terms[0])
