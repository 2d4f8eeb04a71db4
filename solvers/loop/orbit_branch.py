"""A family of periodic orbits over one parameter, from the Hopf point where it begins round its folds, by pseudo-arclength."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float
from scipy.optimize import brentq

from solvers.loop.periodic_orbit import monodromy, over_period
from solvers.shapes import Scalar

Point = Float[Array, " size"]
Rates = Callable[[Scalar, Point], Point]
ITERATIONS = 8
TOLERANCE = 1e-10
EASY, HARD = 3, 5  # Newton steps after which the next stretch is longer, or shorter
SMALLEST = 1e-3  # stretch over the first one, at which the search ends


class OrbitBranch(NamedTuple):
    """What :func:`orbit_branch` found, in the order along the family.

    Attributes:
        parameter: Of each orbit.
        period: Of each.
        states: Over a period, the last is the first again.
        multipliers: Floquet's, the largest first; one of them is one.
        folds: Parameters at which two orbits meet and vanish; NaN where Newton's method failed near one.
        ended: Why the family ends: `period`, `parameter`, `amplitude`, `orbits` (the limits that were given) or `step` (no convergence).
    """

    parameter: Float[np.ndarray, " orbits"]
    period: Float[np.ndarray, " orbits"]
    states: Float[np.ndarray, "orbits times size"]
    multipliers: Complex[np.ndarray, "orbits size"]
    folds: Float[np.ndarray, " folds"]
    ended: str


def orbit_branch(
    rates: Rates,
    parameter: float,
    fixed_point: np.ndarray,
    scales: np.ndarray,
    span: tuple[float, float],
    longest: float,
    steps: int,
    stretch: float = 0.1,
    orbits: int = 300,
) -> OrbitBranch:
    r"""Orbits $(s, T, \lambda)$ with $s(T)=s(0)$ of $\dot s = F(\lambda,s)$, each one stretch along the tangent of the last and then
    corrected by Newton's method in the plane normal to it, lengths over the scales.

    Args:
        rates: $F(\lambda, s)$.
        parameter: $\lambda$ of the Hopf point.
        fixed_point: Its state.
        scales: Of the state's components; $T$ is scaled by the first period, $\lambda$ by a tenth of the span.
        span: Of $\lambda$, beyond which the search ends.
        longest: Period at which it ends.
        steps: Of a period, see :func:`solvers.periodic_orbit`.
        stretch: The first; it grows up to eight times where Newton's method is quick, and shrinks where it is slow.
        orbits: Most.

    A fold of the family is where the tangent has no part along $\lambda$; found by Brent's method along the stretch.
    Fails where an orbit repels by many decades in a period (one shot amplifies rounding), or comes to a homoclinic orbit faster than
    `longest`; `ended` says so. Host loop, not differentiable: take :func:`solvers.periodic_orbit` at one parameter for that.
    Source: Keller (1977), *Applications of Bifurcation Theory*, 359; Doedel, Keller, Kernévez (1991), *Int J Bifurcation Chaos* 1, 745.

    Raises:
        ValueError: No pair of imaginary eigenvalues at the given point.
    """
    matrix = np.asarray(jax.jacfwd(rates, argnums=1)(jnp.asarray(parameter), jnp.asarray(fixed_point)))
    values, vectors = (np.asarray(one, complex) for one in np.linalg.eig(matrix))
    pair = int(np.argmin(np.where(np.imag(values) > 0, np.abs(np.real(values)), np.inf)))
    if not (values[pair].imag > 0 and abs(values[pair].real) < 1e-3 * values[pair].imag):
        got = f"eigenvalues {', '.join(f'{value:.4g}' for value in values)}"
        raise ValueError(f"got {got}; expected an imaginary pair; do: give the Hopf point more precisely")
    period = 2 * np.pi / values[pair].imag
    full = np.concatenate([scales, [period, 0.1 * (span[1] - span[0])]])
    along, across = np.real(vectors[:, pair]) / scales, -np.imag(vectors[:, pair]) / scales
    problem = _Problem(rates, jnp.asarray(full), steps)
    across = across / np.linalg.norm(across)
    along = along - across * (across @ along)
    tangent = np.concatenate([along / np.linalg.norm(along), [0.0, 0.0]])
    here, ahead = np.concatenate([fixed_point, [period, parameter]]) / full, across  # everything below is over the scales
    found, folds, ended, size, grown = [], [], "orbits", stretch, 0.0
    while len(found) < orbits:
        corrected = problem.corrected(here, ahead, tangent, size)
        if corrected is None:
            size /= 2
            if size < SMALLEST * stretch:
                ended = "step"
                break
            continue
        point, taken, new = corrected
        path, carried, speeds = problem.path(point, new)
        amplitude = float(np.ptp(path, axis=0).max())
        if found:
            # Straight on through a Hopf point are the same orbits again, half a period later: on the other side of their middle.
            passed = (here[:-2] - found[-1][2][:-1].mean(axis=0) / scales) @ (point[:-2] - path[:-1].mean(axis=0)) < 0
            if passed or (np.linalg.norm(path - path[0], axis=1).max() < 0.75 * stretch and amplitude < grown):
                ended = "amplitude"
                break
            if new[-1] * tangent[-1] < 0:
                folds.append(problem.fold(here, ahead, tangent, size) * full[-1])
        grown = amplitude
        found.append((point[-1] * full[-1], point[-2] * full[-2], path * scales, problem.multipliers(point)))
        if not found[-1][1] < longest or not span[0] <= found[-1][0] <= span[1]:
            ended = "period" if not found[-1][1] < longest else "parameter"
            break
        # The next is anchored where this one is fastest: at a slow point of the orbit the phase would be loose.
        place = int(np.argmax(np.linalg.norm(speeds[:-1], axis=1)))
        ahead = speeds[place] / np.linalg.norm(speeds[place])
        moved = carried[place] - ahead * (ahead @ carried[place])
        here, tangent = np.concatenate([path[place], point[-2:]]), np.concatenate([moved, new[-2:]])
        tangent = tangent / np.linalg.norm(tangent)
        tangent = problem.tangent(here, ahead, tangent)
        size = min(1.3 * size, 8 * stretch) if taken <= EASY else size / 1.5 if taken > HARD else size
    parameters, periods, states, multipliers = [np.asarray(column) for column in zip(*found, strict=True)] or [np.zeros(0)] * 4
    return OrbitBranch(parameters, periods, states, multipliers, np.asarray(folds), ended)


class _Problem:
    """The equations over the scales, compiled once."""

    def __init__(self, rates: Rates, full: Float[Array, " size_and_two"], steps: int) -> None:
        size, scales = full.size - 2, full[:-2]

        def travel(u: Array) -> Array:
            return over_period(rates, u[-1] * full[-1], u[:-2] * scales, u[-2] * full[-2], steps) / scales[None]

        def residual(u: Array, anchor: Array, ahead: Array) -> Array:
            return jnp.append(u[:size] - travel(u)[-1], ahead @ (u[:size] - anchor))

        def path(u: Array, tangent: Array) -> tuple[Array, Array, Array]:
            states, carried = jax.jvp(travel, (u,), (tangent,))
            speeds = jax.vmap(lambda s: rates(u[-1] * full[-1], s * scales) * full[-2] / scales)(states)
            return states, carried, speeds

        def wanted(u: Array, anchor: Array, ahead: Array) -> tuple[Array, Array]:
            return residual(u, anchor, ahead), jax.jacfwd(residual)(u, anchor, ahead)

        self._both, self._path = jax.jit(wanted), jax.jit(path)

        def floquet(u: Array) -> Array:
            return monodromy(rates, u[-1] * full[-1], u[:size] * scales, u[-2] * full[-2], steps)

        self._floquet = jax.jit(floquet)

    def corrected(self, here: np.ndarray, ahead: np.ndarray, tangent: np.ndarray, size: float) -> tuple[np.ndarray, int, np.ndarray] | None:
        """The orbit one stretch on, Newton steps taken and the tangent there; None without convergence."""
        u = here + size * tangent
        for taken in range(1, ITERATIONS + 1):
            value, matrix = (np.asarray(one) for one in self._both(u, here[:-2], ahead))
            square = np.vstack([matrix, tangent])
            if not (np.isfinite(value).all() and np.isfinite(square).all()):
                return None
            move = np.linalg.solve(square, np.append(value, tangent @ (u - here) - size))
            u = u - move
            if np.abs(move).max() < TOLERANCE:
                return u, taken, self._null(matrix, tangent)
            if np.abs(move).max() > 10:
                return None
        return None

    def tangent(self, here: np.ndarray, ahead: np.ndarray, like: np.ndarray) -> np.ndarray:
        """Along the family at an orbit, on the side of another vector."""
        return self._null(np.asarray(self._both(here, here[:-2], ahead)[1]), like)

    def _null(self, matrix: np.ndarray, like: np.ndarray) -> np.ndarray:
        """The last right singular vector."""
        vector = np.linalg.svd(matrix)[2][-1]
        return vector if vector @ like > 0 else -vector

    def fold(self, here: np.ndarray, ahead: np.ndarray, tangent: np.ndarray, size: float) -> float:
        """Parameter at which the tangent turns, over its scale, within a stretch that holds such a point."""

        def along(part: float) -> float:
            if part == 0:
                return tangent[-1]
            corrected = self.corrected(here, ahead, tangent, part)
            return float("nan") if corrected is None else corrected[2][-1]

        try:
            part = float(brentq(along, 0.0, size, xtol=1e-9))
        except ValueError:  # no convergence within the stretch
            return float("nan")
        corrected = self.corrected(here, ahead, tangent, part)
        return float("nan") if corrected is None else float(corrected[0][-1])

    def path(self, u: np.ndarray, tangent: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """States over the period, their change along a tangent, and their rates per period."""
        states, carried, speeds = self._path(u, tangent)
        return np.asarray(states), np.asarray(carried), np.asarray(speeds)

    def multipliers(self, u: np.ndarray) -> np.ndarray:
        """Floquet's, the largest first."""
        values = np.linalg.eigvals(np.asarray(self._floquet(u))).astype(complex)
        return values[np.argsort(-np.abs(values))]
