"""Re-entry on a sheet by crossed stimuli, and how fast tissue of a cell model runs."""

from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from physics import CellModel, Monodomain, TissueStimulus
from physics.cell_model import Stimulus
from solvers import Diffusion, Solution, Stepper, TimeMesh, VoxelGrid, simulate, time_mesh
from twinsim.machine import best
from twinsim.precision import in_precision

STIMULUS, STIMULUS_MS = 80.0, 2.0  # A/F
SEE_MS, CHUNK_MS = 5.0, 250.0
EXCITED_MV, REST_MV = -30.0, -70.0
PROBES = 4  # per side


@dataclass(frozen=True)
class Reentry:
    """What was seen after the crossed stimulus.

    Attributes:
        times: ms, every :data:`SEE_MS`.
        probes: Potential, ``(times, probes)``, mV.
        excited: Share of the sheet above -30 mV at those times.
        picture: Potential at the end, ``(x, y)``, mV.
        inside: Whether every state was one that a cell can be in.
    """

    times: np.ndarray
    probes: np.ndarray
    excited: np.ndarray
    picture: np.ndarray
    inside: bool

    @property
    def period_ms(self) -> float:
        """Median time between upstrokes over all probes in the second half; NaN with fewer than two anywhere."""
        late = self.times > self.times[-1] / 2
        gaps = []
        for column in self.probes[late].T:
            (rises,) = np.nonzero((column[:-1] < EXCITED_MV) & (column[1:] >= EXCITED_MV))
            share = (EXCITED_MV - column[rises]) / (column[rises + 1] - column[rises])
            gaps.extend(np.diff(self.times[late][rises] + share * SEE_MS))
        return float(np.median(gaps)) if gaps else float("nan")

    @property
    def alive_ms(self) -> float:
        """Until when some part of the sheet was excited, ms after the crossed stimulus."""
        (there,) = np.nonzero(self.excited > 0)
        return float(self.times[there[-1]]) if there.size else 0.0


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
        stepper, now, times, probes, excited, inside = self.stepper((second,)), 0.0, [], [], [], True
        while now < duration_ms:
            length = min(CHUNK_MS, duration_ms - now)
            save = [now + SEE_MS * (i + 1) for i in range(round(length / SEE_MS))]
            marks = self._watched(stepper if now == 0 else self.stepper(), state, time_mesh(now, save, self.dt, breakpoints=[STIMULUS_MS]))
            state, (at_probes, share) = marks
            times += save
            probes.append(np.asarray(at_probes))
            excited.append(np.asarray(share))
            inside = inside and bool(np.asarray(self.cell.examine(state).status == 0).all())
            now += length
            if not inside:
                break
        picture = np.asarray(self.cell.millivolts(state)).reshape(self.n, self.n)
        return Reentry(np.array(times), np.concatenate(probes), np.concatenate(excited), picture, inside)

    def _watched(self, stepper: Stepper, state: Array, mesh: TimeMesh) -> tuple[Array, tuple[Array, Array]]:
        solution = _advanced(stepper, state, mesh)
        potential = jax.vmap(self.cell.millivolts)(solution.states)
        return solution.final, (potential[:, self.probes], (potential > EXCITED_MV).mean(axis=1))

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
