"""The journal: what it keeps, what it cuts off, what it refuses."""

import pytest

from twinsim.assimilation import Journal
from twinsim.errors import InputError

HEAD = {"twin": "toy"}


def written(path, count=3):
    journal = Journal(path, HEAD)
    for number in range(count):
        journal.append({"number": number})
    journal.close()
    return path


def test_records_are_there_after_reopening(tmp_path):
    path = written(tmp_path / "journal.log")
    journal = Journal(path, HEAD)
    journal.append({"number": 3})
    journal.close()
    journal = Journal(path, HEAD)
    journal.close()
    assert journal.records == [{"number": n} for n in range(4)]


@pytest.mark.parametrize("keep", [1, 9, 15])
def test_a_torn_last_line_is_cut_off_and_the_journal_goes_on(tmp_path, keep):
    path = written(tmp_path / "journal.log")
    whole = path.read_bytes()
    start = whole[:-1].rindex(b"\n") + 1
    path.write_bytes(whole[: start + keep])
    journal = Journal(path, HEAD)
    assert journal.records == [{"number": 0}, {"number": 1}]
    journal.append({"number": 2})
    journal.close()
    assert path.read_bytes() == whole


def test_damage_is_refused_and_named(tmp_path):
    path = written(tmp_path / "journal.log")
    path.write_bytes(path.read_bytes().replace(b'"number":1', b'"number":7'))
    with pytest.raises(InputError, match=r"line 3 of which is damaged.*do: restore"):
        Journal(path, HEAD)


def test_another_twin_and_a_second_process_are_refused(tmp_path):
    path = written(tmp_path / "journal.log")
    with pytest.raises(InputError, match="twin 'toy' and not 'other'"):
        Journal(path, {"twin": "other"})
    journal = Journal(path, HEAD)
    with pytest.raises(InputError, match="another process has open"):
        Journal(path, HEAD)
    journal.close()


def test_a_full_disk_leaves_the_journal_as_it_was(tmp_path, monkeypatch):
    path = written(tmp_path / "journal.log")
    journal = Journal(path, HEAD)
    before = path.read_bytes()

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("twinsim.assimilation.journal.os.fsync", full)
    with pytest.raises(InputError, match="No space left"):
        journal.append({"number": 3})
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert len(journal.records) == 3
    journal.close()
