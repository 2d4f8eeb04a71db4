"""A sheet of heart tissue on which a spiral is started by crossed fields and followed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from physics import (
    CELL_MODELS,
    CellModel,
    Monodomain,
    RecordActivation,
    Singularities,
    TissueStimulus,
    diffuse_fibrosis,
    phase_singularities,
    without,
)
from physics.cell_model import Stimulus
from solvers import Diffusion, Operator, SimulationError, Solution, Stepper, TimeMesh, VoxelGrid, simulate, time_mesh
from twinsim.errors import InputError

CENTRES = {
    "aliev_panfilov": ("w", 0.5, 1.0),
    "mitchell_schaeffer": ("h", 0.5, 0.35),
}
"""What circles with the voltage, and round which point of both."""

MOST = 16  # tips listed per step
STIMULUS, STIMULUS_MS = 60.0, 2.0  # A/F
EXCITED_MV, QUIET_MV = -30.0, -65.0  # an upstroke passes the first; below the second no cell is excited
PROBES = 4  # per side


@dataclass(frozen=True)
class Following:
    """What was seen of a spiral, step by step."""

    times: np.ndarray
    tips: np.ndarray
    charges: np.ndarray
    counts: np.ndarray
    probes: np.ndarray
    state: np.ndarray


class SpiralSheet:
    """Cells, grid and coupling of a square sheet, and the runs on it.

    Args:
        cell_model: One of :data:`CENTRES`.
        side_mm: Length of a side, mm.
        dx_mm: Edge of a voxel, mm.
        dt_ms: Longest step, ms.
        diffusivity: mm²/ms.
        fibrosis: Fraction of voxels that are none, their correlation length in mm, and the seed.
    """

    def __init__(
        self, cell_model: str, side_mm: float, dx_mm: float, dt_ms: float, diffusivity: float, fibrosis: tuple[float, float, int]
    ) -> None:
        self.cell: CellModel = CELL_MODELS[cell_model]()
        self.dt, self.n = dt_ms, round(side_mm / dx_mm)
        grid = VoxelGrid(np.ones((self.n, self.n, 1), bool), (dx_mm, dx_mm, 1.0))
        fraction, correlation, seed = fibrosis
        if fraction:
            grid = without(grid, diffuse_fibrosis(grid, fraction, correlation, jax.random.key(seed)))
        self.grid = grid
        self.diffusion: Operator = Diffusion(grid, jnp.full(grid.shape, diffusivity), interior_order=4)
        name, self.first, self.second = CENTRES[cell_model]
        self.gate = self.cell.names.index(name)
        self.stages = Monodomain(self.cell, self.diffusion).for_step(dt_ms).stages
        places = (np.arange(PROBES) * 2 + 1) * self.n // (2 * PROBES)
        self.probes = np.ravel_multi_index([part.reshape(-1) for part in np.meshgrid(places, places, indexing="ij")], (self.n, self.n))
        self.x = (np.arange(self.n) + 0.5) * dx_mm

    def equation(self, stimuli: tuple[Stimulus, ...] = ()) -> Monodomain:
        """The sheet under stimuli."""
        return Monodomain(self.cell, self.diffusion, stimuli, stages=self.stages)

    def started(self) -> tuple[np.ndarray, float]:
        """The state and the time, ms, when the wave of S1 from the left edge has left the middle again.

        Raises:
            InputError: The wave does not cross the sheet, or does not leave its middle.
        """
        equation = self.equation((self._strip(0.0),))
        recorder = RecordActivation(equation.stepper(), self.cell, EXCITED_MV, QUIET_MV)
        state, time, middle = recorder.start(equation.initial_state(self.grid)), 0.0, self.n // 2
        while time < 4000:
            mesh = time_mesh(time, [time + 50.0], self.dt, breakpoints=equation.stimuli[0].edges())
            solution = run(recorder, state, mesh)
            state, time = checked(solution), time + 50.0
            left = np.asarray(self.grid.volume(state.record.repolarisation_times()))[middle, :, 0]
            there = left[np.isfinite(left)]
            if there.size >= 0.3 * self.n and float(np.median(there)) < time:
                # Run again, to the very moment: chunks went beyond it.
                moment = float(np.median(there))
                mesh = equation.mesh([moment], self.dt)
                return np.asarray(checked(run(equation.stepper(), equation.initial_state(self.grid), mesh))), moment
        raise InputError(
            "no wave that crosses half of the sheet and leaves it within 4000 ms",
            "tissue that conducts",
            "use finer voxels, less fibrosis or a shorter sheet",
        )

    def crossed(self, state: np.ndarray, duration: float) -> Following:
        """S2 over the lower half of the sheet, and what follows for ``duration`` ms."""
        lower = np.broadcast_to((self.x < self.x[-1] / 2)[None, :, None], self.grid.shape) & np.asarray(self.grid.mask)
        equation = self.equation((TissueStimulus(self.grid, lower, STIMULUS, STIMULUS_MS),))
        mesh = equation.mesh([duration], self.dt)
        solution = watch(equation.stepper(), jnp.asarray(state), mesh, self.seen)
        final = np.asarray(checked(solution))
        singular, probes = solution.observations
        tips, charges, counts = (np.asarray(part) for part in (singular.position[..., :2], singular.charge, singular.count))
        return Following(np.asarray(mesh.times), tips, charges, counts, np.asarray(probes), final)

    def seen(self, time: jax.Array, state: jax.Array) -> tuple[Singularities, jax.Array]:
        """Tips and the potential at the probes, mV."""
        del time
        tips = phase_singularities(self.grid, state[0] - self.first, state[self.gate] - self.second, MOST, (2,))
        return tips, self.cell.millivolts(state)[self.probes]

    def potential(self, state: np.ndarray) -> np.ndarray:
        """mV as ``(x, y)``; NaN where there is no tissue."""
        volume = np.asarray(self.cell.millivolts(jnp.asarray(state)), float).reshape(self.grid.shape)
        return np.where(np.asarray(self.grid.mask), volume, np.nan)[..., 0]

    def _strip(self, start: float) -> TissueStimulus:
        strip = np.broadcast_to((self.x < max(self.x[1] + 1e-9, 2.0))[:, None, None], self.grid.shape)
        return TissueStimulus(self.grid, strip & np.asarray(self.grid.mask), STIMULUS, STIMULUS_MS, start)


@eqx.filter_jit
def run(stepper: Stepper, state: Any, mesh: TimeMesh) -> Solution:
    """One run, compiled."""
    return simulate(stepper, state, mesh)


@eqx.filter_jit
def watch(stepper: Stepper, state: jax.Array, mesh: TimeMesh, seen: Callable[[Any, Any], Any]) -> Solution:
    """One run whose every step is looked at, compiled."""
    return simulate(stepper, state, mesh, observe=seen)


def checked(solution: Solution) -> Any:
    """The final state; a run that went wrong is refused in one line."""
    try:
        solution.raise_for_status()
    except SimulationError as error:
        raise InputError(f"a run that fails: {error}", "one that ends well", "shorten dt-ms, or use coarser voxels") from None
    return solution.final


def upward_crossings(times: np.ndarray, voltage: np.ndarray) -> list[np.ndarray]:
    """Times at which each column of ``(times, probes)`` rises through the level of excitation, ms."""
    found = []
    for column in voltage.T:
        (i,) = np.nonzero((column[:-1] < EXCITED_MV) & (column[1:] >= EXCITED_MV))
        share = (EXCITED_MV - column[i]) / (column[i + 1] - column[i])
        found.append(times[i] + share * (times[i + 1] - times[i]))
    return found


def rotation_period(times: np.ndarray, voltage: np.ndarray) -> float | None:
    """Median time between excitations over all probes, ms; None with fewer than two excitations everywhere."""
    gaps = np.concatenate([np.diff(crossings) for crossings in upward_crossings(times, voltage)] or [np.zeros(0)])
    return float(np.median(gaps)) if gaps.size else None


def dominant_frequency(times: np.ndarray, voltage: np.ndarray) -> float | None:
    """The frequency with the most power, mean over probes, Hz; None where nothing oscillates twice.

    Means removed, Hann's window, and the vertex of the parabola through the logarithms of the highest value and its neighbours.
    """
    step = float(np.median(np.diff(times)))
    even = np.arange(times[0], times[-1], step)
    columns: Sequence[np.ndarray] = [np.interp(even, times, column) for column in voltage.T]
    signal = np.stack([column - column.mean() for column in columns])
    power = (np.abs(np.fft.rfft(signal * np.hanning(even.size), n=8 * even.size, axis=1)) ** 2).mean(axis=0)
    first = 16  # below two cycles in the window nothing can be told
    if power.size < first + 3 or float(signal.std()) < 1.0:
        return None
    peak = first + int(np.argmax(power[first:-1]))
    a, b, c = np.log(power[peak - 1 : peak + 2])
    if not (b > a and b > c):
        return None  # the window is too short for two cycles
    offset = 0.5 * (a - c) / (a - 2 * b + c)
    return float((peak + offset) / (8 * even.size * step) * 1000)
