"""`twinsim bench` on tiny benchmarks whose "times" are options: repetition, sweeps, history, failures. Nothing is timed."""

import json
import subprocess
import sys
from functools import partial
from pathlib import Path

import jax
import jax.export
import pytest

from twinsim import benchmark, machine
from twinsim.benchmark_sweep import parse, points, without_size
from twinsim.cli import main

TOY = '''"""Speed of nothing."""

from dataclasses import dataclass
from typing import Literal

from twinsim.errors import InputError

calls = []


@dataclass(frozen=True)
class Config:
    edge_voxels: tuple[int, ...] = (8,)
    """Edges."""

    box: tuple[int, int] = (1, 2)
    """Shape."""

    precision: Literal["float32", "float64"] = "float32"
    """Of the fields."""

    order: Literal[2, 4] = 2
    """Order."""

    seconds: float = 1.0
    """What it pretends to have taken."""

    batch: int | None = None
    """Members."""

    interrupt_at: int = -1
    """Press Ctrl-C at this call."""


def run(config):
    print("chatter that does not belong on standard output")
    if max(config.edge_voxels) > 100:
        raise MemoryError("no room for so many voxels")
    if config.seconds <= 0:
        raise InputError(got=f"seconds {config.seconds}", expected="more than 0", do="raise it")
    calls.append(config)
    if len(calls) == config.interrupt_at:
        raise KeyboardInterrupt
    numbers = {"precision_used": config.precision, "error_relative": 1e-3}
    for edge in config.edge_voxels:
        seconds = config.seconds * edge * (1 + 0.01 * (len(calls) % 3))
        numbers |= {f"step_seconds_{edge}": seconds, f"cells_per_second_{edge}": edge**3 / seconds, f"steps_{edge}": 4}
    return numbers
'''

OTHER = '''"""Another one."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Config:
    fails: bool = False
    """Whether it fails."""


def run(config):
    if config.fails:
        raise RuntimeError("broken")
    return {"forward_seconds": 2.0, "forward_seconds_median": 2.2, "peak_mib": 5}
'''

