"""Two ways back through the project's solver: a Gaussian process whose length and spread are learned along, and Tikhonov's method."""

from functools import lru_cache, partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from experiments.learning._tracer import (
    DIFFUSIVITY,
    LENGTH_MM,
    SIZE_MM,
    SPREAD,
    STEP_MIN,
    Data,
    deviations,
    grid,
    middles,
    places,
    simulated,
    waves,
)

REFINED = 3  # of the solver that samples are compared with; on voxels of 0.4 mm outlines alone make errors of half of the noise
LENGTHS_MM = tuple(np.geomspace(1.5, 6.0, 9))  # equally likely beforehand
SPREADS = tuple(np.geomspace(0.15, 1.2, 9))
SETTLED = 1e-3  # change of log D anywhere, after which an iteration ends
LONGEST = 1.0  # change of log D anywhere in one iteration
STRENGTHS = tuple(2.0 ** np.arange(4.5, -1.6, -0.5))  # of Tikhonov's regularisation
SQUARES_MM = 0.8
BOUND = 1e-3  # pull of Tikhonov's nodes to the middle diffusivity, for those that no sample sees


class Inversion(NamedTuple):
    """What was found through the solver.

    Attributes:
        diffusivity: Of the active voxels, mm²/min.
        deviation: Posterior standard deviation of its logarithm there; None for Tikhonov, which has none.
        misfit: Mean square of the residuals over their error.
        known: Length (mm) and spread of the process, geometric means a posteriori; the strength for Tikhonov.
        moved: Change of log D anywhere in the last iteration.
        coefficients: Amplitudes of the modes, or the values of the nodes.
    """

    diffusivity: np.ndarray
    deviation: np.ndarray | None
    misfit: float
    known: tuple[float, ...]
    moved: float
    coefficients: np.ndarray


class Solver:
    r"""Residuals by fine voxels, slopes by coarse ones, for $\log D=\log D_0+Ba$ with $B$ on both grids.

    What differs between both grids is an offset that hardly depends on the map, so that its slope may be left out and its value must not.
    """

    def __init__(self, data: Data, coarse: np.ndarray, fine: np.ndarray, refined: int = REFINED) -> None:
        self.data, self.coarse, self.fine, self.refined = data, jnp.asarray(coarse), jnp.asarray(fine), refined

    def residuals(self, a: np.ndarray) -> np.ndarray:
        """$(u-d)/\\sigma$ by the fine voxels."""
        states = _states(self.fine, jnp.asarray(a), self.refined)
        return (middles(np.asarray(states), self.refined)[:, self.data.sites] - self.data.samples).ravel() / self.data.sigma

    def slopes(self, a: np.ndarray) -> np.ndarray:
        """Their Jacobian, ``(samples, coefficients)``, by the coarse voxels."""
        columns = np.asarray(_columns(self.coarse, jnp.asarray(a)))[:, :, self.data.sites]
        return columns.reshape(len(columns), -1).T / self.data.sigma


@partial(jax.jit, static_argnums=2)
def _states(basis: Float[Array, "cells coefficients"], a: Float[Array, " coefficients"], refined: int) -> Float[Array, "times cells"]:
    return simulated(basis @ a + np.log(DIFFUSIVITY), refined, STEP_MIN / 2 if refined > 1 else STEP_MIN)


@jax.jit
def _columns(basis: Float[Array, "cells coefficients"], a: Float[Array, " coefficients"]) -> Float[Array, "coefficients times cells"]:
    return jax.vmap(lambda way: jax.jvp(lambda at: simulated(basis @ at + np.log(DIFFUSIVITY)), (a,), (way,))[1])(jnp.eye(a.size))


