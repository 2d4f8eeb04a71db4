"""Stimulation of the subthalamic nucleus at toy size, and its search for currents against all combinations on a grid."""

import dataclasses
from pathlib import Path

import jax.numpy as jnp
import nibabel
import numpy as np
import pytest

from experiments.neuro import dbs
from experiments.neuro._dbs_tensors import tensor_summary
from physics import BRAIN_CONDUCTIVITIES, charge_density
from twinsim.errors import InputError
from twinsim.stimulation import Limits, Regions, brute_force, gains, optimise_currents
from twinsim.stimulation_target import capsule_direction
from twinsim.workspace import Workspace

TOY = dbs.Config(lead="medtronic_3389", voxel_mm=0.8, box_mm=16.0, total_ma=8.0, slopes=False)


def test_conductivities_are_those_of_the_table():
    assert all(getattr(TOY, f"{name}_s_per_m") == BRAIN_CONDUCTIVITIES[name].value for name in dbs.TISSUES)


@pytest.fixture(scope="module")
def result():
    return dbs.run(TOY, Workspace(progress=False))


def test_the_contract(result):
    summary = result.summary
    assert summary["target_covered_percent_lowest"] <= summary["target_covered_percent"] <= summary["target_covered_percent_highest"]
    assert summary["target_covered_percent_lowest"] > 50  # of the target, with conductivities 20 % off
    assert summary["capsule_activated_percent_highest"] < TOY.capsule_percent + 1
    assert 300 < summary["impedance_1_ohm"] < 1500  # what clinics measure: 500 to 1500 ohm
    assert summary["impedance_ohm_highest"] == pytest.approx(1.25 * summary["impedance_ohm"], rel=1e-6)  # all 20 % low
    assert summary["impedance_ohm_lowest"] == pytest.approx(summary["impedance_ohm"] / 1.2, rel=1e-6)
    assert summary["total_current_ma"] <= 8.0 + 1e-6
    assert summary["agreeing_starts"] >= 2
    density = np.asarray(charge_density(result.dataset["current"].values, np.pi * 1.27 * 1.5, 60.0)).max()
    assert summary["largest_charge_density_uc_per_cm2"] == pytest.approx(density) and density <= 30
    assert result.dataset["resistance"].shape == (11, 4, 4)


@pytest.fixture
def capsule_tensors(tmp_path):
    """Twice as conductive along the internal capsule, all over the brain, as MRtrix writes it, on coarse voxels."""
    along = capsule_direction(-1.0)
    tensor = 5e-4 * (np.eye(3) + np.outer(along, along))
    affine = np.diag([3.0, 3.0, 3.0, 1.0])
    affine[:3, 3] = (-40.0, -40.0, -35.0)
    array = np.broadcast_to(tensor[[0, 1, 2, 0, 0, 1], [0, 1, 2, 1, 2, 2]], (20, 20, 20, 6)).astype(np.float32)
    nibabel.save(nibabel.Nifti1Image(array, affine), tmp_path / "tensor.nii.gz")
    return tmp_path / "tensor.nii.gz"


def test_tensors_in_the_cube(capsule_tensors):
    config = dataclasses.replace(TOY, tensors=capsule_tensors, tensor_convention="mrtrix")
    scene = dbs._scene(config)
    found, words = tensor_summary(scene, capsule_direction(-1.0))
    assert found["tensors_in_brain_percent"] == 100 and found["tensors_raised_percent"] == 0 and not words
    assert found["capsule_fibre_angle_degrees"] == pytest.approx(0, abs=0.1)
    assert found["capsule_anisotropy_median"] == pytest.approx(2, rel=1e-4)
    mirrored = np.diag([-1.0, 1.0, 1.0])
    turned = scene._replace(tensors=scene.tensors._replace(diffusion=mirrored @ scene.tensors.diffusion @ mirrored))
    assert "35 degrees away from its fibres: check tensor-convention" in tensor_summary(turned, capsule_direction(-1.0))[1][0]
    values = jnp.asarray([0.275, 0.126, 1.79, 0.16])
    tensor = dbs._conductor(config, scene, values).conductivity
    plain = dbs._conductor(TOY, scene._replace(tensors=None), values).conductivity
    np.testing.assert_allclose(jnp.cbrt(jnp.linalg.det(tensor)), plain, rtol=1e-9)
    linear = dataclasses.replace(config, tensor_scaling="linear")
    expected = np.broadcast_to(1688 * 0.25e-3 * (np.eye(3) + np.outer(capsule_direction(-1.0), capsule_direction(-1.0))), tensor.shape)
    np.testing.assert_allclose(dbs._conductor(linear, scene, values).conductivity, expected, rtol=1e-5)
    np.testing.assert_allclose(dbs._conductor(linear, scene, 0.8 * values).conductivity, 0.8 * expected, rtol=1e-5)


