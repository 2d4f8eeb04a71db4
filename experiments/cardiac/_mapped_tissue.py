"""Activation and repolarisation times of a sheet of ten Tusscher's cells at sites: differentiable in conductivities and channels."""

from collections.abc import Mapping, Sequence
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from experiments.cardiac._mapped_sheet import directions_for, reading, sheet
from experiments.cardiac._shared import fibre
from physics import (
    NIEDERER_2011,
    TEN_TUSSCHER_2006_ENDO,
    TEN_TUSSCHER_2006_EPI,
    TEN_TUSSCHER_2006_MID,
    CellModel,
    Monodomain,
    RecordActivation,
    TenTusscher2006,
    TissueStimulus,
    box_fraction,
    fibre_tensor,
    front_fit,
    monodomain_conductivity,
    tissue_diffusivity,
)
from solvers import LatticeDiffusion, Status, TimeMesh, VoxelGrid, simulate, vmap_members
from twinsim.prior import Prior, Values, values_of

SIZE_MM = (10.0, 6.0)
LEVELS_MV = (-30.0, -70.0)  # about half and nine tenths of the way back to rest
STIMULATED_MM = 1.0
STIMULUS = (50.0, 2.0)  # A/F and ms
ACTIVATED_MS = 45.0  # by then all of the sheet is
ENDS_MS = {"epi": 420.0, "endo": 420.0, "mid": 540.0}  # by then all of it has repolarised
PLATEAU_STEP_MS = 0.1  # calcium is stable up to there
RATIOS = np.geomspace(2.0, 25.0, 30)  # of conductivity along and across that the stencil's directions serve

_P = {name: NIEDERER_2011[name].value for name in NIEDERER_2011}
_ALONG, _ACROSS = (float(monodomain_conductivity(_P[f"intracellular_{d}"], _P[f"extracellular_{d}"])) for d in ("along", "across"))
CELLS = {"epi": TEN_TUSSCHER_2006_EPI, "mid": TEN_TUSSCHER_2006_MID, "endo": TEN_TUSSCHER_2006_ENDO}
_SOURCE = "Niederer et al. 2011; spread chosen: a factor of 1.6 either way"
CHANNELS = ("calcium_permeability", "rapid_potassium_conductance", "sodium_conductance", "slow_potassium_conductance")
"""Parameters of the cell that can be asked for."""

FITTED = ("conductivity_along", "conductivity_across", "calcium_permeability", "rapid_potassium_conductance", "onset")
LEFT_OUT = ("sodium_conductance", "slow_potassium_conductance")
"""What is not fitted, since the times do not tell it apart from what is."""


Layer = Literal["epi", "mid", "endo"]


def priors_of(names: Sequence[str], layer: Layer = "epi") -> tuple[Prior, ...]:
    """Priors around published values; the onset is when the clock of the recording started."""
    cell = CELLS[layer]
    known = {
        "conductivity_along": Prior("conductivity_along", "S/m", _ALONG, 0.5, "log", _SOURCE),
        "conductivity_across": Prior("conductivity_across", "S/m", _ACROSS, 0.5, "log", _SOURCE),
        "onset": Prior("onset", "ms", 0.0, 5.0, "identity", "the stimulus is known to within some ms"),
    } | {name: Prior(name, cell[name].unit, cell[name].value, 0.5, "log", cell.name) for name in CHANNELS}
    return tuple(known[name] for name in names)


