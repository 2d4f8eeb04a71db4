"""Records of PSA: what is read, and what is refused in one line."""

import numpy as np
import pytest

from twinsim.errors import InputError
from twinsim.psa_forecast import area_under_curve, cycle, persistence, score, widening_by_others
from twinsim.psa_record import PsaRecord, numbered, read_record

ROWS = (
    "7,1995/1/1 0:00:00,200,,10,16,1,1,0,0",
    "7,1995/1/31 0:00:00,200,7.5,2,0.4,1,1,30,30",
    "7,1995/3/2 0:00:00,,,1,0.4,1,0,60,60",
    "7,1995/4/1 0:00:00,,,,,1,0,90,90",
)


def write(folder, *rows):
    path = folder / "patient007.txt"
    path.write_text("\n".join(rows) + "\n")
    return path


def test_a_file_becomes_a_record(tmp_path):
    record = read_record(write(tmp_path, *ROWS))
    assert record.patient == 7
    np.testing.assert_array_equal(record.days, [0, 30, 60, 90])
    np.testing.assert_array_equal(record.psa, [10, 2, 1, np.nan])
    np.testing.assert_array_equal(record.since_stop, [-1, -1, 0, 30])
    np.testing.assert_array_equal(record.phase, [0, 0, 1, 1])


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("7,1995/5/1 0:00:00,,,-3,,1,0,120,120", "PSA -3 ng/mL"),
        ("7,1995/2/1 0:00:00,,,3,,1,0,31,31", "day 31 after day 90"),
        ("7,1995/5/1 0:00:00,,,3,,1,0", "8 fields"),
        ("7,1995/5/1 0:00:00,,,much,,1,0,120,120", "much"),
    ],
)
def test_bad_rows_are_refused_in_one_line(tmp_path, row, words):
    with pytest.raises(InputError, match=r"got .*; expected .*; do: ") as caught:
        read_record(write(tmp_path, *ROWS, row))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def made(patient=7):
    days = np.arange(0.0, 600.0, 30.0)
    on = (days % 300) < 150
    psa = np.exp(np.where(on, 2 - days % 150 / 50, -1 + days % 150 / 50))
    return PsaRecord(patient, days, psa, np.full(days.size, np.nan), on)


def test_an_unknown_number_is_refused():
    with pytest.raises(InputError, match="patient 9; expected one of the 2 patients"):
        numbered([made(7), made(11)], 9)


def test_the_cycle_rule_is_exact_where_cycles_repeat():
    record = made()
    ahead = record.days[(record.days > 400) & (record.days <= 570)]
    np.testing.assert_allclose(cycle(record, 400.0, ahead), np.log(record.psa[np.isin(record.days, ahead)]), atol=1e-12)
    np.testing.assert_allclose(persistence(record, 400.0, ahead), np.log(record.psa[13]))


def test_scores_of_a_normal_forecast():
    """The ranked score of a standard normal at its centre is sqrt(2/pi) - 1/sqrt(pi)."""
    draws = np.random.default_rng(0).standard_normal((4000, 1))
    found = score(np.zeros(1), draws, draws)
    assert abs(found.crps - (np.sqrt(2 / np.pi) - 1 / np.sqrt(np.pi))) < 0.01
    assert found.coverage90 == 1.0 and found.rmse < 0.05
    assert area_under_curve(np.array([True, False, True]), np.array([2.0, 1.0, 1.0])) == 0.75


@pytest.mark.parametrize("error", [0.5, 1.0, 3.0])
def test_intervals_widened_by_the_other_patients_hold_nine_in_ten(error):
    """Whatever the forecasts think of themselves; and a patient's own readings have no say."""
    random = np.random.default_rng(3)
    patient = np.repeat(np.arange(60), 5)
    draws = random.standard_normal((400, patient.size))
    truth = error * random.standard_normal(patient.size)
    factors = widening_by_others(patient, truth, draws, draws)
    assert abs(score(truth, draws, draws, factors).coverage90 - 0.9) < 0.03
    np.testing.assert_allclose(factors, error, rtol=0.15)
    own = np.where(patient == 7, 100.0, truth)
    np.testing.assert_array_equal(widening_by_others(patient, own, draws, draws)[patient == 7], factors[patient == 7])
