"""Learning a reduced cell inside of the solver: its slow current and its parts from beats, and from waves at the same time."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from experiments.cardiac._ionic_recording import CALM_MV, PHASES, Recorded
from experiments.cardiac._ionic_search import levenberg_marquardt
from experiments.cardiac._ionic_waves import Waves
from experiments.cardiac._paced_cells import STIMULUS_MS
from physics import CellModel, ReducedVentricular, Stimulus
from solvers import TimeMesh, simulate, time_mesh
from twinsim.closures import PerceptronClosure, written_out
from twinsim.precision import in_precision

PULSE_STEPS, EARLY_STEPS, BEAT_STEPS, REST_STEPS = 20, 40, 200, 60
EARLY_MS, BEAT_MS = 5.0, 405.0  # after a stimulus: where steps grow
STEPS = PULSE_STEPS + EARLY_STEPS + BEAT_STEPS + REST_STEPS

MILLIVOLTS, MILLISECONDS, REST_MILLIVOLTS, FOOT_CURRENT = 6.0, 1.5, 1.0, 0.3  # what counts as an error of one
SLOW_PARTS = (
    "rest_rate",
    "plateau_rate",
    "memory_rate",
    "depolarised_centre",
    "depolarised_width",
    "rectifier_conductance",
    "rectifier_reversal",
    "rectifier_centre",
    "rectifier_width",
)
FAST_PARTS = (
    "sodium_conductance",
    "activation_centre",
    "activation_width",
    "inactivation_centre",
    "inactivation_width",
    "recovery_rate",
    "inactivation_rate",
    "inactivation_rate_centre",
    "inactivation_rate_width",
)
WAVE_PARTS = (*FAST_PARTS, "rectifier_conductance", "rectifier_reversal", "rectifier_centre", "rectifier_width")
WAVE_STEP = 0.02  # of a coordinate, for the differences of velocities
FAST_PRIOR = 0.5
UPSTROKE = {
    "sodium_conductance": 9.39,
    "activation_centre": -39.05,
    "activation_width": 27.8,
    "inactivation_centre": -74.5,
    "inactivation_width": 14.4,
    "recovery_rate": 0.0494,
    "inactivation_rate": 10.2,
    "inactivation_rate_centre": -2.78,
    "inactivation_rate_width": 20.6,
}
"""Where every training begins: fast parts with which a regressed cell has waves as thick as the full cell's (found on 0.1 and 0.25 mm)."""
MILLIVOLT_PARTS = ("centre", "reversal")  # which are searched as such; all others by their logarithm


def beat_edges(starts: np.ndarray) -> np.ndarray:
    """Ends of the steps of every beat, fine where the upstroke is, ``(cells, beats * STEPS + 1)``, ms; as many in each beat."""
    rows = []
    for line in starts:
        edges = [line[:1]]
        for first, last in pairwise(line):
            length = last - first
            late = min(BEAT_MS, EARLY_MS + (length - EARLY_MS) * BEAT_STEPS / (BEAT_STEPS + REST_STEPS))
            parts = [(0.0, STIMULUS_MS, PULSE_STEPS), (STIMULUS_MS, EARLY_MS, EARLY_STEPS), (EARLY_MS, late, BEAT_STEPS)]
            edges += [first + np.linspace(a, b, n + 1)[1:] for a, b, n in [*parts, (late, length, REST_STEPS)]]
        rows.append(np.concatenate(edges))
    return np.array(rows)


def stretched(count: int) -> Callable[[Float[Array, " edges"]], TimeMesh]:
    """From the ends of so many steps to a mesh: cells with steps of their own share one program."""
    mesh = time_mesh(0.0, [float(count)], 1.0)
    first = np.clip(np.round(np.asarray(mesh.start)).astype(int), 0, count)
    last = np.clip(np.round(np.asarray(mesh.start) + np.asarray(mesh.length)).astype(int), 0, count)

    def along(edges: Float[Array, " edges"]) -> TimeMesh:
        parts = (edges[first], edges[last] - edges[first], edges[1:], edges[-1:])
        return eqx.tree_at(lambda m: (m.start, m.length, m.times, m.save_times), mesh, parts)

    return along


