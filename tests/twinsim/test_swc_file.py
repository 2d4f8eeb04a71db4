"""Morphologies: what is read, and what is refused."""

import numpy as np
import pytest

from twinsim.errors import InputError
from twinsim.swc_file import read_swc, swc_shape

BALL = """# a ball with two dendrites, one of them forked, and an axon
1 1 0 0 0 8 -1
2 3 8 0 0 1 1
3 3 108 0 0 1 2
4 3 158 0 0 0.5 3
5 3 108 80 0 0.5 3
6 3 -8 0 0 2 1
7 3 -58 0 0 1 6
8 2 0 -8 0 0.4 1
9 2 0 -208 0 0.4 8
"""


def written(tmp_path, text):
    path = tmp_path / "cell.swc"
    path.write_text(text)
    return path


def test_a_ball_with_neurites(tmp_path):
    path = written(tmp_path, BALL)
    sections = read_swc(path)
    assert [(one.name, one.parent, round(one.length, 6)) for one in sections] == [
        ("soma", -1, 16.0), ("dendrite", 0, 100.0), ("dendrite", 0, 50.0), ("axon", 0, 200.0), ("dendrite", 1, 50.0), ("dendrite", 1, 80.0),
    ]  # fmt: skip
    shape = swc_shape(path, 25.0)
    cone = np.pi * 3 * np.hypot(50, 1) + sum(np.pi * 1.5 * np.hypot(length, 0.5) for length in (50, 80))
    total = 4 * np.pi * 64 + 2 * np.pi * 100 + cone + 2 * np.pi * 0.4 * 200
    assert float(shape.area.sum()) == pytest.approx(total, rel=1e-12)
    assert shape.compartments == 1 + 4 + 1 + 2 + 4 + 2 + 8  # the fork is a compartment of its own
    assert shape.compartments < swc_shape(path, 5.0).compartments
    coarse, fine = swc_shape(path), swc_shape(path, fraction=0.02)
    assert coarse.compartments < fine.compartments


def test_three_points_are_the_same_ball(tmp_path):
    one = swc_shape(written(tmp_path, BALL), 25.0)
    three = BALL + "10 1 0 8 0 8 1\n11 1 0 -8 0 8 1\n"
    np.testing.assert_array_equal(swc_shape(written(tmp_path, three), 25.0).area, one.area)


def test_a_root_in_the_middle_of_an_axon(tmp_path):
    """Nothing is lost, and no second root comes of it."""
    path = written(tmp_path, "1 2 0 0 0 1 -1\n2 2 100 0 0 1 1\n3 2 -100 0 0 1 1\n4 2 0 50 0 1 1\n")
    shape = swc_shape(path, 50.0)
    assert float(shape.area.sum()) == pytest.approx(2 * np.pi * 250)
    assert sum(parent < 0 for parent in shape.tree.parents) == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no sample"),
        ("1 1 0 0 0 8\n", "line 1: '1 1 0 0 0 8'; expected seven numbers"),
        ("1 1 0 0 zero 8 -1\n", "expected seven numbers"),
        ("1 1 0 0 nan 8 -1\n", "expected seven numbers"),
        ("1.5 1 0 0 0 8 -1\n", "expected seven numbers"),
        ("1 1 0 0 0 8 -1\n1 3 9 0 0 1 1\n", "sample 1 a second time"),
        ("1 1 0 0 0 0 -1\n", "radius 0 um"),
        ("1 1 0 0 0 8 -1\n2 3 9 0 0 -1 1\n", "line 2: radius -1 um"),
        ("1 1 0 0 0 8 -1\n2 3 9 0 0 1 7\n", "parent 7 of sample 2"),
        ("1 1 0 0 0 8 -1\n2 3 9 0 0 1 3\n3 3 9 9 0 1 2\n", "sample 2 in a loop"),
        ("1 1 0 0 0 8 2\n2 3 9 0 0 1 1\n", "in a loop"),
        ("1 1 0 0 0 8 -1\n2 3 9 0 0 1 -1\n", "2 roots"),
        ("1 3 0 0 0 8 -1\n", "one sample that is no soma"),
        ("1 1 0 0 0 8 -1\n2 3 9 0 0 1 1\n3 3 9 0 0 1 2\n", "of no length"),
    ],
)
def test_bad_files_are_one_line(tmp_path, text, words):
    with pytest.raises(InputError, match=words) as caught:
        swc_shape(written(tmp_path, text), 10.0)
    assert "\n" not in str(caught.value) and "cell.swc" in str(caught.value)


def test_a_file_that_is_not_there():
    with pytest.raises(InputError, match="correct the path"):
        read_swc("nowhere.swc")
