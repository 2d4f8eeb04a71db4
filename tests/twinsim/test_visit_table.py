"""Tables of visits: what is written is read again, and what is wrong is one line."""

import numpy as np
import pytest

from twinsim.errors import InputError
from twinsim.visit_table import PersonVisits, read_visits, write_visits

REGIONS = ("R1", "R2", "hippocampus")


def test_what_is_written_is_read_again(tmp_path):
    people = [
        PersonVisits("a", np.array([0.0, 1.5]), np.array([[1.1, np.nan, 1.3], [1.2, 1.0, np.nan]])),
        PersonVisits("b 2", np.array([60.25]), np.array([[1.123456789012345, 1.0, 2.0]])),
    ]
    write_visits(tmp_path / "visits.csv", people, REGIONS)
    for one, other in zip(people, read_visits(tmp_path / "visits.csv", REGIONS), strict=True):
        assert one.person == other.person
        np.testing.assert_array_equal(one.years, other.years)
        np.testing.assert_array_equal(one.readings, other.readings)


def test_columns_may_be_in_any_order_and_regions_may_lack_one(tmp_path):
    table = tmp_path / "visits.csv"
    table.write_text("\ufeffhippocampus,person,time_years\n1.4,x,0\n\n1.2,y,3\nnan,y,4\n1.5,x,1\n")
    with pytest.raises(InputError, match="y: a visit at 4 years without a reading"):
        read_visits(table, REGIONS)
    table.write_text("\ufeffhippocampus,person,time_years\n1.4,x,0\n\n1.2,y,3\n1.5,x,1\n")
    x, y = read_visits(table, REGIONS)
    np.testing.assert_array_equal(x.readings, [[np.nan, np.nan, 1.4], [np.nan, np.nan, 1.5]])
    assert y.years.tolist() == [3.0]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("person,time_years,R1\n", "at least one visit"),
        ("person,R1\na,1\n", "without the column time_years"),
        ("person,time_years\na,1\n", "without a region"),
        ("person,time_years,hipocampus\na,0,1\n", "did you mean 'hippocampus'"),
        ("person,time_years,R1,R1\na,0,1,1\n", "'R1' twice"),
        ("person,time_years,R1\na,0\n", "row 2: 2 fields"),
        ("person,time_years,R1\na,,1\n", "row 2, column time_years"),
        ("person,time_years,R1\na,nan,1\n", "column time_years: 'nan'"),
        ("person,time_years,R1\na,0,1.1x\n", "column R1: '1.1x'"),
        ("person,time_years,R1\na,0,inf\n", "column R1: 'inf'"),
        ("person,time_years,R1\n ,0,1\n", "no person"),
        ("person,time_years,R1\na,1,1.2\na,1,1.3\n", "each later than the one before"),
        ("person,time_years,R1\na,2,1.2\na,1,1.3\n", "a visit at 1 years after one at 2"),
        ("person,time_years,R1\na,0,1.2\na,730,1.3\n", "not days or months"),
        ("person,time_years,R1\na,0,130\n", "uptake ratios"),
        ("person,time_years,R1\na,0,0\n", "uptake ratios"),
    ],
)
def test_bad_tables_are_one_line(tmp_path, text, words):
    (tmp_path / "visits.csv").write_text(text)
    with pytest.raises(InputError, match=words) as caught:
        read_visits(tmp_path / "visits.csv", REGIONS)
    assert "\n" not in str(caught.value) and "visits.csv" in str(caught.value)


def test_no_file_and_no_text(tmp_path):
    with pytest.raises(InputError, match="correct the path"):
        read_visits(tmp_path / "nothing.csv", REGIONS)
    (tmp_path / "visits.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="text with commas"):
        read_visits(tmp_path / "visits.csv", REGIONS)
