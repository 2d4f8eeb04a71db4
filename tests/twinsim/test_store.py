"""Results on disk: whole or not at all, and read back as they were written."""

import errno
import json
import zlib
from pathlib import Path

import h5netcdf
import nibabel
import numpy as np
import pytest
import xarray

from twinsim.errors import InputError
from twinsim.store import (
    atomic_path,
    read_result,
    result_provenance,
    write_json,
    write_nifti,
    write_result,
    write_vtk_image,
)

# Axes permuted and flipped, anisotropic spacing 1, 2, 3 mm.
AFFINE = np.array([[0.0, -2.0, 0.0, 10.0], [0.0, 0.0, 3.0, -20.0], [1.0, 0.0, 0.0, 30.0], [0.0, 0.0, 0.0, 1.0]])


def example() -> xarray.Dataset:
    x = np.arange(12.0)
    return xarray.Dataset(
        {
            "cell_density": (("x", "y"), np.random.default_rng(0).random((12, 100)), {"units": "1"}),
            "volume": ("day", np.array([1.0, np.nan, 3.0]), {"units": "mm3", "long_name": "tumour volume"}),
            "mask": (("x", "y"), np.arange(1200).reshape(12, 100) % 3 == 0),
            "count": ((), np.int32(7), {"units": "1"}),
            "arm": ("arm", ["60 Gy in 30", "größer"]),
        },
        coords={"x": x, "y": 2.0 * np.arange(100), "day": ("day", [0.0, 30.0, 60.0], {"units": "days"})},
    )


