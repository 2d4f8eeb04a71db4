"""A user's own heart: what is written is read back, wherever and however it lies; bad folders are refused in one line."""

import jax.numpy as jnp
import numpy as np
import pytest

from physics import Pose, squared_velocity
from physics.biventricular import LEFT, RIGHT
from solvers import eikonal, start_at
from twinsim.errors import InputError
from twinsim.heart_folder import analytic_record, load_heart, save_heart
from twinsim.store import write_nifti
from twinsim.volumes import read_vectors, read_volume

H = 2.0


def activation(record):
    grid = record.heart.grid
    start = start_at(grid, [record.heart.nearest(place) for place, _ in record.places], jnp.asarray([time for _, time in record.places]))
    times = eikonal(grid, start, squared_speed=squared_velocity(grid, 0.6, 0.3, record.heart.fibres)).times
    return np.asarray(times)[np.asarray(grid.mask).reshape(-1)]


@pytest.fixture(scope="module")
def written():
    return analytic_record(H)


@pytest.fixture(scope="module")
def folder(written, tmp_path_factory):
    return save_heart(written, tmp_path_factory.mktemp("hearts") / "heart")


@pytest.fixture(scope="module")
def truth(written):
    return activation(written)


def copied(folder, target, **changes):
    """The folder with lines of its YAML replaced."""
    import shutil

    shutil.copytree(folder, target)
    text = (target / "heart.yaml").read_text()
    for old, new in changes.get("lines", ()):
        assert old in text
        text = text.replace(old, new)
    (target / "heart.yaml").write_text(text)
    return target


def test_what_is_written_is_read_back(written, folder, truth):
    read = load_heart(folder)
    np.testing.assert_array_equal(read.heart.ventricle, written.heart.ventricle)
    np.testing.assert_allclose(read.heart.origin, written.heart.origin, atol=1e-4)
    np.testing.assert_allclose(read.electrodes, written.electrodes, atol=1e-3)
    same_directions(read, written)
    np.testing.assert_allclose(activation(read), truth, atol=1e-4)


def same_directions(read, written):
    """Fibres, coordinate and places of the same voxels; activation times then are the same numbers."""
    np.testing.assert_allclose(read.heart.fibres, written.heart.fibres, atol=1e-6)
    np.testing.assert_allclose(read.heart.transmural, written.heart.transmural, atol=1e-6)
    for one, other in zip(read.places, written.places, strict=True):
        assert read.heart.nearest(one[0]) == written.heart.nearest(other[0]) and one[1] == other[1]


def test_an_oblique_heart_elsewhere_is_activated_alike(truth, tmp_path):
    pose = Pose(apex=(-0.3, 0.8, -0.5), right_ventricle=(0.2, 0.5, 0.9))
    read = load_heart(save_heart(analytic_record(H, pose, (31.0, -120.0, 400.0)), tmp_path / "turned"))
    assert np.abs(read.affine[:3, :3]).min() > 0.01  # no axis lies along one of the world
    np.testing.assert_allclose(activation(read), truth, atol=1e-4)


def test_a_mirrored_grid_is_turned_back(folder, written, tmp_path):
    """As radiological software stores images: the first axis runs to the left."""
    mirrored = copied(folder, tmp_path / "mirrored")
    for name, read in (("labels", read_volume), ("transmural", read_volume), ("fibres", read_vectors)):
        volume = read(mirrored / f"{name}.nii.gz")
        affine = volume.affine.copy()
        affine[:3, 3] += affine[:3, 0] * (volume.array.shape[0] - 1)
        affine[:3, 0] *= -1
        write_nifti(mirrored / f"{name}.nii.gz", volume.array[::-1], affine)
    same_directions(load_heart(mirrored), written)


def test_vectors_with_five_axes(folder, written, tmp_path):
    five = copied(folder, tmp_path / "five")
    fibres = read_vectors(five / "fibres.nii.gz")
    write_nifti(five / "fibres.nii.gz", fibres.array[:, :, :, None], fibres.affine)
    same_directions(load_heart(five), written)


