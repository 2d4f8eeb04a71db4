"""What a learned slow current has to beat: a cell of two variables fitted to the same beats, and a published one of four."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from experiments.cardiac._ionic_search import levenberg_marquardt
from experiments.cardiac._ionic_training import InSolver
from physics import BuenoOrovio2008, CellModel, MitchellSchaeffer

FITTED = ("inward_constant", "outward_constant", "opening_constant", "closing_constant", "gate_voltage")
WITH_BLOCK = ("outward_constant", "opening_constant", "closing_constant")


def two_variables(point: Array, shares: Array) -> MitchellSchaeffer:
    """Mitchell and Schaeffer's cell from -85.4 to 36 mV; constants are powers of the open shares ``(..., 2)``."""
    logs, count = jnp.log(shares), len(FITTED)
    values = {name: jnp.exp(point[i]) * jnp.ones(shares.shape[:-1]) for i, name in enumerate(FITTED)}
    for i, name in enumerate(WITH_BLOCK):
        powers = point[count + 2 * i : count + 2 * i + 2]
        values[name] = values[name] * jnp.exp(logs @ powers)
    return MitchellSchaeffer(**values, resting_mv=jnp.asarray(-85.4), amplitude_mv=jnp.asarray(121.0))


def fitted_two_variables(problem: InSolver, iterations: int) -> tuple[np.ndarray, float]:
    """The point of :func:`two_variables` whose durations are nearest to the recorded ones, and the rms of what is left, ms."""
    start = np.concatenate([np.log([0.3, 6.0, 120.0, 150.0, 0.13]), np.zeros(2 * len(WITH_BLOCK))])

    def late(point: Array) -> tuple[Array, Array]:
        seen = problem.runs(lambda shares: two_variables(point, shares))[..., 0] * 121.0 - 85.4
        errors = jnp.nan_to_num(problem.of_beats(seen)[1])
        return errors.reshape(-1) * (1 + (errors.reshape(-1) / 30) ** 2) ** -0.25, errors

    @jax.jit
    def with_jacobian(point: Array) -> tuple[Array, Array]:
        push = jax.vmap(lambda tangent: jax.jvp(lambda p: late(p)[0], (point,), (tangent,)), out_axes=(None, 0))
        found, jacobian = push(jnp.eye(point.size))
        return found, jacobian.T

    def evaluate(point: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        found, jacobian = with_jacobian(jnp.asarray(point))
        return np.asarray(found), np.asarray(jacobian)

    point, _ = levenberg_marquardt(evaluate, start, np.full(start.size, 1.0), iterations)
    return point, float(np.sqrt(np.mean(np.asarray(late(jnp.asarray(point))[1]) ** 2)))


def published_four_variables() -> CellModel:
    """Bueno-Orovio, Cherry and Fenton's cell with the values that its authors fitted to ten Tusscher's cell of 2004; knows no drug."""
    return BuenoOrovio2008.published("tnnp")
