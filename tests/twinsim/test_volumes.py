"""Reading volumes and resampling them without losing mass."""

from pathlib import Path

import nibabel
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from twinsim.errors import InputError
from twinsim.volumes import (
    Volume,
    read_mask,
    read_volume,
    require_same_grid,
    resample_conservative,
    resample_mask,
    resample_onto,
)

AFFINE = np.array([[-0.5, 0, 0, 40], [0, 0.75, 0, -30], [0, 0, 6.5, 12], [0, 0, 0, 1]], float)


def write(path: Path, array, affine=AFFINE) -> Path:
    nibabel.save(nibabel.Nifti1Image(array, affine), path)
    return path


def write_nrrd(path: Path, array, **fields: str) -> Path:
    """An NRRD file by hand; axes are the fastest first. ``space_origin`` becomes the field "space origin"."""
    lines = ["NRRD0004", "type: float", "dimension: 3", "sizes: " + " ".join(map(str, array.shape))]
    lines += ["encoding: raw", "endian: little", *(f"{key.replace('_', ' ')}: {text}" for key, text in fields.items())]
    path.write_bytes("\n".join([*lines, "", ""]).encode() + array.astype("<f4").tobytes(order="F"))
    return path


def test_nifti_keeps_values_type_and_anisotropic_affine(tmp_path):
    array = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    volume = read_volume(write(tmp_path / "a.nii.gz", array))
    np.testing.assert_array_equal(volume.array, array)
    assert volume.array.dtype == np.int16
    np.testing.assert_allclose(volume.affine, AFFINE)
    np.testing.assert_allclose(volume.spacing_mm, (0.5, 0.75, 6.5))


@pytest.mark.parametrize(
    ("space", "sign"),
    [
        ("left-posterior-superior", (-1, -1, 1)),
        ("LPS", (-1, -1, 1)),
        ("right-anterior-superior", (1, 1, 1)),
        ("left-anterior-superior", (-1, 1, 1)),
    ],
)
def test_nrrd_space_becomes_right_anterior_superior(tmp_path, space, sign):
    array = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    directions = "(0,2,0) (3,0,0) (0,0,4)"  # axis 0 runs along y, axis 1 along x
    path = write_nrrd(tmp_path / "a.nrrd", array, space=space, space_directions=directions, space_origin="(10,20,30)")
    volume = read_volume(path)
    expected = np.diag([*sign, 1.0]) @ np.array([[0, 3, 0, 10], [2, 0, 0, 20], [0, 0, 4, 30], [0, 0, 0, 1.0]])
    np.testing.assert_allclose(volume.affine, expected)
    np.testing.assert_array_equal(volume.array, array)


def test_one_trailing_axis_of_length_one_is_dropped(tmp_path):
    assert read_volume(write(tmp_path / "a.nii", np.ones((2, 3, 4, 1), np.float32))).array.shape == (2, 3, 4)


def sheared() -> np.ndarray:
    affine = np.eye(4)
    affine[0, 1] = 0.2
    return affine


def with_nan() -> np.ndarray:
    array = np.ones((2, 3, 4), np.float32)
    array[1, 2, 3] = np.nan
    array[0, 1, 0] = np.inf
    return array


@pytest.mark.parametrize(
    ("array", "affine", "parts"),
    [
        (np.ones((2, 3, 4, 5), np.float32), AFFINE, ("(2, 3, 4, 5)", "3-D")),
        (np.ones((2, 3), np.float32), AFFINE, ("(2, 3)", "3-D")),
        (with_nan(), AFFINE, ("2 voxels", "NaN or infinite", "(0, 1, 0)")),
        (np.ones((2, 3, 4), np.float32), sheared(), ("sheared", "78.69 degrees", "right angles")),
    ],
    ids=["4-D", "2-D", "nan", "shear"],
)
def test_bad_volume_is_one_line(tmp_path, array, affine, parts):
    path = write(tmp_path / "bad.nii.gz", array, affine)
    with pytest.raises(InputError) as error:
        read_volume(path)
    message = str(error.value)
    assert all(part in message for part in (*parts, "bad.nii.gz")), message
    assert "\n" not in message


@pytest.mark.parametrize("spacings", [(1.0, 0.0, 1.0), (1.0, -2.0, 1.0)])
def test_zero_or_negative_spacing(tmp_path, spacings):
    path = write_nrrd(tmp_path / "a.nrrd", np.ones((2, 2, 2)), spacings=" ".join(map(str, spacings)))
    with pytest.raises(InputError, match=f"spacing 1 x {spacings[1]:g} x 1 mm; expected a positive spacing"):
        read_volume(path)


def test_zero_spacing_in_directions(tmp_path):
    directions = "(1,0,0) (0,1,0) (0,0,0)"
    path = write_nrrd(tmp_path / "a.nrrd", np.ones((2, 2, 2)), space="RAS", space_directions=directions)
    with pytest.raises(InputError, match="spacing 1 x 1 x 0 mm"):
        read_volume(path)