def conditioned(precision: np.ndarray, pull: np.ndarray, spreads: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    r"""Mean, covariance and log evidence of $a\sim N(0,S)$, $S$ diagonal, under data with $A=J^TJ$ and $b=J^Ty$, errors of one.

    $C=(A+S^{-1})^{-1}$, $m=Cb$, $\log p(y)=-\tfrac12\log|I+S^{1/2}AS^{1/2}|+\tfrac12b^Tm$ and what does not depend on $S$.
    """
    inner = np.eye(len(pull)) + spreads[:, None] * precision * spreads
    covariance = spreads[:, None] * np.linalg.inv(inner) * spreads
    mean = covariance @ pull
    return mean, covariance, float(-0.5 * np.linalg.slogdet(inner)[1] + 0.5 * pull @ mean)


def gaussian_process(data: Data, learned: bool = True, refined: int = REFINED, iterations: int = 15) -> Inversion:
    r"""$\log D$ as a Gaussian process, trained through the solver; its length and spread are marginalised.

    Gauss and Newton: $u$ is linearised about $a$, then the posterior is a mixture of normal ones over all pairs of ``LENGTHS_MM`` and
    ``SPREADS``, weighted by their evidence (:func:`conditioned`); its mean is the next $a$. The deviation is that of the mixture.

    Args:
        data: Samples with their error.
        learned: False for the length and spread by which maps are drawn, which nobody has.
        refined: Of the voxels by which residuals are computed; 1 for those of the slopes, whose outlines bias the map.
        iterations: At most.

    Fails: errors so large that the posterior is far from normal; lengths below twice the shortest mode's. Source: Rasmussen and Williams
    (2006), section 5.4.1 and algorithm 2.1, in the basis of the modes; the linearisation is MacKay's (1992), Neural Comput. 4:415.
    """
    solver = Solver(data, waves(1), waves(refined), refined)
    active = waves(1)[np.asarray(grid().mask).ravel()]
    pairs = [(length, spread) for length in LENGTHS_MM for spread in SPREADS] if learned else [(LENGTH_MM, SPREAD)]
    a, moved = np.zeros(active.shape[1]), np.inf
    residual, chances, parts = solver.residuals(a), np.ones(1), []
    for _ in range(iterations):
        slopes = solver.slopes(a)
        precision, pull = slopes.T @ slopes, slopes.T @ (slopes @ a - residual)
        parts = [conditioned(precision, pull, deviations(*pair)) for pair in pairs]
        evidence = np.array([part[2] for part in parts])
        chances = np.exp(evidence - evidence.max())
        chances /= chances.sum()
        step = chances @ np.array([part[0] for part in parts]) - a
        moved = float(np.abs(active @ step).max())
        a = a + step * min(1.0, LONGEST / moved)
        residual = solver.residuals(a)
        if moved < SETTLED:
            break
    maps = np.array([part[0] for part in parts]) @ active.T
    within = sum(c * np.einsum("ij,jk,ik->i", active, part[1], active) for c, part in zip(chances, parts, strict=True) if c > 1e-6)
    between = chances @ (maps - chances @ maps) ** 2
    found = np.exp(chances @ np.log(np.array(pairs)))
    return Inversion(DIFFUSIVITY * np.exp(active @ a), np.sqrt(within + between), float(np.mean(residual**2)), tuple(found), moved, a)


@lru_cache
def hats(refined: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Bilinear functions of nodes ``SQUARES_MM`` apart that reach tissue, ``(cells, nodes)``, and differences of neighbours."""
    counts = [round(size / SQUARES_MM) + 1 for size in SIZE_MM]

    def products(times: int) -> np.ndarray:
        x, y = np.asarray(places(times)).T
        along = [np.maximum(0, 1 - np.abs(p[:, None] / SQUARES_MM - np.arange(n))) for p, n in zip((x, y), counts, strict=True)]
        return (along[0][:, :, None] * along[1][:, None, :]).reshape(len(x), -1)

    used = np.zeros(counts[0] * counts[1], bool)
    for times in {1, REFINED}:
        used |= products(times)[np.asarray(grid(times).mask).ravel()].sum(axis=0) > 0
    number = np.where(used, np.cumsum(used) - 1, -1).reshape(counts)
    pairs = np.concatenate(
        [np.stack([np.take(number, range(k, n - 1 + k), axis=axis).ravel() for k in (0, 1)], axis=1) for axis, n in enumerate(counts)]
    )
    pairs = pairs[(pairs >= 0).all(axis=1)]
    matrix = np.zeros((len(pairs), int(used.sum())))
    matrix[np.arange(len(pairs)), pairs[:, 0]], matrix[np.arange(len(pairs)), pairs[:, 1]] = -1.0, 1.0
    return products(refined)[:, used], matrix


def tikhonov(data: Data, strengths: tuple[float, ...] = STRENGTHS, refined: int = REFINED) -> dict[str, Inversion]:
    r"""$\min\sum(u-d)^2/\sigma^2+\lambda^2|\nabla\log D|^2$ through the same solver, for $\lambda$ by two rules.

    $\log D$ is bilinear between nodes. From the strongest $\lambda$ down, each from the one before, until the misfit is below the noise's
    and generalised cross-validation has risen three times.

    Args:
        data: Samples with their error.
        strengths: $\lambda$, falling.
        refined: See :func:`gaussian_process`.

    Returns:
        ``discrepancy``: the largest $\lambda$ whose misfit is the noise's (Morozov 1966), or the least misfit where there is none;
        ``validation``: that of the least $V=\overline{r^2}/(1-\mathrm{tr}H/n)^2$ (Golub, Heath and Wahba 1979); and the whole path as
        ``path-0``, ``path-1``, ...
    """
    (coarse, pairs), (fine, _) = hats(1), hats(refined)
    solver, active = Solver(data, coarse, fine, refined), coarse[np.asarray(grid().mask).ravel()]
    path, scores = [], []
    m = np.zeros(coarse.shape[1])
    residual = solver.residuals(m)
    for strength in strengths:
        roughness = strength**2 * pairs.T @ pairs + BOUND**2 * np.eye(len(m))
        m, residual, free, moved = _fitted(solver, m, residual, roughness)
        misfit = float(np.mean(residual**2))
        path.append(Inversion(DIFFUSIVITY * np.exp(active @ m), None, misfit, (strength,), moved, m))
        scores.append(misfit / (1 - free / residual.size) ** 2)
        if misfit <= 1 and len(scores) - int(np.argmin(scores)) > 3:
            break
    fits = [one for one in path if one.misfit <= 1]
    chosen = {"discrepancy": fits[0] if fits else min(path, key=lambda one: one.misfit), "validation": path[int(np.argmin(scores))]}
    return chosen | {f"path-{k}": one for k, one in enumerate(path)}


def _fitted(
    solver: Solver, m: np.ndarray, residual: np.ndarray, roughness: np.ndarray, iterations: int = 4
) -> tuple[np.ndarray, np.ndarray, float, float]:
    """Gauss and Newton with halved steps: coefficients, residuals, degrees of freedom, the last change."""
    free, moved, value = 0.0, 0.0, residual @ residual + m @ roughness @ m
    for _ in range(iterations):
        slopes = solver.slopes(m)
        curvature = slopes.T @ slopes
        inverse = np.linalg.inv(curvature + roughness)
        free = float(np.sum(inverse * curvature))
        step = inverse @ (slopes.T @ (slopes @ m - residual)) - m
        step *= min(1.0, LONGEST / np.abs(step).max())
        for _ in range(5):
            trial = solver.residuals(m + step)
            after = trial @ trial + (m + step) @ roughness @ (m + step)
            if after < value:
                break
            step /= 2
        else:
            break  # no part of the step is an improvement: the slopes say no more
        gained, m, residual, value, moved = value - after, m + step, trial, after, float(np.abs(step).max())
        if gained < 1e-2:
            break
    return m, residual, free, moved
