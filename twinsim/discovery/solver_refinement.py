"""A sparse law refitted inside the solver: terms leave that the courses cannot tell from zero, terms enter that the residuals ask for."""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float
from scipy.optimize import least_squares

from twinsim.closures.courses import rollout
from twinsim.discovery.in_solver import Windows, cut
from twinsim.discovery.sparse_regression import SparseRegression
from twinsim.discovery.weak_form import Course
from twinsim.errors import InputError


class Refinement(NamedTuple):
    """What the fit in the solver left.

    Attributes:
        closure: The law.
        errors: Standard errors of its coefficients, NaN where not in the law.
        misfit: Root mean square of residuals over noise; near 1 where the law explains the courses.
        criterion: Bayesian information criterion; smaller is better.
        moves: Which terms went and came, in order.
    """

    closure: SparseRegression
    errors: Float[np.ndarray, "outputs terms"]
    misfit: float
    criterion: float
    moves: tuple[str, ...]


def refine(
    closure: SparseRegression,
    courses: list[Course],
    threshold: float = 3.0,
    horizon: int = 20,
    substeps: int = 4,
    evaluations: int = 40,
    additions: int = 3,
) -> Refinement:
    r"""$\min\sum((x(t_k;\xi,h,x_0)-x_k)/\sigma)^2$ with few $\xi$, by turns of dropping and adding single terms.

    1. Fit coefficients, half-saturations of terms that are in, and starts of all windows, by a trust region with the exact Jacobian
       (forward mode through the solver). Drop the weakest term while it is within ``threshold`` standard errors of zero; fit again.
    2. Of the terms that are out, take the one whose derivative, as far as no term inside can imitate it, explains most of the residuals (a
       score test). Where it is beyond ``threshold`` and a new fit has the smaller information criterion, it stays; else this is the end.

    The regression that comes before is biased by noise in its columns and by the spline between samples; this fit is not, and its standard
    errors count every sample once.

    Args:
        closure: From :func:`twinsim.discovery.sparse_regression.identify`; every output the rate of the input of its place.
        courses: Observed.
        threshold: In standard errors; 3 to 5.
        horizon: Intervals per window; shorter ones are more robust, longer ones know more.
        substeps: Runge-Kutta steps per interval.
        evaluations: Most evaluations of the courses per fit.
        additions: Most terms that are tried in step 2.

    Fails where the first law explodes within a window (the course is held there and tells nothing), and where two terms look alike over all
    that was observed: which one is in is then luck.

    Raises:
        InputError: The law has another number of outputs than inputs, or no term at all.
    """
    if len(closure.inputs) != len(closure.outputs) or not np.any(closure.active):
        got = f"{len(closure.inputs)} inputs, {len(closure.outputs)} outputs, {int(np.sum(closure.active))} terms"
        raise InputError(got, "a rate for every variable, and at least one term", "identify all rates first")
    windows, starts = cut(courses, horizon)
    problem = _Problem(closure, windows, substeps, evaluations)
    first = _State(np.asarray(closure.coefficients), np.asarray(closure.library.half), starts, np.array(closure.active))
    moves: list[str] = []
    best = problem.pruned(first, threshold, moves)
    for _ in range(additions):
        place, sure = problem.wanted(best)
        if not sure > threshold:
            break
        active = best.active.copy()
        active[place] = True
        tried: list[str] = [f"+ {problem.words(place)}"]
        trial = problem.pruned(best._replace(active=active), threshold, tried)
        if not trial.criterion < best.criterion:
            break
        best, moves = trial, moves + tried
    found = eqx.tree_at(
        lambda one: (one.coefficients, one.library.half), closure, (jnp.asarray(best.coefficients), jnp.asarray(best.half))
    )  # fmt: skip
    active = tuple(tuple(bool(one) for one in line) for line in best.active)
    law = SparseRegression(
        coefficients=found.coefficients, library=found.library, inputs=closure.inputs, outputs=closure.outputs, active=active
    )
    return Refinement(law, np.where(best.active, best.errors, np.nan), best.misfit, best.criterion, tuple(moves))


class _State(NamedTuple):
    coefficients: Float[np.ndarray, "outputs terms"]
    half: Float[np.ndarray, " saturating"]
    starts: Float[np.ndarray, "variables windows"]
    active: Bool[np.ndarray, "outputs terms"]
    errors: Float[np.ndarray, "outputs terms"] = np.zeros((0, 0))
    misfit: float = np.inf
    criterion: float = np.inf
    jacobian: np.ndarray = np.zeros((0, 0))


