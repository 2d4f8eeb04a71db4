"""A cable or strip of tissue, a regular beat from one end and a premature one in its middle; many tissues at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
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
    RectangularPulse,
    TissueStimulus,
    box_fraction,
    interstitial_fibrosis,
    with_blocked_faces,
)
from solvers import Diffusion, Status, TimeMesh, VoxelGrid, simulate, time_mesh
from twinsim.errors import InputError

STIMULUS, STIMULUS_MS = 80.0, 2.0  # A/F
UPPER_MV, LOWER_MV = -30.0, -65.0  # premature upstrokes are low
SAVE_MS = 2.0  # between states that a premature stimulus may start from

CHANNELS: dict[str, dict[str, tuple[str, float]]] = {
    **{
        f"ten_tusscher_2006_{layer}": {"i_na": ("sodium_conductance", 1.0), "i_kr": ("rapid_potassium_conductance", 1.0)}
        for layer in ("epi", "mid", "endo")
    },
    "mitchell_schaeffer": {"i_na": ("inward_constant", -1.0), "i_kr": ("outward_constant", -1.0)},
}
"""Which parameter a current is proportional to, and with which power; Mitchell and Schaeffer have one current each way."""


@dataclass(frozen=True)
class Tissue:
    """Factors of one member, and its fibrosis."""

    i_na: float = 1.0
    i_kr: float = 1.0
    conductivity: float = 1.0
    fibrosis: float = 0.0


class Member(eqx.Module):
    """What of the equations differs from member to member."""

    cell: CellModel
    faces: tuple[jax.Array, ...]
    correction: tuple[jax.Array, ...]


class Outcome(eqx.Module):
    """Whether a premature beat arrived behind (towards the origin of S1) and ahead."""

    behind: jax.Array
    ahead: jax.Array
    failed: jax.Array


class PrematureStrip:
    """The strip, its members, and what a premature stimulus does in each.

    Args:
        cell_model: One of :data:`CHANNELS`.
        tissues: The members.
        size_mm: Length and width, mm; width zero for a cable.
        dx_mm: Edge of a voxel, mm.
        dt_ms: Longest step, ms.
        diffusivity: Along and across, mm²/ms.
        stimulated_mm: Length of the premature stimulus's region, mm.
        probe_mm: From its edges to where a wave counts as having arrived, mm.
        left: Share of conductance that a fibrotic face keeps.
        seed: Of the fibrosis; the same for all members, so that more contains less.
    """

    def __init__(
        self,
        cell_model: str,
        tissues: Sequence[Tissue],
        size_mm: tuple[float, float],
        dx_mm: float,
        dt_ms: float,
        diffusivity: tuple[float, float],
        stimulated_mm: float,
        probe_mm: float,
        left: float,
        seed: int,
    ) -> None:
        self.dt, self.tissues = dt_ms, tissues
        length, width = round(size_mm[0] / dx_mm), max(1, round(size_mm[1] / dx_mm))
        self.grid = VoxelGrid(np.ones((length, width, 1), bool), (dx_mm, dx_mm, 1.0))
        full = tuple(jnp.full(self.grid.shape, value) for value in (*diffusivity, 0.0))
        self.operator = Diffusion(self.grid, (full[0], full[1], full[2]), interior_order=4)
        published = CELL_MODELS[cell_model]()
        members = []
        for tissue in tissues:
            faces = tuple(face * tissue.conductivity for face in self._faces(tissue.fibrosis, left, seed))
            correction = tuple(weight / tissue.conductivity for weight in self.operator.correction or ())
            members.append(Member(scaled(published, cell_model, {"i_na": tissue.i_na, "i_kr": tissue.i_kr}), faces, correction))
        self.members: Member = jax.tree.map(lambda *leaves: jnp.stack(leaves), *members)
        centre, half = size_mm[0] / 2, stimulated_mm / 2
        self.middle = length // 2 * width + width // 2
        self.first = TissueStimulus(self.grid, box_fraction(self.grid, (0, 0, 0), (2.0, 1e3, 1e3)), STIMULUS, STIMULUS_MS)
        region = box_fraction(self.grid, (centre - half, 0, 0), (centre + half, 1e3, 1e3))
        self.premature = TissueStimulus(self.grid, region, STIMULUS, STIMULUS_MS)
        columns = [round((place - dx_mm / 2) / dx_mm) for place in (centre - half - probe_mm, centre + half + probe_mm)]
        self.probes = tuple(slice(column * width, (column + 1) * width) for column in columns)
        stiffest = max(tissue.conductivity for tissue in tissues)
        bounding = eqx.tree_at(lambda o: o.scale, self.operator, self.operator.scale * stiffest)
        self.stages = Monodomain(published, bounding).for_step(dt_ms).stages

    def _faces(self, fraction: float, left: float, seed: int) -> tuple[jax.Array, ...]:
        if not fraction:
            return self.operator.faces
        blocked = interstitial_fibrosis(self.grid, fraction, 0.0, jax.random.key(seed), fibre_axis=2)
        return with_blocked_faces(self.operator, self.grid, blocked, left).faces

    def equation(self, member: Member, stimulus: TissueStimulus) -> Monodomain:
        """One member under a stimulus."""
        operator = eqx.tree_at(lambda o: (o.faces, o.correction), self.operator, (member.faces, member.correction))
        return Monodomain(member.cell, operator, (stimulus,), stages=self.stages)

    def paced(self, beats: int, cycle_ms: float) -> jax.Array:
        """State of every member's cell just before the regular beat, ``(members, components)``."""
        pulse = RectangularPulse(jnp.asarray(52.0), jnp.asarray(1.0))
        mesh = time_mesh(0.0, [cycle_ms], self.dt, breakpoints=pulse.edges())
        state = jax.vmap(lambda member: member.cell.initial_state())(self.members)
        for _ in range(beats):
            state = _beat(self.members.cell, pulse, state, mesh)
        return state

    def regular(self, cells: jax.Array, until_ms: float) -> "Course":
        """The wave of S1 from one end: states every 2 ms, and when the middle repolarises."""
        save = np.arange(SAVE_MS, until_ms + 1e-9, SAVE_MS)
        mesh = time_mesh(0.0, [float(time) for time in save], self.dt, breakpoints=self.first.edges())
        states, repolarised, ok = _regular(self, self.members, cells, mesh)
        if not bool(jnp.all(ok)):
            raise InputError("a run of the regular beat that fails", "finite potentials", "shorten dt-ms")
        return Course(save, states, np.asarray(repolarised, float))

    def premature_beats(self, course: "Course", which: np.ndarray, times: np.ndarray, watch_ms: float) -> np.ndarray:
        """What a premature stimulus at each time (ms after S1) does in member ``which``: how many sides a wave reaches, 0 to 2.

        A wave that arrives only ahead, with the regular beat, counts as -1: no re-entry starts from there.
        """
        start = np.clip(np.searchsorted(course.times, times, side="right") - 1, 0, course.times.size - 1)
        lead = np.maximum(times - course.times[start], 0.0)
        waited = time_mesh(0.0, [SAVE_MS], self.dt)
        watched = time_mesh(0.0, [watch_ms], self.dt, breakpoints=self.premature.edges())
        members = jax.tree.map(lambda leaf: leaf[jnp.asarray(which)], self.members)
        states = course.states[jnp.asarray(which), jnp.asarray(start)]
        found = _premature(self, members, states, jnp.asarray(lead), waited, watched)
        if bool(jnp.any(found.failed)):
            raise InputError("a run of a premature beat that fails", "finite potentials", "shorten dt-ms")
        behind, ahead = np.asarray(found.behind), np.asarray(found.ahead)
        return np.where(behind, 1 + ahead.astype(int), -ahead.astype(int))


