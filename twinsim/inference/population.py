"""Patients who are alike: a population with a mean and a spread, from which each patient is drawn."""

from collections.abc import Sequence
from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from twinsim.errors import InputError, near_misses
from twinsim.inference.acceleration import Anderson
from twinsim.inference.laplace import Laplace, laplace
from twinsim.inference.maximum import Maximum, maximise
from twinsim.inference.problem import Problem
from twinsim.prior import Prior

SLACK = 0.05  # by which the objective may fall: the Laplace approximation's own steps are not quite monotone
PINNED = 1e-3  # standard deviation of a shared coordinate among patients during a step of the algorithm


@dataclass(frozen=True)
class Population:
    r"""$z_i\sim N(m, S)$ in the standard-normal coordinates of the priors.

    Attributes:
        priors: One per coordinate.
        mean: $m$.
        covariance: $S$; nothing for shared coordinates.
        mean_covariance: Uncertainty of $m$.
        shared: Names of the parameters that all patients have in common.
        individuals: Mean and covariance of every patient given the population.
        log_evidence: Laplace approximation of $\log p(y\mid m, S)$ after each step.
        converged: Whether the steps ended by their tolerance, with every patient's search.
    """

    priors: tuple[Prior, ...]
    mean: np.ndarray
    covariance: np.ndarray
    mean_covariance: np.ndarray
    shared: tuple[str, ...]
    individuals: Laplace
    log_evidence: np.ndarray
    converged: bool

    def value(self, name: str) -> float:
        """Value of a parameter for the typical patient."""
        i = _index(self.priors, name)
        return float(self.priors[i].value(jnp.asarray(self.mean[i])))

    def standard_error(self, name: str) -> float:
        """Standard error of the population mean in the transformed space of the prior (of the logarithm, say)."""
        i = _index(self.priors, name)
        return float(self.priors[i].spread * np.sqrt(self.mean_covariance[i, i]))

    def between(self, name: str) -> float:
        """Standard deviation among patients in the transformed space of the prior."""
        i = _index(self.priors, name)
        return float(self.priors[i].spread * np.sqrt(self.covariance[i, i]))

    def new_patient(self, problem: Problem) -> Problem:
        """The problem of somebody who was not in it, with the population as prior, its own uncertainty included."""
        return problem.with_prior(jnp.asarray(self.mean), jnp.asarray(self.covariance + self.mean_covariance))


def fit_population(
    batch: Problem,
    shared: Sequence[str] = (),
    steps: int = 100,
    tolerance: float = 1e-3,
    between: float = 0.3,
    pseudo: float = 1.0,
    diagonal: bool = False,
    start: Float[Array, "patients parameters"] | None = None,
) -> Population:
    r"""Maximum a posteriori of mean and covariance by expectation-maximisation on Laplace approximations.

    Each step fits every patient under $N(m, S)$ (mean $\mu_i$, covariance $C_i$), then sets
    $m = (N S^{-1} + I)^{-1} S^{-1}\sum\mu_i$ and $S = \dfrac{\sum_i C_i + (\mu_i-m)(\mu_i-m)^T + \nu S_0}{N+\nu}$. Shared coordinates take
    a Newton step on the expected log likelihood, the expectation over $2n$ sigma points. Steps are mixed by :class:`Anderson` in $m$ and
    $\log S$ where that does not lower the evidence: parameters that half of the patients say nothing about take hundreds of plain ones.

    Args:
        batch: Problems of all patients, stacked.
        shared: Parameters without variation among patients, a noise scale say.
        steps: Most steps.
        tolerance: Largest change of mean and standard deviations, in coordinates of the priors, at which to stop.
        between: $\sqrt{S_0}$: standard deviation among patients before any data, as a fraction of the prior's spread.
        pseudo: $\nu$: how many patients $S_0$ counts for.
        diagonal: Whether correlations among parameters are left out.
        start: Where every patient's search starts; None takes the priors' centre.

    For many patients with several data each. It fails where a patient's posterior is far from normal (one or two readings, several
    modes): variances among patients come out too small then, and the joint sampler (:mod:`twinsim.inference.population_sampling`) does not.
    Source: Lindstrom and Bates (1990), *Biometrics* 46, 673; Wang (2007), *J Pharmacokinet Pharmacodyn* 34, 575.
    """
    priors, n = batch.priors, batch.size
    fixed = np.zeros(n, dtype=bool)
    fixed[[_index(priors, name) for name in shared]] = True
    v = np.ix_(~fixed, ~fixed)
    patients = jax.tree.leaves(eqx.filter(batch.series, eqx.is_array))[0].shape[0]
    z = jnp.zeros((patients, n)) if start is None else jnp.asarray(start)
    base = np.diag(np.where(fixed, 0.0, between**2))

    def expectation(z: Array, at: _Moments) -> _Expectation:
        found, fits = approximate_each(batch, z, jnp.asarray(at.mean), jnp.asarray(_pinned(at.covariance, fixed)))
        evidence = float(fits.log_evidence.sum())
        spread = np.linalg.slogdet(at.covariance[v])[1] + np.trace(np.linalg.solve(at.covariance[v], base[v]))
        return _Expectation(found, fits, evidence, evidence - 0.5 * float(at.mean @ at.mean) - 0.5 * pseudo * float(spread))

    def maximisation(at: _Moments, e: _Expectation) -> tuple[_Moments, np.ndarray]:
        mu, spread, covariance, mean = np.asarray(e.found.z), np.asarray(e.fits.covariance), at.covariance.copy(), at.mean.copy()
        precision = np.linalg.inv(covariance[v])
        mean[~fixed] = np.linalg.solve(patients * precision + np.eye(int((~fixed).sum())), precision @ mu[:, ~fixed].sum(0))
        off = (mu - mean)[:, ~fixed]
        covariance[v] = (spread[:, ~fixed][:, :, ~fixed].sum(0) + off.T @ off + pseudo * base[v]) / (patients + pseudo)
        if diagonal:
            covariance[v] = np.diag(np.diag(covariance[v]))
        information = np.eye(n)
        inner = np.linalg.inv(covariance[v])
        information[v] += sum(inner - inner @ c[v] @ inner for c in spread)
        if fixed.any():
            common, curvature = _shared_step(batch, e.found.z, e.fits.covariance, jnp.asarray(mean), tuple(np.flatnonzero(fixed).tolist()))
            mean[fixed] = np.asarray(common)
            information[np.ix_(fixed, fixed)] = np.asarray(curvature)
        return _Moments(mean, covariance), np.linalg.inv(information)

    now = _Moments(np.asarray(z).mean(0), base.copy())
    seen, mixing, error, change = expectation(z, now), Anderson(), np.eye(n), np.inf
    history = [seen.log_evidence]
    for _ in range(steps):
        after, error = maximisation(now, seen)
        change = after.distance(now)
        if change < tolerance:
            now, seen = after, expectation(seen.found.z, after)
            history.append(seen.log_evidence)
            break
        mixed = _Moments.unpacked(mixing.propose(now.packed(v), after.packed(v)), n, v)
        there = expectation(seen.found.z, mixed)
        if not there.objective > seen.objective - SLACK:  # NaN included
            mixing.restart()
            mixed, there = after, expectation(seen.found.z, after)
        now, seen = mixed, there
        history.append(seen.log_evidence)
    done = change < tolerance and bool(np.asarray(seen.found.converged).all())
    return Population(priors, now.mean, now.covariance, error, tuple(shared), seen.fits, np.array(history), done)


