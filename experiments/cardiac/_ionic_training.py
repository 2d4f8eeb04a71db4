"""Learning the slow current of a reduced cell: first from rates along recorded beats, then inside of the solver."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from experiments.cardiac._paced_cells import STIMULUS_MS, OwnPulses
from physics import ReducedVentricular
from solvers import TimeMesh, simulate, time_mesh
from twinsim.closures import PerceptronClosure, unrolled

PULSE_STEPS, EARLY_STEPS, BEAT_STEPS, REST_STEPS = 20, 40, 200, 60
EARLY_MS, BEAT_MS = 5.0, 405.0  # after a stimulus: where steps grow
STEPS = PULSE_STEPS + EARLY_STEPS + BEAT_STEPS + REST_STEPS
PHASES = np.array([3.0, 6.0, 10.0, 16.0, 25.0, 40.0, 60.0, 80.0, 105.0, 130.0, 155.0, 180.0, 205.0, 230.0, 255.0, 280.0, 305.0, 330.0])
MILLIVOLTS, MILLISECONDS, REST_MILLIVOLTS = 6.0, 1.5, 1.5  # what counts as an error of one
SKIPPED = 1  # first beats, which come after a rest that the reduced cell does not have
REPOLARISED = 0.9


@dataclass(frozen=True)
class Recorded:
    """Beats of the full cell that are to be followed.

    Attributes:
        open_shares: Of rapid potassium and calcium channels, ``(cells, 2)``.
        starts: Of the pulses and the end of the last beat, ``(cells, beats + 1)``, ms.
        voltage: At every whole ms, ``(times, cells)``, mV.
        at_phases: Voltage at :data:`PHASES` after every stimulus, ``(cells, beats, phases)``; NaN once the beat is over.
        levels: Where 90 % is repolarised, ``(cells, beats)``, mV.
        durations: From stimulus to that, ms; NaN where a stimulus makes no action potential.
        ends: Voltage just before the next stimulus, mV.
    """

    open_shares: np.ndarray
    starts: np.ndarray
    voltage: np.ndarray
    at_phases: np.ndarray
    levels: np.ndarray
    durations: np.ndarray
    ends: np.ndarray

    @classmethod
    def of(cls, open_shares: np.ndarray, starts: np.ndarray, voltage: np.ndarray) -> "Recorded":
        """Marks of every beat."""
        cells, beats = starts.shape[0], starts.shape[1] - 1
        at_phases = np.full((cells, beats, len(PHASES)), np.nan)
        levels, durations, ends = (np.full((cells, beats), np.nan) for _ in range(3))
        for cell in range(cells):
            for beat in range(beats):
                first, last = int(starts[cell, beat]), int(starts[cell, beat + 1])
                trace = voltage[first : last + 1, cell]
                ends[cell, beat] = trace[-1]
                level = trace.max() - REPOLARISED * (trace.max() - trace[0])
                after = np.flatnonzero((trace[:-1] > level) & (trace[1:] <= level) & (np.arange(trace.size - 1) > 3))
                if trace.max() - trace[0] < 60 or not after.size:
                    continue
                one = after[-1]
                levels[cell, beat] = level
                durations[cell, beat] = one + (trace[one] - level) / (trace[one] - trace[one + 1])
                seen = durations[cell, beat] + 8 > PHASES
                at_phases[cell, beat, seen] = np.interp(PHASES[seen], np.arange(trace.size), trace)
        return cls(open_shares, starts, voltage, at_phases, levels, durations, ends)


def beat_edges(starts: np.ndarray) -> np.ndarray:
    """Ends of the steps of every beat, fine where the upstroke is, ``(cells, beats * STEPS + 1)``, ms; as many in each beat."""
    rows = []
    for line in starts:
        edges = [line[:1]]
        for first, last in zip(line[:-1], line[1:], strict=True):
            length = last - first
            late = min(BEAT_MS, EARLY_MS + (length - EARLY_MS) * BEAT_STEPS / (BEAT_STEPS + REST_STEPS))
            parts = [(0.0, STIMULUS_MS, PULSE_STEPS), (STIMULUS_MS, EARLY_MS, EARLY_STEPS), (EARLY_MS, late, BEAT_STEPS)]
            edges += [first + np.linspace(a, b, n + 1)[1:] for a, b, n in [*parts, (late, length, REST_STEPS)]]
        rows.append(np.concatenate(edges))
    return np.array(rows)


def stretched(count: int) -> tuple[TimeMesh, Any]:
    """A mesh of so many steps, and how to give them other lengths: all cells then share one program."""
    mesh = time_mesh(0.0, [float(count)], 1.0)
    first = np.clip(np.round(np.asarray(mesh.start)).astype(int), 0, count)
    last = np.clip(np.round(np.asarray(mesh.start) + np.asarray(mesh.length)).astype(int), 0, count)

    def along(edges: Float[Array, " edges"]) -> TimeMesh:
        parts = (edges[first], edges[last] - edges[first], edges[1:], edges[-1:])
        return eqx.tree_at(lambda m: (m.start, m.length, m.times, m.save_times), mesh, parts)

    return mesh, along


class InSolver:
    """How far a reduced cell is from recorded beats when it runs by itself, from its own rest, through all of them.

    Args:
        recorded: The beats.
        learned: Which leaves of the model change: ``learned(model)`` is a pytree of booleans.
    """

    def __init__(self, recorded: Recorded) -> None:
        self.recorded = recorded
        self.beats = recorded.starts.shape[1] - 1
        self.edges = beat_edges(recorded.starts)
        self.along = stretched(self.beats * STEPS)[1]

    def traces(self, cell: ReducedVentricular) -> Float[Array, "cells steps"]:
        """Voltage after every step, mV."""

        def one(shares: Array, starts: Array, edges: Array) -> Array:
            parts = lambda c: (c.open_rapid_potassium, c.open_calcium)  # noqa: E731
            dosed = eqx.tree_at(parts, cell, (shares[0], shares[1]))
            pulses = OnePulses(starts)
            start = dosed.initial_state()
            return simulate(dosed.paced(pulses), start, self.along(edges), observe=lambda _, state: state[0]).observations

        kind = cell.resting_mv.dtype
        arrays = (self.recorded.open_shares, self.recorded.starts[:, :-1], self.edges)
        return jax.vmap(one)(*(jnp.asarray(part, kind) for part in arrays))

    def residuals(self, cell: ReducedVentricular) -> tuple[Float[Array, " residuals"], Float[Array, "cells beats"]]:
        """Of voltages at phases, durations and resting voltages, over what counts as one; and the errors of durations in ms."""
        seen, recorded = self.traces(cell), self.recorded
        kind = seen.dtype
        by_beat = seen.reshape(seen.shape[0], self.beats, STEPS)
        times = jnp.asarray((self.edges[:, 1:].reshape(by_beat.shape) - recorded.starts[:, :-1, None]), kind)
        wanted, there = np.nan_to_num(recorded.at_phases), np.isfinite(recorded.at_phases)
        voltages = jax.vmap(jax.vmap(lambda t, v: jnp.interp(jnp.asarray(PHASES, kind), t, v)))(times, by_beat)
        errors = jnp.where(there, voltages - wanted, 0.0)
        levels, durations = np.nan_to_num(recorded.levels), np.nan_to_num(recorded.durations)
        found = jax.vmap(jax.vmap(_repolarisation))(times, by_beat, jnp.asarray(levels, kind), jnp.asarray(durations, kind))
        counted = np.isfinite(recorded.durations) & (np.arange(self.beats)[None] >= SKIPPED)
        late = jnp.where(counted, found - durations, 0.0)
        rest = by_beat[..., -1] - recorded.ends
        calm = (recorded.ends < -70) & counted
        usable = counted[..., None]
        parts = [
            _soft(jnp.where(usable, errors, 0.0) / MILLIVOLTS) / np.sqrt(len(PHASES)) * 2,
            _soft(late / MILLISECONDS / 8) * 8,
            jnp.where(calm, rest, 0.0) / REST_MILLIVOLTS / 2,
        ]
        return jnp.concatenate([part.reshape(-1) for part in parts]), jnp.where(counted, late, jnp.nan)


class OnePulses(OwnPulses):
    """:class:`OwnPulses` of one cell."""

    starts: Float[Array, " pulses"]  # type: ignore[assignment]

    def current(self, time: Float[Array, ""]) -> Float[Array, ""]:
        """See :class:`physics.Stimulus`."""
        begin = self.starts.astype(time.dtype)
        return jnp.where(jnp.any((time >= begin - 1e-3) & (time < begin + STIMULUS_MS - 1e-3)), 52.0, 0.0)


def _repolarisation(times: Array, voltage: Array, level: Array, expected: Array) -> Array:
    """When a beat falls through a level for the first time after its upstroke, ms; where it does not, judged from the voltage when it should."""
    crosses = (voltage[:-1] > level) & (voltage[1:] <= level) & (times[:-1] > 20)
    index = jnp.argmax(crosses)
    here, after = voltage[index], voltage[index + 1]
    fall = jnp.where(crosses.any(), here - after, 1.0)
    crossed = times[index] + (times[index + 1] - times[index]) * (here - level) / fall
    instead = expected + jnp.clip((jnp.interp(expected, times, voltage) - level) / 1.5, -60, 60)
    return jnp.where(crosses.any(), crossed, instead)


def _soft(x: Array) -> Array:
    """Large errors count less: x for small, like a square root for large ones; smooth."""
    return x * (1 + x * x) ** -0.25


def levenberg_marquardt(
    residuals: Any, start: np.ndarray, prior: np.ndarray, iterations: int, report: Any = None
) -> tuple[np.ndarray, list[float]]:
    """Minimises |r(p)|^2 + |(p - start) prior|^2; a trial that is not finite or not better raises the damping.

    Args:
        residuals: ``residuals(p)`` gives r and its Jacobian.
    """
    point, damping = start.copy(), 1e-2
    value, jacobian = residuals(point)
    cost = float(value @ value + np.sum((prior * (point - start)) ** 2))
    costs = [cost]
    for _ in range(iterations):
        hessian = jacobian.T @ jacobian + np.diag(prior**2)
        gradient = jacobian.T @ value + prior**2 * (point - start)
        scale = np.diag(hessian) + 1e-6 * np.diag(hessian).max()
        moved = point - np.linalg.solve(hessian + damping * np.diag(scale), gradient)
        new_value, new_jacobian = residuals(moved)
        new_cost = float(new_value @ new_value + np.sum((prior * (moved - start)) ** 2))
        if np.isfinite(new_cost) and new_cost < cost:
            point, value, jacobian, cost = moved, new_value, new_jacobian, new_cost
            damping = max(damping / 4, 1e-7)
        else:
            damping *= 5
        costs.append(cost)
        if report is not None:
            report(cost, damping)
        if damping > 1e5:
            break
    return point, costs
