"""What the experiments on whole hearts share: the heart with its lead fields, action potentials, first places, and figures."""

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
    action_potential,
    biventricular_heart,
    fibre_tensor,
    lead_fields,
    point_sources,
    standard_electrodes,
)
from physics.biventricular import RIGHT
from solvers import TensorDiffusion, simulate, time_mesh
from twinsim.figure_style import LINE, new_figure, quiet

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INTRACELLULAR = (0.17, 0.019)  # S/m along and across the fibre: Niederer 2011
KINDS, KIND_MS = 24, 5.0  # action potentials by when a cell is activated: so many, each for so many ms
ENDOCARDIUM = 0.15
"""Transmural coordinate up to which the fast layer reaches; at 1 mm the first voxel or two of the left wall."""

# First activated places in mm in the frame of the heart, and when in ms: on the left the three of Durrer et al. (1970), Circulation 41, 899
# (high anterior, the middle of the septum, posterior between base and apex), on the right the foot of the papillary muscle, later.
FIRST_PLACES = (
    ((0.0, 23.0, -15.0), 0.0),
    ((23.0, 0.0, -20.0), 0.0),
    ((0.0, -23.0, -20.0), 0.0),
    ((58.0, 8.0, -20.0), 5.0),
)


class Body(NamedTuple):
    """A heart and what electrodes see of it.

    Attributes:
        heart: On its voxels.
        active: Flat indices of the muscle.
        fields: Lead fields of the nine electrodes on these.
    """

    heart: Heart
    active: np.ndarray
    fields: Array

    def endocardium(self) -> np.ndarray:
        """The fast layer, ``(x, y, z)``; in the thin right wall it is twice as thick in coordinates."""
        reach = np.where(self.heart.ventricle == RIGHT, 2 * ENDOCARDIUM, ENDOCARDIUM)
        return np.asarray(self.heart.grid.mask) & (np.asarray(self.heart.transmural) <= reach)


def body(spacing_mm: float, conductivity: float = 0.24) -> Body:
    """The analytic heart in an infinite conductor, in JAX's default precision."""
    heart = biventricular_heart(spacing_mm)
    active = np.flatnonzero(np.asarray(heart.grid.mask))
    intracellular = TensorDiffusion(heart.grid, fibre_tensor(heart.grid, *INTRACELLULAR, heart.fibres), closure="no flux")
    sources = point_sources(heart.grid, heart.origin, standard_electrodes(), conductivity)
    fields = lead_fields(intracellular, sources, heart.grid.voxel_volume)[:, active]
    return Body(heart, active, fields)


def kinds_of(activation: Array) -> Array:
    """Which of :func:`action_potentials` cells have that are activated at these times (ms)."""
    return jnp.clip(jnp.where(jnp.isfinite(activation), activation, 0) / KIND_MS, 0, KINDS - 1).astype(int)


def action_potentials(cell_model: str, cycle_ms: float, beats: int, dt_ms: float, shorter_per_ms: float) -> Array:
    """Potential in mV by kind, every ms from the upstroke on: the cell's last beat, stretched in time the less the later it is activated.

    In human hearts what is activated later repolarises sooner after its upstroke, which makes T waves upright: the duration falls by about
    1.3 ms per ms (Franz et al. 1987, Circulation 75, 379; recalled). Cells activated after 30 ms have the duration of the single cell.
    """
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
    upstroke, duration, rest = float(marks.upstroke_time), float(marks.duration), float(voltage[-1])
    shapes = []
    for kind in range(KINDS):
        longer = max(-0.6 * duration, shorter_per_ms * (30.0 - KIND_MS * (kind + 0.5)))
        since = (np.arange(int(cycle_ms)) - 0.5) * duration / (duration + longer)
        shape = np.interp(upstroke + since, times, voltage)
        shape[0] = rest  # before the upstroke; the foot is the stimulus's
        shapes.append(shape)
    return jnp.asarray(np.stack(shapes))


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
