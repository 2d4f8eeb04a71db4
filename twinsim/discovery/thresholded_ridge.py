"""Sparse linear regression by sequential thresholding: weighted ridge, drop what the data cannot tell from zero, fit again."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from twinsim.errors import InputError


class SparseFit(NamedTuple):
    """What a regression left.

    Attributes:
        coefficients: One per column; exactly zero where the column was dropped.
        errors: Standard errors of those kept; NaN where dropped.
        first: Coefficients of the first fit, with every column, over their standard errors: how sure the dense fit was.
        criterion: Bayesian information criterion of the last fit.
        rounds: How many fits it took.
    """

    coefficients: Float[np.ndarray, " columns"]
    errors: Float[np.ndarray, " columns"]
    first: Float[np.ndarray, " columns"]
    criterion: float
    rounds: int

    @property
    def kept(self) -> Bool[np.ndarray, " columns"]:
        """Which columns are in."""
        return np.isfinite(self.errors)

    @property
    def score(self) -> Float[np.ndarray, " columns"]:
        """For a ranking: those kept by their size over its error, behind them those dropped by what the dense fit said."""
        size = np.abs(self.coefficients) / np.where(self.kept, self.errors, 1.0)
        behind = np.abs(self.first) / (1 + np.abs(self.first).max(initial=0.0))
        return np.where(self.kept, 1 + size, behind)


def ridge(
    columns: Float[np.ndarray, "rows columns"],
    target: Float[np.ndarray, " rows"],
    strength: float,
    weight: Float[np.ndarray, " rows"] | None = None,
    free: Bool[np.ndarray, " columns"] | None = None,
) -> tuple[Float[np.ndarray, " columns"], Float[np.ndarray, " columns"]]:
    r"""$\min_\theta\sum_kw_k(y_k-X_k\theta)^2 + \lambda\sum_jq_j\theta_j^2$ with $q_j=\sum_kw_kX_{kj}^2$, and standard errors.

    The penalty is relative: $\lambda$ = 0.01 takes one per cent off a column that is orthogonal to the others, whatever its unit. Errors
    are $\hat\sigma\sqrt{(H^{-1}GH^{-1})_{jj}}$ with $G=X^TWX$, $H$ with the penalty, and $\hat\sigma$ from the residuals.

    Args:
        columns: $X$.
        target: $y$.
        strength: $\lambda\ge0$.
        weight: $w$, one over a variance up to a factor; ones where left out.
        free: Columns without a penalty.

    Raises:
        InputError: Numbers that are not finite, no column, or a strength below zero.
    """
    if not (np.isfinite(columns).all() and np.isfinite(target).all()) or strength < 0 or not columns.size:
        got = f"{columns.shape[0]} rows of {columns.shape[1]} columns, strength {strength:g}"
        raise InputError(got, "finite numbers, at least one column, a strength of 0 or more", "leave out what is not known")
    weight = np.ones(len(target)) if weight is None else weight
    gram = columns.T @ (weight[:, None] * columns)
    size = np.maximum(np.diag(gram), np.finfo(float).tiny)
    penalty = strength * np.where(np.zeros(len(size), bool) if free is None else free, 0.0, 1.0)
    # In units of the columns' own sizes, so that one small number keeps the matrix invertible.
    root = np.sqrt(size)
    scaled = gram / np.outer(root, root)
    inverse = np.linalg.inv(scaled + np.diag(penalty) + 1e-10 * np.eye(len(size)))
    theta = inverse @ (columns.T @ (weight * target) / root)
    residual = target - columns @ (theta / root)
    effective = float(np.trace(inverse @ scaled))
    variance = float((weight * residual**2).sum()) / max(len(target) - effective, 1.0)
    spread = np.sqrt(variance * np.maximum(np.diag(inverse @ scaled @ inverse), 0.0))
    return theta / root, spread / root


def thresholded_ridge(
    columns: Float[np.ndarray, "rows columns"],
    target: Float[np.ndarray, " rows"],
    threshold: float,
    strength: float = 1e-3,
    weight: Float[np.ndarray, " rows"] | None = None,
    free: Bool[np.ndarray, " columns"] | None = None,
    share: float = 0.3,
) -> SparseFit:
    """Drops columns whose coefficient is within ``threshold`` standard errors of zero, fits the others again, until none is left to drop.

    The threshold is in standard errors, not in units of coefficients as in the original, so that one number serves terms of every unit.

    Args:
        columns: One per term.
        target: What they add up to.
        threshold: In standard errors; 2 to 5.
        strength: Of the ridge, relative (see :func:`ridge`).
        weight: Of the rows.
        free: Columns that are never dropped nor penalised.
        share: At most this part of the columns is dropped in a round (one at least), weakest first, since neighbours that explain the same
            look weak together. Zero drops one at a time: best, and slow with many columns.

    Good values: strength 1e-3 to 0.1, larger where there are hardly more rows than columns. Fails where columns are nearly the same:
    which of them stays is then luck; and where rows are wrong together (a bad quadrature), since errors take them as independent.

    Source: Brunton, Proctor, Kutz (2016), *PNAS* 113, 3932 (sequential thresholding); Rudy et al. (2017), *Sci Adv* 3, e1602614 (with
    a ridge).
    """
    fixed = np.zeros(columns.shape[1], bool) if free is None else free
    inside = np.ones(columns.shape[1], bool)
    theta, error = ridge(columns, target, strength, weight, fixed)
    first = theta / np.maximum(error, np.finfo(float).tiny)
    sure, rounds = np.abs(first), 1
    while True:
        weak = np.flatnonzero(inside & ~fixed & (sure < threshold))
        if not weak.size:
            break
        most = max(1, int(share * inside.sum()))
        inside[weak[np.argsort(sure[weak])][:most]] = False
        theta, error = np.zeros(len(inside)), np.full(len(inside), np.nan)
        if not inside.any():
            break
        theta[inside], error[inside] = ridge(columns[:, inside], target, strength, weight, fixed[inside])
        sure = np.where(inside, np.abs(theta) / np.maximum(error, np.finfo(float).tiny), 0.0)
        rounds += 1
    weights = np.ones(len(target)) if weight is None else weight
    misfit = float((weights * (target - columns @ theta) ** 2).sum())
    criterion = len(target) * np.log(max(misfit, np.finfo(float).tiny) / len(target)) + inside.sum() * np.log(len(target))
    return SparseFit(theta, np.where(inside, error, np.nan), first, float(criterion), rounds)


def choose_threshold(
    columns: Float[np.ndarray, "rows columns"],
    target: Float[np.ndarray, " rows"],
    thresholds: tuple[float, ...] = (2.0, 3.0, 4.0, 6.0),
    strength: float = 1e-3,
    weight: Float[np.ndarray, " rows"] | None = None,
    free: Bool[np.ndarray, " columns"] | None = None,
    share: float = 0.3,
) -> SparseFit:
    """The one of several thresholds whose Bayesian information criterion is least; arguments as in :func:`thresholded_ridge`."""
    fits = [thresholded_ridge(columns, target, one, strength, weight, free, share) for one in thresholds]
    return min(fits, key=lambda fit: fit.criterion)
