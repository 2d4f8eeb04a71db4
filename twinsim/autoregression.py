"""Forecasts of an even series from its own last values: the baseline that is hard to beat."""

from dataclasses import dataclass

import numpy as np

from twinsim.errors import InputError


@dataclass(frozen=True)
class Autoregression:
    r"""$\hat y_{t+h} = c + \sum_{i<p} a_i\,y_{t-i}$, one least-squares fit per horizon, on what is past at the time of each fit.

    Args:
        order: $p$; values used.
        refit: Forecasts between two fits.

    A fit at time $s$ uses pairs whose *later* value is before $s$. Deviations of its forecasts are those of its residuals then.
    Source: Gani et al. (2009), IEEE Trans. Biomed. Eng. 56:246 for glucose; direct multi-step fits Marcellino, Stock and Watson (2006),
    J. Econom. 135:499.
    """

    order: int = 6
    refit: int = 48

    def __post_init__(self) -> None:
        if self.order < 1 or self.refit < 1:
            raise InputError(f"order {self.order}, refit {self.refit}", "at least 1 each", "raise them")

    def forecasts(self, values: np.ndarray, horizon: int, start: int) -> tuple[np.ndarray, np.ndarray]:
        """Forecast of ``values[i + horizon]`` made at ``i``, and its deviation, for every ``i``; NaN before ``start`` and across gaps.

        Args:
            values: An even series; NaN where there is no value.
            horizon: Steps ahead.
            start: First index at which a forecast is made.
        """
        count = len(values)
        shifted = [np.concatenate([np.full(i, np.nan), values[: count - i]]) for i in range(self.order)]
        design = np.stack([*shifted, np.ones(count)], 1)
        later = np.concatenate([values[horizon:], np.full(min(horizon, count), np.nan)])
        usable = np.isfinite(design).all(1)
        found, spread = np.full(count, np.nan), np.full(count, np.nan)
        for first in range(start, count, self.refit):
            train = np.flatnonzero(usable & np.isfinite(later) & (np.arange(count) + horizon < first))
            if len(train) < 4 * self.order:
                continue
            weights = np.linalg.lstsq(design[train], later[train], rcond=None)[0]
            now = np.arange(first, min(first + self.refit, count))
            now = now[usable[now]]
            found[now] = design[now] @ weights
            spread[now] = np.std(later[train] - design[train] @ weights)
        return found, spread
