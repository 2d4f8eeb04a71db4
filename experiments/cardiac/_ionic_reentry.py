"""Re-entry round a ring, and on a sheet by crossed stimuli; and how fast tissue of a cell model runs."""

from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from physics import CellModel, Monodomain, RectangularPulse, TissueStimulus, phase, topological_charge
from physics.cell_model import Stimulus
from solvers import Diffusion, Solution, Stepper, TimeMesh, VoxelGrid, simulate, time_mesh
from twinsim.machine import best
from twinsim.precision import in_precision

STIMULUS, STIMULUS_MS = 80.0, 2.0  # A/F
SEE_MS, CHUNK_MS = 5.0, 250.0
SHEET_CHUNK_MS = 100.0  # all states of a chunk are kept until it is looked at
EXCITED_MV, REST_MV = -30.0, -70.0
TIP_MV, TIP_DELAY_MS = -60.0, 10.0  # round which the potential now and so long ago circle at the tip of a wave
PROBES = 4  # per side
BEGIN_SPEED = 0.65  # mm/ms, of the wave that is laid out on a ring


@dataclass(frozen=True)
class Reentry:
    """What was seen after the crossed stimulus.

    Attributes:
        times: ms, every :data:`SEE_MS`.
        probes: Potential, ``(times, probes)``, mV.
        excited: Share of the sheet above -30 mV at those times.
        tips: Phase singularities at those times; where waves end, hence what a spiral has and a leftover of stimuli does not keep.
        picture: Potential at the end, ``(x, y)``, mV.
        inside: Whether every state was one that a cell can be in.
    """

    times: np.ndarray
    probes: np.ndarray
    excited: np.ndarray
    tips: np.ndarray
    picture: np.ndarray
    inside: bool

    @property
    def period_ms(self) -> float:
        """Median time between upstrokes over all probes in the second half; NaN with fewer than two anywhere."""
        late = self.times > self.times[-1] / 2
        gaps = np.concatenate([np.diff(_crossings(self.times[late], column, EXCITED_MV)) for column in self.probes[late].T])
        return float(np.median(gaps)) if gaps.size else float("nan")

    @property
    def excited_until_ms(self) -> float:
        """Until when some part of the sheet was excited, ms after the crossed stimulus."""
        (there,) = np.nonzero(self.excited > 0)
        return float(self.times[there[-1]]) if there.size else 0.0

    @property
    def rotating_ms(self) -> float:
        """Until when waves had tips, ms after the crossed stimulus: at two looks in turn, since fronts that meet have some for a moment."""
        (there,) = np.nonzero((self.tips[1:] > 0) & (self.tips[:-1] > 0))
        return float(self.times[there[-1] + 1]) if there.size else 0.0

    @property
    def tips_late(self) -> float:
        """How many, mean over the second half."""
        return float(self.tips[self.times > self.times[-1] / 2].mean())


@dataclass(frozen=True)
class Circling:
    """A wave that runs round a ring.

    Attributes:
        times: ms, every :data:`SEE_MS`.
        probe: Potential at one place, mV.
        excited: Share of the ring above -30 mV.
        inside: Whether every state was one that a cell can be in.
    """

    times: np.ndarray
    probe: np.ndarray
    excited: np.ndarray
    inside: bool

    @property
    def alive_ms(self) -> float:
        """Until when some part of the ring was excited."""
        (there,) = np.nonzero(self.excited > 0)
        return float(self.times[there[-1]]) if there.size else 0.0

    def rounds(self) -> np.ndarray:
        """Times between upstrokes at the probe, ms; linear between samples."""
        return np.diff(_crossings(self.times, self.probe, EXCITED_MV))

    def durations(self) -> np.ndarray:
        """From each of these upstrokes until the potential falls through -70 mV, ms: in tissue an upstroke ends lower than under a
        stimulus, and a plateau that only stimulated cells have shows here."""
        rises, falls = _crossings(self.times, self.probe, EXCITED_MV), _crossings(self.times, -self.probe, -REST_MV)
        ends = [falls[falls > rise] for rise in rises]
        return np.array([later[0] - rise for rise, later in zip(rises, ends, strict=True) if later.size])


def _crossings(times: np.ndarray, values: np.ndarray, level: float) -> np.ndarray:
    """When values rise through a level, linear between samples."""
    low, high = values[:-1], values[1:]
    (rises,) = np.nonzero((low < level) & (high >= level))
    return times[rises] + (level - low[rises]) / (high[rises] - low[rises]) * (times[rises + 1] - times[rises])


