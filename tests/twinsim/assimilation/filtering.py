"""Problems whose filter is known: a damped oscillator with gaps (exact Kalman filter and smoother), and a double well (fine grid)."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from solvers.shapes import Scalar
from tests.problems import quick_jit
from twinsim.assimilation import StreamModel

READINGS = 15
PRIOR_MEAN, PRIOR_COVARIANCE = np.array([1.0, 0.0]), np.array([[1.0, 0.3], [0.3, 0.5]])


class Oscillator(StreamModel):
    """A damped oscillator, its position read with an error of 0.4."""

    damping: Scalar
    noise_size: int = eqx.field(static=True, default=2)

    def advance(self, state, start, length, noise):
        c, s = jnp.cos(length), jnp.sin(length)
        turned = jnp.stack([c * state[0] + s * state[1], c * state[1] - s * state[0]])
        return turned * jnp.exp(-self.damping * length) + jnp.sqrt(length) * 0.3 * noise

    def predict(self, state):
        return state[:1]

    def error(self, predicted):
        return jnp.full_like(predicted, 0.4)

    def admissible(self, state):
        return state


class DoubleWell(StreamModel):
    """dx = 4x(1 - x²) dt + 0.7 dW by Euler's method in one step per interval, read as x with an error of 0.7."""

    noise_size: int = eqx.field(static=True, default=1)

    def advance(self, state, start, length, noise):
        return state + length * 4 * state * (1 - state**2) + 0.7 * jnp.sqrt(length) * noise

    def predict(self, state):
        return state

    def error(self, predicted):
        return jnp.full_like(predicted, 0.7)

    def admissible(self, state):
        return state


def record(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Irregular times, readings, and which are there."""
    rng = np.random.default_rng(seed)
    mask = np.ones((READINGS, 1), dtype=bool)
    mask[4] = mask[9] = False
    return np.cumsum(rng.uniform(0.2, 0.8, READINGS)), rng.normal(size=(READINGS, 1)), mask


def prior_members(count: int, seed: int = 1) -> jax.Array:
    """Draws whose mean and covariance are exactly those of the prior."""
    drawn = np.random.default_rng(seed).normal(size=(count, 2))
    drawn -= drawn.mean(0)
    drawn = drawn @ np.linalg.inv(np.linalg.cholesky(np.cov(drawn.T))).T
    return jnp.asarray(PRIOR_MEAN + drawn @ np.linalg.cholesky(PRIOR_COVARIANCE).T)


def filter_program(method, model, look, data=None):
    """``run(belief, seed)`` gives the last belief, and ``look(belief)`` and the innovation after each reading; compiled once."""
    times, values, mask = (jnp.asarray(part) for part in (record() if data is None else data))
    arrays, rest = eqx.partition((method, model), eqx.is_array)

    def step(belief, column):
        method, model = eqx.combine(arrays, rest)
        belief, innovation = method.update(model, belief, *column)
        return belief, (look(belief), innovation)

    program = quick_jit(lambda belief, keys: jax.lax.scan(step, belief, (times, values, mask, keys)))
    return lambda belief, seed=2: program(belief, jax.random.split(jax.random.key(seed), len(times)))


def filtered(method, model, belief, look, data=None):
    """One run of :func:`filter_program`."""
    return filter_program(method, model, look, data)(belief)


def exact() -> dict[str, np.ndarray]:
    """Kalman filter and Rauch-Tung-Striebel smoother of the oscillator, textbook formulas in NumPy."""
    times, values, mask = record()
    mean, covariance, now = PRIOR_MEAN, PRIOR_COVARIANCE, 0.0
    h, means, covariances, forecasts, evidence = np.array([[1.0, 0.0]]), [], [], [], 0.0
    for time, value, there in zip(times, values, mask, strict=True):
        length, now = time - now, time
        turn = np.array([[np.cos(length), np.sin(length)], [-np.sin(length), np.cos(length)]]) * np.exp(-0.1 * length)
        mean, covariance = turn @ mean, turn @ covariance @ turn.T + 0.09 * length * np.eye(2)
        forecasts.append((turn, mean, covariance))
        if there[0]:
            spread = (h @ covariance @ h.T)[0, 0] + 0.16
            gain, residual = covariance @ h.T / spread, value - h @ mean
            evidence -= 0.5 * (residual[0] ** 2 / spread + np.log(2 * np.pi * spread))
            mean, covariance = mean + gain @ residual, covariance - gain @ h @ covariance
        means.append(mean)
        covariances.append(covariance)
    smooth, spreads = [means[-1]], [covariances[-1]]
    for i in range(READINGS - 2, -1, -1):
        turn, forecast, predicted = forecasts[i + 1]
        gain = covariances[i] @ turn.T @ np.linalg.inv(predicted)
        smooth.insert(0, means[i] + gain @ (smooth[0] - forecast))
        spreads.insert(0, covariances[i] + gain @ (spreads[0] - predicted) @ gain.T)
    return {
        "mean": np.array(means), "covariance": np.array(covariances), "smooth": np.array(smooth), "evidence": np.array(evidence)
    }  # fmt: skip


def grid_filter(times, values) -> np.ndarray:
    """Means and deviations of the double well's filter on 601 points, prior N(0, 1)."""
    x = np.linspace(-3, 3, 601)
    density, now, found = np.exp(-0.5 * x**2), 0.0, []
    for time, value in zip(times, values[:, 0], strict=True):
        length, now = time - now, time
        centre = x + length * 4 * x * (1 - x**2)
        kernel = np.exp(-0.5 * ((x[:, None] - centre[None]) / (0.7 * np.sqrt(length))) ** 2)
        density = kernel @ density * np.exp(-0.5 * ((value - x) / 0.7) ** 2)
        density /= density.sum()
        mean = density @ x
        found.append((mean, np.sqrt(density @ (x - mean) ** 2)))
    return np.array(found)
