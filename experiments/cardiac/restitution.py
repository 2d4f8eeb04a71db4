"""Restitution of a heart cell: how long an action potential lasts after how much rest: premature beats, faster pacing, a record."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from experiments.cardiac._record_pacing import beat_times, pace, paced_record, record_figure
from experiments.cardiac._shared import check_cell_and_step, finite
from physics import CELL_MODELS, ActionPotential, CellModel, RectangularPulse, action_potential
from solvers import Solution, TimeMesh, simulate, time_mesh
from twinsim.cli import run_script
from twinsim.errors import InputError
from twinsim.experiment import Result
from twinsim.figure_style import BLUE, SOFT, VERMILION, new_figure, quiet
from twinsim.option_checks import check_options
from twinsim.report import Report
from twinsim.workspace import Workspace

SETTLED = 1e-5  # relative change of every component over one beat, below which pacing is called steady
SHORTEST_WINDOW = 600.0  # ms after a premature stimulus; the longest action potential here takes some 450


@dataclass(frozen=True)
class Config:
    """Options of the protocol."""

    cell_model: str = "ten_tusscher_2006_epi"
    """ten_tusscher_2006_epi, _mid or _endo, ohara_rudy_2011_epi (_mid, _endo), ohara_rudy_cipa_2017_epi (_mid, _endo), tor_ord_2019_epi
    (_mid, _endo), courtemanche_1998, bueno_orovio_2008_epi (_mid, _endo), mitchell_schaeffer, aliev_panfilov."""
    protocol: Literal["s1s2", "dynamic", "record"] = "s1s2"
    """Premature beats after pacing at one cycle length (s1s2), one cycle length after another (dynamic), or the annotated beats of a real
    record after pacing at its mean interval (record)."""
    record: str = "mit_bih_100"
    """mit_bih_100, or another record of the data set wfdb with annotated beats, which pace the cell in that protocol."""
    record_beats: int = 300
    """Its first so many beats."""
    beats: int = 100
    """Beats at each cycle length; the last one is measured."""
    cycle_length_ms: float = 1000.0
    """Cycle length before the premature beats, and the first one of dynamic pacing, in ms."""
    intervals_ms: tuple[float, ...] = (10.0, 25.0, 50.0, 75.0, 100.0, 150.0, 200.0, 300.0, 500.0)
    """Diastolic intervals of the premature beats, from 90 % repolarisation to the stimulus, in ms."""
    cycle_lengths_ms: tuple[float, ...] = (800.0, 600.0, 500.0, 450.0, 400.0, 375.0, 350.0)
    """Further cycle lengths of dynamic pacing, in this order, each from where the one before ended, in ms."""
    stimulus_a_per_f: float = 52.0
    """Amplitude of a rectangular stimulus, A/F; positive depolarises."""
    stimulus_duration_ms: float = 1.0
    """Its duration, in ms."""
    initial: Literal["published", "steady"] = "published"
    """Start from the state that the paper gives, or pace first until a beat changes no component by more than 1e-5."""
    steady_beats: int = 2000
    """Most beats of that."""
    dt_ms: float = 0.01
    """Longest time step, in ms."""
    precision: Literal["float32", "float64"] = "float64"
    """Floating-point precision; in float32 slow concentrations stall, which shows after tens of beats."""


def run(config: Config, workspace: Workspace) -> Result:
    """Paces the cell, measures the last beat, and then the restitution curve."""
    _check(config)
    cell = CELL_MODELS[config.cell_model]()
    pacing = _Pacing(cell, config, workspace)
    state = np.asarray(cell.initial_state())
    summary: dict[str, Any] = {"cell_model": config.cell_model, "protocol": config.protocol, "initial": config.initial}
    if config.initial == "steady":
        state, beats, change = workspace.stage("steady", lambda: pacing.settle(state))
        summary |= {"steady_beats": beats, "steady_largest_relative_change": change, "steady_reached": change < SETTLED}
    paced_by = beat_times(config.record, config.record_beats) if config.protocol == "record" else None
    cycle = config.cycle_length_ms if paced_by is None else float(np.diff(paced_by[0]).mean() * 1000)
    before = workspace.stage("paced", lambda: pacing.beats(state, cycle, config.beats - 1))
    trace = pacing.trace(before, cycle)
    last = trace.marks
    summary |= {
        "apd90_ms": finite(last.duration),
        "resting_potential_mv": float(last.resting),
        "peak_mv": float(last.peak),
        "max_upstroke_v_per_s": float(last.max_upstroke),
    }
    series = None
    if config.protocol != "dynamic":
        curve, traces = workspace.stage("premature", lambda: pacing.premature(before, last))
        summary |= {f"apd90_ms_at_di_{interval:g}": duration for interval, duration in curve.items()}
        axis = "diastolic interval (ms)"
        if paced_by is not None:
            times, kinds = paced_by
            marks = workspace.stage("record", lambda: pace(cell, pacing.pulse, trace.final, times, config.dt_ms, workspace))
            series = paced_record(times, kinds, marks)
            summary |= {"record": config.record, **series.summary()}
    else:
        curve, alternans, traces = pacing.dynamic(trace.final, last)
        summary |= {f"apd90_ms_at_cl_{length:g}": duration for length, duration in curve.items()}
        summary |= {f"alternans_ms_at_cl_{length:g}": difference for length, difference in alternans.items()}
        axis = "cycle length (ms)"
    summary["largest_restitution_slope"] = _steepest(curve)
    report = _report(config, summary, trace, traces, curve, axis)
    dataset = _dataset(trace, curve, axis)
    if series is not None:
        report.figure(
            record_figure(series, curve),
            f"Record {config.record}: intervals between its beats and how long the cell's action potentials last; right, against the rest "
            "before each, beside premature beats after steady pacing at the mean interval.",
            "record",
            alt="Durations of action potentials beat by beat, and against the diastolic interval",
        )
        for name in ("interval", "duration", "diastolic"):
            dataset[f"record_{name}"] = ("beat", getattr(series, name), {"units": "ms"})
        dataset["record_kind"] = ("beat", series.kinds)
        dataset = dataset.assign_coords(beat=("beat", series.times, {"units": "s", "long_name": "time of the beat"}))
    return Result(summary, report, dataset)


def _check(config: Config) -> None:
    """Refuses what no protocol can be made of."""
    check_options(config, {"beats": (1, 100_000), "steady_beats": (1, 100_000), "record_beats": (3, 1_000_000)})
    check_cell_and_step(config.cell_model, config.dt_ms)
    lengths = {"cycle-length-ms": (config.cycle_length_ms,), "cycle-lengths-ms": config.cycle_lengths_ms}
    for name, values in lengths.items():
        if not all(math.isfinite(value) and 50 <= value <= 1e4 for value in values) or len(set(values)) < len(values):
            raise InputError(f"{name} {_words(values)}", "different lengths from 50 to 10000 ms", "give them in ms")
    if not config.intervals_ms or not all(math.isfinite(value) and 0 < value <= 1e4 for value in config.intervals_ms):
        raise InputError(f"intervals-ms {_words(config.intervals_ms)}", "above 0 and up to 10000 ms", "give them in ms")
    if not (math.isfinite(config.stimulus_a_per_f) and 0 < config.stimulus_a_per_f <= 1000):
        raise InputError(
            f"stimulus-a-per-f {config.stimulus_a_per_f:g}",
            "above 0 and up to 1000 A/F",
            "give it per capacitance; positive depolarises",
        )
    if not (0 < config.stimulus_duration_ms <= 20):
        raise InputError(f"stimulus-duration-ms {config.stimulus_duration_ms:g}", "above 0 and up to 20 ms", "give it in ms")


@dataclass(frozen=True)
class _Trace:
    """One beat, and the state after it."""

    times: np.ndarray
    voltage: np.ndarray
    final: np.ndarray
    marks: ActionPotential


class _Pacing:
    """A cell and its stimulus; what the protocols are made of."""

    def __init__(self, cell: CellModel, config: Config, workspace: Workspace) -> None:
        self.cell, self.config, self.workspace = cell, config, workspace
        self.pulse = RectangularPulse(jnp.asarray(config.stimulus_a_per_f, float), jnp.asarray(config.stimulus_duration_ms, float))

    def mesh(self, save: Sequence[float]) -> TimeMesh:
        """Steps from a stimulus on, one of which ends with it."""
        return time_mesh(0.0, save, self.config.dt_ms, breakpoints=[self.config.stimulus_duration_ms])

    def beats(self, state: np.ndarray, length: float, count: int) -> np.ndarray:
        """The state before the next stimulus."""
        mesh = self.mesh([length])
        with self.workspace.progress(count, f"pacing at {length:g} ms", "beats") as bar:
            for _ in range(count):
                state = np.asarray(self.checked(_solve(self.cell, self.pulse, jnp.asarray(state), mesh)).final)
                bar.advance(1)
        return state

    def settle(self, state: np.ndarray) -> tuple[np.ndarray, int, float]:
        """Paces until a beat changes nothing any more, or the most beats are over."""
        mesh, change, count = self.mesh([self.config.cycle_length_ms]), math.inf, 0
        with self.workspace.progress(self.config.steady_beats, "pacing until steady", "beats") as bar:
            while change >= SETTLED and count < self.config.steady_beats:
                new = np.asarray(self.checked(_solve(self.cell, self.pulse, jnp.asarray(state), mesh)).final)
                change = float(np.max(np.abs(new - state) / (np.abs(new) + 1e-6)))
                state, count = new, count + 1
                bar.advance(1)
        return state, count, change

    def trace(self, state: np.ndarray, length: float) -> _Trace:
        """One beat from its stimulus on."""
        mesh = self.mesh([length])
        solution = self.checked(_solve(self.cell, self.pulse, jnp.asarray(state), mesh))
        times, voltage = self.samples(mesh, solution, jnp.asarray(state))
        return _Trace(np.asarray(times), np.asarray(voltage), np.asarray(solution.final), _marks(times, voltage))

    def premature(self, before: np.ndarray, last: ActionPotential) -> tuple[dict[float, float | None], tuple[np.ndarray, np.ndarray]]:
        """One premature beat per diastolic interval, all at once: the state of each is taken from one long last beat."""
        config = self.config
        if not bool(last.repolarised) or not _taken(last, last):
            raise InputError(
                f"no action potential that repolarises within {config.cycle_length_ms:g} ms",
                "one that ends before the next stimulus",
                "use a longer cycle-length-ms or a stronger stimulus",
            )
        intervals = sorted(set(config.intervals_ms))
        stimuli = [float(last.repolarisation_time) + interval for interval in intervals]
        states = self.checked(_solve(self.cell, self.pulse, jnp.asarray(before), self.mesh(stimuli))).states.T
        mesh = self.mesh([max(SHORTEST_WINDOW, 1.5 * float(last.duration))])
        times, voltage = self.samples(mesh, self.checked(_solve(self.cell, self.pulse, states, mesh)), states)
        marks = jax.vmap(_marks, (None, 1))(times, voltage)
        curve: dict[float, float | None] = {}
        for number, interval in enumerate(intervals):
            one = jax.tree.map(lambda part, number=number: part[number], marks)
            curve[interval] = finite(one.duration) if _taken(one, last) else None
        return curve, (np.asarray(times), np.asarray(voltage).T)

    def dynamic(
        self, state: np.ndarray, last: ActionPotential
    ) -> tuple[dict[float, float | None], dict[float, float | None], tuple[np.ndarray, np.ndarray]]:
        """Durations at one cycle length after another, and by how much the last two beats of each differ."""
        lengths = [length for length in self.config.cycle_lengths_ms if length != self.config.cycle_length_ms]
        curve: dict[float, float | None] = {self.config.cycle_length_ms: finite(last.duration)}
        alternans: dict[float, float | None] = {}
        kept = []
        for length in lengths:

            def paced(state: np.ndarray = state, length: float = length) -> tuple[np.ndarray, list[_Trace]]:
                before = self.beats(state, length, max(0, self.config.beats - 2))
                first = self.trace(before, length)
                traces = [first, self.trace(first.final, length)] if self.config.beats > 1 else [first]
                return traces[-1].final, traces

            state, traces = self.workspace.stage(f"cycle-{length:g}".replace(".", "_"), paced)
            found = [finite(one.marks.duration) if _taken(one.marks, last) else None for one in traces]
            curve[length] = found[-1]
            if len(found) > 1:
                alternans[length] = None if found[0] is None or found[-1] is None else abs(found[-1] - found[0])
            kept.append(traces[-1])
        if not kept:
            return curve, alternans, (np.zeros(1), np.zeros((0, 1)))
        # Beats of different lengths on the time axis of the longest; what comes after a beat is not there.
        longest = max(kept, key=lambda one: one.times[-1])
        rows = [np.interp(longest.times, one.times, one.voltage, right=np.nan) for one in kept]
        return curve, alternans, (longest.times, np.array(rows))

    def samples(self, mesh: TimeMesh, solution: Solution, start: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Times and voltages with the start before them."""
        times = jnp.concatenate([jnp.zeros(1, mesh.times.dtype), mesh.times])
        return times, jnp.concatenate([self.cell.millivolts(start)[None], solution.observations])

    def checked(self, solution: Solution) -> Solution:
        """Raised once, on the host."""
        solution.raise_for_status()
        return solution


