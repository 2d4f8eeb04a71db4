"""Diffusion tensors from files: two conventions, oblique grids, other grids, and what is refused."""

import nibabel
import numpy as np
import pytest

from tests.diffusion_files import FSL, MRTRIX, SHAPE, TURN, WORLD, fsl_axes, oblique, write
from twinsim.diffusion_tensors import read_tensors, tensors_onto
from twinsim.errors import InputError


def written(folder, convention, determinant):
    affine = oblique(determinant)
    if convention == "fsl":
        return write(folder / "tensor.nii.gz", fsl_axes(WORLD, affine), FSL, affine)
    return write(folder / "tensor.nii.gz", WORLD, MRTRIX, affine)


@pytest.mark.parametrize("determinant", [-1, 1])
@pytest.mark.parametrize("convention", ["fsl", "mrtrix"])
def test_one_tensor_of_the_world_in_both_conventions_and_handednesses(tmp_path, convention, determinant):
    read = read_tensors(written(tmp_path, convention, determinant), convention)
    np.testing.assert_allclose(read.array, np.broadcast_to(WORLD, (*SHAPE, 3, 3)), atol=1e-9)
    assert read.raised == 0
    grid = np.diag([1.0, 1.0, 1.0, 1.0])
    grid[:3, 3] = read.affine[:3, :3] @ [3, 2.5, 2] + read.affine[:3, 3] - 1
    found, known = tensors_onto(read, (3, 3, 3), grid)
    assert known.all()
    np.testing.assert_allclose(found, np.broadcast_to(WORLD, (3, 3, 3, 3, 3)), atol=1e-9)


def test_the_wrong_convention_turns_the_axes(tmp_path):
    """What is not seen in the numbers of a file: the trap that the option is for."""
    affine = np.diag([2.0, 2.0, 2.0, 1.0])  # positive determinant: FSL's x runs to the left
    path = write(tmp_path / "tensor.nii", fsl_axes(WORLD, affine), FSL, affine)
    np.testing.assert_allclose(read_tensors(path, "fsl").array[0, 0, 0], WORLD, atol=1e-9)
    mirrored = fsl_axes(WORLD, affine)
    assert mirrored[0, 1] == pytest.approx(-WORLD[0, 1]) and mirrored[0, 2] == pytest.approx(-WORLD[0, 2])


def test_eigenvectors_of_dtifit_make_the_same_tensor(tmp_path):
    affine = oblique(1)
    values, vectors = np.linalg.eigh(fsl_axes(WORLD, affine))
    for number, k in ((1, 2), (2, 1), (3, 0)):
        image = np.broadcast_to(vectors[:, k], (*SHAPE, 3)).astype(np.float32)
        nibabel.save(nibabel.Nifti1Image(image, affine), tmp_path / f"dti_V{number}.nii.gz")
        nibabel.save(nibabel.Nifti1Image(np.full(SHAPE, values[k], np.float32), affine), tmp_path / f"dti_L{number}.nii.gz")
    read = read_tensors(tmp_path / "dti_V1.nii.gz", "fsl")
    np.testing.assert_allclose(read.array, np.broadcast_to(WORLD, (*SHAPE, 3, 3)), atol=1e-9)
    nibabel.save(nibabel.Nifti1Image(np.zeros((3, 3, 3), np.float32), affine), tmp_path / "dti_L2.nii.gz")
    with pytest.raises(InputError, match="dti_L2 with shape"):
        read_tensors(tmp_path / "dti_V1.nii.gz", "fsl")
    (tmp_path / "dti_L2.nii.gz").unlink()
    with pytest.raises(InputError, match=r"dti_L2\.nii\.gz"):
        read_tensors(tmp_path / "dti_V1.nii.gz", "fsl")


def test_noise_is_raised_and_holes_have_no_tensor(tmp_path):
    field = np.broadcast_to(WORLD, (*SHAPE, 3, 3)).copy()
    field[2, 2, 2] = TURN @ np.diag([1e-3, 4e-4, -2e-5]) @ TURN.T
    field[:, :, 4], field[0, 0, 0, 0, 0] = 0.0, np.nan
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    read = read_tensors(write(tmp_path / "tensor.nii", field, MRTRIX, affine), "mrtrix")
    np.testing.assert_allclose(np.linalg.eigvalsh(read.array[2, 2, 2]), [1e-4, 4e-4, 1e-3], rtol=1e-4)
    np.testing.assert_allclose(np.abs(np.linalg.eigh(read.array[2, 2, 2])[1].T @ TURN[:, ::-1]), np.eye(3), atol=1e-3)
    assert read.raised == pytest.approx(1 / (7 * 6 * 4 - 1))
    found, known = tensors_onto(read, SHAPE, affine)
    assert not known[:, :, 4].any() and not known[0, 0, 0] and known[:, 1:, :4].all()
    np.testing.assert_allclose(found[1, 1, 3], WORLD, atol=1e-9)
    assert np.linalg.eigvalsh(found).min() > 0
    away = np.diag([2.0, 2.0, 2.0, 1.0])
    away[:3, 3] = 500.0
    assert not tensors_onto(read, (3, 3, 3), away)[1].any()


def test_half_way_between_two_tensors_determinants_do_not_swell(tmp_path):
    one, other = np.diag([1.6e-3, 4e-4, 4e-4]), np.diag([4e-4, 1.6e-3, 4e-4])
    field = np.broadcast_to(one, (*SHAPE, 3, 3)).copy()
    field[3:] = other
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    read = read_tensors(write(tmp_path / "tensor.nii", field, MRTRIX, affine), "mrtrix")
    grid = affine.copy()
    grid[:3, 3] = [5.0, 2.0, 2.0]
    middle = tensors_onto(read, (1, 1, 1), grid)[0][0, 0, 0]
    np.testing.assert_allclose(middle, np.diag([8e-4, 8e-4, 4e-4]), rtol=1e-5)  # the mean of the logarithms


def refused(name, folder):
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    path = folder / "tensor.nii"
    entries, tensor, convention = MRTRIX, WORLD, "mrtrix"
    if name == "another order":
        tensor = np.diag([1.7e-3, 5e-4, 3e-4])
        convention = "fsl"  # the zero off the diagonal stands where yy is read
    elif name == "another unit":
        tensor = WORLD * 1e3
    elif name == "nothing":
        tensor = WORLD * 0
    elif name == "nine components":
        entries = [(i, j) for i in range(3) for j in range(3)]
    elif name == "three components of no dtifit":
        entries, convention = ((0, 0), (1, 1), (2, 2)), "fsl"
    write(path, tensor, entries, affine)
    if name == "five dimensions":
        nibabel.save(nibabel.Nifti1Image(np.zeros((*SHAPE, 1, 6), np.float32), affine), path)
    read_tensors(path, convention)


@pytest.mark.parametrize(
    "name",
    ["another order", "another unit", "nothing", "nine components", "three components of no dtifit", "five dimensions"],
)
def test_bad_files_are_refused_in_one_line(tmp_path, name):
    with pytest.raises(InputError) as caught:
        refused(name, tmp_path)
    assert "\n" not in str(caught.value)