@pytest.mark.slow
def test_labels_alone_give_fibres_places_and_electrodes_by_rule(written, folder, tmp_path):
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "labels.nii.gz").write_bytes((folder / "labels.nii.gz").read_bytes())
    labels = "labels: {file: labels.nii.gz, left_wall: [1], right_wall: [2], left_blood: [3], right_blood: [4]}\n"
    (bare / "heart.yaml").write_text(f"name: bare\n{labels}fibres: {{helix_inside: 50, helix_outside: -40}}\n")
    read = load_heart(bare)
    assert np.degrees(np.arccos(read.frame.axes[2] @ written.frame.axes[2])) < 6  # the base, from the open side of the blood
    np.testing.assert_allclose(read.electrodes, written.electrodes, atol=6)
    for (place, time), (true, when) in zip(read.places, written.places, strict=True):
        assert np.linalg.norm(np.subtract(place, true)) < 8 and time == when
    mask = np.asarray(read.heart.grid.mask)
    np.testing.assert_allclose(np.linalg.norm(np.asarray(read.heart.fibres)[mask], axis=1), 1, atol=1e-6)


def test_another_spacing(written, folder):
    """Resampled from 2 mm to 2.5 mm: volume and directions stay about what they are."""
    read = load_heart(folder, 2.5)
    assert read.heart.grid.spacing == pytest.approx((2.5, 2.5, 2.5))
    volume = [float(np.asarray(one.heart.grid.mask).sum() * one.heart.grid.voxel_volume) for one in (written, read)]
    assert volume[1] == pytest.approx(volume[0], rel=0.04)
    for place, _ in written.places:  # the fibre of the nearest voxel, whichever way along it
        one, other = (np.asarray(record.heart.fibres)[record.heart.nearest(place)] for record in (written, read))
        assert abs(one @ other) > 0.9


def test_scar_neither_conducts_nor_is_left_out_of_the_wall(written, folder, tmp_path):
    scarred = copied(folder, tmp_path / "scar", lines=[("right_blood: [4]", "right_blood: [4], scar: [9]")])
    labels = read_volume(scarred / "labels.nii.gz")
    array = labels.array.copy()
    wall = np.argwhere(array == 1)
    middle = wall[len(wall) // 5]
    patch = (np.linalg.norm(np.stack(np.indices(array.shape), -1) - middle, axis=-1) < 6) & (array == 1)
    write_nifti(scarred / "labels.nii.gz", np.where(patch, 9, array), labels.affine)
    whole, read = written, load_heart(scarred)
    missing = np.asarray(whole.heart.grid.mask) & ~np.asarray(read.heart.grid.mask)
    assert missing.sum() == patch.sum() > 50
    assert set(np.unique(whole.heart.ventricle[missing])) == {LEFT}


def changed_fibres(folder, target, change):
    bad = copied(folder, target)
    fibres = read_vectors(bad / "fibres.nii.gz")
    array = fibres.array.copy()
    mask = np.isin(read_volume(bad / "labels.nii.gz").array, (LEFT, RIGHT))
    write_nifti(bad / "fibres.nii.gz", change(array, np.argwhere(mask)), fibres.affine)
    return bad


def scaled(array, where):
    return array * 0.5


def unset(array, where):
    array[tuple(where[7])] = 0
    return array


def spoilt(array, where):
    array[tuple(where[7])] = np.nan
    return array


def shorter(array, where):
    return array[:-1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (scaled, "length 0.5"),
        (unset, "missing .zero. in 1 of"),
        (spoilt, "NaN or infinite in 1 of"),
        (shorter, "with shape .*expected shape"),
    ],
)
def test_bad_fibres_are_refused(folder, tmp_path, change, message):
    with pytest.raises(InputError, match=message) as caught:
        load_heart(changed_fibres(folder, tmp_path / "bad", change))
    assert "field fibres.file" in str(caught.value) and "\n" not in str(caught.value)


