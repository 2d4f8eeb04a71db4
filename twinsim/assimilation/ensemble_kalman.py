"""The ensemble Kalman filter."""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from solvers.shapes import Scalar
from twinsim.assimilation.analysis import Analysis, Recombination, recombined
from twinsim.assimilation.assimilator import Assimilator
from twinsim.assimilation.gate import Gate
from twinsim.assimilation.square_root import SquareRoot
from twinsim.assimilation.stream_model import (
    Ensemble,
    Innovation,
    Members,
    Predictions,
    Present,
    StreamModel,
    Values,
    advanced,
    predictions,
)


class EnsembleKalmanFilter(Assimilator):
    r"""Members move by the model, and a reading recombines them.

    Args:
        analysis: :class:`SquareRoot` (deterministic) or :class:`PerturbedObservations` (stochastic).
        inflation: Factor on the anomalies before a reading is used; 1 for none. Makes up for the spread that few members and an
            imperfect model lose; 1.01 to 1.1 for tens of members.
        relaxation: $\alpha$ in 0..1: the anomalies afterwards are $(1-\alpha)$ of the analysis and $\alpha$ of the forecast.
        gate: What is done with outliers.

    Unknown parameters are part of the state and are moved by their correlation with what is read. Good for 20 to 500 members and a
    model that is mildly nonlinear between two readings. Fails: several modes (use :class:`ParticleFilter`); more independent directions
    in the data than members (use :class:`LocalisedEnsembleFilter`).

    Source: Evensen (1994), J. Geophys. Res. 99:10143; inflation Anderson and Anderson (1999), Mon. Weather Rev. 127:2741; relaxation
    Zhang, Snyder and Sun (2004), Mon. Weather Rev. 132:1238.
    """

    belief_kind: ClassVar[type] = Ensemble
    analysis: Analysis = SquareRoot()
    inflation: float = eqx.field(static=True, default=1.0)
    relaxation: float = eqx.field(static=True, default=0.0)
    gate: Gate = Gate()

    def __check_init__(self) -> None:
        if not self.inflation >= 1 or not 0 <= self.relaxation < 1:
            raise ValueError(
                f"got inflation {self.inflation}, relaxation {self.relaxation}; expected inflation >= 1 and relaxation in [0, 1); "
                "do: use 1 and 0 for none"
            )

    def update(
        self, model: StreamModel, belief: Ensemble, time: Scalar, values: Values, mask: Present, key: Array
    ) -> tuple[Ensemble, Innovation]:
        """See :class:`Assimilator`."""
        draw, analyse = jax.random.split(key)
        forecast = advanced(model, belief, time, draw)
        members = inflated(forecast.members, self.inflation, mask)
        matrix, innovation = judged(self.analysis, self.gate, model, predictions(model, members), values, mask, analyse)
        members = recombined(relaxed(matrix, self.relaxation), members)
        return eqx.tree_at(lambda e: e.members, forecast, jax.vmap(model.admissible)(members)), innovation

    def ensemble(self, belief: Ensemble, key: Array, count: int) -> Ensemble:
        """The members themselves, whatever the count."""
        del key, count
        return belief


def inflated(members: Members, factor: float, mask: Present) -> Members:
    """Anomalies times the factor, where anything is read at all."""
    if factor == 1:
        return members
    mean = members.mean(0)[None]
    return mean + jnp.where(mask.any(), factor, 1.0) * (members - mean)


def relaxed(matrix: Recombination, relaxation: float) -> Recombination:
    r"""$T$ whose anomalies are drawn back to those of the forecast: the mean's weights stay, the rest is mixed with $I$."""
    if relaxation == 0:
        return matrix
    mean = matrix.mean(0)[None]
    return mean + (1 - relaxation) * (matrix - mean) + relaxation * centring(matrix)


def centring(matrix: Recombination) -> Recombination:
    """The identity on anomalies, which sum to zero."""
    count = matrix.shape[0]
    return jnp.eye(count, dtype=matrix.dtype) - 1 / count


def judged(
    analysis: Analysis, gate: Gate, model: StreamModel, predicted: Predictions, values: Values, mask: Present, key: Array
) -> tuple[Recombination, Innovation]:
    """The recombination for a reading that has passed the gate, and what the reading said."""
    mean = predicted.mean(0)
    error = model.error(mean)
    deviation = jnp.sqrt(predicted.var(0, ddof=1) + error**2)
    values = jnp.where(mask, values, mean)
    outlier, used, factor = gate.judge((values - mean) / deviation, mask)
    error = error * factor
    matrix = analysis.recombination(predicted, values, error, used, key)
    evidence = normal_log_evidence(predicted, values, error, used)
    return matrix, Innovation(mean, values - mean, deviation, outlier, evidence, used)


def normal_log_evidence(predicted: Predictions, values: Values, error: Values, used: Present) -> Scalar:
    r"""$\log N(y;\ \bar h,\ \mathrm{cov}\,h + R)$ of the channels used."""
    count, channels = predicted.shape
    mean = predicted.mean(0)
    anomalies = jnp.where(used[None], predicted - mean[None], 0.0)
    covariance = anomalies.T @ anomalies / (count - 1) + jnp.diag(jnp.where(used, error**2, 1.0))
    root = jnp.linalg.cholesky(covariance)
    residual = jax.scipy.linalg.solve_triangular(root, jnp.where(used, values - mean, 0.0), lower=True)
    logs = jnp.where(used, jnp.log(2 * jnp.pi), 0.0).sum()
    del channels
    return -0.5 * (residual @ residual + logs) - jnp.log(jnp.diagonal(root)).sum()
