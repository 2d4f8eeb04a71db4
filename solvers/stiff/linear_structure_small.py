"""Inverses of small matrices without LAPACK: written out in scalars, or eliminated row by row; batches ride along."""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

Matrix = list[list[Array]]


def inverse(matrix: Matrix) -> Matrix:
    """The inverse of a matrix given as nested lists of arrays of one shape: scalars, or one entry for every cell.

    Up to three rows by cofactors; above by Gauss-Jordan elimination with partial pivoting, where rows are exchanged by selection so
    that every cell may pivot differently.
    """
    if len(matrix) == 1:
        return [[1 / matrix[0][0]]]
    if len(matrix) == 2:
        (a, b), (c, d) = matrix
        scale = 1 / (a * d - b * c)
        return [[d * scale, -b * scale], [-c * scale, a * scale]]
    if len(matrix) == 3:
        return _inverse_of_three(matrix)
    return _eliminated(matrix)


def apply_matrix(matrix: Matrix, vector: list[Array], transposed: bool = False) -> list[Array]:
    """The product with a vector given as a list of components."""
    size = len(vector)
    result = []
    for i in range(size):
        terms = [(matrix[j][i] if transposed else matrix[i][j]) * vector[j] for j in range(size)]
        result.append(sum(terms[1:], terms[0]))
    return result


def inverse_by_rows(matrix: Float[Array, "n n"]) -> Float[Array, "n n"]:
    """Gauss-Jordan elimination with partial pivoting as one rank-one update per column, unrolled."""
    size = matrix.shape[0]
    rows = jnp.arange(size)
    work = jnp.concatenate([matrix, jnp.eye(size, dtype=matrix.dtype)], axis=1)
    for k in range(size):
        pivot = k + jnp.argmax(jnp.abs(work[k:, k]))
        found = lax.dynamic_index_in_dim(work, pivot, 0, keepdims=False)
        work = jnp.where((rows == pivot)[:, None], work[k][None, :], work)
        found = found / found[k]
        factor = jnp.where(rows == k, 0.0, work[:, k])
        work = jnp.where((rows == k)[:, None], found[None, :], work - factor[:, None] * found[None, :])
    return work[:, size:]


def _inverse_of_three(matrix: Matrix) -> Matrix:
    (a, b, c), (d, e, f), (g, h, i) = matrix
    first, second, third = e * i - f * h, f * g - d * i, d * h - e * g
    scale = 1 / (a * first + b * second + c * third)
    return [
        [first * scale, (c * h - b * i) * scale, (b * f - c * e) * scale],
        [second * scale, (a * i - c * g) * scale, (c * d - a * f) * scale],
        [third * scale, (b * g - a * h) * scale, (a * e - b * d) * scale],
    ]


def _eliminated(matrix: Matrix) -> Matrix:
    size = len(matrix)
    one, zero = jnp.ones_like(matrix[0][0]), jnp.zeros_like(matrix[0][0])
    work = [[*row, *(one if i == j else zero for j in range(size))] for i, row in enumerate(matrix)]
    for k in range(size):
        for i in range(k + 1, size):
            larger = jnp.abs(work[i][k]) > jnp.abs(work[k][k])
            pairs = [(jnp.where(larger, v, u), jnp.where(larger, u, v)) for u, v in zip(work[k], work[i], strict=True)]
            work[k], work[i] = [u for u, _ in pairs], [v for _, v in pairs]
        scale = 1 / work[k][k]
        work[k] = [scale * value for value in work[k]]
        for i in range(size):
            if i != k:
                factor = work[i][k]
                work[i] = [value - factor * pivot for value, pivot in zip(work[i], work[k], strict=True)]
    return [row[size:] for row in work]