class MappedTissue:
    r"""From conductivities (S/m), channels and the onset (ms) to times ``(3, sites)``: activation, and falling through two levels.

    Until all is activated the voxels are fine and the steps short. Then states are averaged over two by two voxels, and steps are 0.1 ms:
    repolarisation is smooth over millimetres. Both parts are the monodomain equation, and derivatives go through all of it.

    Args:
        spacing_mm: Voxels of the first part.
        step_ms: Steps of it.
        sites: ``(sites, 2)``, mm from the corner that is stimulated.
        angle_deg: Of the fibres.
        layer: Of the wall: which cell.
        coarsen: Whether the voxels are doubled after activation.
        plateau_step_ms: Steps after it.
    """

    def __init__(
        self,
        spacing_mm: float,
        step_ms: float,
        sites: np.ndarray,
        angle_deg: float,
        layer: Layer = "epi",
        coarsen: bool = True,
        plateau_step_ms: float = PLATEAU_STEP_MS,
    ) -> None:
        self.cell, self.angle = TenTusscher2006.published(layer), angle_deg
        self.grids = sheet(SIZE_MM, spacing_mm), sheet(SIZE_MM, spacing_mm * (2 if coarsen else 1))
        self.readings = tuple(reading(grid, sites) for grid in self.grids)
        self.directions = tuple(directions_for(grid.spacing[0], angle_deg, RATIOS) for grid in self.grids)
        region = box_fraction(self.grids[0], (0.0, 0.0, 0.0), (STIMULATED_MM, STIMULATED_MM, 100.0))
        self.pulse = TissueStimulus(self.grids[0], region, *STIMULUS)
        spans = ((0.0, ACTIVATED_MS, step_ms), (ACTIVATED_MS, ENDS_MS[layer], plateau_step_ms))
        self.stages: list[int] = []
        self.meshes: list[TimeMesh] = []
        for part, (start, end, step) in enumerate(spans):
            # As many stages as conductivities of one prior deviation above the median need; a trial beyond that fails, and is taken back.
            most = Monodomain(self.cell, self._diffusion(part, 1.8 * _ALONG, 1.8 * _ACROSS), (self.pulse,)[: 1 - part]).for_step(step)
            self.stages.append(most.stages)
            self.meshes.append(most.mesh([end], step, start))
        self.steps = sum(len(mesh.used) * grid.size for mesh, grid in zip(self.meshes, self.grids, strict=True))
        self.times = jax.jit(self._times)
        self._linearised = {}

    def at(self, values: Mapping[str, ArrayLike]) -> np.ndarray:
        """Times at the sites, ms."""
        return np.asarray(self.times({name: jnp.asarray(value, float) for name, value in values.items()}))

    def linearised(self, priors: tuple[Prior, ...], z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Times ``(3, sites)`` and their derivatives ``(coordinates, 3, sites)`` at standard-normal coordinates, over all devices."""
        names = tuple(prior.name for prior in priors)
        if names not in self._linearised:
            basis = jnp.eye(len(priors))

            def times(point: Array) -> Array:
                return self._times(values_of(priors, point))

            def all_of_them(point: Array) -> tuple[Array, Array]:
                found, slopes = vmap_members(lambda direction: jax.jvp(times, (point,), (direction,)), basis)
                return found[0], slopes

            self._linearised[names] = jax.jit(all_of_them)
        times, slopes = self._linearised[names](jnp.asarray(z))
        return np.asarray(times), np.asarray(slopes)

    def _times(self, values: Values) -> Array:
        cell: CellModel = self.cell
        for name in CHANNELS:
            if name in values:
                cell = eqx.tree_at(lambda c, name=name: getattr(c, name), cell, values[name])
        state, found = None, []
        ended = jnp.asarray(True)
        for part, (grid, mesh) in enumerate(zip(self.grids, self.meshes, strict=True)):
            diffusion = self._diffusion(part, values["conductivity_along"], values["conductivity_across"])
            equation = Monodomain(cell, diffusion, (self.pulse,)[: 1 - part], self.stages[part])
            recorder = RecordActivation(equation.stepper(), cell, lower=LEVELS_MV)
            if state is None:
                start = recorder.start(equation.initial_state(grid))
            else:
                start = recorder.start(averaged(state.cells, self.grids[0], grid))
                activated = averaged(state.record.activated, self.grids[0], grid)
                start = eqx.tree_at(lambda s: s.record.activated, start, activated)
            solution = simulate(recorder, start, mesh)
            state, ended = solution.final, ended & (solution.status == Status.SUCCESS) & (diffusion.base.lost < 1e-6)
            found.append(state.record.activated[None] if part == 0 else state.record.repolarised)
        times = jnp.concatenate([each @ weights.T for each, weights in zip(found, self.readings, strict=True)])
        return jnp.where(ended, times + values["onset"], jnp.nan)

    def _diffusion(self, part: int, along: Array | float, across: Array | float) -> LatticeDiffusion:
        per = _P["surface_to_volume"], _P["capacitance"]
        grid = self.grids[part]
        tensor = fibre_tensor(grid, tissue_diffusivity(along, *per), tissue_diffusivity(across, *per), fibre(self.angle))
        return LatticeDiffusion(grid, tensor, front_fit(self.cell), directions=self.directions[part])


def averaged(fields: Array, fine: VoxelGrid, coarse: VoxelGrid) -> Array:
    """Fields of cells on voxels twice as wide (or the same), by the mean over those inside."""
    factor = fine.shape[0] // coarse.shape[0]
    x, y, _ = coarse.shape
    return fields.reshape(*fields.shape[:-1], x, factor, y, factor).mean(axis=(-3, -1)).reshape(*fields.shape[:-1], coarse.size)
