"""Cultures followed by counting cells: how many of each type among those counted, and how many cells there were in all."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from twinsim.errors import InputError

PSEUDO_COUNT = 0.5
"""Added to every count before logarithms: a type that was not seen is not known to be absent."""


@dataclass(frozen=True)
class CompositionSeries:
    """Counts of cells over time in cultures that do not see each other.

    Attributes:
        days: When each culture was sampled, increasing, ``[cultures, samples]``.
        counts: Cells counted of each type, ``[cultures, samples, types]``; only their shares mean something.
        totals: Density of all cells together, ``[cultures, samples]``.
        total_error: Standard deviation of the logarithm of a total.

    Raises:
        InputError: Shapes that do not belong together, times that do not increase, a sample without a cell, a total not above zero.
    """

    days: Float[np.ndarray, "cultures samples"]
    counts: Float[np.ndarray, "cultures samples types"]
    totals: Float[np.ndarray, "cultures samples"]
    total_error: float

    def __post_init__(self) -> None:
        """Refuses what is no series."""
        if self.counts.shape[:2] != self.days.shape or self.totals.shape != self.days.shape or self.days.shape[1] < 2:
            got = f"days {self.days.shape}, counts {self.counts.shape}, totals {self.totals.shape}"
            raise InputError(got, "[cultures, samples] of at least two samples, and types behind for counts", "give arrays that match")
        if not (np.isfinite(self.days).all() and (np.diff(self.days) > 0).all()):
            raise InputError("days that do not increase in a culture", "increasing times", "sort the samples and merge those of one time")
        if not (np.isfinite(self.counts).all() and (self.counts >= 0).all() and (self.counts.sum(axis=2) > 0).all()):
            raise InputError("counts below zero, not finite, or a sample without a cell", "counts of 0 or more", "leave out such samples")
        if not (np.isfinite(self.totals).all() and (self.totals > 0).all()) or not 0 < self.total_error < np.inf:
            raise InputError("a total or an error of totals that is not above zero", "positive numbers", "correct them")

    @property
    def cultures(self) -> int:
        """How many."""
        return self.days.shape[0]

    @property
    def types(self) -> int:
        """How many."""
        return self.counts.shape[2]

    def densities(self) -> Float[np.ndarray, "cultures samples types"]:
        """Total times share, with the pseudo-count: an estimate of each type's density, never zero."""
        counts = self.counts + PSEUDO_COUNT
        return self.totals[:, :, None] * counts / counts.sum(axis=2, keepdims=True)

    def log_variances(self) -> Float[np.ndarray, "cultures samples types"]:
        """Of the logarithms of :meth:`densities`: one over the count (Poisson) and the error of the total."""
        return 1 / (self.counts + PSEUDO_COUNT) + self.total_error**2

    def reference(self) -> Float[np.ndarray, " types"]:
        """The geometric mean density of each type: the unit in which interactions are learned."""
        return np.exp(np.log(self.densities()).mean(axis=(0, 1)))

    def some(self, cultures: np.ndarray) -> "CompositionSeries":
        """Those cultures only."""
        return CompositionSeries(self.days[cultures], self.counts[cultures], self.totals[cultures], self.total_error)


def counted(
    days: Float[np.ndarray, "cultures samples"],
    densities: Float[np.ndarray, "cultures samples types"],
    depth: int,
    total_error: float,
    seed: int,
) -> CompositionSeries:
    """What counting ``depth`` cells of every sample shows of densities (multinomial), with log-normal errors of the totals.

    Raises:
        InputError: Fewer than one cell, or densities that are not above zero in sum.
    """
    sums = densities.sum(axis=2)
    if depth < 1 or not (np.isfinite(densities).all() and (densities >= 0).all() and (sums > 0).all()):
        raise InputError(f"a depth of {depth} cells", "at least one cell, of densities that are finite and not negative", "correct them")
    random = np.random.default_rng(seed)
    counts = random.multinomial(depth, densities / sums[:, :, None]).astype(float)
    totals = sums * np.exp(total_error * random.standard_normal(sums.shape))
    return CompositionSeries(days, counts, totals, total_error)
