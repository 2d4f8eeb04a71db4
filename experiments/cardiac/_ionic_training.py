"""Learning a reduced cell inside of the solver: its slow current and slow parts from beats, its fast parts from velocities."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from experiments.cardiac._ionic_recording import PHASES, SKIPPED, Recorded
from experiments.cardiac._paced_cables import velocities
from experiments.cardiac._paced_cells import STIMULUS, STIMULUS_MS
from physics import CellModel, ReducedVentricular, Stimulus
from solvers import TimeMesh, simulate, time_mesh
from twinsim.closures import PerceptronClosure, written_out
from twinsim.precision import in_precision

PULSE_STEPS, EARLY_STEPS, BEAT_STEPS, REST_STEPS = 20, 40, 200, 60
EARLY_MS, BEAT_MS = 5.0, 405.0  # after a stimulus: where steps grow
STEPS = PULSE_STEPS + EARLY_STEPS + BEAT_STEPS + REST_STEPS

MILLIVOLTS, MILLISECONDS, REST_MILLIVOLTS, FOOT_CURRENT, PERCENT = 6.0, 1.5, 1.0, 0.3, 1.5  # what counts as an error of one
BEATS_BESIDE_WAVES = 0.2  # weight of a beat's residuals where fast parts are sought, of which there are a hundred times as many
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
    """

    starts: Float[Array, " pulses"]

    def current(self, time: Float[Array, ""]) -> Float[Array, ""]:
        """See :class:`physics.Stimulus`."""
        return jnp.where(jnp.any((time >= self.starts - 1e-3) & (time < self.starts + STIMULUS_MS - 1e-3)), STIMULUS, 0.0)

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

        def one(shares: Array, starts: Array, edges: Array) -> Array:
            dosed = under(shares)
            stepper = dosed.paced(Train(starts))
            return simulate(stepper, dosed.initial_state(), self.along(edges), observe=lambda _, state: state).observations

        arrays = (self.recorded.open_shares, self.recorded.starts[:, :-1], self.edges)
        return jax.vmap(one)(*(jnp.asarray(part) for part in arrays))

    def residuals(self, cell: ReducedVentricular) -> tuple[Float[Array, " residuals"], Float[Array, "cells beats"]]:
        """Of voltages at phases, durations, resting voltages and feet, over what counts as one; and the errors of durations, ms."""
        own, late = self.of_beats(self.runs(_under(cell))[..., 0])
        feet = (cell.slow_current(jnp.asarray(self.feet[0])) - self.feet[1])[0] / FOOT_CURRENT
        return jnp.concatenate([own, _soft(feet)]), late

    def at_pulses(self, cell: ReducedVentricular, lines: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """States when the pulses of some beats come, ``(4, lines)``, and residuals of all beats; ``lines`` has cell and beat of each."""
        every, residuals = _every(self, cell)
        return np.asarray(every[lines[:, 0], lines[:, 1] * STEPS - 1]).T, np.asarray(residuals)

    def of_beats(self, seen: Float[Array, "cells steps"]) -> tuple[Float[Array, " residuals"], Float[Array, "cells beats"]]:
        """Residuals of traces, without the feet."""
        recorded, by_beat = self.recorded, seen.reshape(seen.shape[0], self.beats, STEPS)
        times = jnp.asarray(self.edges[:, 1:].reshape(by_beat.shape) - recorded.starts[:, :-1, None])
        counted = np.isfinite(recorded.durations) & (np.arange(self.beats)[None] >= SKIPPED)
        voltages = jax.vmap(jax.vmap(lambda t, v: jnp.interp(jnp.asarray(PHASES), t, v)))(times, by_beat)
        there = np.isfinite(recorded.at_phases) & counted[..., None]
        errors = jnp.where(there, voltages - np.nan_to_num(recorded.at_phases), 0.0)
        levels, durations = jnp.asarray(np.nan_to_num(recorded.levels)), jnp.asarray(np.nan_to_num(recorded.durations))
        late = jnp.where(counted, jax.vmap(jax.vmap(_repolarisation))(times, by_beat, levels, durations) - durations, 0.0)
        calm = (recorded.ends < -70) & counted
        parts = [
            _soft(errors / MILLIVOLTS) * (2 / np.sqrt(len(PHASES))),
            _soft(late / MILLISECONDS / 8) * 8,
            jnp.where(calm, by_beat[..., -1] - recorded.ends, 0.0) / REST_MILLIVOLTS,
        ]
        return jnp.concatenate([part.reshape(-1) for part in parts]), jnp.where(counted, late, jnp.nan)


@eqx.filter_jit
def _every(problem: InSolver, cell: ReducedVentricular) -> tuple[Array, Array]:
    runs = problem.runs(_under(cell))
    return runs, problem.of_beats(runs[..., 0])[0]


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

    def learned(self, point: Array) -> ReducedVentricular:
        """The cell there."""
        count = len(self.names)
        own = [point[i] * 20 if _in_millivolts(name) else jnp.exp(point[i]) for i, name in enumerate(self.names)]
        cell = eqx.tree_at(lambda c: [getattr(c, name) for name in self.names], self.cell, own)
        if not self.network:
            return cell
        weights = eqx.combine(self.unravel(point[count:]), self.rest)
        if isinstance(cell.slow_current, PerceptronClosure):
            weights = eqx.tree_at(lambda c: c.network, cell.slow_current, weights)
        return eqx.tree_at(lambda c: c.slow_current, cell, weights)


def _in_millivolts(name: str) -> bool:
    return name.endswith(MILLIVOLT_PARTS)


def fast(cell: ReducedVentricular) -> ReducedVentricular:
    """With the network of its closure written out."""
    if not isinstance(cell.slow_current, PerceptronClosure):
        return cell
    return eqx.tree_at(lambda c: c.slow_current, cell, written_out(cell.slow_current))


def in_solver(
    cell: ReducedVentricular, problem: InSolver, iterations: int, report: Callable[[float, float], None] | None = None
) -> tuple[ReducedVentricular, list[float], list[float]]:
    """The cell whose slow parts and closure follow the recorded beats best; costs and errors of durations (rms, ms) by iteration."""
    place = Coordinates(cell, SLOW_PARTS)

    def residuals(point: Array) -> tuple[Array, Array]:
        return problem.residuals(fast(place.learned(point)))

    @jax.jit
    def with_jacobian(point: Array) -> tuple[Array, Array, Array]:
        # Pushed forward along with the residuals: linearising first would store the whole run.
        push = jax.vmap(lambda tangent: jax.jvp(residuals, (point,), (tangent,)), out_axes=((None, None), (0, 0)))
        (found, late), (jacobian, _) = push(jnp.eye(point.size, dtype=point.dtype))
        return found, jacobian.T, late

    errors: list[float] = []

    def evaluate(point: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        found, jacobian, late = with_jacobian(jnp.asarray(point))
        errors.append(float(np.sqrt(np.nanmean(np.asarray(late) ** 2))))
        if report is not None:
            report(float(found @ found), errors[-1])
        return np.asarray(found), np.asarray(jacobian)

    # Weights are free; a width may not shrink to a jump.
    own = [6.0 if name.endswith("width") else 2.0 for name in SLOW_PARTS]
    prior = np.concatenate([own, np.full(place.start.size - len(own), 0.05)])
    point, costs = levenberg_marquardt(evaluate, place.start, prior, iterations)
    return place.learned(jnp.asarray(point)), costs, errors


def with_velocities(
    cell: ReducedVentricular,
    problem: InSolver,
    lines: np.ndarray,
    wanted: np.ndarray,
    tissue: tuple[float, float, float],
    iterations: int,
) -> tuple[ReducedVentricular, np.ndarray]:
    """The cell whose fast parts give waves along cables the velocities of the full cell; and the errors in percent.

    Args:
        cell: Trained; it runs through the recorded beats by itself, and its states there are where waves start.
        problem: The beats.
        lines: Cell and beat of every cable, ``(cables, 2)``, of :func:`cables`.
        wanted: Velocities, m/s.
        tissue: Spacing (mm), diffusivity (mm²/ms), step (ms).
        iterations: Each takes one more velocity per parameter and cable.
    """
    place = Coordinates(cell, FAST_PARTS, network=False)
    shares = jnp.asarray(problem.recorded.open_shares[lines[:, 0]])

    def errors(point: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        moved = fast(place.learned(jnp.asarray(point)))
        state, beats = problem.at_pulses(moved, lines)
        found = velocities(single(moved.blocked(shares[:, 0], shares[:, 1])), state.astype(np.float32), *tissue)
        error = 100 * (found / wanted - 1)
        return np.where(np.isfinite(error), np.clip(error, -40, 40), -40.0), beats

    def softened(point: np.ndarray) -> np.ndarray:
        # Beats too: fast parts set the peak, from which a beat goes on.
        error, beats = errors(point)
        error = error / PERCENT
        return np.concatenate([error * (1 + error**2) ** -0.25, beats * BEATS_BESIDE_WAVES])

    def evaluate(point: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        here = softened(point)
        return here, np.stack([(softened(point + shift) - here) / 0.02 for shift in 0.02 * np.eye(point.size)], axis=1)

    prior = np.array([4.0 if name.endswith(("width", "centre")) else 2.0 for name in FAST_PARTS])
    point, _ = levenberg_marquardt(evaluate, place.start, prior, iterations, softened)
    return place.learned(jnp.asarray(point)), errors(point)[0]


def single[T](tree: T) -> T:
    """All numbers in float32."""
    return in_precision(tree, jnp.float32)


def levenberg_marquardt(
    evaluate: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]],
    start: np.ndarray,
    prior: np.ndarray,
    iterations: int,
    only: Callable[[np.ndarray], np.ndarray] | None = None,
) -> tuple[np.ndarray, list[float]]:
    """Minimises $|r(p)|^2 + |s(p - p_0)|^2$; a trial that is not finite or not better raises the damping and costs an iteration.

    Args:
        evaluate: $r$ and its Jacobian.
        start: $p_0$.
        prior: $s$, one over how far each parameter may go before it costs one.
        iterations: Most trials.
        only: $r$ alone, where that is much cheaper.
    """
    point, damping = start.copy(), 1e-2
    value, jacobian = evaluate(point)
    cost = float(value @ value)
    costs = [cost]
    for number in range(iterations):
        hessian = jacobian.T @ jacobian + np.diag(prior**2)
        gradient = jacobian.T @ value + prior**2 * (point - start)
        scale = np.diag(hessian) + 1e-6 * np.diag(hessian).max()
        moved = point - np.linalg.solve(hessian + damping * np.diag(scale), gradient)
        tried = (only(moved), None) if only is not None else evaluate(moved)
        new = float(tried[0] @ tried[0] + np.sum((prior * (moved - start)) ** 2))
        if np.isfinite(new) and new < cost:
            point, value, cost, damping = moved, tried[0], new, max(damping / 4, 1e-7)
            if tried[1] is not None:
                jacobian = tried[1]
            elif number < iterations - 1:
                value, jacobian = evaluate(point)
        else:
            damping *= 5
        costs.append(cost)
        if damping > 1e6:
            break
    return point, costs
