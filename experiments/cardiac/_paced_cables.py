"""Plane waves along many cables at once, each of cells in one state: velocity after any pacing, rest or drug."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from physics import CellModel, Closure, Monodomain, RecordActivation, TissueStimulus, box_fraction
from physics.activation import Observed
from solvers import Diffusion, Solution, Stepper, TimeMesh, VoxelGrid, simulate, time_mesh
from twinsim.precision import in_precision

LENGTH_MM, FROM_MM, TO_MM = 16.0, 6.0, 13.0  # of a cable, and where velocity is measured: past the stimulus, before the end
STIMULATED_MM, STIMULUS, STIMULUS_MS = 2.0, 80.0, 1.0  # A/F
WINDOW_MS = 45.0
FRONT_MV = -30.0  # a front's velocity is that of any level of it; premature upstrokes of reduced cells may end near 0 mV


def velocities(cell: CellModel, states: np.ndarray, spacing_mm: float, diffusivity: float, dt_ms: float) -> np.ndarray:
    """Conduction velocity along each cable, m/s; NaN where the wave does not arrive.

    A premature wave after pacing in miniature: all cells of a cable stand where one cell stood when its stimulus came.

    Args:
        cell: Parameters are one number, or one per cable.
        states: ``(components, cables)``.
        spacing_mm: Between cells.
        diffusivity: mm²/ms.
        dt_ms: Longest step.
    """
    cables, count = states.shape[1], round(LENGTH_MM / spacing_mm)
    grid = VoxelGrid(np.ones((cables, count, 1), bool), (1.0, spacing_mm, 1.0))
    along = jnp.full(grid.shape, diffusivity, states.dtype)
    diffusion = in_precision(Diffusion(grid, (0 * along, along, 0 * along)), states.dtype)
    spread = _per_cell(cell, cables, count)
    pulse = TissueStimulus(grid, box_fraction(grid, (0, 0, 0), (cables, STIMULATED_MM, 1)), STIMULUS, STIMULUS_MS)
    equation = Monodomain(spread, diffusion, (pulse,)).for_step(dt_ms)
    recorder = RecordActivation(equation.stepper(), spread, FRONT_MV)
    begin = recorder.start(jnp.repeat(jnp.asarray(states), count, axis=1))
    solution = _run(recorder, begin, time_mesh(0.0, [WINDOW_MS], dt_ms, breakpoints=[STIMULUS_MS]))
    solution.raise_for_status()
    final: Observed = solution.final
    times = np.asarray(final.record.activation_times(), float).reshape(cables, count)
    x = (np.arange(count) + 0.5) * spacing_mm
    inside = (x > FROM_MM) & (x < TO_MM)
    arrived = np.isfinite(times[:, inside]).all(axis=1)
    return np.array([np.polyfit(line[inside], x[inside], 1)[0] if there else np.nan for line, there in zip(times, arrived, strict=True)])


@eqx.filter_jit
def _run(stepper: Stepper, state: Observed, mesh: TimeMesh) -> Solution:
    return simulate(stepper, state, mesh)


def _per_cell(cell: CellModel, cables: int, count: int) -> CellModel:
    """Parameters that are one per cable, repeated for its cells; a closure has none, whatever the sizes of its layers."""

    def leaf(value: Any) -> Any:
        return jnp.repeat(value, count) if eqx.is_array(value) and value.shape == (cables,) else value

    return jax.tree.map(leaf, cell, is_leaf=lambda node: isinstance(node, Closure))