@pytest.mark.slow
def test_tensors_of_a_file(capsule_tensors):
    given = dataclasses.replace(TOY, currents_ma=(0.0, -3.0, 0.0, 0.0), conductivity_doubt_percent=0.0)
    plain = dbs.run(given, Workspace(progress=False)).summary
    told = dataclasses.replace(given, tensors=capsule_tensors, tensor_convention="mrtrix")
    result = dbs.run(told, Workspace(progress=False))
    assert result.summary["tensors_in_brain_percent"] == 100
    assert 0.5 < result.summary["impedance_1_ohm"] / plain["impedance_1_ohm"] < 1.5  # the same geometric mean
    assert result.summary["activated_mm3"] != pytest.approx(plain["activated_mm3"], rel=1e-3)
    # As if FSL had written it the components stand elsewhere, and this is seen; with its axes wrong only, the capsule tells.
    with pytest.raises(InputError, match="other convention"):
        dbs.run(dataclasses.replace(told, tensor_convention="fsl"), Workspace(progress=False))


def test_fibres_of_one_direction_in_the_capsule():
    config = dataclasses.replace(TOY, capsule_anisotropy=3.0)
    scene = dbs._scene(config)
    tensor = np.asarray(dbs._conductor(config, scene, jnp.asarray([0.275, 0.126, 1.79, 0.16])).conductivity)
    values, vectors = np.linalg.eigh(tensor[scene.capsule == 1])
    np.testing.assert_allclose(values[:, 2] / values[:, 0], 3, rtol=1e-9)
    np.testing.assert_allclose(np.abs(vectors[:, :, 2] @ capsule_direction(-1.0)), 1, rtol=1e-9)


def test_tensors_of_another_space_are_refused(capsule_tensors):
    right = dataclasses.replace(TOY, side="right", tensors=capsule_tensors, tensor_convention="mrtrix", offset_mm=(0.5, 0.0, 0.0))
    image = nibabel.load(capsule_tensors)
    affine = image.affine.copy()
    affine[0, 3] = -200.0
    nibabel.save(nibabel.Nifti1Image(np.asarray(image.dataobj), affine), capsule_tensors)
    with pytest.raises(InputError, match="MNI152 space"):
        dbs.run(right, Workspace(progress=False))


@pytest.mark.slow
def test_slopes_to_conductivities(result):
    given = tuple(result.dataset["current"].values.tolist())
    summary = dbs.run(dataclasses.replace(TOY, currents_ma=given, slopes=True), Workspace(progress=False)).summary
    slopes = [summary[f"impedance_slope_{name}"] for name in dbs.TISSUES]
    assert max(slopes) < 0 and sum(slopes) == pytest.approx(-1, abs=1e-5)  # the impedance is homogeneous in all conductivities
    for name in ("grey", "white"):
        high, low = result.dataset["activated_mm3"].sel(scenario=[f"{name} high", f"{name} low"]).values
        assert summary[f"activated_slope_{name}"] == pytest.approx(np.log(high / low) / np.log(1.2 / 0.8), abs=0.05)


