"""The learned slow current at toy size: training in the solver, and what is shipped beside the full cell."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.cardiac import _ionic_currents as currents_of
from experiments.cardiac import _ionic_recording as recording
from experiments.cardiac import _ionic_training as training
from experiments.cardiac._ionic_comparison import Conditions
from experiments.cardiac._ionic_course import Course, Lesson, trained
from experiments.cardiac._ionic_reentry import TIP_MV, Circling, Reentry, _tips
from experiments.cardiac._ionic_search import levenberg_marquardt
from experiments.cardiac._ionic_waves import Waves
from experiments.cardiac._paced_cables import _per_cell
from experiments.cardiac._paced_cells import STIMULUS, OwnPulses
from experiments.cardiac.ionic_closure import Config, run
from physics import ReducedVentricular, TenTusscher2006
from solvers import VoxelGrid
from twinsim.closures import ionic_closure, save_ionic_closure
from twinsim.errors import InputError
from twinsim.workspace import Workspace

TOY = Config(
    source="shipped",
    test_beats=2,
    test_cycles=1,
    rests_ms=(60.0, 170.0),
    cell_dt_ms=0.1,
    spacings_mm=(0.15, 0.2, 0.25),
    speed_side_voxels=64,
    speed_steps=10,
)


def toy_beats():
    full = TenTusscher2006.published("epi")
    open_shares, starts = np.array([[1.0, 1.0], [0.5, 0.8]]), np.array([[0.0, 350.0, 740.0], [0.0, 400.0, 760.0]])
    return full, recording.Recorded.of(full, open_shares, starts, 0.1)


@pytest.mark.slow
def test_training_on_currents_and_then_in_the_solver():
    """Two beats of two cells, four units: the loss falls by half in either stage, and the durations come near."""
    full, recorded = toy_beats()
    assert (recorded.durations[:, 1] < recorded.durations[:, 0]).all()  # sooner, so shorter
    cell = ReducedVentricular.with_law(currents_of.fast_law(4, 0))
    inputs, currents, feet_in, feet = currents_of.samples(cell, full, recorded, 1000, 0)
    begun = currents_of.regressed(inputs, currents, (feet_in, feet), 4, 200, 0)
    assert begun.losses[-20:].mean() < 0.7 * begun.losses[:5].mean()
    cell = eqx.tree_at(lambda c: c.slow_current, cell, begun.model)
    problem = training.InSolver(recorded, (feet_in, feet))
    errors = []
    costs, late = training.Search(cell, problem).descend(8, False, lambda _, error: errors.append(error))
    assert costs[-1] < 0.3 * costs[0] and late < 0.7 * errors[0]


def test_first_starts_without_a_pulse_are_rest_and_displacements_are_beats():
    shares, starts, amplitudes = recording.protocol(0, 45)
    gaps = np.diff(starts, axis=1)
    quiet = gaps[:, : recording.QUIET]
    assert shares.shape == (45, 2) and amplitudes.shape == gaps.shape
    assert (quiet >= 100).all() and (quiet <= 1300).all() and (amplitudes[:, : recording.QUIET] == 0).all()
    paced, moved = amplitudes == STIMULUS, (amplitudes != STIMULUS) & (amplitudes != 0)
    assert (moved.sum(axis=1) == 3).all() and (np.abs(amplitudes[moved]) <= 70).all()
    before = gaps[:, :-1][moved[:, 1:]]  # from the stimulus to where the potential is displaced
    assert paced[:, :-1][moved[:, 1:]].all() and (before >= 6).all() and (before <= 180).all()
    both = before + gaps[moved]
    assert set(both) == set(recording.CYCLES)


def test_both_cells_get_the_amplitudes_that_the_record_has(monkeypatch):
    """No pulse, a stimulus, and 60 mV down after 20 ms: potentials are kept at phases of each, until the next comes or all is calm."""
    starts, amplitudes = np.array([[0.0, 30.0, 50.0, 90.0]]), np.array([[0.0, STIMULUS, -60.0]])
    times = np.arange(91.0)
    voltage = np.where(times < 31, -85.0, np.where(times < 51, 20.0, np.maximum(-40.0 - 2 * (times - 51), -85.0)))[:, None]
    given = []
    monkeypatch.setattr(recording, "paced", lambda *_, amplitudes: (given.append(amplitudes), (voltage, voltage[:, None]))[1])
    recorded = recording.Recorded.of(TenTusscher2006.published("epi"), np.ones((1, 2)), starts, 0.1, amplitudes)
    np.testing.assert_array_equal(given[0], amplitudes)
    assert np.isnan(recorded.durations).all()  # cut short, and no whole action potential
    seen = [int(np.isfinite(row).sum()) for row in recorded.at_phases[0]]
    assert seen == [0, 4, 4]  # none without a pulse; phases before 20 ms; those before 23 ms, 8 after -70 mV
    wanted = [0, STIMULUS, STIMULUS, 0, -60]
    pulses = (
        OwnPulses(jnp.asarray(starts[:, :-1]), jnp.asarray(amplitudes)),
        training.Train(jnp.asarray(starts[0, :-1]), jnp.asarray(amplitudes[0])),
    )
    for train in pulses:
        assert [float(np.squeeze(train.current(jnp.asarray(time)))) for time in (0.5, 30.0, 30.5, 31.0, 50.2)] == wanted


def test_rounds_and_durations_at_a_place_on_a_ring():
    """Straight upstrokes every 100 ms, -80 to 20 mV in 5 ms; back through -70 mV after 60 ms."""
    times = np.arange(5.0, 305.0, 5.0)
    phase = (times - 5) % 100
    probe = np.where(phase < 5, -80.0, np.maximum(20 - (phase - 5) * 1.5, -80.0))
    seen = Circling(times, probe, np.ones(60), True)
    np.testing.assert_allclose(seen.rounds(), 100.0)
    np.testing.assert_allclose(seen.durations(), 62.5)


def test_a_spiral_has_a_tip_and_a_wave_that_leaves_has_none():
    """A turning front has one phase singularity; a plane wave has none, though tissue is excited."""
    grid = VoxelGrid(np.ones((24, 24, 1), bool), (1.0, 1.0, 1.0))
    x, y = (part - 11.3 for part in np.indices((24, 24)))
    for turning, wanted in ((np.arctan2(y, x), 1), (0.3 * x, 0)):
        pictures = [(TIP_MV + 60 * np.sin(turning - shift)).reshape(1, -1) for shift in (0.0, -0.7)]
        assert int(_tips(grid, *(jnp.asarray(picture) for picture in pictures))[0]) == wanted
    times, tips = np.arange(5.0, 55.0, 5.0), np.array([2, 2, 0, 1, 0, 0, 0, 0, 0, 0])
    nothing = np.full((10, 1), -80.0)
    seen = Reentry(times, nothing, np.ones(10), tips, nothing, True)
    assert (seen.rotating_ms, seen.excited_until_ms, seen.tips_late) == (10.0, 50.0, 0.0) and np.isnan(seen.period_ms)


@pytest.mark.slow
def test_the_residual_has_the_derivative_that_training_follows():
    full, recorded = toy_beats()
    cell = ReducedVentricular.with_law(currents_of.fast_law(3, 1))
    _, _, feet_in, feet = currents_of.samples(cell, full, recorded, 200, 1)
    problem, place = training.InSolver(recorded, (feet_in, feet)), training.Coordinates(cell, training.SLOW_PARTS)

    @jax.jit
    def cost(point):
        return jnp.sum(problem.outcome(place.learned(point), np.zeros((0, 2), int))[0] ** 2)

    point = jnp.asarray(place.start)
    along = jnp.asarray(np.random.default_rng(0).normal(size=point.size))
    _, slope = jax.jvp(cost, (point,), (along,))
    step = 1e-6
    central = (cost(point + step * along) - cost(point - step * along)) / (2 * step)
    assert float(slope) == pytest.approx(float(central), rel=1e-6)


def test_the_search_finds_the_bottom_of_a_curved_valley():
    """Rosenbrock's function as two residuals; damping follows the gain, and the cost never rises."""

    def evaluate(point):
        x, y = point
        return np.array([10 * (y - x * x), 1 - x]), np.array([[-20 * x, 10.0], [-1.0, 0.0]])

    asked = []
    for only in (None, lambda point: asked.append(point) or evaluate(point)[0]):
        point, costs = levenberg_marquardt(evaluate, np.array([-1.2, 1.0]), np.full(2, 1e-6), 40, only)
        np.testing.assert_allclose(point, 1.0, atol=1e-5)
        assert (np.diff(costs) <= 0).all()
    assert asked


