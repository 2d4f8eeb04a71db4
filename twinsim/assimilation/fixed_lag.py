"""Fixed-lag smoothing by Gauss-Newton: the last readings are fitted anew, what is older stays as a prior."""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from solvers.shapes import Scalar
from twinsim.assimilation.assimilator import Assimilator
from twinsim.assimilation.extended_kalman import normal_ensemble
from twinsim.assimilation.gate import Gate
from twinsim.assimilation.linearised_step import NormalState, covariance_factor, linearised_analysis, linearised_forecast
from twinsim.assimilation.stream_model import Ensemble, Innovation, Present, StateVector, StreamModel, Values

Unknowns = Float[Array, " u"]


class Window(eqx.Module):
    r"""The last ``lag`` readings, the prior of the state before them, and the fit.

    Attributes:
        prior: Of the state at ``starts[0]``, given all readings older than the window.
        starts, lengths: Of the interval before each reading; length 0 where there has been no reading yet.
        values, mask, factor: The readings, and the factor by which the gate widened each error (infinite: skipped).
        first: Fitted state at the beginning of the window.
        noise: Fitted disturbance of each interval.
        now: Normal belief at the last reading.
        path: Fitted states at the readings of the window.
        time: Of the last reading.
    """

    prior: NormalState
    starts: Float[Array, " lag"]
    lengths: Float[Array, " lag"]
    values: Float[Array, "lag m"]
    mask: Bool[Array, "lag m"]
    factor: Float[Array, "lag m"]
    first: StateVector
    noise: Float[Array, "lag q"]
    now: NormalState
    path: Float[Array, "lag n"]
    time: Scalar


