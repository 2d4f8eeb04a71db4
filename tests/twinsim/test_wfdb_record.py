"""Records of PhysioNet: written by hand here, and the real ones where they are."""

import numpy as np
import pytest

from twinsim.errors import InputError
from twinsim.wfdb_beats import read_beats
from twinsim.wfdb_record import read_wfdb


@pytest.fixture
def folder(tmp_path):
    """Two signals in format 16, and two in format 212 with a baseline and a unit of their own."""
    (tmp_path / "a.hea").write_text("a 2 1000 3\na.dat 16 2000 16 0 0 0 0 i\na.dat 16 1000(100)/uV 16 0 0 0 0 v 1\n# age: 81\n")
    np.array([[2000, 1100], [-2000, 100], [0, -900]], "<i2").tofile(tmp_path / "a.dat")
    (tmp_path / "b.hea").write_text("b 2 360 2\nb.dat 212 200 11 1024 0 0 0 MLII\nb.dat 212 200 11 1024 0 0 0 V5\n")
    values = [995, 1011, -3, 2047]
    triples = []
    for one, other in zip(values[::2], values[1::2], strict=True):
        one, other = one & 0xFFF, other & 0xFFF
        triples += [one & 0xFF, (one >> 8) | ((other >> 8) << 4), other & 0xFF]
    (tmp_path / "b.dat").write_bytes(bytes(triples))
    words = [(28 << 10) | 18, (63 << 10) | 3, 0x4E28, 0x0000, (1 << 10) | 59, (5 << 10) | 300, 59 << 10, 1, 2, (1 << 10) | 10, 0]
    np.array(words, "<u2").tofile(tmp_path / "b.atr")
    return tmp_path


def test_signals_of_both_formats(folder):
    a, b = read_wfdb(folder / "a"), read_wfdb(folder / "b")
    np.testing.assert_allclose(np.stack([one.values for one in a.signals], axis=1), [[1, 1], [-1, 0], [0, -1]])
    assert [one.name for one in a.signals] == ["i", "v 1"] and [one.unit for one in a.signals] == ["mV", "uV"]
    assert a.comments == ("age: 81",) and a.signals[0].rate == 1000
    np.testing.assert_allclose(b.signal("MLII").values * 200 + 1024, [995, -3])
    np.testing.assert_allclose(b.signal("V5").values * 200 + 1024, [1011, 2047])


def test_signals_in_two_files(folder):
    (folder / "d.hea").write_text("d 3 1000 3\na.dat 16 2000 16 0 0 0 0 i\na.dat 16 1000(100) 16 0 0 0 0 v\nd.xyz 16 100 16 0 0 0 0 vx\n")
    np.array([7, 8, 9], "<i2").tofile(folder / "d.xyz")
    record = read_wfdb(folder / "d")
    np.testing.assert_allclose(record.signal("vx").values, [0.07, 0.08, 0.09])
    np.testing.assert_allclose(record.signal("v").values, [1, 0, -1])


def test_beats_with_notes_and_long_gaps(folder):
    times, kinds = read_beats(folder, "b")
    np.testing.assert_array_equal(times, [18 + 59, 18 + 359, 18 + 359 + 65536 + 2 + 10])
    assert list(kinds) == ["N", "V", "N"]


def test_what_is_refused(folder):
    with pytest.raises(InputError, match="no annotations"):
        read_beats(folder, "a")
    np.array([0], "<u2").tofile(folder / "a.atr")
    with pytest.raises(InputError, match="without a beat"):
        read_beats(folder, "a")


@pytest.mark.needs_data
def test_the_real_records(dataset):
    """Initial values and checksums of the headers hold; MIT-BIH 100 has 2273 beats, of which 33 premature atrial and 1 ventricular."""
    folder = dataset("wfdb")
    ecg = read_wfdb(folder / "s0010_re")
    assert [one.name for one in ecg.signals][::4] == ["i", "avl", "v3", "vx"]
    assert {len(one.values) for one in ecg.signals} == {38400} and len(ecg.signals) == 15
    np.testing.assert_allclose([ecg.signal(name).values[0] * 2000 for name in ("i", "vx")], [-489, -3], atol=1e-6)
    assert int(np.rint(ecg.signal("i").values * 2000).sum()) % 65536 == -8337 % 65536
    times, kinds = read_beats(folder, "100")
    assert len(times) == 2273 and (kinds == "A").sum() == 33 and (kinds == "V").sum() == 1
    holter = read_wfdb(folder / "100").signal("MLII")
    assert int(np.rint(holter.values * 200 + 1024).sum()) % 65536 == -22131 % 65536
