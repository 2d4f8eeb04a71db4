"""The particle filter with systematic resampling and jittered parameters."""

from typing import Any, ClassVar, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from solvers.shapes import Scalar
from twinsim.assimilation.assimilator import Assimilator
from twinsim.assimilation.gate import Gate
from twinsim.assimilation.stream_model import Ensemble, Innovation, Members, Order, Present, StreamModel, Values, advanced, predictions


@runtime_checkable
class Scatter(Protocol):
    """A density of readings given predictions: any ``twinsim.inference.Likelihood``."""

    def log_density(self, data: Any, prediction: Any) -> Any:
        """Log density per reading."""
        ...


class ParticleFilter(Assimilator):
    r"""Weights follow the likelihood, $w_i \propto w_i\,p(y\mid x_i)$; particles of little weight are replaced by copies of heavy ones.

    Resampling happens when the effective number $1/\sum w_i^2$ falls below ``threshold`` of all. Copies of the same parameters would
    stay the same for ever, so parameters are then jittered by the kernel of Liu and West: with discount $\delta$, $a=(3\delta-1)/2\delta$,
    each becomes $a\theta_i + (1-a)\bar\theta + \sqrt{1-a^2}\,V^{1/2}\eta$, which keeps mean and covariance $V$ of the particles.

    Args:
        parameters: Components of the state that have no disturbance of their own.
        discount: $\delta$, 0.95 to 0.99; 1 jitters nothing.
        threshold: Share of the particles below which they are resampled; 1 does so always.
        gate: What is done with outliers; the spread of the predictions counts as in the Kalman filters.
        likelihood: How readings scatter about predictions where that is not normal (Student, a detection limit, counts), in place of the
            model's ``error``; then ``weigh`` of the gate only flags.

    Exact for any model as the number grows, error $\propto k^{-1/2}$. Good for up to about ten uncertain directions and 500 to 10,000
    particles. Fails: many precise channels at once leave one particle with all the weight; then the next reading's flagged outlier says so.

    Source: Gordon, Salmond and Smith (1993), IEE Proc. F 140:107; systematic resampling Kitagawa (1996), J. Comput. Graph. Stat. 5:1;
    Liu and West (2001), in *Sequential Monte Carlo Methods in Practice*, section 10.3.
    """

    belief_kind: ClassVar[type] = Ensemble
    parameters: tuple[int, ...] = eqx.field(static=True, default=())
    discount: float = eqx.field(static=True, default=0.98)
    threshold: float = eqx.field(static=True, default=0.5)
    gate: Gate = Gate()
    likelihood: Scatter | None = None

    def __check_init__(self) -> None:
        if not 0.5 < self.discount <= 1 or not 0 < self.threshold <= 1:
            raise ValueError(
                f"got discount {self.discount}, threshold {self.threshold}; expected discount in (0.5, 1] and threshold in (0, 1]; "
                "do: use 0.98 and 0.5"
            )

    def update(
        self, model: StreamModel, belief: Ensemble, time: Scalar, values: Values, mask: Present, key: Array
    ) -> tuple[Ensemble, Innovation]:
        """See :class:`Assimilator`."""
        draw, choose, jitter = jax.random.split(key, 3)
        forecast = advanced(model, belief, time, draw)
        predicted, weights = predictions(model, forecast.members), jnp.exp(forecast.log_weights)
        mean = weights @ predicted
        deviation = jnp.sqrt(weights @ (predicted - mean[None]) ** 2 + model.error(mean) ** 2)
        values = jnp.where(mask, values, mean)
        outlier, used, factor = self.gate.judge((values - mean) / deviation, mask)
        if self.likelihood is None:
            errors = jax.vmap(model.error)(predicted) * factor[None]
            terms = -0.5 * ((values[None] - predicted) / errors) ** 2 - jnp.log(errors) - 0.5 * jnp.log(2 * jnp.pi)
        else:
            terms = self.likelihood.log_density(jnp.broadcast_to(values[None], predicted.shape), predicted)
        heard = forecast.log_weights + jnp.where(used[None], terms, 0.0).sum(-1)
        evidence = jax.nn.logsumexp(heard)
        updated = Ensemble(forecast.members, heard - evidence, forecast.time)
        few = effective_number(updated) < self.threshold * predicted.shape[0]
        renewed = self._renewed(model, updated, choose, jitter)
        kept = jax.tree.map(lambda new, old: jnp.where(few, new, old), renewed, updated)
        return kept, Innovation(mean, values - mean, deviation, outlier, evidence, used)

    def _renewed(self, model: StreamModel, belief: Ensemble, choose: Array, jitter: Array) -> Ensemble:
        count = belief.members.shape[0]
        members = belief.members[systematic(jnp.exp(belief.log_weights), choose)]
        if self.parameters and self.discount < 1:
            index = jnp.asarray(self.parameters)
            shrink = (3 * self.discount - 1) / (2 * self.discount)
            cloud, mean = members[:, index], members[:, index].mean(0)
            root = covariance_root(cloud)
            moved = jax.random.normal(jitter, cloud.shape, cloud.dtype) @ root.T
            moved = shrink * cloud + (1 - shrink) * mean[None] + jnp.sqrt(1 - shrink**2) * moved
            members = jax.vmap(model.admissible)(members.at[:, index].set(moved))
        return Ensemble(members, jnp.full_like(belief.log_weights, -jnp.log(count)), belief.time)

    def ensemble(self, belief: Ensemble, key: Array, count: int) -> Ensemble:
        """The weighted particles, whatever the count."""
        del key, count
        return belief


def effective_number(ensemble: Ensemble) -> Scalar:
    r"""$1/\sum_i w_i^2$."""
    return jnp.exp(-jax.nn.logsumexp(2 * ensemble.log_weights))


def systematic(weights: Float[Array, " k"], key: Array) -> Order:
    """Indices of the particles to keep: one uniform draw, then even steps through the cumulated weights."""
    count = weights.shape[0]
    places = (jnp.arange(count) + jax.random.uniform(key, (), weights.dtype)) / count
    return jnp.clip(jnp.searchsorted(jnp.cumsum(weights), places), 0, count - 1)


def covariance_root(cloud: Members) -> Float[Array, "n n"]:
    """A lower-triangular root of the covariance; components that do not vary get zero instead of a NaN."""
    spread = cloud.std(0)
    safe = jnp.where(spread > 0, spread, 1.0)
    unit = (cloud - cloud.mean(0)[None]) / safe[None]
    size = cloud.shape[1]
    correlation = unit.T @ unit / cloud.shape[0] + 1e-9 * jnp.eye(size, dtype=cloud.dtype)
    correlation = correlation + jnp.diag(jnp.where(spread > 0, 0.0, 1.0))
    return spread[:, None] * jnp.linalg.cholesky(correlation)
