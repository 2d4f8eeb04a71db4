"""Recordings from EDF, CSV and NPZ files, and those that are refused."""

import edfio
import numpy as np
import pytest

from twinsim.errors import InputError
from twinsim.intracranial_recording import read_recording

RATE, NAMES = 250.0, ("A1", "A2", "B1", "B2")
TIMES = np.arange(3000) / RATE
VALUES = np.stack([100 * np.sin(2 * np.pi * (5.13 + k) * TIMES) * (1 + k * (TIMES > 6)) for k in range(4)])


def edf(path, notes=(), rates=(RATE,) * 4):
    signals = [
        edfio.EdfSignal(row[: int(12 * rate)], sampling_frequency=rate, label=name, physical_dimension="uV")
        for row, name, rate in zip(VALUES, NAMES, rates, strict=True)
    ]
    edfio.Edf(signals, annotations=[edfio.EdfAnnotation(*note) for note in notes]).write(path)
    return str(path)


def table(path, times=TIMES, names=("time_s", *NAMES)):
    np.savetxt(path, np.column_stack([times, VALUES.T]), delimiter=",", header=",".join(names), comments="")
    return str(path)


def test_an_edf_file_and_a_table_hold_what_was_written(tmp_path):
    marked = read_recording(edf(tmp_path / "a.edf", [(2.0, None, "eyes closed"), (6.0, None, "Seizure onset LTG")]), span_s=(-2.0, 3.0))
    given = read_recording(table(tmp_path / "a.csv"), onset_s=6.0, span_s=(-2.0, 3.0))
    for found in (marked, given):
        assert found.channels == NAMES and found.rate_hz == pytest.approx(RATE)
        assert found.times[0] == pytest.approx(-2.0) and found.times[-1] == pytest.approx(3.0)
        np.testing.assert_allclose(found.values, VALUES[:, 1000:2251], atol=0.02)
    fewer = read_recording(table(tmp_path / "a.csv", TIMES - 6), leave_out=("B2",))
    assert fewer.channels == NAMES[:3] and fewer.times[0] == -6.0


def test_refusals(tmp_path):
    plain = edf(tmp_path / "plain.edf")
    for options, words in (
        ({}, "without a marked onset"),
        ({"onset_s": 99.0}, "correct --onset-s"),
        ({"onset_s": 6.0, "span_s": (20.0, 30.0)}, "correct --span-s"),
        ({"onset_s": 6.0, "leave_out": ("A3",)}, "did you mean"),
    ):
        with pytest.raises(InputError, match=words):
            read_recording(plain, **options)
    with pytest.raises(InputError, match="leave out B2"):
        read_recording(edf(tmp_path / "rates.edf", rates=(RATE, RATE, RATE, 100.0)), onset_s=6.0)
    with pytest.raises(InputError, match="do not rise"):
        read_recording(table(tmp_path / "back.csv", TIMES[::-1]))
    with pytest.raises(InputError, match="time_s and one per channel"):
        read_recording(table(tmp_path / "named.csv", names=("t", *NAMES)))
    for name, content, words in (
        ("a.edf", b"not an EDF", "does not read as EDF"),
        ("a.csv", b"time_s,A\n0,x\n", "table of numbers"),
        ("a.vhdr", b"", "convert it"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=words):
            read_recording(str(tmp_path / name), onset_s=0.0)
    with pytest.raises(InputError, match="correct the path"):
        read_recording(str(tmp_path / "none.edf"))
