"""The stochastic analysis: every member sees the reading with an error of its own."""

import jax
import jax.numpy as jnp
from jax.scipy.linalg import cho_factor, cho_solve
from jaxtyping import Array

from twinsim.assimilation.analysis import Analysis, Recombination, scaled
from twinsim.assimilation.stream_model import Predictions, Present, Values


class PerturbedObservations(Analysis):
    r"""$x_i^a = x_i + K\,(y + \varepsilon_i - h(x_i))$ with $K = \frac{A^T Y}{k-1}\left(\frac{Y^T Y}{k-1} + R\right)^{-1}$.

    $A$ and $Y$ are the anomalies of states and predictions. The drawn errors $\varepsilon_i$ get mean zero over the members, so that the
    mean is moved by the reading alone. Consistent for normal problems as $k\to\infty$, error $\propto k^{-1/2}$; with few members the
    draws make it noisier than :class:`SquareRoot`, with strong nonlinearity they keep its members from clumping.

    Source: Burgers, van Leeuwen and Evensen (1998), Mon. Weather Rev. 126:1719, eq. 13 to 19.
    """

    def recombination(self, predicted: Predictions, values: Values, error: Values, used: Present, key: Array) -> Recombination:
        """See :class:`Analysis`."""
        anomalies, residual = scaled(predicted, values, error, used)
        count, channels = anomalies.shape
        drawn = jax.random.normal(key, anomalies.shape, anomalies.dtype)
        drawn = jnp.where(used[None], drawn - drawn.mean(0)[None], 0.0)
        covariance = anomalies.T @ anomalies / (count - 1) + jnp.eye(channels, dtype=anomalies.dtype)
        weights = cho_solve(cho_factor(covariance), (residual[None] + drawn - anomalies).T)
        return jnp.eye(count, dtype=anomalies.dtype) + weights.T @ anomalies.T / (count - 1)
