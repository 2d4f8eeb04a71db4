"""A spreading load seen through noisy uptake ratios: one person's rates and seed, and a population of people."""

from collections.abc import Sequence
from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from physics import NetworkSpreading
from twinsim.inference import (
    Draws,
    Laplace,
    Normal,
    Population,
    Problem,
    approximate_each,
    fit_population,
    problems,
    reweighted_population,
    series,
)
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
PROPOSALS = 400  # draws per person that are weighted
WIDER = 1.5  # proposals than the normal approximation
DEGREES = 5.0  # of their Student's t
LEAST_SEED = 0.02  # part of the proposals that every candidate gets, all together


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
    kind = series(times, visits.readings.ravel(), Normal("error"), "uptake", "SUVR")  # pyright: ignore[reportCallIssue]
    return Problem(PRIORS, predict, (kind,), jnp.zeros(regions).at[seed].set(1.0))


@dataclass(frozen=True)
class SpreadingFit:
    r"""People of a population, each with the regions where the load may have started.

    Attributes:
        population: The joint posterior's, as draws: typical person, standard deviations among people.
        seeds: Draws of every person's seed region, ``(people, draws)``.
        z: Draws of every person's coordinates, ``(people, draws, parameters)``.
        effective: How many of the weighted draws of each person count.
        candidates: Regions tried, ``(people, candidates)``.
        weights: Probability of each by Laplace evidence, equal ones before, ``(people, candidates)``.
        fits: Normal approximations for each, ``(people, candidates, ...)``, under :attr:`first`.
        first: The population that proposals were made by, fitted to the likeliest seeds by expectation-maximisation.
        batch: Problems of all people with the likeliest seed and their own first priors.
        settled: Whether seeds and that population stayed as they were.
    """

    population: Draws
    seeds: np.ndarray
    z: np.ndarray
    effective: np.ndarray
    candidates: np.ndarray
    weights: np.ndarray
    fits: Laplace
    first: Population
    batch: Problem
    settled: bool

    @property
    def best(self) -> np.ndarray:
        """Likeliest candidate of each person."""
        return self.weights.argmax(axis=1)

    @property
    def likeliest(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and covariance of each person given the likeliest seed, by the normal approximation."""
        people = np.arange(len(self.best))
        return np.asarray(self.fits.mean)[people, self.best], np.asarray(self.fits.covariance)[people, self.best]


def fit_people(people: Sequence[PersonVisits], predict: Predict, shortlist: int, count: int = 400, seed: int = 0) -> SpreadingFit:
    r"""The joint posterior of a population, rates of its people, and where their loads started.

    First seeds by Laplace evidence and the population by expectation-maximisation, in turn until seeds stay. Around the normal
    approximations of every person and candidate, draws of a wider Student's t are weighted by their likelihood, and the population is
    sampled from these (:func:`reweighted_population`), which ends the bias of the first step: growth and amplitude are long and curved
    together. Seeds have equal probability before. The scatter is fixed at its first estimate, which hundreds of readings give.

    The regions with the highest mean reading are a person's candidates: a seed that reads low after years of growth is left out.

    Args:
        people: What was read.
        predict: From :func:`predictor`.
        shortlist: Candidates per person.
        count: Joint draws.
        seed: Of all draws.
    """
    candidates = np.stack([np.argsort(-_mean_reading(one))[:shortlist] for one in people])
    every = [[person_problem(one, predict, int(region)) for region in row] for one, row in zip(people, candidates, strict=True)]
    fits, weights, first, batch, settled = _approximated(every)
    tried = candidates.shape
    which, z, log_proposal = _proposed(fits, weights, float(first.mean[-1]), seed)
    records = jax.nn.one_hot(jnp.asarray(candidates[np.arange(tried[0])[:, None], which]), batch.record.shape[-1])
    log_likelihood = np.asarray(_likelihoods(batch, records, jnp.asarray(z)))
    found = reweighted_population(PRIORS[:MOVING], z[..., :MOVING], log_likelihood, log_proposal, count, seed)
    rows = np.arange(tried[0])[:, None]
    return SpreadingFit(
        found.population, candidates[rows, which[rows, found.chosen]], z[rows, found.chosen], found.effective, candidates, weights, fits,
        first, batch, settled,
    )  # fmt: skip


def _approximated(every: list[list[Problem]]) -> tuple[Laplace, np.ndarray, Population, Problem, bool]:
    """Normal approximations for each person and candidate, their weights, the population and the problems of the likeliest seeds."""
    n, rows = len(PRIORS), np.arange(len(every))
    columns = [problems(list(column)) for column in zip(*every, strict=True)]  # one candidate of everybody: one shape, compiled once

    def under(mean: np.ndarray, covariance: np.ndarray) -> tuple[Laplace, np.ndarray]:
        start, here = jnp.broadcast_to(jnp.asarray(mean)[None], (len(every), n)), (jnp.asarray(mean), jnp.asarray(covariance))
        tried = [approximate_each(column, start, *here)[1] for column in columns]
        fits = jax.tree.map(lambda *leaves: np.stack([np.asarray(leaf) for leaf in leaves], axis=1), *tried)
        evidence = np.where(np.isfinite(fits.log_evidence), fits.log_evidence, -1e300)
        weights = np.exp(evidence - evidence.max(axis=1, keepdims=True))
        return fits, weights / weights.sum(axis=1, keepdims=True)

    fits, weights = under(np.zeros(n), np.eye(n))
    rounds = 0
    while True:
        chosen, rounds = weights.argmax(axis=1), rounds + 1
        batch = problems([row[k] for row, k in zip(every, chosen, strict=True)])
        first = fit_population(batch, SHARED, start=jnp.asarray(fits.mean[rows, chosen]))
        fits, weights = under(first.mean, first.covariance + first.mean_covariance)
        settled = bool((weights.argmax(axis=1) == chosen).all())
        if settled or rounds == ROUNDS:
            return fits, weights, first, batch, settled and first.converged


def _proposed(fits: Laplace, weights: np.ndarray, error: float, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Candidates ``(people, draws)``, coordinates ``(people, draws, parameters)``, and the log density that both were drawn with."""
    random = np.random.default_rng([seed, 3])
    share = (1 - LEAST_SEED) * weights + LEAST_SEED / weights.shape[1]
    which = np.stack([random.choice(len(one), PROPOSALS, p=one) for one in share])
    rows = np.arange(len(share))[:, None]
    root = WIDER * np.linalg.cholesky(fits.covariance[..., :MOVING, :MOVING])
    unit = random.standard_normal((*which.shape, MOVING)) * np.sqrt(DEGREES / random.chisquare(DEGREES, (*which.shape, 1)))
    z = np.full((*which.shape, len(PRIORS)), error)
    z[..., :MOVING] = fits.mean[rows, which, :MOVING] + np.einsum("pkij,pkj->pki", root[rows, which], unit)
    size = np.log(np.diagonal(root, axis1=-2, axis2=-1)).sum(axis=-1)
    log_t = -0.5 * (DEGREES + MOVING) * np.log1p((unit**2).sum(axis=-1) / DEGREES) - size[rows, which]
    return which, z, log_t + np.log(share[rows, which])


def information_by_visit(fit: SpreadingFit) -> np.ndarray:
    r"""Fisher information about spread, growth and amplitude after the first visit, the first two, ...: ``(people, visits, 3, 3)``.

    In coordinates where the prior before the population has variance one, at each person's maximum with the likeliest seed; the scatter
    is known (its information is orthogonal). Visits that a person does not have add nothing.
    """
    slopes = np.asarray(_slopes(fit.batch, jnp.asarray(fit.likeliest[0])))
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
def _likelihoods(batch: Problem, records: Array, z: Array) -> Array:
    def person(args: tuple[Problem, Array, Array]) -> Array:
        arrays, record, points = args
        problem = eqx.combine(arrays, rest)
        return jax.vmap(lambda one, at: eqx.tree_at(lambda p: p.record, problem, one).log_likelihood(at))(record, points)

    arrays, rest = eqx.partition(batch, eqx.is_array)
    return jax.lax.map(person, (arrays, records, z))


@eqx.filter_jit
def _slopes(batch: Problem, z: Array) -> Array:
    def one(problem: Problem, z: Array) -> Array:
        slope = jax.jacfwd(lambda moving: problem.predictions(z.at[:MOVING].set(moving))[0])(z[:MOVING])
        return slope / problem.values(z)["error"]

    return eqx.filter_vmap(one, in_axes=(eqx.if_array(0), 0))(batch, z)
