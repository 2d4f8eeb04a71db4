"""Adaptive tempered sequential Monte Carlo: from the prior to the posterior in small steps, for several modes and without gradients."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from blackjax.mcmc import random_walk
from blackjax.smc import adaptive_tempered, resampling, tempered
from jaxtyping import Array, Float

from twinsim.inference.draws import Draws, check_draws, collected
from twinsim.inference.problem import Problem
from twinsim.option_checks import check_number

STAGES = 100


class Particles(eqx.Module):
    """What a run left: equally weighted particles, the evidence, and how it went.

    Attributes:
        z: The particles.
        log_evidence: Estimate of $\\log p(y)$, for the comparison of models.
        temperature: One where the posterior was reached.
        stages: Temperatures gone through.
        acceptance: Mean acceptance of the last moves.
    """

    z: Float[Array, "*batch particles parameters"]
    log_evidence: Float[Array, "*batch"]
    temperature: Float[Array, "*batch"]
    stages: Array
    acceptance: Float[Array, "*batch"]


@eqx.filter_jit
def tempered_particles(problem: Problem, key: Array, count: int = 1000, moves: int = 20, effective: float = 0.5) -> Particles:
    r"""Particles from $p(z)\,p(y\mid z)^\lambda$ for $\lambda$ from 0 to 1; may be vmapped.

    Args:
        problem: What to fit; only its densities are needed, no derivative.
        key: Of everything random.
        count: Particles.
        moves: Random-walk Metropolis moves per stage, with the covariance of the particles times $2.38^2/n$.
        effective: $\lambda$ rises until the effective number of particles falls to this fraction.
    """
    n = problem.size

    def move(key: Array, state: random_walk.RWState, log_density: object, root: Array) -> tuple[random_walk.RWState, random_walk.RWInfo]:
        return random_walk.build_additive_step()(key, state, log_density, lambda k, z: root @ jax.random.normal(k, z.shape))

    kernel = adaptive_tempered.build_kernel(
        problem.log_prior, lambda z: _finite(problem.log_likelihood(z)), move, random_walk.init, resampling.systematic, effective
    )

    def stage(carry: tuple) -> tuple:
        state, key, evidence, stages, _ = carry
        key, now = jax.random.split(key)
        mean = state.weights @ state.particles
        centred = (state.particles - mean[None]) * jnp.sqrt(state.weights)[:, None]
        root = jnp.linalg.cholesky(centred.T @ centred * 2.38**2 / n + 1e-9 * jnp.eye(n))
        state, info = kernel(now, state, moves, {"root": root[None]})
        accepted = jnp.mean(info.update_info.acceptance_rate)
        return state, key, evidence + info.log_likelihood_increment, stages + 1, accepted

    first, second = jax.random.split(key)
    start = tempered.init(problem.prior_draws(first, count))
    zero = jnp.zeros((), start.particles.dtype)
    carry = (start._replace(tempering_param=zero), second, zero, jnp.zeros((), int), zero)
    carry = jax.lax.while_loop(lambda c: (c[0].tempering_param < 1) & (c[3] < STAGES), stage, carry)
    temperature = carry[0].tempering_param
    state, _, evidence, stages, acceptance = stage(carry)  # weights of the last step are spent by resampling, then moved
    return Particles(state.particles, evidence, temperature, stages, acceptance)


def tempered_posterior(problem: Problem, seed: int = 0, count: int = 2000, moves: int = 20) -> Draws:
    """The posterior of one problem by tempered sequential Monte Carlo; the estimator by this name.

    It fails where a mode is so narrow that no particle of the prior comes near it, and needs many moves beyond some 20 parameters.
    Source: Del Moral, Doucet and Jasra (2006), *JRSS B* 68, 411; the kernel is BlackJAX's.
    """
    check_draws(seed, moves=moves)
    check_number("particles", count, 2)
    found = tempered_particles(problem, jax.random.key(seed), count, moves)
    z = np.asarray(found.z)
    distinct = np.full(problem.size, float(len(np.unique(z[:, 0]))))
    note = f"log evidence {float(found.log_evidence):.2f}, {int(found.stages)} stages, acceptance {float(found.acceptance):.2f}"
    return collected(problem, z[None], "tempered", effective=distinct, converged=bool(found.temperature >= 1), note=note)


def _finite(value: Array) -> Array:
    """A likelihood that is not finite counts as none."""
    return jnp.where(jnp.isfinite(value), value, -1e30)
