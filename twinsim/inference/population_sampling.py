"""The joint posterior of a population and its patients by NUTS, for small data."""

from collections.abc import Sequence
from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from twinsim.inference.diagnostics import diagnose
from twinsim.inference.draws import Draws
from twinsim.inference.nuts import nuts_chains
from twinsim.inference.population import Population
from twinsim.inference.problem import Problem
from twinsim.option_checks import check_seed
from twinsim.prior import Prior


class JointDensity(eqx.Module):
    r"""$\log p(m, \tau, \epsilon)$: $z_i = m + \tau\odot\epsilon_i$, $m\sim N(0, I)$, $\epsilon_i\sim N(0, I)$, $\tau$ log-normal.

    The non-centred form: with few data per patient the funnel between $\tau$ and $z_i$ is gone.
    """

    batch: Problem
    varying: tuple[int, ...] = eqx.field(static=True)
    patients: int = eqx.field(static=True)
    between: tuple[Prior, ...] = eqx.field(static=True)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the leading coordinates, those of the population."""
        return self.batch.names + tuple(prior.name for prior in self.between)

    @property
    def size(self) -> int:
        """Coordinates of the joint posterior."""
        return self.batch.size + (1 + self.patients) * len(self.varying)

    def parts(self, flat: Float[Array, " joint"]) -> tuple[Array, Array, Array]:
        """Mean, coordinates of the standard deviations, and every patient's coordinates."""
        n, k = self.batch.size, len(self.varying)
        mean, log_between, noise = flat[:n], flat[n : n + k], flat[n + k :].reshape(self.patients, k)
        tau = jnp.stack([prior.value(z) for prior, z in zip(self.between, log_between, strict=True)])
        every = jnp.broadcast_to(mean[None], (self.patients, n))
        return mean, log_between, every.at[:, jnp.asarray(self.varying)].add(tau[None] * noise)

    def __call__(self, flat: Float[Array, " joint"]) -> Array:
        """Log density up to a constant."""
        _, _, z = self.parts(flat)
        terms = eqx.filter_vmap(lambda p, one: p.log_likelihood(one), in_axes=(eqx.if_array(0), 0))(self.batch, z)
        return jnp.sum(terms) - 0.5 * jnp.sum(flat**2)

    def prior_draws(self, key: Array, count: int) -> Float[Array, "{count} joint"]:
        """Populations with their patients, drawn from the prior."""
        return jax.random.normal(key, (count, self.size))

    def simulated(self, key: Array, flat: Float[Array, " joint"]) -> "JointDensity":
        """The same patients with data drawn from the model."""
        keys = jax.random.split(key, self.patients)
        drawn = eqx.filter_vmap(lambda p, k, z: p.simulated(k, z), in_axes=(eqx.if_array(0), 0, 0))(self.batch, keys, self.parts(flat)[2])
        return eqx.tree_at(lambda joint: joint.batch, self, drawn)


def joint_density(batch: Problem, shared: Sequence[str] = (), between: float = 0.3) -> JointDensity:
    """The joint log density of a batch of patients; arguments as in :func:`sample_population`."""
    varying = tuple(i for i, name in enumerate(batch.names) if name not in shared)
    patients = jax.tree.leaves(eqx.filter(batch.series, eqx.is_array))[0].shape[0]
    spreads = tuple(Prior(f"sd_{batch.names[i]}", "1", between, 1.0, "log", "among patients, weakly informative") for i in varying)
    return JointDensity(batch, varying, patients, spreads)


@dataclass(frozen=True)
class PopulationDraws:
    """The population as draws of its means and standard deviations, and the patients.

    Attributes:
        population: Parameters by name are those of the typical patient; ``sd_<name>`` is the standard deviation among patients in the
            coordinates of the prior.
        individuals: ``(chains, draws, patients, parameters)``.
    """

    population: Draws
    individuals: np.ndarray


def sample_population(
    batch: Problem,
    shared: Sequence[str] = (),
    seed: int = 0,
    chains: int = 4,
    warmup: int = 600,
    count: int = 600,
    between: float = 0.3,
    target_acceptance: float = 0.9,
    start: Population | None = None,
) -> PopulationDraws:
    r"""NUTS on the joint non-centred model.

    Args:
        batch: Problems of all patients, stacked.
        shared: Parameters without variation among patients.
        seed: Of starts and draws.
        chains: How many.
        warmup: Steps of adaptation, not kept.
        count: Draws per chain.
        between: Median of $\tau$ before any data, as a fraction of the prior's spread; its logarithm has standard deviation one.
        target_acceptance: Of the step size.
        start: A fitted population to start near; None starts near the priors' centre.

    Raises:
        InputError: A seed that is none.
    """
    check_seed(seed)
    density = joint_density(batch, shared, between)
    first, second = jax.random.split(jax.random.key(seed))
    centre = jnp.zeros(density.size)
    if start is not None:
        centre = centre.at[: batch.size].set(jnp.asarray(start.mean))
    scattered = centre[None] + 0.1 * jax.random.normal(first, (chains, density.size))
    flat, divergent = nuts_chains(density, scattered, second, warmup, count, target_acceptance, dense=False)
    head = np.asarray(flat[..., : len(density.names)])
    individuals = np.asarray(jax.jit(jax.vmap(jax.vmap(lambda f: density.parts(f)[2])))(flat))
    draws = Draws(batch.priors + density.between, head, diagnose(head, int(divergent.sum())), "population nuts")
    return PopulationDraws(draws, individuals)