MACHINE = {
    "backend": "cpu", "device": "cpu", "devices": 1, "processor": "Toy 9000", "cores": 2,
    "copy_gb_per_second": {"float32": 30.0, "float64": 31.0},
    "multiply_add_gflop_per_second": {"float32": 90.0, "float64": None},
    "matrix_product_gflop_per_second": {"float32": 300.0, "float64": 150.0},
}  # fmt: skip


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The folder of the history; the benchmarks `toy` and `other` are found, and the machine is not measured."""
    folder = tmp_path / "benchmarks"
    folder.mkdir()
    (folder / "toy.py").write_text(TOY)
    (folder / "other.py").write_text(OTHER)
    monkeypatch.setenv("TWINSIM_BENCHMARKS", str(folder))
    monkeypatch.setenv("TWINSIM_HISTORY", str(tmp_path / "history"))
    monkeypatch.setenv("TWINSIM_PEERS", str(tmp_path / "no-peers"))
    monkeypatch.setattr("twinsim.cli._set_up", lambda config: None)
    monkeypatch.setattr(machine, "machine", lambda: dict(MACHINE))
    monkeypatch.setattr(benchmark, "load", lambda: 0.0)
    monkeypatch.chdir(tmp_path)
    yield tmp_path / "history"
    for name in ("benchmarks.toy", "benchmarks.other"):
        sys.modules.pop(name, None)


def lines(history: Path) -> list[dict]:
    return [json.loads(line) for line in (history / "cpu-toy-9000-x2.jsonl").read_text().splitlines()]


def ends(arguments: list[str], code: int, capsys: pytest.CaptureFixture[str]) -> str:
    """Standard error of a command that ends with this code."""
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == code
    return capsys.readouterr().err


def test_an_entry_says_what_was_measured_and_on_what(bench: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["bench", "toy", "--edge-voxels", "8", "--repeat", "3", "--note", "before", "--json", "-"])
    printed = capsys.readouterr()
    (entry,) = lines(bench)
    assert json.loads(printed.out) == {"toy": entry["numbers"]}
    assert "copy 30 / 31 GB/s; multiply-add 90 / – Gflop/s" in printed.err
    assert entry["numbers"]["step_seconds_8"] == pytest.approx(8.08)  # the median of 8.08, 8.16 and 8.00
    assert sorted(entry["samples"]["step_seconds_8"]) == pytest.approx([8.0, 8.08, 8.16])
    assert entry["spread"]["step_seconds_8"] == pytest.approx(0.08 / 8.08)
    assert "steps_8" not in entry["spread"] and entry["numbers"]["steps_8"] == 4
    assert entry["config"]["edge_voxels"] == [8] and entry["config"]["precision"] == "float32"
    assert entry["note"] == "before" and entry["repeat"] == 3 and entry["machine"] == MACHINE
    assert entry["versions"]["jax"] and entry["python"] and entry["date"]


def test_without_record_nothing_is_kept_and_the_machine_is_left_alone(bench: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "machine", lambda: pytest.fail("the machine was measured"))
    main(["bench", "other", "--no-record"])
    assert not bench.exists()


def test_a_spread_within_a_run_counts(bench: Path) -> None:
    main(["bench", "other"])
    assert lines(bench)[0]["spread"] == {"forward_seconds": pytest.approx(0.1)}


def test_sweep_leaves_a_table_a_plot_and_a_line_per_point(bench: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--sweep", "edge_voxels=8,16,32", "--sweep", "precision=float32,float64", "--out", "report", "--json", "-"]
    main(["bench", "toy", *arguments])
    found = json.loads(capsys.readouterr().out)["toy"]
    assert [point["options"] for point in found[:2]] == [{"edge_voxels": [8], "precision": word} for word in ("float32", "float64")]
    assert len(found) == 6 == len(lines(bench))
    assert lines(bench)[5]["swept"] == {"edge_voxels": [32], "precision": "float64"}
    assert len({line["run"] for line in lines(bench)}) == 1
    stored = json.loads(Path("report/sweep.json").read_text())["points"]
    assert {"step_seconds", "cells_per_second", "error_relative"} <= stored[4]["numbers"].keys()  # sizes taken off the names
    page = Path("report/report.html").read_text()
    assert Path("report/sweep.png").stat().st_size > 10_000
    assert all(word in page for word in ("Speed of nothing.", "edge voxels", "step seconds", "Toy 9000"))


def test_a_point_that_fails_does_not_stop_a_sweep(bench: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = ends(["bench", "toy", "--sweep", "edge_voxels=101,8", "--sweep", "seconds=1,-1", "--out", "r", "--json", "n.json"], 1, capsys)
    assert "MemoryError: no room for so many voxels" in said and "got seconds -1" in said
    results = json.loads(Path("n.json").read_text())["toy"]
    assert ["failed" in point for point in results] == [True, True, False, True]
    assert len(lines(bench)) == 1
    assert "no room for so many voxels" in Path("r/report.html").read_text()


def test_interrupting_a_sweep_keeps_what_was_measured(bench: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ends(["bench", "toy", "--interrupt-at", "3", "--sweep", "edge_voxels=8,16,32,64", "--out", "r"], 130, capsys)
    assert [line["swept"]["edge_voxels"] for line in lines(bench)] == [[8], [16]]
    assert len(json.loads(Path("r/sweep.json").read_text())["points"]) == 2


def test_one_benchmark_that_fails_does_not_stop_the_others(bench: Path, monkeypatch, capsys: pytest.CaptureFixture[str]) -> None:
    script = Path("benchmarks/other.py")
    script.write_text(script.read_text().replace("fails: bool = False", "fails: bool = True"))
    said = ends(["bench", "--json", "n.json"], 1, capsys)
    assert "other failed: RuntimeError: broken" in said
    assert json.loads(Path("n.json").read_text()).keys() == {"toy"}
    assert [line["benchmark"] for line in lines(bench)] == ["toy"]


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["tyo"], ["benchmark 'tyo'", "did you mean 'toy'"]),
        (["toy", "othr"], ["benchmark 'othr'", "did you mean 'other'"]),
        (["toy", "--repeat", "0"], ["--repeat 0"]),
        (["toy", "--sweep", "edge_voxels"], ["--sweep edge_voxels", "OPTION=VALUE"]),
        (["toy", "--sweep", "edge_voxels=8,,16"], ["OPTION=VALUE"]),
        (["toy", "--sweep", "edge_voxel=8"], ["edge_voxel", "did you mean 'edge_voxels'"]),
        (["toy", "--sweep", "edge_voxels=8,small"], ["'small'", "edge_voxels"]),
        (["toy", "--sweep", "order=2,3"], ["'3'", "order"]),
        (["toy", "--sweep", "precision=float32,float16"], ["'float16'", "precision"]),
        (["toy", "--sweep", "seconds=1", "--sweep", "seconds=2"], ["option seconds twice"]),
        (["toy", "--sweep", "seconds=1,1"], ["a value of seconds twice"]),
        (["toy", "other", "--sweep", "seconds=1"], ["seconds, which other does not have"]),
        (["toy", "--plot", "step_seconds"], ["--plot without --sweep"]),
        (["toy", "--sweep", "seconds=1,2", "--plot", "step_second"], ["--plot step_second", "did you mean 'step_seconds_8'"]),
        (["toy", "--sweep", "seconds=1,2", "--out", "taken"], ["--out taken", "holds other files"]),
        (["toy", "--seconds", "-1"], ["seconds -1", "raise it"]),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(arguments: list[str], parts: list[str], bench: Path, capsys) -> None:
    Path("taken").mkdir()
    Path("taken/letter").write_text("mine")
    line = ends(["bench", *arguments], 2, capsys).strip().splitlines()[-1]
    assert line.startswith("twinsim: got ")
    assert all(part in line for part in (*parts, "; expected ", "; do: "))
    assert Path("taken/letter").read_text() == "mine"


def test_numbers_outlive_a_history_that_cannot_be_written(bench: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bench.write_text("a file where the folder should be")
    line = ends(["bench", "other", "--json", "n.json"], 2, capsys).strip().splitlines()[-1]
    assert "history" in line and "--history DIR" in line
    assert json.loads(Path("n.json").read_text())["other"]["forward_seconds"] == 2.0


@pytest.mark.parametrize(
    ("text", "field", "value"),
    [
        ("edge_voxels=64", "edge_voxels", (64,)),
        ("edge-voxels=64x128", "edge_voxels", (64, 128)),
        ("--box=3x4", "box", (3, 4)),
        ("precision=float64", "precision", "float64"),
        ("order=4", "order", 4),
        ("seconds=1e-3", "seconds", 1e-3),
        ("seconds=2", "seconds", 2.0),
        ("batch=none", "batch", None),
        ("batch=8", "batch", 8),
    ],
)
def test_swept_values_have_the_type_of_the_option(text: str, field: str, value: object, bench: Path) -> None:
    from twinsim import catalogue

    config = catalogue.load(catalogue.benchmarks()["toy"]).Config()
    ((values, changed),) = points(config, parse([text]), "toy")
    assert values == {field: value} and getattr(changed, field) == value
    assert type(getattr(changed, field)) is type(value)


def test_a_name_that_exists_already_keeps_its_size() -> None:
    numbers = {"step_seconds_8": 1, "step_seconds_16": 2, "step_seconds": 3, "cells_8": 4, "_8": 5}
    assert without_size(numbers, {"edge": (8,)}) == {"step_seconds_8": 1, "step_seconds_16": 2, "step_seconds": 3, "cells": 4, "_8": 5}


def test_names_after_the_options_count_too(bench: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["bench", "--no-record", "--json", "-", "other"])
    assert json.loads(capsys.readouterr().out).keys() == {"other"}


def test_help_and_history_need_no_benchmarks(bench: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    main(["bench", "other"])
    monkeypatch.setattr("twinsim.catalogue._folder", lambda kind: None)  # as in an installed wheel
    main(["bench", "history"])
    with pytest.raises(SystemExit) as caught:
        main(["bench", "--help"])
    assert not caught.value.code
    assert "TWINSIM_BENCHMARKS" in ends(["bench"], 2, capsys)


@pytest.mark.parametrize(
    "arguments", [["bench", "--help"], ["bench", "compare", "--help"], ["bench", "history", "--help"], ["bench", "history"]]
)
def test_help_and_history_start_without_jax(arguments: list[str], bench: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["bench", "other"])
    program = (
        "import sys\nfrom twinsim.cli import main\n"
        f"try:\n    main({arguments!r})\nexcept SystemExit as end:\n    assert not end.code\n"
        "sys.exit(str([name for name in ('jax', 'numpy', 'matplotlib', 'xarray') if name in sys.modules] or ''))\n"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2], check=False)
    assert done.stderr.strip() == "", done.stderr
    assert done.stdout.strip()


def test_rates_of_this_machine_are_positive_in_both_precisions() -> None:
    for precision in ("float32", "float64"):
        found = [machine.copy_rate(precision, 1, 1), machine.update_rate(precision, 1, 1), machine.multiply_add_rate(precision, 1, 2**22)]
        assert all(rate > 0 for rate in found)
    described = machine.describe()
    assert described["backend"] == "cpu" and described["cores"] >= 1 and described["processor"]


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_what_measures_the_machine_lowers_for_every_device(precision: str) -> None:
    vector, matrix, number = (jax.ShapeDtypeStruct(shape, precision) for shape in ((64,), (8, 8), ()))
    chain = partial(machine.multiply_add_chain, links=4, rounds=3)
    for function, arguments in (
        (machine.add_one_into, (vector, vector)),
        (machine.add_one, (vector,)),
        (chain, (vector, number, number)),
        (machine.square, (matrix,)),
    ):
        exported = jax.export.export(jax.jit(function), platforms=["cpu", "cuda", "tpu"])(*arguments)
        assert exported.out_avals[0].dtype == precision


def test_the_chain_is_what_it_is_counted_as() -> None:
    x = jax.numpy.asarray([1.0, 2.0])
    found = machine.multiply_add_chain(x, 0.5, 1.0, links=2, rounds=3)
    assert found.tolist() == [2 - 1 / 64, 2.0]  # six links, each halving the distance to 2


def test_a_machine_that_cannot_be_measured_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine.sys, "executable", "/bin/false")
    found = machine.machine()
    assert found["backend"] == "unknown" and found["failed"]


@pytest.mark.slow
def test_the_machine_is_measured_in_a_process_of_its_own() -> None:
    found = machine.machine(copy_mib=1, repeats=1)
    for name in ("copy_gb_per_second", "update_gb_per_second", "multiply_add_gflop_per_second", "matrix_product_gflop_per_second"):
        assert all(found[name][precision] > 0 for precision in ("float32", "float64"))


def test_numbers_that_are_missing_in_a_run_keep_their_first_value() -> None:
    numbers, spread, samples = benchmark.summarised([{"a": "text", "b": 1.0, "c": None}, {"a": "text", "b": 3.0, "c": 2.0}])
    assert numbers == {"a": "text", "b": 2.0, "c": None}
    assert spread == {"b": pytest.approx(2**0.5 / 2)} and samples == {"b": [1.0, 3.0]}