@dataclass(frozen=True)
class Course:
    """The regular beat of every member: states ``(members, times, components, cells)``, and when the middle is below -65 mV again."""

    times: np.ndarray
    states: Any
    repolarised: np.ndarray


def scaled(cell: CellModel, name: str, factors: Mapping[str, float]) -> CellModel:
    """The cell with its currents multiplied."""
    changes = {}
    for current, factor in factors.items():
        field, power = CHANNELS[name][current]
        changes[field] = getattr(cell, field) * factor**power
    return replace(cell, **changes)


@eqx.filter_jit
def _beat(cells: CellModel, pulse: RectangularPulse, state: jax.Array, mesh: TimeMesh) -> jax.Array:
    return jax.vmap(lambda cell, one: simulate(cell.paced(pulse), one, mesh).final)(cells, state)


@eqx.filter_jit
def _regular(strip: PrematureStrip, members: Member, cells: jax.Array, mesh: TimeMesh) -> tuple[jax.Array, jax.Array, jax.Array]:
    def one(member: Member, cell: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        recorder = RecordActivation(strip.equation(member, strip.first).stepper(), member.cell, UPPER_MV, LOWER_MV)
        state = jnp.broadcast_to(cell[:, None], (cell.shape[0], strip.grid.size))
        solution = simulate(recorder, recorder.start(state), mesh)
        return solution.states.cells, solution.final.record.repolarisation_times()[strip.middle], solution.status == Status.SUCCESS

    return jax.vmap(one)(members, cells)


@eqx.filter_jit
def _premature(strip: PrematureStrip, members: Member, states: jax.Array, lead: jax.Array, waited: TimeMesh, watched: TimeMesh) -> Outcome:
    def one(member: Member, state: jax.Array, lead: jax.Array) -> Outcome:
        equation = strip.equation(member, strip.premature)
        # All members take the same number of steps to their own moment, so that the stimulus starts at the end of a step in each.
        quiet = replace(equation, stimuli=())
        share = (lead / SAVE_MS).astype(waited.length.dtype)
        mesh = eqx.tree_at(lambda m: (m.start, m.length), waited, (waited.start * share, waited.length * share))
        state = simulate(quiet.stepper(), state, mesh).final
        recorder = RecordActivation(equation.stepper(), member.cell, UPPER_MV, LOWER_MV)
        solution = simulate(recorder, recorder.start(state), watched)
        arrived = jnp.isfinite(solution.final.record.activation_times())
        return Outcome(arrived[strip.probes[0]].any(), arrived[strip.probes[1]].any(), solution.status != Status.SUCCESS)

    return jax.vmap(one)(members, states, lead)