class Train(Stimulus):
    """Pulses into one cell.

    Args:
        starts: ms; ends of steps.
        amplitudes: A/F.
    """

    starts: Float[Array, " pulses"]
    amplitudes: Float[Array, " pulses"]

    def current(self, time: Float[Array, ""]) -> Float[Array, ""]:
        """See :class:`physics.Stimulus`."""
        return jnp.sum(jnp.where((time >= self.starts - 1e-3) & (time < self.starts + STIMULUS_MS - 1e-3), self.amplitudes, 0.0))

    def edges(self) -> list[float]:
        """See :class:`physics.Stimulus`."""
        return [edge for start in np.asarray(self.starts) for edge in (float(start), float(start) + STIMULUS_MS)]


class InSolver:
    """How far a reduced cell is from recorded beats when it runs by itself, from its own rest, through all of them.

    Args:
        recorded: The beats.
        feet: Inputs and slow currents where potentials are displaced, of :func:`samples`.
    """

    def __init__(self, recorded: Recorded, feet: tuple[np.ndarray, np.ndarray]) -> None:
        self.recorded, self.feet = recorded, feet
        self.beats = recorded.starts.shape[1] - 1
        self.edges = beat_edges(recorded.starts)
        self.along = stretched(self.beats * STEPS)

    def runs(self, under: Callable[[Array], CellModel]) -> Float[Array, "cells steps components"]:
        """States after every step; ``under(shares)`` is the cell with so much of two channels left open."""

        def one(shares: Array, starts: Array, amplitudes: Array, edges: Array) -> Array:
            dosed = under(shares)
            stepper = dosed.paced(Train(starts, amplitudes))
            return simulate(stepper, dosed.initial_state(), self.along(edges), observe=lambda _, state: state).observations

        arrays = (self.recorded.open_shares, self.recorded.starts[:, :-1], self.recorded.amplitudes, self.edges)
        return jax.vmap(one)(*(jnp.asarray(part) for part in arrays))

    def outcome(self, cell: ReducedVentricular, lines: np.ndarray, feet: tuple[Array, Array] | None = None) -> tuple[Array, Array, Array]:
        """Residuals of voltages at phases, durations, resting voltages and feet, over what counts as one; states ``(4, lines)`` when the
        pulses of some beats come, of which ``lines`` has cell and beat; and the errors of durations ``(cells, beats)``, ms."""
        displaced, outward = self.feet if feet is None else feet
        runs = self.runs(_under(cell))
        own, late = self.of_beats(runs[..., 0])
        off = (cell.slow_current(jnp.asarray(displaced)) - outward)[0] / FOOT_CURRENT
        return jnp.concatenate([own, _soft(off)]), runs[lines[:, 0], lines[:, 1] * STEPS - 1].T, late

    def of_beats(self, seen: Float[Array, "cells steps"]) -> tuple[Float[Array, " residuals"], Float[Array, "cells beats"]]:
        """Residuals of traces, without the feet."""
        recorded, by_beat = self.recorded, seen.reshape(seen.shape[0], self.beats, STEPS)
        times = jnp.asarray(self.edges[:, 1:].reshape(by_beat.shape) - recorded.starts[:, :-1, None])
        after = np.arange(self.beats)[None] >= recorded.skipped
        counted = np.isfinite(recorded.durations) & after
        voltages = jax.vmap(jax.vmap(lambda t, v: jnp.interp(jnp.asarray(PHASES), t, v)))(times, by_beat)
        there = np.isfinite(recorded.at_phases) & after[..., None]
        errors = jnp.where(there, voltages - np.nan_to_num(recorded.at_phases), 0.0)
        levels, durations = jnp.asarray(np.nan_to_num(recorded.levels)), jnp.asarray(np.nan_to_num(recorded.durations))
        late = jnp.where(counted, jax.vmap(jax.vmap(_repolarisation))(times, by_beat, levels, durations) - durations, 0.0)
        calm = (recorded.ends < CALM_MV) & after
        parts = [
            _soft(errors / MILLIVOLTS) * (2 / np.sqrt(len(PHASES))),
            _soft(late / MILLISECONDS / 8) * 8,
            _soft(jnp.where(calm, by_beat[..., -1] - recorded.ends, 0.0) / REST_MILLIVOLTS / 4) * 4,
        ]
        return jnp.concatenate([part.reshape(-1) for part in parts]), jnp.where(counted, late, jnp.nan)


