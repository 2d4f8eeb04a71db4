"""How well a score puts the right ones first."""

import numpy as np
from jaxtyping import Bool, Float
from scipy.stats import rankdata


def area_under_curve(score: Float[np.ndarray, " items"], truth: Bool[np.ndarray, " items"]) -> float:
    """Probability that one of the right ones scores above one of the others, ties a half (Mann and Whitney); NaN without either kind."""
    right = int(truth.sum())
    others = truth.size - right
    if not right or not others:
        return float("nan")
    return float((rankdata(score)[truth].sum() - right * (right + 1) / 2) / (right * others))


def average_precision(score: Float[np.ndarray, " items"], truth: Bool[np.ndarray, " items"]) -> float:
    r"""Area under the curve of precision over recall, $\sum_k(R_k-R_{k-1})P_k$ over distinct scores; chance is the share of right ones.

    Items of equal score come in together, so that their order is no luck. NaN without a right one.
    """
    recall, precision = precision_recall(score, truth)
    return float((np.diff(recall, prepend=0.0) * precision).sum()) if truth.any() else float("nan")


def precision_recall(
    score: Float[np.ndarray, " items"], truth: Bool[np.ndarray, " items"]
) -> tuple[Float[np.ndarray, " cuts"], Float[np.ndarray, " cuts"]]:
    """Recall and precision among the highest scores, at every distinct score from the top."""
    order = np.argsort(-score, kind="stable")
    last = np.flatnonzero(np.diff(score[order], append=-np.inf) != 0)
    right = np.cumsum(truth[order])[last]
    return right / max(int(truth.sum()), 1), right / (last + 1.0)


def hits_among_first(score: Float[np.ndarray, " items"], truth: Bool[np.ndarray, " items"], count: int = 10) -> int:
    """How many of the ``count`` highest scores are right; of equal scores the first in order."""
    return int(truth[np.argsort(-score, kind="stable")[:count]].sum())


def bootstrap_interval(
    score: Float[np.ndarray, " items"], truth: Bool[np.ndarray, " items"], seed: int, draws: int = 2000, level: float = 0.9
) -> tuple[float, float]:
    """Interval of the area under the curve when items are drawn again, right ones and others apart."""
    generator, right, others = np.random.default_rng(seed), np.flatnonzero(truth), np.flatnonzero(~truth)
    found = np.empty(draws)
    for row in range(draws):
        chosen = np.concatenate([generator.choice(right, right.size), generator.choice(others, others.size)])
        found[row] = area_under_curve(score[chosen], truth[chosen])
    low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
