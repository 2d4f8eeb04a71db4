"""What the experiments on whole hearts share: the heart with its lead fields, action potentials, first places, and figures."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from physics import (
    CELL_MODELS,
    LEADS,
    Heart,
    RectangularPulse,
    Torso,
    action_potential,
    analytic_torso,
    fibre_tensor,
    lead_fields,
    point_sources,
    torso_solution,
    torso_sources_at,
)
from physics.biventricular import RIGHT
from solvers import EllipticSolution, TensorDiffusion, simulate, start_at, time_mesh
from twinsim.errors import InputError
from twinsim.figure_style import LINE, new_figure, quiet
from twinsim.heart_folder import HeartRecord, analytic_record, load_heart

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INTRACELLULAR = (0.17, 0.019)  # S/m along and across the fibre: Niederer 2011
KINDS, KIND_MS = 24, 5.0  # action potentials by when a cell is activated: so many, each for so many ms
ENDOCARDIUM = 0.15
"""Transmural coordinate up to which the fast layer reaches; at 1 mm the first voxel or two of the left wall."""


class InTorso(NamedTuple):
    """The torso round a heart.

    Attributes:
        torso: Its voxels.
        solution: Potentials of the electrodes' currents on them.
        iterations: Most of any electrode.
        seconds: For the torso and its solutions, compilation included.
    """

    torso: Torso
    solution: EllipticSolution
    iterations: int
    seconds: float

    def summary(self) -> dict[str, float]:
        """For a run's headline."""
        return {
            "torso_voxels": int(np.asarray(self.torso.grid.mask).sum()),
            "torso_iterations": self.iterations,
            "torso_seconds": self.seconds,
        }


class Body(NamedTuple):
    """A heart and what electrodes see of it.

    Attributes:
        record: The heart as it lies in the body.
        active: Flat indices of the muscle.
        fields: Lead fields of the nine electrodes on these.
        inside: The torso; None for an infinite conductor.
    """

    record: HeartRecord
    active: np.ndarray
    fields: Array
    inside: InTorso | None = None

    @property
    def heart(self) -> Heart:
        """On its voxels."""
        return self.record.heart

    def endocardium(self) -> np.ndarray:
        """The fast layer, ``(x, y, z)``; in the thin right wall it is twice as thick in coordinates."""
        reach = np.where(self.heart.ventricle == RIGHT, 2 * ENDOCARDIUM, ENDOCARDIUM)
        return np.asarray(self.heart.grid.mask) & (np.asarray(self.heart.transmural) <= reach)

    def first_places(self) -> Array:
        """Times at which cells start by themselves, for :func:`solvers.eikonal`."""
        voxels = [self.heart.nearest(place) for place, _ in self.record.places]
        return start_at(self.heart.grid, voxels, jnp.asarray([time for _, time in self.record.places]))


def body(spacing_mm: float, folder: Path | None = None, torso_mm: float | None = None, conductivity: float = 0.24) -> Body:
    """The analytic heart, or a folder's, in JAX's default precision: in a torso of these voxels, or in an infinite conductor."""
    record = analytic_record(spacing_mm) if folder is None else load_heart(folder, spacing_mm)
    heart = record.heart
    active = np.flatnonzero(np.asarray(heart.grid.mask))
    intracellular = TensorDiffusion(heart.grid, fibre_tensor(heart.grid, *INTRACELLULAR, heart.fibres), closure="no flux")
    if torso_mm is None:
        sources, torso = point_sources(heart.grid, heart.origin, record.electrodes, conductivity), None
    else:
        sources, torso = _in_a_torso(record, torso_mm)
    fields = lead_fields(intracellular, sources, heart.grid.voxel_volume)[:, active]
    return Body(record, active, fields, torso)


def _in_a_torso(record: HeartRecord, torso_mm: float) -> tuple[Array, InTorso]:
    """Potentials of the electrodes' currents on the heart's voxels."""
    began = time.perf_counter()
    heart, turn = record.heart, record.directions.T
    positions = heart.positions()
    muscle, blood = (positions[where] @ turn for where in (np.asarray(heart.grid.mask), record.blood > 0))
    middle, electrodes = record.frame.middle @ turn, record.electrodes @ turn
    try:
        torso = analytic_torso(torso_mm, middle, muscle, blood, heart.grid.voxel_volume, electrodes)
    except ValueError as error:
        raise InputError(f"a heart for which no torso is made ({error})", "one of an adult's size", "leave --torso out") from error
    solution = torso_solution(torso)
    solution.raise_for_status()
    values = torso_sources_at(torso, solution, muscle)
    # Outside of the muscle nothing is read.
    full = jnp.zeros((len(electrodes), heart.grid.size), values.dtype)
    full = full.at[:, jnp.asarray(np.flatnonzero(np.asarray(heart.grid.mask).reshape(-1)))].set(values)
    iterations = int(np.asarray(solution.iterations).max())
    return full, InTorso(torso, solution, iterations, time.perf_counter() - began)


