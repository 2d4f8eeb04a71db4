"""Results on disk: netCDF-4/CF, NIfTI, VTK image data and JSON, each written whole or not at all."""

import gzip
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from twinsim.atomic import atomic_path
from twinsim.errors import InputError, near_misses
from twinsim.provenance import plain, provenance
from twinsim.vtk_image import check_affine, write_vtk_image

if TYPE_CHECKING:
    import xarray

__all__ = [
    "atomic_path", "provenance", "read_result", "result_provenance", "write_json", "write_nifti",
    "write_result", "write_vtk_image",
]  # fmt: skip

_PREFIX = "provenance_"
_AXES = {"x": "X", "y": "Y", "z": "Z"}
_COMPRESS_FROM = 1024  # values; below this a chunk index costs more than compression saves
_SPACES = {"unknown": 0, "scanner": 1, "aligned": 2, "talairach": 3, "mni": 4}


def write_result(path: str | Path, dataset: "xarray.Dataset", provenance: Mapping[str, Any] | None = None) -> Path:
    """Write a dataset as netCDF-4 (HDF5) in the layout of the CF conventions, compressed.

    Every variable of numbers must state its unit in ``attrs["units"]`` (``"1"`` for a plain number);
    coordinates ``x``, ``y``, ``z`` are in mm. ``long_name`` defaults to the name in words. Booleans
    become bytes with CF flags. Provenance becomes global attributes ``provenance_<key>``: text and
    numbers as they are, anything else as JSON.

    Raises:
        InputError: A unit is missing, values are complex, or the disk is full.
    """
    dataset, encoding = described(dataset)
    dataset.attrs = {
        "Conventions": "CF-1.11",
        "title": "twinsim result",
        # Text stays as it is: it may be the JSON of an earlier write.
        **{key: value if isinstance(value, str) else _to_attribute(value) for key, value in dataset.attrs.items()},
        **{_PREFIX + key: _to_attribute(plain(value)) for key, value in (provenance or {}).items()},
    }
    if provenance and {"date", "command"} <= provenance.keys():
        dataset.attrs["history"] = f"{provenance['date']}: {provenance['command']}"
    # HDF5 can crash the interpreter when its own writes meet a full disk, so it writes to memory.
    memory = io.BytesIO()
    dataset.to_netcdf(memory, engine="h5netcdf", format="NETCDF4", encoding=encoding)
    with atomic_path(path) as temporary, memory.getbuffer() as content:
        temporary.write_bytes(content)
    return Path(path)


def described(dataset: "xarray.Dataset") -> "tuple[xarray.Dataset, dict[Any, dict[str, Any]]]":
    """The dataset with complete CF attributes, and how to encode each variable.

    Raises:
        InputError: As :func:`write_result`, before anything is written.
    """
    dataset = dataset.copy(deep=False)
    return dataset, {name: _describe(str(name), dataset[name]) for name in list(dataset.variables)}


def read_result(path: str | Path) -> "xarray.Dataset":
    """The dataset of a result file, in memory, days as numbers and booleans as booleans.

    Raises:
        InputError: The file is missing or is not netCDF-4.
    """
    import xarray

    if not Path(path).is_file():
        raise InputError(got=f"no file {path}", expected="a result.h5", do="give the path of a result of twinsim run")
    try:
        dataset = xarray.load_dataset(path, engine="h5netcdf", decode_times=False, decode_timedelta=False)
    except (OSError, ValueError) as error:
        raise InputError(
            got=f"{path}, which cannot be read ({error})",
            expected="a netCDF-4 file written by twinsim",
            do="give another file, or run the experiment again",
        ) from error
    for variable in dataset.variables.values():
        if variable.dtype == bool:
            variable.attrs.pop("flag_values", None)
            variable.attrs.pop("flag_meanings", None)
    return dataset


def result_provenance(dataset: "xarray.Dataset") -> dict[str, Any]:
    """The provenance that ``write_result`` stored, nested values decoded."""
    return {str(key).removeprefix(_PREFIX): _from_attribute(value) for key, value in dataset.attrs.items() if str(key).startswith(_PREFIX)}


