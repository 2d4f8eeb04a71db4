"""One step of a Kalman filter linearised where one likes."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from solvers.shapes import Scalar
from twinsim.assimilation.gate import Gate
from twinsim.assimilation.stream_model import Covariance, Innovation, Noise, Present, StateVector, StreamModel, Values


class NormalState(eqx.Module):
    """A normal distribution of the state."""

    mean: StateVector
    covariance: Covariance


def linearised_forecast(
    model: StreamModel, belief: NormalState, start: Scalar, length: Scalar, at: StateVector, noise: Noise
) -> tuple[NormalState, StateVector]:
    r"""The forecast of a normal belief, with $f$ linearised at a state and a disturbance; and $f$ there.

    $\bar x' = f(x_0, w_0) + F(\bar x - x_0) - G w_0$, $P' = FPF^T + GG^T$.
    """
    moved = model.advance(at, start, length, noise)
    by_state, by_noise = jax.jacfwd(lambda x, w: model.advance(x, start, length, w), argnums=(0, 1))(at, noise)
    mean = moved + by_state @ (belief.mean - at) - by_noise @ noise
    return NormalState(mean, by_state @ belief.covariance @ by_state.T + by_noise @ by_noise.T), moved


def linearised_analysis(
    model: StreamModel, forecast: NormalState, at: StateVector, values: Values, mask: Present, gate: Gate, factor: Values | None = None
) -> tuple[NormalState, Innovation, Values]:
    r"""The reading used, with $h$ linearised at a state; Joseph's form keeps the covariance positive.

    Returns:
        The belief, what the reading said, and the factor on each channel's error: infinite where the gate skipped it.

    Source: Bar-Shalom, Li and Kirubarajan (2001), *Estimation with Applications to Tracking and Navigation*, section 10.3.
    """
    slope = jax.jacfwd(model.predict)(at)
    predicted = model.predict(at) + slope @ (forecast.mean - at)
    error = model.error(predicted)
    spread = slope @ forecast.covariance @ slope.T
    deviation = jnp.sqrt(jnp.diagonal(spread) + error**2)
    values = jnp.where(mask, values, predicted)
    residual = values - predicted
    if factor is None:
        outlier, used, factor = gate.judge(residual / deviation, mask)
        factor = jnp.where(mask & ~used, jnp.inf, factor)
    else:
        outlier, used = jnp.zeros_like(mask), mask & jnp.isfinite(factor)
    variance = jnp.where(used, (error * factor) ** 2, 1.0)
    slope = jnp.where(used[:, None], slope, 0.0)
    spread = slope @ forecast.covariance @ slope.T + jnp.diag(variance)
    gain = jnp.linalg.solve(spread, slope @ forecast.covariance).T
    heard = jnp.where(used, residual, 0.0)
    keep = jnp.eye(at.shape[0], dtype=at.dtype) - gain @ slope
    covariance = keep @ forecast.covariance @ keep.T + (gain * variance[None]) @ gain.T
    root = jnp.linalg.cholesky(spread)
    white = jax.scipy.linalg.solve_triangular(root, heard, lower=True)
    logs = jnp.where(used, jnp.log(2 * jnp.pi), 0.0).sum()
    evidence = -0.5 * (white @ white + logs) - jnp.log(jnp.diagonal(root)).sum()
    return (
        NormalState(forecast.mean + gain @ heard, covariance),
        Innovation(predicted, residual, deviation, outlier, evidence, used),
        factor,
    )


def covariance_factor(covariance: Covariance) -> Float[Array, "n n"]:
    """A lower root of a covariance that may be singular to round-off."""
    scale = jnp.sqrt(jnp.maximum(jnp.diagonal(covariance), 0.0))
    safe = jnp.where(scale > 0, scale, 1.0)
    tiny = 64 * jnp.finfo(covariance.dtype).eps
    unit = covariance / (safe[:, None] * safe[None, :])
    size = covariance.shape[0]
    unit = jnp.where(jnp.eye(size, dtype=bool), 1.0 + tiny * size, unit)
    return scale[:, None] * jnp.linalg.cholesky(unit)
