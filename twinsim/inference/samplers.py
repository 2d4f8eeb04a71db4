"""The estimators as pure functions of a problem and a key, so that many replicates run as one program."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from twinsim.inference.ensemble_inversion import inverted_ensemble
from twinsim.inference.laplace import laplace
from twinsim.inference.maximum import maximise
from twinsim.inference.nuts import nuts_chain
from twinsim.inference.population_sampling import JointDensity
from twinsim.inference.problem import Problem
from twinsim.inference.tempered import tempered_particles

DRAWS = 99


def laplace_sampler(problem: Problem, key: Array) -> Float[Array, "draws parameters"]:
    """Maximum from the prior's centre, then draws of the normal with the curvature there."""
    normal = laplace(problem, maximise(problem).z)
    noise = jax.random.normal(key, (DRAWS, problem.size))
    return normal.mean[None] + noise @ jnp.linalg.cholesky(normal.covariance).T


def nuts_sampler(problem: Problem, key: Array) -> Float[Array, "draws parameters"]:
    """One chain; every fourth draw, so that draws are nearly independent."""
    first, second = jax.random.split(key)
    start = problem.unwhiten(0.5 * jax.random.normal(first, (problem.size,)))
    z, _ = nuts_chain(problem.log_posterior, start, second, 200, 4 * DRAWS, 0.8, dense=True, doublings=6)
    return z[3::4]


def tempered_sampler(problem: Problem, key: Array) -> Float[Array, "draws parameters"]:
    """As many particles as draws are wanted, and three times more to carry them."""
    return tempered_particles(problem, key, 4 * DRAWS, 15).z[::4]


def ensemble_sampler(problem: Problem, key: Array) -> Float[Array, "draws parameters"]:
    """Some of the members of an ensemble four times as large."""
    return inverted_ensemble(problem, key, 4 * DRAWS)[0][::4]


def population_sampler(population: JointDensity, key: Array) -> Float[Array, "draws joint"]:
    """One chain of the joint non-centred model of a population; every fourth draw."""
    first, second = jax.random.split(key)
    start = 0.5 * jax.random.normal(first, (population.size,))
    z, _ = nuts_chain(population, start, second, 200, 4 * DRAWS, 0.9, dense=False, doublings=6)
    return z[3::4]


SAMPLERS = {"laplace": laplace_sampler, "nuts": nuts_sampler, "tempered": tempered_sampler, "ensemble": ensemble_sampler}
