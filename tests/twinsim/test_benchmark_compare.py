"""Ratios of two measurements: flagged beyond the measured spread, silent within it, warned about where they are not alike."""

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twinsim import benchmark_history as history
from twinsim.benchmark_compare import ASSUMED_SPREAD, LEAST_CHANGE, SPREADS, compare, pooled
from twinsim.benchmark_keys import kind, median_sibling, peers_in, spreads_within
from twinsim.cli import main
from twinsim.errors import InputError

CPU = {"backend": "cpu", "device": "cpu", "processor": "Toy 9000", "cores": 2, "devices": 1}
GPU = CPU | {"backend": "gpu", "device": "Toy G1"}


def entry(numbers: dict, spread: dict | None = None, *, config: dict | None = None, machine: dict = CPU, **changes) -> dict:
    config = {"precision": "float64", "n": 1} if config is None else config
    base = {"run": "r", "date": "2026-11-22T10:00:00+00:00", "benchmark": "toy", "config": config, "machine": machine}
    return base | {"numbers": numbers, "spread": spread or {}, "note": "", "git_revision": None, "file": "f"} | changes


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("step_seconds_96", "time"),
        ("forward_milliseconds", "time"),
        ("solve_ms", "time"),
        ("forward_compile_seconds", "time"),
        ("simulated_seconds", "value"),
        ("duration_ms", "value"),
        ("cells_per_second", "rate"),
        ("nominal_gb_per_second_192", "rate"),
        ("error_relative", "error"),
        ("relative_l2_error", "error"),
        ("gradient_against_difference_relative", "error"),
        ("residual_final", "error"),
        ("gradient_to_forward", "quotient"),
        ("forward_speed_ratio_to_diffrax", "quotient"),
        ("step_fraction_of_copy_bandwidth", "quotient"),
        ("strong_speedup_2", "quotient"),
        ("diffrax_forward_seconds", "peer"),
        ("diffrax_error_relative", "peer"),
        ("peak_memory_mib", "memory"),
        ("burden_mm3", "value"),
        ("active_voxels", "value"),
    ],
)
def test_what_a_name_says(key: str, expected: str) -> None:
    assert kind(key, peers_in(["x_speed_ratio_to_diffrax", key])) == expected


def test_median_beside_a_minimum_is_a_spread() -> None:
    assert median_sibling("step_seconds_96") == "step_seconds_median_96"
    assert median_sibling("step_seconds_median") is None and median_sibling("cells") is None
    assert spreads_within({"a_seconds_8": 2.0, "a_seconds_median_8": 2.5, "b_seconds": 1.0, "c": 3}) == {"a_seconds_8": 0.25}


@pytest.mark.parametrize(
    ("key", "old", "new", "spread", "verdict"),
    [
        ("x_seconds", 1.0, 1.02, 0.0, ""),  # below 3 %
        ("x_seconds", 1.0, 1.04, 1e-6, "slower"),
        ("x_seconds", 1.04, 1.0, 1e-6, "faster"),
        ("x_seconds", 1.0, 1.2, 0.05, ""),  # 3 sqrt(2) 5 % = 21 %
        ("x_seconds", 1.0, 1.3, 0.05, "slower"),
        ("x_per_second", 1.0, 1.3, 0.05, "faster"),
        ("x_per_second", 1.3, 1.0, 0.05, "slower"),
        ("x_mib", 100.0, 110.0, 0.0, "more"),
        ("x_mib", 100.0, 90.0, 0.0, "less"),
        ("error", 1e-6, 1.05e-6, 0.0, ""),
        ("error", 1e-6, 1.2e-6, 0.0, "larger error"),
        ("error", 1e-6, 1e-9, 0.0, ""),
        ("error", 0.0, 1e-9, 0.0, "larger error"),
        ("error", 1e-16, 1e-15, 0.0, ""),  # round-off
        ("gradient_to_forward", 3.0, 6.0, 1e-6, ""),  # a quotient of times that are judged themselves
        ("x_seconds", 0.0, 1.0, 1e-6, ""),
        ("steps", 10, 20, 0.0, ""),
    ],
)
def test_a_change_is_flagged_beyond_the_spread(key: str, old: float, new: float, spread: float, verdict: str) -> None:
    spreads = {key: spread} if spread else {}
    (row,), warnings = compare([entry({key: old}, spreads)], [entry({key: new}, spreads)])
    assert row.verdict == verdict and not warnings
    assert row.ratio == (pytest.approx(new / old) if old else None)
    assert row.spread == pytest.approx(math.sqrt(2) * (spread or (ASSUMED_SPREAD if row.assumed else 0)))


