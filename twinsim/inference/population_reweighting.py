"""A population from weighted draws of its people, made once; the population itself is sampled by NUTS over few numbers."""

from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from twinsim.errors import InputError
from twinsim.inference.diagnostics import diagnose
from twinsim.inference.draws import Draws
from twinsim.inference.nuts import nuts_chains
from twinsim.option_checks import check_number, check_seed
from twinsim.prior import Prior


class PopulationDensity(eqx.Module):
    r"""$\log p(m,\tau) + \sum_i\log\frac1K\sum_k v_{ik}\,N(z_{ik};m,\mathrm{diag}\,\tau^2)$ with $v_{ik}=p(y_i\mid z_{ik})/q_i(z_{ik})$.

    Attributes:
        z: Draws, ``(people, draws, parameters)``.
        log_ratio: $\log v$, ``(people, draws)``.
        between: Priors of $\tau$.
    """

    z: Float[Array, "people draws parameters"]
    log_ratio: Float[Array, "people draws"]
    between: tuple[Prior, ...] = eqx.field(static=True)

    def log_weights(self, flat: Float[Array, " hyper"]) -> Float[Array, "people draws"]:
        """Of every draw under a population, not normalised."""
        n = len(self.between)
        tau = jnp.stack([prior.value(one) for prior, one in zip(self.between, flat[n:], strict=True)])
        off = (self.z - flat[None, None, :n]) / tau[None, None]
        return self.log_ratio - 0.5 * jnp.sum(off**2, axis=-1) - jnp.sum(jnp.log(tau))

    def __call__(self, flat: Float[Array, " hyper"]) -> Array:
        """Log density of the population up to a constant."""
        return jnp.sum(jax.nn.logsumexp(self.log_weights(flat), axis=1)) - 0.5 * jnp.sum(flat**2)


@dataclass(frozen=True)
class ReweightedPopulation:
    """What :func:`reweighted_population` finds.

    Attributes:
        population: Parameters by name are those of the typical person; ``sd_<name>`` the standard deviation among people in the
            coordinates of the prior.
        chosen: Which of a person's draws each joint draw has, ``(people, draws)``.
        effective: How many of a person's draws count, under the population's posterior, ``(people,)``: some fifty are enough.
    """

    population: Draws
    chosen: np.ndarray
    effective: np.ndarray


def reweighted_population(
    priors: tuple[Prior, ...],
    z: Float[np.ndarray, "people draws parameters"],
    log_likelihood: Float[np.ndarray, "people draws"],
    log_proposal: Float[np.ndarray, "people draws"],
    count: int = 400,
    seed: int = 0,
    between: float = 0.3,
    chains: int = 2,
    warmup: int = 200,
) -> ReweightedPopulation:
    r"""The joint posterior of a population and its people from draws that were made without it.

    $z_i\sim N(m,\mathrm{diag}\,\tau^2)$, $m\sim N(0,I)$, $\tau$ log-normal. Whatever else was drawn with $z$ (a discrete choice, say) is
    carried along if its prior is in `log_likelihood` and its proposal in `log_proposal`. The model is not run again, and neither modes
    nor curvatures enter the result: unlike :func:`fit_population` it has no bias where posteriors of people are long and curved.

    Args:
        priors: One per coordinate of `z`.
        z: Draws of every person, wider than any posterior that a likely population gives.
        log_likelihood: Of what the person showed, per draw.
        log_proposal: Log density that the draws have, up to a constant per person.
        count: Joint draws to return.
        seed: Of the sampler and of the choice.
        between: Median of $\tau$ before any data; its logarithm has standard deviation one.
        chains: Of NUTS over $m$ and $\tau$.
        warmup: Steps of its adaptation.

    It fails, and `effective` says so, where a person's draws miss the posterior; parameters shared by all people are to be fixed before.
    Source: Hogg, Myers, Bovy (2010), *Astrophys J* 725, 2166.

    Raises:
        InputError: Shapes that do not fit, a person without a draw of finite weight, or counts that are none.
    """
    check_seed(seed)
    check_number("count", count, chains)
    if z.shape[-1] != len(priors) or log_likelihood.shape != z.shape[:2] or log_proposal.shape != z.shape[:2]:
        got = f"draws {z.shape}, likelihoods {log_likelihood.shape}, proposals {log_proposal.shape}, {len(priors)} priors"
        raise InputError(got, "(people, draws, parameters), twice (people, draws), and a prior per parameter", "make them fit")
    ratio = log_likelihood - log_proposal
    ratio = np.where(np.isfinite(ratio) & np.isfinite(z).all(axis=-1), ratio, -np.inf)
    lost = np.flatnonzero(~np.isfinite(ratio).any(axis=1))
    if lost.size:
        raise InputError(f"person {lost[0]} without a draw of finite likelihood", "at least one", "widen the proposal")
    ratio = np.where(np.isfinite(ratio), ratio - ratio.max(axis=1, keepdims=True), -1e30)
    spreads = tuple(Prior(f"sd_{prior.name}", "1", between, 1.0, "log", "among people, weakly informative") for prior in priors)
    density = PopulationDensity(jnp.asarray(z), jnp.asarray(ratio), spreads)
    first, second = jax.random.split(jax.random.key(seed))
    centre = jnp.concatenate([jnp.asarray(np.einsum("pk,pki->i", _shares(ratio), z) / len(z)), jnp.zeros(len(priors))])
    start = centre[None] + 0.1 * jax.random.normal(first, (chains, 2 * len(priors)))
    each = -(-count // chains)
    flat, divergent = nuts_chains(density, start, second, warmup, each)
    draws = Draws(tuple(priors) + spreads, np.asarray(flat), diagnose(np.asarray(flat), int(divergent.sum())), "reweighted population")
    weights = np.asarray(_each_weights(density, jnp.asarray(draws.flat[:count])))
    random = np.random.default_rng([seed, 2])
    cumulative = weights.cumsum(axis=-1)
    chosen = (cumulative < random.uniform(size=(*cumulative.shape[:2], 1)) * cumulative[..., -1:]).sum(axis=-1)
    mean = weights.mean(axis=0)
    return ReweightedPopulation(draws, chosen.T, 1.0 / (mean**2).sum(axis=1))


def _shares(log_weights: np.ndarray) -> np.ndarray:
    weights = np.exp(log_weights - log_weights.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True)


@eqx.filter_jit
def _each_weights(density: PopulationDensity, flat: Array) -> Array:
    return jax.lax.map(lambda one: jax.nn.softmax(density.log_weights(one), axis=1), flat, batch_size=16)
