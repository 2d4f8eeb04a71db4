"""When every cell is activated and repolarises, found while a simulation runs."""

from collections.abc import Callable, Sequence

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from physics.cell_model import CellModel, Cells, Scalar, Stacked
from solvers import Solution, Stepper, TimeMesh, simulate, time_mesh
from solvers.shapes import Flag

NOT_YET = 1e30
"""Time of what has not happened yet, ms; finite, since a run with an infinity in its state counts as failed."""


class ActivationRecord(eqx.Module):
    """What is carried along with the cells.

    Attributes:
        activated: First time in ms at which the potential rises through the upper level; :data:`NOT_YET` before.
        repolarised: First time after that at which it falls through the lower level, ``(cells,)``; ``(levels, cells)`` for several.
        earlier: Potential one step before the current one, mV.
        gap: Length of the step between them, ms; zero at the start.
    """

    activated: Cells
    repolarised: Float[Array, "*levels_and_cells"]
    earlier: Cells
    gap: Scalar

    def activation_times(self) -> Cells:
        """ms; infinite where not activated."""
        return jnp.where(self.activated < NOT_YET, self.activated, jnp.inf)

    def repolarisation_times(self) -> Float[Array, "*levels_and_cells"]:
        """ms; infinite where not repolarised."""
        return jnp.where(self.repolarised < NOT_YET, self.repolarised, jnp.inf)

    def durations(self) -> Float[Array, "*levels_and_cells"]:
        """From activation to repolarisation, ms; infinite where there is none."""
        return jnp.where(self.repolarised < NOT_YET, self.repolarised - jnp.broadcast_to(self.activated, self.repolarised.shape), jnp.inf)


class Observed(eqx.Module):
    """State of a run that records activation: the cells, and the record."""

    cells: Stacked
    record: ActivationRecord


class RecordActivation(Stepper):
    r"""A stepper of cells that also finds when each crosses 0 mV upwards and ``lower`` downwards.

    The crossing inside a step is the root of the parabola through the potential at the ends of that step and one step before, taken as
    one Newton step from the chord: an error of $O(h^3)$ and an exact derivative of the number given, so that activation times have
    gradients with respect to conductivities, channels and initial state. Only a few fields are carried, whatever the duration.

    Args:
        stepper: Advances the cells; :meth:`physics.Monodomain.stepper`.
        cell: Says what the state is in mV.
        upper: Level of activation, mV; 0 in Niederer 2011. Use one in the middle of the upstroke where cells peak below 0.
        lower: Level of repolarisation, mV; -70 is about 90 % of a human ventricular action potential, -30 about half. Several: a tuple.
        since: Crossings before this time, ms, do not count: the beats before a premature one.

    The state is :class:`Observed`, from :meth:`start`. Fails: a cell above ``upper`` from the start has no crossing; a stimulus that
    lifts a cell above it counts as activation; where a cell is barely activated the time has no useful derivative.
    """

    stepper: Stepper
    cell: CellModel
    upper: float = eqx.field(static=True, default=0.0)
    lower: float | tuple[float, ...] = eqx.field(static=True, default=-70.0)
    since: float = eqx.field(static=True, default=-1e9)

    def start(self, cells: Stacked) -> Observed:
        """The state to start from."""
        potential = self.cell.millivolts(cells)
        never = jnp.full_like(potential, NOT_YET)
        repolarised = jnp.stack([never] * len(self.lower)) if isinstance(self.lower, tuple) else never
        return Observed(cells, ActivationRecord(never, repolarised, potential, jnp.zeros((), potential.dtype)))

    @property
    def order(self) -> int:
        """That of the stepper."""
        return self.stepper.order

    def advance(self, state: Observed, time: Scalar, length: Scalar) -> Observed:
        """See :class:`solvers.stepper.Stepper`."""
        before, record = self.cell.millivolts(state.cells), state.record
        cells = self.stepper.advance(state.cells, time, length)
        after = self.cell.millivolts(cells)
        length = length.astype(after.dtype)
        counts = time >= self.since
        rises = counts & (before < self.upper) & (after >= self.upper) & (record.activated >= NOT_YET)

        def crossing(crosses: Array, level: float, old: Cells) -> Cells:
            return jnp.where(crosses, time.astype(after.dtype) + _root(record, before, after, length, level, crosses), old)

        def fallen(level: float, old: Cells) -> Cells:
            return crossing((before > level) & (after <= level) & (record.activated < NOT_YET) & (old >= NOT_YET), level, old)

        activated = crossing(rises, self.upper, record.activated)
        if isinstance(self.lower, tuple):
            repolarised = jnp.stack([fallen(level, old) for level, old in zip(self.lower, record.repolarised, strict=True)])
        else:
            repolarised = fallen(self.lower, record.repolarised)
        moves = length > 0
        kept = ActivationRecord(
            activated, repolarised, jnp.where(moves, before, record.earlier), jnp.where(moves, length, record.gap.astype(length.dtype))
        )
        return Observed(cells, kept)

    def stable(self, length: Scalar) -> Flag:
        """The stepper's."""
        return self.stepper.stable(length)