def with_labels(folder, target, change):
    bad = copied(folder, target, lines=[("fibres: {file: fibres.nii.gz}\n", ""), ("transmural: transmural.nii.gz\n", "")])
    labels = read_volume(bad / "labels.nii.gz")
    array, affine = change(labels.array.astype(float), labels.affine.copy())
    write_nifti(bad / "labels.nii.gz", array, affine)
    return bad


def in_metres(array, affine):
    affine[:3] /= 1000
    return array, affine


def a_tenth(array, affine):
    affine[:3] /= 10
    return array, affine


def in_slices(array, affine):
    affine[:3, 2] *= 4
    return array, affine


def no_cubes(array, affine):
    affine[:3, 2] *= 1.2
    return array, affine


def cut_in_two(array, affine):
    array[:, array.shape[1] // 2] = 0
    return array, affine


def half_labels(array, affine):
    return array + 0.4, affine


def with_nan(array, affine):
    array[0, 0, 0] = np.nan
    return array, affine


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (in_metres, "unit of length"),
        (a_tenth, "mL of muscle.*unit of length"),
        (in_slices, "3 mm at most"),
        (no_cubes, "which are no cubes"),
        (cut_in_two, "muscle in 2 pieces"),
        (half_labels, "no label"),
        (with_nan, "NaN"),
    ],
)
def test_bad_labels_are_refused(folder, tmp_path, change, message):
    with pytest.raises(InputError, match=message) as caught:
        load_heart(with_labels(folder, tmp_path / "bad", change))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("right_wall: [2]", "right_wall: [7]", "no voxel with the label 7.*1, 2, 3, 4.*correct right_wall"),
        ("right_wall: [2]", "right_wall: [1]", "the label 1 in both left_wall and right_wall"),
        ("right_wall: [2]", "rigth_wall: [2]", "did you mean 'right_wall'"),
        (", right_blood: [4]", "", "blood of one ventricle only"),
        ("left_wall: [1]", "left_wall: [0]", "background"),
        ("file: fibres.nii.gz", "file: fibers.nii.gz", "did you mean 'fibres.nii.gz'"),
        ("file: fibres.nii.gz", "helix_inside: 100", "-90 to 90 degrees"),
        ("  V6:", "  V7:", "the electrode V7"),
        ("time: 5.0", "time: -5.0", "0 to 200 ms"),
        ("base: [", "base: [0, 0, 0] # ", "in no direction"),
        ("base: [", "base: [1, 2] # ", "three finite numbers"),
        ("base: [", "base: [-0.65, 0.45, -0.61] # ", "base 1[78].* degrees away from where the left blood is open"),
        ("left_wall: [1], right_wall: [2]", "left_wall: [2], right_wall: [1]", "field labels.*left and right are exchanged"),
        ("left_blood: [3], right_blood: [4]", "left_blood: [4], right_blood: [3]", "field labels.*left and right are exchanged"),
        ("{file: fibres.nii.gz}", "{file: fibres.nii.gz, helix_inside: 60}", "a file of fibres and angles of the rule"),
        ("  V6: [", "  V6: [-20.9, 15.3, 9.05] # ", "field electrodes.V6; expected 5 to 1000 mm"),
        ("  LL: [", "  LL: [-80000, 20000, -330000] # ", "field electrodes.LL; expected 5 to 1000 mm"),
    ],
)
@pytest.mark.quick(8)
def test_bad_files_are_refused_with_the_field(folder, tmp_path, old, new, message):
    with pytest.raises(InputError, match=message) as caught:
        load_heart(copied(folder, tmp_path / "bad", lines=[(old, new)]))
    assert "heart.yaml" in str(caught.value) and "\n" not in str(caught.value)


def test_voxels_that_no_machine_holds_are_refused_before_they_are_made(folder):
    with pytest.raises(InputError, match=r"voxels of 0.05 mm.*coarser spacing"):
        load_heart(folder, 0.05)


def test_no_folder_and_no_second_heart_in_one(written, folder, tmp_path):
    with pytest.raises(InputError, match=r"without a heart.yaml"):
        load_heart(tmp_path)
    with pytest.raises(InputError, match="overwrite"):
        save_heart(written, folder)