class _Problem:
    """Residuals of all courses, with all unknowns in one vector: coefficients of every term, logarithms of half-saturations, starts."""

    def __init__(self, closure: SparseRegression, windows: Windows, substeps: int, evaluations: int) -> None:
        self.closure, self.windows, self.evaluations = closure, windows, evaluations
        self.shape, self.monomials = closure.coefficients.shape, len(closure.library.exponents)
        count = closure.coefficients.size

        # Data are arguments, not constants, so that a program compiled for one draw serves the next.
        def residuals(unknown: Array, windows: Windows) -> Array:
            coefficients, rest = unknown[:count].reshape(self.shape), unknown[count:]
            half, starts = jnp.exp(rest[: len(closure.library.pairs)]), rest[len(closure.library.pairs) :]
            law = eqx.tree_at(lambda one: (one.coefficients, one.library.half), closure, (coefficients, half))
            start = starts.reshape(len(closure.inputs), windows.spans.shape[1])
            course = rollout(law, start, windows.spans, windows.limit, substeps)
            return ((course - windows.values) * windows.weights).ravel()

        value, slope = jax.jit(residuals), jax.jit(jax.jacfwd(residuals))
        self.value: Callable[[Array], Array] = lambda unknown: value(unknown, windows)
        self.slope: Callable[[Array], Array] = lambda unknown: slope(unknown, windows)
        self.known = int((np.asarray(windows.weights) > 0).sum())

    def words(self, place: tuple[int, int]) -> str:
        """Of a term."""
        return f"{self.closure.library.names[place[1]]} in {self.closure.outputs[place[0]].name}"

    def fitted(self, state: _State) -> _State:
        """Coefficients in the law, half-saturations that matter and starts that fit best."""
        whole = np.concatenate([np.where(state.active, state.coefficients, 0.0).ravel(), np.log(state.half), state.starts.ravel()])
        moving = state.active[:, self.monomials :].any(axis=0)
        free = np.flatnonzero(np.concatenate([state.active.ravel(), moving, np.ones(state.starts.size, bool)]))

        def placed(some: np.ndarray) -> Array:
            full = whole.copy()
            full[free] = some
            return jnp.asarray(full)

        found = least_squares(
            lambda some: np.asarray(self.value(placed(some))), whole[free], lambda some: np.asarray(self.slope(placed(some)))[:, free],
            x_scale="jac", max_nfev=self.evaluations,
        )  # fmt: skip
        full, terms = np.asarray(placed(found.x)), state.active.size
        variance = 2 * found.cost / max(self.known - len(free), 1)
        spread = np.full(len(full), np.nan)
        spread[free] = np.sqrt(np.maximum(np.diag(np.linalg.pinv(found.jac.T @ found.jac)) * variance, 1e-30))
        misfit = float(np.sqrt(2 * found.cost / self.known))
        criterion = self.known * np.log(misfit**2) + len(free) * np.log(self.known)
        halves = len(state.half)
        return _State(
            full[:terms].reshape(self.shape), np.exp(full[terms : terms + halves]), full[terms + halves :].reshape(state.starts.shape),
            state.active, spread[:terms].reshape(self.shape), misfit, float(criterion), np.asarray(self.slope(jnp.asarray(full))),
        )  # fmt: skip

    def pruned(self, state: _State, threshold: float, moves: list[str]) -> _State:
        """Fitted, with weak terms dropped one by one."""
        while True:
            state = self.fitted(state)
            sure = np.where(state.active, np.abs(state.coefficients) / np.where(state.active, state.errors, 1.0), np.inf)
            if not sure.min() < threshold or state.active.sum() == 1:
                return state
            place = np.unravel_index(int(np.argmin(sure)), sure.shape)
            moves.append(f"- {self.words((int(place[0]), int(place[1])))}")
            active = state.active.copy()
            active[place] = False
            state = state._replace(active=active)

    def wanted(self, state: _State) -> tuple[tuple[int, int], float]:
        """The term outside that would explain most, and how sure that is, in standard errors."""
        terms, moving = state.active.size, state.active[:, self.monomials :].any(axis=0)
        inside = np.flatnonzero(np.concatenate([state.active.ravel(), moving, np.ones(state.starts.size, bool)]))
        full = np.concatenate([state.coefficients.ravel(), np.log(state.half), state.starts.ravel()])
        left = np.asarray(self.value(jnp.asarray(full)))
        basis, _ = np.linalg.qr(state.jacobian[:, inside])
        columns = state.jacobian[:, :terms] - basis @ (basis.T @ state.jacobian[:, :terms])
        size = np.linalg.norm(columns, axis=0)
        alike = size < 1e-6 * np.linalg.norm(state.jacobian[:, :terms], axis=0)
        score = np.abs(columns.T @ left) / np.maximum(size, np.finfo(float).tiny) / state.misfit
        score[alike | state.active.ravel()] = 0.0
        place = np.unravel_index(int(np.argmax(score)), self.shape)
        return (int(place[0]), int(place[1])), float(score.max())
