"""Recordings from EDF, CSV and NPZ files, and those that are refused."""

import edfio
import numpy as np
import pytest

from twinsim.errors import InputError
from twinsim.intracranial_recording import log_envelope, read_recording

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
    mixed = edf(tmp_path / "rates.edf", rates=(RATE, RATE, RATE, 100.0))
    with pytest.raises(InputError, match="--leave-out B2"):
        read_recording(mixed, onset_s=6.0)
    assert read_recording(mixed, onset_s=6.0, leave_out=("B2",)).channels == NAMES[:3]
    content = (tmp_path / "plain.edf").read_bytes()
    for cut in (len(content) // 2, len(content) - 7):
        (tmp_path / "cut.edf").write_bytes(content[:cut])
        with pytest.raises(InputError, match="ends before its header says"):
            read_recording(str(tmp_path / "cut.edf"), onset_s=1.0)
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


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"fs": np.array([250.0, 250.0])}, "one number"),
        ({"ecog": np.full((4, 3000), "a")}, "real numbers"),
        ({"soz": np.full(4, np.nan)}, "truth value"),
        ({"ecog": VALUES.T}, "one row per channel"),
        ({"fs": np.nan}, "samples per second"),
        ({"channels": np.array(["A", "A", "B", "C"])}, "twice"),
    ],
)
def test_arrays_of_another_kind_are_refused_in_one_line(tmp_path, change, words):
    held = {"ecog": VALUES, "channels": np.array(NAMES), "time_s": TIMES - 6, "fs": RATE} | change
    np.savez(tmp_path / "a.npz", **held)
    with pytest.raises(InputError, match=words) as caught:
        read_recording(str(tmp_path / "a.npz"))
    assert "\n" not in str(caught.value)


def test_a_window_longer_than_a_quarter_of_the_recording_is_refused(tmp_path):
    recording = read_recording(table(tmp_path / "a.csv"))
    with pytest.raises(InputError, match="shorten --window-s"):
        log_envelope(recording, (1.0, 100.0), 5.0, 0.04)