def write_json(path: str | Path, content: Mapping[str, Any]) -> Path:
    """Write JSON, keys in the order given; NaN and infinities become null."""
    text = json.dumps(plain(content), indent=2, ensure_ascii=False, allow_nan=False)
    with atomic_path(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")
    return Path(path)


def write_nifti(
    path: str | Path,
    array: Any,
    affine: Any,
    description: str = "",
    *,
    space: str = "aligned",
) -> Path:
    """Write a volume ``[x, y, z, ...]`` as NIfTI-1, ``.nii`` or ``.nii.gz``, spatial unit mm.

    The affine (voxel index to world mm, RAS) goes into the sform, and into the qform too unless it has
    shear, which a qform cannot hold. Booleans become uint8, float16 float32, 64-bit integers 32-bit ones.

    Args:
        path: File to write.
        array: Real numbers.
        affine: 4 x 4.
        description: At most 79 ASCII characters are kept.
        space: What world coordinates mean, the code of both forms: "unknown", "scanner", "aligned"
            (to another image), "talairach" or "mni".

    Raises:
        InputError: Wrong ending, affine, shape or type, or the disk is full.
    """
    import nibabel

    if not str(path).endswith((".nii", ".nii.gz")):
        raise InputError(got=f"the file name {str(path)!r}", expected="a name in .nii or .nii.gz", do="rename the output")
    if space not in _SPACES:
        raise InputError(got=f"the space {space!r}", expected=", ".join(_SPACES), do=near_misses(space, _SPACES))
    matrix, values = check_affine(affine), _nifti_values(np.asarray(array))
    image = nibabel.Nifti1Image(values, matrix)
    image.header.set_xyzt_units(xyz="mm")
    image.header["descrip"] = description.encode("ascii", "replace")[:79]
    image.set_sform(matrix, code=_SPACES[space])
    image.set_qform(matrix, code=_SPACES[space], strip_shears=True)
    stored = image.get_qform(coded=False)
    if np.abs(stored - matrix).max() > 1e-3 * np.linalg.norm(matrix[:3, :3], axis=0).min():
        image.set_qform(None, code=0)
    # In memory first: nibabel leaves a half-closed gzip stream behind when the disk is full.
    content = image.to_bytes()
    if str(path).endswith(".gz"):
        content = gzip.compress(content, compresslevel=5, mtime=0)
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)
    return Path(path)


def _nifti_values(values: np.ndarray) -> np.ndarray:
    if values.ndim < 3 or values.ndim > 7 or values.size == 0 or values.dtype.kind not in "biuf":
        raise InputError(
            got=f"an array with shape {values.shape} and type {values.dtype}",
            expected="real numbers on at least three axes",
            do="give a volume [x, y, z]",
        )
    if values.dtype == bool:
        return values.astype(np.uint8)
    if values.dtype == np.float16:
        return values.astype(np.float32)
    if values.dtype in (np.int64, np.uint64):
        narrow = values.astype(np.int32)
        if not np.array_equal(narrow, values):
            raise InputError(
                got="64-bit integers beyond 2^31",
                expected="values that fit in 32 bits",
                do="convert to float64",
            )
        return narrow
    return values


def _describe(name: str, variable: "xarray.DataArray") -> dict[str, Any]:
    """Complete the CF attributes of one variable in place and return how to encode it."""
    variable.attrs = dict(variable.attrs)
    attributes, kind = variable.attrs, variable.dtype.kind
    attributes.setdefault("long_name", name.replace("_", " "))
    encoding: dict[str, Any] = {}
    if kind == "c":
        raise InputError(
            got=f"complex values in {name!r}",
            expected="real numbers, the only ones that netCDF has",
            do="store real and imaginary part as two variables",
        )
    if name in _AXES and variable.dims == (name,):
        attributes.setdefault("axis", _AXES[name])
        attributes.setdefault("units", "mm")
    if kind == "b":
        attributes.update(flag_values=np.array([0, 1], dtype=np.int8), flag_meanings="false true")
    if kind in "iuf":
        if not attributes.get("units"):
            raise InputError(
                got=f"variable {name!r} without a unit",
                expected='attrs["units"], a plain number having "1"',
                do=f'set dataset[{name!r}].attrs["units"]',
            )
        # Some readers turn "days" into a time difference; the singular, equally valid, stays a number.
        attributes["units"] = {"days": "day", "hours": "h", "minutes": "min", "seconds": "s"}.get(attributes["units"], attributes["units"])
    if kind == "f" and variable.dims == (name,):
        encoding["_FillValue"] = None  # CF: a coordinate has no missing values
    if kind in "biuf" and variable.size >= _COMPRESS_FROM:
        encoding.update(zlib=True, complevel=4, shuffle=True)
    return encoding


def _to_attribute(value: Any) -> Any:
    """Text and numbers as they are, the rest as JSON; text that would read back as JSON is quoted as JSON."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False) if _looks_like_json(value) else value
    if isinstance(value, int | float | np.number) and not isinstance(value, bool):
        return value
    return json.dumps(plain(value), ensure_ascii=False, allow_nan=False)


def _from_attribute(value: Any) -> Any:
    if isinstance(value, str):
        return json.loads(value) if _looks_like_json(value) else value
    return plain(value)


def _looks_like_json(text: str) -> bool:
    return text[:1] in ("{", "[", '"') or text in ("true", "false", "null")
