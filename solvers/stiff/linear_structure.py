"""How the Jacobian of a stiff system is filled, and how it is then solved: the interface, and the dense matrix."""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jax.core import Tracer
from jaxtyping import Array, Float, PyTree

from solvers.shapes import Scalar
from solvers.stiff.linear_structure_small import Matrix, apply_matrix, inverse, inverse_by_rows

Vector = Float[Array, "..."]
Entries = PyTree[Array]
Factors = PyTree[Array]


class LinearStructure(eqx.Module):
    r"""Solves $(s I - J)x = b$ for a Jacobian $J$ whose pattern of zeros is known.

    A state is one array of any shape; ``entries`` hold $J$ in whatever layout suits the pattern, and depend on it linearly.
    """

    @abstractmethod
    def check(self, shape: tuple[int, ...]) -> None:
        """Refuses a state of a shape that doesn't fit, with one line."""

    @abstractmethod
    def linearise(self, function: Callable[[Vector], Vector], state: Vector) -> tuple[Vector, Entries]:
        """The function's value and the entries of its Jacobian, from as few forward derivatives as the pattern allows."""

    @abstractmethod
    def multiply(self, entries: Entries, vector: Vector) -> Vector:
        """$J v$; only its derivatives are ever computed."""

    @abstractmethod
    def factor(self, entries: Entries, shift: Scalar) -> Factors:
        """What the solves need of $s I - J$, computed once a step."""

    @abstractmethod
    def solve(self, factors: Factors, right: Vector) -> Vector:
        """$(s I - J)^{-1} b$."""

    @abstractmethod
    def solve_transposed(self, factors: Factors, right: Vector) -> Vector:
        """$(s I - J)^{-T} b$ with the same factors."""


def pattern_error(
    structure: LinearStructure, function: Callable[[Vector], Vector], state: Vector, direction: Vector | None = None
) -> Scalar:
    """How far the structure's Jacobian is from the function's along a direction, relative: round-off where the pattern holds all.

    Args:
        structure: The pattern.
        function: The field at a time, of the state alone.
        state: Where to look; one at which no entry of the Jacobian happens to be zero.
        direction: Random numbers, the same ones in every call, where not given; that is the good choice.

    Raises:
        ValueError: A direction whose entries are all the same. Columns that a pattern merges wrongly add up to the same along it, so
            that it sees no error where there is one.
    """
    structure.check(state.shape)
    if direction is None:
        direction = jax.random.normal(jax.random.key(0), state.shape, state.dtype)
    elif direction.size > 1 and not isinstance(direction, Tracer) and bool((direction == direction.reshape(-1)[0]).all()):
        raise ValueError("got a direction of equal entries; expected different ones, which alone show every error; do: leave it out")
    _, exact = jax.jvp(function, (state,), (direction,))
    ours = structure.multiply(structure.linearise(function, state)[1], direction)
    return jnp.sqrt(jnp.sum((ours - exact) ** 2) / jnp.maximum(jnp.sum(exact**2), jnp.finfo(state.dtype).tiny))


UNROLLED = 4
LAPACK_FROM = 33


class Dense(LinearStructure):
    """Every unknown may depend on every other; for up to about thirty unknowns.

    Up to four the inverse is written out in scalars, up to 32 it is a Gauss-Jordan elimination with partial pivoting, unrolled over
    columns (no call of LAPACK, which costs more than the work at such sizes); above that LAPACK's LU. The Jacobian takes as many
    forward derivatives as there are unknowns.

    Fails: no error, but slow, where the unknowns are many: name the structure.
    """

    def check(self, shape: tuple[int, ...]) -> None:
        """Any shape will do."""

    def linearise(self, function: Callable[[Vector], Vector], state: Vector) -> tuple[Vector, Entries]:
        """See :class:`LinearStructure`; columns of $J$, apart while few."""
        value, push = jax.linearize(function, state)
        basis = jnp.eye(state.size, dtype=state.dtype).reshape(-1, *state.shape)
        if state.size <= UNROLLED:
            return value, tuple(push(direction).reshape(-1) for direction in basis)
        return value, jax.vmap(push)(basis).reshape(state.size, state.size).T

    def multiply(self, entries: Entries, vector: Vector) -> Vector:
        """See :class:`LinearStructure`."""
        flat = vector.reshape(-1)
        if isinstance(entries, tuple):
            terms = [column * flat[j] for j, column in enumerate(entries)]
            return sum(terms[1:], terms[0]).reshape(vector.shape)
        return (entries @ flat).reshape(vector.shape)

    def factor(self, entries: Entries, shift: Scalar) -> Factors:
        """See :class:`LinearStructure`; the inverse, or LU of many unknowns."""
        if isinstance(entries, tuple):
            return inverse(shifted(entries, shift))
        matrix = shift * jnp.eye(entries.shape[0], dtype=entries.dtype) - entries
        if entries.shape[0] < LAPACK_FROM:
            return inverse_by_rows(matrix)
        return tuple(lax.linalg.lu(matrix))

    def solve(self, factors: Factors, right: Vector) -> Vector:
        """See :class:`LinearStructure`."""
        return self._solved(factors, right, transposed=False)

    def solve_transposed(self, factors: Factors, right: Vector) -> Vector:
        """See :class:`LinearStructure`."""
        return self._solved(factors, right, transposed=True)

    def _solved(self, factors: Factors, right: Vector, transposed: bool) -> Vector:
        flat = right.reshape(-1)
        if isinstance(factors, list):
            solved = jnp.stack(apply_matrix(factors, list(flat), transposed))
        elif isinstance(factors, Array):
            solved = (factors.T if transposed else factors) @ flat
        else:
            solved = lower_upper_solve(factors, flat, transposed)
        return solved.reshape(right.shape)


def shifted(columns: tuple[Array, ...], shift: Scalar) -> Matrix:
    """The rows of $s I - J$ as scalars (or as arrays over cells) from the columns of $J$."""
    size = len(columns)
    return [[shift - columns[j][i] if i == j else -columns[j][i] for j in range(size)] for i in range(size)]


def lower_upper_solve(factors: tuple[Any, ...], right: Array, transposed: bool) -> Array:
    """The solve with what ``lax.linalg.lu`` gave."""
    lower_upper, _, order = factors
    triangular = lax.linalg.triangular_solve
    if not transposed:
        column = right[order][:, None]
        column = triangular(lower_upper, column, left_side=True, lower=True, unit_diagonal=True)
        return triangular(lower_upper, column, left_side=True, lower=False)[:, 0]
    column = triangular(lower_upper, right[:, None], left_side=True, lower=False, transpose_a=True)
    column = triangular(lower_upper, column, left_side=True, lower=True, unit_diagonal=True, transpose_a=True)[:, 0]
    return jnp.zeros_like(column).at[order].set(column)
