"""How many independent measurements a map of residuals is worth."""

import numpy as np

LAGS = 8


def independent_fraction(score: np.ndarray, information: np.ndarray) -> float:
    r"""The fraction of voxels that count as independent, at most one.

    If errors were independent and as large as the likelihood assumes, the scores $g_i$ (derivatives of the log-likelihood with respect
    to the prediction) would have variance $h_i$, their Fisher information, and $\sum_{|i-j|\le l} g_i g_j = \sum_i h_i$ in expectation for
    every reach $l$. The ratio of the two sides is how often an error is counted: over-dispersion times correlated neighbours. Lags go up to
    eight voxels, shell by shell, until a shell's mean correlation is under 0.05. Dividing a log-likelihood by the ratio gives intervals of
    the right width: the quasi-likelihood correction (McCullagh and Nelder 1989, section 9.2). Where information sits on a thin shell, as at
    the edge of a segmentation, correlation along the shell counts in full.

    Args:
        score: $g_i$ on the grid ``(x, y, z)``; ignored where the information is zero.
        information: $h_i\ge 0$; zero where a voxel did not enter the likelihood.

    Fails: with fewer than about a hundred voxels the estimate is rough; a smooth misfit wider than eight voxels is counted in part only.
    """
    weight = np.asarray(information, dtype=float)
    field = np.where(weight > 0, score, 0.0).astype(float)
    total = float((field**2).sum())
    if total == 0.0:
        return 1.0
    padded = [n + LAGS + 1 for n in field.shape]
    products, pairs = (_lagged_products(values, padded) for values in (field, np.sqrt(weight)))
    lags = [np.minimum(np.arange(n), n - np.arange(n)).astype(float) for n in padded]
    distance = np.sqrt(lags[0][:, None, None] ** 2 + lags[1][None, :, None] ** 2 + lags[2][None, None, :] ** 2)
    dispersion = total / float(weight.sum())
    for radius in range(1, LAGS + 1):
        shell = (distance > radius - 0.5) & (distance <= radius + 0.5)
        found, possible = float(products[shell].sum()), float(pairs[shell].sum())
        if found < 0.05 * dispersion * possible:
            break
        total += found
    return 1.0 / max(1.0, total / float(weight.sum()))


def _lagged_products(values: np.ndarray, padded: list[int]) -> np.ndarray:
    """Sum over voxels of a value times the value at each lag."""
    return np.fft.irfftn(np.abs(np.fft.rfftn(values, padded, axes=(0, 1, 2))) ** 2, padded, axes=(0, 1, 2))
