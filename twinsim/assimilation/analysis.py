"""What the analyses of an ensemble have in common: each is a matrix that recombines the members."""

from abc import abstractmethod

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from twinsim.assimilation.stream_model import Members, Predictions, Present, Values

Recombination = Float[Array, "k k"]


class Analysis(eqx.Module):
    r"""The step of an ensemble Kalman filter that uses a reading: $X^a = \bar x + T\,(X - \bar x)$.

    That $T$ acts on members, not on components, is what makes a smoother of a filter: the same $T$ recombines earlier states too.
    """

    @abstractmethod
    def recombination(self, predicted: Predictions, values: Values, error: Values, used: Present, key: Array) -> Recombination:
        """$T$ from what the members predict, what was read, its standard deviation, and which channels count."""


def scaled(predicted: Predictions, values: Values, error: Values, used: Present) -> tuple[Predictions, Values]:
    """Anomalies of the predictions and residual of their mean, in units of the error; zero where a channel does not count."""
    mean = predicted.mean(0)
    anomalies = jnp.where(used[None], (predicted - mean[None]) / error[None], 0.0)
    return anomalies, jnp.where(used, (values - mean) / error, 0.0)


def recombined(matrix: Recombination, members: Members) -> Members:
    """$\\bar x + T (X - \\bar x)$."""
    mean = members.mean(0)
    return mean[None] + matrix @ (members - mean[None])
