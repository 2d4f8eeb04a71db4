"""Whether uncertainty can be believed: each check ends in a number that passes or fails."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy import stats

from twinsim.errors import InputError
from twinsim.inference.draws import Draws
from twinsim.inference.problem import Problem
from twinsim.option_checks import check_number, check_seed

LEVEL = 0.01


@runtime_checkable
class Generative(Protocol):
    """What can be simulated: a problem, or a population of them."""

    @property
    def names(self) -> tuple[str, ...]:
        """Of the leading coordinates, whose ranks are taken."""
        ...

    def prior_draws(self, key: Array, count: int, /) -> Array:
        """Coordinates from the prior."""
        ...

    def simulated(self, key: Array, z: Array, /) -> Any:
        """The same with data drawn from the model at these coordinates."""
        ...


type Sampler = Callable[[Any, Array], Float[Array, "draws parameters"]]


@dataclass(frozen=True)
class RankTest:
    r"""Simulation-based calibration: ranks of true parameters among draws, which are uniform where the estimator is right.

    Attributes:
        names: Of the parameters.
        ranks: ``(replicates, parameters)``, from 0 to `draws`.
        draws: How many draws a rank is among.
        bins: Of the histogram behind the test.
    """

    names: tuple[str, ...]
    ranks: np.ndarray
    draws: int
    bins: int

    @property
    def counts(self) -> np.ndarray:
        """Histogram per parameter, ``(parameters, bins)``."""
        edges = np.linspace(-0.5, self.draws + 0.5, self.bins + 1)
        return np.stack([np.histogram(column, edges)[0] for column in self.ranks.T])

    @property
    def p_values(self) -> dict[str, float]:
        """Chi-squared test of uniformity per parameter."""
        expected = np.diff(np.floor(np.linspace(0, self.draws + 1, self.bins + 1))) / (self.draws + 1) * len(self.ranks)
        return {name: float(stats.chisquare(count, expected).pvalue) for name, count in zip(self.names, self.counts, strict=True)}

    @property
    def p_value(self) -> float:
        """Of all parameters together (Bonferroni)."""
        return min(1.0, min(self.p_values.values()) * len(self.names))

    @property
    def passed(self) -> bool:
        """Uniform at the 1 % level: a right estimator fails one time in a hundred."""
        return self.p_value > LEVEL

    @property
    def words(self) -> str:
        """Verdict with the shape of what is wrong."""
        if self.passed:
            return f"ranks are uniform (p = {self.p_value:.3f})"
        counts = self.counts[int(np.argmin(list(self.p_values.values())))]
        third = len(counts) // 3
        left, right = int(counts[:third].sum()), int(counts[-third:].sum())
        middle = counts[third:-third].mean() * 2 * third
        what = "intervals are too narrow" if left + right > middle else "intervals are too wide"
        if abs(left - right) > abs(left + right - middle):
            what = "estimates are biased"
        return f"ranks are not uniform (p = {self.p_value:.2g}): {what}"


def simulation_based_calibration(
    problem: Generative, sampler: Sampler, replicates: int = 200, seed: int = 0, bins: int = 10, batch_size: int = 50
) -> RankTest:
    """Draws parameters from the prior, data from the model, and ranks the parameters among the draws that the sampler returns for them.

    Args:
        problem: The model with its priors and times; its data only say where there are gaps. Or a population
            (:class:`twinsim.inference.population_sampling.JointDensity`).
        sampler: Independent draws of the posterior of a problem, ``(draws, parameters)``; a pure function, since it is vmapped.
        replicates: How many; 200 see an interval that is wrong by a fifth.
        seed: Of everything random.
        bins: Of the test; `draws + 1` should be a multiple.
        batch_size: Replicates side by side.

    It checks the estimator under its own model and prior; it says nothing about whether the model is right.
    Source: Talts, Betancourt, Simpson, Vehtari and Gelman (2018), arXiv:1804.06788.

    Raises:
        InputError: A seed that is none, no replicate, or bins that do not divide the ranks.
    """
    check_seed(seed)
    check_number("replicates", replicates, 1)
    ranks, draws = _ranks(problem, sampler, jax.random.split(jax.random.key(seed), replicates), batch_size)
    count = int(np.asarray(draws)[0])
    if (count + 1) % bins:
        raise InputError(got=f"{count} draws and {bins} bins", expected="draws + 1 a multiple of the bins", do="change either")
    return RankTest(problem.names, np.asarray(ranks), count, bins)


@eqx.filter_jit
def _ranks(problem: Generative, sampler: Sampler, keys: Array, batch_size: int) -> tuple[Array, Array]:
    def one(key: Array) -> tuple[Array, Array]:
        first, second, third = jax.random.split(key, 3)
        truth = problem.prior_draws(first, 1)[0]
        z = sampler(problem.simulated(second, truth), third)
        return jnp.sum(z < truth[None], axis=0)[: len(problem.names)], jnp.asarray(len(z))

    return jax.lax.map(one, keys, batch_size=min(batch_size, len(keys)))


@dataclass(frozen=True)
class Coverage:
    """How often central intervals hold the truth.

    Attributes:
        levels: Nominal probabilities.
        found: Fraction of truths inside.
        count: How many truths.
    """

    levels: np.ndarray
    found: np.ndarray
    count: int

    @property
    def worst(self) -> float:
        """Largest deviation from the nominal level, in standard errors of a binomial."""
        return float(np.max(np.abs(self.found - self.levels) / np.sqrt(self.levels * (1 - self.levels) / self.count)))

    @property
    def passed(self) -> bool:
        """No level is off by more than 3.3 standard errors."""
        return self.worst < 3.3


def coverage(truth: np.ndarray, draws: np.ndarray, levels: np.ndarray | None = None) -> Coverage:
    """Coverage of central intervals of predictive draws ``(cases, draws)`` for truths ``(cases,)`` over nominal levels."""
    levels = np.linspace(0.1, 0.9, 9) if levels is None else np.asarray(levels)
    low = np.quantile(draws, 0.5 - levels / 2, axis=1)
    high = np.quantile(draws, 0.5 + levels / 2, axis=1)
    return Coverage(levels, ((low <= truth) & (truth <= high)).mean(axis=1), len(truth))


def predictive_check(problem: Problem, draws: Draws, statistic: Callable[[np.ndarray], float], which: int = 0, count: int = 400) -> float:
    """Posterior predictive p-value of a statistic of one series: the share of replicated data whose statistic is above the observed one.

    A value below 0.05 or above 0.95 says that the model does not make such data. It is conservative, since the data were used twice.
    Source: Gelman, Meng and Stern (1996), *Statistica Sinica* 6, 733.
    """
    seen = np.asarray(problem.series[which].mask)
    replicated = draws.predict(problem, count=count)[which][:, seen]
    observed = statistic(np.asarray(problem.series[which].values)[seen])
    found = np.array([statistic(one) for one in replicated])
    return float((found > observed).mean() + 0.5 * (found == observed).mean())


def conformal_widening(low: np.ndarray, high: np.ndarray, truth: np.ndarray, probability: float) -> float:
    r"""By how much to widen both ends of intervals so that a new case is covered with at least this probability.

    The $\lceil (n+1)p\rceil$-th smallest of $\max(l_i - y_i,\; y_i - h_i)$ over held-out cases; negative where intervals are too wide. It
    assumes that the new case and the held-out ones are exchangeable, and widens all alike. Where skewed, pass logarithms.
    Source: Romano, Patterson and Candès (2019), *NeurIPS* 32; Vovk, Gammerman and Shafer (2005).

    Raises:
        InputError: Too few held-out cases for this probability.
    """
    score = np.sort(np.maximum(low - truth, truth - high))
    rank = int(np.ceil((len(score) + 1) * probability - 1e-9))
    if rank > len(score):
        need = int(np.ceil(probability / (1 - probability) - 1e-9))
        raise InputError(got=f"{len(score)} held-out cases for {probability:.0%}", expected=f"at least {need}", do="hold out more cases")
    return float(score[rank - 1])
