"""Brains: the atlas, tissue maps, brain masks and the heuristic skull strip."""

import socket

import nibabel
import numpy as np
import pytest
from scipy import ndimage

from twinsim import anatomy as module
from twinsim.anatomy import (
    Anatomy,
    brain_mask_from_image,
    from_brain_mask,
    from_image,
    from_tissue_maps,
    keep_largest_component,
    mni152,
)
from twinsim.errors import InputError

VENTRICLES_MM = [(5, -5, 20), (-5, 5, 16), (4, 10, 10), (0, 0, 0), (0, -48, -32)]  # lateral (three), third, fourth
WHITE_MM, GREY_MM = (25, 0, 40), (-40, -10, 0)


def at(brain: Anatomy, name: str, world):
    return getattr(brain, name)[tuple(np.rint(brain.index_of_world(world)).astype(int))]


def test_atlas_touches_no_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    module._mni152.cache_clear()
    module._mni152_maps.cache_clear()
    assert mni152(4.0).mask.any()


@pytest.mark.slow
def test_atlas_files_are_those_of_nilearn():
    from nilearn.datasets import load_mni152_gm_template, load_mni152_template, load_mni152_wm_template

    affine, *maps = module._mni152_maps()
    loaders = (load_mni152_wm_template, load_mni152_gm_template, load_mni152_template)
    for mine, loader in zip(maps, loaders, strict=True):
        image = loader(resolution=1)
        np.testing.assert_allclose(mine, image.get_fdata(), atol=1e-6)
        np.testing.assert_array_equal(affine, image.affine)


@pytest.mark.parametrize("spacing", [2.0, 3, (2.0, 4.0, 3.0)])
def test_atlas_has_the_brain_and_not_its_ventricles(spacing):
    brain = mni152(spacing)
    np.testing.assert_allclose(brain.spacing_mm, np.broadcast_to(spacing, 3))
    assert brain.mask.sum() * brain.voxel_volume_mm3 == pytest.approx(1.735e6, rel=0.02)
    assert at(brain, "white", WHITE_MM) > 0.9
    assert at(brain, "grey", GREY_MM) > 0.8
    assert not any(at(brain, "mask", world) for world in VENTRICLES_MM)
    assert all(at(brain, "cerebrospinal_fluid", world) > 0.5 for world in VENTRICLES_MM)
    np.testing.assert_array_equal(brain.mask & (brain.white + brain.grey < 0.5), False)
    assert brain.white.dtype == brain.grey.dtype == brain.background.dtype == np.float32


def test_atlas_is_one_component_with_a_margin_of_one_voxel():
    brain = mni152(3.0)
    assert ndimage.label(brain.mask)[1] == 1
    for axis in range(3):
        hit = np.flatnonzero(brain.mask.any(tuple(a for a in range(3) if a != axis)))
        assert (hit[0], hit[-1]) == (1, brain.shape[axis] - 2)


def test_atlas_is_cached_and_cannot_be_changed():
    assert mni152(4.0) is mni152(4)
    with pytest.raises(ValueError, match="read-only"):
        mni152(4.0).white[0, 0, 0] = 1


@pytest.mark.parametrize(("spacing", "part"), [(0.0, "positive"), (-2.0, "positive"), (11.0, "at most 10 mm")])
def test_atlas_spacing_is_checked(spacing, part):
    with pytest.raises(InputError, match=part):
        mni152(spacing)


def block_brain() -> Anatomy:
    white = np.zeros((8, 8, 8), np.float32)
    white[2:6, 2:6, 2:6] = 1
    affine = np.array([[0, 2.0, 0, 5], [-1.0, 0, 0, 6], [0, 0, 3.0, 7], [0, 0, 0, 1]])
    return Anatomy("block", white, np.zeros_like(white), white > 0, affine, white)


def test_world_and_index_are_inverse():
    brain = block_brain()
    index = np.array([[0, 0, 0], [1, 2, 3], [0.5, 7, 2]])
    np.testing.assert_allclose(brain.world_of_index([1, 2, 3]), [9, 5, 16])
    np.testing.assert_allclose(brain.index_of_world(brain.world_of_index(index)), index)


def test_crop_keeps_world_coordinates_and_may_reach_outside():
    brain = block_brain()
    part = brain.cropped((-1, 2, 3), (5, 9, 8))
    assert part.shape == (6, 7, 5)
    np.testing.assert_array_equal(part.white[1:, :6], brain.white[:5, 2:, 3:])
    assert not part.mask[0].any()
    assert not part.mask[:, 6].any()
    np.testing.assert_allclose(part.world_of_index([0, 0, 0]), brain.world_of_index([-1, 2, 3]))
    with pytest.raises(InputError, match="stop > start"):
        brain.cropped((3, 0, 0), (3, 1, 1))


def test_resampled_keeps_tissue_volume():
    brain = block_brain()
    coarse = brain.resampled((2.0, 4.0, 4.5))
    np.testing.assert_allclose(coarse.spacing_mm, (2.0, 4.0, 4.5))
    assert coarse.white.sum() * coarse.voxel_volume_mm3 == pytest.approx(brain.white.sum() * brain.voxel_volume_mm3)
    assert brain.resampled((1.0, 2.0, 3.0)) == brain