@dataclass(frozen=True)
class _Expectation:
    """Every patient under a population, with the log evidence, and that plus the priors of mean and covariance."""

    found: Maximum
    fits: Laplace
    log_evidence: float
    objective: float


@dataclass(frozen=True)
class _Moments:
    """Mean and covariance of a population."""

    mean: np.ndarray
    covariance: np.ndarray

    def distance(self, other: "_Moments") -> float:
        """Largest change of mean and standard deviations."""
        deviations = np.sqrt(np.diag(self.covariance)) - np.sqrt(np.diag(other.covariance))
        return float(max(np.abs(self.mean - other.mean).max(), np.abs(deviations).max()))

    def packed(self, v: tuple[np.ndarray, ...]) -> np.ndarray:
        """Mean and matrix logarithm of the covariance in one vector: every vector is a population."""
        values, vectors = np.linalg.eigh(self.covariance[v])
        logs = (vectors * np.log(np.maximum(values, 1e-12))) @ vectors.T
        return np.concatenate([self.mean, logs.ravel()])

    @staticmethod
    def unpacked(flat: np.ndarray, n: int, v: tuple[np.ndarray, ...]) -> "_Moments":
        """The inverse of :meth:`packed`."""
        k = v[0].size
        values, vectors = np.linalg.eigh(flat[n:].reshape(k, k))
        covariance = np.zeros((n, n))
        covariance[v] = (vectors * np.exp(values)) @ vectors.T
        return _Moments(flat[:n], covariance)


def _pinned(covariance: np.ndarray, fixed: np.ndarray) -> np.ndarray:
    return covariance + np.diag(np.where(fixed, PINNED**2, 0.0))


@eqx.filter_jit
def approximate_each(batch: Problem, z: Array, mean: Array, covariance: Array) -> tuple[Maximum, Laplace]:
    """Maximum and Laplace approximation of every patient of a batch under a population, from starts ``(patients, parameters)``."""

    def one(problem: Problem, z: Array) -> tuple[Maximum, Laplace]:
        problem = problem.with_prior(mean, covariance)
        found = maximise(problem, z[None], steps=60)
        return found, laplace(problem, found.z)

    return eqx.filter_vmap(one, in_axes=(eqx.if_array(0), 0))(batch, z)


@eqx.filter_jit
def _shared_step(batch: Problem, z: Array, covariance: Array, mean: Array, fixed: tuple[int, ...]) -> tuple[Array, Array]:
    """A Newton step of the shared coordinates, and the curvature of the expected log likelihood in them."""
    index = jnp.asarray(fixed)
    n = z.shape[-1]

    def one(problem: Problem, z: Array, covariance: Array, common: Array) -> Array:
        root = jnp.linalg.cholesky(covariance) * jnp.sqrt(n)
        points = jnp.concatenate([z[None] + root.T, z[None] - root.T])
        return jnp.mean(jax.vmap(lambda p: problem.log_likelihood(p.at[index].set(common)))(points))

    def objective(common: Array) -> Array:
        terms = eqx.filter_vmap(one, in_axes=(eqx.if_array(0), 0, 0, None))(batch, z, covariance, common)
        return -jnp.sum(terms) + 0.5 * jnp.sum(common**2)

    at = mean[index]
    slope, hessian = jax.grad(objective)(at), jax.hessian(objective)(at)
    eigenvalues, vectors = jnp.linalg.eigh(hessian)
    curvature = (vectors * jnp.maximum(jnp.abs(eigenvalues), 1.0)[None]) @ vectors.T
    step = -jnp.linalg.solve(curvature, slope)
    return at + step * jnp.minimum(1.0, 0.5 / (jnp.max(jnp.abs(step)) + 1e-12)), curvature


def _index(priors: tuple[Prior, ...], name: str) -> int:
    names = [prior.name for prior in priors]
    if name not in names:
        raise InputError(got=f"parameter {name!r}", expected="one with a prior", do=near_misses(name, names))
    return names.index(name)
