"""When spikes arrive, between the samples of traces; on the host."""

import numpy as np
from jaxtyping import Float


def arrival_times(times: Float[np.ndarray, " samples"], traces: Float[np.ndarray, "samples sites"], level: float = -20.0) -> np.ndarray:
    """When each trace first rises through a level: on the cubic through the four samples around, of order four.

    Args:
        times: Evenly spaced.
        traces: mV, by time and site.
        level: mV.

    Returns:
        In the unit of the times; NaN where a trace does not rise through the level, or does so within the first two samples or the last.
    """
    times, traces = np.asarray(times, float), np.asarray(traces, float)
    above = traces > level
    rising = above[1:] & ~above[:-1]
    after = np.argmax(rising, axis=0) + 1
    there = rising.any(axis=0) & (after >= 2) & (after < len(times) - 1)
    after = np.clip(after, 2, len(times) - 2)
    samples = np.stack([traces[after + k, np.arange(traces.shape[1])] for k in (-2, -1, 0, 1)]) - level
    low, high = np.zeros(traces.shape[1]), np.ones(traces.shape[1])
    for _ in range(50):
        x = 0.5 * (low + high)
        weights = (-x * (x - 1) * (x - 2) / 6, (x + 1) * (x - 1) * (x - 2) / 2, -(x + 1) * x * (x - 2) / 2, (x + 1) * x * (x - 1) / 6)
        positive = sum(w * s for w, s in zip(weights, samples, strict=True)) > 0
        low, high = np.where(positive, low, x), np.where(positive, x, high)
    return np.where(there, times[after - 1] + 0.5 * (low + high) * (times[1] - times[0]), np.nan)