def circling(cell: CellModel, ring_mm: float, spacing_mm: float, diffusivity: float, dt_ms: float, duration_ms: float) -> Circling:
    """A wave round a ring, begun from the states that one cell has after a stimulus, laid out behind a front of :data:`BEGIN_SPEED`.

    A re-entry that a thousand cells carry, where a spiral takes a sheet. First order in time. The ring is two rows that meet at both
    ends; what lies between them is no tissue.

    Args:
        cell: In the precision of the run.
        ring_mm: Length of the ring.
        spacing_mm: Between cells.
        diffusivity: mm²/ms.
        dt_ms: Step.
        duration_ms: A multiple of :data:`SEE_MS`.
    """
    half = round(ring_mm / spacing_mm / 2) - 1
    mask = np.zeros((half, 3, 1), bool)
    mask[:, 0], mask[:, 2], mask[0, 1], mask[-1, 1] = True, True, True, True
    grid = VoxelGrid(mask, (spacing_mm, spacing_mm, 1.0))
    kind = cell.initial_state().dtype
    diffusion = in_precision(Diffusion(grid, jnp.where(jnp.asarray(mask), diffusivity, 0.0)), kind)
    row, column = np.indices(mask.shape)[:2]
    place = np.where(column == 0, row, np.where(column == 2, 2 * half + 1 - row, np.where(row == 0, -1, half)))
    behind = np.clip((place.ravel() + 1) * spacing_mm / BEGIN_SPEED, 0, None)
    pulse = RectangularPulse(jnp.asarray(STIMULUS, kind), jnp.asarray(STIMULUS_MS / 2, kind))
    ages = time_mesh(0.0, [float(age) for age in np.arange(1.0, behind.max() + 2)], dt_ms, breakpoints=pulse.edges())
    trace = np.asarray(_advanced(cell.paced(pulse, 1), cell.initial_state(), ages).states)
    state = jnp.asarray(trace[np.round(behind).astype(int)].T)
    stepper = Monodomain(cell, diffusion, ()).for_step(dt_ms).godunov()
    tissue, now, times, probe, excited, inside = mask.ravel(), 0.0, [], [], [], True
    while now < duration_ms and inside:
        length = min(CHUNK_MS, duration_ms - now)
        save = [SEE_MS * (i + 1) for i in range(round(length / SEE_MS))]
        solution = _advanced(stepper, state, time_mesh(0.0, save, dt_ms))
        potential = np.asarray(jax.vmap(cell.millivolts)(solution.states))
        state = solution.final
        times += [now + each for each in save]
        probe.append(potential[:, half // 2 * 3])
        excited.append((potential[:, tissue] > EXCITED_MV).mean(axis=1))
        inside = bool(np.asarray(cell.examine(state).status == 0).all())
        now += length
    return Circling(np.array(times), np.concatenate(probe), np.concatenate(excited), inside)


class Sheet:
    """A square of uniform tissue of one cell model, first order in time.

    Args:
        cell: In the precision of the run.
        side_mm: Length of a side.
        spacing_mm: Edge of a voxel.
        diffusivity: mm²/ms.
        dt_ms: Step.
    """

    def __init__(self, cell: CellModel, side_mm: float, spacing_mm: float, diffusivity: float, dt_ms: float) -> None:
        self.cell, self.dt, self.n = cell, dt_ms, round(side_mm / spacing_mm)
        self.grid = VoxelGrid(np.ones((self.n, self.n, 1), bool), (spacing_mm, spacing_mm, 1.0))
        self.kind = cell.initial_state().dtype
        self.diffusion = in_precision(Diffusion(self.grid, jnp.full(self.grid.shape, diffusivity)), self.kind)
        self.edge = max(2, round(3.0 / spacing_mm))
        places = (np.arange(PROBES) * 2 + 1) * self.n // (2 * PROBES)
        self.probes = np.ravel_multi_index([part.reshape(-1) for part in np.meshgrid(places, places, indexing="ij")], (self.n, self.n))

    def stepper(self, stimuli: tuple[Stimulus, ...] = ()) -> Stepper:
        """First order: a step of cells and one of diffusion."""
        return Monodomain(self.cell, self.diffusion, stimuli).for_step(self.dt).godunov()

    def reentry(self, duration_ms: float) -> Reentry:
        """S1 from the left edge; S2 over the lower half when the tail of that wave passes the middle; then ``duration_ms`` more.

        Raises:
            ArithmeticError: The first wave does not come, or does not leave.
        """
        rows, columns = np.indices(self.grid.shape)[:2]
        first = TissueStimulus(self.grid, jnp.asarray(rows < self.edge), STIMULUS, STIMULUS_MS)
        rest = self.cell.initial_state()
        state = jnp.broadcast_to(rest[:, None], (rest.shape[0], self.grid.size))
        stepper, now, seen, middle = self.stepper((first,)), 0.0, False, self.n // 2 * self.n + self.n // 2
        while True:
            state = _advanced(stepper, state, time_mesh(now, [now + SEE_MS], self.dt, breakpoints=[STIMULUS_MS])).final
            now += SEE_MS
            potential = float(self.cell.millivolts(state)[middle])
            seen = seen or potential > EXCITED_MV
            if seen and potential < REST_MV:
                break
            if now > 1500 or not np.isfinite(potential):
                raise ArithmeticError("got no wave that crosses the sheet and leaves it; expected one; do: use finer voxels")
        second = TissueStimulus(self.grid, jnp.asarray(columns < self.n // 2), STIMULUS, STIMULUS_MS)
        stepper, now, times, probes, excited, tips, inside = self.stepper((second,)), 0.0, [], [], [], [], True
        before = jnp.broadcast_to(self.cell.millivolts(state), (round(TIP_DELAY_MS / SEE_MS), self.grid.size))
        while now < duration_ms:
            length = min(SHEET_CHUNK_MS, duration_ms - now)
            save = [now + SEE_MS * (i + 1) for i in range(round(length / SEE_MS))]
            solution = _advanced(stepper if now == 0 else self.stepper(), state, time_mesh(now, save, self.dt, breakpoints=[STIMULUS_MS]))
            state, potential = solution.final, jnp.concatenate([before, jax.vmap(self.cell.millivolts)(solution.states)])
            before, seen_now = potential[-len(before) :], potential[len(before) :]
            times += save
            probes.append(np.asarray(seen_now[:, self.probes]))
            excited.append(np.asarray((seen_now > EXCITED_MV).mean(axis=1)))
            tips.append(np.asarray(_tips(self.grid, seen_now, potential[: len(seen_now)])))
            inside = inside and bool(np.asarray(self.cell.examine(state).status == 0).all())
            now += length
            if not inside:
                break
        picture = np.asarray(self.cell.millivolts(state)).reshape(self.n, self.n)
        seen, share, ends = (np.concatenate(part) for part in (probes, excited, tips))
        return Reentry(np.array(times), seen, share, ends, picture, inside)

    def seconds_per_step(self, steps: int, repeats: int = 3) -> float:
        """Wall seconds of one step, the best of some runs, warm; a third of the sheet is excited."""
        rows = np.indices(self.grid.shape)[0]
        stimulus = TissueStimulus(self.grid, jnp.asarray(rows < self.n // 3), STIMULUS, STIMULUS_MS)
        rest = self.cell.initial_state()
        state = jnp.broadcast_to(rest[:, None], (rest.shape[0], self.grid.size))
        stepper, mesh = self.stepper((stimulus,)), time_mesh(0.0, [steps * self.dt], self.dt)
        state = _advanced(stepper, state, mesh).final
        return best(lambda: jax.block_until_ready(_advanced(stepper, state, mesh).final), repeats) / steps


@eqx.filter_jit
def _advanced(stepper: Stepper, state: Array, mesh: TimeMesh) -> Solution:
    return simulate(stepper, state, mesh)


@eqx.filter_jit
def _tips(grid: VoxelGrid, now: Float[Array, "times cells"], earlier: Float[Array, "times cells"]) -> Int[Array, " times"]:
    """How many phase singularities each picture has, from the potential and that of :data:`TIP_DELAY_MS` before, which every cell has."""
    angles = phase(now - TIP_MV, earlier - TIP_MV)
    return jax.vmap(lambda angle: (topological_charge(grid, angle) != 0).sum())(angles)


def operations(cell: CellModel) -> float:
    """Floating-point operations of one cell and step of second-order Rush-Larsen, as XLA counts the compiled program; dividing is one.

    Exponentials and logarithms are polynomials of this project, so that they are counted by their sums and products.
    """
    cells = 64
    rest = cell.initial_state()
    state = jnp.broadcast_to(rest[:, None], (rest.shape[0], cells)) + jnp.zeros((rest.shape[0], cells), rest.dtype)
    step = jax.jit(lambda state: cell.paced(None).advance(state, jnp.zeros((), rest.dtype), jnp.asarray(0.02, rest.dtype)))
    cost = step.lower(state).compile().cost_analysis() or {}
    return float(cost.get("flops", 0.0) + cost.get("transcendentals", 0.0)) / cells
