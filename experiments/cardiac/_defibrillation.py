"""The weakest shock of a given shape that ends a re-entry, and the shape that needs the least energy."""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from experiments.cardiac._spiral_sheet import QUIET_MV, SpiralSheet
from physics import CellModel, Monodomain, Shock, patches
from solvers import TimeMesh, simulate, time_mesh

BATCH = 8  # amplitudes tried at once
SOFT_MV = 4.0  # width of the step between quiet and excited in what is differentiated


class Threshold(NamedTuple):
    """A shock that ends the re-entry although one slightly weaker does not.

    Attributes:
        amplitudes: ``(patches, intervals)``, A/F.
        energy: $(A/F)^2$ ms.
        below: The strongest scale of the same shape below it that was seen to fail, relative to it; zero where none was tried.
    """

    amplitudes: np.ndarray
    energy: float
    below: float


class Defibrillation:
    """Shocks on the state of a sheet.

    Args:
        sheet: The tissue.
        state: Its state with the re-entry.
        intervals: Of the shock.
        interval_ms: Their length, ms.
        along: Patches along a side.
        watch_ms: After the shock's start until every cell has to be quiet, ms.
    """

    def __init__(self, sheet: SpiralSheet, state: np.ndarray, intervals: int, interval_ms: float, along: int, watch_ms: float) -> None:
        self.sheet, self.state = sheet, jnp.asarray(state)
        self.times = np.arange(intervals + 1) * interval_ms
        self.regions = patches(sheet.grid, along)
        self.mesh = time_mesh(0.0, [watch_ms], sheet.dt, breakpoints=[float(edge) for edge in self.times])
        self.tried = 0

    @property
    def shape(self) -> tuple[int, int]:
        """Patches and intervals."""
        return self.regions.shape[0], self.times.size - 1

    def energy(self, amplitudes: np.ndarray) -> float:
        """Of a shock, $(A/F)^2$ ms."""
        return float(Shock(self.regions, jnp.asarray(amplitudes), self.times).energy())

    def activity(self, amplitudes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """For a batch of shocks: which share of the sheet is excited at the end (smooth), and whether any cell is."""
        self.tried += len(amplitudes)
        parts = (self.sheet, self.regions, self.times)
        excited, alive = _tried(jnp.asarray(amplitudes), self.state, self.mesh, _Runner(*parts))
        return np.asarray(excited), np.asarray(alive)

    def slope(self, amplitudes: np.ndarray) -> np.ndarray:
        """Gradient of the share that is excited with respect to every amplitude, through the whole run."""
        return np.asarray(_slope(jnp.asarray(amplitudes), self.state, self.mesh, _Runner(self.sheet, self.regions, self.times)))

    def threshold(self, direction: np.ndarray, low: float, high: float, rounds: int) -> Threshold | None:
        """The weakest multiple of ``direction`` that succeeds, sought from above: between ``low`` and ``high`` times it.

        Shocks that happen to succeed below one that fails do not count. None where ``high`` itself fails.
        """
        best, failed, seen = None, low, False
        for _ in range(rounds):
            scales = np.geomspace(failed, high, BATCH + 1)[1:]
            _, alive = self.activity(scales[:, None, None] * direction[None])
            if alive[-1]:
                return best
            first = BATCH - 1
            while first > 0 and not alive[first - 1]:
                first -= 1
            if first:
                failed, seen = scales[first - 1], True
            high = scales[first]
            best = Threshold(high * direction, self.energy(high * direction), failed / high if seen else 0.0)
        return best

    def improved(self, start: Threshold, steps: int, told: Callable[[float], None]) -> tuple[Threshold, list[float]]:
        r"""Follows the threshold surface to where its nearest point to no shock at all lies.

        The weakest shock $a$ on the surface between success and failure is orthogonal to it: parallel to minus the gradient $g$ of what
        stays excited. So each step turns the shape $a/|a|$ towards $-g/|g|$ (norms of energy), $g$ just inside of the threshold, where
        it is steep, and looks for the threshold along the new shape; a step that needs more energy is halved.
        """
        best, course, turn = start, [start.energy], 0.5
        for _ in range(steps):
            gradient = self.slope(best.amplitudes)
            gradient = gradient / max(float(np.abs(gradient).max()), 1e-300)  # far below one: what is left of a wave that has died out
            size = np.sqrt(self.energy(gradient))
            if not (np.isfinite(size) and size > 0):
                break
            unit = best.amplitudes / np.sqrt(best.energy)
            while turn > 0.02:
                direction = (1 - turn) * unit - turn * gradient / size
                direction = direction / np.sqrt(self.energy(direction)) * np.sqrt(best.energy)
                found = self.threshold(direction, 0.3, 0.995, 2)
                if found is not None:
                    best, turn = found, min(0.5, 1.5 * turn)
                    break
                turn /= 2
            course.append(best.energy)
            told(best.energy)
            if turn <= 0.02:
                break
        return best, course


class _Runner(eqx.Module):
    """What a shock leaves: hashable parts of a sheet, and its arrays."""

    equation: Monodomain
    regions: jax.Array
    times: jax.Array
    cell: CellModel
    mask: jax.Array

    def __init__(self, sheet: SpiralSheet, regions: jax.Array, times: np.ndarray) -> None:
        self.equation, self.cell = sheet.equation(), sheet.cell
        self.regions, self.times, self.mask = regions, jnp.asarray(times, float), sheet.grid.mask.reshape(-1)

    def potential(self, amplitudes: jax.Array, state: jax.Array, mesh: TimeMesh) -> jax.Array:
        """mV in every cell at the end; a run that went wrong counts as excited."""
        shock = Shock(self.regions, amplitudes, self.times)
        equation = replace(self.equation, stimuli=(shock,))
        solution = simulate(equation.stepper(), state, mesh)
        return jnp.where(self.mask, self.cell.millivolts(solution.final), -1e3)

    def excited(self, amplitudes: jax.Array, state: jax.Array, mesh: TimeMesh) -> jax.Array:
        """Smooth share of excited cells at the end."""
        potential = self.potential(amplitudes, state, mesh)
        return jnp.where(self.mask, jax.nn.sigmoid((potential - QUIET_MV) / SOFT_MV), 0).sum() / self.mask.sum()


@eqx.filter_jit
def _tried(amplitudes: jax.Array, state: jax.Array, mesh: TimeMesh, runner: _Runner) -> tuple[jax.Array, jax.Array]:
    potential = jax.vmap(lambda one: runner.potential(one, state, mesh))(amplitudes)
    excited = jnp.where(runner.mask[None], jax.nn.sigmoid((potential - QUIET_MV) / SOFT_MV), 0).sum(axis=1) / runner.mask.sum()
    return excited, ~(potential < QUIET_MV).all(axis=1)


@eqx.filter_jit
def _slope(amplitudes: jax.Array, state: jax.Array, mesh: TimeMesh, runner: _Runner) -> jax.Array:
    return jax.grad(runner.excited)(amplitudes, state, mesh)
