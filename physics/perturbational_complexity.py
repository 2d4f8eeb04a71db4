"""The perturbational complexity index: how much is to be told about what a brain answers to a pulse (Casali et al. 2013)."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from physics.lempel_ziv import normalised_complexity, source_entropy


@dataclass(frozen=True, eq=False)
class PerturbationalComplexity:
    """The index and what it is made of.

    Attributes:
        index: Normalised complexity of the significant response; 0 where nothing is significant.
        entropy: Of the share of significant entries, bits; the index means little below 0.08 (the paper's bound).
        significant: ``(sources, times)`` after the pulse, sources by how long they are significant.
        response: Mean over trials, in standard deviations of its baseline, ``(sources, times)``, sources as given.
        threshold: Beyond which a response is significant.
    """

    index: float
    entropy: float
    significant: Bool[np.ndarray, "sources times"]
    response: Float[np.ndarray, "sources times"]
    threshold: float


def perturbational_complexity(
    before: Float[np.ndarray, "trials sources baseline"],
    after: Float[np.ndarray, "trials sources times"],
    alpha: float = 0.01,
    resamples: int = 500,
    seed: int = 0,
) -> PerturbationalComplexity:
    r"""From trials of sources before and after a pulse.

    The mean over trials is standardised by mean and deviation of its own baseline, source by source. Resampled baselines, each trial drawn
    with replacement and turned round in time by a lag of its own, give the distribution of the largest deviation that chance brings
    to any source at any time; its $1-\alpha$ quantile is the one threshold. What is beyond is 1, the rest 0; sources are
    sorted by how much is significant, the matrix is read time by time, and its Lempel-Ziv complexity is normalised by its entropy:
    $c\log_2L/(LH)$.

    Good values: 20 trials or more, a baseline of 100 samples or more. Fails where the mean has no fluctuation at all before the pulse,
    and for an index between regimes of different sampling: the number depends on rate and window, so compare within one protocol.

    Raises:
        ValueError: Trials or sources that do not match, a baseline shorter than ten samples or of constant sources, numbers not finite.

    Source: Casali et al. 2013, Sci Transl Med 5, 198ra105, supplement; thresholds as of Pantazis et al. 2003, IPMI, 512.
    """
    if before.shape[:2] != after.shape[:2] or before.shape[2] < 10 or after.shape[2] < 2:
        raise ValueError(
            f"got trials of shape {before.shape} and {after.shape}; expected the same trials and sources, 10 samples before and 2 after; "
            "do: cut them at the pulse"
        )
    if not (np.isfinite(before).all() and np.isfinite(after).all()):
        raise ValueError("got trials with a number that is not finite; expected finite numbers; do: leave out the trial")
    mean, spread = before.mean(axis=(0, 2)), before.mean(axis=0).std(axis=1)
    if not (spread > 0).all():
        raise ValueError(f"got source {int(np.argmin(spread))} constant before the pulse; expected fluctuations; do: leave it out")
    response = (after.mean(axis=0) - mean[:, None]) / spread[:, None]
    generator = np.random.default_rng([seed, 2013])
    trials, _, samples = before.shape
    most = np.empty(resamples)
    around = np.fft.rfft(before - mean[None, :, None], axis=2)
    turns = np.exp(-2j * np.pi * np.outer(np.arange(samples), np.arange(samples // 2 + 1)) / samples)
    for draw in range(resamples):  # a circular lag is a phase, so that trials can be summed before they are turned back
        chosen, lags = generator.integers(0, trials, trials), generator.integers(0, samples, trials)
        summed = np.einsum("tsf,tf->sf", around[chosen], turns[lags]) / trials
        drawn = np.fft.irfft(summed, samples, axis=1)
        most[draw] = np.abs(drawn / spread[:, None]).max()
    threshold = float(np.quantile(most, 1 - alpha))
    significant = np.abs(response) > threshold
    order = np.argsort(significant.sum(axis=1), kind="stable")
    ordered = significant[order]
    return PerturbationalComplexity(normalised_complexity(ordered.T), source_entropy(ordered), ordered, response, threshold)