def _under(cell: ReducedVentricular) -> Callable[[Array], ReducedVentricular]:
    parts = lambda c: (c.open_rapid_potassium, c.open_calcium)  # noqa: E731
    return lambda shares: eqx.tree_at(parts, cell, (shares[0], shares[1]))


def _repolarisation(times: Array, voltage: Array, level: Array, expected: Array) -> Array:
    """When a beat first falls through a level after its upstroke, ms; where it never does, judged from the voltage when it should."""
    crosses = (voltage[:-1] > level) & (voltage[1:] <= level) & (times[:-1] > 20)
    index = jnp.argmax(crosses)
    here, after = voltage[index], voltage[index + 1]
    fall = jnp.where(crosses.any(), here - after, 1.0)
    crossed = times[index] + (times[index + 1] - times[index]) * (here - level) / fall
    instead = expected + jnp.clip((jnp.interp(expected, times, voltage) - level) / 1.5, -60, 60)
    return jnp.where(crosses.any(), crossed, instead)


def _soft(x: Array) -> Array:
    """x where small, like a root where large: one beat that fails does not decide."""
    return x * (1 + x * x) ** -0.25


class Coordinates:
    """Parameters of a cell as one vector of numbers of order one: potentials over 20 mV, other parameters by their logarithms.

    Args:
        cell: With any closure.
        names: Of the parameters.
        network: Whether the weights of its closure are in the vector too.
    """

    def __init__(self, cell: ReducedVentricular, names: Sequence[str], network: bool = True) -> None:
        self.cell, self.names, self.network = cell, tuple(names), network
        weights, self.rest = eqx.partition(cell.slow_current, eqx.is_inexact_array)
        if network and isinstance(cell.slow_current, PerceptronClosure):
            weights, self.rest = eqx.partition(cell.slow_current.network, eqx.is_inexact_array)
        flat, self.unravel = ravel_pytree(weights)
        values = [getattr(cell, name) for name in self.names]
        own = [value / 20 if _in_millivolts(name) else jnp.log(value) for name, value in zip(self.names, values, strict=True)]
        self.start = np.concatenate([np.array([float(value) for value in own]), np.asarray(flat) if network else np.zeros(0)])

    def learned(self, point: Array, given: ReducedVentricular | None = None) -> ReducedVentricular:
        """The cell there; what is not in the vector is taken from ``given`` where that is not the cell of the start."""
        base = self.cell if given is None else given
        count = len(self.names)
        own = [point[i] * 20 if _in_millivolts(name) else jnp.exp(point[i]) for i, name in enumerate(self.names)]
        cell = eqx.tree_at(lambda c: [getattr(c, name) for name in self.names], base, own)
        if not self.network:
            return cell
        weights = eqx.combine(self.unravel(point[count:]), self.rest)
        if isinstance(cell.slow_current, PerceptronClosure):
            weights = eqx.tree_at(lambda c: c.network, cell.slow_current, weights)
        return eqx.tree_at(lambda c: c.slow_current, cell, weights)

    def varied(self, points: np.ndarray, repeats: int) -> ReducedVentricular:
        """Cells of every point, each ``repeats`` times in turn, which differ in the named parameters; the network is of the first."""
        own = [points[:, i] * 20 if _in_millivolts(name) else np.exp(points[:, i]) for i, name in enumerate(self.names)]
        values = [jnp.asarray(np.repeat(value, repeats)) for value in own]
        return eqx.tree_at(lambda c: [getattr(c, name) for name in self.names], fast(self.learned(jnp.asarray(points[0]))), values)


def _in_millivolts(name: str) -> bool:
    return name.endswith(MILLIVOLT_PARTS)


def fast(cell: ReducedVentricular) -> ReducedVentricular:
    """With the network of its closure written out."""
    if not isinstance(cell.slow_current, PerceptronClosure):
        return cell
    return eqx.tree_at(lambda c: c.slow_current, cell, written_out(cell.slow_current))