def full_disk(*_arguments: object, **_options: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_result_reads_back(tmp_path: Path) -> None:
    before = example()
    after = read_result(write_result(tmp_path / "result.h5", before))
    for name in ("cell_density", "volume", "mask", "count", "arm", "x", "y", "day"):
        np.testing.assert_array_equal(after[name].values, before[name].values)
        assert after[name].dims == before[name].dims
    assert after.mask.dtype == bool
    assert after.day.dtype == np.float64
    assert "flag_values" not in after.mask.attrs
    again = read_result(write_result(tmp_path / "again.h5", after))
    assert again.identical(after)


def test_result_is_cf(tmp_path: Path) -> None:
    path = write_result(tmp_path / "result.h5", example())
    with h5netcdf.File(path, "r") as file:
        assert file.attrs["Conventions"] == "CF-1.11"
        assert file["x"].attrs["units"] == "mm" and file["x"].attrs["axis"] == "X"
        assert "_FillValue" not in file["x"].attrs
        assert file["cell_density"].attrs["long_name"] == "cell density"
        assert file["volume"].attrs["long_name"] == "tumour volume"
        assert file["day"].attrs["units"] == "day"  # the plural would be decoded as a time difference
        assert file["mask"].dtype == np.int8
        np.testing.assert_array_equal(file["mask"].attrs["flag_values"], [0, 1])
        assert file["mask"].attrs["flag_meanings"] == "false true"
        assert file["cell_density"].compression == "gzip" and file["volume"].compression is None
    with xarray.open_dataset(path) as plain_reader:
        assert plain_reader.mask.dtype == bool
        assert plain_reader.day.dtype == np.float64


def test_result_leaves_the_dataset_alone(tmp_path: Path) -> None:
    before = example()
    copy = before.copy(deep=True)
    write_result(tmp_path / "result.h5", before, {"seed": 1})
    assert before.identical(copy)


def test_result_keeps_provenance(tmp_path: Path) -> None:
    kept = {
        "date": "2026-01-01",
        "command": "twinsim run",
        "seed": 3,
        "rate": 0.25,
        "flag": True,
        "nothing": None,
        "versions": {"jax": "0.12"},
        "list": [1, "two", 3.5],
        "looks": "true",
        "quote": '"x',
        "brace": "{not json",
        "text": "ä",
    }
    dataset = read_result(write_result(tmp_path / "result.h5", example(), kept))
    assert result_provenance(dataset) == kept
    assert dataset.attrs["history"] == "2026-01-01: twinsim run"
    assert result_provenance(read_result(write_result(tmp_path / "again.h5", dataset))) == kept


@pytest.mark.parametrize(
    ("values", "attributes", "words"),
    [
        (np.ones(3), {}, "without a unit"),
        (np.ones(3), {"units": ""}, "without a unit"),
        (1j * np.ones(3), {}, "complex"),
    ],
)
def test_result_refuses(tmp_path: Path, values: np.ndarray, attributes: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        write_result(tmp_path / "result.h5", xarray.Dataset({"a": ("x", values, attributes)}))
    assert not list(tmp_path.iterdir())


def test_read_refuses(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no file"):
        read_result(tmp_path / "missing.h5")
    (tmp_path / "bad.h5").write_text("nonsense")
    with pytest.raises(InputError, match="cannot be read"):
        read_result(tmp_path / "bad.h5")


WRITERS = {
    "result.h5": (Path, "write_bytes", lambda path: write_result(path, example())),
    "a.nii.gz": (Path, "write_bytes", lambda path: write_nifti(path, np.ones((2, 2, 2)), np.eye(4))),
    "a.vti": (zlib, "compress", lambda path: write_vtk_image(path, {"a": np.ones((2, 2, 2))}, np.eye(4))),
    "a.json": (Path, "write_text", lambda path: write_json(path, {"a": 1})),
}


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("earlier", [False, True])
def test_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, earlier: bool) -> None:
    holder, function, write = WRITERS[name]
    path = tmp_path / name
    if earlier:
        path.write_bytes(b"earlier")
    monkeypatch.setattr(holder, function, full_disk)
    with pytest.raises(InputError, match="No space left on device") as caught:
        write(path)
    assert "\n" not in str(caught.value)
    assert [file.name for file in tmp_path.iterdir()] == ([name] if earlier else [])
    if earlier:
        assert path.read_bytes() == b"earlier"


def test_full_disk_at_the_last_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("twinsim.atomic.os.fsync", full_disk)
    with pytest.raises(InputError, match="free some space"):
        write_json(tmp_path / "a.json", {"a": 1})
    assert not list(tmp_path.iterdir())


def fail_half_way(path: Path, error: BaseException) -> None:
    with atomic_path(path) as temporary:
        temporary.write_bytes(b"half")
        raise error


def test_full_disk_as_hdf5_reports_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No space left"):
        fail_half_way(tmp_path / "a", RuntimeError("Can't decrement (errno = 28, 'No space left on device')"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("other"), FileNotFoundError(2, "other")])
def test_atomic_passes_other_errors_on(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "a.txt"
    path.write_text("earlier")
    with pytest.raises(type(error)) as caught:
        fail_half_way(path, error)
    assert caught.value is error
    assert [file.name for file in tmp_path.iterdir()] == ["a.txt"]
    assert path.read_text() == "earlier"


def test_atomic_appears_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "a.nii.gz"
    with atomic_path(path) as temporary:
        temporary.write_text("new")
        assert temporary.parent == path.parent and temporary.name.endswith(".nii.gz")
        assert not path.exists()
    assert path.read_text() == "new"


def test_atomic_follows_a_link_and_refuses_bad_places(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("earlier")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with atomic_path(tmp_path / "link") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "real").read_text() == "new"
    for place in (tmp_path, tmp_path / "real" / "below"):
        with pytest.raises(InputError, match="choose another place"), atomic_path(place) as temporary:
            temporary.write_text("new")


def test_json_has_no_nan(tmp_path: Path) -> None:
    path = write_json(tmp_path / "a.json", {"a": float("nan"), "b": np.float32(0.5), "c": np.arange(2), "d": "ü"})
    assert json.loads(path.read_text(encoding="utf-8")) == {"a": None, "b": 0.5, "c": [0, 1], "d": "ü"}


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_nifti_reads_back(tmp_path: Path, name: str) -> None:
    array = np.random.default_rng(0).random((3, 4, 5)).astype(np.float32)
    image = nibabel.load(write_nifti(tmp_path / name, array, AFFINE, "tumour cell density", space="mni"))
    np.testing.assert_array_equal(np.asarray(image.dataobj), array)
    np.testing.assert_allclose(image.affine, AFFINE)
    (sform, sform_code), (qform, qform_code) = image.get_sform(coded=True), image.get_qform(coded=True)
    assert sform_code == qform_code == 4
    np.testing.assert_allclose(sform, AFFINE)
    np.testing.assert_allclose(qform, AFFINE, atol=1e-5)
    assert image.header.get_xyzt_units()[0] == "mm"
    np.testing.assert_allclose(image.header.get_zooms(), [1, 2, 3], rtol=1e-6)
    assert image.header["descrip"].item() == b"tumour cell density"


def test_nifti_drops_a_qform_that_would_lie(tmp_path: Path) -> None:
    sheared = np.eye(4)
    sheared[0, 1] = 0.3
    image = nibabel.load(write_nifti(tmp_path / "a.nii", np.ones((2, 2, 2)), sheared))
    assert image.get_qform(coded=True)[1] == 0 and image.get_sform(coded=True)[1] == 2
    np.testing.assert_allclose(image.affine, sheared)


@pytest.mark.parametrize(
    ("given", "stored"),
    [(bool, "uint8"), (np.int64, "int32"), (np.float16, "float32"), (np.float64, "float64")],
)
def test_nifti_types(tmp_path: Path, given: type, stored: str) -> None:
    array = np.arange(8).reshape(2, 2, 2).astype(given)
    image = nibabel.load(write_nifti(tmp_path / "a.nii", array, np.eye(4)))
    assert image.get_data_dtype() == np.dtype(stored)
    np.testing.assert_array_equal(np.asarray(image.dataobj), array)


@pytest.mark.parametrize(
    ("name", "array", "affine", "words"),
    [
        ("a.img", np.ones((2, 2, 2)), np.eye(4), "ends in|in .nii"),
        ("a.nii", np.ones((2, 2)), np.eye(4), "three axes"),
        ("a.nii", np.full((2, 2, 2), 2**40), np.eye(4), "64-bit"),
        ("a.nii", np.ones((2, 2, 2)) * 1j, np.eye(4), "real numbers"),
        ("a.nii", np.ones((2, 2, 2)), np.diag([1, 0, 1, 1]), "invertible"),
        ("a.nii", np.ones((2, 2, 2)), np.full((4, 4), np.nan), "finite"),
        ("a.nii", np.ones((2, 2, 2)), np.eye(3), "4 x 4"),
        ("a.nii", np.ones((2, 2, 2)), "no matrix", "no matrix"),
    ],
)
def test_nifti_refuses(tmp_path: Path, name: str, array: np.ndarray, affine: object, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        write_nifti(tmp_path / name, array, affine)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_nifti_refuses_an_unknown_space(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="did you mean 'scanner'"):
        write_nifti(tmp_path / "a.nii", np.ones((2, 2, 2)), np.eye(4), space="scaner")
