"""Damped Gauss-Newton for a posterior in standard-normal coordinates."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

ENOUGH = 0.2
Evaluate = Callable[[np.ndarray], tuple[float, np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Optimum:
    """Where the search ended.

    Attributes:
        z: The coordinates.
        value: Negative log-posterior there.
        curvature: Gauss-Newton curvature of it, prior included; its inverse is the Laplace covariance.
        gradient_norm: Norm of its gradient in the metric of the curvature: distance to the optimum in posterior standard deviations.
        iterations: Accepted steps.
        converged: Whether the end is within a fifth of a posterior standard deviation of the optimum; float32 seldom allows much less.
    """

    z: np.ndarray
    value: float
    curvature: np.ndarray
    gradient_norm: float
    iterations: int
    converged: bool


def of_residuals(residual: np.ndarray, jacobian: np.ndarray, z: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    r"""Value, gradient and Gauss-Newton curvature of $\tfrac12|r(z)|^2 + \tfrac12|z|^2$, for :func:`minimise`.

    Args:
        residual: $r$, over its noise.
        jacobian: $\partial r/\partial z$, coordinates first.
        z: Standard-normal coordinates.
    """
    return 0.5 * float(residual @ residual + z @ z), jacobian @ residual + z, jacobian @ jacobian.T + np.eye(len(z))


def minimise(evaluate: Evaluate, start: np.ndarray, iterations: int = 30, tolerance: float = 0.03) -> Optimum:
    r"""Levenberg-Marquardt: $(H + \mu\,\mathrm{diag} H)\,p = -g$, $\mu$ divided by 5 on success and multiplied by 4 on failure.

    Args:
        evaluate: Value, gradient and Gauss-Newton curvature at a point; a value that is not finite counts as failure.
        start: First point.
        iterations: Most evaluations.
        tolerance: Stop when $\sqrt{g^T H^{-1} g}$ is below this many posterior standard deviations.

    A step is cut to length 2 in standard-normal coordinates, so that a far start cannot jump out of the prior.
    Source: Nocedal and Wright (2006), *Numerical Optimization*, section 10.3.
    """
    point = np.asarray(start, dtype=float)
    value, gradient, curvature = evaluate(point)
    if not np.isfinite(value):
        return Optimum(point, np.inf, np.eye(point.size), np.inf, 0, False)
    damping, accepted = 1e-2, 0
    for _ in range(iterations):
        distance = float(np.sqrt(max(gradient @ np.linalg.solve(curvature, gradient), 0.0)))
        if distance < tolerance or damping > 1e6:
            break
        step = -np.linalg.solve(curvature + damping * np.diag(np.diag(curvature)), gradient)
        step *= min(1.0, 2.0 / np.linalg.norm(step))
        trial = evaluate(point + step)
        if np.isfinite(trial[0]) and trial[0] < value:
            point, (value, gradient, curvature) = point + step, trial
            damping, accepted = max(damping / 5, 1e-9), accepted + 1
        else:
            damping *= 4
    distance = float(np.sqrt(max(gradient @ np.linalg.solve(curvature, gradient), 0.0)))
    return Optimum(point, value, curvature, distance, accepted, distance < max(tolerance, ENOUGH))