def test_varied_cells_are_the_cells_of_every_point():
    cell = ionic_closure()
    place = training.Coordinates(cell, (*training.SLOW_PARTS, *training.FAST_PARTS))
    points = place.start + 0.02 * np.stack([np.zeros(place.start.size), np.eye(place.start.size)[0]])
    both = place.varied(points, 3)
    assert both.rest_rate.shape == (6,)
    np.testing.assert_allclose(both.rest_rate[0], cell.rest_rate)
    np.testing.assert_allclose(both.rest_rate[3], place.learned(jnp.asarray(points[1])).rest_rate)
    np.testing.assert_allclose(both.activation_centre, float(cell.activation_centre))


@pytest.mark.slow
def test_training_on_beats_and_waves_from_nothing_keeps_what_the_judges_prefer():
    """Two cells, six units, two rounds: the state that is given back is the one with the best score. Rounds with waves take the few beats
    of a toy back for the sake of velocity, so that beats are asserted before them."""
    full = TenTusscher2006.published("epi")
    open_shares, starts = np.array([[1.0, 1.0], [0.5, 0.8]]), np.array([[0.0, 350.0, 740.0, 1240.0, 1700.0]] * 2)
    recorded = recording.Recorded.of(full, open_shares, starts, 0.1)
    waves = Waves.of(full, recorded, 0.154, 0.02)
    assert waves.wanted.shape == (2, 2) and (waves.wanted[0] > 1.04 * waves.wanted[1]).all()  # coarse voxels hold a front back
    judge = Conditions(np.array([500.0]), np.array([[0.8, 0.9]]), np.array([100.0]), 3, 0.1, (0.25,), 0.0, 0.154, 0.02)
    lesson = Lesson(recorded, waves, judge, judge.of_full(full), 320.0)
    course = Course(hidden_units=6, regression_steps=200, first_iterations=24, iterations=3, rounds=2)
    cell, marks = trained(course, lesson, full, 0, Workspace(progress=False))
    assert marks["validation_score"] == lesson.score(cell)[-1]
    assert marks["first_apd_rms_ms"] < 40 and marks["validation_velocity_rms_percent"] < 5


