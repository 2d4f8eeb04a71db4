"""Linear programs for the table of ``front_fit``: what it does to the symbol of a lattice, and what that does to the speed of a front."""

from collections.abc import Sequence
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from scipy.optimize import linprog

from experiments.cardiac._plane_waves import Vector, Wave, speeds
from physics import CellModel, continuum_symbol, fibre_tensor
from physics.plane_wave import Symbol
from solvers import VoxelGrid
from solvers.space.monotone_diffusion import MonotoneDiffusion, decomposition, weight_along

WAVE_NUMBERS = np.arange(0.25, 7.0, 0.25)  # of the symbol, over the square root of the diffusivity: a front has none above
PERTURBATION = 0.05
PROBED = (0.0, 1.0, 1.8, 2.4)  # spacings of the cables whose answers to a change of the symbol are measured
HEADROOM = 0.93  # of the cross terms: at 1 the second exchange stops being positive
SMALLEST_BEND = 0.05


@dataclass(frozen=True)
class Stencil:
    """Directions of a lattice in uniform tissue: steps, weights, spacings $s_e$ and largest shares $P_e$."""

    steps: np.ndarray
    weights: np.ndarray
    spacings: np.ndarray
    shares: np.ndarray


def stencil(fibre: Vector, flat: bool, edge: float, along: float, across: float, front_time: float) -> Stencil:
    """The directions in a sheet or a volume of cubic voxels, those without a weight left out; spacings over the root of the time."""
    grid = VoxelGrid(np.ones((5, 5, 1 if flat else 5), bool), edge)
    tensor = across * np.eye(3) + (along - across) * np.outer(fibre, fibre)
    of_voxel = decomposition(jnp.asarray(tensor[None] / edge**2))
    steps = [d for d in MonotoneDiffusion(grid, fibre_tensor(grid, along, across, fibre)).directions if not flat or d[2] == 0]
    weights = np.array([float(np.asarray(weight_along(d, *of_voxel))[0]) for d in steps])
    kept = weights > 1e-12 * np.trace(tensor) / edge**2
    chosen = np.array(steps, float)[kept]
    squared = np.einsum("ei,ij,ej->e", chosen, np.linalg.inv(tensor / edge**2), chosen)
    return Stencil(chosen, weights[kept], np.sqrt(squared / front_time), weights[kept] * squared)


class Table:
    """Rows $b_0, b_1, r_0, r_1$ over the knots, and what they give a stencil."""

    def __init__(self, knots: np.ndarray, rows: np.ndarray) -> None:
        self.knots, self.rows = knots, rows

    def hats(self, spacings: np.ndarray) -> np.ndarray:
        """How much of each knot a spacing gets, ``(spacings, knots)``."""
        return np.stack([np.interp(spacings, self.knots, row) for row in np.eye(len(self.knots))], axis=1)

    def bend_and_cross(self, one: Stencil) -> tuple[np.ndarray, np.ndarray]:
        """$b_e$ and $\\rho_e$."""
        b0, b1, r0, r1 = (self.hats(one.spacings) @ row for row in self.rows)
        return b0 + one.shares * b1, one.shares * (r0 + one.shares * r1)

    def symbol(self, one: Stencil, direction: np.ndarray) -> Symbol:
        """$\\lambda(\\nu)$ along a unit vector in voxel edges."""
        bend, cross = self.bend_and_cross(one)

        def of(waves: np.ndarray) -> np.ndarray:
            x = 2 - 2 * np.cos(np.multiply.outer(one.steps @ direction, waves))
            mixed = (cross * np.sqrt(one.weights))[:, None] * x
            pairs = (mixed.sum(axis=0) ** 2 - (mixed**2).sum(axis=0)) / 2
            return (one.weights[:, None] * (x + bend[:, None] * x**2)).sum(axis=0) - pairs

        return of

    def slopes(self, one: Stencil, direction: np.ndarray, waves: np.ndarray) -> np.ndarray:
        """Derivative of the symbol by the rows, ``(4 knots, waves)``."""
        _, cross = self.bend_and_cross(one)
        x, hats, share = 2 - 2 * np.cos(np.multiply.outer(one.steps @ direction, waves)), self.hats(one.spacings), one.shares[:, None]
        root = np.sqrt(one.weights)[:, None] * x
        by_bend, by_cross = root * x * np.sqrt(one.weights)[:, None], -((cross @ root)[None] - cross[:, None] * root) * root
        parts = [hats.T @ by_bend, (hats * share).T @ by_bend, (hats * share).T @ by_cross, (hats * share**2).T @ by_cross]
        return np.concatenate(parts)

    def outweighed(self, one: Stencil) -> tuple[float, np.ndarray]:
        """$\\sum_e\\rho_e^2/(2b_e+\\rho_e^2)$, at most 1 where the second exchange is positive, and its derivative by the rows."""
        bend, cross = self.bend_and_cross(one)
        whole, hats = 2 * bend + cross**2, self.hats(one.spacings)
        by_bend, by_cross = -2 * cross**2 / whole**2, 4 * cross * bend / whole**2
        share = one.shares
        parts = [by_bend @ hats, (by_bend * share) @ hats, (by_cross * share) @ hats, (by_cross * share**2) @ hats]
        return float((cross**2 / whole).sum()), np.concatenate(parts)