class FixedLagSmoother(Assimilator):
    r"""Minimises $\tfrac12\|L^{-1}(x_0-\bar x)\|^2 + \tfrac12\sum_i\|w_i\|^2 + \tfrac12\sum_i\|(y_i - h(x_i))/\sigma_i\|^2$.

    The unknowns are the whitened first state and the disturbances, so that the prior is the identity; Gauss-Newton with Levenberg's
    damping, Jacobian by forward mode through the model. When a reading leaves the window, its part is marginalised by one Kalman step
    linearised at the *smoothed* state. Exact (filter and smoother) for linear-normal models; for nonlinear ones the states that a later
    reading corrects are linearised again, which an extended Kalman filter never does.

    Args:
        lag: Readings in the window.
        iterations: Gauss-Newton steps per reading; the window starts from its last fit, so that few are needed.
        gate: What is done with outliers; judged once, when a reading arrives.

    Good for up to a hundred unknowns (state + lag x disturbances). Fails: several modes; non-smooth models.
    Source: Aravkin, Burke, Ljung, Lozano and Pillonetto (2017), Automatica 86:63, section 2; moving horizon estimation Rao, Rawlings and
    Mayne (2003), IEEE Trans. Autom. Control 48:246.
    """

    belief_kind: ClassVar[type] = Window
    lag: int = eqx.field(static=True, default=12)
    iterations: int = eqx.field(static=True, default=3)
    gate: Gate = Gate()

    def __check_init__(self) -> None:
        if self.lag < 1 or self.iterations < 1:
            raise ValueError(f"got lag {self.lag}, iterations {self.iterations}; expected at least 1 each; do: raise them")

    def begin(self, model: StreamModel, prior: NormalState, time: float | Scalar, channels: int) -> Window:
        """The belief before the first reading."""
        kind, size, lag = prior.mean.dtype, prior.mean.shape[0], self.lag
        when = jnp.asarray(time, kind)
        empty = jnp.zeros((lag, channels), kind)
        return Window(
            prior, jnp.full(lag, when), jnp.zeros(lag, kind), empty, jnp.zeros((lag, channels), bool), jnp.ones_like(empty), prior.mean,
            jnp.zeros((lag, model.noise_size), kind), prior, jnp.broadcast_to(prior.mean, (lag, size)), when,
        )  # fmt: skip

    def update(
        self, model: StreamModel, belief: Window, time: Scalar, values: Values, mask: Present, key: Array
    ) -> tuple[Window, Innovation]:
        """See :class:`Assimilator`; the key is not needed."""
        del key
        slid = self._slid(model, belief)
        still = jnp.zeros(model.noise_size, belief.first.dtype)
        last, start = belief.path[-1], belief.time
        forecast, _ = linearised_forecast(model, belief.now, start, time - start, last, still)
        values = jnp.where(mask, values, 0.0)
        _, innovation, factor = linearised_analysis(model, forecast, forecast.mean, values, mask, self.gate)
        window = eqx.tree_at(
            lambda w: (w.starts, w.lengths, w.values, w.mask, w.factor, w.time),
            slid,
            (
                slid.starts.at[-1].set(start),
                slid.lengths.at[-1].set(time - start),
                slid.values.at[-1].set(values),
                slid.mask.at[-1].set(mask),
                slid.factor.at[-1].set(factor),
                time,
            ),
        )
        return self._fitted(model, window), innovation

    def _slid(self, model: StreamModel, w: Window) -> Window:
        """The oldest slot marginalised and an empty one appended."""
        forecast, moved = linearised_forecast(model, w.prior, w.starts[0], w.lengths[0], w.first, w.noise[0])
        prior, _, _ = linearised_analysis(model, forecast, moved, w.values[0], w.mask[0], self.gate, w.factor[0])
        parts = (w.starts, w.lengths, w.values, w.mask, w.factor, w.noise, w.path)
        fresh = jax.tree.map(lambda part: jnp.concatenate([part[1:], jnp.zeros_like(part[:1])]), parts)
        return eqx.tree_at(
            lambda w: (w.prior, w.first, w.starts, w.lengths, w.values, w.mask, w.factor, w.noise, w.path), w, (prior, moved, *fresh)
        )

    def _fitted(self, model: StreamModel, w: Window) -> Window:
        root = covariance_factor(w.prior.covariance)
        size, lag = w.first.shape[0], self.lag

        def path(u: Unknowns) -> tuple[Float[Array, "lag n"], StateVector]:
            first = w.prior.mean + root @ u[:size]

            def step(state: StateVector, columns: tuple) -> tuple[StateVector, StateVector]:
                start, length, noise = columns
                state = model.advance(state, start, length, noise)
                return state, state

            _, states = jax.lax.scan(step, first, (w.starts, w.lengths, u[size:].reshape(lag, -1)))
            return states, first

        def residuals(u: Unknowns) -> Float[Array, " r"]:
            states, _ = path(u)
            predicted = jax.vmap(model.predict)(states)
            errors = jax.vmap(model.error)(predicted) * w.factor
            used = w.mask & jnp.isfinite(w.factor)
            return jnp.where(used, (predicted - w.values) / jnp.where(used, errors, 1.0), 0.0).reshape(-1)

        def cost(u: Unknowns) -> Scalar:
            return 0.5 * (u @ u + jnp.sum(residuals(u) ** 2))

        def improve(_: Array, carry: tuple[Unknowns, Scalar, Scalar]) -> tuple[Unknowns, Scalar, Scalar]:
            u, value, damping = carry
            r, slope = residuals(u), jax.jacfwd(residuals)(u)
            curvature = slope.T @ slope + (1 + damping) * jnp.eye(u.shape[0], dtype=u.dtype)
            trial = u - jnp.linalg.solve(curvature, u + slope.T @ r)
            new = cost(trial)
            better = new <= value
            return jnp.where(better, trial, u), jnp.where(better, new, value), jnp.where(better, damping / 10, 10 * damping + 1)

        guess = jax.scipy.linalg.solve_triangular(root + _where_zero(root), w.first - w.prior.mean, lower=True)
        u = jnp.concatenate([guess, w.noise.reshape(-1)])
        u, _, _ = jax.lax.fori_loop(0, self.iterations, improve, (u, cost(u), jnp.zeros((), u.dtype)))
        states, first = path(u)
        slope, end = jax.jacfwd(residuals)(u), jax.jacfwd(lambda u: path(u)[0][-1])(u)
        curvature = slope.T @ slope + jnp.eye(u.shape[0], dtype=u.dtype)
        covariance = end @ jnp.linalg.solve(curvature, end.T)
        now = NormalState(model.admissible(states[-1]), 0.5 * (covariance + covariance.T))
        return eqx.tree_at(lambda w: (w.first, w.noise, w.now, w.path), w, (first, u[size:].reshape(lag, -1), now, states))

    def ensemble(self, belief: Window, key: Array, count: int) -> Ensemble:
        """Draws of the normal belief at the last reading."""
        return normal_ensemble(belief.now, belief.time, key, count)


def _where_zero(root: Float[Array, "n n"]) -> Float[Array, "n n"]:
    """Ones on the diagonal where a component is known exactly, so that a triangular solve can pass it."""
    return jnp.diag(jnp.where(jnp.diagonal(root) == 0, 1.0, 0.0))
