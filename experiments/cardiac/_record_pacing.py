"""A cell paced by the beat times of a record: how long each action potential lasts, beat by beat."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from physics import ActionPotential, CellModel, RectangularPulse, action_potential
from solvers import Status, TimeMesh, simulate, time_mesh
from twinsim.errors import InputError
from twinsim.figure_style import BLUE, SOFT, VERMILION, new_figure, quiet
from twinsim.wfdb_beats import read_beats
from twinsim.wfdb_record import read_wfdb, record_path
from twinsim.workspace import Workspace

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHORTEST_MS, LONGEST_MS = 200.0, 3000.0  # between beats: beyond, something other than a heart was annotated
CHUNK = 50  # beats between two looks at the bar
NORMAL = ("N", "L", "R")


@dataclass(frozen=True, eq=False)
class PacedRecord:
    """One row per beat that has a beat before and after it.

    Attributes:
        times: Of the beats, s from the record's first sample.
        kinds: Their annotations.
        interval: To the beat before, ms.
        duration: To 90 % repolarisation, ms; NaN where it does not repolarise before the next beat or the stimulus is not taken.
        diastolic: From 90 % repolarisation of the beat before to this one, ms.
    """

    times: np.ndarray
    kinds: np.ndarray
    interval: np.ndarray
    duration: np.ndarray
    diastolic: np.ndarray

    def summary(self) -> dict[str, float | int | None]:
        """Headline numbers."""
        known = np.isfinite(self.duration) & np.isfinite(self.diastolic)
        normal = known & np.isin(self.kinds, NORMAL)
        early = known & ~np.isin(self.kinds, NORMAL)
        slope, rank = _line(self.diastolic[known], self.duration[known])
        return {
            "beats": len(self.times),
            "beats_not_normal": int((~np.isin(self.kinds, NORMAL)).sum()),
            "beats_without_a_duration": int((~known).sum()),
            "interval_ms_mean": float(self.interval.mean()),
            "interval_ms_sd": float(self.interval.std()),
            "apd90_ms_mean": float(self.duration[known].mean()),
            "apd90_ms_sd": float(self.duration[known].std()),
            "apd90_ms_least": float(self.duration[known].min()),
            "apd90_ms_mean_normal_beats": float(self.duration[normal].mean()) if normal.any() else None,
            "apd90_ms_mean_other_beats": float(self.duration[early].mean()) if early.any() else None,
            "restitution_slope": slope,
            "correlation_of_duration_with_diastolic_interval": rank,
        }


def _line(x: np.ndarray, y: np.ndarray) -> tuple[float | None, float | None]:
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return None, None
    return float(np.polyfit(x, y, 1)[0]), float(np.corrcoef(x, y)[0, 1])


def beat_times(name: str, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Times in s and kinds of the first beats of a record of the data set `wfdb`.

    Raises:
        InputError: No data set, no record, no annotations, or intervals that no heart has.
    """
    path = record_path(name)
    rate = read_wfdb(path).signals[0].rate
    samples, kinds = read_beats(path.parent, path.name)
    if most + 1 > len(samples):
        raise InputError(f"record-beats {most}", f"at most {len(samples) - 1}, the intervals of record {name}", "ask for fewer beats")
    samples, kinds = samples[: most + 1], kinds[: most + 1]
    intervals = np.diff(samples) / rate * 1000
    if len(intervals) < 2 or intervals.min() < SHORTEST_MS or intervals.max() > LONGEST_MS:
        shown = f"{intervals.min():.0f} to {intervals.max():.0f} ms" if len(intervals) else "none"
        raise InputError(
            f"record {name} with intervals of {shown}",
            f"three beats or more, {SHORTEST_MS:g} to {LONGEST_MS:g} ms apart",
            "choose another record",
        )
    return samples / rate, kinds