@given(
    st.floats(1e-9, 1e9), st.floats(0.2, 5.0), st.floats(0, 0.3), st.floats(0, 0.3), st.sampled_from(["x_seconds", "x_per_second", "x_mib"])
)
def test_exchanging_the_sides_exchanges_the_verdict(old: float, ratio: float, spread_a: float, spread_b: float, key: str) -> None:
    a, b = entry({key: old}, {key: spread_a}), entry({key: old * ratio}, {key: spread_b})
    (forth,), (back,) = compare([a], [b])[0], compare([b], [a])[0]
    opposite = {"": "", "faster": "slower", "slower": "faster", "more": "less", "less": "more"}
    assert back.verdict == opposite[forth.verdict]
    if forth.verdict:
        assert abs(math.log(ratio)) > math.log1p(LEAST_CHANGE) - 1e-9
        assert abs(math.log(ratio)) > math.log1p(SPREADS * math.hypot(spread_a, spread_b)) - 1e-9 or not (spread_a and spread_b)


def test_a_spread_that_was_not_measured_is_assumed_and_said() -> None:
    (row,), _ = compare([entry({"x_seconds": 1.0})], [entry({"x_seconds": 1.2})])
    assert row.assumed and not row.verdict
    (row,), _ = compare([entry({"x_seconds": 1.0})], [entry({"x_seconds": 1.25})])
    assert row.verdict == "slower"


def test_a_rate_takes_the_spread_of_the_times_beside_it_and_compiling_does_not() -> None:
    sides = [entry({"x_seconds": 1.0, "x_per_second": 1.0, "x_compile_seconds": 1.0}, {"x_seconds": 0.2}) for _ in range(2)]
    rows = {row.key: row for row in compare(sides[:1], sides[1:])[0]}
    assert rows["x_per_second"].spread == pytest.approx(0.2 * math.sqrt(2)) and not rows["x_per_second"].assumed
    assert rows["x_compile_seconds"].assumed


def test_measurements_of_one_kind_are_pooled() -> None:
    entries = [entry({"x_seconds": value}) for value in (1.0, 1.2, 1.1)] + [entry({"x_seconds": 5.0}, machine=GPU)]
    on_cpu, on_gpu = pooled(entries)
    assert on_cpu.numbers == {"x_seconds": 1.1} and on_cpu.spread["x_seconds"] == pytest.approx(0.1 / 1.1)
    assert on_gpu.numbers == {"x_seconds": 5.0}
    repeated = entry({"x_seconds": 1.0}) | {"samples": {"x_seconds": [0.9, 1.0, 1.1]}}
    assert pooled([repeated])[0].spread["x_seconds"] == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"machine": GPU}, "devices differ: A cpu-toy-9000-x2, B gpu-toy-g1-x1"),
        ({"config": {"precision": "float32", "n": 1}}, "precision differs: A float64, B float32"),
        ({"versions": {"jax": "0.13"}}, "jax differs: A None, B 0.13"),
        ({"load_before": 1.9}, "B was measured on a busy machine (load 1.9 on 2 cores)"),
        ({"machine": {}}, "the machine of one of the two is not known"),
    ],
)
def test_what_is_not_alike_is_compared_with_a_warning(change: dict, part: str) -> None:
    rows, warnings = compare([entry({"x_seconds": 1.0})], [entry({"x_seconds": 2.0}) | change])
    assert len(rows) == 1
    assert any(part in text for text in warnings)


