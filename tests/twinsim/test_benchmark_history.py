"""The history of benchmarks: what is appended stays, what is damaged is skipped, and what was measured is found again."""

import errno
import json
import os
from pathlib import Path

import pytest

from twinsim import benchmark_history as history
from twinsim.cli import main
from twinsim.errors import InputError

CPU = {"backend": "cpu", "device": "cpu", "processor": "Toy 9000", "cores": 2, "devices": 1}
GPU = {"backend": "gpu", "device": "NVIDIA H100 80GB HBM3", "processor": "Toy 9000", "cores": 16, "devices": 1}


def entry(run: str = "a", benchmark: str = "toy", machine: dict | None = None, **changes) -> dict:
    base = {"run": run, "date": "2026-11-22T10:00:00+00:00", "benchmark": benchmark, "config": {"n": 1}, "numbers": {"x_seconds": 1.0}}
    return base | {"machine": machine or CPU, "note": "", "git_revision": None} | changes


STORED = [
    entry("a", date="2026-10-01T08:00:00+00:00", git_revision="1234567890abcdef", note="first light"),
    entry("b", date="2026-11-21T08:00:00+00:00", git_revision="feedbee1234+changes"),
    entry("b", "other", date="2026-11-21T08:01:00+00:00", git_revision="feedbee1234+changes"),
    entry("c", date="2026-11-22T08:00:00+00:00", note="7"),
]


@pytest.mark.parametrize(
    ("machine", "name"),
    [
        (CPU, "cpu-toy-9000-x2"),
        (GPU, "gpu-nvidia-h100-80gb-hbm3-x1"),
        ({"backend": "cpu", "processor": "AMD EPYC(TM) 9B45 / 2", "cores": 4}, "cpu-amd-epyc-tm-9b45-2-x4"),
        ({}, "unknown-unknown-x1"),
    ],
)
def test_a_device_names_its_file(machine: dict, name: str) -> None:
    assert history.device_name(machine) == name


def test_entries_come_back_by_device_and_in_order_of_date(tmp_path: Path) -> None:
    for item in (STORED[3], STORED[0], entry("g", machine=GPU, date="2026-11-01T00:00:00+00:00")):
        history.append(item, tmp_path / "new" / "folder")
    found = history.read_folder(tmp_path / "new" / "folder")
    assert [item["run"] for item in found] == ["a", "g", "c"]
    assert [item["run"] for item in history.read_folder(tmp_path / "new" / "folder", "H100")] == ["g"]
    with pytest.raises(InputError, match="did you mean 'gpu-nvidia-h100-80gb-hbm3-x1'"):
        history.read_folder(tmp_path / "new" / "folder", "gpu-nvidia-h200")


def test_a_damaged_line_is_skipped_once_and_never_lost(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = history.append(entry("a"), tmp_path)
    damaged = b'{"run": "half", "date": \n[1, 2]\n\xff\xfe\n{"run": 1}\n{"run": "cut off"'
    path.write_bytes(path.read_bytes() + damaged)
    history.append(entry("b"), tmp_path)
    assert [item["run"] for item in history.read(path)] == ["a", "b"]
    assert damaged in path.read_bytes()
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1 and "lines 2, 3, 4, 5, 6 cannot be read and are skipped" in said[0]


@pytest.mark.parametrize("written", [0, 7])
def test_a_full_disk_leaves_the_history_as_it_was(written: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = history.append(entry("a"), tmp_path)
    before = path.read_bytes()
    real = os.write
    calls = []

    def write(descriptor: int, content: bytes) -> int:
        calls.append(1)
        if len(calls) > 1 or not written:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(descriptor, content[:written])

    monkeypatch.setattr(history.os, "write", write)
    with pytest.raises(InputError, match="free some space"):
        history.append(entry("b"), tmp_path)
    assert path.read_bytes() == before


def test_a_place_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="--history DIR"):
        history.append(entry(), tmp_path / "file")


@pytest.mark.parametrize(
    ("text", "runs"),
    [
        ("last", ["c"]),
        ("last~0", ["c"]),
        ("last~1", ["b", "b"]),
        ("last~2", ["a"]),
        ("1", ["a"]),
        ("2", ["b", "b"]),
        ("2026-10", ["a"]),
        ("2026-11", ["b", "b", "c"]),
        ("2026-11-21T08:01", ["b"]),
        ("1234567", ["a"]),
        ("feedbee", ["b", "b"]),
        ("first light", ["a"]),
        ("light", ["a"]),
        ("c", ["c"]),
    ],
)
def test_a_measurement_is_found_by(text: str, runs: list[str]) -> None:
    if text == "c":
        assert [item["run"] for item in history.select([*STORED[:3], STORED[3] | {"note": "c"}], text)] == runs
    else:
        assert [item["run"] for item in history.select(STORED, text)] == runs


@pytest.mark.parametrize(
    ("text", "part"), [("last~3", "one of the 3"), ("0", "one of the 3"), ("first lihgt", "did you mean 'first light'"), ("abc", "known: ")]
)
def test_what_is_not_there_is_refused_with_near_misses(text: str, part: str) -> None:
    with pytest.raises(InputError, match=part):
        history.select(STORED, text)


def test_numbers_written_as_json_are_read_as_of_an_unknown_machine(tmp_path: Path) -> None:
    path = tmp_path / "numbers.json"
    path.write_text(json.dumps({"toy": {"x_seconds": 2.0}}, indent=2))
    (found,) = history.read(path)
    assert found["benchmark"] == "toy" and found["numbers"] == {"x_seconds": 2.0} and found["machine"] == {}
    path.write_text(json.dumps({"toy": 1}))
    with pytest.raises(InputError, match="holds no benchmarks"):
        history.read(path)


def test_where_the_history_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWINSIM_HISTORY", str(tmp_path / "named"))
    assert history.history_folder() == tmp_path / "named"
    assert history.history_folder(tmp_path / "given") == tmp_path / "given"
    monkeypatch.delenv("TWINSIM_HISTORY")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setattr(history.sys, "platform", "linux")
    assert history.history_folder() == tmp_path / "data" / "twinsim" / "bench"


def test_the_listing_counts_invocations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for item in STORED:
        history.append(item, tmp_path)
    main(["bench", "history", "--history", str(tmp_path)])
    text = capsys.readouterr().out
    rows = [line for line in text.splitlines() if "cpu-toy-9000-x2" in line]
    assert len(rows) == 3
    assert "first light" in rows[0] and "12345678" in rows[0]
    assert "toy, other" in rows[1] and "feedbee1+changes" in rows[1]
    main(["bench", "history", "--history", str(tmp_path), "--last", "1"])
    assert "first light" not in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["bench", "history", "--history", str(tmp_path / "none")])
    assert "no history in" in capsys.readouterr().err
