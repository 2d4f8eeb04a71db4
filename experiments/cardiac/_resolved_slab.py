"""A sheet of tissue with all its cells at 25 um, and the same at coarse voxels with an effective tensor."""

import time
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from experiments.cardiac._microstructures import WINDOW, cut
from physics import (
    BlockedFaces,
    MitchellSchaeffer,
    Monodomain,
    RecordActivation,
    TissueStimulus,
    box_fraction,
    front_fit,
    oblique_texture,
    with_blocked_faces,
)
from solvers import Diffusion, LatticeDiffusion, Operator, VoxelGrid, connected_components, simulate
from twinsim.precision import in_precision

FINE_MM = 0.025
INSIDE = 0.15  # mm^2/ms inside of a cell
END_JUNCTIONS, SIDE_JUNCTIONS, CELL_LENGTH = 0.5, 0.15, 4
STIMULUS = (80.0, 2.0)  # A/F and ms
STIMULATED_MM = 1.0
REPEATS = 2  # of a run that is timed: the better one counts
FLOOR = 2e-3  # of INSIDE: least eigenvalue of a coarse voxel


class Sheet(NamedTuple):
    """A pattern: conductances of faces over that inside of a cell, muscle, and muscle that hangs together, the largest piece."""

    faces: np.ndarray
    muscle: np.ndarray
    joined: np.ndarray


class Course(NamedTuple):
    """Activation times ``(x, y)`` in ms, infinite where there is none, and the time the run took once compiled, s."""

    activated: np.ndarray
    seconds: float


def drawn_sheet(size_mm: tuple[float, float], most_fibrosis: float, septa: float, seed: int) -> Sheet:
    """Healthy at the edges, patchy fibrosis in the middle, septa everywhere."""
    shape = (round(size_mm[0] / FINE_MM), round(size_mm[1] / FINE_MM))
    one, two, three = jax.random.split(jax.random.key(seed), 3)
    x, y = ((np.arange(n) + 0.5) / n - 0.5 for n in shape)
    fraction = most_fibrosis * np.exp(-((x[:, None] / 0.25) ** 2) - (y[None, :] / 0.3) ** 2)
    patches = np.asarray(oblique_texture(shape, 1.5, 0.7, 0.3, one))
    muscle = patches < np.asarray(jax.scipy.stats.norm.ppf(jnp.asarray(1 - fraction)))
    lined = np.asarray(oblique_texture(shape, 1.5, 0.0, 0.0, two))
    blocked = lined > np.quantile(lined, 1 - septa)
    offset = np.asarray(jax.random.randint(three, (1, shape[1]), 0, CELL_LENGTH))
    ends = (np.arange(shape[0])[:, None] + offset) % CELL_LENGTH == CELL_LENGTH - 1
    along = np.where(ends, END_JUNCTIONS, 1.0) * (muscle & np.roll(muscle, -1, 0))
    across = SIDE_JUNCTIONS * (muscle & np.roll(muscle, -1, 1) & ~blocked)
    sheet = Sheet(np.stack([along, across]), muscle, muscle)
    grid, operator = _fine(sheet)
    joined = np.asarray(connected_components(operator).labels).reshape(grid.shape)[..., 0] == 0
    return Sheet(sheet.faces, muscle, joined)


def resolved(sheet: Sheet, step_ms: float, until_ms: float, precision: str) -> Course:
    """All voxels of 25 um."""
    grid, operator = _fine(sheet)
    return _run(grid, operator, step_ms, until_ms, precision)


def coarse(tensors: np.ndarray, sheet: Sheet, voxel_mm: float, step_ms: float, until_ms: float, precision: str) -> Course:
    r"""Coarse voxels with the tensor $\sigma^*/\phi$ of the window that they lie in, $\phi$ the share of muscle that hangs together.

    Args:
        tensors: Per window, in the order of :func:`cut`, over the conductivity inside of a cell.
        sheet: For the shares.
        voxel_mm: Edge of a voxel; a divisor of a window.
        step_ms: Steps.
        until_ms: End.
        precision: float32 or float64.
    """
    shape = tuple(n // WINDOW for n in sheet.muscle.shape)
    share = cut(sheet.joined.astype(float)).mean(axis=(1, 2))
    of_windows = INSIDE * tensors / np.maximum(share, 0.05)[:, None, None]
    values, vectors = np.linalg.eigh(of_windows)
    of_windows = (vectors * np.maximum(values, FLOOR * INSIDE)[:, None, :]) @ np.swapaxes(vectors, 1, 2)
    each = round(WINDOW * FINE_MM / voxel_mm)
    field = np.repeat(np.repeat(of_windows.reshape(*shape, 2, 2), each, axis=0), each, axis=1)
    tensor = np.zeros((*field.shape[:2], 1, 3, 3))
    tensor[:, :, 0, :2, :2], tensor[..., 2, 2] = field, INSIDE
    grid = VoxelGrid(np.ones(tensor.shape[:3], bool), (voxel_mm, voxel_mm, 1.0))
    operator = LatticeDiffusion(grid, jnp.asarray(tensor), front_fit(MitchellSchaeffer.published()))
    return _run(grid, operator, step_ms, until_ms, precision)


def averaged(times: np.ndarray, joined: np.ndarray, factor: int) -> np.ndarray:
    """Mean activation of the muscle in each coarse voxel; NaN where less than a fifth of it is activated."""
    seen = joined & np.isfinite(times)
    blocks = (times.shape[0] // factor, factor, times.shape[1] // factor, factor)
    count = seen.reshape(blocks).sum(axis=(1, 3))
    total = np.where(seen, times, 0).reshape(blocks).sum(axis=(1, 3))
    return np.where(count >= 0.2 * factor**2, total / np.maximum(count, 1), np.nan)


def _fine(sheet: Sheet) -> tuple[VoxelGrid, Diffusion]:
    grid = VoxelGrid(sheet.muscle[..., None], (FINE_MM, FINE_MM, 1.0))
    closed = [jnp.asarray(1 - face[..., None]) for face in sheet.faces]
    blocked = BlockedFaces(closed[0], closed[1], jnp.zeros(grid.shape))
    return grid, with_blocked_faces(Diffusion(grid, INSIDE), grid, blocked)


def _run(grid: VoxelGrid, operator: Operator, step_ms: float, until_ms: float, precision: str) -> Course:
    cell = MitchellSchaeffer.published()
    pulse = TissueStimulus(grid, box_fraction(grid, (0.0, 0.0, 0.0), (STIMULATED_MM, STIMULATED_MM, 100.0)), *STIMULUS)
    equation = Monodomain(cell, operator, (pulse,)).for_step(step_ms)
    mesh = equation.mesh([until_ms], step_ms)
    recorder = RecordActivation(equation.stepper(), cell, upper=-40.0)
    start = recorder.start(equation.initial_state(grid))
    recorder, start = in_precision((recorder, start), precision)
    run = eqx.filter_jit(lambda stepper, state: simulate(stepper, state, mesh))
    compiled = run.lower(recorder, start).compile()  # pyright: ignore[reportFunctionMemberAccess]
    solution, seconds = jax.block_until_ready(compiled(recorder, start)), np.inf
    for _ in range(REPEATS):
        began = time.perf_counter()
        jax.block_until_ready(compiled(recorder, start))
        seconds = min(seconds, time.perf_counter() - began)
    # Outside of the clock: read out by small programs that compile at their first use, longer than the coarse run takes.
    times = np.asarray(solution.final.record.activation_times(), float)
    solution.raise_for_status()
    return Course(times.reshape(grid.shape)[..., 0], seconds)