@eqx.filter_jit
def _solve(cell: CellModel, pulse: RectangularPulse, state: jax.Array, mesh: TimeMesh) -> Solution:
    return simulate(cell.paced(pulse), state, mesh, observe=lambda _, seen: cell.millivolts(seen))


_marks = jax.jit(action_potential)


def _taken(beat: ActionPotential, reference: ActionPotential) -> bool:
    """Whether a stimulus made an action potential: half the reference's amplitude and above its middle."""
    middle = (float(reference.peak) + float(reference.resting)) / 2
    return float(beat.peak) > middle and float(beat.peak - beat.resting) > 0.5 * float(reference.peak - reference.resting)


def _steepest(curve: dict[float, float | None]) -> float | None:
    """Largest slope between neighbouring points, where both are known."""
    points = sorted((x, y) for x, y in curve.items() if y is not None)
    slopes = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in pairwise(points)]
    return max(slopes, default=None)


def _words(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in values) or "nothing"


def _report(
    config: Config,
    summary: dict[str, Any],
    trace: _Trace,
    traces: tuple[np.ndarray, np.ndarray],
    curve: dict[float, float | None],
    axis: str,
) -> Report:
    report = Report("Restitution", f"{config.cell_model}, {config.protocol}, {config.beats} beats at {config.cycle_length_ms:g} ms")
    if summary.get("steady_reached") is False:
        report.warn(
            f"Not steady after {config.steady_beats} beats: a component still changes by {summary['steady_largest_relative_change']:.1e}."
        )
    if config.precision == "float32" and config.cell_model.startswith("ten_tusscher"):
        report.warn("In float32 a step changes inner potassium by less than its last digit: durations drift by about 1 % in 100 beats.")
    figure = new_figure(3.6)
    left, right = figure.subplots(1, 2)
    _draw_beats(left, trace, traces)
    known = sorted((x, y) for x, y in curve.items() if y is not None)
    right.plot([x for x, _ in known], [y for _, y in known], "o-", color=BLUE, markersize=4, linewidth=1.4)
    right.set_xlabel(axis)
    right.set_ylabel("duration (ms)")
    quiet(right)
    report.figure(
        figure,
        "Left: the last paced beat (blue) and the beats of the protocol (grey). Right: duration to 90 % repolarisation.",
        "restitution",
        alt="Action potentials, and their duration against the " + axis,
    )
    marks = ("apd90_ms", "resting_potential_mv", "peak_mv", "max_upstroke_v_per_s")
    report.table(["Last paced beat", "Value"], [[name, summary[name]] for name in marks])
    report.table(
        [axis.capitalize(), "Duration (ms)"],
        [[f"{x:g}", "no action potential" if y is None else f"{y:.2f}"] for x, y in curve.items()],
        "From the largest slope to 90 % repolarisation of that beat's own amplitude, from the potential just before its stimulus.",
    )
    return report


def _draw_beats(axes: Any, trace: _Trace, traces: tuple[np.ndarray, np.ndarray]) -> None:
    for row in traces[1]:
        axes.plot(traces[0], row, color=SOFT, linewidth=0.7, alpha=0.6)
    axes.plot(trace.times, trace.voltage, color=BLUE, linewidth=1.5)
    if bool(trace.marks.repolarised):
        axes.axvline(float(trace.marks.repolarisation_time), color=VERMILION, linewidth=0.8)
    axes.set_xlabel("time after the stimulus (ms)")
    axes.set_ylabel("potential (mV)")
    quiet(axes)


def _dataset(trace: _Trace, curve: dict[float, float | None], axis: str) -> xr.Dataset:
    durations = [math.nan if value is None else value for value in curve.values()]
    return xr.Dataset(
        {
            "voltage": ("time", trace.voltage, {"units": "mV"}),
            "duration": ("rest", durations, {"units": "ms"}),
        },
        coords={"time": ("time", trace.times, {"units": "ms"}), "rest": ("rest", list(curve), {"units": "ms", "long_name": axis})},
    )


if __name__ == "__main__":
    run_script(__spec__)
