"""The extended Kalman filter: the quickest method, and the one whose evidence can be differentiated."""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from solvers.shapes import Scalar
from twinsim.assimilation.assimilator import Assimilator
from twinsim.assimilation.gate import Gate
from twinsim.assimilation.linearised_step import NormalState, covariance_factor, linearised_analysis, linearised_forecast
from twinsim.assimilation.stream_model import Ensemble, Innovation, Present, StreamModel, Values, equal_ensemble


class NormalBelief(eqx.Module):
    """A normal distribution of the state at a time."""

    state: NormalState
    time: Scalar


class ExtendedKalmanFilter(Assimilator):
    r"""Forecast and reading linearised at the mean, derivatives by automatic differentiation.

    Args:
        gate: What is done with outliers.

    Exact for linear-normal models. The sum of ``log_evidence`` over a record is differentiable in forward mode with respect to every leaf
    of the model (``jax.jacfwd``), which is how disturbances and errors are calibrated. Fails where the spread of the belief is wide
    compared with the curvature of the model: the covariance is then too small.

    Source: Jazwinski (1970), *Stochastic Processes and Filtering Theory*, section 8.3.
    """

    belief_kind: ClassVar[type] = NormalBelief
    gate: Gate = Gate()

    def update(
        self, model: StreamModel, belief: NormalBelief, time: Scalar, values: Values, mask: Present, key: Array
    ) -> tuple[NormalBelief, Innovation]:
        """See :class:`Assimilator`; the key is not needed."""
        del key
        still = jnp.zeros(model.noise_size, belief.state.mean.dtype)
        mean, start = belief.state.mean, belief.time
        forecast, _ = linearised_forecast(model, belief.state, start, time - start, mean, still)
        state, innovation, _ = linearised_analysis(model, forecast, forecast.mean, values, mask, self.gate)
        return NormalBelief(NormalState(model.admissible(state.mean), state.covariance), time), innovation

    def ensemble(self, belief: NormalBelief, key: Array, count: int) -> Ensemble:
        """Draws of the normal."""
        return normal_ensemble(belief.state, belief.time, key, count)


def normal_ensemble(state: NormalState, time: Scalar, key: Array, count: int) -> Ensemble:
    """Equally weighted draws of a normal belief, each followed by its mirror image: the mean of an even count is exact."""
    drawn = jax.random.normal(key, (-(-count // 2), state.mean.shape[0]), state.mean.dtype)
    pairs = jnp.stack([drawn, -drawn], 1).reshape(-1, drawn.shape[1])[:count]
    return equal_ensemble(state.mean[None] + pairs @ covariance_factor(state.covariance).T, time)