@pytest.mark.slow
def test_the_shipped_cell_beside_the_full_one(tmp_path):
    """At a rate and blocks that training has not seen, and at the second beat from the full cell's own start, where it is worst;
    velocity at three spacings, two of which its fast parts were not fitted on."""
    summary = run(TOY, Workspace(tmp_path, progress=False)).summary
    assert summary["learned_restitution_rms_ms"] < 5
    assert summary["learned_restitution_rms_ms"] < 0.5 * summary["four_variables_published_restitution_rms_ms"]
    assert summary["learned_beats_and_waves_lost"] == 0
    assert summary["learned_velocity_rms_percent"] < 2
    assert summary["operations_ratio"] > 8


def test_as_many_cables_as_hidden_units_leave_the_network_as_it_is():
    cell = ionic_closure().blocked(jnp.ones(9), jnp.ones(9))
    spread = _per_cell(cell, 9, 3)
    assert spread.open_calcium.shape == (27,)
    assert eqx.tree_equal(spread.slow_current, cell.slow_current)
    written = _per_cell(training.fast(cell), 9, 3)
    assert eqx.tree_equal(written.slow_current, training.fast(cell).slow_current)


def test_a_saved_cell_comes_back(tmp_path):
    cell = ionic_closure()
    folder = save_ionic_closure(tmp_path / "cell", cell, {"seed": 0})
    again = ionic_closure(0.5, 0.9, folder=folder)
    assert eqx.tree_equal(again.blocked(1.0, 1.0), cell.blocked(1.0, 1.0))
    state = jnp.array([[-85.0], [0.95], [0.15]])  # paced: the range has no beats after long rest
    assert int(cell.slow_current.examine(jnp.concatenate([state[:3], jnp.zeros((2, 1))]))[0]) == 0
    far = jnp.concatenate([state[:3], jnp.log(jnp.full((2, 1), 0.06))])
    assert int(cell.slow_current.examine(far)[0]) != 0
    with pytest.raises(InputError, match="unrolling"):
        save_ionic_closure(tmp_path / "other", training.fast(cell), {})
    with pytest.raises(ValueError, match=r"0\.05 to 1"):
        ionic_closure(0.01)


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("seeds", 0, "at least 1"),
        ("rests_ms", (), "at least one"),
        ("training_cells", 100, "at most 45"),
        ("cell_dt_ms", 0.5, "at most 0.1"),
        ("reentry_ms", -1.0, "at least 0"),
        ("reentry_full_ms", 100.0, "with reentry-ms"),
    ],
)
def test_bad_options_are_refused(option, value, expected):
    with pytest.raises(InputError, match=expected) as caught:
        run(dataclasses.replace(TOY, **{option: value}), Workspace(progress=False))
    assert "\n" not in str(caught.value)
