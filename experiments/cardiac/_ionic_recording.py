"""Beats of the full cell that a reduced one is to follow: at which rates, under which blocks, after which rests."""

from dataclasses import dataclass

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from experiments.cardiac._paced_cells import STIMULUS, paced
from physics import TenTusscher2006

PHASES = np.array([3.0, 6.0, 10.0, 16.0, 25.0, 40.0, 60.0, 80.0, 105.0, 130.0, 155.0, 180.0, 205.0, 230.0, 255.0, 280.0, 305.0, 330.0])
QUIET = 4  # stretches without a pulse before the first one: conditions are compared after pacing that follows a rest
QUIET_MS = (100.0, 1300.0)  # between which the length of each is drawn, even in its logarithm and whatever the rate
SKIPPED = QUIET + 3  # first beats: the reduced cell does not have ions that drift from the rest before them
LEAST_REST_MS = 60.0  # before a wave whose velocity is learned: with those after 12 ms and more one gate of sodium fits neither
CYCLES = {350: 245.0, 420: 268.0, 530: 287.0, 720: 300.0, 1000: 307.0}  # ms, and about how long an action potential then lasts
OPEN_RAPID, OPEN_CALCIUM = (1.0, 0.63, 0.4), (1.0, 0.77, 0.6)
REGULAR_BEATS = 7  # before the first premature one: ions and slow gates of the full cell still drift over as many
RESTS = ((25.0, 60.0), (50.0, 120.0), (100.0, 300.0))  # ms, between which those before premature beats are drawn
CLOSE_REST = (-30.0, 35.0)  # before one more: no action potential yet, or a part of one
KICKS = (((6.0, 30.0), (-70.0, -15.0)), ((6.0, 30.0), (-70.0, -15.0)), ((30.0, 180.0), (-70.0, 40.0)))
"""When after a stimulus the potential is displaced, ms, and by how much, mV, one of them in each beat after a premature one. In tissue
the upstroke ends lower than under a stimulus, and neighbours pull; whoever learns from stimulated cells alone may have a plateau that
is not come back to from there."""
LEAST_AMPLITUDE = 60.0  # mV, of a whole action potential
CALM_MV = -70.0  # below which a beat that is no whole action potential is over


def dosed(cell: TenTusscher2006, open_shares: np.ndarray) -> TenTusscher2006:
    """The full cell with so much of rapid potassium and calcium channels left open, ``(cells, 2)``: one conductance per cell."""
    parts = lambda c: (c.rapid_potassium_conductance, c.calcium_permeability)  # noqa: E731
    rapid, calcium = parts(cell)
    shares = jnp.asarray(open_shares, rapid.dtype)
    return eqx.tree_at(parts, cell, (rapid * shares[:, 0], calcium * shares[:, 1]))