def pace(
    cell: CellModel, pulse: RectangularPulse, state: np.ndarray, times: np.ndarray, dt_ms: float, workspace: Workspace
) -> list[ActionPotential]:
    """Biomarkers of the action potential in every interval between beats, from this state on.

    Every interval takes the same number of steps, none longer than ``dt_ms``: those after the stimulus are stretched to it.
    """
    intervals = np.diff(times) * 1000
    width = float(pulse.duration)
    mesh = time_mesh(0.0, [float(intervals.max())], dt_ms, breakpoints=[width])
    found: list[ActionPotential] = []
    current = jnp.asarray(state)
    with workspace.progress(len(intervals), "beats of the record", "beats") as bar:
        for first in range(0, len(intervals), CHUNK):
            part = jnp.asarray(intervals[first : first + CHUNK])
            current, marks, status = _beats(cell, pulse, current, mesh, part, width)
            if bool(jnp.any(status != Status.SUCCESS)):
                raise InputError("a beat of the record that fails", "finite potentials", "shorten dt-ms")
            found += [jax.tree.map(lambda leaf, n=n: np.asarray(leaf)[n], marks) for n in range(len(part))]
            bar.advance(len(part))
    return found


@eqx.filter_jit
def _beats(
    cell: CellModel, pulse: RectangularPulse, state: Array, mesh: TimeMesh, intervals: Array, width: float
) -> tuple[Array, ActionPotential, Array]:
    longest = mesh.save_times[-1]

    def beat(state: Array, interval: Array) -> tuple[Array, tuple[ActionPotential, Array]]:
        share = (interval - width) / (longest - width)

        def moved(times: Array) -> Array:
            return jnp.where(times > width, width + (times - width) * share, times)

        end = moved(mesh.start + mesh.length)
        own = eqx.tree_at(
            lambda m: (m.start, m.length, m.times, m.save_times),
            mesh,
            (moved(mesh.start), end - moved(mesh.start), moved(mesh.times), moved(mesh.save_times)),
        )
        solution = simulate(cell.paced(pulse), state, own, observe=lambda _, seen: cell.millivolts(seen))
        times = jnp.concatenate([jnp.zeros(1, own.times.dtype), own.times])
        voltage = jnp.concatenate([cell.millivolts(state)[None], solution.observations])
        return solution.final, (action_potential(times, voltage), solution.status)

    final, (marks, status) = jax.lax.scan(beat, state, intervals)
    return final, marks, status


def paced_record(times: np.ndarray, kinds: np.ndarray, marks: list[ActionPotential]) -> PacedRecord:
    """Beats with their durations; the first has no beat before it, the last no beat after it."""
    reference = float(np.median([float(one.peak) - float(one.resting) for one in marks]))
    duration = np.array(
        [float(one.duration) if bool(one.repolarised) and one.peak - one.resting > 0.5 * reference else np.nan for one in marks]
    )
    recovered = np.array([float(one.repolarisation_time) if np.isfinite(d) else np.nan for one, d in zip(marks, duration, strict=True)])
    interval = np.diff(times) * 1000
    return PacedRecord(times[1:-1], kinds[1:-1], interval[:-1], duration[1:], interval[:-1] - recovered[:-1])


def record_figure(found: PacedRecord, curve: dict[float, float | None]) -> "Figure":
    """Durations over time, and against the diastolic interval beside premature beats after steady pacing."""
    figure = new_figure(3.8)
    left, right = figure.subplots(1, 2)
    normal = np.isin(found.kinds, NORMAL)
    left.plot(found.times, found.interval, color=SOFT, linewidth=0.9, label="interval before")
    left.plot(found.times, found.duration, color=BLUE, linewidth=1.1, label="duration")
    left.set_xlabel("time (s)")
    left.set_ylabel("ms")
    left.legend(fontsize=7)
    for which, colour, label in ((normal, BLUE, "normal beats"), (~normal, VERMILION, "other beats")):
        right.plot(found.diastolic[which], found.duration[which], ".", color=colour, markersize=4, label=label)
    known = sorted((x, y) for x, y in curve.items() if y is not None)
    right.plot([x for x, _ in known], [y for _, y in known], "o-", color=SOFT, markersize=3, linewidth=1.0, label="premature beats")
    right.set_xlabel("diastolic interval (ms)")
    right.set_ylabel("duration (ms)")
    right.legend(fontsize=7)
    quiet(left)
    quiet(right)
    return figure
