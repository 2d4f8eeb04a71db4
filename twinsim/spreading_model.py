"""A spreading load seen through noisy uptake ratios: one person's rates and seed, and a population of people."""

from collections.abc import Sequence
from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from physics import NetworkSpreading
from twinsim.inference import Laplace, Normal, Population, Problem, fit_population, laplace, maximise, problems, series
from twinsim.inference.problem import Predict
from twinsim.prior import Prior, Values
from twinsim.visit_table import PersonVisits

PRIORS = (
    Prior("spread", "1/year", 0.1, 1.0, "log", "loads cross tracts within years to decades; weakly informative"),
    Prior("growth", "1/year", 0.25, 0.7, "log", "doubling in one to ten years; weakly informative, no decline"),
    Prior("amplitude", "1", 0.1, 1.0, "logit", "of the seed when it starts; exchangeable in part with the time before the first visit"),
    Prior("error", "SUVR", 0.06, 0.7, "log", "test-retest of regional uptake ratios is a few percent; weakly informative"),
)
SHARED = ("error",)
MOVING = 3  # the first so many parameters move predictions; the last is their scatter
ROUNDS = 4  # of seeds and population in turn


@dataclass(frozen=True)
class Scanner:
    r"""$y = h + (f - h)\,x$: a region without load reads $h$, a full one $f$.

    Attributes:
        healthy: $h$, SUVR.
        full: $f$, SUVR.
        lead_years: From the seed to the first visit.
        lead_steps: Of the splitting on that way.
        steps: Between visits.
    """

    healthy: float = 1.0
    full: float = 2.5
    lead_years: float = 10.0
    lead_steps: int = 20
    steps: int = 4


def predictor(spreading: NetworkSpreading, scanner: Scanner) -> Predict:
    """``predict(values, times, seed)`` for a :class:`Problem` whose one series has all regions of a visit, then those of the next.

    A plain function, so that people of a batch share the decomposition.
    """
    regions = len(spreading.eigenvalues)

    def predict(values: Values, times: tuple[Array, ...], record: Array) -> tuple[Array, ...]:
        years = times[0].reshape(-1, regions)[:, 0]
        lead = jnp.full(1, scanner.lead_years, years.dtype)
        load = values["amplitude"] * record
        load = spreading.march(load, lead, values["spread"], values["growth"], steps=scanner.lead_steps)[-1]
        loads = spreading.march(load, jnp.diff(years, prepend=0.0), values["spread"], values["growth"], steps=scanner.steps)
        return ((scanner.healthy + (scanner.full - scanner.healthy) * loads).ravel(),)

    return predict


def person_problem(visits: PersonVisits, predict: Predict, seed: int) -> Problem:
    """One person whose load starts in one region; times count from the first visit."""
    regions = visits.readings.shape[1]
    times = np.repeat(visits.years - visits.years[0], regions)
    kind = series(times, visits.readings.ravel(), Normal("error"), "uptake", "SUVR")
    return Problem(PRIORS, predict, (kind,), jnp.zeros(regions).at[seed].set(1.0))


