"""Connectomes from every kind of file, and refusals that name what is wrong."""

import bz2
import zipfile

import numpy as np
import pytest

from physics import Connectome, synthetic_connectome
from twinsim.connectome_file import read_connectome
from twinsim.errors import InputError

WEIGHTS = np.array([[0.0, 2.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
LENGTHS = np.array([[0.0, 20.0, 5.0], [0.05, 0.0, 5.0], [5.0, 5.0, 0.0]])


def text(matrix):
    return "\n".join(" ".join(f"{value:g}" for value in row) for row in matrix)


def packed(path, **changes):
    tables = {"weights.txt": text(WEIGHTS), "tract_lengths.txt": text(LENGTHS), "centres.txt": "A 1 2 3\nB 4 5 6\nC 7 8 9\n"} | changes
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in tables.items():
            if content is not None:
                archive.writestr(name, content)
    return path


def test_a_zip_and_a_folder_with_packed_tables(tmp_path):
    found = read_connectome(packed(tmp_path / "a.zip"))
    assert found.names == ("A", "B", "C") and found.isolated == ("C",)
    np.testing.assert_array_equal(found.weights, WEIGHTS)
    np.testing.assert_array_equal(found.centres[2], [7, 8, 9])
    folder = tmp_path / "b"
    folder.mkdir()
    (folder / "weights.txt.bz2").write_bytes(bz2.compress(text(WEIGHTS).encode()))
    (folder / "tract_lengths.txt").write_text(text(LENGTHS))
    same = read_connectome(folder)
    np.testing.assert_array_equal(same.tract_lengths, LENGTHS)
    assert same.names[0] == "region 0" and same.centres is None


def test_arrays_and_tables_with_commas(tmp_path):
    np.savez(tmp_path / "a.npz", weights=WEIGHTS, tract_lengths=LENGTHS, names=np.array(["x", "y", "z"]))
    assert read_connectome(tmp_path / "a.npz").names == ("x", "y", "z")
    np.savetxt(tmp_path / "b.csv", WEIGHTS, delimiter=",")
    assert not read_connectome(tmp_path / "b.csv").tract_lengths.any()
    np.savetxt(tmp_path / "b_tract_lengths.csv", LENGTHS, delimiter=",")
    np.testing.assert_array_equal(read_connectome(tmp_path / "b.csv").tract_lengths, LENGTHS)


def test_delays_are_rounded_and_short_tracts_counted():
    connectome = Connectome(WEIGHTS, LENGTHS, ("A", "B", "C"))
    np.testing.assert_array_equal(connectome.delays(4.0, 0.1)[:2, :2], [[0, 50], [0, 0]])
    assert connectome.without_delay(4.0, 0.1) == 1 and connectome.edges(4.0, 0.1).reach == 50
    assert connectome.edges().reach == 0


def test_the_synthetic_connectome_looks_like_one():
    one, other = read_connectome("synthetic"), synthetic_connectome(seed=1)
    assert one.regions == 76 and not np.allclose(one.weights, other.weights)
    assert 0.25 < (one.weights > 0).mean() < 0.28 and not np.allclose(one.weights, one.weights.T)
    near = one.tract_lengths < 60
    assert one.weights[near].mean() > 5 * one.weights[~near].mean()
    np.testing.assert_allclose(one.laplacian().sum(axis=1), 0, atol=1e-12)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"weights.txt": None}, "weights.txt in it"),
        ({"weights.txt": "1 2 3\n4 5 6\n"}, "as many rows as columns"),
        ({"weights.txt": "0 a\n1 0\n"}, "table of numbers"),
        ({"weights.txt": text(-WEIGHTS)}, r"-2 at \[0, 1\]"),
        ({"weights.txt": text(WEIGHTS).replace("2", "nan")}, "with nan"),
        ({"tract_lengths.txt": "0 1\n1 0\n"}, "as many of each"),
        ({"centres.txt": "A 1 2 3\nA 4 5 6\nC 7 8 9\n"}, "'A' twice"),
        ({"centres.txt": "A 1 2\n"}, "name and three numbers"),
    ],
)
def test_bad_archives(tmp_path, changes, words):
    with pytest.raises(InputError, match=words) as caught:
        read_connectome(packed(tmp_path / "a.zip", **changes))
    assert "\n" not in str(caught.value) and "a.zip" in str(caught.value)


def test_what_is_no_connectome(tmp_path):
    (tmp_path / "a.txt").write_text("0")
    (tmp_path / "b.zip").write_text("no archive")
    np.savez(tmp_path / "c.npz", weights=WEIGHTS)
    for name, words in (("a.txt", "ZIP, NPZ, CSV"), ("b.zip", "ZIP archive"), ("c.npz", "tract_lengths"), ("none.zip", "correct the path")):
        with pytest.raises(InputError, match=words):
            read_connectome(tmp_path / name)
    with pytest.raises(ValueError, match="both above 0"):
        synthetic_connectome(3).delays(0.0, 0.1)
    with pytest.raises(ValueError, match="2 or more"):
        synthetic_connectome(1)
