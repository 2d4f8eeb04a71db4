"""Stages, run folders and progress bars."""

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest

from twinsim.errors import InputError
from twinsim.experiment import Interrupted, RunOptions, checked_summary, run_experiment
from twinsim.store import read_result
from twinsim.workspace import Workspace


class Counter:
    """A stage that counts how often it was computed."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> dict[str, np.ndarray]:
        self.count += 1
        return {"field": np.arange(3.0)}


def test_stage_is_computed_once_and_read_back_on_resume(tmp_path: Path) -> None:
    compute = Counter()
    Workspace(tmp_path, key="a").stage("fit", compute)
    value = Workspace(tmp_path, resume=True, key="a").stage("fit", compute)
    assert compute.count == 1
    np.testing.assert_array_equal(value["field"], [0.0, 1.0, 2.0])


@pytest.mark.parametrize(("resume", "key"), [(False, "a"), (True, "b")])
def test_stage_of_a_new_run_or_another_configuration_is_computed(tmp_path: Path, resume: bool, key: str) -> None:
    compute = Counter()
    Workspace(tmp_path, key="a").stage("fit", compute)
    Workspace(tmp_path, resume=resume, key=key).stage("fit", compute)
    assert compute.count == 2


def test_damaged_checkpoint_is_computed_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    compute = Counter()
    Workspace(tmp_path).stage("fit", compute)
    path = tmp_path / "checkpoints" / "fit.pkl"
    path.write_bytes(path.read_bytes()[:-10])
    Workspace(tmp_path, resume=True).stage("fit", compute)
    assert compute.count == 2
    assert "computing it again" in capsys.readouterr().err


def test_stage_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def compute() -> None:
        raise FloatingPointError("no answer")

    with pytest.raises(FloatingPointError):
        Workspace(tmp_path).stage("fit", compute)
    assert not list(tmp_path.rglob("*.pkl"))


def test_stage_name_cannot_leave_the_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="stage name"):
        Workspace(tmp_path).stage("../fit", Counter())


def test_no_folder_keeps_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    compute = Counter()
    Workspace().stage("fit", compute)
    Workspace(resume=True).stage("fit", compute)
    assert compute.count == 2
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("shown", [False, True])
def test_progress_passes_every_item_and_keeps_standard_output_clean(shown: bool, capsys: pytest.CaptureFixture[str]) -> None:
    workspace = Workspace(progress=shown)
    assert list(workspace.progress("abc", "letters", "letters")) == ["a", "b", "c"]
    assert list(workspace.progress(3, "numbers")) == [0, 1, 2]
    with workspace.progress(10, "steps") as bar:
        bar.advance(10)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert ("letters" in captured.err) == shown


def test_run_leaves_everything_and_only_that(experiments: Path) -> None:
    summary = run_experiment("toy/decay", options=RunOptions(out=Path("r")))
    found = sorted(str(path.relative_to("r")) for path in Path("r").rglob("*") if path.is_file())
    assert found == [
        "provenance.json",
        "report.html",
        "result.h5",
        "run.json",
        "summary.json",
        "volumes/density.nii.gz",
        "volumes/volumes.vti",
    ]
    assert json.loads(Path("r/summary.json").read_text()) == summary
    dataset = read_result(Path("r/result.h5"))
    np.testing.assert_allclose(dataset["value"], np.exp(-0.5 * np.arange(4)))
    np.testing.assert_array_equal(nibabel.load("r/volumes/density.nii.gz").affine, np.diag([2.0, 2.0, 2.0, 1.0]))
    assert json.loads(Path("r/provenance.json").read_text())["config"]["rate_per_day"] == 0.5


def test_default_folder_is_named_after_the_experiment(experiments: Path) -> None:
    run_experiment("toy/decay")
    run_experiment("toy/decay")
    runs = list(Path("runs").glob("toy-decay-*"))
    assert len(runs) == 2


def test_resume_finishes_an_interrupted_run(experiments: Path, tmp_path: Path) -> None:
    from twinsim import catalogue

    module = catalogue.load(catalogue.experiments()["toy/decay"])
    log = tmp_path / "log"
    original = module.np.exp
    config = module.Config(log=log)

    def interrupt(self: Path, *arguments: object) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("twinsim.report.Report.headline", interrupt)
        with pytest.raises(Interrupted, match="twinsim run toy/decay --resume r"):
            run_experiment("toy/decay", config, RunOptions(out=Path("r")))
    assert sorted(path.name for path in Path("r").iterdir()) == ["checkpoints", "run.json"]
    summary = run_experiment("toy/decay", config, RunOptions(resume=Path("r")))
    assert log.read_text().splitlines() == ["values", "last"]
    assert summary["last_value"] == pytest.approx(float(original(-1.5)))
    assert not Path("r/checkpoints").exists()
    with pytest.raises(InputError, match="which is complete"):
        run_experiment("toy/decay", config, RunOptions(resume=Path("r")))


def test_failed_run_leaves_a_former_one_as_it_was(experiments: Path) -> None:
    from twinsim import catalogue

    run_experiment("toy/decay", options=RunOptions(out=Path("r")))
    before = {path: path.read_bytes() for path in Path("r").rglob("*") if path.is_file()}
    module = catalogue.load(catalogue.experiments()["toy/decay"])
    with pytest.raises(InputError, match="rate -1"):
        run_experiment("toy/decay", module.Config(rate_per_day=-1.0), RunOptions(out=Path("r")))
    assert {path: path.read_bytes() for path in Path("r").rglob("*") if path.is_file()} == before


def test_results_appear_together_or_not_at_all(experiments: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object) -> None:
        raise InputError(got="a full disk", expected="space", do="make some")

    monkeypatch.setattr("twinsim.report.Report.write", full)
    with pytest.raises(InputError, match="full disk"):
        run_experiment("toy/decay", options=RunOptions(out=Path("r")))
    # The stages were computed and may be resumed; of the results there is nothing.
    assert sorted(path.name for path in Path("r").iterdir()) == ["checkpoints", "run.json"]


def test_foreign_folder_is_refused(experiments: Path) -> None:
    Path("mine").mkdir()
    Path("mine/thesis.txt").write_text("irreplaceable")
    with pytest.raises(InputError, match="files that are not a twinsim run"):
        run_experiment("toy/decay", options=RunOptions(out=Path("mine")))
    assert [path.name for path in Path("mine").iterdir()] == ["thesis.txt"]
    with pytest.raises(InputError, match="which is not the folder of a twinsim run"):
        run_experiment("toy/decay", options=RunOptions(resume=Path("mine")))


def test_folder_of_another_experiment_is_refused(experiments: Path) -> None:
    run_experiment("toy/decay", options=RunOptions(out=Path("r")))
    with pytest.raises(InputError, match="which holds a run of toy/decay"):
        run_experiment("toy/broken", options=RunOptions(out=Path("r")))


def test_out_that_is_a_file_is_refused(experiments: Path) -> None:
    Path("taken").write_text("")
    with pytest.raises(InputError, match="--out taken"):
        run_experiment("toy/decay", options=RunOptions(out=Path("taken")))


@pytest.mark.parametrize("value", [float("nan"), np.float32("inf"), np.array(np.nan), [1.0], np.ones(2)])
def test_summary_refuses_what_is_no_finite_value(value: object) -> None:
    with pytest.raises(InputError, match="volume_mm3"):
        checked_summary({"volume_mm3": value})


def test_summary_becomes_plain_values() -> None:
    given = {"a": np.float32(0.5), "b": np.int64(3), "c": "text", "d": None, "e": np.array(2.0), "f": True}
    checked = checked_summary(given)
    assert checked == {"a": 0.5, "b": 3, "c": "text", "d": None, "e": 2.0, "f": True}
    assert {type(value) for value in checked.values()} == {float, int, str, type(None), bool}


def test_only_a_resumed_run_has_a_stage(tmp_path):
    Workspace(tmp_path, key="a").stage("fit", lambda: 1)
    assert Workspace(tmp_path, resume=True, key="a").has("fit")
    assert not Workspace(tmp_path, resume=True, key="a").has("other")
    assert not Workspace(tmp_path, key="a").has("fit")
    assert not Workspace(None, resume=True).has("fit")


def test_stages_are_computed_again_where_their_data_changed(tmp_path: Path) -> None:
    def run(day: float, field: np.ndarray) -> int:
        compute = Counter()
        workspace = Workspace(tmp_path, resume=True, key="a")
        workspace.depend_on({"day": day, "scans": (field, None), "name": "p"})
        workspace.stage("fit", compute)
        return compute.count

    field = np.arange(4.0)
    assert [run(1.0, field), run(1.0, field.copy()), run(2.0, field), run(2.0, -field), run(2.0, -field)] == [1, 0, 1, 1, 0]
