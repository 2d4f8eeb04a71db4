"""Shares that states exchange at given rates (a master equation): conserved, stable for every step length."""

import math

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from solvers.shapes import Scalar

Shares = Float[Array, "states *cells"]
GAMMA = 1 - 1 / math.sqrt(2)  # for which two implicit stages are of order two and damp fast rates out


class MarkovChain(eqx.Module):
    r"""$p_i' = \sum_j (r_{ji}p_j - r_{ij}p_i)$: a Markov chain of few states, one per cell, at rates that are held.

    Args:
        rates: $r$ of each transition in ``pairs``, 1/time, not negative.
        pairs: From which state to which, by number.

    :meth:`advance` is the L-stable diagonally implicit method of two stages with $\gamma = 1 - 1/\sqrt2$, order 2, or one backward Euler
    step, order 1. Both keep the sum of the shares to round-off, and backward Euler their sign. The matrix $I - \gamma h Q$ is diagonally
    dominant by columns, so that elimination needs no pivots; only entries that are there are eliminated, written out when the
    program is traced. Good for up to some 20 states with few transitions; number last the states that have many.

    Raises:
        ValueError: Pairs of a state with itself or below zero; known rates that are negative or not finite; another accuracy.

    Source: Alexander (1977), SIAM J. Numer. Anal. 14, 1006.
    """

    rates: Float[Array, "pairs *cells"]
    pairs: tuple[tuple[int, int], ...] = eqx.field(static=True)

    def __check_init__(self) -> None:
        if any(source == target or min(source, target) < 0 for source, target in self.pairs):
            raise ValueError(f"got pairs {self.pairs}; expected two different states, numbered from 0, in each; do: drop the others")
        if not eqx.is_array(self.rates) or isinstance(self.rates, Tracer):
            return
        rates = np.asarray(self.rates)
        if rates.dtype.kind == "f" and not (np.isfinite(rates) & (rates >= 0)).all():
            raise ValueError("got rates that are negative or not finite; expected them >= 0; do: swap source and target of the pair")

    def change(self, shares: Shares) -> Shares:
        """$Q p$."""
        rows = [jnp.zeros_like(shares[0]) for _ in shares]
        for rate, (source, target) in zip(self.rates, self.pairs, strict=True):
            flow = rate * shares[source]
            rows[source], rows[target] = rows[source] - flow, rows[target] + flow
        return jnp.stack(rows)

    def advance(self, shares: Shares, length: Scalar, accuracy: int) -> Shares:
        """The shares after a step of ``length``, by increments: a step of length zero changes nothing."""
        if accuracy not in (1, 2):
            raise ValueError(f"got accuracy {accuracy}; expected 1 or 2; do: choose one of them")
        if accuracy == 1:
            return shares + length * self._implicit(length, self.change(shares))
        first = self._implicit(GAMMA * length, self.change(shares))
        second = self._implicit(GAMMA * length, self.change(shares + (1 - GAMMA) * length * first))
        return shares + length * ((1 - GAMMA) * first + GAMMA * second)

    def _implicit(self, length: Scalar, right: Shares) -> Shares:
        """$(I - hQ)^{-1}$ of the right side, by elimination of what is there."""
        column = list(right)
        matrix: list[dict[int, Array]] = [{i: jnp.ones_like(column[0])} for i in range(len(column))]
        for rate, (source, target) in zip(self.rates, self.pairs, strict=True):
            matrix[source][source] = matrix[source][source] + length * rate
            matrix[target][source] = matrix[target].get(source, 0.0) - length * rate
        for k, row in enumerate(matrix):
            for i in range(k + 1, len(column)):
                if k not in matrix[i]:
                    continue
                factor = matrix[i].pop(k) / row[k]
                for j, entry in row.items():
                    if j > k:
                        matrix[i][j] = matrix[i].get(j, 0.0) - factor * entry
                column[i] = column[i] - factor * column[k]
        for k in reversed(range(len(column))):
            for j, entry in matrix[k].items():
                if j > k:
                    column[k] = column[k] - entry * column[j]
            column[k] = column[k] / matrix[k][k]
        return jnp.stack(column)