def _root(record: ActivationRecord, before: Cells, after: Cells, length: Scalar, level: float, crosses: Array) -> Float[Array, " cells"]:
    """Time from the start of a step to the crossing; safe numbers where nothing crosses, so that no derivative is NaN."""
    rise = jnp.where(crosses, after - before, 1.0)
    slope = rise / jnp.where(length > 0, length, 1.0)
    known = record.gap > 0
    gap = jnp.where(known, record.gap, 1.0)
    bend = jnp.where(known, (slope - (before - record.earlier) / gap) / (gap + length), 0.0)
    # V(t) = before + t (slope + bend (t - length)): one step of Newton's method from the root of the chord.
    chord = jnp.where(crosses, (level - before) / slope, 0.0)
    value = chord * bend * (chord - length)
    gradient = slope + bend * (2 * chord - length)
    usable = crosses & (gradient * slope > 0)
    return jnp.clip(chord - value / jnp.where(usable, gradient, slope), 0.0, length)


def until_activated(
    recorder: RecordActivation,
    state: Observed,
    longest: float,
    limit: float,
    where: np.ndarray | None = None,
    breakpoints: Sequence[float] = (),
    chunk: float = 2.0,
    progress: Callable[[float, float], None] | None = None,
    patience: float = np.inf,
) -> tuple[Observed, float]:
    """Runs in chunks, on the host, until every cell has been activated; not differentiable.

    Args:
        recorder: With the stepper inside.
        state: From :meth:`RecordActivation.start`.
        longest: Longest step, ms.
        limit: When to give up, ms.
        where: Cells that have to be activated, ``(cells,)`` booleans; None for all.
        breakpoints: Edges of stimuli, ms.
        chunk: Length of a chunk, ms; one program serves all chunks whose steps are laid out alike.
        progress: ``progress(fraction activated, time)`` after every chunk.
        patience: Give up as well when nothing was activated for this long, ms.

    Returns:
        The state, and the time that was reached.

    Raises:
        SimulationError: The run failed, with the time.
    """
    wanted = np.ones(state.record.activated.shape, bool) if where is None else np.asarray(where)
    now, count, latest = 0.0, 0, 0.0
    while now < limit and now - latest < patience:
        end = min(now + chunk, limit)
        mesh = time_mesh(now, [end], longest, breakpoints=breakpoints)
        solution = _advance(recorder, state, mesh)
        solution.raise_for_status()
        state, now = solution.final, end
        activated = np.asarray(state.record.activated) < NOT_YET
        before, count, done = count, activated.sum(), float(activated[wanted].mean())
        latest = now if count > before else latest
        if progress is not None:
            progress(done, now)
        if done == 1.0:
            break
    return state, now


@eqx.filter_jit
def _advance(recorder: RecordActivation, state: Observed, mesh: TimeMesh) -> Solution:
    return simulate(recorder, state, mesh)
