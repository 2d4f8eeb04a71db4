"""The command line as a user meets it."""

import contextlib
import json
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from twinsim import catalogue, cli
from twinsim.cli import main
from twinsim.errors import InputError

HEAVY = ("jax", "matplotlib", "nibabel", "xarray", "scipy")


def fails(arguments: list[str], capsys: pytest.CaptureFixture[str], code: int = 2) -> str:
    """The last line on standard error of a command that must fail and leave standard output empty."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Traceback" not in captured.err
    return captured.err.strip().splitlines()[-1]


@pytest.mark.parametrize(
    "arguments", [["--help"], ["list"], ["run", "--help"], ["run", "toy/decay", "-h"], ["bench", "--help"], ["data", "--help"]]
)
def test_start_up_imports_nothing_heavy(arguments: list[str], experiments: Path) -> None:
    program = (
        "import sys\n"
        "from twinsim.cli import main\n"
        "try:\n"
        f"    main({arguments!r})\n"
        "except SystemExit as end:\n"
        "    assert end.code in (0, None), end.code\n"
        f"loaded = [name for name in {HEAVY!r} if name in sys.modules]\n"
        "sys.exit(f'imported {loaded}' if loaded else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert not caught.value.code
    text = capsys.readouterr().out
    assert all(command in text for command in cli.COMMANDS)


def test_no_arguments_show_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([])
    assert "subcommands" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--version"])
    assert capsys.readouterr().out.strip() == "0.1.0"


def test_list_shows_docstrings_of_experiments_only(experiments: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["list"])
    text = capsys.readouterr().out
    assert "toy/decay" in text
    assert "Decay of one number: the smallest experiment." in text
    assert "helper" not in text


def test_list_survives_a_file_that_does_not_parse(experiments: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (experiments / "toy" / "typo.py").write_text("def run(:\n")
    main(["list"])
    text = capsys.readouterr().out
    assert "cannot be read" in text
    assert "toy/decay" in text


def test_run_help_shows_the_options_of_the_experiment(experiments: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["run", "toy/decay", "--help"])
    assert not caught.value.code
    text = capsys.readouterr().out
    for flag in ("--rate-per-day", "Rate of the decay, 1/day.", "--out", "--json", "--resume"):
        assert flag in text


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["lst"], ["command 'lst'", "did you mean 'list'?"]),
        (["run", "toy/decoy"], ["experiment 'toy/decoy'", "did you mean 'toy/decay'"]),
        (["bench", "no_such_benchmark_at_all"], ["benchmark 'no_such_benchmark_at_all'"]),
        (["data", "fetch", "brain_tumor_mr"], ["did you mean 'brain_tumour_mr'?"]),
        (["data", "fetch"], ["fetch without a name"]),
        (["run", "toy/decay", "--rate-per-day", "-1"], ["rate -1.0", "do: give another rate"]),
        (["run", "toy/decay", "--rate-per-day", "fast"], ["--rate-per-day", "'fast'", "do: see `twinsim run toy/decay --help`"]),
        (["run", "toy/decay", "--rate-per-dya", "1"], ["--rate-per-dya", "do: did you mean --rate-per-day?"]),
        (["doctor", "--precision", "half"], ["'half'", "float32"]),
        (["bench", "history", "--no-such-flag"], ["--no-such-flag"]),
        (["run", "toy/broken"], ["volume_mm3 = nan"]),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    arguments: list[str], parts: list[str], experiments: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = fails(arguments, capsys)
    assert line.startswith("twinsim: got ")
    for part in (*parts, "; expected ", "; do: "):
        assert part in line
    assert not list(Path.cwd().glob("runs/*")), "a failed run left a folder"


def test_options_of_every_script_are_known_without_importing_it() -> None:
    scripts = {**catalogue.experiments(), **catalogue.benchmarks()}
    slow = []
    for name, script in scripts.items():
        with catalogue.options_of(script) as options:
            if options is None:
                slow.append(name)
            else:
                options()
    assert not slow, "Config of these needs more than the standard library: their help takes seconds"


def test_json_to_standard_output_is_nothing_but_json(experiments: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "twinsim.cli", "run", "toy/decay", "--out", "here", "--json", "-"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary == {"last_value": pytest.approx(0.22313016), "scheme": "exact", "unknown": None}
    assert "chatter" in done.stderr
    assert json.loads(Path("here/summary.json").read_text()) == summary
    assert (tmp_path / "cache" / "compiled").is_dir()


def test_json_to_a_file(experiments: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["run", "toy/decay", "--steps", "2", "--json", "numbers.json"])
    assert json.loads(Path("numbers.json").read_text())["last_value"] == pytest.approx(0.60653066)
    assert capsys.readouterr().out == ""


def test_interrupt_says_how_to_resume_and_resume_goes_on(experiments: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "log"
    line = fails(
        ["run", "toy/decay", "--out", "r", "--steps", "3", "--log", str(log), "--stop-after", "values"],
        capsys,
        130,
    )
    assert line.endswith("go on with: twinsim run toy/decay --resume r")
    assert Path("r/checkpoints/values.pkl").is_file()
    assert not Path("r/summary.json").exists()

    line = fails(["run", "toy/decay", "--resume", "r", "--steps", "5"], capsys)
    assert "steps = 5" in line
    assert "started with 3" in line

    fails(["run", "toy/decay", "--resume", "r"], capsys, 130)  # its options are taken over: it stops again
    assert log.read_text().splitlines() == ["values"]


def test_experiments_that_are_nowhere(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(catalogue, "_folder", lambda kind: None)
    line = fails(["list"], capsys)
    assert "TWINSIM_EXPERIMENTS" in line


def test_experiments_folder_that_does_not_exist(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("TWINSIM_EXPERIMENTS", "no-such-folder")
    assert "TWINSIM_EXPERIMENTS=no-such-folder" in fails(["list"], capsys)


def test_bench_runs_one_benchmark_with_its_flags(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "benchmarks"
    folder.mkdir()
    (folder / "toy_speed.py").write_text(
        '"""Speed of nothing."""\n'
        "from dataclasses import dataclass\n"
        "@dataclass(frozen=True)\nclass Config:\n    voxels: int = 8\n    '''Voxels.'''\n"
        "def run(config):\n    return {'voxels_per_second': 2.0 * config.voxels}\n"
    )
    monkeypatch.setenv("TWINSIM_BENCHMARKS", str(folder))
    monkeypatch.setattr("twinsim.cli._set_up", lambda config: None)
    main(["bench", "toy_speed", "--no-record", "--voxels", "5", "--json", "-"])
    assert json.loads(capsys.readouterr().out) == {"toy_speed": {"voxels_per_second": 10.0}}
    main(["bench", "--no-record", "--json", "-"])
    assert json.loads(capsys.readouterr().out) == {"toy_speed": {"voxels_per_second": 16.0}}


def test_an_input_error_survives_a_process_boundary() -> None:
    error = InputError(got="0 mm", expected="more", do="raise it")
    handed = pickle.loads(pickle.dumps(error))
    assert isinstance(handed, InputError) and str(handed) == str(error) and handed.do == "raise it"


def test_bench_list_names_the_benchmarks_and_bench_help_too(capsys):
    from twinsim import catalogue
    from twinsim.cli import main

    for arguments in (["bench", "list"], ["bench", "--help"]):
        with contextlib.suppress(SystemExit):
            main(arguments)
        shown = capsys.readouterr().out
        assert all(name in shown for name in catalogue.benchmarks())
