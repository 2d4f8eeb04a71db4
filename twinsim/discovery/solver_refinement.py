"""A sparse law refitted inside the solver, and terms dropped that the courses themselves cannot tell from zero."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.optimize import least_squares

from twinsim.discovery.in_solver import Windows, cut, rollout
from twinsim.discovery.sparse_regression import SparseRegression
from twinsim.discovery.weak_form import Course
from twinsim.errors import InputError


class Refinement(NamedTuple):
    """What the fit in the solver left.

    Attributes:
        closure: The law.
        errors: Standard errors of its coefficients, NaN where dropped.
        misfit: Root mean square of residuals over noise; near 1 where the law explains the courses.
        dropped: Names of terms in the order in which they went.
    """

    closure: SparseRegression
    errors: Float[np.ndarray, "outputs terms"]
    misfit: float
    dropped: tuple[str, ...]


def refine(
    closure: SparseRegression, courses: list[Course], threshold: float = 3.0, horizon: int = 20, substeps: int = 4, evaluations: int = 60
) -> Refinement:
    r"""$\min\sum((x(t_k;\xi,h,x_0)-x_k)/\sigma)^2$ by Levenberg, Marquardt and trust regions, the weakest term dropped while it is within
    ``threshold`` standard errors of zero; coefficients, half-saturations of active terms and starts of all windows are unknown.

    The regression that comes first is biased by noise in its columns and by the spline between samples; this fit is not, and its standard
    errors count every sample once. The Jacobian is exact (forward mode through the solver).

    Args:
        closure: From :func:`twinsim.discovery.sparse_regression.identify`; every output the rate of the input of its place.
        courses: Observed.
        threshold: In standard errors; 3 to 5.
        horizon: Intervals per window; shorter ones are more robust, longer ones know more.
        substeps: Runge-Kutta steps per interval.
        evaluations: Most evaluations of the courses per fit.

    Fails where the first law explodes within a window (the course is held and tells nothing), or a needed term is not in it: none is added.

    Raises:
        InputError: The law has another number of outputs than inputs, or no term at all.
    """
    if len(closure.inputs) != len(closure.outputs) or not np.any(closure.active):
        got = f"{len(closure.inputs)} inputs, {len(closure.outputs)} outputs, {int(np.sum(closure.active))} terms"
        raise InputError(got, "a rate for every variable, and at least one term", "identify all rates first")
    windows, starts = cut(courses, horizon)
    names, dropped = closure.library.names, []
    while True:
        coefficients, half, starts, errors, misfit = _fit(closure, windows, starts, substeps, evaluations)
        closure = eqx.tree_at(lambda one: (one.coefficients, one.library.half), closure, (jnp.asarray(coefficients), jnp.asarray(half)))
        sure = np.where(np.asarray(closure.active), np.abs(coefficients) / errors, np.inf)
        if not sure.min() < threshold or np.sum(closure.active) == 1:
            return Refinement(closure, np.where(np.asarray(closure.active), errors, np.nan), misfit, tuple(dropped))
        row, column = np.unravel_index(int(np.argmin(sure)), sure.shape)
        dropped.append(f"{names[column]} in {closure.outputs[row].name}")
        active = np.array(closure.active)
        active[row, column] = False
        closure = SparseRegression(
            closure.coefficients.at[row, column].set(0.0), closure.library, closure.inputs, closure.outputs,
            tuple(tuple(bool(one) for one in line) for line in active),
        )  # fmt: skip


def _fit(
    closure: SparseRegression, windows: Windows, starts: np.ndarray, substeps: int, evaluations: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, float]:
    active = np.array(closure.active)
    first = np.asarray(closure.coefficients)
    monomials = len(closure.library.exponents)
    moving = active[:, monomials:].any(axis=0)  # half-saturations that something depends on
    half = np.asarray(closure.library.half)
    row, column = np.nonzero(active)
    scale = np.maximum(np.abs(first[row, column]), 1e-8)
    spread = np.abs(starts).max(axis=1, keepdims=True) * np.ones_like(starts)
    places = np.concatenate([scale, np.ones(int(moving.sum())), spread.ravel()])
    guess = np.concatenate([first[row, column], np.log(half[moving]), starts.ravel()]) / places

    def residuals(unknown: Array) -> Array:
        free = unknown * jnp.asarray(places)
        count = len(row)
        coefficients = jnp.zeros_like(closure.coefficients).at[row, column].set(free[:count])
        moved = jnp.asarray(half).at[np.flatnonzero(moving)].set(jnp.exp(free[count : count + int(moving.sum())]))
        law = eqx.tree_at(lambda one: (one.coefficients, one.library.half), closure, (coefficients, moved))
        course = rollout(law, free[count + int(moving.sum()) :].reshape(starts.shape), windows.spans, windows.limit, substeps)
        return ((course - windows.values) * windows.weights).ravel()

    value, slope = jax.jit(residuals), jax.jit(jax.jacfwd(residuals))
    found = least_squares(
        lambda x: np.asarray(value(jnp.asarray(x))), guess, lambda x: np.asarray(slope(jnp.asarray(x))), max_nfev=evaluations, x_scale="jac"
    )
    free, count = found.x * places, len(row)
    known = int((np.asarray(windows.weights) > 0).sum())
    variance = 2 * found.cost / max(known - len(guess), 1)
    covariance = np.linalg.pinv(found.jac.T @ found.jac) * variance
    coefficients, errors = np.zeros_like(first), np.full(first.shape, np.nan)
    coefficients[row, column] = free[:count]
    errors[row, column] = np.sqrt(np.maximum(np.diag(covariance)[:count], 1e-30)) * places[:count]
    half = half.copy()
    half[moving] = np.exp(free[count : count + int(moving.sum())])
    return coefficients, half, free[count + int(moving.sum()) :].reshape(starts.shape), errors, float(np.sqrt(2 * found.cost / known))
