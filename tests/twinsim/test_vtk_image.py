"""VTK image data, decoded by an independent reading of the format."""

import base64
import xml.etree.ElementTree as ElementTree
import zlib
from pathlib import Path

import numpy as np
import pytest

from twinsim.errors import InputError
from twinsim.store import write_vtk_image

# Axes permuted and flipped, anisotropic spacing 1, 2, 3 mm.
AFFINE = np.array([[0.0, -2.0, 0.0, 10.0], [0.0, 0.0, 3.0, -20.0], [1.0, 0.0, 0.0, 30.0], [0.0, 0.0, 0.0, 1.0]])


def numbers(text: str) -> np.ndarray:
    return np.array(text.split(), dtype=float)


def decode(element: ElementTree.Element) -> np.ndarray:
    """Independent reading of VTK's compressed blocks."""
    text = (element.text or "").strip()
    count = int.from_bytes(base64.b64decode(text[:12])[:8], "little")
    length = 4 * -(-8 * (3 + count) // 3)
    header = np.frombuffer(base64.b64decode(text[:length]), "<u8")
    body, start, raw = base64.b64decode(text[length:]), 0, b""
    for number, size in enumerate(header[3:].tolist()):
        block = zlib.decompress(body[start : start + size])
        last = number == count - 1 and header[2] != 0
        assert len(block) == header[2 if last else 1]
        raw, start = raw + block, start + size
    kind = {"Float32": "<f4", "Float64": "<f8", "UInt8": "u1", "Int16": "<i2"}[element.attrib["type"]]
    return np.frombuffer(raw, kind)


@pytest.mark.parametrize("data", ["points", "cells"])
def test_vtk_image_reads_back(tmp_path: Path, data: str) -> None:
    generator = np.random.default_rng(0)
    density = generator.random((3, 4, 5)).astype(np.float32)
    vector = generator.integers(-9, 9, (3, 4, 5, 3)).astype(">i2")
    arrays = {"cell <density>": density, "mask": density > 0.5, "flow": vector}
    path = write_vtk_image(tmp_path / "a.vti", arrays, AFFINE, data=data)
    root = ElementTree.parse(path).getroot()
    image = root[0]
    spacing, direction = numbers(image.attrib["Spacing"]), numbers(image.attrib["Direction"]).reshape(3, 3)
    origin, extent = numbers(image.attrib["Origin"]), numbers(image.attrib["WholeExtent"])
    assert root.attrib["type"] == "ImageData" and root.attrib["byte_order"] == "LittleEndian"
    np.testing.assert_allclose(spacing, [1, 2, 3])
    np.testing.assert_allclose(direction @ direction.T, np.eye(3), atol=1e-15)
    np.testing.assert_allclose(direction @ np.diag(spacing), AFFINE[:3, :3])
    half = 0 if data == "points" else 0.5
    centre = origin + direction @ (spacing * (np.array([2, 1, 4]) + half))
    np.testing.assert_allclose(centre, (AFFINE @ [2, 1, 4, 1])[:3])
    np.testing.assert_array_equal(extent[1::2] + (data == "points"), density.shape)
    fields = image.find("Piece")[0]
    assert fields.tag == ("PointData" if data == "points" else "CellData")
    stored = {element.attrib["Name"]: decode(element) for element in fields}
    assert list(stored) == list(arrays)
    i, j, k = 2, 1, 4
    at = i + 3 * (j + 4 * k)  # x fastest
    assert stored["cell <density>"][at] == density[i, j, k]
    np.testing.assert_array_equal(stored["cell <density>"].reshape(5, 4, 3).T, density)
    np.testing.assert_array_equal(stored["mask"].reshape(5, 4, 3).T, density > 0.5)
    np.testing.assert_array_equal(stored["flow"].reshape(5, 4, 3, 3)[k, j, i], vector[i, j, k])


@pytest.mark.parametrize("block", [64, 60, 1])  # bytes; one volume is 240 bytes: with and without a partial last block
def test_vtk_image_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr("twinsim.vtk_image._BLOCK", block)
    array = np.random.default_rng(0).random((3, 4, 5)).astype(np.float32)
    path = write_vtk_image(tmp_path / "a.vti", {"a": array}, np.eye(4))
    element = ElementTree.parse(path).getroot().find(".//DataArray")
    np.testing.assert_array_equal(decode(element).reshape(5, 4, 3).T, array)


def test_vtk_image_refuses(tmp_path: Path) -> None:
    sheared = np.eye(4)
    sheared[0, 1] = 0.3
    ones = np.ones((2, 2, 2))
    for arrays, affine, words in (
        ({"a": ones}, sheared, "shear"),
        ({}, np.eye(4), "no volume"),
        ({"a": ones, "b": np.ones((2, 2, 3))}, np.eye(4), "'b'"),
        ({"a": ones * 1j}, np.eye(4), "real numbers"),
        ({"a": np.ones(3)}, np.eye(4), "real numbers"),
    ):
        with pytest.raises(InputError, match=words):
            write_vtk_image(tmp_path / "a.vti", arrays, affine)
    with pytest.raises(InputError, match="'points' or 'cells'"):
        write_vtk_image(tmp_path / "a.vti", {"a": ones}, np.eye(4), data="faces")
    with pytest.raises(InputError, match="ends in"):
        write_vtk_image(tmp_path / "a.vtk", {"a": ones}, np.eye(4))
    assert not list(tmp_path.iterdir())
