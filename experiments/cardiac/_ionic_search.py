"""Least squares where a residual is a whole run: damped Gauss-Newton steps that ask for few Jacobians."""

from collections.abc import Callable

import numpy as np


def levenberg_marquardt(
    evaluate: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]],
    start: np.ndarray,
    prior: np.ndarray,
    iterations: int,
    only: Callable[[np.ndarray], np.ndarray] | None = None,
) -> tuple[np.ndarray, list[float]]:
    """Minimises $|r(p)|^2 + |s(p - p_0)|^2$; a trial that is not finite or not better raises the damping and costs an iteration.

    Args:
        evaluate: $r$ and its Jacobian.
        start: $p_0$.
        prior: $s$, one over how far each parameter may go before it costs one.
        iterations: Most trials.
        only: $r$ alone, where that is much cheaper.

    Returns:
        The point, and the best cost after every trial, that of the start first.

    The damping follows the gain, what a step brought over what its model promised. Source: Nielsen (1999), Damping parameter in
    Marquardt's method, IMM-REP-1999-05, Technical University of Denmark.
    """
    point, damping, raised = start.copy(), 1e-2, 2.0
    value, jacobian = evaluate(point)
    cost = float(value @ value)
    costs = [cost]
    for number in range(iterations):
        hessian = jacobian.T @ jacobian + np.diag(prior**2)
        gradient = jacobian.T @ value + prior**2 * (point - start)
        scale = np.diag(hessian) + 1e-6 * np.diag(hessian).max()
        move = -np.linalg.solve(hessian + damping * np.diag(scale), gradient)
        moved = point + move
        tried = (only(moved), None) if only is not None else evaluate(moved)
        new = float(tried[0] @ tried[0] + np.sum((prior * (moved - start)) ** 2))
        if np.isfinite(new) and new < cost:
            promised = -2 * move @ gradient - move @ hessian @ move
            gain = (cost - new) / promised
            damping, raised = max(damping * max(1 / 3, 1 - (2 * gain - 1) ** 3), 1e-7), 2.0
            point, value, cost = moved, tried[0], new
            if tried[1] is not None:
                jacobian = tried[1]
            elif number < iterations - 1:
                value, jacobian = evaluate(point)
        else:
            damping, raised = damping * raised, 2 * raised
        costs.append(cost)
        if damping > 1e6:
            break
    return point, costs
