"""The localised ensemble filter for fields: a reading moves what is near it."""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from solvers.shapes import Scalar
from twinsim.assimilation.assimilator import Assimilator
from twinsim.assimilation.ensemble_kalman import inflated
from twinsim.assimilation.gate import Gate
from twinsim.assimilation.stream_model import Ensemble, Innovation, Present, StreamModel, Values, advanced, predictions
from twinsim.assimilation.taper import gaspari_cohn


class LocalisedEnsembleFilter(Assimilator):
    r"""A serial square-root filter: the channels of a reading are used one after the other, each with a gain that fades with distance.

    For channel $j$ with error $r_j^2$, prediction anomalies $Y_j$ and predicted variance $v_j$, a component at distance $d$ moves by
    $K = \rho(d)\,\mathrm{cov}(x, y_j)/(v_j+r_j^2)$ times the residual, its anomalies by $-\alpha K Y_j$ with
    $\alpha = \left(1+\sqrt{r_j^2/(v_j+r_j^2)}\right)^{-1}$; the predictions of the channels still to come are moved alike. $\rho$ is the
    taper of Gaspari and Cohn. Without it (``half_width`` infinite) this is the exact Kalman update of the ensemble's covariance, whatever
    the order of the channels. No linear system is solved: the work is members x components x channels.

    Args:
        places: Position of each component, mm; NaN for parameters that belong to no place.
        channel_places: Position of each channel, mm.
        half_width: $c$ of the taper, mm: readings reach $2c$. The correlation length of the field's error, not that of the field.
        parameter_taper: $\rho$ between a parameter and any channel, 0 to 1. Many channels and few members make parameters overconfident:
            1 trusts the ensemble, a half or less holds back.
        inflation: As in :class:`EnsembleKalmanFilter`.
        gate: What is done with outliers, each channel on its own.

    Good for 20 to 100 members and a field of $10^4$ to $10^6$ voxels with at most hundreds of channels (average the voxels of an image to
    blocks). Fails: readings that are integrals over the whole field have no place.
    Source: Whitaker and Hamill (2002), Mon. Weather Rev. 130:1913, eq. 10 to 13; localisation Hamill, Whitaker and Snyder (2001),
    Mon. Weather Rev. 129:2776.
    """

    belief_kind: ClassVar[type] = Ensemble
    places: Float[Array, "n 3"]
    channel_places: Float[Array, "m 3"]
    half_width: float = eqx.field(static=True)
    parameter_taper: float = eqx.field(static=True, default=0.5)
    inflation: float = eqx.field(static=True, default=1.0)
    gate: Gate = Gate()

    def __check_init__(self) -> None:
        if not self.half_width > 0 or not 0 <= self.parameter_taper <= 1 or not self.inflation >= 1:
            raise ValueError(
                f"got half_width {self.half_width}, parameter_taper {self.parameter_taper}, inflation {self.inflation}; "
                "expected a positive length, 0 to 1, and at least 1; do: correct them"
            )

    def update(
        self, model: StreamModel, belief: Ensemble, time: Scalar, values: Values, mask: Present, key: Array
    ) -> tuple[Ensemble, Innovation]:
        """See :class:`Assimilator`."""
        forecast = advanced(model, belief, time, key)
        members = inflated(forecast.members, self.inflation, mask)
        predicted = predictions(model, members)
        means = predicted.mean(0)
        error = model.error(means)
        deviation = jnp.sqrt(predicted.var(0, ddof=1) + error**2)
        values = jnp.where(mask, values, means)
        outlier, used, factor = self.gate.judge((values - means) / deviation, mask)
        error = error * factor
        freedom = members.shape[0] - 1

        # Components first: the members of one voxel lie side by side, and each channel is one pass over memory.
        def use(carry: tuple[Array, Array], column: tuple[Array, ...]) -> tuple[tuple[Array, Array], Scalar]:
            field, channels = carry
            j, place, value, sigma, counts = column
            seen = channels[j]
            mean = seen.mean()
            anomaly = seen - mean
            variance = anomaly @ anomaly / freedom
            total = variance + sigma**2
            half = 1 / (1 + sigma / jnp.sqrt(total))
            # A member's column moves by K times this: the mean by the residual, its anomaly by the square-root factor.
            push = jnp.where(counts, (value - mean) - half * anomaly, 0.0) / total

            def moved(rows: Array, where: Array) -> Array:
                gain = self._taper(where, place) * (rows @ anomaly) / freedom
                return rows + gain[:, None] * push[None, :]

            step = moved(field, self.places), moved(channels, self.channel_places)
            gone = jnp.where(counts, -0.5 * ((value - mean) ** 2 / total + jnp.log(2 * jnp.pi * total)), 0.0)
            return step, gone

        columns = (jnp.arange(values.shape[0]), self.channel_places, values, error, used)
        (field, _), evidence = jax.lax.scan(use, (members.T, predicted.T), columns)
        members = jax.vmap(model.admissible)(field.T)
        innovation = Innovation(means, values - means, deviation, outlier, evidence.sum(), used)
        return eqx.tree_at(lambda e: e.members, forecast, members), innovation

    def _taper(self, where: Float[Array, "any 3"], place: Float[Array, " 3"]) -> Float[Array, " any"]:
        distance = jnp.sqrt(jnp.sum((where - place[None]) ** 2, -1))
        return jnp.where(jnp.isnan(distance), self.parameter_taper, gaspari_cohn(distance, self.half_width)).astype(where.dtype)

    def ensemble(self, belief: Ensemble, key: Array, count: int) -> Ensemble:
        """The members themselves, whatever the count."""
        del key, count
        return belief
