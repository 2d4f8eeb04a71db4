"""The one posterior that every estimator returns: draws in the coordinates of the priors."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from twinsim.errors import InputError, near_misses
from twinsim.inference.diagnostics import Diagnostics, diagnose
from twinsim.inference.problem import Problem
from twinsim.option_checks import check_number, check_seed
from twinsim.posterior import Posterior
from twinsim.prior import Prior

if TYPE_CHECKING:
    from xarray import DataTree


@dataclass(frozen=True)
class Draws:
    """Draws of a posterior. Where a distribution in closed form is wanted, :attr:`normal` is the one with the same two moments.

    Attributes:
        priors: One per coordinate.
        z: ``(chains, draws, parameters)``, in standard-normal coordinates of the priors.
        diagnostics: What the estimator says about itself.
        method: Which estimator.
        log_likelihood: ``(chains, draws, observations)`` per observation, for model comparison; None where it was not kept.
    """

    priors: tuple[Prior, ...]
    z: np.ndarray
    diagnostics: Diagnostics
    method: str
    log_likelihood: np.ndarray | None = None

    @property
    def flat(self) -> np.ndarray:
        """All chains one after the other, ``(draws, parameters)``."""
        return self.z.reshape(-1, self.z.shape[-1])

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the parameters."""
        return tuple(prior.name for prior in self.priors)

    @property
    def normal(self) -> Posterior:
        """The normal posterior with the mean and the covariance of the draws."""
        return Posterior(self.priors, self.flat.mean(0), np.atleast_2d(np.cov(self.flat.T)))

    def draws(self, name: str) -> np.ndarray:
        """Values of a parameter, ``(draws,)``, in its unit."""
        index = self._index(name)
        return np.asarray(self.priors[index].value(jnp.asarray(self.flat[:, index])))

    def value(self, name: str) -> float:
        """Posterior median."""
        return float(np.median(self.draws(name)))

    def mean(self, name: str) -> float:
        """Posterior mean."""
        return float(self.draws(name).mean())

    def interval(self, name: str, probability: float) -> tuple[float, float]:
        """Central interval of this probability, 0.9 say.

        Raises:
            InputError: An unknown parameter, or a probability that is not in 0 to 1.
        """
        check_number("probability", probability, 0, 1)
        low, high = np.quantile(self.draws(name), [0.5 - probability / 2, 0.5 + probability / 2])
        return float(low), float(high)

    def spread(self, name: str) -> float:
        """Posterior standard deviation over prior standard deviation; one where the data say nothing."""
        return float(self.flat[:, self._index(name)].std())

    def thinned(self, count: int, seed: int = 0) -> np.ndarray:
        """So many draws of all of them, without replacement where there are enough."""
        flat = self.flat
        return flat[np.random.default_rng(seed).choice(len(flat), count, replace=count > len(flat))]

    def predict(
        self, problem: Problem, times: tuple[Array, ...] | None = None, count: int = 400, seed: int = 0, noise: bool = True
    ) -> tuple[np.ndarray, ...]:
        """Posterior predictive draws per series, ``(count, times)``.

        Args:
            problem: The model, and the record of the patient that is predicted.
            times: One array per series; None takes those of the data.
            count: How many draws.
            seed: Of the choice of draws and of the noise.
            noise: Whether measurement noise is added, as a forecast of a reading needs.
        """
        keys = jax.random.split(jax.random.key(seed), count)
        return tuple(np.asarray(one) for one in _predictive(problem, times, jnp.asarray(self.thinned(count, seed)), keys, noise))

    def to_arviz(self) -> "DataTree":
        """As ArviZ inference data (a DataTree): values by name, coordinates, log likelihood where kept, diagnostics as attributes."""
        from arviz_base import from_dict

        values = {p.name: np.asarray(p.value(jnp.asarray(self.z[..., i]))) for i, p in enumerate(self.priors)}
        groups = {"posterior": values, "unconstrained_posterior": {p.name: self.z[..., i] for i, p in enumerate(self.priors)}}
        if self.log_likelihood is not None:
            groups["log_likelihood"] = {"y": self.log_likelihood}
        tree = from_dict(groups)
        for prior in self.priors:
            tree["posterior"][prior.name].attrs["units"] = prior.unit
        tree["posterior"].attrs.update(method=self.method, outcome=self.diagnostics.words)
        return tree

    def _index(self, name: str) -> int:
        if name not in self.names:
            raise InputError(got=f"parameter {name!r}", expected="one with a prior", do=near_misses(name, self.names))
        return self.names.index(name)


def check_draws(seed: int, **counts: int) -> None:
    """Refuses a seed below zero and, by name, counts below one.

    Raises:
        InputError: Says which.
    """
    check_seed(seed)
    for name, count in counts.items():
        check_number(name, count, 1)


def normal_draws(
    problem: Problem,
    mean: Array,
    covariance: Array,
    count: int = 1000,
    seed: int = 0,
    method: str = "laplace",
    converged: bool = True,
    note: str = "",
) -> Draws:
    """Draws of a normal posterior, each with its mirror image, with the log likelihood of each."""
    posterior = Posterior(problem.priors, np.asarray(mean), np.asarray(covariance))
    z = posterior.sample(count, seed)
    return collected(problem, z[None], method, effective=np.full(problem.size, float(count)), converged=converged, note=note)


def collected(
    problem: Problem,
    z: np.ndarray | Array,
    method: str,
    divergences: int = 0,
    effective: np.ndarray | None = None,
    converged: bool = True,
    note: str = "",
) -> Draws:
    """Draws ``(chains, draws, parameters)`` with their diagnostics and the log likelihood of every observation that is not a gap."""
    z = np.asarray(z)
    terms = np.asarray(_terms(problem, jnp.asarray(z)))[..., np.asarray(problem.observed)]
    return Draws(problem.priors, z, diagnose(z, divergences, effective, converged, note), method, terms)


@eqx.filter_jit
def _terms(problem: Problem, z: Array) -> Array:
    return jax.lax.map(problem.log_likelihood_terms, z.reshape(-1, z.shape[-1]), batch_size=256).reshape(*z.shape[:2], -1)


@eqx.filter_jit
def _predictive(problem: Problem, times: tuple[Array, ...] | None, z: Array, keys: Array, noise: bool) -> tuple[Array, ...]:
    def one(args: tuple[Array, Array]) -> tuple[Array, ...]:
        point, key = args
        predictions = problem.predictions(point, times)
        if not noise:
            return predictions
        values = problem.values(point)
        each = jax.random.split(key, max(len(predictions), 1))
        return tuple(s.likelihood.sample(k, p, values) for s, k, p in zip(problem.series, each, predictions, strict=True))

    return jax.lax.map(one, (z, keys), batch_size=256)
