"""Many cells side by side, each at its own rate: trains of pulses, premature beats, and how long their action potentials last."""

from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from physics import CellModel, Stimulus, action_potential
from solvers import Solution, TimeMesh, simulate, time_mesh

STIMULUS, STIMULUS_MS = 52.0, 1.0  # A/F; about twice the threshold
CHUNK_MS = 100.0  # of one compiled program
WINDOW_MS = 520.0  # a premature beat and its repolarisation
LEAST_AMPLITUDE = 60.0  # mV, of what counts as an action potential


class OwnPulses(Stimulus):
    """Rectangular pulses into cells, each at its own times.

    Args:
        starts: ms, ``(cells, pulses)``; whole steps, or a step straddles an edge.
        amplitudes: A/F, positive depolarises.
    """

    starts: Float[Array, "cells pulses"]
    amplitudes: Float[Array, "#cells #pulses"]

    def current(self, time: Float[Array, ""]) -> Float[Array, " cells"]:
        """See :class:`physics.Stimulus`."""
        begin = self.starts.astype(time.dtype)
        on = (time >= begin - 1e-6) & (time < begin + STIMULUS_MS - 1e-6)
        return jnp.sum(jnp.where(on, self.amplitudes.astype(time.dtype), 0.0), axis=1)

    def edges(self) -> list[float]:
        """See :class:`physics.Stimulus`."""
        return sorted({edge for start in np.asarray(self.starts).ravel() for edge in (float(start), float(start) + STIMULUS_MS)})


@dataclass(frozen=True)
class Restitution:
    """Durations (ms) of premature beats: NaN where a stimulus makes no action potential.

    Attributes:
        paced: Of the last regular beat, ``(cells,)``.
        premature: ``(intervals, cells)``.
        before_paced: State when the last regular stimulus comes, ``(components, cells)``.
        before_premature: When the premature ones come, ``(components, intervals, cells)``.
    """

    paced: np.ndarray
    premature: np.ndarray
    before_paced: np.ndarray
    before_premature: np.ndarray


def paced(
    cell: CellModel,
    starts: np.ndarray,
    end_ms: float,
    dt_ms: float,
    state: np.ndarray | None = None,
    amplitudes: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """States of every cell at every whole millisecond from 0 on, ``(times, components, cells)``, the potential in mV first.

    Args:
        cell: Parameters are one number, or one per cell.
        starts: Of the pulses, ``(cells, pulses)``, ms.
        end_ms: A whole number of ms.
        dt_ms: Longest step.
        state: At time 0; the cell's initial one where left out.
        amplitudes: Of the pulses, ``(cells, pulses)``, A/F; :data:`STIMULUS` where left out.

    Returns:
        The potentials ``(times, cells)``, mV, and the states ``(times, components, cells)``.
    """
    if state is None:
        rest = cell.initial_state()
        state = np.asarray(jnp.broadcast_to(rest[:, None], (rest.shape[0], starts.shape[0])))
    strengths = jnp.full((1, 1), STIMULUS) if amplitudes is None else jnp.asarray(amplitudes, float)
    seen, now = [np.asarray(state)[None]], 0.0
    while now < end_ms:
        length = min(CHUNK_MS, end_ms - now)
        mesh = time_mesh(0.0, [float(time) for time in np.arange(1.0, length + 0.5)], dt_ms)
        solution = _chunk(cell, OwnPulses(jnp.asarray(starts - now, float), strengths), jnp.asarray(state), mesh)
        solution.raise_for_status()
        seen.append(np.asarray(solution.states))
        state, now = seen[-1][-1], now + length
    states = np.concatenate(seen)
    return np.asarray(jax.vmap(cell.millivolts)(jnp.asarray(states))), states


@eqx.filter_jit
def _chunk(cell: CellModel, pulses: OwnPulses, state: Array, mesh: TimeMesh) -> Solution:
    return simulate(cell.paced(pulses), state, mesh)


def premature_beats(
    cell: CellModel, repeated: CellModel, cycle_lengths: np.ndarray, intervals: np.ndarray, beats: int, dt_ms: float
) -> Restitution:
    """Each cell at its own cycle length, then one premature beat after each of several rests.

    The last regular stimulus comes at the same time for all; who is paced faster starts later.

    Args:
        cell: Parameters are one number, or one per cell.
        repeated: The same with the parameters of the premature beats: cells of the first interval, of the second, and so on.
        cycle_lengths: ms, ``(cells,)``, whole.
        intervals: Diastolic intervals from 90 % repolarisation to the premature stimulus, ms.
        beats: Regular ones.
        dt_ms: Longest step.
    """
    last = float((beats - 1) * cycle_lengths.max())
    starts = last - np.arange(beats - 1, 0, -1)[None, :] * cycle_lengths[:, None]
    _, states = paced(cell, starts, last, dt_ms)
    trace, states = paced(cell, np.zeros((len(cycle_lengths), 1)), np.ceil(WINDOW_MS + intervals.max()), dt_ms, states[-1])
    regular = durations(trace[: int(WINDOW_MS)])
    moments = np.where(np.isfinite(regular), regular, 300.0)[None] + intervals[:, None]
    whole = np.clip(np.floor(moments).astype(int), 0, len(states) - 2)
    share, cells = (moments - whole)[..., None], np.arange(len(cycle_lengths))[None]
    before = states[whole, :, cells] * (1 - share) + states[whole + 1, :, cells] * share  # (intervals, cells, components)
    spread = np.moveaxis(before, -1, 0)
    beat, _ = paced(repeated, np.zeros((moments.size, 1)), WINDOW_MS, dt_ms, spread.reshape(spread.shape[0], -1))
    return Restitution(regular, durations(beat).reshape(moments.shape), states[0], spread)


def durations(trace: np.ndarray) -> np.ndarray:
    """From the stimulus to 90 % repolarisation, ms, in every column of ``(times, cells)``; NaN where there is no action potential.

    From the stimulus and not the upstroke, which samples every millisecond do not resolve.
    """
    times = jnp.arange(trace.shape[0], dtype=float)
    marks = jax.vmap(lambda column: action_potential(times, column))(jnp.asarray(trace.T))
    there = np.asarray(marks.repolarised) & (np.asarray(marks.peak - marks.resting) > LEAST_AMPLITUDE)
    return np.where(there, np.asarray(marks.repolarisation_time), np.nan)
