"""Jacobians in blocks: local chemistry without neighbours, and chains of cells that see their two neighbours."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from solvers.shapes import Scalar
from solvers.stiff.linear_structure import Entries, Factors, LinearStructure, Vector, shifted
from solvers.stiff.linear_structure_reduction import ReductionFactors, factor_reduction, solve_reduction
from solvers.stiff.linear_structure_small import apply_matrix, inverse
from solvers.stiff.linear_structure_sweep import BlockFactors, factor_chain, solve_chain


class BlockDiagonal(LinearStructure):
    """Cells that don't see each other, each with the same few components: state ``(components, *cells)``.

    The Jacobian takes as many forward derivatives as there are components, whatever the number of cells, and the elimination is
    written out in arrays over cells. All cells take the same steps; where their time scales differ much, ``vmap`` over cells gives
    each its own. For up to about ten components; the program grows with their cube.
    """

    def check(self, shape: tuple[int, ...]) -> None:
        """See :class:`solvers.stiff.linear_structure.LinearStructure`."""
        if len(shape) < 2:
            raise ValueError(f"got a state of shape {shape}; expected (components, cells); do: stack the components as the first axis")

    def linearise(self, function: Callable[[Vector], Vector], state: Vector) -> tuple[Vector, Entries]:
        """One column per component, with an entry for every cell."""
        value, push = jax.linearize(function, state)
        probes = np.zeros((state.shape[0], *state.shape))
        for j in range(state.shape[0]):
            probes[j, j] = 1
        return value, tuple(push(jnp.asarray(probe, state.dtype)) for probe in probes)

    def multiply(self, entries: Entries, vector: Vector) -> Vector:
        """See :class:`solvers.stiff.linear_structure.LinearStructure`."""
        terms = [column * vector[j][None] for j, column in enumerate(entries)]
        return sum(terms[1:], terms[0])

    def factor(self, entries: Entries, shift: Scalar) -> Factors:
        """The inverses."""
        return inverse(shifted(entries, shift))

    def solve(self, factors: Factors, right: Vector) -> Vector:
        """See :class:`solvers.stiff.linear_structure.LinearStructure`."""
        return jnp.stack(apply_matrix(factors, list(right)))

    def solve_transposed(self, factors: Factors, right: Vector) -> Vector:
        """See :class:`solvers.stiff.linear_structure.LinearStructure`."""
        return jnp.stack(apply_matrix(factors, list(right), transposed=True))


class Tridiagonal(LinearStructure):
    """A chain of cells, each of which sees itself and its two neighbours: state ``(cells,)`` or ``(components, cells)``.

    Cables and reaction-diffusion on a line. The components that don't spread are eliminated cell by cell, what is left along the
    chain: by cyclic reduction for one or two spreading components, in sequence for more.

    Args:
        spreading: The first so many components couple to neighbours, and only to each other there; the rest are local (voltage
            first, then gates and concentrations). None: all spread. The Jacobian takes three forward derivatives per spreading
            and one per local component.

    Fails: without pivoting between cells, as every block elimination; that is stable where $s I - J$ is dominated by its diagonal
    blocks, as diffusion makes it. A coupling that the pattern leaves out costs the order silently, see
    :func:`solvers.stiff.linear_structure.pattern_error`. Periodic chains: :class:`solvers.stiff.linear_structure_sparse.Coloured`.
    """

    spreading: int | None = eqx.field(static=True)

    def __init__(self, spreading: int | None = None) -> None:
        if spreading is not None and spreading < 1:
            raise ValueError(f"got spreading {spreading}; expected at least 1; do: use BlockDiagonal where nothing spreads")
        self.spreading = spreading

    def check(self, shape: tuple[int, ...]) -> None:
        """See :class:`solvers.stiff.linear_structure.LinearStructure`."""
        if len(shape) not in (1, 2):
            raise ValueError(f"got a state of shape {shape}; expected (cells,) or (components, cells); do: flatten the chain")
        components = shape[0] if len(shape) == 2 else 1
        if self.spreading is not None and self.spreading > components:
            raise ValueError(f"got {components} components; expected at least the {self.spreading} spreading ones; do: check the axes")

    def linearise(self, function: Callable[[Vector], Vector], state: Vector) -> tuple[Vector, Entries]:
        """Blocks of a cell with itself, and of the spreading components with the left and the right neighbour."""
        value, push = jax.linearize(function, state)
        components, cells = _two_axes(state).shape
        spreading = self.spreading or components
        place = np.arange(cells)
        probes = []
        for component in range(components):
            for number in range(3) if component < spreading else (None,):
                probe = np.zeros((components, cells))
                probe[component] = 1 if number is None else place % 3 == number
                probes.append(probe)
        pushed = jax.vmap(push)(jnp.asarray(np.stack(probes), state.dtype).reshape(-1, *state.shape))
        pushed = pushed.reshape(-1, components, cells)
        columns = [[_every_third(pushed[3 * k : 3 * k + 3], offset) for k in range(spreading)] for offset in (-1, 0, 1)]
        local = jnp.stack([*columns[1], *pushed[3 * spreading :]], axis=1)
        left, right = (jnp.stack([column[:spreading] for column in side], axis=1) for side in (columns[0], columns[2]))
        return value, (local, left, right)

    def multiply(self, entries: Entries, vector: Vector) -> Vector:
        """See :class:`solvers.stiff.linear_structure.LinearStructure`."""
        local, left, right = entries
        field = _two_axes(vector)
        components, spreading = local.shape[0], left.shape[0]
        moving = field[:spreading]
        sides = _times(left, _moved(moving, 1)) + _times(right, _moved(moving, -1))
        return (_times(local, field) + jnp.pad(sides, ((0, components - spreading), (0, 0)))).reshape(vector.shape)

    def factor(self, entries: Entries, shift: Scalar) -> Factors:
        """The Schur complement of the local components, factored along the chain."""
        local, left, right = entries
        spreading = left.shape[0]
        diagonal = jnp.eye(local.shape[0], dtype=local.dtype)[:, :, None] * shift - local
        schur, kept = diagonal[:spreading, :spreading], None
        if spreading < local.shape[0]:
            inner = [list(row) for row in diagonal[spreading:, spreading:]]
            solved = jnp.stack([jnp.stack(row) for row in inverse(inner)])
            above, below = _blocks(diagonal[:spreading, spreading:], solved), _blocks(solved, diagonal[spreading:, :spreading])
            schur = schur - _blocks(diagonal[:spreading, spreading:], below)
            kept = (solved, above, below)
        if spreading <= REDUCED:
            return kept, factor_reduction(-left, schur, -right)
        lower, schur, upper = (jnp.moveaxis(blocks, -1, 0) for blocks in (-left, schur, -right))
        return kept, factor_chain(lower, schur, upper)

    def solve(self, factors: Factors, right: Vector) -> Vector:
        """See :class:`solvers.stiff.linear_structure.LinearStructure`."""
        kept, chain = factors
        if kept is None:
            return _solve_along(chain, _two_axes(right), transposed=False).reshape(right.shape)
        solved, above, below = kept
        spreading = above.shape[0]
        first = _solve_along(chain, right[:spreading] - _times(above, right[spreading:]), transposed=False)
        return jnp.concatenate([first, _times(solved, right[spreading:]) - _times(below, first)])

    def solve_transposed(self, factors: Factors, right: Vector) -> Vector:
        """See :class:`solvers.stiff.linear_structure.LinearStructure`."""
        kept, chain = factors
        if kept is None:
            return _solve_along(chain, _two_axes(right), transposed=True).reshape(right.shape)
        solved, above, below = (jnp.swapaxes(blocks, 0, 1) for blocks in kept)
        spreading = below.shape[0]
        first = _solve_along(chain, right[:spreading] - _times(below, right[spreading:]), transposed=True)
        return jnp.concatenate([first, _times(solved, right[spreading:]) - _times(above, first)])


REDUCED = 2


def _two_axes(state: Vector) -> Float[Array, "components cells"]:
    return state if state.ndim == 2 else state[None]


def _every_third(pushed: Float[Array, "three components cells"], offset: int) -> Float[Array, "components cells"]:
    """Per cell, its derivative with respect to the cell at ``offset``: from the probe of that cell's colour."""
    cells = pushed.shape[-1]
    source = np.arange(cells) + offset
    colour = np.where((source >= 0) & (source < cells), source % 3, -1)
    first, second, third = (jnp.asarray(colour == number)[None] for number in range(3))
    return jnp.where(first, pushed[0], jnp.where(second, pushed[1], jnp.where(third, pushed[2], 0)))


def _moved(field: Float[Array, "components cells"], distance: int) -> Float[Array, "components cells"]:
    if distance > 0:
        return jnp.pad(field[:, :-1], ((0, 0), (1, 0)))
    return jnp.pad(field[:, 1:], ((0, 0), (0, 1)))


def _times(blocks: Float[Array, "rows columns cells"], vector: Float[Array, "columns cells"]) -> Float[Array, "rows cells"]:
    terms = [blocks[:, j] * vector[None, j] for j in range(blocks.shape[1])]
    return sum(terms[1:], terms[0])


def _blocks(first: Float[Array, "rows inner cells"], second: Float[Array, "inner columns cells"]) -> Float[Array, "rows columns cells"]:
    terms = [first[:, j, None] * second[None, j] for j in range(first.shape[1])]
    return sum(terms[1:], terms[0])


def _solve_along(chain: ReductionFactors | BlockFactors, right: Float[Array, "components cells"], transposed: bool) -> Array:
    if isinstance(chain, ReductionFactors):
        return solve_reduction(chain, right, transposed)
    return solve_chain(chain, right.T, transposed).T