def test_unknown_nrrd_space(tmp_path):
    directions = "(1,0,0) (0,1,0) (0,0,1)"
    path = write_nrrd(tmp_path / "a.nrrd", np.ones((2, 2, 2)), space="3D-right-handed", space_directions=directions)
    with pytest.raises(InputError, match="'3d-right-handed'; expected one of left-anterior-superior"):
        read_volume(path)


def test_missing_file_names_near_misses(tmp_path):
    write(tmp_path / "oedema_day0.nii.gz", np.ones((2, 2, 2), np.float32))
    with pytest.raises(InputError) as error:
        read_volume(tmp_path / "odema_day0.nii.gz")
    assert str(tmp_path / "odema_day0.nii.gz") in str(error.value)
    assert "did you mean 'oedema_day0.nii.gz'?" in str(error.value)


def test_missing_folder_and_unknown_format(tmp_path):
    with pytest.raises(InputError, match="a folder that does not exist"):
        read_volume(tmp_path / "nowhere" / "a.nii")
    with pytest.raises(InputError, match=r"scan\.mha; expected a NIfTI"):
        read_volume(tmp_path / "scan.mha")


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.nrrd"])
def test_broken_file(tmp_path, name):
    (tmp_path / name).write_bytes(b"this is no image" * 40)
    with pytest.raises(InputError, match="cannot be read"):
        read_volume(tmp_path / name)


def test_truncated_file(tmp_path):
    path = write(tmp_path / "a.nii.gz", np.random.default_rng(0).normal(size=(20, 20, 20)).astype(np.float32))
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(InputError, match="cannot be read"):
        read_volume(path)


def test_empty_mask(tmp_path):
    with pytest.raises(InputError, match="an empty mask"):
        read_mask(write(tmp_path / "a.nii.gz", np.zeros((2, 3, 4), np.uint8)))
    soft = np.array([0.2, 0.5, 0.7], np.float32).reshape(3, 1, 1)
    assert read_mask(write(tmp_path / "b.nii.gz", soft)).array.ravel().tolist() == [False, True, True]
    bytes_ = np.array([0, 255, 0], np.uint8).reshape(3, 1, 1)
    assert read_mask(write(tmp_path / "c.nii.gz", bytes_)).array.ravel().tolist() == [False, True, False]
    for bad, shown in ((np.array([0, 1, 4], np.uint8), "0, 1, 4"), (np.array([-1, 0, 1], np.int16), "-1, 0, 1")):
        with pytest.raises(InputError, match=f"values {shown}; expected a mask of 0 and one other value"):
            read_mask(write(tmp_path / "d.nii.gz", bad.reshape(3, 1, 1)))


def test_grids_that_differ():
    one = Volume(np.zeros((3, 4, 5)), AFFINE)
    require_same_grid(Volume(np.zeros((3, 4, 5)), AFFINE + 1e-5 * np.eye(4, k=3)), "b", one, "a")
    with pytest.raises(InputError, match=r"b with shape \(3, 4, 6\); expected shape \(3, 4, 5\) as in a"):
        require_same_grid(Volume(np.zeros((3, 4, 6)), AFFINE), "b", one, "a")
    moved = AFFINE.copy()
    moved[0, 3] += 0.25
    with pytest.raises(InputError, match=r"up to 0\.25 mm away"):
        require_same_grid(Volume(np.zeros((3, 4, 5)), moved), "b", one, "a")


spacings = st.tuples(*[st.floats(0.3, 5.0)] * 3)
fields = arrays(np.float64, st.tuples(*[st.integers(1, 6)] * 3), elements=st.floats(-10, 10, allow_subnormal=False))


@given(fields, spacings, spacings)
def test_resampling_keeps_the_integral(field, old, new):
    affine = np.diag([*old, 1.0])
    result, target = resample_conservative(field, affine, new, outside=0.0)
    before = field.sum() * np.prod(old)
    after = result.sum() * np.prod(new)
    scale = np.abs(field).sum() * np.prod(old) + 1e-300
    assert abs(after - before) <= 1e-11 * scale
    np.testing.assert_allclose(np.linalg.norm(target[:3, :3], axis=0), new)


@given(fields, spacings, spacings)
def test_resampling_stays_in_range_and_keeps_constants(field, old, new):
    affine = AFFINE @ np.diag([*old, 1.0])
    result, _ = resample_conservative(field, affine, new)
    assert field.min() - 1e-12 <= result.min()
    assert result.max() <= field.max() + 1e-12
    constant, _ = resample_conservative(np.full_like(field, 3.7), affine, new)
    np.testing.assert_allclose(constant, 3.7, rtol=1e-13)