def responses(cell: CellModel, table: Table, diffusivity: float, dt_ms: float) -> tuple[float, np.ndarray]:
    """Velocity without a lattice over the root of the diffusivity, and the relative change of velocity by hats of the symbol.

    The symbol is raised by hats over the wave number, one after another, on cables of the spacings ``PROBED`` with the bends of the table.

    Returns:
        The scaled velocity; ``(spacings, wave numbers)``.
    """
    symbols: list[Symbol] = [continuum_symbol(diffusivity)]
    root, time = np.sqrt(diffusivity), float(np.sqrt(cell.front_time()))

    def on_cable(spacing: float, raised: int | None) -> Symbol:
        bend = float(np.interp(spacing, table.knots, table.rows[0]))

        def of(waves: np.ndarray) -> np.ndarray:
            wave = waves * root * time
            x = 2 - 2 * np.cos(wave * spacing)
            plain = wave**2 if spacing == 0 else (x + bend * x**2) / spacing**2
            hat = 0 if raised is None else np.clip(1 - np.abs(wave - WAVE_NUMBERS[raised]) / WAVE_NUMBERS[0], 0, None)
            return (plain + PERTURBATION * np.minimum(wave**2, 4.0) * hat) / time**2

        return of

    for spacing in PROBED:
        symbols += [on_cable(spacing, raised) for raised in (None, *range(len(WAVE_NUMBERS)))]
    found = speeds(cell, symbols, [diffusivity] * len(symbols), dt_ms)
    cables = found[1:].reshape(len(PROBED), -1)
    return float(found[0] / root), (cables[:, 1:] / cables[:, :1] - 1) / PERTURBATION


@dataclass(frozen=True)
class Case:
    """A wave on voxels of one edge, and the error that it may have, in percent."""

    wave: Wave
    edge: float
    allowed: float
    stencil: Stencil
    diffusivity: float

    @property
    def direction(self) -> np.ndarray:
        """Of the wave, times the edge."""
        return np.asarray(self.wave.direction) * self.edge

    @property
    def spacing(self) -> float:
        """Mean of the spacings that the wave sees, each by its share."""
        reach = np.abs(self.stencil.steps @ self.direction)
        return float((self.stencil.weights * reach**3).sum() / self.diffusivity**1.5)


def errors(cell: CellModel, table: Table, cases: Sequence[Case], scaled: float, dt_ms: float) -> np.ndarray:
    """Percent of the velocity without a lattice."""
    symbols = [table.symbol(case.stencil, case.direction) for case in cases]
    sizes = [case.diffusivity for case in cases]
    return 100 * (speeds(cell, symbols, sizes, dt_ms) / (scaled * np.sqrt(sizes)) - 1)


