"""Elimination of a small sparse matrix, planned on the host and written out: no LAPACK, no zeros, batches ride along."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

type Entry = Array | float
type Place = tuple[int, int]

GOOD_PIVOT = 0.02


@dataclass(frozen=True)
class EliminationPlan:
    """In which order unknowns are eliminated; static, so that it may be a field of a module.

    Attributes:
        size: Number of unknowns.
        pivots: Row and column of each pivot, in order.
        operations: Multiplications and divisions of one factorisation with one solve, those by one not counted.
    """

    size: int
    pivots: tuple[Place, ...]
    operations: int

    def solve(self, entries: Mapping[Place, Entry], right: Sequence[Array]) -> list[Array]:
        r"""$A^{-1} b$ by Gaussian elimination without exchange of rows.

        Args:
            entries: The places of $A$ that are not zero; arrays of one batch shape, or Python numbers where they are the same always:
                a product with one then costs nothing.
            right: $b$, one array per row.

        Fails: pivots were chosen for the samples that the plan has seen; a matrix in which one of them vanishes gives infinities, one in
        which it is small loses digits. Newton's iterations see both.
        """
        rows: list[dict[int, Entry]] = [{} for _ in range(self.size)]
        for (i, j), value in entries.items():
            rows[i][j] = value
        b: list[Entry] = list(right)
        active = set(range(self.size))
        inverses: list[Entry] = []
        for i, j in self.pivots:
            active.discard(i)
            inverse = 1.0 / rows[i][j]
            inverses.append(inverse)
            for other in sorted(active):
                if j not in rows[other]:
                    continue
                factor = _times(rows[other].pop(j), inverse)
                for k, value in rows[i].items():
                    if k != j:
                        rows[other][k] = _minus(rows[other].get(k, 0.0), _times(factor, value))
                b[other] = _minus(b[other], _times(factor, b[i]))
        solved: dict[int, Entry] = {}
        for (i, j), inverse in zip(reversed(self.pivots), reversed(inverses), strict=True):
            total = b[i]
            for k, value in rows[i].items():
                if k != j:
                    total = _minus(total, _times(value, solved[k]))
            solved[j] = _times(total, inverse)
        return [jnp.asarray(solved[j]) for j in range(self.size)]


def elimination_plan(samples: np.ndarray, pattern: np.ndarray) -> EliminationPlan:
    """Chooses pivots that keep the fill small and are good in every sample: Markowitz's count with a threshold.

    Args:
        samples: Matrices as they may come, ``(samples, n, n)``; rows and columns may have any units.
        pattern: Where an entry may be other than zero, ``(n, n)``.

    Raises:
        ValueError: A sample is singular to working precision, so that there is nothing to eliminate with.

    Source: Markowitz (1957), Management Science 3, 255; Duff, Erisman and Reid (1986), *Direct Methods for Sparse Matrices*, chapter 7.
    """
    work = _equilibrated(np.array(samples, dtype=float))
    filled = np.array(pattern, dtype=bool)
    size = filled.shape[0]
    rows, columns = list(range(size)), list(range(size))
    pivots: list[Place] = []
    operations = 0
    for _ in range(size):
        i, j = _best_pivot(work, filled, rows, columns)
        pivots.append((i, j))
        rows.remove(i)
        columns.remove(j)
        under = [r for r in rows if filled[r, j]]
        along = [c for c in columns if filled[i, c]]
        operations += 2 + len(under) * (len(along) + 2) + len(along)
        for r in under:
            factor = work[:, r, j] / work[:, i, j]
            work[:, r, :] -= factor[:, None] * work[:, i, :]
            filled[r, along] = True
    return EliminationPlan(size, tuple(pivots), operations)


def _best_pivot(work: np.ndarray, filled: np.ndarray, rows: list[int], columns: list[int]) -> Place:
    block = filled[np.ix_(rows, columns)]
    size = np.abs(work[:, rows][:, :, columns]) * block
    largest = np.maximum(size.max(1, keepdims=True), 1e-300)
    good = (size / largest).min(0)  # the worst sample decides
    cost = np.outer(block.sum(1) - 1, block.sum(0) - 1)
    for threshold in (GOOD_PIVOT, GOOD_PIVOT**2, 1e-9):
        allowed = block & (good >= threshold) & (size.min(0) > 1e-13)
        if allowed.any():
            best = np.where(allowed, cost - 0.5 * good, np.inf)
            r, c = np.unravel_index(int(np.argmin(best)), best.shape)
            return rows[r], columns[c]
    raise ValueError(
        "got equations that are singular; expected one solution; do: give every pressure a way to a source, a chamber or a reference"
    )


def _equilibrated(samples: np.ndarray) -> np.ndarray:
    """Rows and columns scaled to comparable sizes: units must not decide about pivots."""
    for _ in range(4):
        for axis in (2, 1):
            scale = np.sqrt(np.abs(samples).max(axis, keepdims=True))
            samples = samples / np.where(scale > 0, scale, 1.0)
    return samples


def _times(a: Entry, b: Entry) -> Entry:
    for one, other in ((a, b), (b, a)):
        if isinstance(one, float) and one in (0.0, 1.0, -1.0):
            return 0.0 if one == 0.0 else other if one == 1.0 else -other
    return a * b


def _minus(a: Entry, b: Entry) -> Entry:
    if isinstance(b, float) and b == 0.0:
        return a
    return -b if isinstance(a, float) and a == 0.0 else a - b