def test_resampling_keeps_the_outer_corner_of_the_first_voxel():
    field = np.random.default_rng(0).normal(size=(8, 6, 4))
    result, target = resample_conservative(field, AFFINE, (1.0, 1.5, 13.0))
    assert result.shape == (4, 3, 2)
    corner = np.array([-0.5, -0.5, -0.5, 1.0])
    np.testing.assert_allclose(target @ corner, AFFINE @ corner)
    np.testing.assert_allclose(result, field.reshape(4, 2, 3, 2, 2, 2).mean((1, 3, 5)))


def test_onto_a_grid_with_other_axis_order_and_direction():
    field = np.random.default_rng(1).normal(size=(4, 5, 6))
    # New axes: (z backwards, x, y); same voxels.
    target = np.array([[0, 2.0, 0, 0], [0, 0, 3.0, 0], [-4.0, 0, 0, 20], [0, 0, 0, 1]])
    result = resample_onto(field, np.diag([2.0, 3.0, 4.0, 1.0]), (6, 4, 5), target)
    np.testing.assert_allclose(result, field[:, :, ::-1].transpose(2, 0, 1), atol=1e-14)


def test_outside_value_and_mean_of_covered_part():
    field, affine = np.ones((3, 1, 1)), np.eye(4)
    kept, _ = resample_conservative(field, affine, (2.0, 1.0, 1.0))
    np.testing.assert_allclose(kept.ravel(), [1, 1])
    padded, _ = resample_conservative(field, affine, (2.0, 1.0, 1.0), outside=0.0)
    np.testing.assert_allclose(padded.ravel(), [1, 0.5])


def test_rotated_grids_are_refused():
    angle = np.radians(10)
    turned = np.eye(4)
    turned[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    with pytest.raises(InputError, match="rotated against each other"):
        resample_onto(np.ones((2, 2, 2)), np.eye(4), (2, 2, 2), turned)


def test_mask_is_set_where_half_of_the_voxel_is():
    mask = np.array([1, 0, 0, 0, 1, 1, 0], bool).reshape(7, 1, 1)
    result, _ = resample_mask(mask, np.eye(4), (2.0, 1.0, 1.0))
    assert result.ravel().tolist() == [True, False, True, False]


@pytest.mark.parametrize("spacing", [0.0, -1.0, float("nan"), (1.0, 2.0), (1.0, 0.0, 1.0)])
def test_bad_spacing(spacing):
    with pytest.raises(InputError, match="one positive number, or three"):
        resample_conservative(np.ones((2, 2, 2)), np.eye(4), spacing)


def with_header(path: Path, **fields) -> Path:
    """A NIfTI file with fields of its header overwritten in place, as a careless exporter leaves them."""
    write(path, np.zeros((3, 4, 5), np.float32))
    raw = path.read_bytes()
    header = nibabel.Nifti1Header(raw[:348], check=False)
    for name, value in fields.items():
        header[name] = value
    path.write_bytes(header.binaryblock + raw[348:])
    return path


def test_a_file_that_does_not_say_which_way_its_axes_run(tmp_path):
    assert read_volume(write(tmp_path / "a.nii.gz", np.zeros((2, 3, 4), np.float32))).oriented
    assert not read_volume(with_header(tmp_path / "b.nii", sform_code=0, qform_code=0)).oriented
    assert not read_volume(write_nrrd(tmp_path / "c.nrrd", np.zeros((2, 3, 4)), spacings="1 1 1")).oriented


def test_zero_voxel_size_in_a_nifti_header_is_not_one_millimetre(tmp_path):
    sizes = [1, 0.5, 0.0, 6.5, 0, 0, 0, 0]
    with pytest.raises(InputError, match=r"voxel spacing 0\.5 x 0 x 6\.5 mm"):
        read_volume(with_header(tmp_path / "a.nii", sform_code=0, pixdim=sizes))
    assert read_volume(with_header(tmp_path / "b.nii", sform_code=1, pixdim=sizes)).spacing_mm == pytest.approx((0.5, 0.75, 6.5))


def test_length_in_the_header_is_converted_and_sizes_of_no_body_are_refused(tmp_path):
    metres = np.diag([0.002, 0.002, 0.003, 1.0])
    image = nibabel.Nifti1Image(np.zeros((3, 4, 5), np.float32), metres)
    image.header.set_xyzt_units(xyz="meter")
    nibabel.save(image, tmp_path / "metres.nii.gz")
    assert read_volume(tmp_path / "metres.nii.gz").spacing_mm == pytest.approx((2.0, 2.0, 3.0))
    with pytest.raises(InputError, match="check the unit of length"):
        read_volume(write(tmp_path / "small.nii.gz", np.zeros((3, 4, 5), np.float32), metres))
    broken = AFFINE.copy()
    broken[0, 3] = np.nan
    with pytest.raises(InputError, match="NaN or infinity"):
        read_volume(write(tmp_path / "nan.nii.gz", np.zeros((3, 4, 5), np.float32), broken))