def test_entries_with_the_same_options_are_paired_first_and_the_rest_is_named() -> None:
    first = [entry({"x_seconds": float(n)}, config={"n": n}, swept={"n": n}) for n in (1, 2, 3)]
    second = [entry({"x_seconds": 10.0 * n}, config={"n": n}, swept={"n": n}) for n in (3, 2)] + [entry({}, benchmark="new")]
    rows, warnings = compare(first, second)
    assert [(row.benchmark, row.a, row.b) for row in rows] == [("toy (n 2)", 2.0, 20.0), ("toy (n 3)", 3.0, 30.0)]
    assert warnings == ["only in A: toy (n 1)", "only in B: new"]
    with pytest.raises(InputError, match="A with toy and B with new"):
        compare(first, second[-1:])


@pytest.fixture
def stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TWINSIM_HISTORY", str(tmp_path))
    sides = (
        {"x_seconds": 1.0, "y_seconds": 1.0, "error_relative": 1e-3, "steps": 4},
        {"x_seconds": 2.0, "y_seconds": 1.0, "error_relative": 1e-3, "steps": 4},
    )
    for number, numbers in enumerate(sides):
        spread = {"x_seconds": 0.01, "y_seconds": 0.01}
        history.append(
            entry(numbers, spread, run=f"r{number}", date=f"2026-11-2{number}T00:00:00", note=("before", "after")[number]), tmp_path
        )
    history.append(entry({"z_seconds": 1.0}, run="r2", date="2026-11-25T00:00:00", benchmark="other"), tmp_path)
    return tmp_path


def test_compare_prints_ratios_and_ends_well_unless_told_otherwise(stored: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["bench", "compare", "before", "after"])
    text = capsys.readouterr().out
    (slower,) = [line for line in text.splitlines() if "x_seconds" in line]
    assert "2.000" in slower and "1.4 %" in slower and "slower" in slower
    assert "beyond the spread: 1 slower" in text and "steps" not in text
    main(["bench", "compare", "after", "before", "--fail-on-slower", "--all"])
    text = capsys.readouterr().out
    assert "1 faster" in text and "steps" in text
    with pytest.raises(SystemExit) as caught:
        main(["bench", "compare", "before", "after", "--fail-on-slower", "--json", "-"])
    assert caught.value.code == 1
    rows = json.loads(capsys.readouterr().out)
    assert {row["key"]: row["verdict"] for row in rows} == {"x_seconds": "slower", "y_seconds": "", "error_relative": "", "steps": ""}


def test_an_error_that_grew_fails_too(stored: Path, tmp_path: Path) -> None:
    Path(tmp_path / "a.json").write_text(json.dumps({"toy": {"error": 1e-3}}))
    Path(tmp_path / "b.json").write_text(json.dumps({"toy": {"error": 2e-3}}))
    with pytest.raises(SystemExit) as caught:
        main(["bench", "compare", str(tmp_path / "a.json"), str(tmp_path / "b.json"), "--fail-on-slower"])
    assert caught.value.code == 1


def test_files_and_a_measurement_in_a_file_are_compared(stored: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(stored / "cpu-toy-9000-x2.jsonl")
    main(["bench", "compare", f"{path}@before", path])  # of a whole file, the newest
    assert "2.000" in capsys.readouterr().out
    main(["bench", "compare", "last~1", "last", "toy"])  # `last` among those that ran toy
    assert "2.000" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["missing.jsonl", "last"], "missing.jsonl: No such file"),
        (["last", "last~9"], "one of the 3"),
        (["befroe", "after"], "did you mean 'before'"),
        (["before", "last"], "A with toy and B with other"),
        (["before", "after", "tyo"], "did you mean 'toy'"),
        (["before", "after", "--device", "gpu"], "device 'gpu'"),
        (["before", "after", "--history", "nowhere"], "no history in nowhere"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(arguments: list[str], part: str, stored: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["bench", "compare", *arguments])
    assert caught.value.code == 2
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert line.startswith("twinsim: got ") and part in line
