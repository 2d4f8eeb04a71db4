"""Sparse Jacobians of networks: columns that share no row are differentiated together, unknowns reordered into a narrow band."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Int
from scipy import sparse
from scipy.sparse.csgraph import reverse_cuthill_mckee

from solvers.shapes import Scalar
from solvers.stiff.linear_structure import Entries, Factors, LinearStructure, Vector, lower_upper_solve
from solvers.stiff.linear_structure_reduction import ReductionFactors, factor_reduction, solve_reduction
from solvers.stiff.linear_structure_sweep import factor_chain, solve_chain

REDUCED = 2
WIDEST = 32


class Coloured(LinearStructure):
    r"""A sparse Jacobian with a known pattern: state ``(n,)``.

    Columns without a common row get one colour, and one forward derivative per colour gives every entry. The unknowns are
    reordered to a narrow band (reverse Cuthill-McKee) and solved as a block tridiagonal matrix with blocks as wide as the band:
    $O(n\,b^2)$ work. Where the band is wider than 32 or half of the matrix, LU of the dense matrix is taken. All of the planning
    happens once, on the host.

    Args:
        sparsity: The pattern, dense or SciPy sparse, ``(n, n)``; row $i$, column $j$ set where $f_i$ depends on $y_j$. The diagonal
            is always taken as set.

    Attributes:
        size: Unknowns.
        colours: Forward derivatives per Jacobian.
        band: Half width of the band after reordering.

    Fails: hubs (an unknown that nearly all others see) make the band wide and the colours many. A dependence that the pattern
    leaves out costs the order silently, see :func:`solvers.stiff.linear_structure.pattern_error`. No pivoting between blocks.
    Source: Curtis, Powell, Reid (1974), IMA J. Appl. Math. 13, 117 (colouring); Cuthill, McKee (1969), Proc. 24th ACM Conf., 157.
    """

    probes: Bool[Array, "colours n"]
    colour_of: Int[Array, "width n"]
    neighbours: Int[Array, "width n"]
    present: Bool[Array, "width n"]
    places: Int[Array, "..."]
    padding: Bool[Array, "..."]
    order: Int[Array, " n"]
    position: Int[Array, " n"]
    size: int = eqx.field(static=True)
    colours: int = eqx.field(static=True)
    band: int = eqx.field(static=True)
    dense: bool = eqx.field(static=True)

    def __init__(self, sparsity: Any) -> None:
        pattern = _checked(sparsity)
        self.size = pattern.shape[0]
        colour = _colours(pattern)
        self.colours = int(colour.max()) + 1
        order = reverse_cuthill_mckee(sparse.csr_matrix(pattern + pattern.T), symmetric_mode=True).astype(int)
        position = np.argsort(order)
        rows, columns = pattern.nonzero()
        self.band = max(1, int(np.abs(position[rows] - position[columns]).max()))
        self.dense = self.band > WIDEST or 2 * self.band >= self.size

        # The entries of row i side by side: slot k of row i is the entry of column neighbours[k, i].
        begins = np.searchsorted(rows, np.arange(self.size))
        slots = np.arange(rows.size) - begins[rows]
        width = int(slots.max()) + 1
        neighbours = np.tile(np.arange(self.size), (width, 1))
        neighbours[slots, rows] = columns
        present = np.zeros((width, self.size), bool)
        present[slots, rows] = True
        source = slots * self.size + rows
        if self.dense:
            places = np.full((self.size, self.size), width * self.size)
            places[rows, columns] = source
            padding = np.zeros(self.size, bool)
        else:
            places, padding = _block_places(position[rows], position[columns], source, width * self.size, self.size, self.band)
        self.probes = jnp.asarray(colour[None, :] == np.arange(self.colours)[:, None])
        self.present, self.padding = jnp.asarray(present), jnp.asarray(padding)
        # 32 bits, so that a structure made where 64 are on serves where they are not.
        tables = (colour[neighbours], neighbours, places, order, position)
        tables = [jnp.asarray(table, jnp.int32) for table in tables]
        self.colour_of, self.neighbours, self.places, self.order, self.position = tables

    def check(self, shape: tuple[int, ...]) -> None:
        """See :class:`solvers.stiff.linear_structure.LinearStructure`."""
        if shape != (self.size,):
            raise ValueError(f"got a state of shape {shape}; expected {(self.size,)}; do: flatten the state as the pattern counts it")

    def linearise(self, function: Callable[[Vector], Vector], state: Vector) -> tuple[Vector, Entries]:
        """The entries, row by row side by side: ``(width, n)``."""
        value, push = jax.linearize(function, state)
        compressed = jax.vmap(push)(self.probes.astype(state.dtype))
        rows = jnp.broadcast_to(jnp.arange(self.size, dtype=jnp.int32)[None], self.colour_of.shape)
        return value, jnp.where(self.present, compressed[self.colour_of, rows], 0)

    def multiply(self, entries: Entries, vector: Vector) -> Vector:
        """See :class:`solvers.stiff.linear_structure.LinearStructure`."""
        return (entries * vector[self.neighbours]).sum(axis=0)

    def factor(self, entries: Entries, shift: Scalar) -> Factors:
        """Block elimination in the narrow order, or LU."""
        values = jnp.append(entries.reshape(-1), jnp.zeros((), entries.dtype))
        blocks = -values[self.places]
        if self.dense:
            return tuple(lax.linalg.lu(blocks + shift * jnp.eye(self.size, dtype=entries.dtype)))
        diagonal = jnp.where(self.padding, 1, shift)[:, :, None] * jnp.eye(self.band, dtype=entries.dtype)[None]
        lower, middle, upper = blocks[0], blocks[1] + diagonal, blocks[2]
        if self.band <= REDUCED:
            return factor_reduction(*(jnp.moveaxis(block, 0, -1) for block in (lower, middle, upper)))
        return factor_chain(lower, middle, upper)

    def solve(self, factors: Factors, right: Vector) -> Vector:
        """See :class:`solvers.stiff.linear_structure.LinearStructure`."""
        return self._solved(factors, right, transposed=False)

    def solve_transposed(self, factors: Factors, right: Vector) -> Vector:
        """See :class:`solvers.stiff.linear_structure.LinearStructure`."""
        return self._solved(factors, right, transposed=True)

    def _solved(self, factors: Factors, right: Vector, transposed: bool) -> Vector:
        if self.dense:
            return lower_upper_solve(factors, right, transposed)
        cells = self.padding.shape[0]
        rows = jnp.pad(right[self.order], (0, cells * self.band - self.size)).reshape(cells, self.band)
        if isinstance(factors, ReductionFactors):
            solved = solve_reduction(factors, rows.T, transposed).T
        else:
            solved = solve_chain(factors, rows, transposed)
        return solved.reshape(-1)[self.position]


def banded(size: int, lower: int, upper: int) -> Coloured:
    """The structure where $f_i$ depends on $y_{i-lower}..y_{i+upper}$ only; ``lower + upper + 1`` forward derivatives."""
    if size < 1 or min(lower, upper) < 0:
        raise ValueError(f"got size {size}, lower {lower}, upper {upper}; expected none below zero; do: count the bands")
    offset = np.arange(size)[None, :] - np.arange(size)[:, None]
    return Coloured((offset >= -lower) & (offset <= upper))


def _checked(sparsity: Any) -> sparse.csr_matrix:
    pattern = sparse.csr_matrix(sparsity).astype(bool)
    if pattern.shape[0] != pattern.shape[1] or pattern.shape[0] == 0:
        raise ValueError(f"got a pattern of shape {pattern.shape}; expected a square one; do: rows and columns count the unknowns")
    pattern = sparse.csr_matrix(pattern + sparse.eye(pattern.shape[0], dtype=bool, format="csr"))
    pattern.sum_duplicates()
    pattern.sort_indices()
    return pattern


def _colours(pattern: sparse.csr_matrix) -> np.ndarray:
    """Greedy colouring, columns in their order; two columns that meet in a row differ."""
    columns = pattern.tocsc()
    colour = np.full(pattern.shape[0], -1)
    for column in range(pattern.shape[0]):
        rows = columns.indices[columns.indptr[column] : columns.indptr[column + 1]]
        met = {int(colour[other]) for row in rows for other in pattern.indices[pattern.indptr[row] : pattern.indptr[row + 1]]}
        number = 0
        while number in met:
            number += 1
        colour[column] = number
    return colour


def _block_places(
    rows: np.ndarray, columns: np.ndarray, source: np.ndarray, empty: int, size: int, band: int
) -> tuple[np.ndarray, np.ndarray]:
    """Where the blocks left of, on and right of the diagonal find their entries, and which rows only fill the last block."""
    cells = -(-size // band)
    places = np.full((3, cells, band, band), empty)
    places[columns // band - rows // band + 1, rows // band, rows % band, columns % band] = source
    return places, (np.arange(cells * band) >= size).reshape(cells, band)