def test_currents_that_are_given_are_judged(result):
    given = tuple(result.dataset["current"].values.tolist())
    again = dbs.run(dataclasses.replace(TOY, currents_ma=given, conductivity_doubt_percent=0.0), Workspace(progress=False)).summary
    assert again["target_covered_percent"] == pytest.approx(result.summary["target_covered_percent"], rel=1e-9)
    assert again["scenarios"] == 1


def toy_exposure():
    """Four monopoles in a line beside a target, a region to avoid on the other side, two conductivities."""
    axis = np.arange(20) - 9.5
    x = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1)
    places = np.array([[0.0, 0.0, height] for height in (-3.0, -1.0, 1.0, 3.0)]) + 0.25
    away = x[None] - places[:, None, None, None]
    field = np.moveaxis(away / np.maximum(np.linalg.norm(away, axis=-1, keepdims=True), 0.5) ** 3, -1, 1).reshape(4, 3, -1) / (
        4 * np.pi * 0.2
    )
    target = (np.linalg.norm((x - np.array([1.5, 0.0, 1.0])) / np.array([3.0, 3.0, 2.5]), axis=-1) < 1).astype(float)
    avoided = (np.linalg.norm((x + np.array([4.5, 0.0, 0.0])) / np.array([2.0, 5.0, 5.0]), axis=-1) < 1).astype(float)
    regions = Regions(np.ones(target.shape, bool), target, avoided, 1.0)
    return regions.exposure([regions.pick(jnp.asarray(factor * field)) for factor in (1.0, 0.8)], 0.2)


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.quick(1)
def test_the_optimum_is_that_of_all_combinations_on_a_grid(mixed):
    exposed = toy_exposure()
    limits = Limits(np.full(4, 3.0), 6.0, 0.05, 0.1, mixed)
    step = 0.5
    levels = np.arange(-3.0, (1.0 if mixed else 0.0) + step / 2, step)
    coarse = brute_force(exposed, limits, levels.tolist())
    found = optimise_currents(exposed, limits)
    assert found.feasible and coarse.feasible
    assert found.objective >= coarse.objective - 1e-6  # the search ends at 1e-7
    assert found.objective - coarse.objective < 0.03  # the grid is this coarse
    if not mixed:
        assert np.abs(found.milliampere - coarse.milliampere).max() <= step
    # Nothing near it is better and allowed.
    rng = np.random.default_rng(0)
    for _ in range(200):
        near = np.clip(found.milliampere + rng.normal(size=4) * 0.05, -3.0, 3.0 if mixed else 0.0)
        gained, away = gains(exposed, jnp.asarray(near), jnp.asarray(0.1))
        if np.abs(near).sum() <= 6.0 and float(away.max()) <= 0.05:
            assert float(gained.min()) <= found.objective + 1e-4


@pytest.mark.parametrize(
    "change",
    [
        {"direction": (0.0, 0.0, 0.0)},
        {"offset_mm": (80.0, 0.0, 0.0)},
        {"offset_mm": (9.0, 0.0, 0.0)},
        {"grey_s_per_m": 275.0},
        {"white_s_per_m": 1.26e-4},
        {"encapsulation_mm": -1.0},
        {"currents_ma": (-30.0, 0.0, 0.0, 0.0)},
        {"currents_ma": (-1.0, 0.0)},
        {"contact_at_target": 4},
        {"voxel_mm": 0.05},
        {"capsule_anisotropy": 0.0},
        {"pulse_width_us": float("nan")},
        {"tensors": Path("missing.nii.gz"), "tensor_convention": "fsl"},
        {"tensors": Path("missing.nii.gz")},
        {"tensors": Path("missing.nii.gz"), "tensor_convention": "fsl", "capsule_anisotropy": 3.0},
        {"tensor_scaling": "linear"},
    ],
)
def test_bad_options_are_refused_in_one_line(change):
    with pytest.raises(InputError) as caught:
        dbs.run(dataclasses.replace(TOY, **change), Workspace(progress=False))
    assert "\n" not in str(caught.value)