def kinds_of(activation: Array) -> Array:
    """Which of :func:`action_potentials` cells have that are activated at these times (ms)."""
    return jnp.clip(jnp.where(jnp.isfinite(activation), activation, 0) / KIND_MS, 0, KINDS - 1).astype(int)


class PacedBeat(NamedTuple):
    """One action potential of a paced cell: times in ms from the upstroke, mV, its duration and rest."""

    times: np.ndarray
    voltage: np.ndarray
    duration: float
    rest: float

    def stretched(self, cycle_ms: float, shorter_per_ms: float, factor: float = 1.0) -> Array:
        """Potential in mV by kind, every ms from the upstroke on: stretched in time the less the later a cell is activated.

        Cells activated after 30 ms have the duration of the single cell, times ``factor``.
        """
        shapes = []
        for kind in range(KINDS):
            longer = max(-0.6 * self.duration, shorter_per_ms * (30.0 - KIND_MS * (kind + 0.5)))
            since = (np.arange(int(cycle_ms)) - 0.5) * self.duration / ((self.duration + longer) * factor)
            shape = np.interp(since, self.times, self.voltage)
            shape[0] = self.rest  # before the upstroke; the foot is the stimulus's
            shapes.append(shape)
        return jnp.asarray(np.stack(shapes))


def paced_beat(cell_model: str, cycle_ms: float, beats: int, dt_ms: float) -> PacedBeat:
    """The last of these beats of a single cell."""
    cell = CELL_MODELS[cell_model]()
    pulse = RectangularPulse(jnp.asarray(52.0), jnp.asarray(1.0))
    mesh = time_mesh(0.0, [cycle_ms], dt_ms, breakpoints=[1.0])
    beat = jax.jit(lambda state: simulate(cell.paced(pulse), state, mesh, observe=lambda _, seen: cell.millivolts(seen)))
    state, voltage = cell.initial_state(), None
    for _ in range(beats):
        solution = beat(state)
        solution.raise_for_status()
        state, voltage = solution.states[-1], solution.observations
    times, voltage = np.asarray(mesh.times), np.asarray(voltage)
    marks = action_potential(jnp.asarray(times), jnp.asarray(voltage))
    return PacedBeat(times - float(marks.upstroke_time), voltage, float(marks.duration), float(voltage[-1]))


def action_potentials(cell_model: str, cycle_ms: float, beats: int, dt_ms: float, shorter_per_ms: float) -> Array:
    """Potential in mV by kind, every ms from the upstroke on: the cell's last beat, stretched in time the less the later it is activated.

    In human hearts what is activated later repolarises sooner after its upstroke, which makes T waves upright: the duration falls by about
    1.3 ms per ms (Franz et al. 1987, Circulation 75, 379; recalled).
    """
    return paced_beat(cell_model, cycle_ms, beats, dt_ms).stretched(cycle_ms, shorter_per_ms)


def leads_figure(times_ms: np.ndarray, traces: list[tuple[str, str, np.ndarray]]) -> "Figure":
    """Twelve leads in the usual order of four columns; each trace has a name, a colour and ``(12, samples)``."""
    figure = new_figure(4.6)
    panels = figure.subplots(3, 4, sharex=True, sharey=True)
    for number, name in enumerate(LEADS):
        axes = panels[number % 3, number // 3]
        quiet(axes)
        axes.axhline(0, color=LINE, linewidth=0.8)
        for label, colour, values in traces:
            axes.plot(times_ms, values[number], color=colour, linewidth=1.1, label=label)
        axes.set_title(name, fontsize=9, loc="left")
    for axes in panels[-1]:
        axes.set_xlabel("time (ms)")
    for axes in panels[:, 0]:
        axes.set_ylabel("mV")
    if len(traces) > 1:
        panels[0, 0].legend(fontsize=7)
    return figure
