"""Volumes as VTK image data (.vti), in millimetres, at the right place and orientation."""

import base64
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import numpy as np

from twinsim.atomic import atomic_path
from twinsim.errors import InputError

_TYPES = {
    "int8": "Int8", "uint8": "UInt8", "int16": "Int16", "uint16": "UInt16", "int32": "Int32",
    "uint32": "UInt32", "int64": "Int64", "uint64": "UInt64", "float32": "Float32", "float64": "Float64",
}  # fmt: skip
_BLOCK = 1 << 20  # bytes compressed at a time


def write_vtk_image(path: str | Path, arrays: Mapping[str, Any], affine: Any, *, data: str = "points") -> Path:
    """Write named volumes on one grid as a VTK XML image (``.vti``, VTK 9 or newer, compressed base64).

    World coordinates (mm) are ``affine @ (i, j, k, 1)``; the affine is split into origin, spacing
    (its column norms) and direction (its unit columns).

    Args:
        path: File to write, ending in ``.vti``.
        arrays: Name to array, each ``[x, y, z]`` or ``[x, y, z, component]``; booleans are stored as 0 and 1.
        affine: 4 x 4, voxel index to world mm; its columns are orthogonal.
        data: ``"points"`` puts the values at voxel centres (contours, volume rendering); ``"cells"`` makes
            every voxel a box, which shows the values as they are, without interpolation.

    Raises:
        InputError: Shapes differ, the affine is singular or sheared, or an array holds no real numbers.
    """
    if not str(path).endswith(".vti"):
        raise InputError(got=f"the file name {str(path)!r}", expected="a name that ends in .vti", do="rename the output")
    if data not in ("points", "cells"):
        raise InputError(got=f"data={data!r}", expected="'points' or 'cells'", do="choose one of them")
    affine = check_affine(affine)
    shape, fields = _check_arrays(arrays)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    direction = affine[:3, :3] / spacing
    if np.abs(direction.T @ direction - np.eye(3)).max() > 1e-4:
        raise InputError(
            got="an affine with shear",
            expected="orthogonal columns, the only axes that VTK image data can have",
            do="resample the volume to an orthogonal grid first",
        )
    origin = affine[:3, 3] if data == "points" else affine[:3, :3] @ np.full(3, -0.5) + affine[:3, 3]
    last = [size - 1 if data == "points" else size for size in shape]
    extent = " ".join(f"0 {end}" for end in last)
    place, first = ("PointData" if data == "points" else "CellData"), quoteattr(next(iter(fields)))
    geometry = f'Origin="{_row(origin)}" Spacing="{_row(spacing)}" Direction="{_row(direction.ravel())}"'
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        file.write(
            '<?xml version="1.0" encoding="utf-8"?>\n'
            '<VTKFile type="ImageData" version="1.0" byte_order="LittleEndian" header_type="UInt64"'
            ' compressor="vtkZLibDataCompressor">\n'
            f'<ImageData WholeExtent="{extent}" {geometry}>\n'
            f'<Piece Extent="{extent}">\n<{place} Scalars={first}>\n'
        )
        for name, (array, components) in fields.items():
            kind = _TYPES[array.dtype.name]
            file.write(f'<DataArray type="{kind}" Name={quoteattr(name)} format="binary" NumberOfComponents="{components}">\n')
            file.write(_encode(array))
            file.write("\n</DataArray>\n")
        file.write(f"</{place}>\n</Piece>\n</ImageData>\n</VTKFile>\n")
    return Path(path)


def check_affine(affine: Any) -> np.ndarray:
    """The affine as float64 [4, 4], refused when it is not finite, not invertible or not an affine."""
    try:
        matrix = np.asarray(affine, dtype=np.float64)
    except (TypeError, ValueError):
        matrix = np.empty(0)
    shown = np.array2string(matrix, precision=4, separator=",") if matrix.size else repr(affine)
    if (
        matrix.shape != (4, 4)
        or not np.isfinite(matrix).all()
        or not np.array_equal(matrix[3], [0, 0, 0, 1])
        or np.linalg.norm(matrix[:3, :3], axis=0).min() == 0
        or np.linalg.matrix_rank(matrix[:3, :3]) < 3
    ):
        raise InputError(
            got=f"the affine {shown}",
            expected="a finite, invertible 4 x 4 matrix from voxel index to world mm with last row 0 0 0 1",
            do="give the affine of the grid, for example numpy.diag([2, 2, 2, 1]) for 2 mm voxels",
        )
    return matrix


def _check_arrays(arrays: Mapping[str, Any]) -> tuple[tuple[int, ...], dict[str, tuple[np.ndarray, int]]]:
    """The common voxel shape; per name the array with its axes in VTK's order and its components."""
    if not arrays:
        raise InputError(got="no volume", expected="at least one named array", do="give {name: array}")
    shape, fields = np.shape(next(iter(arrays.values())))[:3], {}
    for name, values in arrays.items():
        array = np.asarray(values)
        if array.dtype == bool:
            array = array.view(np.uint8)
        if array.dtype == np.float16:
            array = array.astype(np.float32)
        if array.ndim not in (3, 4) or array.size == 0 or array.dtype.name not in _TYPES:
            raise InputError(
                got=f"volume {name!r} with shape {array.shape} and type {array.dtype}",
                expected="real numbers [x, y, z] or [x, y, z, component]",
                do="take real parts, or drop the axes that are not spatial",
            )
        if array.shape[:3] != shape:
            raise InputError(
                got=f"volume {name!r} with shape {array.shape[:3]}",
                expected=f"the shape of the first volume, {shape}",
                do="resample the volumes to one grid, or write one file for each grid",
            )
        components = array.shape[3] if array.ndim == 4 else 1
        # x varies fastest in VTK and the components of one voxel lie together.
        array = array.transpose(2, 1, 0, 3) if array.ndim == 4 else array.transpose(2, 1, 0)
        fields[str(name)] = (array, components)
    return shape, fields


def _encode(array: np.ndarray) -> str:
    """VTK's layout: base64 of [blocks, block size, last size, compressed sizes], base64 of the blocks."""
    raw = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).tobytes()
    blocks = [zlib.compress(raw[start : start + _BLOCK], 6) for start in range(0, len(raw), _BLOCK)]
    # The third number is the size of a partial last block, 0 when the last block is full.
    header = np.array([len(blocks), _BLOCK, len(raw) % _BLOCK, *map(len, blocks)], dtype="<u8")
    return base64.b64encode(header.tobytes()).decode() + base64.b64encode(b"".join(blocks)).decode()


def _row(values: np.ndarray) -> str:
    return " ".join(repr(float(value)) for value in values)
