"""The deterministic analysis: the ensemble transform with the symmetric square root."""

import jax.numpy as jnp
from jaxtyping import Array

from twinsim.assimilation.analysis import Analysis, Recombination, scaled
from twinsim.assimilation.stream_model import Predictions, Present, Values


class SquareRoot(Analysis):
    r"""$T = \mathbf 1 w^T + W$ with $W = \left(I + \frac{YY^T}{k-1}\right)^{-1/2}$ and $w = (k-1+YY^T)^{-1}\,Y\,d$.

    $Y$ and $d$ are anomalies of the predictions and residual of their mean in units of the reading's error. Draws nothing: mean and
    covariance of the members are exactly those of the Kalman filter that has the ensemble's covariance. The symmetric root moves the
    members least and keeps their mean. It is computed from the eigenvectors of $Y^TY$ (channels x channels) through
    $W = I + Y V \varphi(\Lambda) V^T Y^T$, $\varphi(\lambda) = -\left[(k-1+\lambda)\left(1+\sqrt{(k-1)/(k-1+\lambda)}\right)\right]^{-1}$,
    which divides by nothing small.

    Fails: members that a nonlinear model has pressed into two clumps stay so; use :class:`PerturbedObservations` or particles there.
    Source: Bishop, Etherton and Majumdar (2001), Mon. Weather Rev. 129:420; Hunt, Kostelich and Szunyogh (2007), Physica D 230:112,
    section 2.
    """

    def recombination(self, predicted: Predictions, values: Values, error: Values, used: Present, key: Array) -> Recombination:
        """See :class:`Analysis`; the key is not needed."""
        del key
        anomalies, residual = scaled(predicted, values, error, used)
        count = anomalies.shape[0]
        eigenvalues, vectors = jnp.linalg.eigh(anomalies.T @ anomalies)
        total = count - 1 + jnp.maximum(eigenvalues, 0.0)
        turned = anomalies @ vectors
        shrink = -1 / (total * (1 + jnp.sqrt((count - 1) / total)))
        root = jnp.eye(count, dtype=anomalies.dtype) + (turned * shrink[None]) @ turned.T
        mean_weights = turned @ ((vectors.T @ residual) / total)
        return root + mean_weights[None, :]
