"""How far an estimate can be trusted, as data: a code with words, and the numbers behind it."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np

R_HAT_LIMIT, LEAST_EFFECTIVE, CONDITION_LIMIT = 1.01, 400, 1e10


class Outcome(IntEnum):
    """What became of an estimate; the larger code wins when several hold."""

    GOOD = 0
    FEW_EFFECTIVE = 1
    ILL_CONDITIONED = 2
    DIVERGENT = 3
    NOT_MIXED = 4
    NOT_CONVERGED = 5
    NOT_FINITE = 6

    @property
    def message(self) -> str:
        """Cause and remedy in one line."""
        return _MESSAGES[self]


_MESSAGES = {
    Outcome.GOOD: "the estimate can be used",
    Outcome.FEW_EFFECTIVE: "fewer independent draws than intervals need; do: draw more",
    Outcome.ILL_CONDITIONED: "the data leave a combination of parameters open beyond round-off; do: tighten a prior or fix one of them",
    Outcome.DIVERGENT: "trajectories diverged, so that a narrow part of the posterior may be missing; do: raise the target acceptance",
    Outcome.NOT_MIXED: "chains disagree; do: draw more, or use tempered sequential Monte Carlo where there are several modes",
    Outcome.NOT_CONVERGED: "the search stopped before the maximum; do: allow more steps or more starts",
    Outcome.NOT_FINITE: "a density or a draw is not finite; do: check data, priors and the model at the prior's median",
}


@dataclass(frozen=True)
class Diagnostics:
    """What an estimator says about itself.

    Attributes:
        outcome: The verdict; `outcome.message` names cause and remedy.
        r_hat: Rank-normalised split R-hat per coordinate; NaN where there is one chain only.
        effective: Bulk effective sample size per coordinate.
        divergences: Divergent transitions.
        condition: Condition number of the posterior covariance in standard-normal coordinates.
        note: What else the estimator reports, in words.
    """

    outcome: Outcome
    r_hat: np.ndarray
    effective: np.ndarray
    divergences: int = 0
    condition: float = float("nan")
    note: str = ""

    @property
    def words(self) -> str:
        """One line for logs and reports."""
        parts = [f"{self.outcome.name.lower().replace('_', ' ')}: {self.outcome.message}"]
        if np.isfinite(self.r_hat).any():
            parts.append(f"largest R-hat {np.nanmax(self.r_hat):.3f}")
        parts.append(f"smallest effective size {np.min(self.effective):.0f}")
        parts += [f"{self.divergences} divergences"] if self.divergences else []
        parts += [self.note] if self.note else []
        return "; ".join(parts)


def diagnose(
    z: np.ndarray, divergences: int = 0, effective: np.ndarray | None = None, converged: bool = True, note: str = ""
) -> Diagnostics:
    """Diagnostics of draws.

    Args:
        z: ``(chains, draws, parameters)``.
        divergences: How many transitions diverged.
        effective: Effective sizes where the method knows them; None estimates them from autocorrelation.
        converged: Whether the search that the draws rest on ended.
        note: Anything else, in words.
    """
    from arviz_stats.base.array import array_stats

    z = np.asarray(z)
    chains, count, size = z.shape
    unknown = np.full(size, np.nan)
    if not np.isfinite(z).all():
        return Diagnostics(Outcome.NOT_FINITE, unknown, np.zeros(size), divergences, float("nan"), note)
    moving = np.ptp(z, axis=(0, 1)) > 0
    r_hat = unknown
    if chains > 1 and count >= 4 and moving.all():
        r_hat = _each(array_stats.rhat, z)
    if effective is None:
        effective = _each(array_stats.ess, z) if count >= 4 and moving.all() else np.ones(size)
    flat = z.reshape(-1, size)
    condition = float(np.linalg.cond(np.atleast_2d(np.cov(flat.T)))) if len(flat) > size and moving.all() else float("nan")
    outcome = Outcome.GOOD
    for code, failed in (
        (Outcome.FEW_EFFECTIVE, bool(effective.min() < LEAST_EFFECTIVE)),
        (Outcome.ILL_CONDITIONED, bool(condition > CONDITION_LIMIT)),
        (Outcome.DIVERGENT, divergences > 0),
        (Outcome.NOT_MIXED, bool(np.nanmax(r_hat) > R_HAT_LIMIT) if np.isfinite(r_hat).any() else False),
        (Outcome.NOT_CONVERGED, not converged),
    ):
        outcome = code if failed else outcome
    return Diagnostics(outcome, r_hat, effective, divergences, condition, note)


def _each(statistic: Callable[..., Any], z: np.ndarray) -> np.ndarray:
    """A statistic of chains, coordinate by coordinate."""
    return np.array([float(statistic(z[..., i], chain_axis=0, draw_axis=1)) for i in range(z.shape[-1])])
