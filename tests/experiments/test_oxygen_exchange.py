"""Oxygen from capillaries to voxels at toy size."""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest

from experiments.oncology import _oxygen_windows as windows
from experiments.oncology import oxygen_exchange
from twinsim.closures.oxygen_exchange import Oxygenation, OxygenLaw, Voxels, mixed_pressure
from twinsim.errors import InputError
from twinsim.experiment import RunOptions, run_experiment
from twinsim.workspace import Workspace

CONFIG = oxygen_exchange.Config()


def known(count, seed=0):
    rng = np.random.default_rng(seed)
    n = rng.uniform(8, 250, count)
    rows = (
        n,
        0.5 / np.sqrt(n),
        1 / np.sqrt(np.pi * n),
        rng.uniform(12, 65, count),
        rng.uniform(0, 0.4, count),
        rng.uniform(1e-4, 8e-4, count),
    )
    return Voxels(*(jnp.asarray(row) for row in rows))


def test_the_law_keeps_its_bounds_whatever_the_network_says_and_training_lowers_its_loss():
    """Truth of a tissue that is well mixed: it is learned, and every untrained network delivers what is consumed."""
    voxels = known(64)
    share, pressure, enhancement, hypoxia = (jnp.asarray(part) for part in windows.of_mixed(0.3 / windows.TISSUE.resistance, voxels))
    truth = Oxygenation(share, pressure, enhancement, hypoxia)
    model = OxygenLaw.create(1, windows.TISSUE, voxels, truth)
    said = model(voxels)
    transfer, half, effect, _ = model.coefficients(voxels)
    assert float(transfer.max()) < 1 / windows.TISSUE.resistance
    assert float(half.min()) >= windows.TISSUE.half_pressure and float(effect.min()) >= windows.TISSUE.effect_pressure
    assert float(said.pressure.min()) >= 0 and bool(jnp.all(said.pressure <= voxels.blood_pressure))
    tissue = 1 - np.pi * windows.RADIUS**2 * voxels.density
    delivered = voxels.density * transfer * (voxels.blood_pressure - said.pressure)
    np.testing.assert_allclose(delivered, voxels.demand * tissue * said.share, rtol=1e-8)
    data = windows.Windows(voxels, truth, (np.ones(1),) * 64, (np.ones(1),) * 64)
    trained, note = windows.trained(data, 1, 150, Workspace(None, progress=False))
    assert note == ""
    assert float(windows.loss(trained, (voxels, truth))) < 0.5 * float(windows.loss(model, (voxels, truth)))
    assert windows.fitted_transfer(data) * windows.TISSUE.resistance == pytest.approx(0.3, rel=0.06)


@pytest.mark.slow
def test_a_small_tumour(tmp_path):
    config = replace(CONFIG, windows=60, unseen_windows=20, steps=400, seeds=1, window_mm=0.5, tumour_mm=1.5, voxel_mm=0.5)
    summary = run_experiment("oncology/oxygen_exchange", config, RunOptions(out=tmp_path / "run"), progress=False)
    assert summary["unseen_network_share_error_percent"] < summary["unseen_well_mixed_share_error_percent"]
    assert summary["unseen_network_hypoxia_error_percent"] < summary["unseen_krogh_mean_spacing_hypoxia_error_percent"]
    assert summary["tumour_delivered_less_consumed"] < 1e-10


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rim_density": 0.0}, "8"),
        ({"demand": -4e-4}, "demand"),
        ({"voxel_mm": 0.255}, "multiple of 0.01"),
        ({"tumour_mm": 5.5}, "multiple of 1"),
        ({"windows": 0}, "20"),
        ({"core_pressure": float("nan")}, "core-pressure"),
    ],
)
def test_bad_options_are_refused_in_one_line(change, message):
    with pytest.raises(InputError, match=message) as caught:
        oxygen_exchange.run(replace(CONFIG, **change), Workspace(None, progress=False))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"blood_pressure": 0.0}, "blood_pressure 0 in voxel 0"),
        ({"demand": float("nan")}, "demand nan"),
        ({"mean_distance": 0.0}, "mean_distance 0"),
        ({"density": -1.0}, "density -1"),
    ],
)
def test_voxels_that_would_be_a_silent_nan_are_refused(change, message):
    voxels = known(3)
    with pytest.raises(InputError, match=message):
        voxels._replace(**{name: jnp.full(3, value) for name, value in change.items()}).features()
    with pytest.raises(InputError, match="shape"):
        voxels._replace(demand=jnp.ones(2)).features()


def test_without_capillaries_nothing_is_delivered_and_a_truth_that_no_law_gives_is_refused():
    voxels = known(3)
    none = mixed_pressure(jnp.asarray(1e-6), jnp.asarray(1.0), voxels._replace(density=jnp.zeros(3)), windows.TISSUE)
    assert float(none.max()) < 1e-6 and float(none.min()) >= 0
    nothing = Oxygenation(jnp.zeros(3), jnp.zeros(3), jnp.ones(3), jnp.ones(3))
    with pytest.raises(InputError, match="no law gives"):
        OxygenLaw.create(0, windows.TISSUE, voxels, nothing)
    with pytest.raises(InputError, match="resistance 0"):
        OxygenLaw.create(0, windows.TISSUE._replace(resistance=0.0), voxels, nothing)
