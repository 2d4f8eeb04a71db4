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
from experiments.cardiac._paced_cables import _per_cell
from experiments.cardiac.ionic_closure import Config, run
from physics import ReducedVentricular, TenTusscher2006
from twinsim.closures import ionic_closure, save_ionic_closure
from twinsim.errors import InputError
from twinsim.workspace import Workspace

TOY = Config(
    source="shipped", test_beats=2, test_cycles=1, rests_ms=(60.0, 170.0), cell_dt_ms=0.1, dx_mm=0.2, speed_side_voxels=64, speed_steps=10
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
    _, costs, errors = training.in_solver(cell, problem, 8)
    assert costs[-1] < 0.3 * costs[0] and min(errors) < 0.7 * errors[0]


@pytest.mark.slow
def test_the_residual_has_the_derivative_that_training_follows():
    full, recorded = toy_beats()
    cell = ReducedVentricular.with_law(currents_of.fast_law(3, 1))
    _, _, feet_in, feet = currents_of.samples(cell, full, recorded, 200, 1)
    problem, place = training.InSolver(recorded, (feet_in, feet)), training.Coordinates(cell, training.SLOW_PARTS)

    @jax.jit
    def cost(point):
        return jnp.sum(problem.residuals(place.learned(point))[0] ** 2)

    point = jnp.asarray(place.start)
    along = jnp.asarray(np.random.default_rng(0).normal(size=point.size))
    _, slope = jax.jvp(cost, (point,), (along,))
    step = 1e-6
    central = (cost(point + step * along) - cost(point - step * along)) / (2 * step)
    assert float(slope) == pytest.approx(float(central), rel=1e-6)


@pytest.mark.slow
def test_the_shipped_cell_beside_the_full_one(tmp_path):
    """At a rate and blocks that training has not seen, and at the second beat from the full cell's own start, where it is worst: 4.4 ms;
    velocity on the voxels that its fast parts were fitted on."""
    summary = run(TOY, Workspace(tmp_path, progress=False)).summary
    assert summary["learned_restitution_rms_ms"] < 5
    assert summary["learned_restitution_rms_ms"] < 0.5 * summary["four_variables_published_restitution_rms_ms"]
    assert summary["learned_beats_and_waves_lost"] == 0
    assert summary["learned_velocity_rms_percent"] < 3
    assert summary["operations_ratio"] > 7


def test_as_many_cables_as_hidden_units_leave_the_network_as_it_is():
    cell = ionic_closure().blocked(jnp.ones(10), jnp.ones(10))
    spread = _per_cell(cell, 10, 3)
    assert spread.open_calcium.shape == (30,)
    assert eqx.tree_equal(spread.slow_current, cell.slow_current)
    written = _per_cell(training.fast(cell), 10, 3)
    assert eqx.tree_equal(written.slow_current, training.fast(cell).slow_current)


def test_a_saved_cell_comes_back(tmp_path):
    cell = ionic_closure()
    folder = save_ionic_closure(tmp_path / "cell", cell, {"seed": 0})
    again = ionic_closure(0.5, 0.9, folder=folder)
    assert eqx.tree_equal(again.blocked(1.0, 1.0), cell.blocked(1.0, 1.0))
    state = cell.initial_state()[:, None]
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
    ],
)
def test_bad_options_are_refused(option, value, expected):
    with pytest.raises(InputError, match=expected) as caught:
        run(dataclasses.replace(TOY, **{option: value}), Workspace(progress=False))
    assert "\n" not in str(caught.value)