def derivatives(table: Table, cases: Sequence[Case], answers: np.ndarray, front_time: float) -> np.ndarray:
    """Of the errors by the rows, to first order in the symbol, ``(cases, 4 knots)``."""
    rows, root = [], np.sqrt(front_time)
    for case in cases:
        waves = WAVE_NUMBERS / (np.sqrt(case.diffusivity) * root)
        answer = np.array([np.interp(case.spacing / root, PROBED, column) for column in answers.T])
        change = table.slopes(case.stencil, case.direction, waves) * front_time / np.minimum(WAVE_NUMBERS**2, 4.0)
        rows.append(100 * change @ answer)
    return np.array(rows)


def improved(
    table: Table, found: np.ndarray, slopes: np.ndarray, allowed: np.ndarray, stencils: Sequence[Stencil], trust: float, smooth: float
) -> tuple[Table, float]:
    """The table within ``trust`` of this one that has the least largest error over what is allowed, by a linear program.

    Returns:
        The table, and the largest ratio that the program expects.

    Raises:
        ArithmeticError: No table that near keeps the second exchange positive.
    """
    knots, now = len(table.knots), table.rows.ravel()
    count = 4 * knots
    bends = _second_differences(table.knots)
    conditions: list[tuple[np.ndarray, np.ndarray]] = []  # of the change, the largest ratio, and the sizes of the bends of the rows

    def require(of_change: np.ndarray, of_ratio: np.ndarray | float, of_bends: np.ndarray | float, limit: np.ndarray) -> None:
        one = np.ones((len(of_change), 1))
        conditions.append((np.hstack([of_change, of_ratio * one, np.broadcast_to(of_bends, (len(of_change), len(bends)))]), limit))

    require(slopes, -allowed[:, None], 0.0, -found)
    require(-slopes, -allowed[:, None], 0.0, found)
    require(bends, 0.0, -np.eye(len(bends)), -bends @ now)
    require(-bends, 0.0, -np.eye(len(bends)), bends @ now)
    eye = np.eye(count).reshape(4, knots, count)
    require(-(eye[0] + eye[1]), 0.0, 0.0, table.rows[0] + table.rows[1] - SMALLEST_BEND)
    require(-(eye[2] + eye[3]), 0.0, 0.0, table.rows[2] + table.rows[3])
    used = [table.outweighed(one) for one in stencils]
    if used:
        require(np.array([slope for _, slope in used]), 0.0, 0.0, np.maximum(HEADROOM - np.array([size for size, _ in used]), -0.3))
    low, high = np.full((4, knots), -2 * trust), np.full((4, knots), 2 * trust)
    low[0], high[0] = np.maximum(-trust, SMALLEST_BEND - table.rows[0]), trust
    low[2] = np.maximum(low[2], -table.rows[2])
    low[:, 0] = high[:, 0] = 0.0  # fine voxels keep order four
    limits = [*zip(low.ravel(), high.ravel(), strict=True), (0, None), *[(0, None)] * len(bends)]
    cost = np.concatenate([np.zeros(count), [1.0], np.full(len(bends), smooth)])
    solution = linprog(
        cost, np.vstack([left for left, _ in conditions]), np.concatenate([right for _, right in conditions]), bounds=limits, method="highs"
    )
    if solution.x is None:
        raise ArithmeticError(f"got no table within {trust:g} of the last; expected one; do: a larger trust")
    return Table(table.knots, (now + solution.x[:count]).reshape(4, knots)), float(solution.x[count])


def _second_differences(knots: np.ndarray) -> np.ndarray:
    """How far each inner knot of each row is from the line between its neighbours, ``(4 (knots - 2), 4 knots)``."""
    count, rows = len(knots), []
    for row in range(4):
        for k in range(1, count - 1):
            left, right = knots[k] - knots[k - 1], knots[k + 1] - knots[k]
            one = np.zeros((4, count))
            one[row, k - 1], one[row, k], one[row, k + 1] = right / (left + right), -1.0, left / (left + right)
            rows.append(one.ravel())
    return np.array(rows)