def protocol(seed: int, largest: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Open shares ``(cells, 2)``, starts ``(cells, beats + 1)`` in ms, and amplitudes of their pulses ``(cells, beats)`` in A/F: rest
    (the first :data:`QUIET` have no pulse), every rate with every block, then four early beats, the first three followed by one in which
    the potential is displaced. A displacement counts as a beat.

    Args:
        seed: Of the rests and displacements.
        largest: Only so many cells, spread over all; for toys.
    """
    generator = np.random.default_rng([seed, 7])
    members = [(cycle, rapid, calcium) for rapid in OPEN_RAPID for calcium in OPEN_CALCIUM for cycle in CYCLES]
    chosen = np.unique(np.linspace(0, len(members) - 1, min(largest, len(members))).round().astype(int))
    starts, amplitudes = [], []
    for cycle, rapid, calcium in members:
        expected = CYCLES[cycle] * (1 + 0.15 * (1 - rapid) - 0.33 * (1 - calcium))
        early = [expected + generator.uniform(*rest) for rest in np.array(RESTS)[generator.permutation(3)]]
        quiet = np.exp(generator.uniform(*np.log(QUIET_MS)))
        gaps, pulses = [*[quiet] * QUIET, *[cycle] * REGULAR_BEATS], [*[0.0] * QUIET, *[STIMULUS] * REGULAR_BEATS]
        for rest, (when, how_far) in zip(early, np.array(KICKS)[generator.permutation(3)], strict=True):
            kicked = np.round(generator.uniform(*when))
            gaps += [rest, kicked, cycle - kicked]
            pulses += [STIMULUS, STIMULUS, generator.uniform(*how_far)]
        gaps += [expected + generator.uniform(*CLOSE_REST), cycle]
        starts.append(np.concatenate([[0], np.cumsum(np.round(gaps))]))
        amplitudes.append([*pulses, STIMULUS, STIMULUS])
    return np.array([member[1:] for member in members])[chosen], np.array(starts)[chosen], np.array(amplitudes)[chosen]


@dataclass(frozen=True)
class Recorded:
    """Beats of the full cell that are to be followed.

    Attributes:
        open_shares: Of rapid potassium and calcium channels, ``(cells, 2)``.
        starts: Of the pulses and the end of the last beat, ``(cells, beats + 1)``, ms.
        amplitudes: Of the pulses, ``(cells, beats)``, A/F; nothing, :data:`STIMULUS`, or a displacement.
        voltage: At every whole ms, ``(times, cells)``, mV.
        states: Of the full cell when each pulse comes, ``(components, cells, beats)``.
        at_phases: Voltage at :data:`PHASES` after every pulse, ``(cells, beats, phases)``; NaN once the beat is over.
        levels: Where 90 % is repolarised, ``(cells, beats)``, mV.
        durations: From stimulus to that, ms; NaN where a stimulus makes no whole action potential, and after displacements: some end near
            the threshold between a plateau and none, and their durations would outweigh all others.
        ends: Voltage just before the next stimulus, mV.
    """

    open_shares: np.ndarray
    starts: np.ndarray
    amplitudes: np.ndarray
    voltage: np.ndarray
    states: np.ndarray
    at_phases: np.ndarray
    levels: np.ndarray
    durations: np.ndarray
    ends: np.ndarray

    @property
    def skipped(self) -> int:
        """How many first beats do not count; half of a short record."""
        return min(SKIPPED, self.durations.shape[1] // 2)

    @classmethod
    def of(
        cls, cell: TenTusscher2006, open_shares: np.ndarray, starts: np.ndarray, dt_ms: float, amplitudes: np.ndarray | None = None
    ) -> "Recorded":
        """Paces the full cell; starts are whole ms, and amplitudes :data:`STIMULUS` where left out."""
        if amplitudes is None:
            amplitudes = np.full((starts.shape[0], starts.shape[1] - 1), STIMULUS)
        voltage, every = paced(dosed(cell, open_shares), starts[:, :-1], float(starts.max()), dt_ms, amplitudes=amplitudes)
        cells, beats = starts.shape[0], starts.shape[1] - 1
        states = np.moveaxis(every[starts[:, :-1].astype(int), :, np.arange(cells)[:, None]], -1, 0)
        at_phases = np.full((cells, beats, len(PHASES)), np.nan)
        levels, durations, ends = (np.full((cells, beats), np.nan) for _ in range(3))
        for one in range(cells):
            for beat in range(beats):
                trace = voltage[int(starts[one, beat]) : int(starts[one, beat + 1]) + 1, one]
                ends[one, beat] = trace[-1]
                if not amplitudes[one, beat]:
                    continue
                whole = amplitudes[one, beat] == STIMULUS and trace.max() - trace[0] >= LEAST_AMPLITUDE
                level = trace.max() - 0.9 * (trace.max() - trace[0]) if whole else CALM_MV
                (above,) = np.nonzero(trace > level)
                last = above[-1] if above.size else 0
                over = last + 8
                if whole and 3 < last < trace.size - 1:
                    levels[one, beat] = level
                    durations[one, beat] = last + (trace[last] - level) / (trace[last] - trace[last + 1])
                    over = durations[one, beat] + 8
                seen = (over > PHASES) & (trace.size - 1 > PHASES)
                at_phases[one, beat, seen] = np.interp(PHASES[seen], np.arange(trace.size), trace)
        return cls(open_shares, starts, amplitudes, voltage, states, at_phases, levels, durations, ends)

    def part(self, cells: np.ndarray) -> "Recorded":
        """Some of the cells, by their places."""
        own = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return Recorded(**{name: value[:, cells] if name in ("voltage", "states") else value[cells] for name, value in own.items()})


def cables(recorded: Recorded) -> np.ndarray:
    """Cell and beat of one cable per cell: one after regular pacing, or one of the premature beats, in turn."""
    rests = np.full(recorded.durations.shape, np.nan)
    rests[:, 1:] = np.diff(recorded.starts[:, :-1], axis=1) - recorded.durations[:, :-1]
    rows = []
    for one, rest in enumerate(rests):
        possible = [beat for beat in range(3, len(rest)) if rest[beat] > LEAST_REST_MS and recorded.amplitudes[one, beat] == STIMULUS]
        if possible:
            rows.append((one, possible[one % len(possible)]))
    return np.array(rows)
