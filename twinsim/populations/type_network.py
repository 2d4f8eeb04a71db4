"""A graph network over cell types: who acts on whom from what the types express, also for types never seen together."""

from functools import partial

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from physics import Variable
from twinsim.closures import PerceptronClosure, decaying_adam, network_parameters, train
from twinsim.errors import InputError
from twinsim.populations.composition_series import CompositionSeries
from twinsim.populations.gradient_matching import InteractionFit, Rows, integral_rows
from twinsim.populations.trajectory_fit import PopulationModel, penalty


class TypeNetwork(eqx.Module):
    r"""$w_{ij} = u(z_i)\cdot v(z_j)/\sqrt k$: a message along every edge of the complete graph of types: $j$ sends, $i$ receives.

    $u$ and $v$ are perceptrons of the features $z$ of one type each, so that $n$ types cost $n$ evaluations and one product of matrices,
    not $n^2$ evaluations; a product of what is sent and what is received is also what ligands and receptors do.

    Attributes:
        receiver: $u$.
        sender: $v$.
    """

    receiver: PerceptronClosure
    sender: PerceptronClosure

    @classmethod
    def create(cls, features: Float[np.ndarray, "types features"], channels: int, hidden: tuple[int, ...], seed: int) -> "TypeNetwork":
        """Untrained.

        Raises:
            InputError: Features that are not finite, or fewer than one channel.
        """
        if not np.isfinite(features).all() or channels < 1:
            raise InputError(f"features {features.shape}, {channels} channels", "finite features, at least one channel", "correct them")
        inputs = tuple(Variable(f"feature_{k}", "1") for k in range(features.shape[1]))
        outputs = tuple(Variable(f"channel_{k}", "1") for k in range(channels))
        signs = jnp.where(jnp.arange(len(features)) % 2 == 0, 1.0, -1.0)  # outputs are numbers of order one
        samples = (jnp.asarray(features.T, jnp.float32), jnp.tile(signs[None].astype(jnp.float32), (channels, 1)))
        make = partial(PerceptronClosure.create, inputs=inputs, outputs=outputs, samples=samples, hidden=hidden, activation="silu")
        return cls(make(2 * seed, dtype=jnp.float32), make(2 * seed + 1, dtype=jnp.float32))

    def __call__(self, features: Float[Array, "features types"]) -> Float[Array, "types types"]:
        """$w$, 1/day; the diagonal means nothing."""
        received, sent = self.receiver(features), self.sender(features)
        return received.T @ sent / jnp.sqrt(jnp.asarray(len(received), received.dtype))


class NetworkPopulations(PopulationModel):
    """Populations whose interactions are those of a network.

    Attributes:
        growth: See :class:`twinsim.populations.trajectory_fit.PopulationModel`.
        log_crowding: The same.
        log_saturation: The same.
        reference: The same.
        network: Of all pairs.
        features: Of the types; fixed.
    """

    growth: Float[Array, " types"]
    log_crowding: Float[Array, " types"]
    log_saturation: Float[Array, " types"] | None
    reference: Float[Array, " types"]
    network: TypeNetwork
    features: Float[Array, "features types"]

    def effects(self) -> Float[Array, "types types"]:
        """The network's."""
        return self.network(self.features)

    def trainable(self) -> "NetworkPopulations":
        """The parameters of the network, growth, crowding and saturation."""
        every = network_parameters(self)
        some = eqx.tree_at(lambda tree: (tree.growth, tree.log_crowding), every, (True, True))
        return some if self.log_saturation is None else eqx.tree_at(lambda tree: tree.log_saturation, some, True)


def fit_network_to_gains(
    series: CompositionSeries,
    first: InteractionFit,
    features: Float[np.ndarray, "types features"],
    channels: int = 16,
    hidden: tuple[int, ...] = (32,),
    steps: int = 1500,
    scale_per_day: float = 0.05,
    learning_rate: float = 0.01,
    seed: int = 0,
) -> NetworkPopulations:
    """Trains a network on the gains between samples, the regression of :mod:`twinsim.populations.gradient_matching`: no solver, quick.

    Args:
        series: Counts.
        first: A saturating regression of the same series, for reference densities and first growth and crowding.
        features: What is known of each type.
        channels: $k$.
        hidden: Units of the hidden layers.
        steps: Of Adam.
        scale_per_day: Of the Laplace prior of effects.
        learning_rate: First one.
        seed: Of the weights.

    Good values: features that hold what decides (expression of ligands and receptors). Fails where effects depend on what features do not
    show: those pairs come out as the others of their kind.

    Source: messages along edges, Battaglia et al. (2016), *Interaction networks*, arXiv 1612.00222.
    """
    rows = integral_rows(series, np.ones(series.types), first.reference)
    single = partial(jnp.asarray, dtype=jnp.float32)
    model = NetworkPopulations(
        single(first.growth), single(np.log(first.crowding)), single(np.zeros(series.types)), single(first.reference),
        TypeNetwork.create(features, channels, hidden, seed), single(features.T),
    )  # fmt: skip
    data = tuple(single(part) for part in (rows.span, rows.own, rows.others, rows.gain, 1 / rows.variance))
    # Noise of a gain is not all: curves between samples err as well, so that residuals set the scale.
    scale = float(max(1.0, _excess(first, rows)))

    def loss(model: NetworkPopulations, data: tuple[Array, ...]) -> Float[Array, ""]:
        span, own, others, gain, weight = data
        off = model.effects() * (1 - jnp.eye(len(model.growth), dtype=gain.dtype))
        growth, crowding = model.growth[None], jnp.exp(model.log_crowding)[None]
        expected = span[:, None] * growth - own * crowding + others @ off.T
        misfit = 0.5 * (weight * (gain - expected) ** 2).sum() / scale
        return (misfit + penalty(model, scale_per_day)) / gain.size

    optimiser = decaying_adam(learning_rate, steps, clip=10.0, end=0.02)
    return train(model, loss, data, steps=steps, chunk=250, optimiser=optimiser, trainable=NetworkPopulations.trainable).model


def _excess(first: InteractionFit, rows: Rows) -> float:
    """Mean square of the regression's residuals over the noise of counting."""
    expected = rows.span[:, None] * first.growth[None] - rows.own * first.crowding[None] + rows.others @ first.strength.T
    return float(((rows.gain - expected) ** 2 / rows.variance).mean())


def with_new_types(
    model: NetworkPopulations,
    known: np.ndarray,
    features: Float[np.ndarray, "every features"],
    growth: Float[np.ndarray, " every"],
    crowding: Float[np.ndarray, " every"],
    reference: Float[np.ndarray, " every"],
) -> NetworkPopulations:
    """The model of more types than it was trained on: interactions of new ones by the network, the rest of them given.

    Args:
        model: Trained.
        known: Numbers of its types among all.
        features: Of all types.
        growth: Of all, 1/day; those of known types are replaced by the trained ones.
        crowding: The same, 1/day at the reference.
        reference: Densities as units, the same.
    """
    growth, log_crowding, reference = growth.copy(), np.log(crowding), reference.copy()
    saturation = np.zeros(len(growth))
    growth[known], log_crowding[known], reference[known] = (
        np.asarray(part, dtype=float) for part in (model.growth, model.log_crowding, model.reference)
    )
    if model.log_saturation is not None:
        saturation[known] = np.asarray(model.log_saturation)
    single = partial(jnp.asarray, dtype=jnp.float32)
    return NetworkPopulations(
        single(growth), single(log_crowding), None if model.log_saturation is None else single(saturation), single(reference),
        model.network, single(features.T),
    )  # fmt: skip
