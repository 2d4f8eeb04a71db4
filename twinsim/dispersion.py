"""How many independent measurements a map of residuals is worth."""

import numpy as np

LAGS = 6


def independent_fraction(residual: np.ndarray, used: np.ndarray) -> float:
    r"""The fraction of voxels that count as independent, $1/(\phi\,\eta)$, at most one.

    $\phi$ is the mean square of the standardised residuals (over one where noise or model error exceed what the likelihood assumes)
    and $\eta = \sum_l \hat\rho(l)$ sums their autocorrelation over lags up to six voxels, shell by shell until a shell's mean falls under 0.05;
    $\phi\eta$ is the variance of a sum of residuals per voxel. Dividing a log-likelihood by it gives intervals of the right width when
    errors are alike in neighbouring voxels: the quasi-likelihood correction (McCullagh and Nelder 1989, section 9.2).

    Args:
        residual: Standardised residuals on the grid ``(x, y, z)``; ignored outside ``used``.
        used: Voxels that entered the likelihood.

    Fails: with fewer than about a hundred voxels the estimate is rough, and a smooth misfit larger than six voxels is counted in part only.
    """
    field = np.where(used, residual, 0.0).astype(float)
    mean_square = float((field**2).sum() / used.sum())
    if mean_square == 0.0:
        return 1.0
    padded = [n + LAGS + 1 for n in used.shape]
    power = np.abs(np.fft.rfftn(field, padded)) ** 2
    pairs = np.abs(np.fft.rfftn(used.astype(float), padded)) ** 2
    products = np.fft.irfftn(power, padded)
    counts = np.maximum(np.fft.irfftn(pairs, padded), 1.0)
    lags = [np.minimum(np.arange(n), n - np.arange(n)) for n in padded]
    distance = np.sqrt(sum(lag.astype(float).reshape([-1 if a == i else 1 for a in range(3)]) ** 2 for i, lag in enumerate(lags)))
    correlation = products / counts / mean_square
    total = 1.0
    for radius in range(1, LAGS + 1):
        shell = (distance > radius - 0.5) & (distance <= radius + 0.5)
        mean = float(correlation[shell].mean())
        if mean < 0.05:
            break
        total += mean * float(shell.sum())
    return 1.0 / max(1.0, mean_square * max(total, 1.0))