def test_largest_component_says_what_it_dropped():
    mask = np.zeros((5, 5, 5), bool)
    mask[:3] = True
    mask[4, 4, 4] = mask[4, 0, 0] = True
    largest, dropped = keep_largest_component(mask)
    assert (largest.sum(), dropped) == (75, 2)


def write(path, array, affine=None):
    nibabel.save(nibabel.Nifti1Image(array, np.eye(4) if affine is None else affine), path)
    return path


@pytest.mark.parametrize("scale", [1, 100, 255])
def test_tissue_maps_in_any_scale(tmp_path, scale):
    white = np.zeros((6, 6, 6), np.float32)
    grey = white.copy()
    white[1:5, 1:5, 1:5], grey[1, 1:5, 1:5], white[1, 1:5, 1:5] = 1, 1, 0
    grey[5, 5, 5] = 1  # on its own
    brain = from_tissue_maps(write(tmp_path / "w.nii.gz", white * scale), write(tmp_path / "g.nii.gz", grey * scale))
    np.testing.assert_allclose(brain.white, white, atol=1e-6)
    assert brain.mask.sum() == 64
    assert brain.notes[0].startswith("1 tissue voxels")


def test_tissue_maps_that_add_up_to_more_than_one_are_divided(tmp_path):
    ones = np.ones((3, 3, 3), np.float32)
    files = [write(tmp_path / f"{name}.nii.gz", ones) for name in ("w", "g", "c")]
    np.testing.assert_allclose(from_tissue_maps(*files).white, 1 / 3, rtol=1e-6)


def test_bad_tissue_maps(tmp_path):
    ones = np.ones((3, 3, 3), np.float32)
    good, moved = write(tmp_path / "w.nii.gz", ones), write(tmp_path / "g.nii.gz", ones, np.diag([1.0, 1, 2, 1]))
    with pytest.raises(InputError, match="up to 2 mm away"):
        from_tissue_maps(good, moved)
    with pytest.raises(InputError, match="negative"):
        from_tissue_maps(good, write(tmp_path / "n.nii.gz", -ones))
    with pytest.raises(InputError, match="up to 1000"):
        from_tissue_maps(good, write(tmp_path / "k.nii.gz", 1000 * ones))
    empty = write(tmp_path / "e.nii.gz", 0 * ones)
    with pytest.raises(InputError, match="without any voxel"):
        from_tissue_maps(empty, empty)


def test_brain_mask_is_uniform_white_matter(tmp_path):
    mask = np.zeros((5, 5, 5), np.uint8)
    mask[1:4, 1:4, 1:4] = 1
    brain = from_brain_mask(write(tmp_path / "m.nii.gz", mask))
    np.testing.assert_array_equal(brain.white, mask)
    assert not brain.grey.any()


def head_image() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Concentric balls: brain 55 mm, skull to 63 mm, scalp to 72 mm; a bright lesion at the brain's surface."""
    spacing = np.array([3.0, 3.0, 3.0])
    axes = [s * (np.arange(56) - 27.5) for s in spacing]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    radius = np.sqrt(x**2 + y**2 + z**2)
    noise = np.random.default_rng(0).normal(0, 4, radius.shape)
    image = np.select([radius < 55, radius < 63, radius < 72], [100, 15, 220], 2) + noise
    lesion = ((x - 46) ** 2 + y**2 + z**2 < 64) & (radius < 55)
    image[lesion] = 210
    image[(x**2 + y**2 + z**2) < 100] = 20  # a ventricle
    return image, np.diag([*spacing, 1.0]), (radius < 55)


def test_skull_strip_finds_the_brain_of_a_phantom():
    image, affine, brain = head_image()
    mask = brain_mask_from_image(image, affine)
    assert 2 * (mask & brain).sum() / (mask.sum() + brain.sum()) > 0.93  # Dice coefficient
    assert mask[27, 27, 27]  # the ventricle is filled
    assert mask[42, 27, 27]  # and so is the lesion at the surface


def test_skull_strip_follows_the_axis_that_points_up():
    image, affine, _ = head_image()
    turned = affine[:, [2, 0, 1, 3]]
    mask = brain_mask_from_image(image.transpose(2, 0, 1), turned)
    np.testing.assert_array_equal(mask, brain_mask_from_image(image, affine).transpose(2, 0, 1))


def test_skull_strip_refuses_what_is_no_head(tmp_path):
    with pytest.raises(InputError, match="mL of brain"):
        brain_mask_from_image(head_image()[0], np.eye(4))
    with pytest.raises(InputError, match="one constant value"):
        from_image(write(tmp_path / "i.nii.gz", np.ones((4, 4, 4), np.float32)))


@pytest.mark.needs_data
def test_skull_strip_of_a_real_head(dataset):
    from twinsim.volumes import read_mask, read_volume

    folder = dataset("brain_tumour_mr")
    image, lesion = read_volume(folder / "brain1_image.nrrd"), read_mask(folder / "brain1_label.nrrd").array
    mask = brain_mask_from_image(image.array, image.affine)
    assert 1.3e6 < mask.sum() * np.prod(image.spacing_mm) < 1.95e6
    assert (mask & lesion).sum() > 0.99 * lesion.sum()
    assert not mask[:, :, :2].any()  # the neck
