"""A drug from capillaries to voxels at toy size."""

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from experiments.oncology import _drug_windows as windows
from experiments.oncology import drug_exchange
from physics import TissueZones
from tests.problems import quick_jit
from twinsim.closures.drug_exchange import DrugLaw, DrugVoxels
from twinsim.closures.learned import network_parameters
from twinsim.errors import InputError
from twinsim.experiment import RunOptions, run_experiment
from twinsim.workspace import Workspace

CONFIG = drug_exchange.Config()


@pytest.mark.slow  # a program of the resolved march
def test_windows_are_of_both_drugs_and_laws_are_near_them():
    """Between none and the plasma, and a cylinder of each capillary is no worse than half."""
    toy = windows.drawn(4, 0.1, "bolus", 8, (0.5, 2.0), 3)
    assert toy.truth.shape == (4, 8, 2) and list(toy.drug) == [0, 1, 0, 1]
    assert float(toy.truth.min()) >= 0
    mesh, times = windows.mesh_of("bolus", 8)
    found = windows.per_capillary(toy.known, toy.plasma, toy.areas, mesh)
    assert windows.errors(found, np.asarray(toy.truth), times)[:, 1].mean() < 0.5


def test_training_lowers_the_loss_and_the_error():
    """Truth of doxorubicin in tissue whose zones are others than a cylinder's; by Adam, without the optimisations of the compiler."""
    numbers = windows.numbers_of("doxorubicin")
    spacing = (jnp.asarray([20.0, 60.0, 150.0]), jnp.asarray([0.12, 0.07, 0.045]), jnp.asarray([0.14, 0.08, 0.05]))
    known = DrugVoxels(*spacing, *(jnp.full(3, number) for number in numbers))
    course = windows.course("doxorubicin", "bolus", 1.0)
    plasma = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (3, *leaf.shape)), course)
    mesh, times = windows.mesh_of("bolus", 6)
    model = DrugLaw.create(1, known, windows.RADIUS)
    other = model.zones(known, course)
    other = TissueZones(other.volume[::-1], 0.3 * other.wall, 0.2 * other.between, other.binding, course)
    truth = quick_jit(lambda: windows.means_of(other, mesh))()
    parameters, rest = eqx.partition(model, network_parameters(model))
    loss, adam = windows.loss_of(mesh, times), optax.adam(3e-2)

    @quick_jit
    def step(carry):
        value, gradient = jax.value_and_grad(lambda p: loss(eqx.combine(p, rest), (known, plasma, truth)))(carry[0])
        updates, state = adam.update(gradient, carry[1])
        return (optax.apply_updates(carry[0], updates), state), value

    @quick_jit
    def means(parameters):
        return windows.means_of(eqx.combine(parameters, rest).zones(known, course), mesh)

    carry, losses = (parameters, adam.init(parameters)), []
    for _ in range(40):
        carry, value = step(carry)
        losses.append(float(value))
    assert losses[-1] < 0.3 * losses[0]
    before, after = (windows.errors(np.asarray(means(p)), np.asarray(truth), times).mean() for p in (parameters, carry[0]))
    assert after < 0.4 * before


def test_the_schedules_give_the_same_dose_and_end_together():
    for schedule in windows.SCHEDULES:
        mesh, times = windows.mesh_of(schedule, 12)
        assert times[-1] == pytest.approx(1) and (np.diff(times) > 0).all()
        assert float(mesh.length.sum()) == pytest.approx(1)
        assert float(windows.course("antibody", schedule, 2.0).doses.amount.sum()) == pytest.approx(3.8)
    late = windows.course("doxorubicin", "infusion", 1.0)(jnp.asarray(0.2))
    assert float(late) > float(windows.course("doxorubicin", "bolus", 1.0)(jnp.asarray(0.2)))  # which is in its slow phase


@pytest.mark.slow
def test_a_small_tumour(tmp_path):
    small = {"windows": 16, "unseen_windows": 4, "steps": 60, "seeds": 1, "time_steps": 16}
    config = replace(CONFIG, **small, window_mm=0.4, tumour_mm=0.8, voxel_mm=0.4, save_closure=str(tmp_path / "law"))
    summary = run_experiment("oncology/drug_exchange", config, RunOptions(out=tmp_path / "run"), progress=False)
    network, mixed = (summary[f"infusion_doxorubicin_{law}_taken_up_error_percent"] for law in ("network", "well_mixed"))
    assert network < mixed
    assert summary["tumour_doxorubicin_delivered_less_held"] < 1e-10 and summary["tumour_antibody_delivered_less_held"] < 1e-10
    assert (tmp_path / "law" / "_CHECKPOINT_METADATA").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"windows": 2}, "8"),
        ({"dose": -1.0}, "dose"),
        ({"voxel_mm": 0.255}, "multiple of 0.01"),
        ({"tumour_mm": 3.5}, "multiple of 1"),
        ({"core_density": float("nan")}, "core-density"),
        ({"save_closure": __file__}, "which is a file"),
    ],
)
def test_bad_options_are_refused_in_one_line(change, message):
    with pytest.raises(InputError, match=message) as caught:
        drug_exchange.run(replace(CONFIG, **change), Workspace(None, progress=False))
    assert "\n" not in str(caught.value)