class Search:
    """From cell to cell by what they do in the solver; compiled once for one network, whatever is held.

    Args:
        cell: Where to begin; its network stays in its place in the vector of parameters.
        problem: The beats.
        waves: Velocities that can be fitted together with the beats, from the cell's own states there; none for beats alone.
    """

    def __init__(self, cell: ReducedVentricular, problem: InSolver, waves: Waves | None = None) -> None:
        self.place, self.waves = Coordinates(cell, SLOW_PARTS + FAST_PARTS), waves
        self.point = self.place.start
        self.moves = [self.place.names.index(name) for name in WAVE_PARTS]
        self.lines = waves.lines if waves is not None else np.zeros((0, 2), int)

        # What differs from seed to seed goes in as data, so that a saved program serves them all.
        arrays, static = eqx.partition(cell, eqx.is_array)

        def outcome(point: Array, arrays: ReducedVentricular, feet: tuple[Array, Array]) -> tuple[Array, Array, Array]:
            return problem.outcome(fast(self.place.learned(point, eqx.combine(arrays, static))), self.lines, feet)

        def pushed(point: Array, *data: Any) -> tuple[tuple[Array, Array, Array], Array, Array]:
            # Pushed forward along with the residuals: linearising first would store the whole run.
            push = jax.vmap(lambda tangent: jax.jvp(lambda at: outcome(at, *data), (point,), (tangent,)), out_axes=(None, 0))
            found, (jacobian, states, _) = push(jnp.eye(point.size, dtype=point.dtype))
            return found, jacobian.T, states

        data = arrays, tuple(jnp.asarray(part) for part in problem.feet)
        alone, pushed_along = jax.jit(outcome), jax.jit(pushed)
        self._alone, self._pushed = lambda point: alone(jnp.asarray(point), *data), lambda point: pushed_along(jnp.asarray(point), *data)

    def descend(self, iterations: int, with_waves: bool, report: Callable[[float, float], None] | None = None) -> tuple[list[float], float]:
        """Moves on by so many trials; costs by trial, and the error of durations in the end (rms, ms).

        Args:
            iterations: Most trials.
            with_waves: Beats and waves, all parts free; else beats, and the fast parts are held.
            report: Called with cost and error of durations of every trial.
        """
        names, count = self.place.names, len(self.place.names)
        held = [index for index, name in enumerate(names) if name in FAST_PARTS and not with_waves]

        def only(point: np.ndarray) -> np.ndarray:
            found, starts, late = self._alone(point)
            here = np.asarray(found)
            if with_waves:
                here = np.concatenate([here, self._waves_at(point[None], np.asarray(starts))[0]])
            if report is not None:
                report(float(here @ here), _rms(late))
            return here

        def evaluate(point: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            (found, starts, _), jacobian, states = jax.tree.map(np.asarray, self._pushed(point))
            jacobian = np.where(np.isin(np.arange(point.size), held), 0.0, jacobian)
            if not with_waves:
                return found, jacobian
            points = np.concatenate([point[None], point + WAVE_STEP * np.eye(point.size)[self.moves]])
            rows = self._waves_at(points, np.concatenate([starts, *(starts + WAVE_STEP * states[move] for move in self.moves)], axis=1))
            # The network moves waves little, through the foot and the rest before: left out of the derivative, not of the cost.
            slopes = np.zeros((rows.shape[1], point.size))
            slopes[:, self.moves] = (rows[1:] - rows[0]).T / WAVE_STEP
            return np.concatenate([found, rows[0]]), np.concatenate([jacobian, slopes])

        # Weights are free; a width may not shrink to a jump.
        own = [FAST_PRIOR if name in FAST_PARTS else 6.0 if name.endswith("width") else 2.0 for name in names]
        prior = np.concatenate([own, np.full(self.point.size - count, 0.05)])
        self.point, costs = levenberg_marquardt(evaluate, self.point, prior, iterations, only)
        return costs, _rms(self._alone(self.point)[2])

    def cell(self) -> ReducedVentricular:
        """Where the search stands."""
        return self.place.learned(jnp.asarray(self.point))

    def _waves_at(self, points: np.ndarray, starts: np.ndarray) -> np.ndarray:
        if self.waves is None:
            raise ValueError("got no waves; expected some to fit; do: give them, or descend without")
        return self.waves.residuals(self.place.varied(points, len(self.lines)), starts)


def _rms(late: Array) -> float:
    return float(np.sqrt(np.nanmean(np.asarray(late) ** 2)))


def single[T](tree: T) -> T:
    """All numbers in float32."""
    return in_precision(tree, jnp.float32)