@dataclass(frozen=True)
class SpreadingFit:
    r"""People of a population, each with the regions where the load may have started.

    Attributes:
        population: Of rates and amplitudes, given the likeliest seed of each person.
        batch: Problems of all people with that seed and their own first priors.
        candidates: Regions tried, ``(people, candidates)``.
        weights: Probability of each, from Laplace evidences and equal ones before, ``(people, candidates)``.
        fits: Mean and covariance for each, ``(people, candidates, ...)``.
        rounds: How often seeds were chosen again.
        settled: Whether the last choice of seeds was that of the fit.
    """

    population: Population
    batch: Problem
    candidates: np.ndarray
    weights: np.ndarray
    fits: Laplace
    rounds: int
    settled: bool

    @property
    def best(self) -> np.ndarray:
        """Likeliest candidate of each person."""
        return self.weights.argmax(axis=1)

    def draws(self, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Draws over seeds and coordinates: regions ``(people, count)`` and ``(people, count, parameters)``."""
        random = np.random.default_rng(seed)
        means, roots = np.asarray(self.fits.mean), np.linalg.cholesky(np.asarray(self.fits.covariance))
        people = np.arange(len(means))[:, None]
        which = np.stack([random.choice(len(one), count, p=one) for one in self.weights])
        noise = random.standard_normal((*which.shape, means.shape[-1]))
        z = means[people, which] + np.einsum("pdij,pdj->pdi", roots[people, which], noise)
        return self.candidates[people, which], z


def fit_people(people: Sequence[PersonVisits], predict: Predict, shortlist: int) -> SpreadingFit:
    r"""Seeds by Laplace evidence and the population by expectation-maximisation, in turn until seeds stay.

    The regions with the highest mean reading are a person's candidates: a seed that reads low after years of growth is left out. Rates
    of a person given a seed are normal in the coordinates of the priors (Laplace); seeds are mixed by their weights.

    Args:
        people: What was read.
        predict: From :func:`predictor`.
        shortlist: Candidates per person.

    It fails, too narrow, where the likeliest seed is wrong for many people: the population is fitted to it alone.
    """
    candidates = np.stack([np.argsort(-_mean_reading(one))[:shortlist] for one in people])
    every = [[person_problem(one, predict, int(seed)) for seed in row] for one, row in zip(people, candidates, strict=True)]
    tried = problems([problem for row in every for problem in row])
    n, shape = len(PRIORS), candidates.shape
    mean, covariance = np.zeros(n), np.eye(n)
    chosen, population, rounds = None, None, 0
    while True:
        start = np.broadcast_to(mean, (shape[0] * shape[1], n))
        fits = _each(tried, jnp.asarray(start), jnp.asarray(mean), jnp.asarray(covariance))
        fits = jax.tree.map(lambda leaf: np.asarray(leaf).reshape(*shape, *leaf.shape[1:]), fits)
        evidence = np.where(np.isfinite(fits.log_evidence), fits.log_evidence, -1e300)
        weights = np.exp(evidence - evidence.max(axis=1, keepdims=True))
        weights /= weights.sum(axis=1, keepdims=True)
        now = weights.argmax(axis=1)
        settled = chosen is not None and bool((now == chosen).all())
        if population is not None and (settled or rounds == ROUNDS):
            return SpreadingFit(population, batch, candidates, weights, fits, rounds, settled)
        chosen, rounds = now, rounds + 1
        batch = problems([row[k] for row, k in zip(every, chosen, strict=True)])
        population = fit_population(batch, SHARED, start=jnp.asarray(fits.mean[np.arange(shape[0]), chosen]))
        mean, covariance = population.mean, population.covariance + population.mean_covariance


def information_by_visit(fit: SpreadingFit) -> np.ndarray:
    r"""Fisher information about spread, growth and amplitude after the first visit, the first two, ...: ``(people, visits, 3, 3)``.

    In coordinates where the prior before the population has variance one, at each person's maximum with the likeliest seed; the scatter
    is known (its information is orthogonal). Visits that a person does not have add nothing.
    """
    z = jnp.asarray(fit.fits.mean)[jnp.arange(len(fit.best)), jnp.asarray(fit.best)]
    slopes = np.asarray(_slopes(fit.batch, z))
    people, _, parameters = slopes.shape
    regions = fit.batch.record.shape[-1]
    seen = np.isfinite(np.asarray(fit.batch.series[0].values))
    by_visit = np.where(seen[..., None], slopes, 0.0).reshape(people, -1, regions, parameters)
    return np.einsum("pvri,pvrj->pvij", by_visit, by_visit).cumsum(axis=1)


def _mean_reading(visits: PersonVisits) -> np.ndarray:
    seen = np.isfinite(visits.readings)
    total = np.where(seen, visits.readings, 0.0).sum(axis=0)
    return np.where(seen.any(axis=0), total / np.maximum(seen.sum(axis=0), 1), -np.inf)


@eqx.filter_jit
def _each(batch: Problem, start: Array, mean: Array, covariance: Array) -> Laplace:
    def one(problem: Problem, z: Array) -> Laplace:
        problem = problem.with_prior(mean, covariance)
        return laplace(problem, maximise(problem, z[None], steps=60).z)

    return eqx.filter_vmap(one, in_axes=(eqx.if_array(0), 0))(batch, start)


@eqx.filter_jit
def _slopes(batch: Problem, z: Array) -> Array:
    def one(problem: Problem, z: Array) -> Array:
        slope = jax.jacfwd(lambda moving: problem.predictions(z.at[:MOVING].set(moving))[0])(z[:MOVING])
        return slope / problem.values(z)["error"]

    return eqx.filter_vmap(one, in_axes=(eqx.if_array(0), 0))(batch, z)
