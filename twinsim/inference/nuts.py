"""No-U-turn sampling: the reference that the cheaper estimators are measured against."""

from collections.abc import Callable

import blackjax
import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from twinsim.inference.draws import Draws, check_draws, collected
from twinsim.inference.problem import Problem

LogDensity = Callable[[Array], Array]


def nuts_chain(
    log_density: LogDensity,
    start: Float[Array, " parameters"],
    key: Array,
    warmup: int,
    count: int,
    target_acceptance: float,
    dense: bool,
    doublings: int = 10,
) -> tuple[Float[Array, "draws parameters"], Array]:
    """One chain: window adaptation of step size and mass matrix, then `count` draws, and how many of them diverged.

    A trajectory has at most $2^\\text{doublings}$ steps. Chains side by side wait for the longest, so that many of them want fewer.
    """
    first, second = jax.random.split(key)
    adaptation = blackjax.window_adaptation(
        blackjax.nuts, log_density, is_mass_matrix_diagonal=not dense, target_acceptance_rate=target_acceptance,
        max_num_doublings=doublings,
        adaptation_info_fn=lambda *_: None,  # nothing of the warm-up is kept
    )  # fmt: skip
    (state, parameters), _ = adaptation.run(first, start, num_steps=warmup)
    kernel = blackjax.nuts(log_density, **parameters).step  # the adaptation hands on the longest trajectory, 2^doublings

    def step(state: blackjax.mcmc.hmc.HMCState, key: Array) -> tuple[blackjax.mcmc.hmc.HMCState, tuple[Array, Array]]:
        state, info = kernel(key, state)
        return state, (state.position, info.is_divergent)

    _, (z, divergent) = jax.lax.scan(step, state, jax.random.split(second, count))
    return z, jnp.sum(divergent)


@eqx.filter_jit
def nuts_chains(
    log_density: LogDensity,
    start: Float[Array, "chains parameters"],
    key: Array,
    warmup: int = 500,
    count: int = 1000,
    target_acceptance: float = 0.8,
    dense: bool = True,
) -> tuple[Float[Array, "chains draws parameters"], Array]:
    """Several chains side by side as one program; draws and divergences per chain."""
    keys = jax.random.split(key, len(start))
    return jax.vmap(lambda z, k: nuts_chain(log_density, z, k, warmup, count, target_acceptance, dense))(start, keys)


def nuts_posterior(
    problem: Problem,
    seed: int = 0,
    chains: int = 4,
    warmup: int = 500,
    count: int = 1000,
    target_acceptance: float = 0.8,
    dense: bool = True,
    start: Float[Array, "chains parameters"] | None = None,
) -> Draws:
    """The posterior of one problem by NUTS; the estimator by this name.

    Args:
        problem: What to fit.
        seed: Of starts and draws.
        chains: How many; R-hat needs two or more.
        warmup: Steps of adaptation per chain, not kept.
        count: Draws per chain.
        target_acceptance: Raise it to 0.95 where trajectories diverge.
        dense: Whether the mass matrix is full; a diagonal one costs less beyond some 50 parameters.
        start: Where chains start; None takes draws half as wide as the prior, so that R-hat sees whether they forget it.

    Needs the reverse derivative of the model. It fails, and R-hat says so, where modes are separated by valleys that no trajectory
    crosses; :mod:`twinsim.inference.tempered` is for those.
    Source: Hoffman and Gelman (2014), *JMLR* 15, 1593; the sampler is BlackJAX's.
    """
    check_draws(seed, chains=chains, draws=count, warmup=warmup)
    first, second = jax.random.split(jax.random.key(seed))
    if start is None:
        start = jax.vmap(problem.unwhiten)(0.5 * jax.random.normal(first, (chains, problem.size)))
    z, divergent = nuts_chains(problem.log_posterior, start, second, warmup, count, target_acceptance, dense)
    return collected(problem, z, "nuts", divergences=int(divergent.sum()))
