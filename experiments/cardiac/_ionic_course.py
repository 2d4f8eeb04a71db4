"""From nothing to a reduced cell: what is recorded, in which order it is learned, and how one state is chosen without the test."""

from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from experiments.cardiac._ionic_comparison import Conditions, Measured, rms
from experiments.cardiac._ionic_currents import fast_law, regressed, samples
from experiments.cardiac._ionic_recording import Recorded, protocol
from experiments.cardiac._ionic_reentry import circling
from experiments.cardiac._ionic_training import UPSTROKE, InSolver, Search, fast, single
from experiments.cardiac._ionic_waves import SPACINGS_MM, Waves
from physics import CellModel, ReducedVentricular, TenTusscher2006
from twinsim.experiment import finite_or_none

VALIDATION_CYCLES, VALIDATION_SHARES = (400.0, 450.0, 800.0), ((1.0, 1.0), (0.7, 0.85), (0.45, 0.65))
VALIDATION_RESTS, VALIDATION_BEATS = (50.0, 100.0, 200.0, 350.0), 10
RING_MM, RING_DX_MM, RING_DT_MS, RING_MS = 220.0, 0.25, 0.05, 1500.0  # on which a state is judged too
RESTITUTION_MS, VELOCITY_PERCENT, RING_PERCENT = 3.0, 2.0, 3.0  # the goals, which weigh the parts of a score


@dataclass(frozen=True)
class Lesson:
    """What a training is given: beats and waves to follow, and conditions by which its states are judged."""

    recorded: Recorded
    waves: Waves
    judges: Conditions
    judged: Measured
    round_ms: float

    @classmethod
    def of(cls, full: TenTusscher2006, seed: int, cells: int, cell_dt_ms: float, diffusivity: float, dt_ms: float) -> "Lesson":
        """Runs the full cell; ``seed`` draws the rests before premature beats."""
        shares, starts, amplitudes = protocol(seed, cells)
        recorded = Recorded.of(full, shares, starts, cell_dt_ms, amplitudes)
        waves = Waves.of(full, recorded, diffusivity, dt_ms)
        every = np.repeat(np.array(VALIDATION_SHARES), len(VALIDATION_CYCLES), axis=0)
        cycles, rests = np.tile(VALIDATION_CYCLES, len(VALIDATION_SHARES)), np.array(VALIDATION_RESTS)
        judges = Conditions(cycles, every, rests, VALIDATION_BEATS, cell_dt_ms, SPACINGS_MM, 0.0, diffusivity, dt_ms)
        return cls(recorded, waves, judges, judges.of_full(full), _round(single(full), diffusivity))

    def score(self, cell: ReducedVentricular) -> tuple[float, float, float, float]:
        """Restitution (rms, ms), velocity (rms, percent) and the time of a round of a ring (percent off) under the validation's conditions,
        and all over the goals, added up; what is lost counts as 100 ms or percent."""
        found = self.judges.of_reduced(cell)
        late = found["premature"] - self.judged["premature"]
        off = 100 * (found["velocity"] / self.judged["velocity"] - 1)
        late, off = (np.where(np.isfinite(error), error, 100.0) for error in (late, off))
        turned = 100 * (_round(single(fast(cell)), self.judges.diffusivity) / self.round_ms - 1)
        turned = turned if np.isfinite(turned) else 100.0
        return rms(late), rms(off), turned, rms(late) / RESTITUTION_MS + rms(off) / VELOCITY_PERCENT + abs(turned) / RING_PERCENT


def _round(cell: CellModel, diffusivity: float) -> float:
    """How long the last round of a ring takes, ms; NaN where the wave ends before."""
    found = circling(cell, RING_MM, RING_DX_MM, diffusivity, RING_DT_MS, RING_MS)
    rounds = found.rounds()
    return float(rounds[-1]) if rounds.size and found.alive_ms == RING_MS else float("nan")


@dataclass(frozen=True)
class Course:
    """How long each stage lasts.

    Attributes:
        hidden_units: Of the network.
        regression_steps: Of Adam on currents.
        first_iterations: Trials on all beats, fast parts held.
        iterations: Trials of each round on all beats and waves, all parts free.
        rounds: After each of which the state is judged.
    """

    hidden_units: int
    regression_steps: int
    first_iterations: int
    iterations: int
    rounds: int


def trained(course: Course, lesson: Lesson, full: TenTusscher2006, seed: int, workspace: Any) -> tuple[ReducedVentricular, dict[str, Any]]:
    """The state that does best under the validation's conditions, and how it came about."""
    cell = ReducedVentricular.with_law(fast_law(course.hidden_units, seed))
    cell = eqx.tree_at(lambda c: [getattr(c, name) for name in UPSTROKE], cell, [jnp.asarray(value) for value in UPSTROKE.values()])
    inputs, currents, *feet = samples(cell, full, lesson.recorded, 20_000, seed)
    begun = regressed(inputs, currents, (feet[0], feet[1]), course.hidden_units, course.regression_steps, seed)
    if begun.status != 0:
        workspace.message(f"note: {begun.message}")
    cell = eqx.tree_at(lambda c: c.slow_current, cell, begun.model)
    search = Search(cell, InSolver(lesson.recorded, (feet[0], feet[1])), lesson.waves)
    kept, marks, late = [], [], np.nan
    with workspace.progress(course.rounds + 1, f"rounds in the solver, seed {seed}", "rounds") as bar:
        _, first = search.descend(course.first_iterations, with_waves=False)
        bar.advance(1)
        for _ in range(course.rounds):
            _, late = search.descend(course.iterations, with_waves=True)
            kept.append(search.cell())
            marks.append(lesson.score(kept[-1]))
            bar.advance(1)
    chosen = int(np.argmin([score for *_, score in marks]))
    return kept[chosen], {
        "regression_loss": float(np.mean(begun.losses[-100:])),
        "first_apd_rms_ms": finite_or_none(first),
        "training_apd_rms_ms": finite_or_none(late),
        "validation_restitution_rms_ms": finite_or_none(marks[chosen][0]),
        "validation_velocity_rms_percent": finite_or_none(marks[chosen][1]),
        "validation_round_percent": finite_or_none(marks[chosen][2]),
        "validation_score": marks[chosen][3],
        "chosen_round": chosen + 1,
    }
